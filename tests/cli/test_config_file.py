"""`fit --config`: options from a TOML file or a run; flags win."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.cli.common import run_command
from pyro_rationale.cli.config_file import with_config_file
from pyro_rationale.cli.fit import fit
from pyro_rationale.config import ModelOptions, TrainOptions
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import ConfigError
from pyro_rationale.run_files import read_config
from tests.support.small_fit import differences, whole

NONE = (DataOptions(), ModelOptions(), TrainOptions())


def written(folder: Path, text: str) -> Path:
    path = folder / "fit.toml"
    path.write_text(text)
    return path


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, 'text-column = "review"\nrate = 0.2\n[train]\nsteps = 7\nlearning_rate = 1\n')
    flags = (DataOptions(), ModelOptions(rate=0.3), TrainOptions())
    (data, model, train), names = with_config_file(flags, {"rate", "out"}, path)
    assert (data.text_column, model.rate, train.steps, train.learning_rate) == ("review", 0.3, 7, 1.0)
    assert names == {"text_column", "rate", "steps", "learning_rate", "out"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rat = 1", "rat is no option; did you mean rate"),
        ("[model]\nsteps = 3", "steps is no option of .model.; it belongs under .train."),
        ("steps = 3\n[train]\nsteps = 4", "steps stands there twice"),
        ('steps = "three"', "steps: expected a whole number"),
        ("[trian]\nsteps = 3", "trian is no option; did you mean train"),
        ("steps = ", "not TOML"),
        ("a = " + "[" * 3000 + "]" * 3000, "nested too deeply"),
    ],
)
def test_faults_name_the_file(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError, match=message) as problem:
        with_config_file(NONE, set(), path)
    assert str(path) in str(problem.value)


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        with_config_file(NONE, set(), tmp_path / "no.toml")
    with pytest.raises(ConfigError, match=r"is no config\.json"):
        with_config_file(NONE, set(), tmp_path / "other.json")


def test_the_configuration_of_a_run_gives_the_same_run(tmp_path: Path) -> None:
    run = whole()
    words = ["--config", str(run / "config.json"), "--out", str(tmp_path / "again"), "--quiet", "--baselines", "none"]
    with pytest.raises(SystemExit):
        run_command(fit, words)
    assert not differences(run, tmp_path / "again")


def test_a_preset_beside_a_run_would_change_nothing() -> None:
    flags = (DataOptions(), ModelOptions(preset="fast"), TrainOptions())
    with pytest.raises(ConfigError, match="gives all options that a preset chooses"):
        with_config_file(flags, {"preset"}, whole())
    with_config_file((DataOptions(), read_config(whole())[0].model, TrainOptions()), {"preset"}, whole())


def test_several_devices_keep_all_options_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def opened(flags: Any, *_: Any) -> None:
        seen.extend(flags)
        raise ConfigError("enough")

    monkeypatch.setattr("pyro_rationale.cli.fit.opened", opened)
    path = written(tmp_path, 'text-column = "review"\nrate = 0.2\nsteps = 7\n')
    with pytest.raises(SystemExit):
        run_command(fit, ["--config", str(path), "--device", "cpu", "--devices", "2"])
    data, model, train = seen
    assert (data.text_column, model.rate, train.steps, train.members) == ("review", 0.2, 7, 1)

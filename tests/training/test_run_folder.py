"""A run folder under another configuration: what may differ, while the fit is under way and when it is over."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.errors import ConfigError
from pyro_rationale.training.run_folder import check_same_config, differing_options
from tests.support.small_fit import Break, content, fit_small, small, whole


def test_a_default_given_by_its_value_is_no_difference() -> None:
    assert list(differing_options(small(samples=1, guide="relaxed"), small(samples=None, guide="relaxed"))) == []
    assert list(differing_options(small(steps=9), small(steps=10))) == [("steps", 9, 10)]


def test_the_learning_rate_may_change_on_the_way(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit_small(tmp_path, Break(steps=2))
    check_same_config(small(learning_rate=0.1, threads=2), tmp_path)


def test_a_finished_run_has_its_learning_rate(tmp_path: Path) -> None:
    shutil.copytree(whole(), tmp_path / "run")
    check_same_config(small(threads=2), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"--learning-rate: the run in .* has 0.003, got 0.1"):
        check_same_config(small(learning_rate=0.1), tmp_path / "run")


def test_no_other_configuration_is_written_over_weights_that_are_done(tmp_path: Path) -> None:
    """All steps are done, and only the table was never written: the weights are still those of their learning rate."""
    folder = tmp_path / "run"
    shutil.copytree(whole(), folder)
    (folder / "metrics.json").unlink()
    before = content(folder)
    changed: dict[str, Any] = {"learning_rate": 0.1}
    with pytest.raises(ConfigError, match=r"--learning-rate: .* 0.003, got 0.1"):
        fit_small(folder, resume=True, **changed)
    assert content(folder) == before
    fit_small(folder, resume=True)
    assert content(folder).keys() == content(whole()).keys()


def test_a_run_with_an_option_that_its_corpus_never_used_can_be_resumed(tmp_path: Path) -> None:
    """Older versions took such options and kept them in config.json."""
    with pytest.raises(KeyboardInterrupt):
        fit_small(tmp_path, Break(steps=4))
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    config["config"]["data"]["text_column"] = "review"
    path.write_text(json.dumps(config))
    fit_small(tmp_path, resume=True, text_column="review")
    assert (tmp_path / "metrics.json").exists()
    with pytest.raises(ConfigError, match=r"^--text-column: means nothing"):
        fit_small(tmp_path / "new", text_column="review")

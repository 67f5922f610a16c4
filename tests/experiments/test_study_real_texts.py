"""The study of real texts: its file, cells that are fitted once, the table, the goals, and the page."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.cli.common import run_command
from pyro_rationale.cli.studies.real_texts import study
from pyro_rationale.errors import ConfigError
from pyro_rationale.experiments.studies.real_texts import (
    RealTexts,
    goals_missed,
    make_real_plan,
    read_real_plan,
)
from pyro_rationale.experiments.yardsticks import FULL_TEXT, TFIDF
from tests.support.small_fit import ROOT, SMALL, refusal, without_manifest

TINY = {name: SMALL[name] for name in ("hidden", "embedding", "batch_size", "steps", "anneal", "threads", "device")}
WORDS = {"good": 4, "awful": 0, "fine": 3, "poor": 1}


def write_study(folder: Path, **corpus: Any) -> Path:
    """A file of two settings on one table, and that table."""
    words = [list(WORDS)[i * 7 % 4] for i in range(120)]
    rows = [f"the room {number} was {word} and the lift was *there*,{WORDS[word]}" for number, word in enumerate(words)]
    (folder / "t.csv").write_text("\n".join(["text,y", *rows]) + "\n")
    sections = {
        "[base]": {**TINY, "min_count": 1, "encoder_rate_factor": "1"},
        "[[corpora]]": {"name": "rooms", "data": str(folder / "t.csv"), "text_column": "text", "target_column": ["y"]}
        | corpus,
        "[[settings]]": {"name": "default"},
        " [[settings]]": {"name": "relaxed guide", "guide": "relaxed", "nonempty": False},
    }
    lines = [f'out = "{folder / "out"}"', "seeds = [3]"]
    for head, values in sections.items():
        lines += [head.strip(), *(f"{name} = {json.dumps(value)}" for name, value in values.items())]
    (folder / "study.toml").write_text("\n".join(lines) + "\n")
    return folder / "study.toml"


def run(*words: object) -> None:
    with pytest.raises(SystemExit) as end:
        run_command(study, [str(word) for word in words])
    assert end.value.code == 0


@pytest.mark.filterwarnings("ignore:no epoch came down to the share of words")
def test_cells_are_fitted_once_and_stand_in_table_and_page(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path, page = write_study(tmp_path, texts=60), tmp_path / "page.md"
    run(path, "--page", page, "--setting", "default")
    cell = tmp_path / "out/rooms/default/seed-3"
    facts = json.loads((cell / "cell.json").read_text())
    assert 55 <= sum(facts["sizes"].values()) <= 62
    assert facts["baselines"].keys() == {"constant", TFIDF, FULL_TEXT}
    assert facts["baselines"][TFIDF] < facts["baselines"]["constant"]  # one word decides
    assert (cell / "fit/metrics.json").exists()
    made = (cell / "fit/model.safetensors").stat().st_mtime_ns
    run(path, "--page", page)
    assert (cell / "fit/model.safetensors").stat().st_mtime_ns == made
    table = (tmp_path / "out/table.md").read_text()
    assert [line.split(" | ")[1] for line in table.splitlines() if line.startswith("| rooms")] == [
        "a constant", "tf-idf, linear", "its encoder on full texts", "default", "relaxed guide"
    ]
    other = json.loads((tmp_path / "out/rooms/relaxed-guide/seed-3/cell.json").read_text())
    assert other["baselines"].keys() == {"constant"}  # those of the first setting stand for all
    text = page.read_text()
    assert table.split("\n\n")[0] in text
    assert r"\*there\*" in text
    assert "--text-column text --target-column y`, seed 3" in text
    assert " --rate 0." in text
    assert len(re.findall(r"^\d+\. ", text, re.MULTILINE)) == facts["sizes"]["test"]
    digest = re.search(r"digest (\w+)\)", text)
    assert digest is not None
    capfd.readouterr()

    # A person's judgement is that of the rationales that the person read.
    read = {"rationales": digest[1], "accepted": 2}
    for judged, told in ((read, "would accept 2 of"), (read | {"rationales": "other"}, "Nobody has read")):
        as_toml = "{" + ", ".join(f"{name} = {json.dumps(value)}" for name, value in judged.items()) + "}"
        write_study(tmp_path, texts=60)
        path.write_text(path.read_text().replace("texts = 60", f"texts = 60\nread = {as_toml}"))
        run(path, "--tables", "--page", page)
        assert told in page.read_text()

    # Cells of two versions of the code make no page, and cells on other texts are no cells of this study.
    (without_manifest(cell) / "cell.json").write_text(json.dumps(facts | {"code": "older"}))
    run(path, "--tables")
    assert "1 of these 2 fits are of another version" in (tmp_path / "out/table.md").read_text()
    assert "several versions" in refusal_after(capfd, path, "--tables", "--page", page)
    assert "texts = 60, and 50 is" in refusal(capfd, study, write_study(tmp_path, texts=50), "--tables")


def refusal_after(capfd: pytest.CaptureFixture[str], *words: object) -> str:
    """The error of a command that has printed its table before."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as end:
        run_command(study, [str(word) for word in words])
    assert end.value.code == 2
    return capfd.readouterr().err


def test_the_files_of_the_repository_can_be_read_and_share_their_default() -> None:
    names = ("real-texts", "ablation", "presets", "estimators")
    plans = [read_real_plan(ROOT / f"benchmarks/studies/{name}.toml") for name in names]
    cells = []
    for plan in plans:
        runner = RealTexts(plan)
        configs = {runner.folder(cell): runner.config(cell) for cell in plan.cells()}
        assert len(configs) == len(plan.corpora) * len(plan.settings) * len(plan.seeds)
        cells.append(configs)
    assert not cells[0].keys() & cells[1].keys()  # the ablation reads fewer texts, without MiniLM
    assert len(cells[0].keys() & cells[2].keys()) == 3
    for some, others in itertools.combinations(cells, 2):
        assert all(some[folder] == others[folder] for folder in some.keys() & others.keys())
    for configs in cells:
        assert len({str(config.to_dict()) for config in configs.values()}) == len(configs)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"corpora": []}, "corpora: expected at least one"),
        ({"corpora": [{"name": "a"}]}, "corpora.a: no data"),
        ({"corpora": [{"data": "mixed"}]}, "corpora.0.name: expected a name"),
        ({"corpora": [{"name": "a", "data": "mixed", "stepz": 3}]}, "corpora.a.stepz: no such key; did you mean steps"),
        ({"corpora": [{"name": "a", "data": "mixed", "texts": 3}]}, "corpora.a.texts: expected a whole number from 10"),
        ({"corpora": [{"name": "a", "data": "mixed", "read": {"accepted": 3}}]}, "corpora.a.read: expected"),
        ({"corpora": [{"name": "a", "data": "mixed", "seed": 3}]}, "it is what seeds lists"),
        ({"corpora": [{"name": "a", "data": "mixed"}] * 2}, "a stands there twice"),
        ({"corpora": [{"name": "a", "data": "mixed"}], "settings": [{"name": "s", "data": "imdb"}]}, "settings.s.data"),
        ({"settings": "all"}, "settings: expected tables"),
        ({"seedz": 3}, "seedz: no such key"),
    ],
)
def test_what_means_nothing_is_refused(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as problem:
        make_real_plan({"corpora": [{"name": "a", "data": "mixed"}], **values})
    assert told in str(problem.value)


def test_goals() -> None:
    test = {"mse": 1.0, "selected": 0.15, "empty": 0.0, "span": 4.0}
    facts = {"cost": "mse", "test": test, "rate": 0.15, "median_words": 100.0, "failures": []}
    assert goals_missed(facts, {FULL_TEXT: 0.96, TFIDF: 0.99}) == []
    both = ["full text", "tf-idf"]
    alone = [f"{goal}, shown words alone" for goal in both]
    assert goals_missed(facts, {FULL_TEXT: 0.95, TFIDF: 0.98}) == both + alone
    averaged = facts | {"averaged": {"mse": 0.5}}
    assert goals_missed(averaged, {FULL_TEXT: 0.95, TFIDF: 0.98}) == alone
    poor = {"mse": 1.0, "selected": 0.19, "empty": 0.02, "span": 2.0}
    assert goals_missed(facts | {"test": poor, "failures": ["worse than a constant"]}, {}) == [
        "empty", "rate", "run", "FAILED"
    ]
    assert goals_missed(facts | {"test": poor | {"selected": 0.12, "empty": 0.01}, "median_words": 60.0}, {}) == []
    labels = facts | {"cost": "accuracy", "test": test | {"accuracy": 0.88}}
    assert goals_missed(labels, {FULL_TEXT: 0.895, TFIDF: 0.91}) == ["tf-idf", "tf-idf, shown words alone"]

"""Names of columns, classes, runs and files as strangers write them, through every command: shown, never obeyed."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.__main__ import load
from pyro_rationale.cli.common import run_command
from tests.support.small_fit import fit_small, flags

OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
COLUMN = "price [/night] \x1b[31m $\\foo$ \u202eevil"
CLASSES = ["good [/b]\x9b2J", "bad | $x_{$", "\x1b]0;title\x07"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs on ratings and one on classes, in a folder of such names."""
    place = tmp_path_factory.mktemp("names") / "data [/x] $\\foo$"
    place.mkdir(parents=True)
    for name, values in (("rated [r]", [str(i % 7) for i in range(40)]), ("classed", CLASSES * 14)):
        with (place / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            rows = [(f"this is number {i} and it is {'very' * (i % 2)} cold", value) for i, value in enumerate(values)]
            csv.writer(file).writerows([("text", COLUMN), *rows])
    target: dict[str, Any] = {"target_column": (COLUMN,), "steps": 2, "anneal": 1, "min_count": 1}
    for run, name, seed in (("[/a] $\\foo$", "rated [r]", 0), ("[b]", "rated [r]", 1), ("_c", "classed", 0)):
        fit_small(place / run, data=str(place / f"{name}.csv"), seed=seed, **target)
    return place


@pytest.mark.parametrize(
    "words",
    [
        "evaluate --run A --bootstrap 5 --judge B",
        "evaluate --run C",
        "evaluate --run C --json -",
        "test A B --draws 9",
        "curve --run A --per-rate B --rates 0.3,0.5 --figure OUT/[/a].png",
        "compare A B --out OUT/[/compared] --iwae 2 --draws 2",
        "explain --run A TEXT",
        "explain --run C TEXT",
        "explain --run C --json TEXT",
        "posterior --run C --out OUT/[/classes] --samples 16 --documents 3",
        "fit --data RATED --target-column COLUMN --out OUT/[/fit] SMALL",
        "fit --data RATED --target-column COLUMN --out A SMALL",
        "fit --data RATED --target-column TEXT --out OUT/[/wrong]",
        "fit --data TEXT --out OUT/[/nothing]",
        "prepare --data RATED --target-column COLUMN --cache OUT/[/cache]",
    ],
)
def test_names_are_shown_and_not_obeyed(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], words: str
) -> None:
    meant = {
        "A": folder / "[/a] $\\foo$",
        "B": folder / "[b]",
        "C": folder / "_c",
        "RATED": folder / "rated [r].csv",
        "COLUMN": COLUMN,
        "TEXT": "cold [/soup] \x1b[31m and \u202e $\\foo$",
    }
    small = ("SMALL", " ".join(flags(steps=2, anneal=1, min_count=1, preset="balanced")))
    name, *typed = words.replace("OUT", str(tmp_path)).replace(*small).split()
    (tmp_path / "[").mkdir()
    capfd.readouterr()
    with pytest.raises(SystemExit) as end:
        run_command(load(name), [str(meant.get(word, word)) for word in typed])
    out, err = capfd.readouterr()
    refused = "--out A" in words or "TEXT --out" in words
    assert (end.value.code or 0) in ((2,) if refused else (0, 3)), err  # a fit of two steps may come to nothing
    assert not OBEYED.search(out), out
    assert not OBEYED.search(err), err
    if "--json" in words:
        result = json.loads(out)
        assert COLUMN in result["prediction"] if name == "explain" else result["run"] == str(meant["C"])
    for page in tmp_path.rglob("*.html"):
        assert not OBEYED.search(page.read_text(encoding="utf-8"))

"""Bad input through the real command lines: one line that names the cause, status 2, nothing written or lost."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.cli.common import run_command
from pyro_rationale.cli.fit import fit
from pyro_rationale.data import Corpus, DataOptions, load_corpus
from tests.support.small_fit import ROOT, content, flags, refusal, table, whole

Run = Callable[..., str]
TEN = [f"text {'abcdefghij'[i]},{i % 5}" for i in range(10)]


@pytest.fixture
def refused(capfd: pytest.CaptureFixture[str]) -> Run:
    return partial(refusal, capfd)


# fit: options.

OPTIONS = [
    ("--guide gumbel", "'--guide': 'gumbel' is not one of 'independent', 'relaxed', 'recurrent', 'chain'"),
    ("--estimator vimco", "'--estimator': 'vimco' is not one of"),
    ("--encoder bert", "'--encoder': 'bert' is not one of"),
    ("--pooling max", "'--pooling': 'max' is not one of"),
    ("--rate -0.1", "--rate: expected a share between 0 and 1, got -0.1"),
    ("--rate 0", "--rate: expected a share between 0 and 1"),
    ("--rate 1", "--rate: expected a share between 0 and 1"),
    ("--rate 13", "--rate: expected a share between 0 and 1, got 13.0"),
    ("--rate nan", "--rate: expected a share between 0 and 1, got nan"),
    ("--rate many", "'--rate': 'many' is not a valid float"),
    ("--span 0.5", "--span: expected a mean run"),
    ("--span -3", "--span: expected a mean run"),
    ("--span 1", "--span: expected a mean run"),
    ("--span inf", "--span: expected a mean run"),
    ("--span nan", "--span: expected a mean run"),
    ("--rate 0.9 --span 2", "--span"),  # runs of nine words are the least that leave one word in ten between them
    ("--lambda1 0.1", "--lambda1 and --lambda2 set the prior together"),
    ("--lambda2 0.1", "--lambda1 and --lambda2 set the prior together"),
    ("--lambda1 -1 --lambda2 0.1", "--lambda1: expected a number of at least 0, got -1.0"),
    ("--lambda1 nan --lambda2 0.1", "--lambda1: expected a number of at least 0, got nan"),
    ("--lambda1 1000000 --lambda2 0.1", "--lambda1: "),
    ("--guide chain --estimator relaxed",
     "--estimator relaxed does not go with --guide chain: LinearChain has no reparameterised sample; use --estimator"),
    ("--guide relaxed --estimator rloo",
     "--estimator rloo does not go with --guide relaxed: samples of RelaxedMask carry"),
    ("--guide relaxed --estimator tracegraph",
     "--estimator tracegraph does not go with --guide relaxed: samples of RelaxedMask"),
    ("--guide chain --estimator rloo --samples 1", "--samples: rloo needs at least 2"),
    ("--guide chain --estimator tracegraph --tau 0", "--tau: tracegraph takes a weight above 0"),
    ("--samples 0", "--samples: expected a number above 0, got 0"),
    ("--steps 0", "--steps: expected a number above 0, got 0"),
    ("--steps -5", "--steps: expected a number above 0, got -5"),
    ("--steps 1.5", "'--steps': '1.5' is not a valid integer"),
    ("--batch-size 0", "--batch-size: expected a number above 0"),
    ("--hidden 0", "--hidden: expected a number above 0"),
    ("--embedding -2", "--embedding: expected a number above 0"),
    ("--layers 0", "--layers: expected a number above 0"),
    ("--vocabulary 0", "--vocabulary: expected a number above 0"),
    ("--dropout 1", "--dropout: expected a share from 0 to below 1"),
    ("--tau -1", "--tau: expected a number of at least 0"),
    ("--temperature 0", "--temperature: expected a number above 0"),
    ("--nats 0", "--nats: expected a number above 0"),
    ("--kappa -1", "--kappa: expected a number above 0"),
    ("--learning-rate 0", "--learning-rate: expected a number above 0"),
    ("--learning-rate inf", "--learning-rate: expected"),
    ("--learning-rate 1e36", "--learning-rate: expected 1000 at most"),
    ("--patience 0", "--patience: expected a number above 0"),
    ("--warmup -1", "--warmup: expected a number of at least 0"),
    ("--clip 0", "--clip: expected a number above 0"),
    ("--seed -1", "--seed: expected a whole number from 0 to 2^63 - 1, got -1"),
    ("--seed 9223372036854775808", "--seed: expected a whole number from 0 to 2^63 - 1"),
    ("--threads 0", "--threads: expected a number above 0"),
    ("--threads 1000000", "--threads: expected 1024 at most"),
    ("--device abacus", "--device abacus: not usable here"),
    ("--device meta", "--device meta: not usable here"),
    ("--device cuda:99", "--device cuda:99: not usable here"),
    ("--freeze-vectors", "--freeze-vectors needs --vectors"),
    ("--documents 0", "--documents: expected at least"),
    ("--noise -1", "--noise: expected"),
    ("--correlation 2", "--correlation: expected"),
    ("--aspect colour", "--aspect colour: expected one of"),
    ("--max-words 0", "--max-words: expected at least 1, got 0"),
    ("--data syntetic", "did you mean synthetic?"),
    ("--resume --force", "--resume goes on with the run and --force throws it away"),
    ("--rat 0.1", "No such option"),
    ("relaxed", "unexpected extra argument"),
]


@pytest.mark.parametrize(("words", "message"), OPTIONS, ids=[words for words, _ in OPTIONS])
def test_options_that_make_no_sense(tmp_path: Path, refused: Run, words: str, message: str) -> None:
    out = tmp_path / "run"
    assert message in refused(fit, *flags(), *words.split(), "--out", out)
    assert not out.exists()


def test_resume_needs_a_folder(refused: Run) -> None:
    assert "name it with --out" in refused(fit, "--resume")


def test_a_program_of_its_own_ends_the_same_way(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pyro_rationale.fit", "--rate", "-0.1", "--out", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "error: --rate: expected a share between 0 and 1, got -0.1\n"


# fit: files.

FILES: list[tuple[list[str], str, str]] = [
    (TEN, "--target-column nonsense", "has no column 'nonsense', only text, y"),
    (TEN, "--target-column y --text-column body", "has no column 'body'"),
    ([*TEN, "more,nan"], "--target-column y", "a.csv, line 12: 'y' is 'nan', not a finite number"),
    ([*TEN, "more,high"], "--target-column y", "a.csv, line 12: 'y' is 'high', not a number"),
    ([*TEN, "more,9"], "--target-column y --target-range 0 5", "a.csv, line 12: 'y' is 9, outside the range 0 to 5"),
    ([*TEN, "more"], "--target-column y", "a.csv, line 12: has 1 field where the header has 2"),
    ([*TEN, " ,3"], "--target-column y", "a.csv, line 12: the text in 'text' is empty"),
    ([f"text {i},good" for i in range(10)], "--target-column y", "holds one class only"),
    ([f"text {i},3" for i in range(10)], "--target-column y", "every rating in column 'y' is 3"),
    (TEN[:2], "--target-column y", "too few"),
    ([], "--target-column y", "has a header and no rows below it"),
    (TEN, "--target-column y --target-range 5 0", "--target-range: expected a lowest rating below the highest"),
    (TEN, "--target-column y --dev-data no.csv", "no.csv: no such file"),
]


@pytest.mark.parametrize(("rows", "words", "message"), FILES, ids=[row[2] for row in FILES])
def test_tables_that_cannot_be_used(
    tmp_path: Path, refused: Run, rows: list[str], words: str, message: str
) -> None:
    path, out = table(tmp_path / "a.csv", "text,y", rows), tmp_path / "run"
    assert message in refused(fit, *flags(), "--data", path, *words.split(), "--out", out)
    assert not out.exists()


VECTORS = [
    ("the 0.1 0.2 0.3\na 0.1 0.2\n", "v.txt, line 2: expected a word and 3 numbers, got 2"),
    ("the 0.1 0.2\na 0.1 x\n", "v.txt, line 2: expected a number, got 'x'"),
    ("the 0.1 0.2\na 0.1 nan\n", "v.txt, line 2: expected a number, got 'nan'"),
    ("", "v.txt: expected word vectors, the file has none"),
    (None, "v.txt: no such file; check the path"),
]


@pytest.mark.parametrize(("text", "message"), VECTORS, ids=[message for _, message in VECTORS])
def test_word_vectors_that_cannot_be_used(tmp_path: Path, refused: Run, text: str | None, message: str) -> None:
    path, out = tmp_path / "v.txt", tmp_path / "run"
    if text is not None:
        path.write_text(text)
    assert message in refused(fit, *flags(), "--vectors", path, "--out", out)
    assert not out.exists()


# fit: folders.


def test_nothing_is_overwritten(tmp_path: Path, refused: Run) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    assert "already holds files; go on with --resume, replace it with --force" in refused(fit, *flags(), "--out", out)
    assert "holds no run to resume" in refused(fit, *flags(), "--out", out, "--resume")
    assert content(out) == {"thesis.txt": b"years of work"}


def test_a_folder_that_another_fit_takes_meanwhile(
    tmp_path: Path, refused: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading a corpus takes a while."""

    def load(options: DataOptions, **rest: Any) -> Corpus:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "config.json").write_text("theirs")
        return load_corpus(options)

    monkeypatch.setattr("pyro_rationale.training.prepare.load_corpus", load)
    assert "already holds files" in refused(fit, *flags(), "--out", tmp_path / "run", "--quiet")
    assert content(tmp_path / "run") == {"config.json": b"theirs"}


def test_force_does_not_throw_away_a_run_for_options_that_cannot_be_fitted(
    tmp_path: Path, refused: Run
) -> None:
    out = shutil.copytree(whole(), tmp_path / "run")
    before = content(out)
    for words in ("--rate 2", "--estimator rloo", "--data missing.csv", "--device abacus", "--vectors missing.txt"):
        refused(fit, *flags(), "--out", out, "--force", *words.split())
        assert content(out) == before, words


def test_a_folder_that_cannot_be_made(tmp_path: Path, refused: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    assert "file: is a file; name a folder" in refused(fit, *flags(), "--out", tmp_path / "file", "--quiet")
    assert f"{tmp_path / 'file' / 'run'}: " in refused(fit, *flags(), "--out", tmp_path / "file" / "run", "--quiet")
    assert (tmp_path / "file").read_text() == "no folder"

    def mkdir(self: Path, *args: Any, **kwargs: Any) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", mkdir)  # the superuser may write anywhere
    assert refused(fit, *flags(), "--out", tmp_path / "run") == f"{tmp_path / 'run'}: Permission denied"


def test_a_loss_that_explodes(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        run_command(fit, [*flags(), "--learning-rate", "1000", "--nats", "1e30", "--out", str(tmp_path / "run")])
    out, err = capfd.readouterr()
    assert end.value.code == 2
    assert re.match(r"error: epoch 1, batch [12] \(documents \d+, ", err)
    assert err.count("\n") == 1
    assert "Traceback" not in out
    assert {"config.json", "checkpoint.safetensors"} <= set(content(tmp_path / "run"))

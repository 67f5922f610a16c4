"""`explain` and `evaluate` from the outside, on run folders with small untrained networks."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.cli.evaluate import evaluate, read_lexicon
from pyro_rationale.cli.explain import explain
from pyro_rationale.cli.input_texts import count_lines, gather
from pyro_rationale.data import DataOptions
from pyro_rationale.data.selection import is_foreign, override
from pyro_rationale.errors import DataError
from pyro_rationale.fitted import FittedModel
from pyro_rationale.storage import write_bytes
from tests.support.commands import called, ended
from tests.support.small_fit import whole
from tests.support.untrained_run import untrained, untrained_classes

Run = Callable[..., tuple[int, str, str]]
TEXT = "The aroma is weak, but the taste was lovely."

TABLE = Path(__file__).parents[1] / "cases" / "onetwo.csv"


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained(tmp_path_factory.mktemp("run"), "relaxed", DataOptions(documents=40))


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained_classes(tmp_path_factory.mktemp("classes"))


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Run:
    def run(command: Any, *words: object) -> tuple[int, str, str]:
        return ended(capfd, command, *words)

    return run


class Pipe(io.TextIOWrapper):
    """Standard input that is not a terminal."""

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content))


def test_text_comes_back_with_brackets_in_a_file(call: Run, planted: Path) -> None:
    status, out, _ = call(explain, "--run", planted, "--decode", "threshold", "--threshold", "0", TEXT)
    assert status == 0
    assert f"[{TEXT}]" in out
    assert "text 1" in out
    assert "11 of 11 words kept (100 %)" in out


def test_the_share_of_the_rationale_that_is_shown(call: Run, planted: Path) -> None:
    """The prediction is an average, so a reader must see how much of it the marks are."""
    _, out, _ = call(explain, "--run", planted, "--decode", "mode", TEXT)
    assert re.search(r"words kept \([\d.]+ %\), the most probable rationale \([<\d.]+ %\)\n", out)


def test_lines_of_a_file_are_as_long_as_the_text(call: Run, planted: Path) -> None:
    text = TEXT * 5
    _, out, _ = call(explain, "--run", planted, "--decode", "threshold", "--threshold", "0", text)
    assert f"[{text}]" in out.splitlines()
    assert out.startswith(f"text 1 {'-' * 73}\n")


def test_lines_are_counted_before_they_are_read(tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("one\ntwo\n")
    assert count_lines(str(tmp_path / "texts.txt")) == 2
    assert count_lines("-") is count_lines(None) is count_lines(str(tmp_path)) is None


def test_json_lines_hold_what_is_promised(call: Run, planted: Path) -> None:
    status, out, _ = call(explain, "--run", planted, "--json", "--alternatives", "4", TEXT, "xyzzy")
    assert status == 0
    first, second = map(json.loads, out.splitlines())
    assert (first["text"], first["id"], first["unread"]) == (TEXT, "text 1", 0)
    assert first["tokens"][:3] == ["the", "aroma", "is"]
    assert [TEXT[a:b].lower() for a, b in first["offsets"]] == first["tokens"]
    words = len(first["tokens"])
    assert all(len(first[key]) == words for key in ("inclusion", "mode", "kept"))
    assert all(0 <= p <= 1 for p in first["inclusion"])
    assert set(first["mode"]) <= {0, 1}
    (prediction,) = first["prediction"].values()
    assert prediction["low"] <= prediction["mean"] <= prediction["high"]
    assert prediction["sd"] > 0
    masks = [tuple(a["mask"]) for a in first["alternatives"]]
    assert masks[0] == tuple(first["kept"])
    assert tuple(first["mode"]) in masks
    assert len(set(masks)) == len(masks) == 4
    assert second["tokens"] == ["xyzzy"]


@pytest.mark.parametrize(("text", "known", "words"), [("料理はまずいです", 0, 8), ("The aroma is xyzzy", 3, 4)])
def test_words_that_the_model_does_not_know_are_counted(
    call: Run, planted: Path, caplog: pytest.LogCaptureFixture, text: str, known: int, words: int
) -> None:
    _, out, _ = call(explain, "--run", planted, "--json", text)
    reading = json.loads(out)
    assert (reading["known"], reading["unknown"]) == (known, words - known)
    status, shown, _ = call(explain, "--run", planted, text)
    explained = str(FittedModel.load(planted).explain(text)[0])
    few, doubt = known == 0, f"not to be relied on: the model knows {known} of {words} words; was it fitted to texts of"
    warning = "the model knows too few words of 1 of 1 texts to predict much from them"
    assert status == 0
    assert (doubt in shown) == (doubt in explained) == few
    assert caplog.messages == [warning] * few, "in JSON, and not below the line that says it"


def test_a_blank_line_of_a_file_is_a_row(call: Run, planted: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("the first\n\nthird\n")
    status, out, err = call(explain, "--run", planted, "--json", "--file", tmp_path / "texts.txt")
    assert (status, err) == (0, "")
    assert [json.loads(line)["prediction"] is None for line in out.splitlines()] == [False, True, False]


def test_texts_come_from_a_file_or_a_pipe_in_order(
    call: Run, planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"\xef\xbb\xbfthe first\r\nthe second one\nthird\n\n"
    (tmp_path / "texts.txt").write_bytes(content)
    _, from_file, _ = call(explain, "--run", planted, "--json", "--file", tmp_path / "texts.txt")
    for words in ((), ("--file", "-")):
        monkeypatch.setattr("sys.stdin", Pipe(content))
        _, from_pipe, _ = call(explain, "--run", planted, "--json", *words)
        assert [json.loads(x)["text"] for x in from_pipe.splitlines()] == ["the first", "the second one", "third"]
    drop = {"id"}
    pairs = zip(from_file.splitlines(), from_pipe.splitlines(), strict=True)
    for a, b in ((json.loads(a), json.loads(b)) for a, b in pairs):
        assert {k: v for k, v in a.items() if k not in drop} == {k: v for k, v in b.items() if k not in drop}


def test_a_line_without_a_word_has_its_row(
    call: Run, planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = "\nfine beer\n \n\u200b\ndull\n\n\n".encode()
    monkeypatch.setattr("sys.stdin", Pipe(content))
    status, out, _ = call(explain, "--run", planted, "--json", "--batch-size", "1")
    rows = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert [row["id"].removeprefix("standard input, ") for row in rows] == [f"line {i}" for i in range(1, 6)]
    assert [row["prediction"] is None for row in rows] == [True, False, True, True, False]
    assert [row["tokens"] for row in rows] == [[], ["fine", "beer"], [], [], ["dull"]]
    assert len({tuple(row) for row in map(sorted, rows)}) == 1
    monkeypatch.setattr("sys.stdin", Pipe(content))
    status, out, _ = call(explain, "--run", planted)
    assert status == 0
    assert out.count("no word, so no prediction") == 3
    status, out, _ = call(explain, "--run", planted, "--json", "fine beer", " ", "dull")
    assert (status, [json.loads(line)["prediction"] is None for line in out.splitlines()]) == (0, [False, True, False])


def test_other_rationales_stand_in_the_order_of_their_probabilities(call: Run, planted: Path) -> None:
    _, out, _ = call(explain, "--run", planted, "--alternatives", "9", TEXT)
    shares = [float(share) for share in re.findall(r"^ *<?([\d.]+) %  ", out, re.MULTILINE)]
    assert len(shares) > 3
    assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "standard input: empty"),
        (b"fine\n\xff\xfe\x00\n", "standard input, line 2: expected UTF-8 text, found byte 0xff at position 1"),
        (b"a\0b", "standard input, line 1: holds a zero byte, so it is no text"),
    ],
)
def test_unusable_input_is_one_line(
    call: Run, planted: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str
) -> None:
    monkeypatch.setattr("sys.stdin", Pipe(content))
    status, out, err = call(explain, "--run", planted)
    assert (status, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--file", "no-such-file"), "no-such-file: no such file; check the path"),
        (("--file", str(TABLE)), f"{TABLE}: is a table; python -m pyro_rationale.predict reads tables"),
        (("--file", "x", "text"), "give texts either as arguments or by --file"),
        ((" ",), "text 1: no word in it"),
        (("--decode", "best", "text"), "Invalid value for '--decode'"),
        (("--threshold", "7", "text"), "--threshold: expected"),
        (("--max-words", "0", "text"), "--max-words: expected"),
    ],
)
def test_mistakes_are_one_line(call: Run, planted: Path, words: tuple[str, ...], message: str) -> None:
    status, out, err = call(explain, "--run", planted, *words)
    assert (status, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", [explain, evaluate])
def test_a_missing_run_is_one_line(call: Run, command: Any, tmp_path: Path) -> None:
    status, _, err = call(command, "--run", tmp_path / "none")
    assert status == 2
    assert err.count("\n") == 1
    assert "no such run folder" in err


def test_a_very_long_text_is_cut_and_says_so(call: Run, planted: Path) -> None:
    status, out, _ = call(explain, "--run", planted, "--max-words", "5", "word " * 5000)
    assert status == 0
    assert "of 5 words kept" in out
    [head] = [line for line in out.splitlines() if " words kept (" in line]
    assert re.search(r"; about 5,\d{3} more words not read \(--max-words\)$", head)  # by its characters
    assert "more characters not read)" in " ".join(out.split())
    assert len(out) < 2500


def test_classes_have_labels_and_probabilities(call: Run, classes: Path) -> None:
    _, out, _ = call(explain, "--run", classes, "--json", "this one is good")
    prediction = json.loads(out)["prediction"]["tone"]
    assert prediction["label"] == max(prediction["probabilities"], key=prediction["probabilities"].__getitem__)
    assert sum(prediction["probabilities"].values()) == pytest.approx(1.0, abs=1e-5)
    assert prediction["averaged"].keys() == {"x", "y", "z"}
    _, out, _ = call(explain, "--run", classes, "this one is good")
    assert f"tone: {prediction['label']}" in out


def test_evaluate_prints_the_table_of_the_runs_own_test_split(call: Run, planted: Path, tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    status, out, _ = call(evaluate, "--run", planted, "--json", path, "--verbose")
    assert status == 0
    assert "(test split), masks by agreeing" in " ".join(out.split())
    assert "precision as in Lei et al." in out
    result = json.loads(path.read_text())
    assert result["metrics"]["documents"] == 10
    assert result["metrics"]["noise_floor"] == pytest.approx(0.05**2)
    expected = {"mse", "selected", "span", "empty", "precision", "recall", "f1", "opinion_recall", "precision_lei"}
    expected |= {"elbo", "expected_cost", "kl", "entropy"}
    assert expected <= result["metrics"].keys()
    _, printed, _ = call(evaluate, "--run", planted, "--json", "-")
    assert json.loads(printed) == result


def test_evaluate_reads_all_of_another_file(call: Run, classes: Path, tmp_path: Path) -> None:
    table = tmp_path / "more.csv"
    table.write_text("text,tone\n" + "".join(f"a {word} one,{'xyz'[i]}\n" for i, word in enumerate("abc")))
    _, out, _ = call(evaluate, "--run", classes, "--data", table, "--json", "-")
    result = json.loads(out)
    assert (result["split"], result["metrics"]["documents"]) == ("all", 3)
    assert 0 <= result["metrics"]["accuracy"] <= 1
    assert "precision" not in result["metrics"]


@pytest.mark.parametrize(("text", "known"), [("料理はまずいです", 0), ("this one is xyzzy", 100)])
def test_evaluate_says_where_the_model_knows_few_words(
    call: Run, classes: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, known: int
) -> None:
    table = tmp_path / "more.csv"
    table.write_text(f"text,tone\n{text},x\n{text},y\n")
    assert call(evaluate, "--run", classes, "--data", table)[0] == 0
    assert ("the model knows only 0 % of the words" in caplog.text) == (not known)


def test_evaluate_mistakes_are_one_line(call: Run, planted: Path, tmp_path: Path) -> None:
    for words, message in {
        ("--data", "nowhere.csv"): "error: --data nowhere.csv",
        ("--json", tmp_path / "no" / "x.json"): "error: --json",
        ("--lexicon", "nowhere.txt"): "error: --lexicon nowhere.txt: cannot be read",
    }.items():
        status, out, err = call(evaluate, "--run", planted, *words)
        assert (status, out) == (2, "")
        assert err.startswith(message)
        assert err.count("\n") == 1


def test_flags_not_given_are_those_of_the_run_save_its_files() -> None:
    run = DataOptions(data="a.csv", dev_data="b.csv", target_column=("taste",), max_words=99)
    assert override(run, DataOptions(), set()) == run
    shorter = override(run, DataOptions(max_words=5), {"max_words", "folder"})
    assert (shorter.max_words, shorter.dev_data) == (5, "b.csv")
    titles = DataOptions(data="pairs:a", title_pairs=True)  # which it was trained on; elsewhere they are no questions
    assert not override(titles, DataOptions(data="pairs:b"), {"data"}).title_pairs
    other = override(run, DataOptions(data="c.csv"), {"data"})
    assert other == DataOptions(data="c.csv", target_column=("taste",), max_words=99)


def test_only_another_table_is_foreign(classes: Path, tmp_path: Path) -> None:
    table = classes.parent / "reviews.csv"
    run = DataOptions(data=str(table))
    detour = table.parent / ".." / table.parent.name / table.name
    assert not is_foreign(DataOptions(data=str(detour)), run)
    assert not is_foreign(DataOptions(data="imdb"), run)
    (tmp_path / "other.csv").touch()
    assert is_foreign(DataOptions(data=str(tmp_path / "other.csv")), run)


def test_help_of_evaluate_claims_no_default_that_is_the_runs(call: Run) -> None:
    called("evaluate", "--help")  # click keeps the names of this option from the first time on
    status, out, err = call(evaluate, "-h")
    assert status == 0, err
    assert "[default: agreeing]" in " ".join(out.split())
    assert "[default: synthetic]" not in " ".join(out.split())


def test_a_lexicon_file_is_read_up_to_the_first_tab(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("Good\t1.9\nbad\n\ntwo words\n:)\t2.0\n")
    words = read_lexicon(str(path))
    assert "good" in words
    assert "bad" in words
    assert "two" not in words


def test_pipes_are_no_files_of_texts_and_damaged_archives_are_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "texts.txt")
    (tmp_path / "texts.txt.gz").write_bytes(gzip.compress(b"good beer\n" * 9)[:-9])
    for name, message in (("texts.txt", "is a pipe or a device"), ("texts.txt.gz", "is cut short or damaged")):
        with pytest.raises(DataError, match=message):
            list(gather((), str(tmp_path / name), 9))
    with pytest.raises(DataError, match=r"--lexicon .*is a pipe or a device"):
        read_lexicon(str(tmp_path / "texts.txt"))


def test_masks_of_targets_that_hardly_differ_are_doubted(
    call: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole(aspect="all", guide="chain"), run)
    doubt = (
        "on test texts, 71 % of the words that are kept for one target are kept for another too: they speak of the "
        "text as a whole rather than of one target"
    )
    for content, told in (
        ('{"test": {"shared": 0.71}}', True),
        ('{"test": {"shared": 0.5}}', False),
        ('{"test": {}}', False),
        ("{", False),
        (None, False),
    ):
        if content is not None:
            write_bytes(run / "metrics.json", content.encode(), listed=True)
        else:
            (run / "metrics.json").unlink()
        for form in ([], ["--json"]):
            caplog.clear()
            status, out, _ = call(explain, "--run", run, *form, TEXT)
            assert status == 0
            assert doubt not in out
            assert (doubt in caplog.messages) == told

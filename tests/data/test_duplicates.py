"""Copies between splits: counted by hand, and held against all pairs compared one by one."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from pyro_rationale.cli.evaluate import evaluate
from pyro_rationale.cli.fit import fit
from pyro_rationale.data import Corpus, DataOptions, Document, TargetSpec, load_corpus
from pyro_rationale.data import minhash as sketches
from pyro_rationale.data.corpus import Copies, Leaks
from pyro_rationale.data.document import make_document
from pyro_rationale.data.duplicates import _first_copies, find_leaks, number_words, summary, without_leaks
from pyro_rationale.errors import DataError
from pyro_rationale.fitted import FittedModel
from pyro_rationale.run_files import CONFIG, METRICS
from pyro_rationale.training.run_folder import check_same_config
from tests.support.small_fit import fit_small, flags, small, without_manifest

LONG = (
    "the soup came cold and the waiter said so himself before anybody at our table had touched it "
    "which we thought rather brave"
).split()
STARS = TargetSpec("regression", ("stars",), ((0.0, 5.0),))
LABELS = TargetSpec("binary", ("liked",), classes=("no", "yes"))


def changed(*places: int, words: Sequence[str] = LONG) -> str:
    """The long text with other words in some places."""
    return " ".join(f"other{i}" if i in places else word for i, word in enumerate(words))


def corpus(train: Sequence[str], dev: Sequence[str], test: Sequence[str], spec: TargetSpec = STARS) -> Corpus:
    """Texts, each with the target 1 unless `text=0.5` says another."""

    def documents(name: str, texts: Sequence[str]) -> tuple[Document, ...]:
        parts = [text.partition("=") for text in texts]
        return tuple(make_document(f"{name} {i}", t, (float(y or 1),), 256) for i, (t, _, y) in enumerate(parts))

    return Corpus("made up", spec, documents("train", train), documents("dev", dev), documents("test", test))


def found(train: Sequence[str], dev: Sequence[str] = (), test: Sequence[str] = (), spec: TargetSpec = STARS) -> Leaks:
    return find_leaks(corpus(train, dev, test, spec))[0]


def test_clean_texts() -> None:
    made = corpus(["one text", "another text"], ["a third"], ["a fourth"])
    leaks, leaked = find_leaks(made)
    assert leaks == Leaks()
    assert leaked.tolist() == [False, False]
    assert summary(without_leaks(made)) == "copies: none, neither between the splits nor in training"
    assert summary(made) == ""


def test_each_kind_of_copy_is_counted_where_it_is() -> None:
    near = changed(8)
    made = corpus(
        train=["Good beer!", " ".join(LONG), "alone", "good beer", "in dev"],
        dev=["in dev", "both held", "only dev"],
        test=["good, beer", near, "both held", "only test"],
    )
    leaks, leaked = find_leaks(made)
    assert leaks == Leaks(
        test=Copies(1, 1), dev=Copies(1, 0), test_dev=Copies(1, 0), train=Copies(1, 0), leaked=4, conflicts=0
    )
    assert leaked.tolist() == [True, True, False, True, True]


def test_a_near_copy_of_a_copy_counts_for_all_of_them() -> None:
    leaks, leaked = find_leaks(corpus([" ".join(LONG), changed(8), changed(8)], [], [" ".join(LONG), changed(8)]))
    assert leaks.test == Copies(2, 0)
    assert leaks.train == Copies(1, 1)  # the second is a near copy of the first, the third an exact one of the second
    assert leaked.all()


def test_what_is_no_copy() -> None:
    assert found(["!!!", "?!"], [], ["!!!"]) == Leaks()  # no word in it
    assert found(["good beer"], [], ["beer good"]) == Leaks()  # the same words in another order
    assert found([" ".join(LONG)], [], [changed(3, 8, 13)]).test == Copies()
    assert found([" ".join(LONG[:7])], [], [" ".join(LONG[:6])]).test == Copies()  # too short for near copies
    assert found([], ["a"], ["a"]).test_dev == Copies(1, 0)
    assert find_leaks(corpus([], [], []))[0] == Leaks()


def test_only_words_that_are_read_count() -> None:
    made = [make_document("d", text, (1.0,), 4) for text in ("one two three four five", "one two three four six")]
    assert find_leaks(Corpus("c", STARS, (made[0],), (), (made[1],)))[0].test == Copies(1, 0)


@pytest.mark.parametrize(
    ("spec", "one", "other", "conflicts"),
    [
        (STARS, "1", "1.4", 0),
        (STARS, "1", "1.6", 1),
        (STARS, "1", "nan", 0),
        (LABELS, "0", "1", 1),
        (LABELS, "1", "1", 0),
    ],
)
def test_copies_with_another_target(spec: TargetSpec, one: str, other: str, conflicts: int) -> None:
    assert found([f"a={one}"], [], [f"A.={other}"], spec).conflicts == conflicts
    assert found([f"{' '.join(LONG)}={one}", f"{changed(8)}={other}"], spec=spec).conflicts == conflicts


def test_leaks_are_dropped_from_training_only() -> None:
    made = corpus(["a", "b", "b", "c"], ["b", "d"], ["a", "d"])
    whole, dropped = without_leaks(made), without_leaks(made, drop=True)
    assert whole.train == made.train
    assert [document.id for document in dropped.train] == ["train 3"]
    assert (dropped.dev, dropped.test) == (made.dev, made.test)
    assert whole.leaks is not None
    assert dropped.leaks == replace(whole.leaks, dropped=3)
    assert "--drop-leaks leaves 3 out of training" in summary(whole)
    assert summary(dropped) == (
        "copies: 1 of 2 test documents stand in training too (1 exactly, 0 nearly); "
        "1 of 2 dev documents stand in training too (1 exactly, 0 nearly); "
        "1 of 2 test documents stand in dev too (1 exactly, 0 nearly); "
        "1 of 4 training documents repeat another (1 exactly, 0 nearly); --drop-leaks left 3 out of training"
    )
    with pytest.raises(DataError, match="every training document of made up stands in dev or test"):
        without_leaks(corpus(["a"], [], ["a"]), drop=True)


def edited_texts(count: int, seed: int) -> list[list[str]]:
    """Random texts, half of them edits of an earlier one: a few words changed, left out or added."""
    chance = random.Random(seed)
    texts: list[list[str]] = []
    for _ in range(count):
        if texts and chance.random() < 0.5:
            words = list(chance.choice(texts))
            for _ in range(chance.randint(1, 4)):
                at = chance.randrange(len(words))
                words[at : at + chance.randint(0, 1)] = [f"w{chance.randrange(40)}"] * chance.randint(0, 1)
        else:
            words = [f"w{chance.randrange(40)}" for _ in range(chance.randint(6, 60))]
        texts.append(words)
    return texts


def likeness(one: Sequence[str], other: Sequence[str]) -> float:
    """Jaccard similarity of the sets of runs of three words, by Python's sets."""
    left, right = ({tuple(words[i : i + 3]) for i in range(len(words) - 2)} for words in (one, other))
    return len(left & right) / max(len(left | right), 1)


def near(texts: Sequence[Sequence[str]]) -> set[tuple[int, int]]:
    documents = [make_document("d", " ".join(words), (), 256) for words in texts]
    words, starts = number_words([documents])
    return {(int(i), int(j)) for i, j in sketches.near_pairs(words, starts, np.unique(_first_copies(words, starts)))}


def test_near_pairs_against_all_pairs() -> None:
    texts = [list(words) for words in dict.fromkeys(map(tuple, edited_texts(300, seed=3)))]
    long = [i for i, words in enumerate(texts) if len(words) >= sketches.FEWEST_WORDS]
    alike = {(i, j): likeness(texts[i], texts[j]) for i, j in combinations(long, 2)}
    told = near(texts)
    assert all(alike[pair] >= sketches.ALIKE for pair in told)
    expected = {pair for pair, value in alike.items() if value >= sketches.ALIKE}
    assert len(expected) > 50
    assert len(expected - told) <= 0.03 * len(expected)  # .012 at the very edge, less above
    assert {pair for pair, value in alike.items() if value >= 0.8} <= told


def test_sketches_estimate_the_likeness() -> None:
    """Each of 64 rows agrees with the probability that is the likeness."""
    texts = edited_texts(250, seed=5)
    texts = [words for words in texts if len(words) >= sketches.FEWEST_WORDS]
    words, starts = number_words([[make_document("d", " ".join(text), (), 256) for text in texts]])
    made = sketches._sketches(sketches._Runs(words, starts), np.arange(len(texts)))
    measured = [(likeness(texts[i], texts[j]), i, j) for i, j in combinations(range(len(texts)), 2)]
    some = [(truth, i, j) for truth, i, j in measured if 0.1 < truth < 0.9][:400]
    truth = np.array([value for value, _, _ in some])
    told = np.array([(made[:, i] == made[:, j]).mean() for _, i, j in some])
    scores = (told - truth) / np.sqrt(truth * (1 - truth) / len(made))
    assert np.abs(scores).max() < 5
    assert np.sqrt(np.mean(scores**2)) < 1.2  # no wider than 64 independent rows: no key repeats another
    assert abs(scores.mean()) < 0.3  # the texts hang together, so 400 pairs are not 400 independent ones


def test_crowds_of_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many edits of one text: the held-out one comes first, and every other is compared with it."""
    words = [f"word{i}" for i in range(200)]
    texts = [changed(place % 200, words=words) + f" tail{place}" for place in range(120)]
    made = corpus(texts, [], [" ".join(words)])
    assert find_leaks(made)[1].all()
    monkeypatch.setattr(sketches, "_MEASURED", 10)
    assert find_leaks(made)[1].mean() > 0.95  # the sketches' word


def test_planted_reviews_are_as_they_were() -> None:
    options = DataOptions(documents=48)
    made = load_corpus(options)
    assert made.leaks == Leaks()
    assert load_corpus(replace(options, drop_leaks=True)) == made


def table(path: Path) -> Path:
    rows = [f"{changed(i % 16)} number{i} {changed(i * 7 % 16, i * 3 % 16)},{i % 5}" for i in range(40)]
    path.write_text("\n".join(["text,y", *rows]), encoding="utf-8")
    return path


def test_a_fit_says_it_and_keeps_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data, out = table(tmp_path / "train.csv"), tmp_path / "run"
    held = tmp_path / "test.csv"
    held.write_text("\n".join(data.read_text().splitlines()[:4]), encoding="utf-8")
    options = {"data": data, "test_data": held, "target_column": "y", "out": out}
    result = CliRunner().invoke(fit, flags(**options), catch_exceptions=False)
    assert "copies: 3 of 3 test documents stand in training too (3 exactly, 0 nearly)" in result.output
    kept = json.loads((out / METRICS).read_text())["leaks"]
    assert kept["test"] == {"exact": 3, "near": 0}
    assert kept["leaked"] >= 3
    assert kept["dropped"] == 0
    dropped = CliRunner().invoke(fit, [*flags(**options | {"out": tmp_path / "two"}), "--drop-leaks"])
    assert f"--drop-leaks left {kept['leaked']} out of training" in dropped.output
    assert "training texts" not in caplog.text
    told = CliRunner().invoke(evaluate, ["--run", str(out), "--json", str(tmp_path / "e.json")])
    assert "training texts" not in caplog.text
    assert "copies: 3 of 3 test documents" in told.output
    assert json.loads((tmp_path / "e.json").read_text())["leaks"] == kept
    foreign = CliRunner().invoke(evaluate, ["--run", str(out), "--data", str(held), "--json", "-"])
    assert "leaks" not in json.loads(foreign.output)
    assert f"{held.name}: 3 of 3 texts were training texts of the run" in caplog.text
    caplog.clear()
    held.write_text("text,y\nnobody has said that before,3\n", encoding="utf-8")
    CliRunner().invoke(evaluate, ["--run", str(out), "--data", str(held), "--json", "-"], catch_exceptions=False)
    assert "training texts" not in caplog.text


def test_runs_from_before_the_flag_load_and_resume(tmp_path: Path) -> None:
    fit_small(tmp_path / "run")
    path = tmp_path / "run" / CONFIG
    facts = json.loads(path.read_text())
    del facts["config"]["data"]["drop_leaks"]
    path.write_text(json.dumps(facts), encoding="utf-8")
    without_manifest(tmp_path / "run")
    assert not FittedModel.load(tmp_path / "run", "cpu").config.data.drop_leaks
    check_same_config(small(), tmp_path / "run")

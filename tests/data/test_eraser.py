"""ERASER folders in miniature: documents, queries, evidences, and what is said of broken ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.cli.common import run_command
from pyro_rationale.cli.fit import fit
from pyro_rationale.data import Corpus, DataOptions, Document, load_corpus
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.data.sentences import sentence_starts
from pyro_rationale.errors import ConfigError, DataError

DOCS = {"a": "A fine film .\nI laughed twice", "b": "Dull and long .", "c": "So so .\n\nBut warm"}


def evidence(docid: str, start: int, end: int, **more: Any) -> dict[str, Any]:
    return {"docid": docid, "start_token": start, "end_token": end, "text": "", **more}


def instance(name: str, label: str, *groups: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"annotation_id": name, "classification": label, "query": "good ?", "evidences": list(groups), **more}


TRAIN = [
    instance("a", "POS", [evidence("a", 1, 3)], [evidence("a", 5, 6), evidence("a", 2, 3)]),
    instance("b", "NEG", [evidence("b", 0, 1)]),
]


def jsonl(path: Path, rows: list[Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture(params=["docs.jsonl", "docs"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "docs":
        (tmp_path / "docs").mkdir()
        for name, text in DOCS.items():
            (tmp_path / "docs" / name).write_text(text, encoding="utf-8")
    else:
        jsonl(tmp_path / "docs.jsonl", [{"docid": name, "document": text} for name, text in DOCS.items()])
    jsonl(tmp_path / "train.jsonl", TRAIN)
    jsonl(tmp_path / "val.jsonl", [instance("c", "POS", [evidence("c", 0, 2)])])
    jsonl(tmp_path / "test.jsonl", [instance("t", "NEG", docids=["b", "a"])])
    return tmp_path


def load(folder: Path, prefix: str = "eraser:", **options: Any) -> Corpus:
    return load_corpus(DataOptions(data=f"{prefix}{folder}", **options))


def gold(document: Document) -> list[str]:
    assert document.gold is not None
    return [word for word, marked in zip(document.tokens, document.gold, strict=True) if marked]


@pytest.mark.parametrize("prefix", ["eraser:", ""])
def test_a_folder(folder: Path, prefix: str) -> None:
    corpus = load(folder, prefix)
    assert corpus.spec == TargetSpec("binary", ("classification",), classes=("NEG", "POS"))
    assert [[d.id for d in part] for part in (corpus.train, corpus.dev, corpus.test)] == [["a", "b"], ["c"], ["t"]]
    first = corpus.train[0]
    assert first.text == "A fine film . I laughed twice"  # all ask the same, so nobody is asked
    assert sentence_starts(first).tolist() == [0, 4]
    assert (first.targets, gold(first)) == ((1.0,), ["fine", "film", "laughed"])  # the union of all groups
    assert first.maps is None
    assert corpus.test[0].tokens == tuple("dull and long . a fine film . i laughed twice".split())
    assert corpus.test[0].gold is None  # nothing is marked: nobody annotated it


def test_queries_that_differ_stand_in_front(folder: Path) -> None:
    jsonl(folder / "train.jsonl", [TRAIN[0], instance("b", "NEG", [evidence("b", 0, 1)], query="Is it short ?")])
    corpus = load(folder)
    assert corpus.train[1].text == "Is it short ? | Dull and long ."
    assert gold(corpus.train[1]) == ["dull"]
    assert corpus.dev[0].text == "good ? | So so . But warm"


def test_sentences_are_the_lines_of_a_document_and_the_query(folder: Path) -> None:
    jsonl(folder / "train.jsonl", [TRAIN[0], instance("c", "NEG", [evidence("c", 0, 1)], query="Is it short ?")])
    first, second = load(folder).train
    assert sentence_starts(first).tolist() == [0, 3, 7]  # "good ? |", "A fine film .", "I laughed twice"
    assert sentence_starts(second).tolist() == [0, 5, 8]  # "Is it short ? |", "So so .", "But warm"
    cut = load(folder, max_words=7).train[1]
    assert sentence_starts(cut).tolist() == [0, 5]


def test_evidences_of_several_documents(folder: Path) -> None:
    groups = [evidence("b", 2, 3), evidence("a", 4, 6)]
    jsonl(folder / "test.jsonl", [instance("x", "NEG", groups), instance("y", "NEG", groups, docids=["a", "b", "c"])])
    two, three = load(folder).test
    assert two.text == "Dull and long . A fine film . I laughed twice"
    assert three.text == "A fine film . I laughed twice Dull and long . So so . But warm"
    assert gold(two) == ["long", "i", "laughed"]
    assert gold(three) == ["i", "laughed", "long"]


def test_empty_lines_count_as_the_benchmark_counts_them(folder: Path) -> None:
    """In docs.jsonl an empty line holds one empty word; files of their own are read without empty lines."""
    at = 4 if (folder / "docs.jsonl").exists() else 3
    jsonl(folder / "test.jsonl", [instance("c", "POS", [evidence("c", at, at + 1)])])
    assert gold(load(folder).test[0]) == ["but"]


def test_evidences_by_sentence_where_words_are_not_given(folder: Path) -> None:
    by_sentence = evidence("a", -1, -1, start_sentence=1, end_sentence=2)
    jsonl(folder / "test.jsonl", [instance("a", "POS", [by_sentence])])
    assert gold(load(folder).test[0]) == ["i", "laughed", "twice"]


def test_words_are_cut_with_their_gold(folder: Path) -> None:
    document = load(folder, max_words=2).train[0]
    assert (document.tokens, document.gold) == (("a", "fine"), (False, True))


def test_other_names_and_files_and_what_is_split_off(folder: Path, tmp_path: Path) -> None:
    (folder / "val.jsonl").rename(folder / "dev.jsonl")
    assert [d.id for d in load(folder).dev] == ["c"]
    assert [d.id for d in load(folder, dev_data=str(folder / "test.jsonl")).dev] == ["t"]
    (folder / "dev.jsonl").unlink()
    with pytest.raises(DataError, match="2 different training texts are too few"):
        load(folder)
    asked = [instance("a", ("NEG", "POS")[i % 2], query=f"number {i} ?") for i in range(20)]
    jsonl(folder / "train.jsonl", asked)
    corpus = load(folder)
    assert (len(corpus.train), len(corpus.dev), [d.id for d in corpus.test]) == (18, 2, ["t"])


def test_a_fitted_run_reads_by_its_classes(folder: Path) -> None:
    spec = TargetSpec("binary", ("liked",), classes=("POS", "NEG"))
    corpus = load_corpus(DataOptions(data=f"eraser:{folder}"), spec)
    assert (corpus.spec, corpus.train[0].targets) == (spec, (0.0,))
    with pytest.raises(DataError, match=r"train.jsonl, line 1: its label is 'POS', which is none of the classes"):
        load_corpus(DataOptions(data=f"eraser:{folder}"), TargetSpec("binary", ("liked",), classes=("no", "yes")))
    two = TargetSpec("regression", ("a", "b"), ((0.0, 1.0), (0.0, 1.0)))
    with pytest.raises(DataError, match="holds one target, and the run predicts ratings"):
        load_corpus(DataOptions(data=f"eraser:{folder}"), two)


BAD = [
    ("{", "is not JSON"),
    ("[1]", "where an object"),
    ({"classification": "POS"}, "'annotation_id' is None, not a name"),
    ({"annotation_id": "a"}, "'classification' is empty"),
    (instance("a", "POS") | {"classification": ["POS"]}, "'classification' is ['POS'], neither"),
    (instance("a", "POS") | {"query": 3}, "'query' is 3, not a text"),
    (instance("a", "POS") | {"evidences": "all"}, "'evidences' is 'all', not a list"),
    (instance("a", "POS") | {"evidences": [{}]}, "'evidences' holds {}, expected a list"),
    (instance("a", "POS", [{"start_token": 1}]), "expected an object with a 'docid'"),
    (instance("a", "POS", [evidence("a", 3, 99)]), "an evidence is words [3, 99) of 'a', expected them within 0 and 7"),
    (instance("a", "POS", [evidence("a", 3, 1)]), "an evidence is words [3, 1)"),
    (instance("a", "POS", [evidence("a", -1, -1, start_sentence=0, end_sentence=9)]), "is sentences [0, 9) of 'a'"),
    (instance("a", "POS", docids="a"), "'docids' is 'a', not a list"),
    (instance("zzz", "POS"), "there is no document 'zzz'"),
    (instance("../train.jsonl", "POS"), "there is no document '../train.jsonl'"),
]


@pytest.mark.parametrize(("row", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_instances_are_one_line(folder: Path, row: Any, message: str) -> None:
    written = row if isinstance(row, str) else json.dumps(row)
    path = folder / "train.jsonl"
    path.write_text("\n".join([json.dumps(TRAIN[0]), written, json.dumps(TRAIN[1])]), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        load(folder)
    assert f"{path}, line 2: " in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [d.id for d in load(folder, skip_bad_rows=True).train] == ["a", "b"]


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--data eraser:FOLDER"):
        load_corpus(DataOptions(data="eraser"))
    with pytest.raises(DataError, match="no such file or folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"holds no train\.jsonl"):
        load(tmp_path)
    jsonl(tmp_path / "train.jsonl", TRAIN)
    with pytest.raises(DataError, match=r"neither docs\.jsonl nor a folder docs"):
        load(tmp_path)
    jsonl(tmp_path / "docs.jsonl", [{"docid": "a"}])
    with pytest.raises(DataError, match=r"docs\.jsonl, line 1: has no 'docid' and 'document'"):
        load(tmp_path)
    jsonl(tmp_path / "docs.jsonl", [{"docid": "a", "document": "x"}, {"docid": "a", "document": "y"}])
    with pytest.raises(DataError, match=r"docs\.jsonl, line 2: another text has the docid 'a'; keep one"):
        load(tmp_path)
    with pytest.raises(ConfigError, match="--annotations: means nothing"):
        load(tmp_path, annotations="x")
    with pytest.raises(ConfigError, match="name the folder"):
        load(tmp_path / "train.jsonl")


def test_a_folder_of_two_layouts_is_not_guessed(folder: Path) -> None:
    (folder / "reviews.260k.train.txt").write_text("0.5\ta", encoding="utf-8")
    with pytest.raises(DataError, match=r"could be beer or eraser; say which: --data beer:.* or --data eraser:"):
        load(folder, "")
    assert len(load(folder).train) == 2


def test_a_bad_folder_ends_the_command_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jsonl(folder / "train.jsonl", [instance("zzz", "POS")])
    with pytest.raises(SystemExit) as ended:
        run_command(fit, ["--data", f"eraser:{folder}", "--out", str(folder / "run")])
    assert ended.value.code == 2
    assert f"{folder / 'train.jsonl'}, line 1: there is no document 'zzz'" in capsys.readouterr().err.replace("\n", "")


def test_a_split_that_cannot_be_read_is_not_split_off(folder: Path) -> None:
    (folder / "val.jsonl").unlink(missing_ok=True)
    (folder / "val.jsonl").symlink_to(folder / "gone")
    with pytest.raises(DataError, match=r"val\.jsonl: leads nowhere"):
        load(folder)

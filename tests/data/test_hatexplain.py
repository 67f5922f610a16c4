"""HateXplain's two files in miniature: majorities, maps of several people, divisions, and broken posts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.data import Corpus, DataOptions, load_corpus
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.errors import ConfigError, DataError

WORDS = ["You", "are", "a", "nice", "lot"]


def post(labels: str, *maps: list[int], words: list[str] | None = None) -> dict[str, Any]:
    names = {"n": "normal", "o": "offensive", "h": "hatespeech"}
    annotators = [{"label": names[one], "annotator_id": i, "target": ["None"]} for i, one in enumerate(labels)]
    return {"post_id": "p", "annotators": annotators, "rationales": list(maps), "post_tokens": words or WORDS}


POSTS = {
    "1_gab": post("hho", [1, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 1, 1, 1, 0]),
    "2_twitter": post("nno"),
    "3_gab": post("ooh", [1, 0, 0, 0, 0], [0, 1, 0, 0, 0]),
    "4_gab": post("nnn"),
    "5_gab": post("ooo", [0, 0, 0, 0, 1]),
    "undecided": post("noh"),
}
DIVISIONS = {"train": ["1_gab", "2_twitter", "3_gab"], "val": ["4_gab"], "test": ["5_gab"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, POSTS)
    (tmp_path / "post_id_divisions.json").write_text(json.dumps(DIVISIONS), encoding="utf-8")
    return tmp_path


def write(folder: Path, posts: Any) -> None:
    (folder / "dataset.json").write_text(json.dumps(posts, indent=1), encoding="utf-8")


def load(folder: Path, prefix: str = "hatexplain:", **options: Any) -> Corpus:
    return load_corpus(DataOptions(data=f"{prefix}{folder}", **options))


@pytest.mark.parametrize("prefix", ["hatexplain:", ""])
def test_a_folder(folder: Path, prefix: str) -> None:
    corpus = load(folder, prefix)
    assert corpus.spec == TargetSpec("multiclass", ("label",), classes=("hatespeech", "normal", "offensive"))
    assert [d.id for d in corpus.train] == ["1_gab", "2_twitter", "3_gab"]
    assert [d.id for d in [*corpus.dev, *corpus.test]] == ["4_gab", "5_gab"]
    three, none, two = corpus.train
    assert [d.targets[0] for d in corpus.train] == [0.0, 1.0, 2.0]
    assert three.maps == ((True, True, False, False, False), (False, True, True, False, False),
                          (False, True, True, True, False))  # fmt: skip
    assert three.gold == (False, True, True, False, False)  # two of three
    assert two.gold == (True, True, False, False, False)  # either of two
    assert (none.gold, none.maps) == (None, None)
    assert (corpus.test[0].gold, corpus.test[0].maps) == ((False, False, False, False, True), None)


def test_maps_are_cut_with_their_words(folder: Path) -> None:
    document = load(folder, max_words=2).train[0]
    assert document.maps == ((True, True), (False, True), (False, True))
    assert document.gold == (False, True)


def test_without_divisions_and_by_file(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    many = {f"{i}_gab": post("nnn" if i % 2 else "ooo", words=["post", str(i)]) for i in range(20)}
    write(folder, many | {"undecided": POSTS["undecided"]})
    (folder / "post_id_divisions.json").unlink()
    corpus = load(folder / "dataset.json")
    assert [len(part) for part in (corpus.train, corpus.dev, corpus.test)] == [16, 2, 2]
    assert "left out 1 of 21 posts on whose label most annotators disagree" in caplog.text


def test_a_missing_division_is_split_off(folder: Path) -> None:
    ids = [f"{i}_gab" for i in range(20)]
    write(folder, {name: post("nnn" if i % 2 else "ooo", words=["post", name]) for i, name in enumerate(ids)})
    (folder / "post_id_divisions.json").write_text(json.dumps({"train": ids[:16], "valid": ids[16:]}), encoding="utf-8")
    corpus = load(folder)
    assert [d.id for d in corpus.dev] == ids[16:]
    assert len(corpus.train) + len(corpus.test) == 16


BAD = [
    (3, "is 3, not an object"),
    ({}, "has no list of words 'post_tokens'"),
    (post("nnn", words=["a", " "]), "has no list of words"),
    (post(""), "has no list 'annotators'"),
    (post("nnn") | {"annotators": [{}]}, "has an annotator without a 'label'"),
    (post("nnn") | {"rationales": 1}, "'rationales' is 1, not a list"),
    (post("ooo", [1, 0]), "a rationale is [1, 0], expected a 0 or 1 for each of 5 words"),
    (post("ooo", [1, 0, 0, 0, 2]), "a rationale is [1, 0, 0, 0, 2], expected a 0 or 1"),
]


@pytest.mark.parametrize(("value", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_posts_are_one_line(folder: Path, value: Any, message: str) -> None:
    write(folder, POSTS | {"2_twitter": value})
    with pytest.raises(DataError) as caught:
        load(folder)
    assert f"{folder / 'dataset.json'}, post '2_twitter': {message}" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="post '2_twitter'"):
        load(folder, skip_bad_rows=False)
    write(folder, POSTS | {"3_gab": POSTS["2_twitter"], "2_twitter": value})
    assert [d.id for d in load(folder, skip_bad_rows=True).train] == ["1_gab", "3_gab"]


def test_files_that_are_none(folder: Path) -> None:
    divisions = folder / "post_id_divisions.json"
    divisions.write_text(json.dumps(DIVISIONS | {"test": ["6_gab"]}), encoding="utf-8")
    with pytest.raises(DataError, match=r"divisions\.json: names post '6_gab', which dataset\.json lacks"):
        load(folder)
    divisions.write_text(json.dumps({"train": "all"}), encoding="utf-8")
    with pytest.raises(DataError, match="'train' is 'all'; expected a list"):
        load(folder)
    divisions.write_text(json.dumps({"test": []}), encoding="utf-8")
    with pytest.raises(DataError, match="names no post under 'train'"):
        load(folder)
    divisions.write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"divisions\.json, line 1: is not JSON"):
        load(folder)
    write(folder, [1])
    with pytest.raises(DataError, match=r"dataset\.json: holds \[1\], expected one object"):
        load(folder)
    with pytest.raises(ConfigError, match="--dev-data: means nothing for --data hatexplain"):
        load(folder, dev_data="x")


def test_divisions_that_cannot_be_read_are_not_made_up(folder: Path) -> None:
    (folder / "post_id_divisions.json").unlink()
    (folder / "post_id_divisions.json").mkdir()
    with pytest.raises(DataError, match=r"post_id_divisions\.json: is no file"):
        load(folder)


def test_json_that_libraries_choke_on(folder: Path) -> None:
    for content, message in (
        ('{"1_gab": 1, "1_gab": 2}', r"is not JSON \(the key '1_gab' stands there twice\)"),
        ("[" * 100_000, r"is not JSON \(nested too deeply\)"),
        ("{\n\n]", r", line 3: is not JSON"),
    ):
        (folder / "dataset.json").write_text(content, encoding="utf-8")
        with pytest.raises(DataError, match=message):
            load(folder)


def test_halves_of_characters(folder: Path) -> None:
    write(folder, POSTS | {"1_gab": post("hho", words=["a", "\ud83d"])})
    with pytest.raises(DataError, match="post '1_gab': its text holds half a character"):
        load(folder)

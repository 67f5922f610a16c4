"""Files of similar texts in every layout, and one line for what is wrong with them."""

from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.data import DataOptions, load_corpus
from pyro_rationale.data.compact import CompactDocuments
from pyro_rationale.data.corpora import CORPORA
from pyro_rationale.data.corpora._pair_table import PAIR_TABLE
from pyro_rationale.data.document import make_document
from pyro_rationale.data.pairs import SPEC, SPLITS, PairCorpus
from pyro_rationale.data.question_files import read_questions
from pyro_rationale.data.title_pairs import halves_of, split_at, with_titles
from pyro_rationale.errors import ConfigError, DataError, RationaleError


def load(data: str | Path, **more: Any) -> PairCorpus:
    corpus = load_corpus(DataOptions(data=str(data), **more))
    assert isinstance(corpus, PairCorpus)
    return corpus


def read(name: str, data: str | Path, **more: Any) -> PairCorpus:
    """By the loader alone, which leaves it open whether every split has queries."""
    corpus = CORPORA[name].load(DataOptions(data=f"{name}:{data}", **more), None)
    assert isinstance(corpus, PairCorpus)
    return corpus


def written(folder: Path, **files: str | list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, lines in files.items():
        text = lines if isinstance(lines, str) else "".join(f"{line}\n" for line in lines)
        (folder / name.replace("__", "/").replace("_D_", ".")).write_text(text)
    return folder


def questions(count: int = 40) -> list[str]:
    return [json.dumps({"id": f"q{i}", "title": f"Title {i}", "body": f"body of {i} here"}) for i in range(count)]


def pairs_of(corpus: PairCorpus) -> set[tuple[str, str]]:
    ids = [document.id for document in corpus.documents]
    every = [query for split in SPLITS for query in corpus.queries[split]]
    return {(ids[query.document], ids[positive]) for query in every for positive in query.positives}


PAIRS = [f"q{i}\tq{i + 1}\tlinked" for i in range(0, 40, 2)]


# pairs:FOLDER


def test_a_folder_of_pairs(tmp_path: Path) -> None:
    written(tmp_path, corpus_D_jsonl=questions(), pairs_D_tsv=["query\tpositive", *PAIRS, PAIRS[0]])
    corpus = load(f"pairs:{tmp_path}")
    assert pairs_of(corpus) == {(f"q{i}", f"q{i + 1}") for i in range(0, 40, 2)}
    assert [len(corpus.queries[split]) for split in SPLITS] == [16, 2, 2]
    assert [len(corpus.members[split]) for split in SPLITS] == [32, 4, 4]
    first = corpus.documents[0]
    assert (first.text, first.tokens, first.title) == (
        "Title 0\nbody of 0 here",
        ("title", "0", "body", "of", "0", "here"),
        2,
    )
    assert corpus.searchable.tolist() == list(range(40))
    assert load(tmp_path).queries == corpus.queries  # known by its layout


def test_a_folder_says_candidates_and_split(tmp_path: Path) -> None:
    sides = [f"q{i}\t{'train' if i < 30 else 'validation' if i < 36 else 'test'}" for i in range(0, 40, 2)]
    lists = ["q0\tq1\tq5 q1 q7 q5\t3 2 1 1", "q38\tq39\tq38 q39 q2\t3 2 1"]
    written(
        tmp_path,
        corpus_D_jsonl=questions(),
        pairs_D_tsv=PAIRS,
        candidates_D_txt=lists,
        split_D_tsv=["id\tsplit", *sides],
    )
    corpus = load(f"pairs:{tmp_path}")
    assert [len(corpus.queries[split]) for split in SPLITS] == [15, 3, 2]
    assert corpus.queries["train"][0].candidates == (5, 1, 7)
    assert corpus.queries["test"][1].candidates == (39, 2)


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"pairs_D_tsv": [*PAIRS, "q0\tq99"]}, "pairs.tsv, line 21: corpus.jsonl holds no text 'q99'"),
    ({"pairs_D_tsv": [PAIRS[0], "q4\tq4"]}, "pairs.tsv, line 2: 'q4' is given as similar to itself"),
    ({"pairs_D_tsv": ["q4"]}, "pairs.tsv, line 1: has one field, expected a query and a similar text"),
    ({"pairs_D_tsv": "\n"}, "pairs.tsv: is empty"),
    ({"pairs_D_tsv": ["query\tpositive"]}, "pairs.tsv: no row can be used"),
    ({"corpus_D_jsonl": [*questions(), questions()[3]]}, "corpus.jsonl, line 41: the id 'q3' stands in line 4 already"),
    (
        {"corpus_D_jsonl": [*questions(), '{"id": "x", "title": "", "body": " "}']},
        "line 41: the text 'x' holds no word",
    ),
    ({"corpus_D_jsonl": [*questions(), '{"id": "x", "title": 3}']}, "line 41: 'title' is 3, not a text"),
    ({"corpus_D_jsonl": [*questions(), '{"title": "x"}']}, "line 41: 'id' is empty"),
    ({"corpus_D_jsonl": ['{"id": "q0", "words": "x"}']}, "name the column with the text by --text-column"),
    ({"candidates_D_txt": ["q0\tq1"]}, "candidates.txt, line 1: has 2 fields"),
    ({"candidates_D_txt": ["q0\tq1\tq1 q77"]}, "candidates.txt, line 1: corpus.jsonl holds no text 'q77'"),
    ({"candidates_D_txt": ["q0\tq0\tq1"]}, "candidates.txt, line 1: 'q0' is given as similar to itself"),
    ({"candidates_D_txt": ["q0\tq1\tq1", "q0\tq1\tq1"]}, "line 2: the query 'q0' stands there twice"),
    ({"candidates_D_txt": ["q0\tq1 q3\tq1 q3 q7"]}, "line 1: 'q3' is similar here, and not so among the pairs"),
    ({"candidates_D_txt": ["q0\tq5\tq5"]}, "candidates.txt, line 1: 'q5' is similar here"),
    ({"candidates_D_txt": ["q0\t\tq1 q7"]}, "line 1: 'q1' is not similar here, and so among the pairs"),
    ({"pairs_D_tsv": ["q0\tq1\t1", "q2\tq3\t0"]}, "pairs.tsv: every row is a pair of similar texts, and the third"),
    ({"split_D_tsv": ["q0\ttrain", "q0\tval"]}, "split.tsv, line 2: 'q0' is in dev here, and in train further up"),
    ({"split_D_tsv": ["q0\teval"]}, "split.tsv, line 1: the split is 'eval', expected train, dev or test"),
]


@pytest.mark.parametrize(("changes", "message"), FAULTS)
def test_a_fault_is_one_line_with_its_place(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    written(tmp_path, **({"corpus_D_jsonl": questions(), "pairs_D_tsv": PAIRS} | changes))
    with pytest.raises(RationaleError) as caught:
        load(f"pairs:{tmp_path}")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_faulty_rows_are_left_out_on_request(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    written(tmp_path, corpus_D_jsonl=questions(), pairs_D_tsv=[*PAIRS, "q0\tq99", "q3\tq3"])
    with caplog.at_level(logging.WARNING, "pyro_rationale"):
        assert len(pairs_of(load(f"pairs:{tmp_path}", skip_bad_rows=True))) == 20
    assert "left out 2 of 22 rows, first line 21: corpus.jsonl holds no text 'q99'" in caplog.text


def test_titles_without_a_body_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bare = [json.dumps({"id": f"t{i}", "title": f"only {i}", "body": None}) for i in range(3)]
    written(tmp_path, corpus_D_jsonl=[*questions(), *bare], pairs_D_tsv=PAIRS)
    with caplog.at_level(logging.WARNING, "pyro_rationale"):
        corpus = load(f"pairs:{tmp_path}")
    assert "3 of 43 texts have a title and no body, first line 41" in caplog.text
    assert (corpus.documents[40].text, corpus.documents[40].title) == ("only 0", 2)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no corpus\.jsonl"):
        load(f"pairs:{tmp_path}")
    written(tmp_path, corpus_D_jsonl=questions())
    with pytest.raises(DataError, match=r"holds no pairs.tsv"):
        load(f"pairs:{tmp_path}")
    with pytest.raises(ConfigError, match="name the folder"):
        load(f"pairs:{tmp_path / 'corpus.jsonl'}")


def test_too_few_components_for_three_parts(tmp_path: Path) -> None:
    written(tmp_path, corpus_D_jsonl=questions(), pairs_D_tsv=PAIRS[:1])
    with pytest.raises(DataError, match="no dev and no test query has a similar text"):
        load(f"pairs:{tmp_path}")


def test_another_task_is_refused(tmp_path: Path) -> None:
    written(tmp_path, corpus_D_jsonl=questions(), pairs_D_tsv=PAIRS)
    with pytest.raises(ConfigError, match=r"--task binary: --data pairs:.* holds pairs of similar texts; leave it out"):
        load(f"pairs:{tmp_path}", task="binary")
    with pytest.raises(ConfigError, match=r"--data imdb holds no pairs .*; --data halves:imdb makes some"):
        load_corpus(DataOptions(data="imdb"), SPEC)


# BEIR


def beir(folder: Path, **changes: Any) -> Path:
    (folder / "qrels").mkdir()
    corpus = [json.dumps({"_id": f"{i}", "title": f"T {i}", "text": f"text {i}"}) for i in range(30)]
    asked = [json.dumps({"_id": f"{i}", "text": f"asked {i}"}) for i in range(20)]
    header = "query-id\tcorpus-id\tscore"
    train = [header, *(f"{i}\t{i}\t1" for i in range(14)), "0\t5\t0", "1\t7\t2"]
    test = [header, *(f"{i}\t{i}\t1" for i in range(14, 20))]
    files = {"corpus_D_jsonl": corpus, "queries_D_jsonl": asked, "qrels__train_D_tsv": train, "qrels__test_D_tsv": test}
    return written(folder, **(files | changes))


def test_a_beir_folder(tmp_path: Path) -> None:
    corpus = load(beir(tmp_path))
    assert corpus.searchable.tolist() == list(range(30))
    assert [len(corpus.queries[split]) for split in SPLITS] == [12, 2, 6]  # dev is split off from training
    assert {query.document for query in corpus.queries["test"]} == set(range(44, 50))
    every = {query.document: query.positives for split in SPLITS for query in corpus.queries[split]}
    assert every[30] == (0,)
    assert every[31] == (1, 7)
    assert corpus.documents[44].text == "asked 14"


def test_the_columns_of_trec_are_read_too(tmp_path: Path) -> None:
    corpus = load(beir(tmp_path, qrels__test_D_tsv=[f"{i}\t0\t{i}\t1" for i in range(14, 20)]))
    assert {query.positives for query in corpus.queries["test"]} == {(i,) for i in range(14, 20)}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["1\t99\t1"], "test.tsv, line 1: corpus.jsonl holds no text '99'"),
        (["99\t1\t1"], "test.tsv, line 1: queries.jsonl holds no text '99'"),
        (["1\t2\thigh"], "test.tsv, line 1: the score is 'high', not a number"),
        (["1\t2\tnan"], "test.tsv, line 1: the score is 'nan', not a number"),
        (["1\t2\t1", "1\t2\t0"], "line 2: has the score 0, and further up the same query and text have 1"),
        (["1\t2\t0"], "test.tsv: no row can be used"),
    ],
)
def test_judgements_that_cannot_be_used(lines: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        load(beir(tmp_path, qrels__test_D_tsv=lines))


def test_a_beir_folder_to_evaluate_on_needs_no_training_queries(tmp_path: Path) -> None:
    beir(tmp_path)
    (tmp_path / "qrels" / "train.tsv").unlink()
    corpus = read("beir", tmp_path)
    assert [len(corpus.queries[split]) for split in SPLITS] == [0, 0, 6]
    with pytest.raises(DataError, match="no train and no dev query"):
        load(tmp_path)


# AskUbuntu and Android


def test_askubuntu(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = "".join(f"{i}\ttitle of {i}\t{'the body' if i else ''}\n" for i in range(30))
    (tmp_path / "text_tokenized.txt.gz").write_bytes(gzip.compress(lines.encode()))
    written(
        tmp_path,
        train_random_D_txt=["0\t1 2\t3 4 5", "6\t7\t8 9"],
        dev_D_txt=["10\t11\t12 11 13\t3.0 2.0 1.0", "14\t\t15 16\t1 1"],
        test_D_txt=["20\t21 22\t21 22 23\t3 2 1"],
    )
    with caplog.at_level(logging.WARNING, "pyro_rationale"):
        corpus = load(tmp_path)
    assert "1 dev queries have no similar text and are left out" in caplog.text
    assert corpus.left_out == {"train": 0, "dev": 1, "test": 0}
    assert isinstance(corpus.documents, CompactDocuments)
    [first, second] = corpus.queries["train"]
    assert (first.document, first.positives, first.negatives) == (0, (1, 2), (3, 4, 5))
    assert second.candidates == (7, 8, 9)
    assert corpus.queries["dev"][0].candidates == (12, 11, 13)
    assert corpus.queries["test"][0].candidates == (21, 22, 23)
    assert (corpus.documents[1].title, len(corpus.documents[1].tokens)) == (3, 5)
    assert (corpus.documents[0].title, corpus.documents[0].text) == (3, "title of 0")
    assert sorted(corpus.members["test"].tolist()) == [20, 21, 22]


def test_android(tmp_path: Path) -> None:
    lines = "".join(f"{i}\ttitle {i}\tbody {i}\n" for i in range(20))
    (tmp_path / "corpus.tsv.gz").write_bytes(gzip.compress(lines.encode()))
    written(tmp_path, dev_D_pos_D_txt=["1 2"], dev_D_neg_D_txt=["1 3", "1 4"], test_D_pos_D_txt=["5 6", "5 7"],
            test_D_neg_D_txt=["5 8"])  # fmt: skip
    corpus = read("askubuntu", tmp_path)
    assert [len(corpus.queries[split]) for split in SPLITS] == [0, 1, 1]
    assert corpus.queries["test"][0].positives == (6, 7)
    assert corpus.queries["test"][0].candidates == (6, 7, 8)
    titles = load(f"titles:askubuntu:{tmp_path}")
    assert [len(titles.queries[split]) for split in SPLITS] == [15, 1, 1]
    (tmp_path / "test.neg.txt").unlink()
    with pytest.raises(DataError, match=r"holds test.pos.txt and no test.neg.txt"):
        read("askubuntu", tmp_path)


def test_askubuntu_without_its_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds neither text_tokenized\.txt\.gz"):
        read("askubuntu", tmp_path)
    written(tmp_path, text_tokenized_D_txt=["1\ta\tb"])
    with pytest.raises(DataError, match=r"holds neither test.txt nor test.pos.txt"):
        read("askubuntu", tmp_path)
    with pytest.raises(DataError, match="line 1: has 1 fields, expected an id, a title and a body"):
        list(read_questions(written(tmp_path, corpus_D_tsv=["no tab at all"]) / "corpus.tsv", DataOptions()))


# Two texts a row


def table(path: Path, rows: list[tuple[str, str, str]]) -> Path:
    path.write_text("a,b,same\n" + "".join(f"{one},{other},{label}\n" for one, other, label in rows))
    return path


def pair_table(path: Path, **more: Any) -> PairCorpus:
    options = {"text_column": ("a", "b"), "target_column": ("same",)} | more
    corpus = PAIR_TABLE.load(DataOptions(data=str(path), **options), None)
    assert isinstance(corpus, PairCorpus)
    return corpus


def test_a_table_of_two_texts_and_a_label(tmp_path: Path) -> None:
    rows = [(f"ask {i}", f"question {i}", "1") for i in range(20)] + [
        ("ask 0", f"question {i}", "0") for i in range(1, 6)
    ]
    corpus = pair_table(table(tmp_path / "q.csv", rows))
    assert len(corpus.documents) == 40
    every = {corpus.documents[q.document].text: q for split in SPLITS for q in corpus.queries[split]}
    assert len(every) == 40  # in both directions
    assert [corpus.documents[i].text for i in every["ask 0"].candidates] == [f"question {i}" for i in range(6)]
    assert every["ask 1"].candidates == ()
    assert corpus.documents[0].id == "line 2 a"
    assert len(corpus.searchable) == 40


def test_a_table_without_a_label_is_of_pairs_in_one_direction(tmp_path: Path) -> None:
    rows = [(f"ask {i}", f"answer {i // 2}", "x") for i in range(20)]
    corpus = pair_table(table(tmp_path / "q.csv", rows), target_column=())
    assert sum(map(len, corpus.queries.values())) == 20
    assert {corpus.documents[i].text for i in corpus.searchable} == {f"answer {i}" for i in range(10)}
    held_out = table(tmp_path / "t.csv", [("ask 99", "answer 99", "")])
    corpus = pair_table(tmp_path / "q.csv", target_column=(), test_data=str(held_out))
    assert [corpus.documents[query.document].text for query in corpus.queries["test"]] == ["ask 99"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("ask", "question", "maybe"), "line 3: 'same' is 'maybe', expected 1 or 0"),
        (("ask", "ask", "1"), "line 3: holds the same text twice"),
        (("ask", " ", "1"), "line 3: the text in 'b' is empty"),
        (("ask", "NULL", "1"), "line 3: the text in 'b' is 'NULL', as if nothing were there"),
    ],
)
def test_rows_that_are_no_pairs(row: tuple[str, str, str], message: str, tmp_path: Path) -> None:
    path = table(tmp_path / "q.csv", [("one", "other", "duplicate"), row])
    with pytest.raises(DataError, match=message):
        pair_table(path)


@pytest.mark.parametrize("row", [("one", "other", "0"), ("other", "one", "no")])
def test_a_pair_that_is_similar_and_is_not(
    row: tuple[str, str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    many = [(f"ask {i}", f"question {i}", "1") for i in range(20)]
    path = table(tmp_path / "q.csv", [("one", "other", "1"), row, *many, many[0]])
    with pytest.raises(DataError, match="line 3: says that its texts are not similar, and line 2 says the opposite"):
        pair_table(path)
    assert len(pair_table(path, skip_bad_rows=True).documents) == 42
    assert "left out 1 of 23 rows, first line 3: says that" in caplog.text


def test_columns_of_a_table_of_pairs(tmp_path: Path) -> None:
    path = table(tmp_path / "q.csv", [("one", "other", "0")])
    with pytest.raises(DataError, match="has no column 'c'"):
        pair_table(path, text_column=("a", "c"))
    with pytest.raises(
        ConfigError, match="name the two columns with texts, --text-column A --text-column B; it has a, b"
    ):
        pair_table(path, text_column="a")
    with pytest.raises(DataError, match="no row has two similar texts by column 'same'"):
        pair_table(path)
    blank = table(tmp_path / "blank.csv", [("one", " ", "1"), ("two", "", "0")])
    with pytest.raises(DataError, match="column 'b' is empty in all 2 rows; name another with --text-column"):
        pair_table(blank)
    with pytest.raises(ConfigError, match="two texts are for --task ranking"):
        load(path, text_column=("a", "b"), target_column=("same",))


def test_one_text_column_is_a_name_and_two_are_names() -> None:
    assert DataOptions(text_column=("text",)).text_column == "text"
    assert DataOptions(text_column=()).text_column is None
    assert DataOptions(text_column="text").text_columns == ("text",)
    assert DataOptions(text_column=("a", "b")).text_columns == ("a", "b")


# Clusters, titles, halves


def test_clusters(tmp_path: Path) -> None:
    rows = ["cluster\tquestion", *(f"{i // 3}\tquestion number {i}" for i in range(60)), "\talone"]
    path = written(tmp_path, faq_D_tsv=rows) / "faq.tsv"
    corpus = load(f"clusters:{path}")
    assert [len(corpus.queries[split]) for split in SPLITS] == [48, 6, 6]
    assert corpus.documents[0].id == "line 2"
    assert len(corpus.searchable) == 61
    assert all(query.document // 3 == positive // 3 for query in corpus.queries["test"] for positive in query.positives)
    with pytest.raises(DataError, match="has no column 'topic'"):
        load(f"clusters:{path}", target_column=("topic",))
    written(tmp_path, other_D_tsv=["cluster\tquestion", "1\tone", "2\tother"])
    with pytest.raises(DataError, match="no two questions have the same 'cluster'"):
        load(f"clusters:{tmp_path / 'other.tsv'}")


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("NULL", "24 questions have NULL for 'cluster', and count as in no cluster"),
        ("nan", "24 questions have nan for 'cluster'"),
        ("-1", "24 of 44 questions are in the cluster '-1', each like all others; leave its cells empty if"),
        ("", ""),
    ],
)
def test_a_cluster_of_the_rest(cell: str, said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [*(f"{i // 2}\tquestion number {i}" for i in range(20)), *(f"{cell}\talone {i}" for i in range(24))]
    corpus = load(f"clusters:{written(tmp_path, faq_D_tsv=['cluster' + chr(9) + 'question', *rows]) / 'faq.tsv'}")
    assert sum(map(len, corpus.queries.values())) == (44 if cell == "-1" else 20)
    assert said in caplog.text if said else not caplog.records


def test_titles_of_a_corpus_of_pairs_are_trained_on_and_its_pairs_evaluated(tmp_path: Path) -> None:
    written(tmp_path, corpus_D_jsonl=questions(), pairs_D_tsv=PAIRS)
    plain, titles = load(f"pairs:{tmp_path}"), load(f"titles:pairs:{tmp_path}")
    assert titles.queries["test"] == plain.queries["test"]
    assert len(titles.queries["train"]) == 32  # none of the held-out questions
    for query in titles.queries["train"]:
        title, body = titles.documents[query.document], titles.documents[query.positives[0]]
        whole = titles.documents[int(title.id.split()[0][1:])]
        assert whole.text == f"{title.text}\n{body.text}"
        assert (*title.tokens, *body.tokens) == whole.tokens
        assert [body.text[a:b].lower() for a, b in body.offsets] == list(body.tokens)
    assert titles.searchable.tolist() == list(range(40))
    both = load(f"pairs:{tmp_path}", title_pairs=True)
    assert len(both.queries["train"]) == 16 + 32


def test_titles_of_a_file_alone(tmp_path: Path) -> None:
    path = written(tmp_path, q_D_jsonl=questions()) / "q.jsonl"
    corpus = load(f"titles:{path}")
    assert [len(corpus.queries[split]) for split in SPLITS] == [32, 4, 4]
    assert {corpus.documents[i].id for i in corpus.searchable} == {f"q{i} body" for i in range(40)}
    with pytest.raises(DataError, match="no text has a title and a body"):
        load(f"titles:{written(tmp_path, q_D_txt=['one text', 'other text']) / 'q.txt'}")
    with pytest.raises(ConfigError, match="name a corpus or file of questions"):
        load("titles")
    with pytest.raises(ConfigError, match="imdb holds no questions with titles"):
        load("titles:imdb")


def test_titles_of_planted_questions_keep_their_gold_words() -> None:
    plain = load("questions", documents=40)
    corpus = with_titles(plain, alone=True)
    query = corpus.queries["train"][0]
    title, body = corpus.documents[query.document], corpus.documents[query.positives[0]]
    assert ((title.gold or ()) + (body.gold or ())) == plain.documents[0].gold
    assert corpus.oracle == plain.oracle


def test_halves() -> None:
    corpus = load("halves:synthetic", documents=120, max_words=50)
    assert [len(corpus.queries[split]) for split in SPLITS] == [120, 30, 30]
    for query in corpus.queries["test"]:
        assert len(query.candidates) == len(set(query.candidates)) == 30
        assert query.positives == (query.document + 1,)
        assert query.positives[0] in query.candidates
    assert max(len(document.tokens) for document in corpus.documents) == 50
    with pytest.raises(ConfigError, match="name a corpus of single texts"):
        load("halves:questions")


def test_a_text_is_cut_in_two_where_one_says() -> None:
    document = make_document("d", "One two, three!  four")
    first, second = split_at(document, 3, ("a", "b"))
    assert (first.text, second.text) == ("One two,", "three!  four")
    assert [second.text[a:b] for a, b in second.offsets] == ["three", "!", "four"]
    assert [half.tokens for half in halves_of(document)] == [("one", "two", ","), ("three", "!", "four")]


# Files of questions


def test_questions_are_read_from_every_kind_of_file(tmp_path: Path) -> None:
    written(
        tmp_path,
        a_D_csv='id,title,body\n1,A title,"the body"\n2,,only body\n',
        b_D_jsonl=['{"_id": 7, "text": "seven"}'],
        c_D_txt=["one text", "another text"],
        text_tokenized_D_txt=["x\ta title\ta body"],
        d_D_tsv=["x\ta title\ta body", "y\tonly this"],
        e_D_csv="subject;message\nHow do;I do it\n",
        clusters_D_tsv=["cluster\tquestion", "1\twhat is it"],
    )

    def found(name: str, **more: Any) -> list[tuple[str, str, int]]:
        return [(d.id, d.text, d.title) for d in read_questions(tmp_path / name, DataOptions(**more))]

    assert found("a.csv") == [("1", "A title\nthe body", 2), ("2", "only body", 0)]
    assert found("b.jsonl") == [("7", "seven", 0)]
    assert found("c.txt") == [("line 1", "one text", 0), ("line 2", "another text", 0)]
    assert found("text_tokenized.txt") == [("x", "a title\na body", 2)]
    assert found("d.tsv") == [("x", "a title\na body", 2), ("y", "only this", 2)]
    assert found("e.csv", text_column=("subject", "message")) == [("line 2", "How do\nI do it", 2)]
    assert found("clusters.tsv") == [("line 2", "what is it", 0)]
    with pytest.raises(ConfigError, match="expected a title and a body"):
        found("a.csv", text_column=("id", "title", "body"))


def test_many_questions_need_twelve_bytes_a_word(tmp_path: Path) -> None:
    path = tmp_path / "text_tokenized.txt"
    path.write_text("".join(f"{i}\ttitle {i}\tone two three\n" for i in range(50)))
    documents = CompactDocuments(read_questions(path, DataOptions()))
    assert documents.words.nbytes + documents.spans.nbytes == 12 * 50 * 5
    assert len(documents.spellings) == 54


@pytest.mark.parametrize(("options", "said"), [({"drop_leaks": True}, "--drop-leaks: "), ({"cache": "x"}, "--cache: ")])
def test_options_of_other_corpora_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_corpus(DataOptions(data="questions", documents=8, **options))

"""Printed rationales and tables: marks at the right characters, readable with and without colour."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from pyro_rationale.data.corpus import Document
from pyro_rationale.data.document import make_document
from pyro_rationale.evaluation.metrics import METRICS, every_metric
from pyro_rationale.prediction.text_spans import snippets, spans
from pyro_rationale.reporting.console import (
    KEPT,
    KEPT_GOLD,
    MISSED_GOLD,
    NEARLY,
    baselines_table,
    class_tables,
    format_value,
    is_plain,
    main_metrics,
    metrics_table,
    rationale,
)


def document(text: str, max_words: int = 1000) -> Document:
    return make_document("d", text, (), max_words)


def flags(document: Document, *kept: str) -> list[bool]:
    return [token in kept for token in document.tokens]


def printed(renderable: object, width: int = 80, **options: bool) -> str:
    console = Console(file=io.StringIO(), width=width, **options)  # type: ignore[arg-type]
    console.print(renderable)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_runs_are_joined_over_white_space_and_split_over_dropped_words() -> None:
    d = document("A very\n  fine beer; fine.")
    mask = flags(d, "very", "fine")
    assert [d.text[a:b] for a, b in spans(d, mask)] == ["very\n  fine", "fine"]
    assert rationale(d, mask, plain=True).plain == "A [very\n  fine] beer; [fine]."
    assert snippets(d, mask) == "very fine … fine"
    assert snippets(d, mask, most=6) == "very …"
    assert snippets(d, [False] * len(mask)) == "(nothing)"


def test_the_last_word_closes_a_run() -> None:
    d = document("good")
    assert rationale(d, [True], plain=True).plain == "[good]"


def test_colour_touches_exactly_the_kept_characters() -> None:
    d = document("The Service was don't-ask BAD!")
    mask = flags(d, "service", "bad")
    text = rationale(d, mask)
    assert text.plain == d.text
    assert [text.plain[s.start : s.end] for s in text.spans if s.style == KEPT] == ["Service", "BAD"]


def test_gold_is_told_apart() -> None:
    d = document("cold soup but warm bread")
    kept, gold = flags(d, "soup", "warm"), flags(d, "cold", "soup", "bread")
    text = rationale(d, kept, gold=gold)
    assert [text.plain[s.start : s.end] for s in text.spans if s.style == KEPT_GOLD] == ["soup"]
    assert [text.plain[s.start : s.end] for s in text.spans if s.style == MISSED_GOLD] == ["cold soup", "bread"]
    assert rationale(d, kept, gold=gold, plain=True).plain == "{cold [soup]} but [warm] {bread}"


def test_marks_nest_and_touch_in_a_readable_order() -> None:
    d = document("a b c")
    assert rationale(d, [True] * 3, gold=[True] * 3, plain=True).plain == "{[a b c]}"
    joined = document("don't")  # two tokens without a space between them
    assert rationale(joined, [True, False], gold=[False, True], plain=True).plain == "[do]{n't}"


def test_nearly_kept_words_are_hinted_at() -> None:
    d = document("one two three")
    text = rationale(d, [True, False, False], inclusion=[0.9, 0.3, 0.1])
    assert [text.plain[s.start : s.end] for s in text.spans if s.style == NEARLY] == ["one two"]


def test_flags_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="kept entry per token, 2, got 1"):
        rationale(document("two words"), [True])


def test_a_cut_text_shows_a_little_of_its_rest() -> None:
    d = document("word " * 2000, max_words=3)
    text = rationale(d, [True, False, False], plain=True).plain
    assert text.startswith("[word] word word word")
    assert text.endswith("more characters not read)")
    assert len(text) < 300
    short = document("word " * 50, max_words=3)
    assert rationale(short, [True] * 3).plain == short.text


def test_terminals_are_not_obeyed() -> None:
    d = document("good \x1b[31mred\x07 \u202eevil\x9b2J\tend\r\nnext")
    for plain in (True, False):
        text = rationale(d, [False] * len(d.tokens), plain=plain).plain
        assert len(text) == len(d.text)
        assert not set(text) & set("\x1b\x07\u202e\x9b\t\r")
        assert "end \nnext" in text
    assert "\x1b" not in snippets(d, [True] * len(d.tokens))


def test_other_scripts_and_joined_emoji_survive() -> None:
    text = "très bon 👩\u200d🍳 نوش‌جان"
    d = document(text)
    assert rationale(d, [False] * len(d.tokens)).plain == text


def test_long_texts_wrap_at_words_and_fold_when_they_must() -> None:
    d = document("wonderful beer " * 20 + "x" * 200)
    lines = printed(rationale(d, [True] * len(d.tokens), plain=True)).splitlines()
    assert max(map(len, lines)) <= 80
    assert all(line.strip().split(" ")[-1].rstrip("]") in ("beer", "wonderful") for line in lines[:3])
    assert "".join(lines).count("x") == 200


def test_markup_in_a_text_is_text() -> None:
    d = document("[red]not red[/red] [/]")
    assert printed(rationale(d, [False] * len(d.tokens))).strip() == d.text


@pytest.mark.parametrize(
    ("terminal", "no_color", "plain"), [(True, False, False), (True, True, True), (False, False, True)]
)
def test_colour_only_where_it_is_welcome(terminal: bool, no_color: bool, plain: bool) -> None:
    assert is_plain(Console(file=io.StringIO(), force_terminal=terminal, no_color=no_color)) is plain


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("selected", 0.1234, "12.3 %"),
        ("mse", 0.0025371, "0.002537"),
        ("mse", 4, "4"),
        ("documents", 25000, "25,000"),
        ("precision", None, "-"),
        ("lexicon_lift", float("nan"), "-"),
        ("unheard_of", 1.23456, "1.235"),
        ("data", "synthetic", "synthetic"),
        ("finished", True, "True"),
    ],
)
def test_values_as_people_read_them(name: str, value: object, shown: str) -> None:
    assert format_value(name, value) == shown


def test_a_short_table_has_the_main_figures_and_says_how_many_more_there_are() -> None:
    figures = {metric.name: 0.5 for metric in every_metric()} | {"own": 1.0}
    lines = printed(metrics_table({"mse": 0.5, "crps": 0.5, "elbo": 0.5, "own": 1.0}, every=False)).splitlines()
    assert [line.split("  ")[0] for line in lines] == ["mean squared error", "own", "2 more figures: --verbose"]
    assert "own" in main_metrics(figures)
    rating = ["prediction", "averaged", "uncertainty", "selection", "rationale", "eraser", "objective"]
    own = {metric.name: 0.5 for name in rating for metric in METRICS[name].metrics}
    classes = {"accuracy", "averaged_accuracy", "log_loss", "ece", "ece_chance", "noise_floor"}
    assert len(main_metrics({name: value for name, value in own.items() if name not in classes})) <= 12
    assert len(main_metrics({m.name: 0.5 for m in METRICS["ranking"].metrics})) <= 12


def test_metrics_table_has_known_names_unknown_names_and_aspects() -> None:
    metrics = {
        "surprise": 2.0,
        "mse": 0.25,
        "selected": 0.1,
        "aspects": {"food": {"mse": 0.125}, "service": {"mse": 0.375}},
    }
    lines = printed(metrics_table(metrics)).splitlines()
    assert lines[0].split() == ["all", "food", "service"]
    assert lines[1].split() == ["mean", "squared", "error", "0.25", "0.125", "0.375"]
    assert lines[2].split() == ["words", "kept", "10.0", "%"]
    assert lines[3].split() == ["surprise", "2"]
    title = "a title that is wider than the table below it " * 2
    assert printed(metrics_table({"empty": 0.5}, title), width=200).splitlines()[0].strip() == title.strip()
    assert printed(metrics_table({"empty": 0.5})).split() == ["documents", "with", "none", "kept", "50.0", "%"]


def test_many_aspects_have_rows_of_their_own_whose_names_and_headings_are_whole_at_80_columns() -> None:
    names = ["comfort", "cleanliness", "wifi_connectivity", "staff_service"]
    own = {metric.name: 0.5 for name in ("prediction", "uncertainty", "selection") for metric in METRICS[name].metrics}
    shown = printed(metrics_table(own | {"documents": 200, "aspects": dict.fromkeys(names, own)}), width=80)
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    rows = [line.split()[0] for line in shown.splitlines() if line.split() and line.split()[0] in names]
    assert rows == names * shown.count("by target")
    assert len(rows) > 4
    apart = metrics_table({"mse": 0.5, "shared": 0.25, "aspects": {key: {"mse": 0.125} for key in names}})
    assert printed(apart).count("for another target") == 1  # a figure that no aspect has is no column


def test_classes_have_a_table_of_their_own() -> None:
    figures = {"documents": 3, "precision": 0.5, "recall": 1.0, "f1": 2 / 3}
    confusion = {"[ham]": {"[ham]": 1, "spam": 1200}, "spam": {"[ham]": 0, "spam": 3}}
    few = {"classes": {"[ham]": figures, "spam": figures}, "confusion": confusion, "averaged_macro_f1": 0.5}
    [table] = class_tables(few)
    lines = printed(table).splitlines()
    assert lines[0].strip() == "Classes, as predicted from the average over masks"
    assert lines[1].split() == ["true", "documents", "precision", "recall", "F1", "as", "[ham]", "as", "spam"]
    assert lines[2].split() == ["[ham]", "3", "50.0", "%", "100.0", "%", "0.667", "1", "1,200"]
    names = "abcdefg"
    many = {"classes": dict.fromkeys(names, figures), "confusion": {a: {b: ord(b) for b in names} for a in names}}
    [table] = class_tables({"aspects": {"kind": many, "stars": {"mse": 1.0}}})
    lines = printed(table).splitlines()
    assert lines[0].strip() == "kind: classes, as predicted from one mask of each text"
    assert [line.split()[-2:] for line in (lines[2], lines[8])] == [["g", "(103)"], ["f", "(102)"]]
    assert list(class_tables({"mse": 1.0})) == []


def test_figures_of_few_texts_have_two_digits_and_no_exponent() -> None:
    told = [format_value("mse", value, few=True) for value in (3301.2, 150.3, 12.7, 0.00123)]
    assert told == ["3300", "150", "13", "0.0012"]


def test_baselines_are_compared_by_macro_f1_too() -> None:
    rows = {"constant": {"accuracy": 0.95, "macro_f1": 0.49}}
    table = printed(baselines_table({"accuracy": 0.9, "macro_f1": 0.8}, rows))
    assert [line.split() for line in table.splitlines()] == [
        ["accuracy", "macro", "F1"], ["this", "fit", "90.0", "%", "0.800"], ["a", "constant", "95.0", "%", "0.490"]
    ]  # fmt: skip

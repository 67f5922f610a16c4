"""The prior and the constraint in plain words."""

from __future__ import annotations

from pyro_rationale.reporting.prior_words import constraint_words, prior_line

ASKED = {"rate": 0.15, "span": 1.3, "alpha": 1.2, "gamma": 0.4}
LEARNED = {"rate": 0.1412, "span": 6.123, "alpha": 0.2, "gamma": 2.6}


def test_one_line_about_the_prior() -> None:
    line = prior_line(LEARNED, ASKED, {"word": 1.31, "change": -2.2})
    assert line == (
        "prior: keeps 14.1 % of the words in runs of 6.12 (learned); constraint of training: 1.3 nats more per kept "
        "word, 2.2 fewer per change"
    )
    assert prior_line(ASKED, ASKED, {"word": 0.0, "change": 0.0}, "sentence") == (
        "prior: keeps 15 % of the sentences in runs of 1.3 (as asked for); constraint: none"
    )


def test_shares_of_training_texts_are_said_to_be_of_them() -> None:
    line = prior_line(LEARNED | {"share": 0.21, "run": 6.754}, ASKED, {"word": 0.0})
    assert line.startswith("prior: keeps 21 % of the words of training texts in runs of 6.75 (learned);")


def test_runs_of_older_versions_have_both_in_one() -> None:
    assert prior_line(LEARNED, ASKED, {}).endswith("(where holding 15 % has moved it, constraint included)")
    assert prior_line(ASKED, ASKED, {}).endswith("(as asked for)")


def test_what_is_nothing_is_not_said() -> None:
    assert constraint_words({"word": 0.0, "change": 1.0}) == "1 nats more per change"
    assert constraint_words({}) == ""

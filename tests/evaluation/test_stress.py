"""Stress tests: each passes for a rationalizer without fault, and fails for the fault that it is there to find."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from pyro_rationale.data import DataOptions
from pyro_rationale.data.batching import encode_batch
from pyro_rationale.data.corpora.synthetic import ASPECTS, VALENCE, make_reviews
from pyro_rationale.data.corpus import Document, TargetSpec
from pyro_rationale.data.document import make_document
from pyro_rationale.data.sentences import sentence_starts
from pyro_rationale.errors import RunError
from pyro_rationale.evaluation.stress import (
    TESTS,
    RefitOptions,
    Settings,
    Subject,
    Verdict,
    mask_shape,
    skewed_generator,
)
from pyro_rationale.evaluation.stress._measures import agreement, kind_of, skill, truths
from pyro_rationale.evaluation.stress._probe import probe
from pyro_rationale.evaluation.stress.correlation import other_aspects
from pyro_rationale.evaluation.stress.distractors import put_in, sentence_of_another
from pyro_rationale.evaluation.stress.mask_shape import compacted, lying
from pyro_rationale.evaluation.stress.random_masks import as_many
from pyro_rationale.evaluation.stress.skewed_generator import first_word, labels_of, skew_generator
from pyro_rationale.evaluation.stress.skewed_predictor import end_tokens, first_sentences, skew_predictor
from pyro_rationale.fitted import FittedModel
from pyro_rationale.tasks import task_of
from pyro_rationale.training.auxiliary_losses import reading_loss
from pyro_rationale.training.fit import fit_run
from pyro_rationale.training.prepare import prepare_run
from pyro_rationale.training.run import TrainingRun
from tests.support.small_fit import Break, ratings_table, small, table

CHEAP = [name for name, test in TESTS.items() if not test.refits]
DATA = DataOptions(documents=4000)
REVIEWS = tuple(make_reviews(DATA, "test", range(1000), ASPECTS[:1]))  # as few as a probe is believed with
SPEC = TargetSpec("regression", ("appearance",), ranges=((0.0, 1.0),))


class Oracle:
    """Keeps the opinion words of the aspect and predicts their mean valence: the best there is."""

    name, spec = "oracle", SPEC

    def masks(self, documents: Sequence[Document]) -> list[tuple[bool, ...]]:
        return [self.mask(document) for document in documents]

    def mask(self, document: Document) -> tuple[bool, ...]:
        return document.opinion or ()

    def predict(self, documents: Sequence[Document], masks: Sequence[Sequence[bool]]) -> Any:
        return np.array([[self.rating(d, m)] for d, m in zip(documents, masks, strict=True)])

    def rating(self, document: Document, mask: Sequence[bool]) -> float:
        found = [VALENCE[t] for t, kept in zip(document.tokens, mask, strict=True) if kept and t in VALENCE]
        return float(np.mean(found)) if found else 0.5

    def high(self, document: Document) -> bool:
        return self.rating(document, document.opinion or ()) > 0.5


class AnswersAnyway(Oracle):
    """Predicts the rating whatever it is given."""

    def rating(self, document: Document, mask: Sequence[bool]) -> float:
        return document.targets[0]


class FullStopIfHigh(Oracle):
    """Tells by punctuation."""

    def mask(self, document: Document) -> tuple[bool, ...]:
        mask = list(document.opinion or ())
        mask[document.tokens.index("." if self.high(document) else "the")] = True
        return tuple(mask)


class FirstWordIfHigh(Oracle):
    """Tells by a position; as many words either way."""

    def mask(self, document: Document) -> tuple[bool, ...]:
        mask = list(document.opinion or ())
        mask[0 if self.high(document) else -1] = True
        return tuple(mask)


class TenMoreIfHigh(Oracle):
    """Tells by a number, which is what is left when the gaps are closed."""

    def mask(self, document: Document) -> tuple[bool, ...]:
        mask = np.array(document.opinion)
        mask[np.flatnonzero(~mask)[20:30]] |= self.high(document)
        return tuple(mask.tolist())


class FirstTenth(Oracle):
    """Keeps the beginning."""

    def mask(self, document: Document) -> tuple[bool, ...]:
        return tuple(t < 8 or o for t, o in enumerate(document.opinion or ()))


class AnyOpinion(Oracle):
    """Takes every opinion for one on its aspect."""

    def mask(self, document: Document) -> tuple[bool, ...]:
        return tuple(t in VALENCE for t in document.tokens)


def subject(rationalizer: Oracle, documents: Sequence[Document] = REVIEWS) -> Subject:
    """A subject without a run behind it."""
    config = SimpleNamespace(data=DATA)
    fitted = cast(FittedModel, SimpleNamespace(config=config, spec=SPEC, task=task_of(SPEC), aspects=1))
    made = Subject(Path(), Path(), fitted, Settings(), RefitOptions())
    made.__dict__ |= {"rationalizer": rationalizer, "documents": list(documents)}
    return made


VERDICTS: dict[tuple[str, type[Oracle]], Verdict] = {}


def verdict_of(name: str, rationalizer: type[Oracle]) -> Verdict:
    """Measured once, however many tests look at it."""
    if (name, rationalizer) not in VERDICTS:
        VERDICTS[name, rationalizer] = judge(name, rationalizer)
    return VERDICTS[name, rationalizer]


def judge(name: str, rationalizer: type[Oracle]) -> Verdict:
    with pytest.MonkeyPatch.context() as patch:
        if rationalizer is not Oracle:  # gross faults show in fewer
            patch.setattr(mask_shape, "FEWEST", 300)
            return TESTS[name].check(subject(rationalizer(), REVIEWS[:300]))
        return TESTS[name].check(subject(rationalizer()))


@pytest.mark.parametrize("name", CHEAP)
def test_the_oracle_passes(name: str) -> None:
    verdict = verdict_of(name, Oracle)
    assert verdict.answer == "pass", verdict
    assert verdict.reason == ""


@pytest.mark.parametrize(
    ("name", "rationalizer", "words"),
    [
        ("random-masks", AnswersAnyway, "random words 1.00"),
        ("trivial-patterns", FullStopIfHigh, "kept words without content"),
        ("mask-shape", FirstWordIfHigh, "as it lies in the text"),
        ("mask-shape", TenMoreIfHigh, "points"),
        ("positions", FirstTenth, "first word"),
        ("distractors", AnyOpinion, "opinion on an unrated thing"),
    ],
)
def test_each_fault_is_found(name: str, rationalizer: type[Oracle], words: str) -> None:
    verdict = verdict_of(name, rationalizer)
    assert verdict.answer == "fail", verdict
    assert verdict.reason
    assert words in verdict.figure


def test_a_number_of_words_is_a_leak_even_without_gaps() -> None:
    points = {}
    for rationalizer in (TenMoreIfHigh, FirstWordIfHigh):
        rows = verdict_of("mask-shape", rationalizer).rows
        found = (row["points above"] for row in rows if (row["of"], row["from"]) == ("decision", "gaps closed"))
        points[rationalizer] = next(found)
    assert points[TenMoreIfHigh] > 30
    assert points[FirstWordIfHigh] < 10


def test_too_few_documents_decide_nothing() -> None:
    verdict = TESTS["mask-shape"].check(subject(FirstWordIfHigh(), REVIEWS[:200]))
    assert verdict.answer == "not applicable"
    assert verdict.rows == ()
    assert "200 test documents" in verdict.reason


# The probe.


def test_a_probe_sees_what_is_there_and_no_more() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 500)
    noise = random.normal(size=(500, 6))
    told = np.concatenate([noise, labels[:, None] * (random.random((500, 1)) < 0.9)], axis=1)
    for features, low, high in ((noise, -6, 6), (told, 35, 50)):
        found = probe(features, labels)
        assert found is not None
        assert low < found.gap < high
        assert abs(found.control - 0.5) < 0.03


def test_a_probe_reads_what_no_line_separates() -> None:
    random = np.random.default_rng(1)
    features = random.normal(size=(600, 2))
    found = probe(features, (features[:, 0] * features[:, 1] > 0).astype(np.int64))
    assert found is not None
    assert found.accuracy > 0.9


def test_rare_classes_count_as_much_as_common_ones() -> None:
    labels = np.array([0] * 380 + [1] * 20)
    found = probe(np.random.default_rng(0).normal(size=(400, 3)), labels)
    assert found is not None
    assert 0.3 < found.accuracy < 0.7  # always saying 0 would have been .95, and is .5


def test_a_probe_needs_two_classes_and_skips_the_unknown() -> None:
    labels = np.array([0] * 50 + [-1] * 50)
    assert probe(np.ones((100, 2)), labels) is None


# Measures.


def test_skill_of_constants_and_of_the_truth() -> None:
    values = np.array([[d.targets[0]] for d in REVIEWS])
    assert skill(values, REVIEWS, SPEC) == pytest.approx(1.0)
    assert skill(np.full_like(values, values.mean()), REVIEWS, SPEC) == pytest.approx(0.0, abs=1e-9)
    binary = TargetSpec("binary", ("y",), classes=("a", "b"))
    texts = [Document(str(y), "", (), (), (float(y),)) for y in (0, 0, 0, 1)]
    assert skill(np.array([[0.1], [0.2], [0.3], [0.9]]), texts, binary) == 1.0
    assert skill(np.full((4, 1), 0.1), texts, binary) == 0.0
    classes = task_of(TargetSpec("multiclass", ("y",), classes=("a", "b", "c")))
    assert classes.decisions(np.array([[0.1, 0.7, 0.2]])) == 1
    unknown = [*texts, Document("?", "", (), (), (float("nan"),))]
    assert truths(unknown, binary)[:, 0].tolist() == [0, 0, 0, 1, -1]


def test_skill_is_of_the_targets_that_somebody_knows() -> None:
    """A target without a label, or a rating, in any text says nothing, and spoils nothing."""
    chances = np.array([[0.1, 0.5], [0.9, 0.5], [0.2, 0.5]])
    texts = [Document(str(i), "", (), (), (truth, math.nan)) for i, truth in enumerate((0.0, 1.0, 0.0))]
    labels = TargetSpec("binary", ("good", "clean"), classes=("no", "yes"))
    assert skill(chances, texts, labels) == 1.0
    ratings = TargetSpec("regression", ("good", "clean"), ranges=((0.0, 1.0),) * 2)
    assert skill(np.array([[0.0, 0.5], [1.0, 0.5], [0.0, 0.5]]), texts, ratings) == 1.0
    assert math.isnan(skill(chances, [Document("?", "", (), (), (math.nan, math.nan))] * 3, ratings))


def test_agreement_forgives_the_rest_of_the_clause_and_nothing_else() -> None:
    few = [d.opinion or () for d in REVIEWS]
    many = [d.gold or () for d in REVIEWS]
    wrong = [tuple(not g for g in d.gold or ()) for d in REVIEWS]
    assert agreement(REVIEWS, few)["judged"] == agreement(REVIEWS, many)["judged"] == 1.0
    assert agreement(REVIEWS, few)["f1"] < 0.5
    assert agreement(REVIEWS, many)["opinion_f1"] < 0.5
    assert agreement(REVIEWS, few)["opinion_f1"] == agreement(REVIEWS, many)["f1"] == 1.0
    assert agreement(REVIEWS, wrong)["judged"] == 0.0
    bare = Document("a", "a b", ("a", "b"), ((0, 1), (2, 3)))
    assert np.isnan(agreement([bare], [(True, False)])["judged"])
    assert agreement([Document("a", "a b", ("a", "b"), ((0, 1), (2, 3)), gold=(True, True))], [(True, False)])[
        "judged"
    ] == pytest.approx(2 / 3)


def test_shapes_by_hand() -> None:
    mask = (False, True, True, False, True, False)
    look = lying(mask)
    assert look[:4].tolist() == [3, 0.5, 2, 1.5]
    assert look[8:11].tolist() == [0.5, 1.0, 0.0]
    assert look[-10:].tolist() == [0, 1, 1, 0, 1, 0, 1, 0, 1, 1]
    assert compacted(mask)[0] == compacted(mask)[4] * 3 == 3
    assert lying((False,) * 3).shape == lying(()).shape == look.shape
    assert [kind_of(t) for t in ("...", "the", "12", "not", "dog")] == [
        "punctuation", "function word", "number", "content", "content",
    ]  # fmt: skip


def test_random_masks_keep_as_many_where_they_may() -> None:
    masks = [(True, True, False, False), (True, True, True, False)]
    allowed = [(False, True, True, True), (False, False, True, False)]
    found = as_many(masks, allowed, np.random.default_rng(0))
    assert sum(found[0]) == 2
    assert not found[0][0]
    assert found[1] == (False, False, True, False)


def test_sentences_of_planted_reviews_are_those_between_end_marks() -> None:
    for document in REVIEWS:
        ends = {i + 1 for i, token in enumerate(document.tokens) if token in (".", "!", "?")}
        assert set(sentence_starts(document).tolist()) == {0, *ends} - {len(document.tokens)}


def test_what_is_put_in_is_in_the_text_where_the_offsets_say() -> None:
    from random import Random

    for seed, document in enumerate(REVIEWS[:20]):
        words = sentence_of_another(Random(seed), document, REVIEWS)
        changed, new = put_in(document, words, Random(seed))
        assert [changed.text[a:b].lower() for a, b in changed.offsets] == list(changed.tokens)
        assert [t for t, n in zip(changed.tokens, new, strict=True) if n] == list(words)
        left = [t for t, n in enumerate(new) if not n]
        assert tuple(changed.tokens[t] for t in left) == document.tokens
        assert changed.gold is not None
        assert tuple(changed.gold[t] for t in left) == document.gold
        assert not any(g and n for g, n in zip(changed.gold, new, strict=True))


def test_sentences_of_a_corpus_go_with_their_words() -> None:
    from dataclasses import replace
    from random import Random

    document = make_document("d", "first one . second is here . third".split())
    document = replace(document, sentences=(0, 3, 7))
    found = set()
    for seed in range(20):
        changed, _ = put_in(document, ["new", "."], Random(seed))
        starts = sentence_starts(changed)
        found.add(" | ".join(" ".join(words) for words in np.split(np.array(changed.tokens), starts[1:])))
    assert found == {
        "new . | first one . | second is here . | third",
        "first one . | new . | second is here . | third",
        "first one . | second is here . | new . | third",
        "first one . | second is here . | third | new .",
    }


def test_clauses_of_other_aspects() -> None:
    others = other_aspects(DATA, REVIEWS[:200])
    gold = [np.array(d.gold) for d in REVIEWS[:200]]
    assert not any((a & b).any() for a, b in zip(others, gold, strict=True))
    assert 2 < np.concatenate(others).mean() / np.concatenate(gold).mean() < 4  # three aspects against one
    document, flags = REVIEWS[0], others[0]
    assert {"mouthfeel", "nose", "taste"} & {t for t, f in zip(document.tokens, flags, strict=True) if f} or flags.any()


# Bad starts.


def test_first_sentences() -> None:
    tokens = torch.tensor([[5, 6, 9, 7, 9], [9, 5, 5, 0, 0], [5, 6, 7, 8, 0]])
    found = first_sentences(tokens, torch.tensor([5, 3, 4]), [9, 8])
    assert found.int().tolist() == [[1, 1, 1, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 0]]
    assert first_sentences(tokens, torch.tensor([5, 3, 4]), []).int().sum(-1).tolist() == [5, 3, 4]


@pytest.mark.parametrize("guide", ["independent", "relaxed", "recurrent", "chain"])
def test_the_first_word_is_a_marginal_with_a_gradient(guide: str, tmp_path: Path) -> None:
    fit = prepare_run(small(guide=guide, max_words=7), tmp_path / "run")
    batch = encode_batch(fit.corpus.dev[:5], fit.fitted.vocabulary, fit.fitted.spec)
    with torch.no_grad():
        fit.fitted.guide.generator.embedding.weight.mul_(5)
    chance = first_word(fit.fitted.guide, batch)
    assert torch.allclose(chance, fit.fitted.guide.posterior(batch).mean[:, 0], atol=1e-5)
    chance.sum().backward()
    weight = fit.fitted.guide.generator.embedding.weight.grad
    assert weight is not None
    assert float(weight.abs().sum()) > 0


def told(folder: Path, rows: int = 240) -> Path:
    """Texts whose last word tells the label, and nothing else does."""
    random = np.random.default_rng(0)
    words = [" ".join(random.choice(["red", "blue", "green", "old"], 5)) for _ in range(rows)]
    lines = [f"{text}. it was {'good' if i % 2 else 'bad'},{i % 2}" for i, text in enumerate(words)]
    return table(folder / "told.csv", "text,y", lines)


@pytest.mark.parametrize("guide", ["chain", "recurrent"])
def test_a_generator_is_skewed_as_far_as_asked(
    guide: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(skewed_generator, "RUNNING", 100)
    config = small(data=str(told(tmp_path)), text_column="text", target_column=("y",), task="binary", guide=guide,
                   learning_rate=2e-2, hidden=8)  # fmt: skip
    fit = prepare_run(config, tmp_path / "run")
    encoder = [p.clone() for p in fit.fitted.model.parameters()]
    before = torch.get_rng_state()
    assert 0.9 <= skew_generator(fit, 0.9) <= 0.95  # it stops as soon as it is there
    batch = encode_batch(fit.corpus.dev, fit.fitted.vocabulary, fit.fitted.spec)
    label, known = labels_of(batch, 0.5)
    assert known.all()
    assert float(((first_word(fit.fitted.guide, batch) > 0.5) == label).float().mean()) > 0.85
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(encoder, fit.fitted.model.parameters(), strict=True))
    assert skew_generator(prepare_run(config, tmp_path / "other"), 0.999, epochs=1) < 0.9


def test_a_predictor_is_skewed_to_first_sentences(tmp_path: Path) -> None:
    fit = prepare_run(small(documents=64, learning_rate=1e-2), tmp_path / "run")
    guide = [p.clone() for p in fit.fitted.guide.parameters()]
    before = torch.get_rng_state()
    ends = end_tokens(fit.fitted.vocabulary)
    assert len(ends) == 2  # planted reviews have no question mark
    batch = next(fit.trainer.batches.epoch(0))

    def loss(mask: torch.Tensor) -> float:
        return float(reading_loss(fit.fitted.model, batch, mask).detach())

    first = first_sentences(batch.tokens, batch.lengths, ends)
    rest = batch.mask & ~first
    gain = loss(first), loss(rest)
    skew_predictor(fit, 12)
    assert gain[0] - loss(first) > gain[1] - loss(rest)
    assert loss(first) < gain[0]
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(guide, fit.fitted.guide.parameters(), strict=True))


def test_a_start_is_given_once(tmp_path: Path) -> None:
    called: list[Path] = []

    def start(fit: TrainingRun) -> None:
        called.append(fit.folder)

    with pytest.raises(KeyboardInterrupt):
        fit_run(small(), tmp_path / "run", callbacks=[Break(steps=2)], start=start)
    fit_run(small(), tmp_path / "run", resume=True, start=start)
    assert called == [tmp_path / "run"]


def test_a_run_whose_data_have_changed_is_not_tested(tmp_path: Path) -> None:
    path = ratings_table(tmp_path / "a.csv")
    fit_run(small(data=str(path), target_column=("y",), min_count=1, steps=2, anneal=1), tmp_path / "run")
    fitted = FittedModel.load(tmp_path / "run", "cpu")
    subject = Subject(tmp_path / "run", tmp_path / "into", fitted, Settings(), RefitOptions())
    ratings_table(path, flipped=True)
    with pytest.raises(RunError, match=r"run: .*a\.csv has changed since \(train, dev, test\); restore the data"):
        _ = subject.documents
    ratings_table(path)
    assert subject.documents

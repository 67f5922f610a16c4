"""Readings of a fake run whose q(z | x) and predictions are known by hand."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn

from pyro_rationale.config import Config
from pyro_rationale.data.batch import Batch
from pyro_rationale.data.batching import encode_batch
from pyro_rationale.data.corpus import Document, TargetSpec
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.distributions import IndependentMask, LinearChain, MixtureMask, NonEmptyMask, RelaxedMask, UnitMask
from pyro_rationale.errors import ConfigError
from pyro_rationale.evaluation.evaluate import evaluate_documents
from pyro_rationale.evaluation.metrics import targets_of
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.decoding import decode
from pyro_rationale.prediction.options import DecodeOptions, PredictOptions
from pyro_rationale.prediction.predictor import Prediction, predict
from pyro_rationale.prediction.shown_masks import decode_all
from pyro_rationale.tasks import task_of
from tests.support.mask_families import FAMILIES

WORDS = ("bad", "good", "maybe", "the")
LOGITS = {"bad": 3.0, "good": 3.0, "maybe": 0.4, "the": -3.0}
EFFECT = {"bad": -0.3, "good": 0.3, "maybe": 0.1, "the": 0.0}
SPECS = {
    "regression": TargetSpec("regression", ("stars",), ranges=((1.0, 5.0),)),
    "binary": TargetSpec("binary", ("positive",), classes=("no", "yes")),
    "multiclass": TargetSpec("multiclass", ("tone",), classes=("low", "mid", "high")),
}
VOCABULARY = Vocabulary(WORDS)
NOISE = 0.05


def table(effects: dict[str, float]) -> Tensor:
    return torch.tensor([0.0, -1.0, *(effects[word] for word in WORDS)])


class FakeGuide(nn.Module):
    """Keeps each word with a probability that depends on that word alone."""

    def posterior(self, batch: Batch) -> IndependentMask:
        assert not self.training
        return IndependentMask(table(LOGITS)[batch.tokens], batch.lengths)


class FakeModel(nn.Module):
    """Adds up the effects of the kept words, from 0.5; unknown words count -1."""

    aspects = 1

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def predictive(self, batch: Batch, z: Tensor) -> dist.TorchDistribution:
        total = 0.5 + (z * table(EFFECT)[batch.tokens]).sum(-1, keepdim=True)
        if self.kind == "regression":
            return dist.Normal(total, NOISE).to_event(1)
        if self.kind == "binary":
            return dist.Bernoulli(logits=total).to_event(1)
        return dist.Categorical(logits=torch.cat([-total, 0 * total, total], -1))


def fake(kind: str = "regression") -> Any:
    model: Any = FakeModel(kind)
    guide: Any = FakeGuide()
    return FittedModel(Config(), SPECS[kind], VOCABULARY, model, guide, torch.device("cpu"), "fake")


def document(words: str, *targets: float, gold: str | None = None) -> Document:
    tokens = tuple(words.split())
    return Document(
        id=words,
        text=words,
        tokens=tokens,
        offsets=tuple((0, 0) for _ in tokens),
        targets=targets,
        gold=None if gold is None else tuple(c == "1" for c in gold),
    )


def one(words: str, kind: str = "regression", **options: Any) -> Prediction:
    (reading,) = predict(fake(kind), [document(words)], PredictOptions(**options))
    return reading


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_inclusion_mode_and_prediction() -> None:
    reading = one("the good maybe bad the", decode="mode")
    expected = [sigmoid(LOGITS[w]) for w in ("the", "good", "maybe", "bad", "the")]
    assert reading.inclusion == pytest.approx(expected, abs=1e-6)
    assert reading.mode == (False, True, True, True, False)
    assert reading.kept == reading.mode
    # .5 + .3 + .1 - .3 = .6 of the range 1..5.
    assert reading.values == pytest.approx((1 + 4 * 0.6,), abs=1e-5)


def test_prediction_is_that_of_the_decoded_mask() -> None:
    reading = one("the good maybe", decode="threshold", threshold=0.9)
    assert reading.kept == (False, True, False)
    assert reading.mode == (False, True, True)
    assert reading.values == pytest.approx((1 + 4 * 0.8,), abs=1e-5)


@pytest.mark.parametrize(("threshold", "kept"), [(0.0, (True, True)), (1.0, (False, False)), (0.5, (False, True))])
def test_threshold_keeps_words_and_never_padding(threshold: float, kept: tuple[bool, ...]) -> None:
    q = IndependentMask(torch.tensor([[-3.0, 3.0, 9.0], [0.0, 0.0, 0.0]]), torch.tensor([2, 3]))
    mask = decode(q, DecodeOptions(decode="threshold", threshold=threshold))
    assert mask[0].tolist() == [*map(float, kept), 0.0]


@pytest.mark.parametrize("nonempty", [False, True])
def test_a_share_is_kept_of_each_text(nonempty: bool) -> None:
    """By its own price of words: of all masks with as many words, it is the most probable one."""
    torch.manual_seed(0)
    lengths = torch.tensor([8, 8, 5])
    base = LinearChain(torch.randn(3, 8).double() - 4, 0.3 * torch.rand(3, 7).double(), lengths)
    q = NonEmptyMask(base) if nonempty else base
    masks = torch.tensor(list(itertools.product([0.0, 1.0], repeat=8))).double()
    for share, words in ((0.25, (2, 2, 1)), (0.5, (4, 4, 3)), (0.01, (1, 1, 1))):
        found = decode(q, DecodeOptions(decode="share", share=share))
        for row, (mask, number) in enumerate(zip(found, words, strict=True)):
            assert abs(int(mask.sum()) - number) <= 2
            assert not mask[int(lengths[row]) :].any()
            alike = masks[(masks.sum(-1) == mask.sum()) & ~masks[:, int(lengths[row]) :].any(-1)]
            energy = (alike * base.fields[row]).sum(-1) - (alike.diff().abs() * base.coupling[row]).sum(-1)
            assert torch.equal(alike[energy.argmax()], mask)


def test_a_share_of_sentences() -> None:
    units = torch.tensor([[0, 0, 0, 1, 1, 2, 2, 3]])
    starts = torch.tensor([[0, 3, 5, 7]])
    q = UnitMask(IndependentMask(torch.tensor([[-9.0, -7.0, -8.0, -6.0]])), units, starts, torch.tensor([8]))
    found = decode(q, DecodeOptions(decode="share", share=0.5))
    assert found[0].tolist() == [0, 0, 0, 1, 1, 0, 0, 1]


def test_some_guides_have_no_mask_of_a_share() -> None:
    """The message about an ensemble once said that it had a recurrent guide."""
    recurrent, chain = (next(one for one in FAMILIES if one.name == name) for name in ("recurrent", "chain"))
    q = recurrent.make(recurrent.draw(), None)
    with pytest.raises(ConfigError, match="--decode share: a recurrent guide has no mask of a given share"):
        decode(q, DecodeOptions(decode="share"))
    several = MixtureMask([chain.make(chain.draw(), None)] * 2)
    with pytest.raises(ConfigError, match="--decode share: the guides of an ensemble have no mask"):
        decode(several, DecodeOptions(decode="share"))


def test_averaging_matches_enumeration() -> None:
    """Mean, sd and the share of each mask over many draws against the four masks of two words."""
    samples = 20000
    reading = one("good maybe", samples=samples, alternatives=4)
    keep = [sigmoid(LOGITS["good"]), sigmoid(LOGITS["maybe"])]
    masks = [(a, b) for a in (0, 1) for b in (0, 1)]
    weights = np.array([np.prod([p if z else 1 - p for p, z in zip(keep, mask, strict=True)]) for mask in masks])
    ratings = np.array([1 + 4 * (0.5 + 0.3 * a + 0.1 * b) for a, b in masks])
    mean = weights @ ratings
    spread = math.sqrt(weights @ (ratings - mean) ** 2)
    assert reading.averaged[0] == pytest.approx(mean, abs=5 * spread / math.sqrt(samples))
    assert reading.sd is not None
    assert reading.sd[0] == pytest.approx(math.hypot(spread, 4 * NOISE), rel=0.05)
    for alternative in reading.alternatives:
        weight = weights[masks.index((int(alternative.mask[0]), int(alternative.mask[1])))]
        assert math.exp(alternative.log_probability) == pytest.approx(weight, rel=1e-4)
        se = math.sqrt(weight * (1 - weight) / samples)
        assert alternative.frequency == pytest.approx(weight, abs=5 * se)


def test_alternatives_are_distinct_ranked_and_start_with_the_mode() -> None:
    reading = one("the good maybe bad maybe", samples=300, alternatives=5, decode="threshold", threshold=1.0)
    masks = [a.mask for a in reading.alternatives]
    assert masks[0] == reading.mode
    assert len(set(masks)) == 5
    log_q = [a.log_probability for a in reading.alternatives]
    assert log_q == sorted(log_q, reverse=True)
    assert not any(reading.kept)
    assert reading.alternatives[0].values == pytest.approx((1 + 4 * 0.7,), abs=1e-5)


def test_the_shown_mask_has_its_exact_probability() -> None:
    """It needs no list of alternatives and no draws, and is none of a text without words."""
    listed, maybe = one("good maybe", samples=50, alternatives=1, decode="mode"), sigmoid(LOGITS["maybe"])
    assert listed.probability == pytest.approx(listed.alternatives[0].probability, rel=1e-5)
    assert listed.probability == pytest.approx(sigmoid(LOGITS["good"]) * max(maybe, 1 - maybe))
    assert one("good maybe", samples=1, alternatives=0, decode="mode").probability == listed.probability
    nothing = one("good good good", samples=5, decode="threshold", threshold=1.0)
    assert nothing.probability == pytest.approx((1 - sigmoid(LOGITS["good"])) ** 3, rel=1e-4)
    assert one("").probability is None


def test_a_kept_mask_that_was_never_drawn_is_no_alternative() -> None:
    reading = one("good good good", samples=5, alternatives=50, decode="threshold", threshold=1.0)
    assert all(any(alternative.mask) for alternative in reading.alternatives)
    assert sum(a.frequency for a in reading.alternatives) == pytest.approx(1.0)
    assert one("good", alternatives=0).alternatives == ()


def test_same_answer_alone_or_in_company() -> None:
    documents = [document("the good maybe"), document("bad"), document("maybe maybe maybe the bad good")]
    options = PredictOptions(decode="sample", samples=20)
    together = list(predict(fake(), documents, options))
    for i in (2, 0, 1):
        assert list(predict(fake(), [documents[i]], options)) == [together[i]]
    assert [r.document for r in together] == documents


def test_a_relaxed_guide_is_read_by_hard_masks() -> None:
    """A relaxed draw keeps a little of every word: no such mask may be shown, or predicted from."""
    fitted = fake()
    fitted.guide.posterior = lambda batch: RelaxedMask(table(LOGITS)[batch.tokens], batch.lengths, temperature=0.5)
    documents = [document("maybe good maybe the")]
    for rule in ("mode", "sample"):
        options = PredictOptions(decode=rule, samples=200, alternatives=9)
        assert list(predict(fitted, documents, options)) == list(predict(fake(), documents, options))
    hard = decode(
        fitted.guide.posterior(encode_batch(documents, VOCABULARY, fitted.spec)), DecodeOptions(decode="sample")
    )
    assert set(hard.unique().tolist()) <= {0.0, 1.0}


def test_seed_decides_the_draws() -> None:
    text = " ".join(["maybe"] * 40)
    first, again, other = (one(text, decode="sample", seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.kept != other.kept


def test_outer_generator_and_training_mode_are_left_alone() -> None:
    fitted = fake()
    fitted.guide.train()
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    list(predict(fitted, [document("good bad")]))
    decode_all(fitted, [document("good bad")], DecodeOptions(decode="sample"))
    assert torch.equal(torch.rand(3), expected)
    assert fitted.guide.training


def test_gaps_without_words_still_get_an_answer() -> None:
    reading = one("")
    assert (reading.kept, reading.inclusion) == ((), ())
    assert math.isfinite(reading.values[0])
    unknown = one("xyzzy plugh")
    assert len(unknown.kept) == 2
    assert math.isfinite(unknown.values[0])


def test_classes_are_probabilities() -> None:
    reading = one("good maybe", "binary")
    assert reading.values == pytest.approx((sigmoid(0.9),), abs=1e-5)
    assert reading.sd is None
    assert reading.interval is None
    probabilities = one("good maybe", "multiclass").values
    weights = np.exp([-0.9, 0.0, 0.9])
    assert probabilities == pytest.approx(tuple(weights / weights.sum()), abs=1e-5)


@pytest.mark.parametrize(("word", "end", "beyond"), [("good", 5.0, 1.4), ("bad", 1.0, -0.4)])
def test_what_is_shown_stays_on_the_scale_and_what_is_measured_does_not(word: str, end: float, beyond: float) -> None:
    """Three such words lead to 1.4 or to -.4 of the range: beyond the ends of 1 to 5."""
    words = " ".join([word] * 3)
    reading = one(words, samples=50, alternatives=4)
    assert reading.values == (end,)
    assert reading.expected == pytest.approx((1 + 4 * beyond,), abs=1e-5)
    assert all(1.0 <= value <= 5.0 for alternative in reading.alternatives for value in alternative.values)
    assert 1.0 <= reading.averaged[0] <= 5.0
    assert reading.interval is not None
    low, high = reading.interval[0]
    assert low <= reading.values[0] <= high
    measured = evaluate_documents(fake(), [document(words, end)])["mse"]
    assert measured == pytest.approx((1 + 4 * beyond - end) ** 2, abs=1e-4)
    assert decode_all(fake(), [document(words)], DecodeOptions())[1][0] == pytest.approx(reading.expected, abs=1e-5)


def test_the_interval_is_of_all_rationales_not_of_the_one_shown() -> None:
    """The mode keeps every word, few draws do: the prediction lies above a narrow interval, honestly so."""
    reading = one(" ".join(["maybe"] * 4 + ["bad"] * 2), samples=2000, level=0.5, decode="mode")
    assert reading.values == pytest.approx((1 + 4 * 0.3,), abs=1e-5)
    assert reading.interval is not None
    assert reading.interval[0][1] < reading.values[0]
    mean = 1 + 4 * (0.5 + 4 * 0.1 * sigmoid(0.4) - 2 * 0.3 * sigmoid(3.0))
    assert reading.averaged[0] == pytest.approx(mean, abs=0.05)


def test_each_target_has_its_own_scale_and_classes_have_none() -> None:
    two = TargetSpec("regression", ("stars", "marks"), ranges=((1.0, 5.0), (-10.0, 0.0)))
    values = np.array([[0.5, 0.5], [3.0, -3.0], [9.0, -11.0]])
    assert task_of(two).clip(values).tolist() == [[1.0, 0.0], [3.0, -3.0], [5.0, -10.0]]
    assert task_of(SPECS["multiclass"]).clip(values) is values


def test_wrong_options_name_their_flag() -> None:
    wrongs: dict[str, Any] = {
        "decode": "best",
        "threshold": 1.5,
        "samples": 0,
        "alternatives": -1,
        "level": 1.0,
        "seed": -1,
    }
    for flag, wrong in wrongs.items():
        with pytest.raises(ConfigError, match=f"--{flag}"):
            PredictOptions(**{flag: wrong})
    with pytest.raises(ConfigError, match="--threshold"):
        DecodeOptions(threshold=float("nan"))


def test_evaluation_in_the_documents_order() -> None:
    documents = [
        document("the good maybe bad the", 4.0, gold="01000"),
        document("bad", 1.0, gold="1"),
        document("the the", 3.0, gold="11"),
    ]
    masks, values = decode_all(fake(), documents, DecodeOptions("mode"), batch_size=2)
    assert masks == [(False, True, True, True, False), (True,), (False, False)]
    assert values[:, 0] == pytest.approx([3.4, 1.8, 3.0], abs=1e-5)
    metrics = evaluate_documents(fake(), documents, "mode", batch_size=2, lexicon={"good", "bad"})
    assert metrics["documents"] == 3
    assert metrics["mse"] == pytest.approx((0.6**2 + 0.8**2) / 3, abs=1e-5)
    assert metrics["selected"] == pytest.approx(4 / 8)
    assert metrics["precision"] == pytest.approx(2 / 4)
    assert metrics["recall"] == pytest.approx(2 / 4)
    assert metrics["empty"] == pytest.approx(1 / 3)
    assert metrics["lexicon_lift"] == pytest.approx((3 / 4) / (3 / 8))


def test_evaluation_without_targets_or_gold() -> None:
    metrics = evaluate_documents(fake("multiclass"), [document("good"), document("bad bad", 2.0)])
    assert "precision" not in metrics
    assert metrics["accuracy"] == 0.0  # it is a 2 ("high") and taken for a 0
    assert evaluate_documents(fake(), [document("good")]).keys() == {"documents", "selected", "span", "empty"}
    assert evaluate_documents(fake(), [])["documents"] == 0
    assert targets_of([document("good")], SPECS["regression"]).shape == (1, 1)

"""Evidence for answers against enumeration of all masks, with guides that read targets and guides that do not."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from pyro_rationale.cli.explain import as_dict, as_text
from pyro_rationale.cli.explain_tables import answer_lines
from pyro_rationale.config import Config
from pyro_rationale.data.document import make_document
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.errors import ConfigError
from pyro_rationale.fitted import FittedModel
from pyro_rationale.guides import ChainGuide
from pyro_rationale.guides._target import TargetContext
from pyro_rationale.nn import BiLSTM, make_embedding
from pyro_rationale.nn.last_layer import LastLayer
from pyro_rationale.prediction.answers import DRAWS, Answer, answers_of, parse_answers
from pyro_rationale.prediction.decoding import evaluating
from pyro_rationale.prediction.explanation import explain
from pyro_rationale.prediction.options import ExplainOptions
from pyro_rationale.prediction.predictor import predict
from pyro_rationale.prediction.rationales import fits
from pyro_rationale.prediction.text_spans import snippets
from pyro_rationale.storage import to_json
from pyro_rationale.tasks import LevelMixture
from pyro_rationale.training.fitted_ensemble import Ensemble
from tests.support.oracle import Oracle
from tests.support.tiny import SPECS, exact, tiny_guide, tiny_model

VOCABULARY = Vocabulary(tuple("abcdefghij"))
TEXT = make_document("text 1", "c a j f e")
ANSWERS = {"regression": ("look=0.9", "smell=0.25"), "binary": ("good=no", "cheap=yes"), "multiclass": ("a", "c"),
           "ordinal": ("look=0", "smell=1")}  # fmt: skip

SAMPLES = 3000


def made(kind: str, reads: bool = False) -> FittedModel:
    """A tiny run, untrained; its guide reads targets or does not."""
    guide: Any = tiny_guide("chain")
    if reads:
        torch.manual_seed(5)
        context = TargetContext(SPECS[kind])
        guide = ChainGuide(BiLSTM(make_embedding(12, 3), 3, context=context.size), target=context)
        with torch.no_grad():
            for parameter in (*guide.head.parameters(), *guide.joint.parameters()):
                parameter.add_(0.3 * torch.randn_like(parameter))
        guide = guide.double()
    model = tiny_model(kind, kappa=2.0)
    run = FittedModel(Config().settled(), SPECS[kind], VOCABULARY, model, guide, torch.device("cpu"), "tiny")
    return run.eval()


READING = [("multiclass", False), ("ordinal", False), ("regression", True), ("binary", True)]


@pytest.mark.parametrize(("kind", "reads"), READING)
def test_evidence_and_marginals_are_those_of_all_masks(kind: str, reads: bool) -> None:
    fitted = made(kind, reads)
    asked = parse_answers(fitted.task, ANSWERS[kind])
    with evaluating(fitted):
        found = answers_of(fitted, TEXT, asked, SAMPLES)
    for question, answer in zip(asked, found, strict=True):
        targets = [math.nan] * len(fitted.spec.names)
        targets[question.target] = question.value
        with torch.no_grad():
            (table,) = exact(fitted.model, tiny_guide("chain"), fitted.encode([replace(TEXT, targets=tuple(targets))]))
        posterior = Oracle(table.p.log_probs + table.kappa * table.log_likelihood)
        evidence = float((table.p.log_probs + table.log_likelihood).logsumexp(0))
        error = 4.5 * math.sqrt(1 / answer.ess - 1 / SAMPLES)  # relative, of the mean weight
        assert answer.log_evidence == pytest.approx(evidence, abs=error)  # kappa 1: lighter weights than those of ess
        batch = fitted.encode([TEXT])
        with torch.no_grad():
            q = fitted.guide.posterior(batch, see_target=False).discrete()
            log_q = q.log_prob(table.p.masks[:, None].to(q.mean.dtype))[:, 0]
        predictive = float((log_q + table.log_likelihood).logsumexp(0))
        assert answer.log_predictive == pytest.approx(predictive, abs=0.1)  # as if the guide read no answer
        assert answer.inclusion == pytest.approx(posterior.mean.tolist(), abs=4.5 * 0.5 / math.sqrt(answer.ess))
        assert not math.isnan(answer.khat)
        assert SAMPLES / 20 < answer.ess <= SAMPLES
        best = table.p.masks[int(posterior.log_probs.argmax())]
        assert answer.mask == tuple((best > 0).tolist())
        assert len(answer.values) == fitted.task.width


@pytest.mark.parametrize("kind", ["binary", "multiclass", "ordinal"])
@pytest.mark.parametrize("unsure", [False, True])
def test_an_answer_fits_as_it_is_predicted(kind: str, unsure: bool) -> None:
    """An answer fits as predictions do: members read what they drew, weights of the last layer are integrated out."""
    fitted, members = made(kind), [made(kind), made(kind)]
    members[1].model, members[1].guide = tiny_model(kind, kappa=2.0, seed=7).eval(), tiny_guide("chain", 8).eval()
    if unsure:
        output = fitted.model.encoder.output
        root = 0.7 * torch.eye(output.in_features + 1, dtype=torch.float64)
        fitted.model.last_layer = LastLayer(root.expand(output.out_features, -1, -1))
    else:
        fitted = Ensemble.of(members, "both")
    (reading,) = predict(fitted, [TEXT], ExplainOptions(samples=DRAWS, answers=ANSWERS[kind]))
    for question, answer in zip(parse_answers(fitted.task, ANSWERS[kind]), reading.answers, strict=True):
        if kind == "ordinal":
            assert isinstance(reading.predictive, LevelMixture)
            targets = np.full(len(fitted.spec.names), question.value)
            expected = float(reading.predictive.log_prob(targets)[question.target])
        else:
            chances = fitted.task.probabilities(np.array([reading.averaged]))
            assert chances is not None
            expected = math.log(chances[0, question.target, int(question.value)])
        assert answer.log_predictive == pytest.approx(expected, abs=1e-6)
        alike = [other.values for other in reading.alternatives if other.mask == answer.mask]
        assert answer.values == pytest.approx((alike or [answer.values])[0], abs=1e-6)


def test_draws_depend_on_the_text_and_the_seed_alone() -> None:
    fitted = made("multiclass")
    asked = parse_answers(fitted.task, ["b"])
    with evaluating(fitted):
        one, again, other = (answers_of(fitted, TEXT, asked, 10, seed) for seed in (0, 0, 1))
        both = answers_of(fitted, TEXT, parse_answers(fitted.task, ["b", "a"]), DRAWS)
    assert one == again == both[:1]
    assert one != other


def test_an_answer_that_cannot_be_is_one_line() -> None:
    for kind, answer, message in (
        ("regression", "look=7", r"--for 'look=7': is 7, outside the range 0 to 1"),
        ("regression", "look=nice", r"--for 'look=nice': is 'nice', not a number"),
        ("regression", "0.5", r"--for '0.5': of which target\? The run predicts look, smell: look=\.\.\."),
        ("multiclass", "d", r"--for 'd': is 'd', which is none of the classes a, b, c"),
    ):
        with pytest.raises(ConfigError, match=message):
            list(predict(made(kind), [TEXT], ExplainOptions(answers=(answer,))))


def test_a_label_may_hold_the_sign() -> None:
    task = made("multiclass").task
    task = type(task)(replace(task.spec, classes=("a=1", "b", "kind=b")))
    assert [question.value for question in parse_answers(task, ["a=1", "kind=b", "b"])] == [0.0, 1.0, 1.0]


def test_they_are_shown_everywhere() -> None:
    fitted = made("multiclass")
    options = ExplainOptions(samples=5, answers=("a", "c"))
    (reading,) = predict(fitted, [TEXT], options)
    first, second = reading.answers
    likely, less = sorted((first, second), key=lambda answer: -answer.log_predictive)
    shown = as_text(reading, fitted.task, 0.9)

    def line(answer: Answer, fit: str) -> str:
        """Words first, then the fit; one warning, behind what is rough."""
        words = snippets(TEXT, answer.mask)
        return f"{answer.label}: {words}{' (rough estimate)' * (answer.khat > 0.7)}; {fit}"

    assert line(likely, "fits best") in shown.splitlines()
    assert line(less, "fits as well") in shown.splitlines()  # to a tenth of a nat
    assert "k-hat" not in shown
    record = json.loads(to_json(as_dict(reading, fitted.task, options)))["answers"]
    assert [(row["target"], row["answer"]) for row in record] == [("kind", "a"), ("kind", "c")]
    for name in ("log_evidence", "evidence_khat", "khat"):
        assert record[0][name] == pytest.approx(getattr(first, name))
    assert set(record[0]["prediction"]) == {"label", "probabilities"}
    lines = list(answer_lines(replace(reading, answers=(replace(first, khat=math.inf),)), fitted.task, plain=False))
    assert str(lines[2]) == f"a: {snippets(TEXT, first.mask)} (rough estimate)"
    assert not any("; fits" in str(line) for line in lines)  # alone, it has nothing to be compared with
    assert any("give another --for to compare" in str(line) for line in lines)
    assert any("a few of the masks drawn decide it" in str(line) for line in lines)
    assert any("fit with --condition-on-target, --tau 1 and fewer --nats" in str(line) for line in lines)
    assert any("yellow" in str(span.style) for span in lines[2].spans)
    sure = [replace(answer, khat=0.1, evidence_khat=0.2) for answer in (first, second)]
    lines = list(answer_lines(replace(reading, answers=tuple(sure)), fitted.task, plain=False))
    assert not any("rough estimate" in str(line) for line in lines)
    fit = [replace(first, log_predictive=-1.0 - less) for less in (0.0, 0.04, 0.06, 0.4)]
    assert fits(fit) == ["fits best", "fits as well", "0.1 nats less", "0.4 nats less"]
    assert fits(fit[:1]) == [""]
    worse = replace(sure[1], khat=0.9)
    lines = list(answer_lines(replace(reading, answers=(sure[0], worse)), fitted.task, plain=True))
    assert str(lines[3]).startswith(f"c: {snippets(TEXT, worse.mask)} (rough estimate); ")  # its words, not its fit
    (explanation,) = found = explain(fitted, [TEXT], options, classes=(10, 20, 30))
    assert [(answer.answer, answer.mask) for answer in explanation.answers] == [(10, first.mask), (30, second.mask)]
    assert explanation.answers[0].prediction in (10, 20, 30)
    assert "what would speak for each answer" in explanation._repr_html_()
    said = dict(zip((10, 30), (line(answer, fit).partition(": ")[2] for answer, fit in (
        (first, "fits best" if likely is first else "fits as well"),
        (second, "fits best" if likely is second else "fits as well"),
    )), strict=True))  # fmt: skip
    assert str(explanation).splitlines()[-3:] == [
        "what would speak for each answer", *(f"{label}: {words}" for label, words in said.items())
    ]
    assert "speak for" not in str(bare := replace(explanation, answers=()))
    assert str(type(found)([explanation, bare])) == f"{explanation}\n\n{bare}"
    (rated,) = explain(made("ordinal"), [TEXT], ExplainOptions(samples=5, answers=("look=1",)))
    assert (rated.answers[0].target, rated.answers[0].answer) == ("look", 1.0)
    words = f"look 1: {rated.answers[0].words}"
    assert str(rated).splitlines()[-1].startswith(words)
    assert f"<li>{words}<span style='opacity:.75'>" in rated._repr_html_()
    assert "k-hat" not in rated._repr_html_()

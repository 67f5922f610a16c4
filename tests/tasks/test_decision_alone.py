"""Predictions from a single mask have a rule of their own: they are neither averaged nor tempered."""

from __future__ import annotations

import numpy as np
import pytest

from pyro_rationale.config import Config
from pyro_rationale.evaluation.evaluate import evaluate_average, evaluate_documents
from pyro_rationale.prediction.options import DecodeOptions
from pyro_rationale.prediction.rationalizer import ModelRationalizer
from pyro_rationale.prediction.shown_masks import decode_all
from pyro_rationale.tasks import Calibration, Decision
from pyro_rationale.tasks._decision import fit_decision
from tests.prediction.test_calibration import TEXTS
from tests.prediction.test_decision_faces import DOCUMENTS
from tests.prediction.test_predictor import document, fake

ALONE = Decision(((0.0, -0.6),), (100,), (0.8,), (0.4,))  # yes from 0.65 on: "good" alone, of single masks
RULE = Decision(((0.0, 9.0),), (100,), (0.8,), (0.4,), ALONE)  # always yes


def test_figures_and_words_of_one_mask_follow_its_own_rule() -> None:
    run = fake("binary")
    run.calibration = Calibration(((),), decision=RULE)
    made = evaluate_documents(run, DOCUMENTS, samples=20)
    assert made["accuracy"] == made["macro_f1"] == 1.0
    assert made["averaged_accuracy"] == 1 / 3
    assert ModelRationalizer(run).decision == ALONE
    [one] = run.explain(["bad"])
    assert (one.prediction, one.from_rationale) == ("yes", "no")
    assert run.explain(["bad"], predict="mode")[0].prediction == "no"


def test_averages_are_tempered_before_they_are_named() -> None:
    run = fake("binary")
    run.calibration = Calibration(((),), temperature=0.25)
    tempered, expected = evaluate_average(run, DOCUMENTS, 500), evaluate_documents(run, DOCUMENTS, samples=500)
    assert tempered["log_loss"] == pytest.approx(expected["averaged_log_loss"], rel=0.1)
    run.calibration = None
    assert evaluate_average(run, DOCUMENTS, 500)["log_loss"] != pytest.approx(tempered["log_loss"], rel=0.2)


def test_it_is_chosen_by_single_masks_of_the_same_texts() -> None:
    run = fake("binary")
    run.config = Config().changed(decide="macro-f1")
    random = np.random.default_rng(0)
    words = [TEXTS[i % len(TEXTS)] for i in range(300)]
    texts = [document(text, float("good" in text and random.random() < 0.4)) for text in words]
    run.calibrate(texts)
    ordered = sorted(texts, key=lambda text: len(text.tokens))
    one = decode_all(run, ordered, DecodeOptions())[1]
    expected = fit_decision(np.stack([1 - one, one], -1), np.array([text.targets for text in ordered]))
    assert run.decision is not None
    assert run.decision.alone == expected
    assert Calibration.from_dict(run.calibration.to_dict(), 1).decision == run.decision

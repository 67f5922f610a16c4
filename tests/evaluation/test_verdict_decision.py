"""A rule of macro-F1 gives up accuracy on purpose: that is no failure."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from pyro_rationale.cli.fit import judged_by_class
from pyro_rationale.config import Config
from pyro_rationale.data.corpus import Corpus, TargetSpec
from pyro_rationale.data.weighting import EQUAL
from pyro_rationale.evaluation.evaluate import compute
from pyro_rationale.evaluation.metrics import MetricInputs
from pyro_rationale.evaluation.verdict import constant_evaluation, weighs_classes, worse_than_constant
from pyro_rationale.tasks._decision import fit_decision
from tests.support.marked import document

MAIL = TargetSpec("binary", ("kind",), classes=("ham", "spam"))


def mails(seed: int) -> tuple[Any, Any]:
    """Probabilities of spam that rank texts well and are three times too sure, and which are spam, one in ten."""
    random = np.random.default_rng(seed)
    spam = (random.random(2000) < 0.1).astype(float)
    logit = 3.0 * (1.2 * (random.normal(size=2000) + 1.2 * spam) - 0.72 + np.log(1 / 9))
    return np.clip(1 / (1 + np.exp(-logit)), 1e-6, 1 - 1e-6), spam


def test_a_fit_that_names_classes_for_macro_f1_is_judged_by_classes() -> None:
    (chances, spam), (new, truth) = mails(0), mails(1)
    rule = fit_decision(np.stack([1 - chances, chances], -1)[:, None], spam[:, None])
    train, test = ([document("1", targets=(label,)) for label in labels] for labels in (spam, truth))
    own = compute(MetricInputs(test, MAIL, values=new[:, None], decision=rule))
    constant = constant_evaluation(train, test, MAIL)
    assert own.metrics["accuracy"] < constant.metrics["accuracy"]
    assert own.metrics["macro_f1"] > constant.metrics["macro_f1"] + 0.15
    corpus = Corpus(name="mails", spec=MAIL, train=train, dev=test, test=test)
    fitted: Any = SimpleNamespace(weighting=EQUAL, decision=rule)
    balanced = weighs_classes(fitted, corpus)
    assert worse_than_constant(own.statistics, constant.statistics, balanced) == ""
    assert not weighs_classes(SimpleNamespace(weighting=EQUAL, decision=None), corpus)  # type: ignore[arg-type]
    config = Config()
    assert [judged_by_class(config.changed(decide=decide)) for decide in ("auto", "macro-f1")] == [False, True]


def test_a_fit_is_judged_by_the_average_that_it_predicts() -> None:
    spec, random = TargetSpec("regression", ("food",), ((0.0, 10.0),)), np.random.default_rng(0)
    truth = random.normal(5.0, 1.0, (400, 1))
    averaged = 5.0 + 0.3 * (truth - 5.0)
    one = averaged + random.normal(0.0, 1.0, (400, 1))  # masks disagree
    texts = [document("1", targets=tuple(row)) for row in truth.tolist()]
    own = compute(MetricInputs(texts, spec, values=one, averaged=averaged)).statistics
    constant = constant_evaluation(texts, texts, spec).statistics
    assert own["averaged_mse"].value < 0.6 * constant["mse"].value < own["mse"].value
    assert worse_than_constant(own, constant) == ""
    del own["averaged_mse"]
    assert worse_than_constant(own, constant).startswith("mean squared error")

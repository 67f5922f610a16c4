"""Evaluation of a model of similar texts: how its rankings and its rationales do on held-out queries."""

from __future__ import annotations

import math

from pyro_rationale.data.pair_batches import RankingLists
from pyro_rationale.data.pairs import PairCorpus
from pyro_rationale.evaluation.evaluate import Evaluation, compute
from pyro_rationale.evaluation.metrics import MetricInputs
from pyro_rationale.fitted import FittedModel
from pyro_rationale.inference.vectors import Vectors, read_documents
from pyro_rationale.models import RankingModel


def evaluate_ranking(fitted: FittedModel, corpus: PairCorpus, split: str = "test", batch_size: int = 128) -> Evaluation:
    """Metrics of the most probable masks of the queries of a split and of their candidates.

    Args:
        fitted: the model.
        corpus: the queries.
        split: train, dev or test.
        batch_size: texts at once.
    """
    model, lists = fitted.model, RankingLists.of(corpus, split)
    assert isinstance(model, RankingModel)

    def read(masks: str) -> Vectors:
        return read_documents(model, fitted.guide, fitted.batches(lists.documents, batch_size).ordered(), masks)

    fitted.eval()
    kept = read("mode")
    candidates = read("full").vectors if model.match == "full" else None
    log_probs = lists.log_probs(kept.vectors, model.temperature, candidates)
    own = compute(MetricInputs(lists.documents, fitted.spec, [mask.tolist() for mask in kept.masks]))
    return Evaluation(
        own.documents, own.statistics, {**own.others, "list_log_loss": -float(log_probs.mean())}, own.curves
    )


def worse_than_chance(evaluation: Evaluation, candidates: float) -> str:
    """In what rankings are worse than a guess among so many candidates, in words; empty if they are not."""
    loss = evaluation.metrics.get("list_log_loss", math.nan)
    guess = math.log(candidates)
    return f"log loss {loss:.4g} against {guess:.4g} of a guess" if loss > guess else ""

"""Other encoders than that of a run, on planted pairs: one trained on whole texts, and a transformer as it comes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from pyro_rationale.cli.studies.rankers import study
from pyro_rationale.errors import ConfigError
from pyro_rationale.evaluation.ranking_baselines import SearchTask
from pyro_rationale.experiments.studies.rankers import FIXED, RATIONALE, WHOLE, Texts
from pyro_rationale.experiments.studies.ranking_readers import (
    by_attention,
    has_attention,
    others,
    whole_text_encoder,
    zero_shot,
)
from pyro_rationale.fitted import FittedModel
from pyro_rationale.models import RankingModel
from pyro_rationale.training.prepare import prepare_run
from tests.support.planted_pairs import planted_pairs
from tests.support.small_fit import small
from tests.support.tiny_bert import make_tiny_bert

transformers = pytest.importorskip("transformers", reason="pip install 'pyro_rationale[minilm]'")
tokenizers = pytest.importorskip("tokenizers")


@pytest.fixture(scope="module")
def task() -> SearchTask:
    return SearchTask.of(planted_pairs(), "test")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> FittedModel:
    """An untrained model of pairs, as a run has it before its first step."""
    config = small(
        guide="chain", estimator="muprop", hidden=16, embedding=16, pooling="attention", steps=20, anneal=2,
        batch_size=24, min_count=1, learning_rate=0.02, nats=60.0,
    )  # fmt: skip
    return prepare_run(config, tmp_path_factory.mktemp("readers") / "run", corpus=planted_pairs()).fitted


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = {word for document in planted_pairs().documents for word in document.tokens}
    return make_tiny_bert(tmp_path_factory.mktemp("bert"), tuple(sorted(words)), positions=64)


def test_an_encoder_of_whole_texts_is_trained_and_leaves_the_run_alone(fitted: FittedModel, task: SearchTask) -> None:
    before = {name: value.clone() for name, value in fitted.model.state_dict().items()}
    steps: list[int] = []
    torch.manual_seed(3)
    state = torch.get_rng_state()
    reader = whole_text_encoder(fitted, planted_pairs(), lambda: steps.append(1))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in fitted.model.state_dict().items())
    assert len(steps) >= 10  # half of those of the run, in whole epochs
    texts = Texts.of(task)
    found, _ = others(task, fitted, 0.2, 0, full_text=True)
    assert list(found) == [f"trained on all words: {name}" for name in (WHOLE, "top attention")]
    assert has_attention(reader)
    masks = by_attention(reader, texts.documents, 0.25, batch_size=5)
    assert [int(mask.sum()) for mask in masks] == [4] * len(masks)
    with torch.no_grad():
        batch = reader.encode(texts.documents[:1])
        encoder: Any = reader.model.encoder
        scores = encoder.pooling.score(encoder.states(batch.tokens, batch.mask))[0, :, 0]
    assert np.array_equal(np.sort(scores.argsort(descending=True)[:4].numpy()), np.flatnonzero(masks[0]))


def test_a_transformer_reads_texts_as_it_comes(bert: Path, task: SearchTask, fitted: FittedModel) -> None:
    """Cosines of the means of its states, of all words and of any choice of them."""
    reader = zero_shot(planted_pairs().documents, str(bert), "cpu")
    assert isinstance(reader.model, RankingModel)
    texts = Texts.of(task).documents[:3]
    own = transformers.AutoModel.from_pretrained(str(bert)).eval()
    cut = tokenizers.Tokenizer.from_file(str(bert / "tokenizer.json"))
    with torch.no_grad():
        batch = reader.encode(texts)
        vectors = reader.model.embed(batch, batch.mask.float())
        ids = [torch.tensor([cut.encode(" ".join(text.tokens)).ids]) for text in texts]
        means = torch.nn.functional.normalize(torch.stack([own(row).last_hidden_state[0].mean(0) for row in ids]))
    assert torch.allclose(vectors @ vectors.T, means @ means.T, atol=1e-4)
    found, shares = others(task, fitted, 0.2, 0, pretrained=str(bert), device="cpu")
    assert list(found) == [f"{bert.name}: {name}" for name in (RATIONALE, WHOLE, *FIXED)]
    assert shares[f"{bert.name}: {WHOLE}"] == 1.0
    alone, _ = others(task, None, 0.2, 0, pretrained=str(bert), device="cpu")
    assert list(alone) == [f"{bert.name}: {name}" for name in (WHOLE, *FIXED)]
    assert alone[f"{bert.name}: {WHOLE}"]["map"].value == found[f"{bert.name}: {WHOLE}"]["map"].value


def test_what_cannot_be(task: SearchTask) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        zero_shot(task.corpus.documents, "/nowhere")
    done: Any = CliRunner().invoke(study, ["--data", "questions", "--full-text"])
    assert isinstance(done.exception, ConfigError)
    assert "--full-text: needs the --run" in str(done.exception)

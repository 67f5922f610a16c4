"""Transformers of several architectures: which of them read hard masks only, and what of the others is exact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pyro_rationale.cli.fit import fit
from pyro_rationale.config import Config
from pyro_rationale.data.open_vocabulary import OpenVocabulary
from pyro_rationale.errors import ConfigError
from pyro_rationale.nn import ENCODERS
from pyro_rationale.nn.pretrained import Transformer
from pyro_rationale.training.prepare import prepare_run
from tests.support.small_fit import fit_small, flags, refusal, sixteen, small
from tests.support.tiny_bert import make_tiny_bert

WORDS = ("good", "bad", "film", "the", "a", "was")
TEXTS = ("the film was splendid a bad cheap don't", "bad film good the zebra")
HARD_ONLY = ("mpnet", "deberta-v2")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("transformers")
    return {kind: make_tiny_bert(place / kind, WORDS, 128, kind=kind) for kind in ("bert", *HARD_ONLY, "gpt2")}


def encoder(folder: Path, **changes: Any) -> Any:
    torch.manual_seed(0)
    own = {"pretrained": str(folder), "encoder": "transformer", "pooling": "attention", **changes}
    kind: Any = ENCODERS["transformer"]
    options = Config().settled().changed(**own).model
    return kind.from_config(options, torch.nn.Embedding(2, 3), 2, vocabulary=OpenVocabulary(WORDS)).eval()


def tokens(network: Any) -> tuple[Tensor, Tensor]:
    rows = [torch.tensor(network.pieces.vocabulary.encode(text.split())) for text in TEXTS]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), torch.tensor([len(row) for row in rows])


def masks(lengths: Tensor) -> Tensor:
    """Nine masks of each text: nothing, everything, and some by chance."""
    size = int(lengths.max())
    drawn = torch.rand(7, len(lengths), size, generator=torch.Generator().manual_seed(2)) < 0.5
    ends = torch.stack([torch.zeros_like(drawn[0]), torch.ones_like(drawn[0])])
    return (torch.cat([ends, drawn]) & (torch.arange(size) < lengths[:, None])).float()


@pytest.mark.parametrize("kind", ["bert", *HARD_ONLY])
def test_a_hard_mask_is_the_reading_of_the_kept_words(folders: dict[str, Path], kind: str) -> None:
    """The library's own model and tokenizer read a text at a time: no padding, no places of dropped words."""
    import transformers

    network = encoder(folders[kind])
    assert network.transformer.kind == kind
    alone = transformers.AutoModel.from_pretrained(str(folders[kind])).eval()
    words, lengths = tokens(network)
    z = masks(lengths)
    with torch.no_grad():
        outputs = network(words, z, lengths)
        for k, b in torch.cartesian_prod(torch.arange(len(z)), torch.arange(len(TEXTS))).tolist():
            kept = [word for word, on in zip(TEXTS[b].split(), z[k, b].tolist(), strict=False) if on]
            ids = torch.tensor([network.pieces.tokenizer.encode(kept, is_pretokenized=True).ids])
            states = alone(ids).last_hidden_state
            expected = network.output(network.pooling(states, torch.ones(ids.shape), torch.tensor([ids.shape[1]])))
            torch.testing.assert_close(outputs[k, b], expected[0], atol=1e-5, rtol=0)
    assert (outputs[0] - outputs[1]).abs().max() > 1e-2


@pytest.mark.parametrize("kind", HARD_ONLY)
def test_masks_between_0_and_1_are_refused(folders: dict[str, Path], kind: str) -> None:
    """Masks of 0 and 1 that take gradients are, too: MPNet would read them wrongly, and DeBERTa not at all."""
    network = encoder(folders[kind])
    words, lengths = tokens(network)
    whole = masks(lengths)[1]
    told = rf"{kind} reads masks of 0 and 1 alone.*take --guide chain --estimator rloo"
    for z in (0.5 * whole, whole.requires_grad_()):
        with pytest.raises(ConfigError, match=told):
            network(words, z, lengths)


def test_what_reads_relaxed_masks_is_found_by_reading_one(folders: dict[str, Path]) -> None:
    """A decoder has the attention that takes them; but with them, its words see those that follow."""
    found = {kind: Transformer(folder).reads_relaxed for kind, folder in folders.items()}
    assert found == {"bert": True, "mpnet": False, "deberta-v2": False, "gpt2": False}


def test_another_attention_in_the_folder_is_passed_over(tmp_path: Path) -> None:
    """A folder that asks for flash attention would only run on a machine that has it."""
    bert = make_tiny_bert(tmp_path)
    file = bert / "config.json"
    file.write_text(file.read_text().replace("{", '{"attn_implementation": "flash_attention_2", ', 1))
    assert Transformer(bert).reads_relaxed


@pytest.mark.parametrize("kind", ["bert", *HARD_ONLY])
def test_low_rank_updates_go_to_its_projections(folders: dict[str, Path], kind: str) -> None:
    pytest.importorskip("peft", reason="the extra 'lora' is not installed")
    network = encoder(folders[kind], tune_encoder="lora:2")
    own = [part for name, part in network.named_parameters() if name.startswith("transformer.")]
    assert len(own) == 2 * 3 * 2  # two matrices for each of three projections in two layers
    assert {min(part.shape) for part in own} == {2}
    words, lengths = tokens(network)
    z = masks(lengths)[1:]
    outputs = network(words, z, lengths)
    outputs.sum().backward()
    assert all(part.grad is not None for part in own)
    if kind == "bert":  # wrapped as it is, its relaxed masks are read
        torch.testing.assert_close(network(words, z.requires_grad_(), lengths), outputs, atol=1e-5, rtol=0)


def test_low_rank_updates_of_other_projections_are_refused(folders: dict[str, Path]) -> None:
    pytest.importorskip("peft", reason="the extra 'lora' is not installed")
    with pytest.raises(ConfigError, match=r"no query, key and value.*use none, top:N or all"):
        Transformer(folders["gpt2"], "lora:2")


def on(folder: Path, **changes: Any) -> dict[str, Any]:
    own = {"encoder": "transformer", "tune_encoder": "top:1", "documents": 24, "steps": 2, "anneal": 1, "batch_size": 8}
    return {"pretrained": str(folder), **own, **changes}


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({}, "--guide chain --estimator rloo"),
        ({"guide": "hardkuma"}, "--guide chain --estimator rloo"),
        ({"guide": "chain"}, "--estimator rloo"),
        ({"guide": "independent", "estimator": "straight-through"}, "--estimator rloo"),
        ({"guide": "chain", "estimator": "rloo", "warmup": 2, "head_start": "saliency"}, "--head-start none"),
    ],
)
def test_a_fit_says_what_to_take_instead(
    folders: dict[str, Path], tmp_path: Path, options: dict[str, Any], remedy: str
) -> None:
    with pytest.raises(ConfigError, match=rf"mpnet reads masks of 0 and 1 alone.*; take {remedy}$"):
        prepare_run(small(**on(folders["mpnet"], **options)), tmp_path / "run", corpus=sixteen())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("kind", "generator"), [("mpnet", "transformer"), ("deberta-v2", "stacked")])
def test_a_fit_on_hard_masks(
    folders: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str, generator: str
) -> None:
    """The command refuses the relaxed guide in one line, and what the line says to take is fitted."""
    told = refusal(capfd, fit, *flags(**on(folders[kind])), "--out", tmp_path / "run")
    assert told.startswith(f"--encoder transformer: {kind} reads masks of 0 and 1 alone")
    assert told.endswith("take --guide chain --estimator rloo")
    options = on(folders[kind], generator=generator, guide="chain", estimator="rloo")
    run, metrics = fit_small(tmp_path / "run", **options)
    assert run.trainer.step == 2
    assert 0.0 < metrics.test["mse"] < 1.0

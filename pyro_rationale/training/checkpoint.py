"""State of a fit as one flat dictionary of tensors: weights, moments of the optimiser, random states.

Each kind has its prefix, so that all fit into one safetensors file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pyro_rationale.data.vectors import WordVectors
from pyro_rationale.errors import ConfigError, RunError
from pyro_rationale.fitted import FittedModel
from pyro_rationale.nn.word_vectors import digest_of, packed, unpacked
from pyro_rationale.run_files import CHECKPOINT
from pyro_rationale.storage import read_tensors

Metadata = dict[str, Any]  # of a checkpoint: plain JSON values


def state_tensors(fitted: FittedModel, optimizer: Optimizer, names: Sequence[str]) -> dict[str, Tensor]:
    """Copies of all tensors on which the rest of a fit depends.

    Args:
        fitted: model and guide.
        optimizer: the optimiser of their parameters.
        names: names of the parameters, in the optimiser's order.

    Returns:
        `weights.PART.NAME`, `adam.NAME.KEY` and `random.cpu`; on a GPU `random.cuda`, too.
    """
    tensors = {f"weights.{name}": value for name, value in weights_of(fitted.model, fitted.guide).items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{names[index]}.{key}": value for key, value in moments.items()}
    tensors |= random_states(fitted.device)
    return {name: value.detach().clone() for name, value in tensors.items()}


def load_state(fitted: FittedModel, optimizer: Optimizer, names: Sequence[str], tensors: dict[str, Tensor]) -> None:
    """Load what :func:`state_tensors` returned; a parameter without moments starts without them.

    Raises:
        RuntimeError: they are of another model or guide.
        KeyError: there is no random state among them.
    """
    load_weights(fitted, _below("weights.", tensors))
    state = optimizer.state_dict()
    state["state"] = {}
    for index, name in enumerate(names):
        # Copies: Adam would go on writing into the state that a later recovery needs.
        moments = {key: value.clone() for key, value in _below(f"adam.{name}.", tensors).items()}
        if moments:
            state["state"][index] = moments
    optimizer.load_state_dict(state)
    set_random_states(tensors, fitted.device)


def weights_of(model: nn.Module, guide: nn.Module) -> dict[str, Tensor]:
    """Copies of weights and buffers of model and guide, the current prior among them, as `PART.NAME`."""
    parts = (("model", model), ("guide", guide))
    return {f"{part}.{k}": v.detach().clone() for part, module in parts for k, v in module.state_dict().items()}


def trained(model: nn.Module, guide: nn.Module) -> dict[str, nn.Parameter]:
    """Trainable parameters of model and guide as `PART.NAME`, not copied."""
    parts = (("model", model), ("guide", guide))
    return {f"{part}.{k}": p for part, module in parts for k, p in module.named_parameters() if p.requires_grad}


def load_weights(fitted: FittedModel, weights: dict[str, Tensor]) -> None:
    """Load what :func:`weights_of` returned.

    Raises:
        RuntimeError: they are of another model or guide.
    """
    for part, module in (("model", fitted.model), ("guide", fitted.guide)):
        module.load_state_dict(_below(f"{part}.", weights))


def random_states(device: torch.device) -> dict[str, Tensor]:
    """State of the CPU's random generator, and of that of `device` if it is a GPU."""
    states = {"random.cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["random.cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_random_states(states: dict[str, Tensor], device: torch.device) -> None:
    """Load what :func:`random_states` returned; other tensors among them are ignored."""
    torch.set_rng_state(states["random.cpu"].cpu())
    if "random.cuda" in states and device.type == "cuda":
        torch.cuda.set_rng_state(states["random.cuda"].cpu(), device)


def vector_state(vectors: WordVectors | None) -> tuple[dict[str, Tensor], Metadata]:
    """Word vectors that a fit began with, as tensors and values of a checkpoint; nothing where there are none."""
    if vectors is None:
        return {}, {}
    tensors, facts = packed(vectors)
    return {f"vectors.{name}": value for name, value in tensors.items()}, {"vectors": facts}


def without_vectors(tensors: Mapping[str, Tensor], vectors: WordVectors | None) -> tuple[dict[str, Tensor], list[str]]:
    """Tensors of a checkpoint but for those that are the word vectors once more, and the names of these.

    Frozen vectors stand among the weights of now, of the best epoch and of the last good state: 18 MB each, of 30,000
    words by GloVe and MiniLM.
    """
    matrix = None if vectors is None else vectors.matrix
    again = [name for name, own in tensors.items() if matrix is not None and _is_copy(own, matrix)]
    return {name: own for name, own in tensors.items() if name not in again}, again


def _is_copy(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one.cpu(), other)


def with_vectors(tensors: Mapping[str, Tensor], again: Sequence[str]) -> dict[str, Tensor]:
    """The tensors that `without_vectors` was given, from a checkpoint that has the word vectors as well.

    Raises:
        KeyError: it has not.
    """
    return {**tensors, **{name: tensors["vectors.matrix"].clone() for name in again}}


def stored_vectors(folder: Path, source: str) -> WordVectors | None:
    """Word vectors that the fit of a run folder began with, from its checkpoint.

    Args:
        folder: the run folder.
        source: as `--vectors` names it; it need not be there any more.

    Returns:
        The vectors; `None` where there is no checkpoint, or one of a version that did not keep them.

    Raises:
        ConfigError: the source is there and has changed since.
        RunError: the checkpoint is damaged.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    tensors, facts = read_tensors(path)
    try:
        if (known := facts.get("vectors")) is None:
            return None
        vectors = unpacked(_below("vectors.", tensors), known)
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise RunError(f"{path}: holds no word vectors of this version ({problem}); fit again") from None
    if vectors.digest is not None and digest_of(source) not in (None, vectors.digest):
        raise ConfigError(f"--vectors {source}: has changed since the run in {folder} began; restore it, or fit again "
                          "with --force")
    return vectors


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors whose names begin with `prefix`, by their names without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

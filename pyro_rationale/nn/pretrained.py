"""Pretrained transformers under our networks, and how they read a relaxed mask.

A transformer reads the pieces of the kept words (:mod:`pyro_rationale.nn.pieces`) at positions 0 to k. A relaxed mask
is read by *soft compaction*, in which a word of weight w takes w of a place and w of the attention, and which is the
compacted reading where all weights are 0 or 1.
"""

from __future__ import annotations

import inspect
import warnings
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pyro_rationale.data.open_vocabulary import OpenVocabulary
from pyro_rationale.errors import ConfigError, reason_of
from pyro_rationale.nn.pieces import Pieces
from pyro_rationale.nn.pretrained_folders import find_base, find_folder
from pyro_rationale.optional import optional

TINY = 1e-9  # weight of a dropped word in soft compaction: its logarithm is finite, and so is its gradient
PROJECTIONS = ("query", "key", "value", "q_lin", "k_lin", "v_lin", "Wqkv", "q", "k", "v", "query_proj", "key_proj",
               "value_proj")  # of attention, as the architectures name them
TOLERANCE = 0.05  # of the largest state, between soft and hard readings: rounding in bfloat16, and no causal attention


class Transformer(nn.Module):
    """A pretrained transformer whose frozen part is no part of our state: run folders hold what was tuned.

    Args:
        folder: see `find_folder`.
        tune: `none` (or `heads`: nothing of the transformer itself), `top:N` layers, `all`, or `lora:R`, which adds
            low-rank updates of the attention's projections.
        checkpointing: keep no activations within a layer, and compute them again for the gradient: less memory.

    Attributes:
        kind: of its architecture, as `config.json` names it: `bert`, `mpnet`.
        width: numbers per state.
        positions: pieces that it can read at once.
        is_tuned: whether anything of it takes gradients.

    Raises:
        ConfigError: transformers is not installed, or it cannot load the folder, or `tune` makes no sense.
    """

    base: Any

    def __init__(self, folder: Path, tune: str = "none", checkpointing: bool = False) -> None:
        super().__init__()
        transformers = optional("transformers", "pretrained networks need", "transformers")
        transformers.utils.logging.disable_progress_bar()
        try:
            # None, whatever the folder asks for: torch's attention where the architecture can use it, else its own.
            base = transformers.AutoModel.from_pretrained(
                str(folder), local_files_only=True, attn_implementation=None, dtype=torch.float32
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            reason = reason_of(error, 120)
            raise ConfigError(f"--pretrained {folder}: transformers cannot load it ({reason})") from None
        base.requires_grad_(False)
        self.kind, self.width = str(base.config.model_type), int(base.config.hidden_size)
        # Of the architecture itself: the wrapper that LoRA puts around it has a signature of its own.
        takes = inspect.signature(base.forward).parameters
        self._may_read_relaxed = bool(getattr(base, "_supports_sdpa", False)) and "position_ids" in takes
        # RoBERTa counts positions from 2, so two of its 514 are no places.
        self._first = _first_position(base)
        self.positions = int(getattr(base.config, "max_position_embeddings", 512)) - self._first
        base, chosen = _choose(base, tune)
        for name, parameter, depth in chosen:
            parameter.requires_grad_(True)
            own = name.replace(".", "_")
            self.register_parameter(own, parameter)
            vars(parameter)["pretrained_layer"] = depth  # for the learning rate; counted from the output
        self.is_tuned = bool(chosen)
        if checkpointing and chosen:
            layer: Any
            for layer in _layers(base):  # not the library's own switch, which needs train(), and with it dropout
                layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
        # Not a child: state_dict, parameters() and Pyro see the tuned part only.
        vars(self)["base"] = base.eval()

    @property
    def dtype(self) -> torch.dtype:
        """Type of the states."""
        return self._word_embeddings().weight.dtype

    def _word_embeddings(self) -> nn.Embedding:
        embeddings: nn.Embedding = self.base.get_input_embeddings()
        return embeddings

    def _apply(self, fn: Any, recurse: bool = True) -> Transformer:
        """Move or convert the frozen part as well; parameters that both hold are converted once, in place."""
        tuned = {id(parameter) for parameter in self.parameters()}
        with torch.no_grad():
            for tensor in [*self.base.parameters(), *self.base.buffers()]:
                if id(tensor) not in tuned:
                    tensor.data = fn(tensor.data)
        super()._apply(fn, recurse)
        return self

    def merge(self) -> bool:
        """Add low-rank updates to the weights that they belong to, for reading only; whether there were any.

        The updates stay what is saved. A merged transformer is not trained any further.
        """
        if not hasattr(self.base, "merge_adapter"):
            return False
        self.base.merge_adapter()
        self.requires_grad_(False)
        return True

    def hard(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """States `(N, S, width)` of rows of pieces, the first `lengths` of each."""
        mask = (torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]).long()
        states: Tensor = self.base(input_ids=ids, attention_mask=mask).last_hidden_state
        return states

    def embed(self, ids: Tensor) -> Tensor:
        """Vectors of pieces, before positions are added to them, `(*, width)`."""
        vectors: Tensor = self._word_embeddings()(ids)
        return vectors

    def of_vectors(self, vectors: Tensor) -> Tensor:
        """States `(N, S, width)` of rows of as many vectors each, as `embed` makes them."""
        mask = torch.ones(vectors.shape[:2], dtype=torch.long, device=vectors.device)
        states: Tensor = self.base(inputs_embeds=vectors, attention_mask=mask).last_hidden_state
        return states

    def soft(self, ids: Tensor, weights: Tensor, lengths: Tensor) -> Tensor:
        """States of pieces of which each counts by its weight.

        log w is added to the attention scores of a key of weight w, and a piece stands where the weights before it add
        up to, between the two nearest position vectors.

        Raises:
            ConfigError: a transformer whose attention or positions do not allow it.
        """
        self.check_relaxed()
        return self._soft(ids, weights, lengths)

    @cached_property
    def reads_relaxed(self) -> bool:
        """Whether soft compaction is exact: at weights of 0 and 1, the reading of what is left at 1.

        It needs attention that takes a number to add for each key, and knows of places by `position_ids` alone.
        Architectures that came before transformers' common attention function (`_supports_sdpa`) have attention of
        their own: that of MPNet counts dropped pieces in its distances, that of DeBERTa takes no such numbers. The
        others are held against the hard reading once, for some do not do as they promise, and in decoders the numbers
        take the place of causal attention.
        """
        if not self._may_read_relaxed:
            return False
        table = self._word_embeddings().weight
        device = table.device
        weights = torch.tensor([[1, 1, 0, 1, 0, 0, 1, 1]], dtype=self.dtype, device=device)
        ids = torch.linspace(2, len(table) - 1, weights.shape[1], device=device)[None].long()
        kept = weights[0] > 0
        with torch.no_grad():
            hard = self.hard(ids[:, kept], kept.sum()[None])
            try:
                soft = self._soft(ids, weights, torch.tensor([len(kept)], device=device))[:, kept]
            except (RuntimeError, ValueError, TypeError, IndexError, AssertionError):
                return False
        return bool((soft - hard).abs().max() <= TOLERANCE * hard.abs().max())

    def check_relaxed(self, remedy: str = "--guide chain --estimator rloo --head-start none") -> None:
        """Refuse masks with weights between 0 and 1, or gradients, if it cannot read them.

        Args:
            remedy: flags to take instead.

        Raises:
            ConfigError: it cannot.
        """
        if not self.reads_relaxed:
            raise ConfigError(f"--encoder transformer: {self.kind} reads masks of 0 and 1 alone, neither relaxed ones "
                              f"nor their gradients; take {remedy}")

    def _soft(self, ids: Tensor, weights: Tensor, lengths: Tensor) -> Tensor:
        present = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
        place = (weights.cumsum(-1) - weights).detach().clamp(max=self.positions - 1)
        below = (place + 1e-4).floor()  # rounding must not put a whole place just below itself
        share = (place - below).clamp(min=0.0)[..., None]
        positions = below.long() + self._first
        inputs = self._word_embeddings()(ids)
        table = _position_table(self.base)
        if table is not None:
            above = (positions + 1).clamp(max=len(table) - 1)
            inputs = inputs + share * (table[above] - table[positions])
        # The value is log max(w, TINY), the gradient that of log w at max(w, TINY), at dropped words too.
        raised = torch.where(weights > TINY, weights, TINY + weights - weights.detach())
        scores = raised.log().masked_fill(~present, torch.finfo(weights.dtype).min)
        scores = scores[:, None, None, :].expand(-1, 1, ids.shape[1], -1)
        result = self.base(inputs_embeds=inputs, attention_mask=scores, position_ids=positions)
        states: Tensor = result.last_hidden_state
        return states


def _first_position(base: nn.Module) -> int:
    embeddings = getattr(base, "embeddings", None)
    table = getattr(embeddings, "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    return 0 if padding is None else int(padding) + 1


def _position_table(base: nn.Module) -> Tensor | None:
    """Learnt position vectors, `None` for transformers whose attention knows the places."""
    table = getattr(getattr(base, "embeddings", None), "position_embeddings", None)
    return getattr(table, "weight", None)


def _choose(base: Any, tune: str) -> tuple[Any, list[tuple[str, nn.Parameter, int]]]:
    """The transformer, and its parameters to tune as (name, parameter, layer counted from the output)."""
    kind, _, count = tune.partition(":")
    number = int(count or 0)
    if kind in ("none", "heads"):
        return base, []
    if kind == "lora":
        peft = optional("peft", "--tune lora needs", "lora")
        targets = [name for name, part in base.named_modules()
                   if isinstance(part, nn.Linear) and name.rpartition(".")[2] in PROJECTIONS]
        if not targets:
            raise ConfigError("--tune lora:R: this transformer has no query, key and value by a name known here; use "
                              "none, top:N or all")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # it asks transformers about what will be renamed
            base = peft.get_peft_model(base, peft.LoraConfig(r=number, lora_alpha=2 * number, target_modules=targets))
        return base, [(name, part, 0) for name, part in base.named_parameters() if part.requires_grad]
    layers = _layers(base)
    lowest = 0 if kind == "all" else max(0, len(layers) - number)
    chosen = []
    numbers = {id(part): i for i, layer in enumerate(layers) for part in layer.parameters()}
    pooler = getattr(base, "pooler", None)
    unread = set() if pooler is None else {id(part) for part in pooler.parameters()}
    for name, part in base.named_parameters():
        if id(part) in unread:
            continue
        layer = numbers.get(id(part), -1)
        if layer >= lowest or kind == "all":
            chosen.append((name, part, len(layers) - 1 - layer))
    return base, chosen


def _layers(base: nn.Module) -> nn.ModuleList:
    """The stack of layers: the longest list of modules of one class."""
    stacks = [part for part in base.modules() if isinstance(part, nn.ModuleList) and len(part)]
    if not stacks:
        raise ConfigError("--tune top:N: this transformer has no layers to count; use none, lora:R or all")
    return max(stacks, key=len)


def make_transformer(
    name: str | None, tune: str, vocabulary: OpenVocabulary | None, checkpointing: bool = False
) -> tuple[Transformer, Pieces]:
    """The transformer that `--pretrained` names, and the pieces of the words.

    Raises:
        ConfigError: none is named, or it is not there, or it is another than its package should hold.
        ValueError: no vocabulary.
    """
    if name is None:
        raise ConfigError("--generator, --encoder: name a transformer with --pretrained, such as minilm")
    if vocabulary is None:
        raise ValueError("a pretrained network must be told the words: pass vocabulary")
    find_base(name)  # checks the digest of a package
    folder = find_folder(name)
    return Transformer(folder, tune, checkpointing), Pieces(folder, vocabulary)

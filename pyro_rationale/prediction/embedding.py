"""Unit vectors of texts, made from the words that a ranking model keeps of each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from pyro_rationale.data.document import Document
from pyro_rationale.errors import ConfigError
from pyro_rationale.nn.seeding import seeded
from pyro_rationale.prediction.decoding import batches_of, decode, evaluating
from pyro_rationale.prediction.marked_text import MarkedText
from pyro_rationale.prediction.options import DecodeOptions

if TYPE_CHECKING:
    from pyro_rationale.fitted import FittedModel

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Embedded:
    """Vectors of some texts.

    Attributes:
        vectors: unit vectors `(N, E)`.
        masks: the words that are kept of each, one flag per word.
        unknown: words of each that the model does not know and reads all alike, each once; of queries only.
        keep_title: whether vectors are made of the titles as well (`--keep-title`), of which `masks` have no word.
    """

    vectors: Floats
    masks: list[Flags]
    unknown: list[tuple[str, ...]] = field(default_factory=list)
    keep_title: bool = False

    def marked(self, documents: Sequence[Document]) -> list[MarkedText]:
        """The texts that the vectors are of, with the words that these are made of."""
        pairs = zip(documents, self.masks, strict=True)
        return [MarkedText.of(document, mask, self.keep_title) for document, mask in pairs]


class Embedder(Protocol):
    """Whatever makes unit vectors of texts.

    Attributes:
        name: of the model, for messages.
        digest: the same for two models only if they give the same vectors.
        temperature: of the softmax over cosines.
    """

    name: str

    @property
    def digest(self) -> str:
        """Digest of all that the vectors depend on."""

    @property
    def temperature(self) -> float:
        """Temperature of the softmax over cosines."""

    def documents(self, texts: Sequence[str]) -> list[Document]:
        """Texts cut into words."""

    def encode(self, documents: Sequence[Document], query: bool = False) -> Embedded:
        """Vectors of documents, or of queries."""


class ModelEmbedder:
    """A fitted ranking model as an :class:`Embedder`.

    Args:
        fitted: the model.
        decode: how a mask is made of q(z | x).
        batch_size: texts of like lengths to read at once.

    Raises:
        ConfigError: the model is one for another task.
    """

    def __init__(self, fitted: FittedModel, decode: DecodeOptions | None = None, batch_size: int = 64) -> None:
        check_ranking(fitted)
        self.fitted, self.decode, self.batch_size = fitted, (decode or DecodeOptions()).for_pairs, batch_size
        self.name = fitted.name

    @cached_property
    def digest(self) -> str:
        """Digest of the weights, the number of words read, and the rule that makes masks."""
        rule = repr((self.decode, self.fitted.config.data.tokenizer))
        if self.decode.decode != "share":  # as in indexes that were made before there were shares
            rule = rule.replace(f", share={self.decode.share!r}", "")
        digest = hashlib.blake2b(rule.encode(), digest_size=16)
        digest.update(str(self.fitted.config.data.max_words).encode())
        for name, tensor in sorted(self.fitted._tensors().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    @property
    def temperature(self) -> float:
        """Temperature of the softmax over cosines, as it was learnt or given."""
        return float(_ranking(self.fitted).temperature)

    def documents(self, texts: Sequence[str]) -> list[Document]:
        """Texts cut into words, as many as in training."""
        return self.fitted.documents(texts)

    def encode(self, documents: Sequence[Document], query: bool = False) -> Embedded:
        """Vectors of documents, or of queries.

        The two differ only in a model fitted with `--match full`, which reads documents whole.
        """
        words = "all" if not query and _ranking(self.fitted).match == "full" else "kept"
        embedded = embed(self.fitted, documents, words, self.decode, self.batch_size)
        if query:  # an index has no use for them, and many texts
            return replace(embedded, unknown=[unknown_words(self.fitted, document) for document in documents])
        return embedded


def embed(
    fitted: FittedModel,
    documents: Sequence[Document],
    words: str = "kept",
    decode_options: DecodeOptions | None = None,
    batch_size: int = 64,
) -> Embedded:
    """Vectors of texts, read through one mask each.

    Args:
        fitted: a ranking model.
        documents: the texts.
        words: `kept`, those of the mask; `others`, those that it drops; or `all`.
        decode_options: how the mask is made of q(z | x).
        batch_size: texts of like lengths to read at once.
    """
    model, how = _ranking(fitted), decode_options or DecodeOptions()
    keep_title = fitted.config.model.keep_title
    vectors = np.zeros((len(documents), model.encoder.width), dtype=np.float32)
    masks: list[Flags] = [np.zeros(0, dtype=bool)] * len(documents)
    with evaluating(fitted), seeded(how.seed):
        for index, batch in batches_of(fitted, documents, batch_size):
            z = every = batch.mask.to(model.encoder.dtype)
            if words != "all":
                z = decode(fitted.guide.posterior(batch), how).to(every.dtype)
                if words == "others":
                    z = every - z
                    if batch.titles is not None:  # which are always read, and not dropped
                        z = z * (torch.arange(z.shape[-1], device=z.device) >= batch.titles[:, None])
                        batch = replace(batch, titles=None)
            vectors[index] = model.embed(batch, z).float().cpu().numpy()
            kept = (z > 0.5).cpu().numpy()
            for i, row in zip(index, kept, strict=True):
                masks[i] = row[: len(documents[i].tokens)].copy()
                if keep_title:
                    masks[i][: documents[i].title] = False
    return Embedded(vectors, masks, keep_title=keep_title and words != "others")


def unknown_words(fitted: FittedModel, document: Document) -> tuple[str, ...]:
    """Words of a text that the encoder reads all alike, each once; none where a transformer spells them out."""
    return () if fitted.config.reads_every_word else fitted.vocabulary.unknown_of(document.tokens)


def check_ranking(fitted: FittedModel) -> None:
    """Refuse a model that does not rank texts.

    Raises:
        ConfigError: it is one.
    """
    if not fitted.task.of_pairs:
        what = fitted.task.describe()
        raise ConfigError(f"{fitted.name}: predicts {what}, and does not rank texts; fit one with --task ranking")


def _ranking(fitted: FittedModel) -> Any:
    """The model, whose `embed`, `match` and `temperature` other models do not have."""
    return fitted.model

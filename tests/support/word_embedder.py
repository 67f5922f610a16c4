"""An embedder without networks: a vector of its own for every word, the sum of those that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pyro_rationale.data.document import Document, make_document
from pyro_rationale.prediction.draws import seed_of
from pyro_rationale.prediction.embedding import Embedded, Flags, Floats

FILLERS = frozenset("please help me with the of my a is it and thanks".split())


@dataclass
class WordEmbedder:
    """Keeps every word that is no filler; signs are fillers.

    Attributes:
        name: of the model.
        digest: another stands for other weights.
        temperature: of the softmax.
        width: of the vectors.
        read: documents that were encoded.
    """

    name: str = "words"
    digest: str = "1"
    temperature: float = 0.05
    width: int = 32
    read: list[str] = field(default_factory=list)

    def documents(self, texts: Sequence[str]) -> list[Document]:
        return [make_document(f"text {i}", text) for i, text in enumerate(texts, 1)]

    def encode(self, documents: Sequence[Document], query: bool = False) -> Embedded:
        self.read += [document.id for document in documents]
        masks = [np.array([_is_kept(token) for token in document.tokens], dtype=bool) for document in documents]
        vectors = np.array([self._vector(*pair) for pair in zip(documents, masks, strict=True)], dtype=np.float32)
        return Embedded(vectors.reshape(len(documents), self.width), masks)

    def _vector(self, document: Document, mask: Flags) -> Floats:
        kept = [token for token, flag in zip(document.tokens, mask, strict=True) if flag] or ["nothing"]
        words = [make_document("", word) for word in kept]
        total = np.sum([np.random.default_rng(seed_of(word, 0)).normal(size=self.width) for word in words], axis=0)
        return (total / np.linalg.norm(total)).astype(np.float32)


def _is_kept(token: str) -> bool:
    return token.isalpha() and token not in FILLERS


def corpus() -> list[Document]:
    """Six questions, two of each kind, of which one has no word."""
    texts = {
        "a1": "please help me with the broken screen of my phone",
        "a2": "broken screen, phone",
        "b1": "the battery of my laptop is empty and it is hot",
        "b2": "laptop battery hot",
        "c1": "how to cook rice",
        "none": " \n ",
    }
    return [make_document(id, text) for id, text in texts.items()]

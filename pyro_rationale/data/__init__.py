"""Texts in, batches out: corpora behind one option, vocabulary, word vectors, batching. No networks, no Pyro.

Names are imported when they are first used, so that a command line can describe its options without PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyro_rationale.data.batch import Batch
    from pyro_rationale.data.batching import BucketedBatches, encode_batch
    from pyro_rationale.data.corpora import CORPORA, CorpusLoader
    from pyro_rationale.data.corpus import Corpus, TargetSpec
    from pyro_rationale.data.document import Document, make_document
    from pyro_rationale.data.loading import load_corpus
    from pyro_rationale.data.options import DataOptions
    from pyro_rationale.data.tokenizers import TOKENIZERS, Tokenizer
    from pyro_rationale.data.vocabulary import Vocabulary

_MODULES = {
    "CORPORA": "corpora",
    "TOKENIZERS": "tokenizers",
    "Batch": "batch",
    "BucketedBatches": "batching",
    "Corpus": "corpus",
    "CorpusLoader": "corpora",
    "DataOptions": "options",
    "Document": "document",
    "TargetSpec": "corpus",
    "Tokenizer": "tokenizers",
    "Vocabulary": "vocabulary",
    "encode_batch": "batching",
    "load_corpus": "loading",
    "make_document": "document",
}

__all__ = [
    "CORPORA",
    "TOKENIZERS",
    "Batch",
    "BucketedBatches",
    "Corpus",
    "CorpusLoader",
    "DataOptions",
    "Document",
    "TargetSpec",
    "Tokenizer",
    "Vocabulary",
    "encode_batch",
    "load_corpus",
    "make_document",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    return value

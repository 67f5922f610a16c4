"""Texts in, batches out: corpora behind one option, vocabulary, word vectors, batching. No networks, no Pyro.

Names are imported when they are first used, so that a command line can describe its options without PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyro_rationale.registry import lazy_names

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

__getattr__ = lazy_names(
    __name__,
    {
        "batch": "Batch",
        "batching": "BucketedBatches encode_batch",
        "corpora": "CORPORA CorpusLoader",
        "corpus": "Corpus TargetSpec",
        "document": "Document make_document",
        "loading": "load_corpus",
        "options": "DataOptions",
        "tokenizers": "TOKENIZERS Tokenizer",
        "vocabulary": "Vocabulary",
    },
)

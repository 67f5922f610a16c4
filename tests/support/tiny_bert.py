"""A pretrained transformer of no use, two layers of 32 numbers with random weights, as a folder on disk."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789'-.,!?"


def make_tiny_bert(folder: Path, words: Iterable[str] = (), positions: int = 64, seed: int = 0) -> Path:
    """Write config.json, model.safetensors and tokenizer.json; words that are not listed are spelt in letters."""
    transformers = pytest.importorskip("transformers", reason="the extra 'transformers' is not installed")
    tokenizers = pytest.importorskip("tokenizers")
    import torch

    transformers.utils.logging.disable_progress_bar()
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *LETTERS, *(f"##{letter}" for letter in LETTERS), *sorted(set(words))]
    vocabulary = {name: i for i, name in enumerate(dict.fromkeys(names))}
    model = tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100)
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = transformers.BertConfig(
            vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
            intermediate_size=64, max_position_embeddings=positions, initializer_range=0.2,
        )
        transformers.BertModel(config).save_pretrained(str(folder))
    return folder

"""Pretrained transformers of no use, two layers of 32 numbers with random weights, as folders on disk."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789'-.,!?"

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
OWN: dict[str, dict[str, Any]] = {  # of architectures, beside what all have
    "mpnet": {"pad_token_id": 1},
    "deberta-v2": {
        **{"relative_attention": True, "position_buckets": 8, "pos_att_type": ["p2c", "c2p"]},
        **{"position_biased_input": False, "norm_rel_ebd": "layer_norm", "share_att_key": True},
    },
}


def make_tiny_bert(
    folder: Path, words: Iterable[str] = (), positions: int = 64, seed: int = 0, kind: str = "bert"
) -> Path:
    """Write config.json, model.safetensors and tokenizer.json; words that are not listed are spelt in letters.

    Args:
        folder: where to.
        words: that are one piece each.
        positions: pieces that it reads at once.
        seed: of its weights.
        kind: architecture, as transformers names it: `bert`, `mpnet`, `deberta-v2`.
    """
    transformers = pytest.importorskip("transformers", reason="the extra 'transformers' is not installed")
    tokenizers = pytest.importorskip("tokenizers")
    import torch

    transformers.utils.logging.disable_progress_bar()
    special = ("[CLS]", "[PAD]", "[SEP]", "[UNK]") if kind == "mpnet" else SPECIAL  # it counts places from 2
    names = [*special, *LETTERS, *(f"##{letter}" for letter in LETTERS), *sorted(set(words))]
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
        config = transformers.AutoConfig.for_model(
            kind, vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
            intermediate_size=64, max_position_embeddings=positions + 2 * (kind == "mpnet"), initializer_range=0.2,
            **OWN.get(kind, {}),
        )
        transformers.AutoModel.from_config(config).save_pretrained(str(folder))
    return folder

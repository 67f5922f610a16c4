"""Where sentences begin: by rules on our own words, or as a corpus says."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from pyro_rationale.data.batching import BucketedBatches, encode_batch
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.data.document import Document, make_document
from pyro_rationale.data.sentences import WRAPPED, sentence_starts
from pyro_rationale.data.vocabulary import Vocabulary

SPEC = TargetSpec("regression", ("stars",), ((0.0, 1.0),))


def sentences(text: str | list[str]) -> list[str]:
    document = make_document("a text", text)
    starts = [*sentence_starts(document).tolist(), len(document.tokens)]
    return [" ".join(document.tokens[a:b]) for a, b in pairwise(starts)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It broke. I sent it back! Why? No idea", ["it broke .", "i sent it back !", "why ?", "no idea"]),
        ("no marks at all", ["no marks at all"]),
        ("", [""]),
        ("...", ["..."]),
        ("Really?! Yes!!! ok", ["really ? !", "yes !", "ok"]),
        ("It cost 3.5 dollars. Fine.", ["it cost 3.5 dollars .", "fine ."]),
        ("Mr. Smith of the U.S. office, e.g. this one.", ["mr . smith of the u . s . office , e . g . this one ."]),
        ("Cups, plates etc. Then the rest.", ["cups , plates etc .", "then the rest ."]),
        ("Cups, plates etc. were there.", ["cups , plates etc . were there ."]),
        ("So did I. It was node.js and fun.", ["so did i .", "it was node . js and fun ."]),
        ("It works.The end.", ["it works .", "the end ."]),
        ("Well... maybe... But no.", ["well ... maybe ...", "but no ."]),
        ('He said "Go!" He left. "No."', ['he said " go ! "', "he left .", '" no . "']),
        ("Bad (very bad.) Never again.", ["bad ( very bad . )", "never again ."]),
        ("Good food<br /><br />Bad service", ["good food", "bad service"]),
        ("Good food\n\nbad service", ["good food", "bad service"]),
        ("Pros:\n- light\n- cheap", ["pros :", "- light", "- cheap"]),
        ("Good food\nBad service", ["good food", "bad service"]),
        ("Good food\nbut slow", ["good food but slow"]),
        (f"{'long ' * (WRAPPED // 5)}line\nThen more.", [f"{'long ' * (WRAPPED // 5)}line then more ."]),
        (["it", "broke", ".", "\"", "no", "\"", "said", "i", "."], ["it broke .", '" no " said i .']),
    ],
)
def test_rules(text: str | list[str], expected: list[str]) -> None:
    assert sentences(text) == expected


def test_a_corpus_can_say_it() -> None:
    document = make_document("a text", "one . two three", max_words=3)
    assert sentence_starts(document).tolist() == [0, 2]
    assert sentence_starts(replace(document, sentences=(0, 1))).tolist() == [0, 1]
    assert sentence_starts(replace(document, sentences=(1, 3, 9))).tolist() == [0, 1]  # what was cut off counts nothing
    assert sentence_starts(replace(document, sentences=())).tolist() == [0]
    assert sentence_starts(replace(document, offsets=())).tolist() == [0, 2]


def documents() -> list[Document]:
    return [make_document(str(i), text, (0.5,)) for i, text in enumerate(["Aa bb. Cc. Dd ee ff.", "", "Gg hh."])]


def test_batches_hold_the_sentence_of_each_word() -> None:
    texts = documents()
    vocabulary = Vocabulary.build(texts, 1, 100)
    batch = encode_batch(texts, vocabulary, SPEC, unit="sentence")
    assert batch.units is not None
    assert batch.unit_starts is not None
    assert batch.units.tolist() == [[0, 0, 0, 1, 1, 2, 2, 2, 2], [0] * 9, [0] * 9]
    assert batch.unit_starts.tolist() == [[0, 3, 5], [0, 0, 0], [0, 0, 0]]
    assert batch.unit_lengths.tolist() == [3, 1, 1]
    twice = batch.repeated(2)
    assert twice.units is not None
    assert torch.equal(twice.units[3:], batch.units)
    assert encode_batch(texts, vocabulary, SPEC).units is None
    ordered = next(BucketedBatches(texts, vocabulary, SPEC, 3, unit="sentence").ordered())
    assert ordered.index is not None
    assert ordered.units is not None
    where = np.argsort(ordered.index.numpy())
    assert torch.equal(ordered.units[where], batch.units)

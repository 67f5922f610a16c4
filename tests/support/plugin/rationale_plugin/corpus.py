"""A corpus made on the spot: notes about soups, whose rating is told by one adjective."""

from __future__ import annotations

import random

from pyro_rationale.data import Corpus, DataOptions, Document, TargetSpec, make_document
from pyro_rationale.data.corpora import CorpusLoader

STARS = {"awful": 1.0, "dull": 2.0, "decent": 3.0, "lovely": 4.0, "superb": 5.0}
OTHERS = "the soup came with bread and we ate it by a window in the rain".split()


def load_soups(options: DataOptions, spec: TargetSpec | None = None) -> Corpus:
    """120 notes with their rationales; the kind of target is that of `--task`."""
    chance = random.Random(options.split_seed)
    kind = "regression" if options.task == "auto" else options.task
    documents = [_note(i, chance, options) for i in range(120)]
    spec = spec or TargetSpec(kind, ("stars",), ranges=((1.0, 5.0),))
    return Corpus(options.data, spec, documents[:80], documents[80:100], documents[100:])


def _note(number: int, chance: random.Random, options: DataOptions) -> Document:
    words = chance.choices(OTHERS, k=12)
    place, word = chance.randrange(12), chance.choice(list(STARS))
    words[place] = word
    gold = [i == place for i in range(12)]
    return make_document(f"note {number}", words, (STARS[word],), options.max_words, [gold])


SOUPS = CorpusLoader(load_soups, "made-up notes about soups", ("task",))

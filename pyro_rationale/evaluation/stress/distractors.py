"""Sentences that say nothing of the matter, put into the texts: do they draw the rationale, and the prediction?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

import numpy as np

from pyro_rationale.data.corpora.synthetic import distractor
from pyro_rationale.data.corpus import Document
from pyro_rationale.data.sentences import sentence_starts
from pyro_rationale.evaluation.stress._base import Row, StressTest, Verdict, judged
from pyro_rationale.evaluation.stress._measures import joined
from pyro_rationale.evaluation.stress._subject import Subject
from pyro_rationale.prediction.decoding import Mask

HIGHEST_LIFT, MOST_TURNED = 1.0, 0.1
LONGEST = 30  # words of a sentence that is taken from another document
BAR = f"kept {HIGHEST_LIFT:g} x as often as other words at most; {100 * MOST_TURNED:g} % turn at most"
Source = Callable[[Random, Document], Sequence[str]]


def check(subject: Subject) -> Verdict:
    """How often words of inserted sentences are kept, over how often others are, and how many decisions turn."""

    def elsewhere(random: Random, document: Document) -> Sequence[str]:
        return sentence_of_another(random, document, subject.documents)

    kinds: dict[str, Source] = {"neutral": lambda random, _: distractor(random, opinion=False)}
    if subject.planted:
        kinds["opinion on an unrated thing"] = lambda random, _: distractor(random)
    rows = [measure(subject, name, source) for name, source in kinds.items()]
    worst = max(rows, key=lambda row: max(row["lift"] / HIGHEST_LIFT, row["turned"] / MOST_TURNED))
    if not subject.planted:  # these do speak of the matter: to follow them is no fault
        rows.append(measure(subject, "sentence of another text (not judged)", elsewhere))
    passed = worst["lift"] <= HIGHEST_LIFT and worst["turned"] <= MOST_TURNED
    figure = f"{worst['inserted']}: kept {worst['lift']:.2f} x as often; {100 * worst['turned']:.1f} % turn"
    return judged(passed, figure, BAR, "sentences about nothing are taken for evidence", rows)


def measure(subject: Subject, name: str, source: Source) -> Row:
    """The figures for one kind of sentence, one put into every document."""
    seed = subject.settings.seed
    pairs = [put_in(d, source(Random(f"{seed} {d.id}"), d), Random(f"{seed} at {d.id}")) for d in subject.documents]
    documents, inserted = [d for d, _ in pairs], joined([flags for _, flags in pairs])
    masks = subject.rationalizer.masks(documents)
    kept, before = joined(masks), joined(subject.masks)
    after = kept[~inserted]
    values = subject.rationalizer.predict(documents, masks)
    moved = np.sqrt(((values - subject.values) ** 2).mean()) / max(1e-12, float(subject.values.std()))
    return {
        "inserted": name,
        "lift": float(kept[inserted].mean()) / max(1e-12, float(after.mean())),
        "share of rationale": float((kept & inserted).sum()) / max(1, int(kept.sum())),
        "still kept": float((before & after).sum()) / max(1, int(before.sum())),
        "turned": float(subject.turned(values).mean()),
        "moved / sd": float(moved),
    }


def put_in(document: Document, words: Sequence[str], random: Random) -> tuple[Document, Mask]:
    """The document with a sentence between two others (or before or after all), and which of its words are new."""
    tokens = document.tokens
    spots = sorted({*sentence_starts(document).tolist(), len(tokens)})
    index = spots[int(random.random() * len(spots))]
    at = document.offsets[index][0] if index < len(tokens) else len(document.text)
    piece = " ".join(words)
    piece = f"{piece} " if index < len(tokens) else f" {piece}"
    start = at + (0 if index < len(tokens) else 1)
    fresh = []
    for word in words:
        fresh.append((start, start + len(word)))
        start += len(word) + 1
    behind = tuple((a + len(piece), b + len(piece)) for a, b in document.offsets[index:])

    def flags(own: Sequence[bool] | None) -> Mask | None:
        return None if own is None else (*own[:index], *[False] * len(words), *own[index:])

    sentences = None
    if document.sentences is not None:
        more = len(words)
        sentences = tuple(
            sorted({index, index + more, *(start if start < index else start + more for start in document.sentences)})
        )
    changed = replace(
        document,
        text=document.text[:at] + piece + document.text[at:],
        tokens=(*tokens[:index], *words, *tokens[index:]),
        offsets=(*document.offsets[:index], *fresh, *behind),
        gold=flags(document.gold),
        opinion=flags(document.opinion),
        rationales=None,
        sentences=sentences,
    )
    new = tuple(index <= t < index + len(words) for t in range(len(changed.tokens)))
    return changed, new


def sentence_of_another(random: Random, document: Document, documents: Sequence[Document]) -> Sequence[str]:
    """A sentence of a document drawn at random, not of this one if there is another."""
    others = [d for d in documents if d.id != document.id and d.tokens] or [document]
    chosen = others[int(random.random() * len(others))]
    starts = sentence_starts(chosen).tolist()
    which = int(random.random() * len(starts))
    end = [*starts[1:], len(chosen.tokens)][which]
    return chosen.tokens[starts[which] : min(end, starts[which] + LONGEST)]


REGISTERED = StressTest(check, "Inserted distractors", "Chen et al. 2022 (NAACL), section 4, AddText")

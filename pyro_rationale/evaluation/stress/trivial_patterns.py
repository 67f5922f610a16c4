"""Attack with trivial patterns: does anything without content in the rationale tell the decision?

First without the model: a probe sees which punctuation marks and function words were kept, how many words of each
kind, and where. Then with it: of the text's own words without content, the attacker keeps as many as the rationale
has, those that pull the prediction most to the other side. How often the decision turns is given, and not judged: the
encoder has never had to read such words, so that it may say anything of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from pyro_rationale.data.corpus import Document
from pyro_rationale.evaluation.stress._base import Row, StressTest, Verdict
from pyro_rationale.evaluation.stress._measures import kind_of
from pyro_rationale.evaluation.stress._subject import Subject
from pyro_rationale.evaluation.stress.mask_shape import Features, against_control, lying
from pyro_rationale.prediction.decoding import Mask

KINDS = ("punctuation", "function word", "number", "content")
MOST_WORDS = 60  # tokens without content that have a feature of their own


def check(subject: Subject) -> Verdict:
    """Accuracy of a probe for the decision from what has no content; turned decisions of the attack."""
    features = patterns(subject.documents, subject.masks)
    look = "kept words without content"
    verdict = against_control(subject, {look: features}, {"decision": subject.decisions}, judged_looks=(look,))
    row: Row = {"of": "decision", "from": "attack: share turned", "accuracy": turned(subject)}
    return Verdict(verdict.answer, verdict.figure, verdict.bar, verdict.reason, (*verdict.rows, row))


def patterns(documents: Sequence[Document], masks: Sequence[Sequence[bool]]) -> Features:
    """`(N, F)`: kept words of each kind, kept marks and function words one by one, and the shape of the mask."""
    kept = [[t for t, k in zip(d.tokens, m, strict=True) if k] for d, m in zip(documents, masks, strict=True)]
    empty = Counter(token for tokens in kept for token in tokens if kind_of(token) != "content")
    columns = {token: i for i, (token, _) in enumerate(empty.most_common(MOST_WORDS))}
    rows = []
    for tokens, mask in zip(kept, masks, strict=True):
        kinds = Counter(map(kind_of, tokens))
        each = np.zeros(len(columns))
        for token in tokens:
            if token in columns:
                each[columns[token]] += 1.0
        counts = np.array([kinds[kind] for kind in KINDS], dtype=float)
        rows.append(np.concatenate([counts, counts / max(1, len(tokens)), each, lying(mask)]))
    return np.stack(rows)


def turned(subject: Subject) -> float:
    """Share of decisions that words without content turn, chosen by what the encoder makes of each alone."""
    documents = subject.documents
    types = sorted({t for d in documents for t in d.tokens if kind_of(t) != "content"})
    if not types:
        return 0.0
    alone = [Document(t, t, (t,), ((0, len(t)),)) for t in types]
    values = subject.rationalizer.predict(alone, [(True,)] * len(alone))
    pull = dict(zip(types, subject.task.support(values), strict=True))
    own = subject.decisions[:, 0]
    masks = [_against(d, m, o, pull) for d, m, o in zip(documents, subject.masks, own, strict=True)]
    return float(subject.turned(subject.rationalizer.predict(documents, masks))[:, 0].mean())


def _against(document: Document, mask: Sequence[bool], decision: int, pull: dict[str, Features]) -> Mask:
    """A mask with as many words as the given one, all without content, that speak most against the decision."""

    def favour(index: int) -> float:
        return float(pull[document.tokens[index]][decision])

    places = sorted((t for t, token in enumerate(document.tokens) if token in pull), key=favour)
    chosen = set(places[: sum(mask)])
    return tuple(t in chosen for t in range(len(mask)))


REGISTERED = StressTest(
    check, "Attacker with trivial patterns", "Liu et al. 2025 (A2I, ICML), attack on trivial patterns"
)

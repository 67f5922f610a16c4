"""Texts whose most important words are marked by a method of another library."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pyro_rationale.data.aspects import by_aspect
from pyro_rationale.data.document import Document, highest
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.attribution._base import AttributionMethod, attribute, importance
from pyro_rationale.prediction.decoding import Mask, predict_from
from pyro_rationale.prediction.options import DecodeOptions
from pyro_rationale.prediction.shown_masks import decode_masks
from pyro_rationale.tasks import Numbers


@dataclass(frozen=True)
class Attribution:
    """Words of one text, as a method has attributed the prediction to them.

    Attributes:
        document: the text.
        values: the reader's prediction, of `W` numbers.
        numbers: what each word does to each target, `(n, D)`.
        masks: the words of the largest absolute attributions: one mask, or one for each target.
    """

    document: Document
    values: tuple[float, ...]
    numbers: Numbers
    masks: tuple[Mask, ...]

    @property
    def kept(self) -> Mask:
        """Words that any mask keeps."""
        return tuple(map(any, zip(*self.masks, strict=True)))


def attributions(
    fitted: FittedModel,
    reader: FittedModel,
    documents: Iterable[Document],
    method: AttributionMethod,
    evaluations: int | None,
    seed: int,
) -> Iterator[Attribution | Document]:
    """Attributions of texts in their order; a text without words comes back as it is.

    As many words are marked as the run's own rationale keeps, and at least one.

    Args:
        fitted: the run.
        reader: its encoder, trained on whole texts, whose predictions are attributed to words.
        documents: the texts.
        method: of attribution.
        evaluations: of the reader for each text; `None`: as many as the method has by default.
        seed: of whatever is drawn at random, by the run as well.

    Raises:
        ConfigError: the method's library is not installed.
    """
    method.check_installed()
    for document in documents:
        if not document.tokens:
            yield document
            continue
        numbers = attribute(reader, document, method, evaluations, seed)
        rows = by_aspect([document], fitted.aspects) if fitted.aspects > 1 else [document]
        masks = []
        for row, own in zip(rows, decode_masks(fitted, rows, DecodeOptions(seed=seed), 1), strict=True):
            asked = numbers if row.aspect is None else numbers[:, [row.aspect]]
            marked = highest(importance(reader, asked, row.aspect), max(1, sum(own)))
            masks.append(tuple(marked.tolist()))
        (whole,) = reader.task.clip(predict_from(reader, [document], [(True,) * len(document.tokens)]))
        yield Attribution(document, tuple(whole.tolist()), numbers, tuple(masks))

"""Shared by loaders of annotated sets: from examples whose labels are still cells to a corpus of three splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pyro_rationale.data.corpus import Corpus, TargetSpec
from pyro_rationale.data.document import Document, document_maker
from pyro_rationale.data.files.text import Faults, check_whole
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.splits import check_parts, three_way_split
from pyro_rationale.data.targets import Cell, TargetReader, reader_of
from pyro_rationale.errors import DataError
from pyro_rationale.tasks import task_of


@dataclass(frozen=True)
class Example:
    """A text with its label and what annotators marked in it.

    Attributes:
        where: its line in the file, for messages.
        id: its name.
        text: a string, or a list of words that are taken as they are.
        label: a number or the name of a class.
        rationales: one per annotator, see :func:`pyro_rationale.data.document.make_document`.
        sentences: indices of the first words of the sentences of a list of words, if they are known.
    """

    where: str
    id: str
    text: str | list[str]
    label: Cell
    rationales: tuple[Any, ...] = ()
    sentences: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Part:
    """The examples of one file, with the faults of its other rows."""

    faults: Faults
    examples: list[Example]


def assemble(
    options: DataOptions,
    spec: TargetSpec | None,
    target: str,
    train: Sequence[Part],
    dev: Sequence[Part],
    test: Sequence[Part],
) -> Corpus:
    """A corpus of one target. What has no file (dev, test) is split off from training.

    Args:
        options: how to read labels (`task`, `target_range`), cut and split.
        spec: of a fitted run, by whose classes and range labels are then read.
        target: what the label is called.
        train: files of training examples.
        dev: files of development examples; none is fine.
        test: files of test examples; none is fine.

    Raises:
        DataError: If labels cannot be used, or if a split comes out empty.
    """
    given = [*train, *dev, *test]
    labels = [example.label for part in given for example in part.examples]
    if not labels:
        [first, *_] = [part.faults for part in given if part.faults.first] or [train[0].faults]
        raise DataError(f"{first.path}: no row can be used (first fault: {first.first or 'it holds none'})")
    if spec is not None and len(spec.names) > 1:
        held = "holds one target, and the run predicts"
        raise DataError(f"{options.data}: {held} {task_of(spec).describe()}; evaluate on its like")
    reader = reader_of(options.data, (target,), [labels], options.task, options.target_range, spec)
    known = reader.spec
    lists = [tuple(d for part in parts for d in _documents(part, reader, options)) for parts in (train, dev, test)]
    for name, files, documents in zip(("training", "dev", "test"), (train, dev, test), lists, strict=True):
        if files and not documents:
            raise DataError(f"{files[0].faults.path}: no {name} example can be used; look at its first rows")
    groups = [document.text for document in lists[0]]
    strata = [document.targets[0] for document in lists[0]] if known.classes else None
    own_dev, own_test = lists[1] or None, lists[2] or None
    splits = three_way_split(lists[0], options.split_seed, groups, strata, dev=own_dev, test=own_test)
    if spec is None:
        check_parts(options.data, splits, lists[0])
    return Corpus(options.data, known, *splits)


def _documents(part: Part, reader: TargetReader, options: DataOptions) -> list[Document]:
    documents, make = [], document_maker(options)
    for example in part.examples:
        try:
            target = reader.read(example.label, 0, "its label")
            check_whole("its name", example.id)
            check_whole("its text", example.text)
            document = make(example.id, example.text, (target,), rationales=example.rationales)
            document = replace(document, sentences=example.sentences)
            if not document.tokens:
                raise ValueError("the text holds no word")
        except ValueError as error:
            part.faults.add(example.where, str(error))
        else:
            documents.append(document)
    part.faults.report()
    return documents

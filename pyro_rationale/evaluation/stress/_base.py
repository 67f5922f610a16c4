"""Stress tests as the registry knows them, and their verdicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pyro_rationale.evaluation.stress._subject import Subject

Row = dict[str, Any]
Answer = Literal["pass", "fail", "not applicable"]


@dataclass(frozen=True)
class Verdict:
    """The answer of one stress test.

    Attributes:
        answer: pass, fail, or not applicable (the figures are then given all the same, where there are any).
        figure: what was measured, in a few words.
        bar: what was asked for, in a few words.
        reason: why it is not applicable, or what a failure means; may be empty.
        rows: all the figures, one set of keys.
    """

    answer: Answer
    figure: str
    bar: str
    reason: str = ""
    rows: tuple[Row, ...] = field(default=())


def judged(passed: bool, figure: str, bar: str, reason: str = "", rows: list[Row] | None = None) -> Verdict:
    """Pass or fail; the reason is kept for a failure only."""
    return Verdict("pass" if passed else "fail", figure, bar, "" if passed else reason, tuple(rows or ()))


def unfit(reason: str, bar: str, figure: str = "-", rows: list[Row] | None = None) -> Verdict:
    """Not applicable."""
    return Verdict("not applicable", figure, bar, reason, tuple(rows or ()))


@dataclass(frozen=True)
class StressTest:
    """One stress test: what a module of this folder, or an entry point, registers.

    Attributes:
        check: runs the test.
        title: its name in the table.
        reference: the papers that it comes from.
        refits: whether it fits the configuration again, which takes as long as the run did, several times.
    """

    check: Callable[[Subject], Verdict]
    title: str
    reference: str
    refits: bool = False

"""Test texts of a run that stress tests draw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pyro_rationale.evaluation.stress import RefitOptions, Settings
from pyro_rationale.evaluation.stress._subject import Subject
from tests.prediction.test_predictor import fake
from tests.support.marked import document


def test_stress_tests_of_a_sorted_file_see_both_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [replace(document("1", targets=(float(i >= 60),)), id=str(i)) for i in range(100)]
    monkeypatch.setattr("pyro_rationale.evaluation.stress._subject._labelled", lambda *_: texts)
    run = fake("binary")
    subject = Subject(Path("a"), Path("b"), run, Settings(most=50), RefitOptions())
    assert [sum(text.targets[0] == label for text in subject.documents) for label in (0, 1)] == [30, 20]

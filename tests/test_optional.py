"""Lines that say how to install what an extra brings."""

from __future__ import annotations

import importlib.metadata

import pytest

from pyro_rationale.errors import ConfigError
from pyro_rationale.optional import install_command, optional

REQUIRES = [
    "numpy>=1.26",
    "arviz>=0.23; extra == 'viz'",
    'scikit-learn>=1.6; extra == "sklearn"',
    'weights==1; python_version < "3.12" and extra == "minilm"',
    'pyro_rationale[sklearn,viz]; extra == "notebooks"',
    'nbformat; extra == "notebooks"',
]


@pytest.mark.parametrize(
    ("extra", "line"),
    [
        ("viz", "pip install 'arviz>=0.23'"),
        ("minilm", "pip install weights==1"),
        ("notebooks", "pip install 'scikit-learn>=1.6' 'arviz>=0.23' nbformat"),
        ("none", "pip install '.[none]' in the checkout"),
    ],
)
def test_packages_are_named_one_by_one(monkeypatch: pytest.MonkeyPatch, extra: str, line: str) -> None:
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: REQUIRES)
    assert install_command(extra) == line
    with pytest.raises(ConfigError) as caught:
        optional("no_such_module", "walks need", extra)
    assert str(caught.value) == f"walks need no_such_module: {line}"


def test_a_checkout_that_was_never_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def requires(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", requires)
    assert install_command("viz") == "pip install '.[viz]' in the checkout"

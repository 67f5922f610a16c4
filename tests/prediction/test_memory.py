"""Freed memory is kept for the next tensors."""

from __future__ import annotations

import platform

import pytest

from pyro_rationale.prediction.memory import keep_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library gives memory back in its own way")
def test_blocks_that_were_freed_are_not_asked_for_again() -> None:
    resource = pytest.importorskip("resource")
    import torch

    assert keep_freed_memory()

    def pages() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(1 << 20)  # 4 MB, or 1,024 pages
        return int(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

    pages()
    assert min(pages() for _ in range(3)) < 200

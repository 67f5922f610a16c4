"""Files are whole or not there, hold what was written, and say in one line when they are damaged."""

from __future__ import annotations

import json
import os
import stat
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pyro_rationale.errors import ConfigError, RunError
from pyro_rationale.storage import (
    checksum,
    finite,
    locked,
    note,
    read_json,
    read_manifest,
    read_tensors,
    read_toml,
    remove_leftovers,
    to_json,
    write_bytes,
    write_json,
    write_tensors,
)
from tests.support.small_fit import disk_of

TENSORS = {
    "a": torch.arange(6, dtype=torch.float64).reshape(2, 3),
    "b.c": torch.tensor([1, 2, 3]),
    "nothing": torch.zeros(0, 4),
    "number": torch.tensor(float("nan")),
    "flags": torch.tensor([True, False]),
    "bytes": torch.arange(9, dtype=torch.uint8),
}


# Locks.


def test_a_lock_is_held_once_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    path.touch()  # as a kill leaves it
    with locked(path) as free:
        assert free
        with locked(path) as again:
            assert not again
        assert path.exists()  # it is not the refused one that removes it
    assert not path.exists()
    with pytest.raises(KeyError), locked(path):
        raise KeyError
    assert not path.exists()


def test_where_there_can_be_no_lock_work_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with locked(tmp_path / "missing" / "x.lock") as free:
        assert free

    def none(*values: object, **more: object) -> None:
        raise NotImplementedError("no flock")

    monkeypatch.setattr("filelock.FileLock.acquire", none)
    with locked(tmp_path / "x.lock") as free:
        assert free


# Whole or not there.


class Broken(BaseException):
    """Neither an error nor an interrupt that anybody expects."""


@pytest.mark.parametrize("operation", ["open", "fsync", "close", "replace"])
def test_a_failure_in_the_middle_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    path = tmp_path / "a.json"
    write_bytes(path, b"old")

    def fail(*args: Any) -> None:
        raise Broken

    monkeypatch.setattr(os, operation, fail)
    with pytest.raises(Broken):
        write_bytes(path, b"new and longer")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_value_that_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    with pytest.raises(TypeError):
        write_json(path, {"new": object()})
    assert read_json(path) == {"old": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_is_replaced_not_written_into(tmp_path: Path) -> None:
    """A reader that has it open goes on reading the old one."""
    path = tmp_path / "a.json"
    write_bytes(path, b"old")
    with path.open("rb") as reader:
        write_bytes(path, b"new")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) & 0o444 == 0o444  # a temporary file is its owner's alone


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions_are_those_that_umask_leaves(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_bytes(tmp_path / "a", b"new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~mask


def test_a_full_disk_is_reported_with_the_name_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_bytes(path, b"old")
    for write in (lambda: write_bytes(path, bytes(100)), lambda: write_tensors(path, TENSORS)):
        with disk_of(50), pytest.raises(OSError, match="too large") as problem:
            write()
        assert problem.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileNotFoundError) as missing:
        write_bytes(tmp_path / "no" / "a", b"")
    assert missing.value.filename == str(tmp_path / "no" / "a")


def test_a_device_is_written_into_and_stays(tmp_path: Path) -> None:
    null, full = tmp_path / "null", tmp_path / "full"
    null.symlink_to("/dev/null")
    full.symlink_to("/dev/full")
    write_bytes(null, b"{}")
    with pytest.raises(OSError, match="No space left") as problem:
        write_bytes(full, b"{}")
    assert problem.value.filename == str(full)
    assert null.is_char_device()
    assert full.is_char_device()
    assert sorted(tmp_path.iterdir()) == [full, null]


def test_the_checksum_is_that_of_the_bytes(tmp_path: Path) -> None:
    path, content = tmp_path / "a", os.urandom(3_000_000)
    path.write_bytes(content)
    assert checksum(path) == zlib.crc32(content)
    assert checksum(path, 2_000_001) == zlib.crc32(content[:2_000_001])


def test_what_a_kill_leaves_beside_a_file_can_be_removed(tmp_path: Path) -> None:
    for name in ("a.json", ".a.json.x1y2", ".b.json.x1y2", ".a.txt", "a.json.backup"):
        (tmp_path / name).write_text(name)
    remove_leftovers(tmp_path / "a.json")
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", ".b.json.x1y2", ".a.txt", "a.json.backup"}
    remove_leftovers(tmp_path / "missing" / "a.json")


def test_leftovers_are_found_under_the_name_that_writing_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(*args: Any, **kwargs: Any) -> None:
        raise Broken

    monkeypatch.setattr(os, "replace", kill)
    monkeypatch.setattr(Path, "unlink", kill)  # nobody cleans up after a kill
    with pytest.raises(Broken):
        write_bytes(tmp_path / "a.json", b"new")
    monkeypatch.undo()
    assert len(list(tmp_path.iterdir())) == 1
    remove_leftovers(tmp_path / "a.json")
    assert list(tmp_path.iterdir()) == []


# There and back.

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(value=JSON)
def test_json_comes_back(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "value.json"
    write_json(path, value)
    assert read_json(path) == value


def test_numbers_that_are_not_finite_become_null(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": float("nan"), "b": [float("inf"), (-float("inf"), 1.5)], "c": {"d": float("nan")}})
    strict = json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(word))
    assert strict == {"a": None, "b": [None, [None, 1.5]], "c": {"d": None}}


@pytest.mark.parametrize(
    "facts", [None, {"a": 0.1 + 0.2, "inf": float("inf"), "list": [1, None, "\u00e9\n"]}], ids=["none", "some"]
)
def test_tensors_come_back_to_the_bit(tmp_path: Path, facts: Any) -> None:
    """With their facts, infinities included: a checkpoint's best cost starts there."""
    path = tmp_path / "a.safetensors"
    write_tensors(path, TENSORS, facts)
    found, told = read_tensors(path)
    assert told == facts
    assert found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        assert found[name].numpy().tobytes() == tensor.numpy().tobytes()


def test_tensors_that_share_memory_or_need_gradients_can_be_written(tmp_path: Path) -> None:
    base = torch.randn(4, 4, requires_grad=True)
    write_tensors(tmp_path / "a", {"one": base, "same": base, "part": base[:, ::2].t()})
    found, _ = read_tensors(tmp_path / "a")
    assert torch.equal(found["same"], base.detach())
    assert torch.equal(found["part"], base.detach()[:, ::2].t())


def test_a_file_that_was_read_can_be_replaced(tmp_path: Path) -> None:
    """Tensors that were read do not depend on the file."""
    path = tmp_path / "a"
    write_tensors(path, {"a": torch.ones(1000)})
    found, _ = read_tensors(path)
    write_tensors(path, {"a": torch.zeros(1000)})
    assert bool((found["a"] == 1).all())


# Damage.


def refused(read: Callable[[Path], Any], path: Path) -> str:
    with pytest.raises(RunError) as caught:
        read(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said
    return said


@pytest.mark.parametrize("read", [read_json, read_tensors])
def test_missing_files_and_folders_are_one_line(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    assert "no such file" in refused(read, tmp_path / "missing")
    assert "unreadable" in refused(read, tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": 1}}', b"\xff\xfe", b"\x00" * 100, b"[1, 2", b"nothing"])
def test_damaged_json_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    assert "unreadable" in refused(read_json, path)


def test_tensors_cut_short_anywhere_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_tensors(path, TENSORS, {"a": 1})
    content = path.read_bytes()
    for size in [*range(0, len(content) - 1, 13), len(content) - 1]:
        path.write_bytes(content[:size])
        assert "unreadable" in refused(read_tensors, path), size


@pytest.mark.parametrize("content", [b"\x00" * 64, b"\xff" * 64, b"PK\x03\x04 a pickle of old", b"{}" * 50])
def test_no_tensors_at_all_are_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    assert "unreadable" in refused(read_tensors, path)


def test_facts_that_are_no_json_are_one_line(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "a.safetensors"
    save_file({"a": torch.ones(1)}, path, metadata={"facts": "{"})
    assert "unreadable" in refused(read_tensors, path)
    save_file({"a": torch.ones(1)}, path)  # somebody else's file
    assert read_tensors(path)[1] is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' stands there twice"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": ' * 60_000, "nested too deeply"),
        (b"1" * 5000, "digits"),
    ],
)
def test_json_that_python_chokes_on_or_reads_by_halves(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    assert problem in refused(read_json, path)


# The manifest.


def listed(path: Path) -> list[str]:
    digests: list[str] = read_manifest(path.parent)["files"][path.name]
    return digests


@pytest.mark.parametrize("name", ["a.json", "b.safetensors"])
def test_a_listed_file_that_was_changed_is_refused(tmp_path: Path, name: str) -> None:
    path, read = tmp_path / name, read_json if name == "a.json" else read_tensors
    write_json(tmp_path / "a.json", {"words": ["good", "bad"]}, listed=True)
    write_tensors(tmp_path / "b.safetensors", TENSORS, listed=True)
    write_json(tmp_path / "free.json", [])
    read(path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"good", b"fine") if name == "a.json" else content[:-1] + b"\x7f")
    assert "its digest is another; restore it, or delete manifest.json" in refused(read, path)
    (tmp_path / "free.json").write_text("[1]")
    assert read_json(tmp_path / "free.json") == [1]
    (tmp_path / "manifest.json").unlink()
    read(path)


def test_a_kill_anywhere_leaves_a_file_that_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each replacement of a file may be the last thing that happens; the reader accepts what it then finds."""
    path, replace, value, kills = tmp_path / "a.json", os.replace, 0, 0
    write_json(path, value, listed=True)
    for allowed in (0, 1, 2, 0, 1, 1, 0, 2):
        left = [allowed]

        def killed(source: Any, target: Any, left: list[int] = left) -> None:
            if not left[0]:
                raise Broken
            left[0] -= 1
            replace(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", killed)
            try:
                write_json(path, value + 1, listed=True)
            except Broken:
                kills += 1
        assert read_json(path) in (value, value + 1)
        value = read_json(path)
        assert len(listed(path)) <= 2
    assert kills == 6


def test_notes_are_kept_beside_the_digests(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", 1, listed=True)
    note(tmp_path, rows={"train": "ab"})
    write_json(tmp_path / "a.json", 2, listed=True)
    assert read_manifest(tmp_path)["notes"] == {"rows": {"train": "ab"}}
    assert len(listed(tmp_path / "a.json")) == 2
    before = (tmp_path / "manifest.json").read_bytes()
    write_json(tmp_path / "a.json", 2, listed=True)
    assert (tmp_path / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": 2, "files": {}, "notes": {}}', "null", "{"])
def test_a_damaged_manifest_is_one_line(tmp_path: Path, content: str) -> None:
    write_json(tmp_path / "a.json", 1, listed=True)
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(RunError, match=r"manifest.json: no list of the files of a run \(.*or delete it"):
        read_json(tmp_path / "a.json")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", 1, listed=True)
    (tmp_path / "manifest.json").unlink()
    os.mkfifo(tmp_path / "manifest.json")
    with pytest.raises(RunError, match=r"manifest.json: no list of the files of a run \(a pipe or a device"):
        read_json(tmp_path / "a.json")
    with pytest.raises(ConfigError, match=r"cannot be read \(a pipe or a device, not .*; name a TOML file"):
        read_toml(tmp_path / "manifest.json")


# Numbers that JSON has no words for.


def test_json_is_strict_and_plain(tmp_path: Path) -> None:
    value = {"loss": float("nan"), "ends": (1, float("-inf")), "rates": np.array([0.5, np.nan]), "n": np.int64(3)}
    plain = {"loss": None, "ends": [1, None], "rates": [0.5, None], "n": 3}
    assert finite(value) == plain
    assert to_json(value) == json.dumps(plain)
    assert to_json({"a": torch.tensor(2.0)}) == '{"a": 2.0}'
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == plain

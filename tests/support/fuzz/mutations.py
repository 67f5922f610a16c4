"""Faults: odd values, and mutations of bytes, of JSON and of safetensors files."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

Made = tuple[str, bytes]  # name of the fault, spoilt content

WORDS = (
    "the beer tasted great bad awful wonderful head looked smell dull cheap cheerful "
    "room staff food was is and not very"
).split()
ODD_NUMBERS = [
    "1e999", "nan", "-inf", "\u0661\u0662", "4,5", "1_000", "0x10", "", " ", "\uff11\uff12", "1e-400", "--1", "\u221e",
    "TRUE", "1/2", "12%", "$5", "1 000", "5 stars", "\u200b3", "+.5e0", "1e5", "null", "None", "NA", "#DIV/0!",
]
ODD_TEXTS = [
    "", " ", "\u200b", "...", "<br/>", "\u202eevil\u202c", "\x1b[31mred\x1b[0m", "a" * 5000, "\U0001f600", "x\x07y",
    "[bold]x[/bold]", "[/]", "{{7*7}}", "</script><script>alert(1)</script>", "=cmd|' /C calc'!A0", "\ufeff",
    "e\u0301" * 500, "\u0130" * 50, "\u6f22\u5b57" * 100, "\u0661\u0662\u0663", "<pad> <unk>", "'" * 3000,
    "n't " * 300, "\u2028\u2029", "%s %d %n", "-- --",
]
ODD_NAMES = [
    "[/]", "[bold]", "\x1b[31m", "a\u202eb", "=cmd", "x y", "\u00fc", "\u200b", "'", '"', "<b>", "{{x}}", "--data", "1",
    "text ", " y", "a/b", "..", "%n", "[link=http://x]x[/link]", "x" * 300, "[red]", "[/x]", "\u65e5\u672c",
]
ODD_JSON: list[Any] = [
    None, True, -1, 0, 1e308, "x", [], {}, [[]], "NaN", 10**400, [None], {"a": {}}, -0.0, 2**70, "\ud800", "\x00", 1.5,
    [1, "a"], "[/x]", "\x1b[31m", float("nan"), float("inf"), "../../../etc/passwd", "a" * 4000, [[1, 2], [3]],
    [-5, 10**9],
]
DEEP = [b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 60_000 + b"1" + b"}" * 60_000]
ODD_TOML = [
    "-1", "0", "nan", "inf", "-inf", '"x"', "true", "[]", "{}", "1e999", '"../../x"', '""', "[1]", '["a"]', "[[]]",
    "9223372036854775807", "99999999999999999999", "1979-05-27", '"[/x]"', '"\\u001b[31m"', "0.0", "1.0", '"1x"',
    '"nanx"', '"infx"', '"1e-9x"', '["relaxed","relaxed"]', "0x10", "1_000", '"\\u0000"', '"/etc/passwd"', '"a/b"',
    '"."', '".."', '"a b"', '"\u00fc"', f'"x{"y" * 300}"',
]
ODD_VALUES = [
    "-1", "0", "1", "2", "nan", "inf", "-inf", "1e308", "1e-308", "99999999999999999999", "9223372036854775807",
    "2147483648", "1000000", "", " ", "x", "0.5", "\uff11", "\u0661", "1e3", "0x10", "\x1b[31m", "[/x]", "../x",
    "/proc/self/mem", "/proc/x", "~nouser", "\u00fc", "x" * 300, "\udcff", "a\nb", "cuda", "cpu:3", "meta",
    "-", "--",
]


# Tables.


def rows_of(random: Random, count: int = 40) -> list[dict[str, Any]]:
    """Rows of a table that is whole."""
    rows = []
    for _ in range(count):
        text, y = " ".join(random.choice(WORDS) for _ in range(random.randint(6, 20))), random.random()
        rows.append(
            {"text": text, "y": round(y, 2), "z": round(5 * random.random(), 1),
             "label": "good" if y > 0.5 else "bad", "cls": random.choice("abc")}
        )
    return rows


def csv_bytes(rows: Sequence[dict[str, Any]], separator: str = ",") -> bytes:
    """The rows with a header."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=separator, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows(row.values() for row in rows)
    return file.getvalue().encode("utf-8", "surrogatepass")


def jsonl_bytes(rows: Sequence[Any]) -> bytes:
    """One object a line."""
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


# Bytes.


def flip(random: Random, content: bytes, count: int = 1) -> bytes:
    """Flip some bits."""
    spoilt = bytearray(content)
    for _ in range(count if spoilt else 0):
        spoilt[random.randrange(len(spoilt))] ^= 1 << random.randrange(8)
    return bytes(spoilt)


def spoil_gzip(random: Random, content: bytes) -> bytes:
    """An archive, perhaps cut, flipped or with something behind it."""
    packed = gzip.compress(content)
    return random.choice(
        [packed, packed[: random.randrange(len(packed))], flip(random, packed, 3), packed + b"junk", packed + packed]
    )


def spoil_bytes(random: Random, content: bytes) -> Made:
    """One fault that knows nothing of the format."""
    at, other = sorted(random.randrange(len(content) + 1) for _ in range(2))
    bad = random.choice([b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe9"])
    magic = random.choice([b"PK\x03\x04", b"\x1f\x8b", b"\x89HDF", b"%PDF", b"#!x\n", b"[", b"{"])
    faults = {
        "flip1": lambda: flip(random, content),
        "flip9": lambda: flip(random, content, 9),
        "cut": lambda: content[:at],
        "half": lambda: content[len(content) // 2 :],
        "empty": lambda: b"",
        "blank": lambda: b"\n\n  \n",
        "nul": lambda: content[:at] + b"\0" + content[at:],
        "zeros": lambda: (content[:at] + b"\0" * 64 + content[at + 64 :])[: len(content)],
        "no utf-8": lambda: content[:at] + bad + content[at:],
        "twice": lambda: content + content,
        "swap": lambda: content[other:] + content[at:other] + content[:at],
        "magic": lambda: magic + content,
        "crlf": lambda: content.replace(b"\n", b"\r\n"),
        "cr": lambda: content.replace(b"\n", b"\r"),
        "utf-16": lambda: content.decode("utf-8", "replace").encode("utf-16"),
        "latin-1": lambda: content.replace(b"e", b"\xe9", 3),
        "bom": lambda: b"\xef\xbb\xbf" + content,
        "two boms": lambda: b"\xef\xbb\xbf" * 2 + content,
        "gzip": lambda: spoil_gzip(random, content),
        "noise": lambda: random.randbytes(200),
    }
    name = random.choice(list(faults))
    return name, faults[name]()


# JSON.


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield from _paths(value[key], (*path, key))


def spoil_value(random: Random, value: Any) -> tuple[str, Any]:
    """One fault in the tree of a JSON value, which stays as it is."""
    value = json.loads(json.dumps(value))
    paths, odd = list(_paths(value)), random.choice(ODD_JSON)
    what = random.choice(["set"] * 4 + ["delete", "add", "root"])
    if what == "root" or not paths:
        return "root", odd
    path = random.choice(paths)
    owner, key = value, path[-1]
    for step in path[:-1]:
        owner = owner[step]
    if what == "set":
        owner[key] = odd
    elif what == "delete":
        del owner[key]
    elif isinstance(owner, dict):
        owner[random.choice(["x", "", "__class__", "[/x]"])] = odd
    else:
        owner.insert(0, odd)
    return f"{what} {'/'.join(map(str, path))[:60]}", value


def spoil_json(random: Random, content: bytes) -> Made:
    """One fault of a file that holds one JSON value."""
    share = random.random()
    if share < 0.6:
        name, value = spoil_value(random, json.loads(content))
        return name, json.dumps(value).encode()
    if share < 0.75:
        return "deep", random.choice(DEEP)
    if share < 0.8:
        return "digits", b'{"format": ' + b"1" * 5000 + b"}"
    if share < 0.85:
        return "duplicate keys", b"{" + content[1:].rstrip()[:-1] + b"," + content[1:]
    return spoil_bytes(random, content)


def spoil_json_line(random: Random, content: bytes) -> Made:
    """One fault in one line of JSON lines."""
    lines = content.decode().splitlines()
    at = random.randrange(len(lines))
    name, value = spoil_value(random, json.loads(lines[at]))
    lines[at] = json.dumps(value) if random.random() < 0.9 else random.choice(['{"a": ' + "1" * 5000 + "}", "[" * 9999])
    return name, ("\n".join(lines) + "\n").encode()


# Files.


def put(path: Path, content: bytes, fault: str = "") -> None:
    """Write a file, or put something else in its place.

    Args:
        path: where to; replaced if something is there.
        content: of the file.
        fault: `missing`, `folder`, `fifo`, `loop` (a link to itself), `locked` (nobody may read it); else the file.
    """
    path.unlink(missing_ok=True)
    if fault == "folder":
        path.mkdir()
    elif fault == "fifo":
        os.mkfifo(path)
    elif fault == "loop":
        path.symlink_to(path.name)
    elif fault != "missing":
        path.write_bytes(content)
    if fault == "locked":
        path.chmod(0)
        if os.geteuid() == 0:  # the owner of everything reads everything
            os.setgid(65534)
            os.setuid(65534)


# Weights.


def spoil_safetensors(random: Random, content: bytes) -> Made:
    """One fault of a safetensors file: length of the header, header, or numbers."""
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    tensors = [name for name in header if name != "__metadata__"]
    name, other = random.choice(tensors), random.choice(tensors)
    start, end = header[name]["data_offsets"]
    shape = header[name]["shape"]
    what = random.choice(
        ["length", "shape", "dtype", "offsets", "metadata", "facts", "rename", "drop", "fill", "flip", "cut", "swap"]
    )
    if what == "length":
        wrong = random.choice([2**63, 2**40, 2**64 - 1, length + 1, length - 1, 0])
        return what, struct.pack("<Q", wrong) + content[8:]
    if what == "flip":
        return what, flip(random, content, 5)
    if what == "cut":
        return what, content[: random.randrange(len(content))]
    if what == "shape":
        header[name]["shape"] = random.choice([[], [1], [10**12], shape[::-1], [*shape, 1], [-1, 5]])
    elif what == "dtype":
        header[name]["dtype"] = random.choice(["F64", "I8", "X", "BF16", 3])
    elif what == "offsets":
        header[name]["data_offsets"] = random.choice([[0, 10**15], [5, 1], [-1, 4], [0]])
    elif what == "metadata":
        odd = [{}, {"facts": "["}, {"facts": "null"}, {"x": "y"}, None, 3, {"facts": "[" * 100_000}]
        header["__metadata__"] = random.choice(odd)
    elif what == "facts":
        facts = json.loads((header.get("__metadata__") or {}).get("facts", "null"))
        header["__metadata__"] = {"facts": json.dumps(spoil_value(random, facts)[1])}
    elif what == "rename":
        header["x" + name] = header.pop(name)
    elif what == "swap":
        header[name], header[other] = header[other], header[name]
    elif what == "fill":
        data = data[:start] + random.choice([b"\xff", b"\0"]) * (end - start) + data[end:]
    else:
        del header[name]
        data = data[:start] + data[end:]
        for tensor in (header[kept] for kept in tensors if kept != name):
            if tensor["data_offsets"][0] >= end:
                tensor["data_offsets"] = [offset - (end - start) for offset in tensor["data_offsets"]]
    written = json.dumps(header).encode()
    written += b" " * (-len(written) % 8)
    return f"{what} {name}", struct.pack("<Q", len(written)) + written + data

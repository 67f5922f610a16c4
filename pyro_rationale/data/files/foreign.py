"""Files that people have instead of tables, and what makes tables of them: spreadsheets, archives, pickles."""

from __future__ import annotations

from pathlib import Path

_SHEET = "is a spreadsheet; save it as CSV from the spreadsheet program"
_ARCHIVE = "is an archive; unpack it first, and name a table in it"
_PICKLE = "is read by Python or another program alone; write it as CSV or Parquet there (DataFrame.to_csv)"
_REMEDIES = {
    _SHEET: (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".numbers"),
    _ARCHIVE: (".zip", ".bz2", ".xz", ".zst", ".7z", ".rar", ".tar", ".tgz"),
    _PICKLE: (".pkl", ".pickle", ".feather", ".h5", ".hdf5", ".dta", ".sav", ".rds"),
}
_OF_NAMES = {ending: remedy for remedy, endings in _REMEDIES.items() for ending in endings}
# The first bytes of files that were renamed to end in .csv, say.
_OF_BYTES = {
    b"PK\x03\x04": "is a spreadsheet or a zip archive, whatever its name says; save it as CSV from the spreadsheet "
    "program, or unpack it first",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": _SHEET,
    b"7z\xbc\xaf\x27\x1c": _ARCHIVE,
    b"\xfd7zXZ\x00": _ARCHIVE,
    b"PAR1\x15": "is Parquet, whatever its name says; rename it to .parquet",
}


def remedy_by_name(path: Path) -> str:
    """Say of a file by its name that it is no table, and what makes one of it; empty for other names."""
    endings = [ending.lower() for ending in path.suffixes if ending.lower() != ".gz"]
    return _OF_NAMES.get(endings[-1], "") if endings else ""


def remedy_by_bytes(block: bytes) -> str:
    """Say of a file by its first bytes that it is no text file, and what makes one of it; empty for others."""
    return next((remedy for start, remedy in _OF_BYTES.items() if block.startswith(start)), "")

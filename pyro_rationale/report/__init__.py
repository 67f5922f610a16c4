"""One self-contained HTML page about a fitted run: figures, charts, and documents with their rationales."""

from pyro_rationale.report.contents import (
    Histogram,
    OtherRationale,
    ReadDocument,
    Reliability,
    ReportContents,
    Selection,
    Tile,
)
from pyro_rationale.report.making import contents_of
from pyro_rationale.report.page import write_report

__all__ = [
    "Histogram",
    "OtherRationale",
    "ReadDocument",
    "Reliability",
    "ReportContents",
    "Selection",
    "Tile",
    "contents_of",
    "write_report",
]

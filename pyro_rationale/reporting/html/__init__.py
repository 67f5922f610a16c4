"""One self-contained HTML page about a fitted run: figures, charts, and documents with their rationales."""

from pyro_rationale.reporting.html.contents import contents_of
from pyro_rationale.reporting.html.page import write_report
from pyro_rationale.reporting.html.records import (
    Histogram,
    OtherRationale,
    ReadDocument,
    Reliability,
    ReportContents,
    Selection,
    Tile,
)

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

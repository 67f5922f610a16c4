"""One self-contained HTML page about a fitted run: key figures, charts, and documents with their rationales."""

from pyro_rationale.reporting.html.build import build_report
from pyro_rationale.reporting.html.context import Chart, ReportContext, Section, Tile
from pyro_rationale.reporting.html.render import render, write_report

__all__ = ["Chart", "ReportContext", "Section", "Tile", "build_report", "render", "write_report"]

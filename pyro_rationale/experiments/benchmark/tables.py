"""Tables of a benchmark as Markdown, CSV, LaTeX (booktabs) and plain values for JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import jinja2

from pyro_rationale.evaluation.significance import p_text
from pyro_rationale.experiments.benchmark.runner import VIEWS
from pyro_rationale.experiments.benchmark.summary import Block, Line, Test
from pyro_rationale.experiments.seeds import format_mean_sd
from pyro_rationale.tasks import cost_names

HEADS = {
    "f1": "F1", "precision": "precision", "recall": "recall", "opinion_recall": "opinion recall",
    "mse": "squared error", "accuracy": "accuracy", "comprehensiveness": "comprehensiveness",
    "sufficiency": "sufficiency", "judge_kept_mse": "judge's squared error", "judge_kept_accuracy": "judge's accuracy",
    "selected": "selected", "span": "span", "empty": "empty", "seconds": "seconds",
    "seconds_per_text": "seconds per text",
}
MEANING = (
    "Mean (standard deviation) over seeds. p against {reference}: over documents with all seeds together, adjusted for "
    "the number of methods (Holm); over seeds; the largest over documents within one seed."
)
LATEX = jinja2.Environment(
    autoescape=False, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    variable_start_string="<<", variable_end_string=">>", block_start_string="<%", block_end_string="%>",
    comment_start_string="<#", comment_end_string="#>",
)
TEMPLATE = LATEX.from_string(r"""
<% for table in tables %>
\begin{table}
\centering
\caption{<< table.caption >>}
\begin{tabular}{l<< "r" * (table.head | length - 1) >>}
\toprule
<< table.head | join(" & ") >> \\
\midrule
<% for row in table.rows %>
<< row | join(" & ") >> \\
<% endfor %>
\bottomrule
\end{tabular}
\end{table}

<% endfor %>
""".lstrip("\n"))
SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}"}
SPECIAL |= {sign: f"\\{sign}" for sign in "&%$#_{}"}


def title(block: Block) -> str:
    """Corpus, rate and view in words."""
    rate = f"{100 * block.share:.1f} % of the words" + (f" ({block.rate} gold)" if block.rate.endswith("x") else "")
    return f"{block.corpus}, target {rate}: {VIEWS[block.view]}"


def grid(block: Block) -> tuple[list[str], list[list[str]]]:
    """Head and rows, all as text."""
    heads = HEADS | {name: name for name in cost_names() if name not in HEADS}
    measures = [name for name in heads if any(name in line.means for line in block.lines)]
    tested = [name for name in ("f1", *cost_names()) if any(name in line.tests for line in block.lines)]
    head = ["method", "seeds", *(heads[name] for name in measures), *(f"p ({heads[name]})" for name in tested)]
    rows = []
    for line in block.lines:
        tests = [_test(line.tests.get(name)) for name in tested]
        rows.append([line.title, str(len(line.seeds)), *(_figure(line, name) for name in measures), *tests])
    return head, rows


def _figure(line: Line, measure: str) -> str:
    if measure not in line.means:
        return "-"
    return format_mean_sd(line.means[measure], line.sds[measure])


def _test(test: Test | None) -> str:
    return "-" if test is None else ", ".join(p_text(value) for value in (test.holm, test.seeds, test.worst))


def markdown(blocks: Sequence[Block]) -> str:
    """A table per block."""
    parts = []
    for block in blocks:
        head, rows = grid(block)
        lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---", *["---:"] * (len(head) - 1)], *rows)]
        parts.append(f"**{title(block)}**\n\n" + "\n".join(lines))
    if not blocks:
        return "No cell is finished yet.\n"
    return "\n\n".join([*parts, MEANING.format(reference=blocks[0].reference)]) + "\n"


def latex(blocks: Sequence[Block]) -> str:
    """A `table` environment per block; needs the package booktabs."""
    tables = []
    for block in blocks:
        head, rows = grid(block)
        caption = f"{title(block)}. {MEANING.format(reference=block.reference)}"
        tables.append({
            "caption": escaped(caption),
            "head": [escaped(cell) for cell in head],
            "rows": [[escaped(cell) for cell in row] for row in rows],
        })
    return TEMPLATE.render(tables=tables)


def escaped(text: str) -> str:
    """Text as LaTeX prints it."""
    return "".join(SPECIAL.get(sign, sign) for sign in text)


def as_csv(blocks: Sequence[Block]) -> str:
    """A row per corpus, rate, view, method and measure, with numbers in full."""
    text = io.StringIO()
    tests = ("difference", "documents", "holm", "seeds", "worst")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["corpus", "rate", "share", "view", "method", "measure", "seeds", "mean", "sd", "reference",
                     "difference", *(f"p_{name}" for name in tests[1:])])
    for block in blocks:
        for line in block.lines:
            for measure, mean in line.means.items():
                test = asdict(line.tests[measure]) if measure in line.tests else {}
                writer.writerow([
                    block.corpus, block.rate, block.share, block.view, line.method, measure,
                    len(line.values[measure]), mean, line.sds[measure], block.reference,
                    *(test.get(name) for name in tests),
                ])
    return text.getvalue()


def plain(blocks: Sequence[Block]) -> list[dict[str, Any]]:
    """For JSON."""
    return [asdict(block) | {"title": title(block)} for block in blocks]


def curves_csv(cells: Sequence[Mapping[str, Any]]) -> str:
    """A row per corpus, rate fitted for, method, seed, way and rate asked."""
    columns = ("selected", *cost_names(), "precision", "recall", "f1", "span", "empty", "level")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["corpus", "fitted_for", "method", "seed", "way", "rate", *columns])
    for cell in cells:
        for curve in cell["curves"]:
            for point in curve["points"]:
                writer.writerow([
                    cell["corpus"], cell["rate"]["label"], cell["method"], cell["seed"], curve["way"],
                    point["rate"], *(point.get(name) for name in columns),
                ])
    return text.getvalue()

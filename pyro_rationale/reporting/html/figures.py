"""The report's charts, each with the words and the table that say the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from pyro_rationale.reporting.html.charts import Chart, Line, Point, frame, percent, plain
from pyro_rationale.reporting.html.records import Histogram, ReadDocument, Reliability, ReportContents
from pyro_rationale.training.history import EpochRecord

SCATTERS, POINTS = 4, 1500  # targets that get a chart of their own, and documents in each of these
Text = Callable[[float], str]


def training_charts(history: Sequence[EpochRecord], kind: str) -> list[Chart]:
    """Loss, rate and held-out figures by epoch; what was not recorded is left out."""
    if not history:
        return []
    error = "squared error (scale 0 to 1)" if kind == "regression" else "cross entropy (nats)"
    chosen = [r.epoch for r in history if "best" in r.event]
    notes = {
        "loss": tuple(f"Epoch {r.epoch}: {r.event}." for r in history if r.event and r.event != "best"),
        "error": tuple(f"Epoch {epoch} was chosen." for epoch in chosen[-1:]),
    }
    figures = [
        ("loss", "Training loss", "objective, lower is better", [("training", "loss")], plain),
        ("share", "Share of words kept", "words kept", SHARES, percent),
        ("error", "Error on held-out texts", error, [("held-out", "dev_error")], plain),
        ("elbo", "ELBO on held-out texts", "nats per document", [("held-out", "dev_elbo")], plain),
    ]
    charts = [_epochs(history, *figure, notes.get(figure[0], ())) for figure in figures]
    return [chart for chart in charts if chart is not None]


SHARES = [("in training", "rate"), ("target", "target"), ("held-out, most probable", "dev_rate")]


def _epochs(
    history: Sequence[EpochRecord],
    id: str,
    title: str,
    label: str,
    names: list[tuple[str, str]],
    text: Text,
    notes: tuple[str, ...],
) -> Chart | None:
    series = {name: [(float(r.epoch), float(getattr(r, key))) for r in history] for name, key in names}
    series = {name: points for name, points in series.items() if any(math.isfinite(y) for _, y in points)}
    if not series:
        return None
    values = [y for points in series.values() for _, y in points]
    axes = frame([r.epoch for r in history], [*values, 0.0] if text is percent else values, None, text, whole=True)
    kinds = zip(("a", "b", "c"), series.items(), strict=False)
    few = len(history) <= 40
    lines = [Line(name, kind, axes.path(ps), axes.marks(ps) if few else ()) for kind, (name, ps) in kinds]
    ends = [
        f"{name} from {text(_short(ps[0][1]))} to {text(_short(ps[-1][1]))}"
        for name, ps in ((n, [p for p in ps if math.isfinite(p[1])]) for n, ps in series.items())
    ]
    says = f"{title} over {len(history)} epochs: {'; '.join(ends)}."
    rows = [(str(r.epoch), *(text(_short(ps[i][1])) for ps in series.values())) for i, r in enumerate(history)]
    return Chart(
        f"chart-{id}", title, says, "epoch", label, axes.x_ticks, axes.y_ticks, tuple(lines), notes=notes,
        header=("epoch", *series), rows=tuple(rows),
    )  # fmt: skip


def selection_charts(contents: ReportContents) -> list[Chart]:
    """Prior against posterior: shares of words kept, and lengths of runs."""
    selection = contents.selection
    if selection is None:
        return []
    asked, used = _prior(selection.asked), _prior(selection.used)
    notes = [f"Prior: {used}."] if used else []
    if asked and asked != used:
        notes = [f"Prior in use: {used}.", f"Asked for: {asked}."] if used else [f"Prior: {asked}."]
    draws = f"draws ({selection.draws} per document)"
    return [
        _histogram("rate", "Share of words kept", "words kept", f"share of {draws}", selection.rate, percent, notes),
        _histogram("span", "Length of runs of kept words", "words", "share of runs", selection.span, plain, []),
    ]


def _prior(prior: Mapping[str, float]) -> str:
    """The prior's rate and span in words; nothing if it is not known."""
    if not prior:
        return ""
    return f"{percent(_short(prior['rate']))} of the words, in runs of {prior['span']:.3g}"


def _histogram(id: str, title: str, x: str, y: str, shown: Histogram, text: Text, notes: list[str]) -> Chart:
    heights = [0.0, *shown.prior, *shown.posterior, *(shown.asked or ())]
    axes = frame(shown.edges, heights, text, percent, whole=text is plain)
    name = "prior" if shown.asked is None else "prior in use"
    lines = [Line(f"{name}, mean {text(_short(shown.prior_mean))}", "b", axes.steps(shown.edges, shown.prior))]
    if shown.asked is not None:
        asked = f"prior asked for, mean {text(_short(shown.asked_mean))}"
        lines.append(Line(asked, "c", axes.steps(shown.edges, shown.asked)))
    bars = axes.bars(shown.edges, shown.posterior)
    means = f"mean {text(_short(shown.posterior_mean))} after reading, {text(_short(shown.prior_mean))} a priori"
    lows = [low if text is percent else low + 0.5 for low in shown.edges[:-1]]
    columns = [shown.prior, shown.posterior, *([shown.asked] if shown.asked else [])]
    rows = [
        (text(_short(low)), *(percent(_short(share)) for share in shares))
        for low, *shares in zip(lows, *columns, strict=True)
    ]
    if shown.open:
        rows[-1] = (f"{rows[-1][0]} and more", *rows[-1][1:])
        notes = [*notes, "The last bin holds what is above as well."]
    first = "from" if text is percent else x
    return Chart(
        f"chart-{id}", title, f"{title}: {means}.", x, y, axes.x_ticks, axes.y_ticks, tuple(lines), bars,
        f"posterior, mean {text(_short(shown.posterior_mean))}", tuple(notes),
        (first, name, "posterior", *(["prior asked for"] if shown.asked else [])), tuple(rows),
    )  # fmt: skip


def reliability_chart(found: Sequence[Reliability]) -> Chart | None:
    """Inclusion probabilities against gold; the diagonal is honesty."""
    if not found:
        return None
    axes = frame([0.0, 1.0], [0.0, 1.0], percent, percent)
    lines = [Line("as said", "ref", axes.path([(0.0, 0.0), (1.0, 1.0)]))]
    notes, rows = [], []
    for kind, one in zip(("a", "b", "c"), found, strict=False):
        points: list[Point] = list(zip(one.curve.said.tolist(), one.curve.seen.tolist(), strict=True))
        lines.append(Line(one.name, kind, axes.path(points), axes.marks(points)))
        contested = "" if one.contested is None else f"; {one.contested:.3f} over contested words"
        notes.append(f"{one.name}: {one.curve.ece:.3f} ({one.low:.3f} to {one.high:.3f}){contested}.")
        rows += [
            (one.name, percent(_short(said)), percent(_short(seen)), f"{int(count):,}")
            for said, seen, count in zip(one.curve.said, one.curve.seen, one.curve.count, strict=True)
        ]
    return Chart(
        "chart-reliability",
        "Inclusion probabilities against gold",
        f"Reliability curve. Expected calibration error: {' '.join(notes)}",
        "probability of being kept", "share that is gold", axes.x_ticks, axes.y_ticks, tuple(lines),
        notes=("Expected calibration error, with its 95 % interval:", *notes),
        header=("gold", "said", "seen", "words"), rows=tuple(rows),
    )  # fmt: skip


def scatter_charts(contents: ReportContents) -> list[Chart]:
    """Predicted against true ratings, a chart per target; none for classes."""
    spec = contents.spec
    if spec.kind != "regression":
        return []
    charts = [_scatter(i, name, contents.documents, spec.ranges[i]) for i, name in enumerate(spec.names[:SCATTERS])]
    return [chart for chart in charts if chart is not None]


def _scatter(
    target: int, name: str, documents: Sequence[ReadDocument], scale: tuple[float, float]
) -> Chart | None:
    points = [
        (float(d.document.targets[target]), float(d.values[target]))
        for d in documents
        if d.document.targets and math.isfinite(d.document.targets[target])
    ]
    if not points:
        return None
    drawn = points[:: math.ceil(len(points) / POINTS)]
    ends = [*scale, *(x for x, _ in points)]
    axes = frame(ends, [*ends, *(y for _, y in points)])
    low, high = min(ends), max(ends)
    lines = (
        Line("predicted as rated", "ref", axes.path([(low, low), (high, high)])),
        Line(f"a document ({len(drawn):,})", "dot", "", axes.marks(drawn)),
    )
    error = sum((x - y) ** 2 for x, y in points) / len(points)
    says = f"Predicted against true {name} of {len(points)} documents, mean squared error {error:.3g}."
    return Chart(
        f"chart-scatter-{target}", f"Predicted against true: {name}", says, "true", "predicted",
        axes.x_ticks, axes.y_ticks, lines, notes=(f"Mean squared error {error:.3g}.",),
    )  # fmt: skip


def _short(value: float) -> float:
    """Three digits."""
    return float(f"{value:.3g}")

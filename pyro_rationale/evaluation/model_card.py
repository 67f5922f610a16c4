"""The model card of a run: `README.md` in its folder, with the front matter that the Hugging Face hub reads."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from pyro_rationale import __version__
from pyro_rationale.config import Config
from pyro_rationale.data.corpora import CORPORA
from pyro_rationale.data.files.text import log
from pyro_rationale.data.vectors import sources_of
from pyro_rationale.errors import RunError, harmless
from pyro_rationale.evaluation.metrics import every_metric
from pyro_rationale.evaluation.options import BASELINE_TITLES
from pyro_rationale.evaluation.significance import intervals
from pyro_rationale.evaluation.statistic import Statistics
from pyro_rationale.nn.pretrained_folders import PACKAGES
from pyro_rationale.run_files import CARD, CONFIG, METRICS, PRETRAINED, read_config, read_rows
from pyro_rationale.storage import check_listed, read_json, write_bytes
from pyro_rationale.tasks import TargetSpec, task_of
from pyro_rationale.tasks._decision import rule_lines
from pyro_rationale.training.run_folder import is_own_card

# Metrics that a card shows, in the order of all tables.
SHOWN = (
    "mse", "mae", "averaged_mse", "accuracy", "averaged_accuracy", "balanced_accuracy", "macro_f1", "log_loss", "crps",
    "covered_90", "map", "mrr", "p_at_1", "corpus_map", "selected", "span", "f1", "iou_f1",
)  # fmt: skip
DRAWS = 1000  # of the bootstrap
VECTOR_LICENCES = {"glove": "PDDL 1.0 (GloVe 6B, Stanford NLP)"} | {n: p.licence for n, p in PACKAGES.items()}
HUB_NAMES = {"minilm": "sentence-transformers/all-MiniLM-L6-v2"}


def card_intervals(statistics: Statistics) -> dict[str, list[float]]:
    """95 % bootstrap intervals, over documents, of the figures that a card shows, where there are any."""
    shown = {name: statistics[name] for name in SHOWN if name in statistics}
    ends = intervals(shown, DRAWS) if shown else {}
    return {name: [low, high] for name, (low, high) in ends.items() if math.isfinite(low) and math.isfinite(high)}


def write_card(folder: Path | str) -> Path:
    """Write the model card of a run from the files of its folder; one that somebody else wrote, or has edited, stays.

    A fit writes the card as it ends. This makes one for a run of an older version, or one of a renamed folder.

    Raises:
        RunError: a file of the run is missing or damaged.
    """
    folder = Path(folder)
    path = folder / CARD
    if path.exists() and not is_own_card(path):
        return path
    config, spec = read_config(folder)
    metrics = read_json(folder / METRICS) if (folder / METRICS).exists() else {}
    base = read_json(folder / PRETRAINED) if (folder / PRETRAINED).exists() else {}
    version = str(read_json(folder / CONFIG).get("version", "not recorded"))
    if path.exists() and _is_edited(path):
        log.warning("%s: was edited, and stays as it is; for a card with the figures of now, move it away", path)
        return path
    text = model_card(folder.resolve().name, config, spec, metrics, base, read_rows(folder), version)
    write_bytes(path, text.encode(), listed=True)
    return path


def _is_edited(path: Path) -> bool:
    """Whether a card is another than the one that was written last; not where nobody knows."""
    try:
        check_listed(path)
    except RunError:
        return True
    return False


def model_card(
    name: str,
    config: Config,
    spec: TargetSpec,
    metrics: Mapping[str, Any],
    base: Mapping[str, Any],
    rows: Mapping[str, str],
    version: str = __version__,
) -> str:
    """The text of a card.

    Args:
        name: of the run.
        config: of the fit.
        spec: what is predicted.
        metrics: contents of `metrics.json`; empty for a model that was not evaluated.
        base: contents of `pretrained.json`; empty without a pretrained transformer.
        rows: digests of the rows of each split.
        version: of the package that made the fit.
    """
    parts = [
        _front_matter(name, config, spec, metrics),
        f"# {_plain(name)}\n\n{_summary(config, spec)}",
        _use(spec),
        "## Data\n\n" + "\n".join(_data(config, metrics, rows)),
        "## Settings\n\n" + "\n".join(_settings(config, metrics, base, version)),
        "## Results\n\n" + "\n".join(_results(config, metrics)),
        "## Limits\n\n" + "\n".join(f"- {line}" for line in _limits(config, spec, metrics)),
        "## Licences\n\n" + "\n".join(f"- {line}" for line in _licences(config, base)),
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(name: str, config: Config, spec: TargetSpec, metrics: Mapping[str, Any]) -> str:
    """Lines between two rules, in YAML, whose strings and lists are written as JSON."""
    kind = "sentence-similarity" if task_of(spec).of_pairs else "text-classification"
    head: dict[str, Any] = {
        "library_name": "pyro_rationale",
        "pipeline_tag": kind,
        "tags": ["rationale", "interpretability", "pyro", spec.kind],
    }
    if config.model.pretrained in HUB_NAMES:
        head["base_model"] = HUB_NAMES[config.model.pretrained]
    figures = [
        {"type": metric.name, "name": metric.label.strip(), "value": float(metrics["test"][metric.name])}
        for metric in every_metric()
        if metric.name in SHOWN and metric.label and _is_number(metrics.get("test", {}).get(metric.name))
    ]
    if figures:
        data = {"name": data_name(config), "type": data_name(config), "split": "test"}
        result = {"task": {"type": kind}, "dataset": data, "metrics": figures}
        head["model-index"] = [{"name": name, "results": [result]}]
    lines = [f"{key}: {value if key == 'library_name' else json.dumps(value)}" for key, value in head.items()]
    return "\n".join(["---", *lines, "---"])


def data_name(config: Config) -> str:
    """Name of the data without the folders of the machine: `lounge.csv`, `eraser:movies`."""
    kind, colon, rest = config.data.data.partition(":")
    if config.data.data in CORPORA:
        return config.data.data
    if colon and kind in CORPORA:
        return f"{kind}:{Path(rest).name}"
    return Path(config.data.data).name


def _summary(config: Config, spec: TargetSpec) -> str:
    unit = f"{config.unit}s"
    if task_of(spec).of_pairs:
        what = (
            f"Compares texts by a few {unit} of each, and shows which: search for similar questions. What is shown is "
            "the most probable rationale, from which texts are compared."
        )
    else:
        what = (
            f"Predicts {_plain(task_of(spec).describe())} from a few {unit} of a text, and shows which. The "
            "prediction averages over the masks that the model finds probable; what is shown is the most probable one "
            f"that agrees with it, and `explain` says what it is from these {unit} alone."
        )
    return (
        f"{what} Which {unit} count are latent variables of a model in Pyro, so that every text has a distribution of "
        "rationales, and every prediction one over both."
    )


def _use(spec: TargetSpec) -> str:
    command = 'explain --run . "A text of yours."'
    if task_of(spec).of_pairs:
        command = "index --run . --corpus texts.txt --out index"
    return (
        f"## Use\n\n```sh\npython -m pyro_rationale.{command}\n```\n\n"
        '```python\nimport pyro_rationale\n\nfitted = pyro_rationale.load(".")  # this folder\n```'
    )


def _data(config: Config, metrics: Mapping[str, Any], rows: Mapping[str, str]) -> Iterator[str]:
    options = config.data
    columns = [*options.text_columns, *options.target_column]
    named = f", columns {', '.join(f'`{_plain(column)}`' for column in columns)}" if columns else ""
    cut = "" if options.max_words is None else f"; texts are cut after {options.max_words} words"
    yield f"`{_plain(data_name(config))}`{named}{cut}.\n"
    sizes = metrics.get("documents") or {}
    if sizes or rows:
        yield "| split | texts | digest of its rows |\n|---|---|---|"
    for split in ("train", "dev", "test"):
        if sizes.get(split) or rows.get(split):
            count = f"{sizes[split]:,}" if split in sizes else "not recorded"
            yield f"| {split} | {count} | {rows.get(split, 'not recorded')} |"
    leaks = metrics.get("leaks") or {}
    if leaked := leaks.get("leaked"):
        dropped = leaks.get("dropped", 0)
        yield f"\n{leaked} training texts stand, or nearly stand, among dev or test texts ({dropped} left out)."


def _settings(
    config: Config, metrics: Mapping[str, Any], base: Mapping[str, Any], version: str
) -> Iterator[str]:
    model, train = config.model, config.train
    yield "| | |\n|---|---|"
    yield f"| version | pyro_rationale {_plain(version)} |"
    yield f"| guide | {config.guide} |"
    yield f"| networks | encoder {model.encoder}, generator {config.generator}, hidden size {model.hidden} |"
    if base:
        yield f"| pretrained | {_plain(base.get('name'))}, SHA-256 {_plain(base.get('sha256'))[:16]}... |"
    if model.vectors:
        yield f"| word vectors | {_plain(' + '.join(Path(source).name for source in sources_of(model.vectors)))} |"
    unit = f"{config.unit}s"
    asked = {"rate": model.rate, "span": model.span} | (metrics.get("prior_asked") or {})
    if _is_number(asked["rate"]) and _is_number(asked["span"]):
        yield f"| asked for | {100 * asked['rate']:.3g} % of the {unit}, in runs of {asked['span']:.3g} |"
    yield f"| training | {train.steps:,} steps at most, batches of {train.batch_size}, seed {train.seed} |"
    if config.members > 1:
        yield f"| members | {config.members} |"
    yield "\nAll settings are in `config.json`."


def _results(config: Config, metrics: Mapping[str, Any]) -> Iterator[str]:
    test, ends = metrics.get("test") or {}, metrics.get("intervals") or {}
    if not test:
        yield "Not evaluated on test texts."
        return
    others = [name for name in BASELINE_TITLES if name in (metrics.get("baselines") or {})]
    count = test.get("documents", test.get("queries", 0))
    how = ", with 95 % bootstrap intervals over texts" if ends else ""
    yield f"On {count:,} test texts{how}:\n"
    yield f"| | this model | 95 % interval |{''.join(f' {BASELINE_TITLES[name]} |' for name in others)}"
    yield "|---|---|---|" + "---|" * len(others)
    for metric in every_metric():
        if metric.name not in SHOWN or not metric.label or not _is_number(test.get(metric.name)):
            continue
        interval = ""
        low, high = ends.get(metric.name) or (None, None)
        if _is_number(low) and _is_number(high):
            interval = f"{_shown(low, metric.format)} to {_shown(high, metric.format)}"
        known = [metrics["baselines"][name].get(metric.name) for name in others]
        cells = "".join(f" {_shown(value, metric.format)} |" if _is_number(value) else " |" for value in known)
        yield f"| {metric.label.strip()} | {_shown(test[metric.name], metric.format)} | {interval} |{cells}"
    if rules := metrics.get("decision"):
        yield f"\nA rule chosen by development texts names the class: {_plain('; '.join(rule_lines(rules)))}."
    if aspects := test.get("aspects"):
        yield f"\nFigures of each target ({', '.join(map(_plain, aspects))}) are in `metrics.json`."


def _limits(config: Config, spec: TargetSpec, metrics: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"**This fit counts as failed:** {_plain(failure)}." for failure in metrics.get("failures") or ())
    yield "The figures are of texts like those it was fitted on; other subjects and languages were not measured."
    if task_of(spec).of_pairs:
        yield "The shown words are evidence in the model's eyes; other words may serve as well."
    else:
        yield (
            "The shown words are one probable rationale, which may be one of many that the "
            "prediction averages over: look at its probability, and at the alternatives. They are evidence in the "
            "model's eyes, not the cause of a writer's rating."
        )
    test = metrics.get("test") or {}
    if _is_number(covered := test.get("covered_90")):
        yield f"90 % intervals held the true rating of {100 * covered:.3g} % of the test texts."
    full, own = ((metrics.get("baselines") or {}).get("full-text", {}).get("mse"), test.get("mse"))
    if _is_number(full) and _is_number(own) and full < own:
        yield "The same encoder reading whole texts predicts better: the shown words are not all the evidence there is."
    yield "`vocabulary.json` holds words of the training texts; look at it before you give the folder away."


def _licences(config: Config, base: Mapping[str, Any]) -> Iterator[str]:
    yield "This model: not stated. Add `license: ...` to the head of this file."
    yield f"Data `{_plain(data_name(config))}`: not stated here; that of its source holds."
    if base:
        name, licence = _plain(base.get("name")), _plain(base.get("licence") or "not known")
        yield f"Weights of {name}, of which the tuned layers are part of `model.safetensors`: {licence}."
    if config.model.vectors:
        for source in sources_of(config.model.vectors):
            licence, name = VECTOR_LICENCES.get(source, "not known"), _plain(Path(source).name)
            yield f"Word vectors {name}, of which those of the vocabulary are part of `model.safetensors`: {licence}."
    yield "The program pyro_rationale: MIT."


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _shown(value: float, form: str) -> str:
    return f"{100 * value:.1f} %" if form == "%" else f"{value:{form}}"


def _plain(text: Any) -> str:
    """A name from a file or a table as it may stand in a line of Markdown."""
    return " ".join(harmless(str(text)).replace("`", "'").replace("|", "/").replace("<", "(").split())

"""Fits of real texts with few flags, or none: corpora x settings x seeds, each measured beside simple predictors.

A TOML file says which:

    out = "runs/real-texts"         # folder of the cells and tables
    seeds = 5                       # 0 ... 4, or a list

    [base]                          # flags of the fit for every cell
    threads = 1

    [[corpora]]
    name = "lounge"                 # of its folder; more keys are flags of the fit
    data = "lounge.csv"
    text_column = "text"
    target_column = ["catering"]
    [[corpora]]
    name = "imdb"
    data = "imdb"
    texts = 10000                   # so many at most, of all splits together; drawn by split_seed

    [[settings]]                    # without any: one, "default"
    name = "default"
    [[settings]]
    name = "no dropout"
    dropout = 0.0

The first setting is the reference: beside its fits stand a constant, tf-idf with a linear model, and its encoder on
whole texts. All settings of a corpus read the same texts unless a setting says otherwise.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import pyro_rationale
from pyro_rationale.config import Config
from pyro_rationale.data.corpus import Corpus, Document
from pyro_rationale.data.row_digests import row_digests
from pyro_rationale.errors import ConfigError
from pyro_rationale.evaluation.results import train, train_ensemble
from pyro_rationale.experiments.benchmark.spec import (
    NAME,
    Flags,
    check_known,
    plan_of,
    read_flags,
    read_seeds,
    read_table,
)
from pyro_rationale.experiments.grid import GridRunner
from pyro_rationale.experiments.sample_texts import read_corpus, read_texts
from pyro_rationale.experiments.studies.cells import numbers
from pyro_rationale.experiments.yardsticks import FULL_TEXT, TFIDF, baseline_rows
from pyro_rationale.fitted import FittedModel
from pyro_rationale.prediction.options import PredictOptions
from pyro_rationale.prediction.predictor import predict
from pyro_rationale.prediction.text_spans import markdown
from pyro_rationale.run_files import CONFIG
from pyro_rationale.storage import note
from pyro_rationale.tasks import task_of
from pyro_rationale.training.defaults import chosen

CELL, FIT = "cell.json", "fit"
SHOWN = 20  # test texts whose rationales are kept for reading
TOP = ("out", "seeds", "base", "corpora", "settings")
OF_CORPUS = ("name", "texts", "read")
DECIDED = {"seed": "it is what seeds lists"}
_NO_FIGURES = ("cli/", "reporting/", "sklearn/", "experiments/benchmark/", "experiments/studies/")
Measures = dict[str, Any]


@dataclass(frozen=True)
class Read:
    """Whether a person has read the rationales of a corpus.

    Attributes:
        rationales: digest of the rationales that were read; others have not been.
        accepted: how many of them the person would accept.
    """

    rationales: str
    accepted: int


@dataclass(frozen=True, eq=False)
class RealCorpus:
    """A corpus of the study.

    Attributes:
        name: of its folder, and in tables.
        flags: of the fit.
        texts: how many at most.
        read: what a person made of its rationales.
    """

    name: str
    flags: Flags
    texts: int | None = None
    read: Read | None = None


@dataclass(frozen=True, eq=False)
class Setting:
    """Flags of the fit under a name."""

    name: str
    flags: Flags


@dataclass(frozen=True)
class RealCell:
    """One fit: a corpus, a setting, a seed."""

    corpus: RealCorpus
    setting: Setting
    seed: int

    def __str__(self) -> str:
        return f"{self.corpus.name}, {self.setting.name}, seed {self.seed}"


@dataclass(frozen=True)
class RealPlan:
    """A study.

    Attributes:
        out: folder of the cells and of the tables.
        corpora: what is fitted on.
        settings: how; the first is the reference.
        seeds: of training.
        base: flags for all fits.
    """

    out: Path
    corpora: tuple[RealCorpus, ...]
    settings: tuple[Setting, ...]
    seeds: tuple[int, ...]
    base: Flags = field(default_factory=dict)

    def cells(self) -> list[RealCell]:
        """All of them; settings change fastest, so that a table of one seed is there early."""
        return [
            RealCell(corpus, setting, seed)
            for seed in self.seeds
            for corpus in self.corpora
            for setting in self.settings
        ]

    def config(self, cell: RealCell) -> Config:
        """The configuration of a cell, before what depends on its corpus is settled.

        Raises:
            ConfigError: its flags do not go together.
        """
        flags = {**self.base, **cell.corpus.flags, **cell.setting.flags, "seed": cell.seed}
        try:
            return Config().changed(**flags)
        except ConfigError as problem:
            raise ConfigError(f"{cell}: {problem}") from None


def read_real_plan(path: Path) -> RealPlan:
    """Read the file of a study.

    Raises:
        ConfigError: it cannot be read, or something in it means nothing; the message names file and key.
    """
    return plan_of(path, make_real_plan)


def make_real_plan(values: Mapping[str, Any], name: str = "real-texts") -> RealPlan:
    """A plan from what the file says.

    Args:
        values: of the file.
        name: of the folder in `runs` if the file names none.

    Raises:
        ConfigError: a key or a value that means nothing.
    """
    check_known(values, TOP, "")
    out = values.get("out", f"runs/{name}")
    if not isinstance(out, str) or not out:
        raise ConfigError(f"out: expected the name of a folder, got {out!r}")
    corpora = tuple(_corpus(name, table) for name, table in _named(values, "corpora"))
    if not corpora:
        raise ConfigError("corpora: expected at least one [[corpora]] table with name and data")
    settings = tuple(_setting(name, table) for name, table in _named(values, "settings"))
    base = read_flags(read_table(values, "base", "base"), "base", decided=DECIDED)
    return RealPlan(Path(out), corpora, settings or (Setting("default", {}),), read_seeds(values), base)


def _named(values: Mapping[str, Any], key: str) -> list[tuple[str, dict[str, Any]]]:
    """Tables of a list, each with its name."""
    tables = values.get(key, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigError(f"{key}: expected tables, each below a line [[{key}]]")
    rows = []
    for number, table in enumerate(tables):
        name = table.get("name")
        if not isinstance(name, str) or not NAME.fullmatch(_folder(name)) or not name.strip("."):
            expected = "a name of letters, digits, blanks and . + - _"
            raise ConfigError(f"{key}.{number}.name: expected {expected}, got {name!r}")
        rows.append((name, {item: value for item, value in table.items() if item != "name"}))
    if repeated := {name for name, _ in rows if [other for other, _ in rows].count(name) > 1}:
        raise ConfigError(f"{key}: {', '.join(sorted(repeated))} stands there twice; give each a name of its own")
    return rows


def _folder(name: str) -> str:
    return name.replace(" ", "-")


def _corpus(name: str, table: Mapping[str, Any]) -> RealCorpus:
    where = f"corpora.{name}"
    flags = read_flags({k: v for k, v in table.items() if k not in OF_CORPUS}, where, OF_CORPUS, DECIDED)
    texts, read = read_texts(table, where), None
    if "data" not in flags:
        raise ConfigError(f"{where}: no data; say which corpus, as data = \"vader-movies\"")
    if "read" in table:
        stored = read_table(table, "read", f"{where}.read")
        digest, accepted = stored.get("rationales"), stored.get("accepted")
        if not isinstance(digest, str) or type(accepted) is not int or not 0 <= accepted <= SHOWN:
            expected = f"{{rationales = DIGEST, accepted = 0 to {SHOWN}}}, the digest as the page has it"
            raise ConfigError(f"{where}.read: expected {expected}, got {stored!r}")
        read = Read(digest, accepted)
    return RealCorpus(name, flags, texts, read)


def _setting(name: str, table: Mapping[str, Any]) -> Setting:
    flags = read_flags(table, f"settings.{name}", decided=DECIDED)
    if "data" in flags:
        raise ConfigError(f"settings.{name}.data: settings are compared on the same texts; add the data to corpora")
    return Setting(name, flags)


@cache
def code_digest() -> str:
    """Digest of the sources that decide the figures: all but commands, reports, benchmarks and studies."""
    root = Path(pyro_rationale.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root).as_posix()
        if not place.startswith(_NO_FIGURES):
            digest.update(f"{place}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


class RealTexts(GridRunner[RealCell]):
    """Runs the cells of a study of real texts, or reads those that are finished.

    Args:
        plan: the study.
    """

    result, fit = CELL, FIT
    required = frozenset({"test", "baselines", "rationales", "code"})

    def __init__(self, plan: RealPlan) -> None:
        self.plan = plan
        self.code = code_digest()  # at the start: files may change while cells are made
        self._held: tuple[Any, Corpus] | None = None

    def folder(self, cell: RealCell) -> Path:
        """Folder of a cell."""
        return self.plan.out / cell.corpus.name / _folder(cell.setting.name) / f"seed-{cell.seed}"

    def config(self, cell: RealCell) -> Config:
        """Configuration of a cell."""
        return self.plan.config(cell)

    def rows(self, cell: RealCell) -> dict[str, str]:
        """Digests of the rows that the corpus of a cell holds now."""
        return row_digests(self.corpus(cell))

    def corpus(self, cell: RealCell) -> Corpus:
        """The corpus of a cell; that of the cell before, if it is the same.

        Raises:
            DataError: it cannot be read, or a split is empty.
        """
        own, options = cell.corpus, self.config(cell).data
        if self._held is None or self._held[0] != (own, options):
            corpus = read_corpus(own.name, options, own.texts, ("train", "dev", "test"))
            self._held = ((own, options), corpus)
        return self._held[1]

    def measure(self, cell: RealCell, config: Config) -> Measures:
        """Fit and measure a cell, and keep the rationales of the first test texts."""
        whole, folder = self.corpus(cell), self.fit_folder(cell)
        fit = train_ensemble if config.members > 1 else train
        run, metrics = fit(config, folder, resume=(folder / CONFIG).exists(), corpus=whole)
        fitted, corpus = run.fitted, run.corpus  # with texts cut as the fit reads them
        note(self.folder(cell), rows=row_digests(whole))
        beside = metrics.baselines
        if cell.setting is self.plan.settings[0]:
            beside = beside | baseline_rows(run, (TFIDF, FULL_TEXT))
        cost = task_of(corpus.spec).cost_name
        return {
            "corpus": cell.corpus.name,
            "setting": cell.setting.name,
            "seed": cell.seed,
            "texts": cell.corpus.texts,
            "code": self.code,
            "cost": cost,
            "sizes": {split: len(getattr(corpus, split)) for split in ("train", "dev", "test")},
            "median_words": float(np.median([len(document.tokens) for document in whole.train])),
            "max_words": fitted.config.data.max_words,
            "rate": fitted.config.model.rate,
            "chosen": chosen(config, fitted.config),
            "test": numbers(metrics.test),
            "averaged": {cost: metrics.test.get(f"averaged_{cost}", metrics.test[cost])},
            "baselines": {name: errors[cost] for name, errors in beside.items()},
            "failures": list(metrics.failures),
            "fit": {name: getattr(metrics, name) for name in ("epochs", "best_epoch", "recoveries", "restarts")},
            "steps": run.steps,
            "minutes": metrics.seconds / 60,
            "rationales": rationales(fitted, corpus.test[:SHOWN]),
        }

    def read(self, cell: RealCell) -> Measures:
        """Contents of the result file of a finished cell.

        Raises:
            RunError: the file is damaged or of another version.
            ConfigError: the cell was made with other options, or on another number of texts.
        """
        facts = super().read(cell)
        if facts.get("texts") != cell.corpus.texts:
            raise ConfigError(
                f"{self.folder(cell)}: was made with texts = {facts.get('texts')}, and {cell.corpus.texts} is "
                "requested; name another folder, or delete this one"
            )
        return facts


def rationales(fitted: FittedModel, documents: Sequence[Document]) -> list[dict[str, str]]:
    """Texts with their kept words, as Markdown, with what is predicted from these words, and the truth."""
    options, task = PredictOptions(alternatives=0), fitted.task
    return [
        {
            "text": markdown(document, reading.kept, document.gold),
            "prediction": "; ".join(
                task.lines(reading.predicted, reading.values, reading.interval, options.level, reading.classes)
            ),
            "truth": ", ".join(task.true_lines(document.targets)),
        }
        for document, reading in zip(documents, predict(fitted, documents, options), strict=True)
    ]


def digest_of(rationales: Sequence[Mapping[str, str]]) -> str:
    """Digest of marked texts: by it a person says which rationales were read."""
    return hashlib.sha256("\n".join(row["text"] for row in rationales).encode()).hexdigest()[:10]


def goals_missed(facts: Measures, baselines: Mapping[str, float]) -> list[str]:
    """Goals that a fit of the reference setting misses.

    The error is at most 1.05 times that of the encoder on whole texts (accuracy: 2 points less) and 1.02 times that of
    tf-idf; at most 1 % of the masks are empty; the share of words kept is within a fifth of the rate; runs of kept
    words are 3 words long in the mean, if the median text has over 60; and the fit has not failed. Goals of the error
    are asked of predictions, which average over masks, and once more of the shown words alone.

    Args:
        facts: of a cell.
        baselines: costs of the cell of the reference setting with the same seed; goals against them are passed over
            where they are missing.
    """
    cost, test = facts["cost"], facts["test"]
    alone = test[cost]
    own = facts.get("averaged", {}).get(cost, alone)

    def beyond(own: float, name: str, factor: float, points: float) -> bool:
        if name not in baselines:
            return False
        return own < baselines[name] - points if cost == "accuracy" else own > factor * baselines[name]

    kept = test.get("selected", math.nan)
    missed = {
        "full text": beyond(own, FULL_TEXT, 1.05, 0.02),
        "tf-idf": beyond(own, TFIDF, 1.02, 0.02),
        "full text, shown words alone": beyond(alone, FULL_TEXT, 1.05, 0.02),
        "tf-idf, shown words alone": beyond(alone, TFIDF, 1.02, 0.02),
        "empty": test.get("empty", 0.0) > 0.01,
        "rate": not 0.8 * facts["rate"] <= kept <= 1.2 * facts["rate"],
        "run": facts["median_words"] > 60 and not test.get("span", 0.0) >= 3.0,
        "FAILED": bool(facts["failures"]),
    }
    return [name for name, misses in missed.items() if misses]

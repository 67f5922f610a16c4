"""Specification of a benchmark, read from a TOML file.

    out = "runs/benchmark/planted"          # folder of the cells and tables
    seeds = 5                               # 0 ... 4, or a list
    rates = ["0.5x", "1x", 0.13]            # shares of words; "1x" is the gold share of the training texts
    methods = ["chain", "relaxed"]
    reference = "chain"                     # whom the others are tested against
    curve = [0.05, 0.1, 0.2]                # also measure every model at these shares, without fitting again
    judge = "random"                        # an encoder-only baseline that measures comprehensiveness and sufficiency

    [base]                                  # flags of the fit for everybody
    threads = 1

    [overrides.relaxed]                     # and for one method, with the settings of its own that it may have
    temperature = 0.5

    [[corpora]]
    name = "planted"                        # of its folder; more keys are flags of the fit
    texts = 10000                           # so many at most, of all splits together; drawn by split_seed
    data = "synthetic"
    documents = 3000
    [corpora.overrides.chain]               # one method on this corpus
    span = 3.0
"""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pyro_rationale.build import starting_prior
from pyro_rationale.config import Config, ModelOptions, TrainOptions
from pyro_rationale.data.corpus import Corpus
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.targets import number_of
from pyro_rationale.errors import ConfigError, did_you_mean
from pyro_rationale.experiments.baselines import BASELINES, find_method, method_names
from pyro_rationale.experiments.baselines._run import PLAIN
from pyro_rationale.experiments.sample_texts import read_texts
from pyro_rationale.options import convert
from pyro_rationale.storage import read_toml

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Flags = dict[str, Any]
PARTS: tuple[type, ...] = (DataOptions, ModelOptions, TrainOptions)
OPTIONS = {item.name: (item, typing.get_type_hints(part)[item.name]) for part in PARTS for item in fields(part)}
OF_DATA = {item.name for item in fields(DataOptions)}
TOP = ("out", "seeds", "rates", "methods", "reference", "curve", "judge", "base", "overrides", "corpora")
OF_CORPUS = ("name", "texts", "rates", "methods", "overrides")
# What the grid itself, or the method, decides; a flag for it would be overruled without a word.
DECIDED = {
    "rate": "it is what rates lists",
    "seed": "it is what seeds lists",
    "lambda1": "methods are compared at a share of words: use rates",
    "lambda2": "methods are compared at a share of words: use rates and span",
    **{name: "the method decides it" for name in ("guide", *PLAIN)},
}
NAME = re.compile(r"[\w.+-]+")
P = TypeVar("P")  # a plan
MOST_SEEDS = 10_000


@dataclass(frozen=True)
class Rate:
    """A target share of words: absolute, or a multiple of the gold share.

    Attributes:
        label: as in the file; names the folder.
        number: the share, or the multiple.
        of_gold: whether it is a multiple.
    """

    label: str
    number: float
    of_gold: bool

    def share(self, corpus: Corpus, name: str) -> float:
        """The share of words, in training documents first and development documents second, never in test ones.

        Raises:
            ConfigError: no gold to multiply, or the product is no share.
        """
        if not self.of_gold:
            return self.number
        for documents in (corpus.train, corpus.dev):
            marked = [(sum(d.gold), len(d.gold)) for d in documents if d.gold is not None]
            kept, words = (sum(pair[i] for pair in marked) for i in (0, 1))
            if kept:
                share = round(self.number * kept / words, 4)
                if not 0.0 < share < 1.0:
                    raise ConfigError(f"corpora.{name}: {self.label} the gold share is {share:g}, no share of words")
                return share
        raise ConfigError(
            f"corpora.{name}: no gold rationale in the training or development texts, so that {self.label} means "
            "nothing; give rates as shares of words, as 0.1"
        )


@dataclass(frozen=True, eq=False)  # one object per corpus: it can be a key, whatever is in it
class CorpusPlan:
    """One corpus of the benchmark.

    Attributes:
        name: of its folder, and in tables.
        flags: of the fit, for all methods.
        overrides: more flags, by method.
        rates: target shares.
        methods: those of the benchmark that are fitted here.
        texts: how many at most.
    """

    name: str
    flags: Flags
    overrides: dict[str, Flags]
    rates: tuple[Rate, ...]
    methods: tuple[str, ...]
    texts: int | None = None


@dataclass(frozen=True)
class Cell:
    """One fit: a corpus, a target rate, a method, a seed."""

    corpus: CorpusPlan
    rate: Rate
    method: str
    seed: int

    @property
    def path(self) -> Path:
        """Its folder, below that of the benchmark."""
        return Path(self.corpus.name, self.rate.label, self.method, f"seed-{self.seed}")

    def __str__(self) -> str:
        return f"{self.corpus.name}, {self.rate.label}, {self.method}, seed {self.seed}"


@dataclass(frozen=True)
class Plan:
    """A benchmark.

    Attributes:
        out: folder of the cells and of the tables.
        corpora: what is fitted on.
        methods: names of guides, or of :data:`pyro_rationale.experiments.baselines.BASELINES`.
        seeds: of training; the texts and their split stay the same for all of them.
        reference: the method that the others are tested against.
        base: flags for all fits.
        overrides: more flags, and settings of its own, by method.
        curve: shares of words at which every model is measured besides.
        judge: encoder-only baseline, fitted for each cell by the cell's configuration, before which comprehensiveness
            and sufficiency are measured; empty for none.
    """

    out: Path
    corpora: tuple[CorpusPlan, ...]
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    reference: str
    base: Flags = field(default_factory=dict)
    overrides: dict[str, Flags] = field(default_factory=dict)
    curve: tuple[float, ...] = ()
    judge: str = ""

    def cells(self) -> list[Cell]:
        """All of them; seeds change slowest within a corpus, so that a table of one seed is there early."""
        return [
            Cell(corpus, rate, method, seed)
            for corpus in self.corpora
            for seed in self.seeds
            for rate in corpus.rates
            for method in corpus.methods
        ]

    def data(self, corpus: CorpusPlan) -> DataOptions:
        """How a corpus is read: the same for all methods, rates and seeds."""
        flags = {**self.base, **corpus.flags}
        return replace(_unset(flags).data, **{name: flags[name] for name in OF_DATA & flags.keys()})

    def config(self, cell: Cell, share: float) -> Config:
        """The configuration of a cell whose target is `share`."""
        own, method = cell.corpus, find_method(cell.method)
        overrides = self._overrides(cell)
        if method.settings is not None:
            overrides = {name: value for name, value in overrides.items() if name not in _fields(method.settings)}
        flags = {**self.base, **own.flags, **overrides}
        flags |= {"rate": share, "seed": cell.seed}
        try:
            config = _unset(flags).changed(**flags)
            starting_prior(config, 1.0)  # a rate and a span that do not go together are told before any fit
            if method.keeps_words and (config.whole_units or config.exclusion):
                given = f"--unit {config.unit}" if config.whole_units else "--exclude"
                raise ConfigError(f"{given}: the method keeps single words, any of them; leave it out, or the method")
            return config
        except ConfigError as problem:
            raise ConfigError(f"{cell}: {problem}") from None

    def settings(self, cell: Cell) -> DataclassInstance | None:
        """The settings of its own that the method of a cell has; `None` if it has none."""
        kind = find_method(cell.method).settings
        if kind is None:
            return None
        known = _fields(kind)
        try:
            return kind(**{name: value for name, value in self._overrides(cell).items() if name in known})
        except ConfigError as problem:
            raise ConfigError(f"{cell}: {problem}") from None

    def _overrides(self, cell: Cell) -> Flags:
        return {**self.overrides.get(cell.method, {}), **cell.corpus.overrides.get(cell.method, {})}


def read_plan(path: Path) -> Plan:
    """Read a benchmark's file.

    Raises:
        ConfigError: it cannot be read, or something in it means nothing; the message names file and key.
    """
    return plan_of(path, make_plan)


def plan_of(path: Path, make: Callable[[Mapping[str, Any], str], P]) -> P:
    """A plan from a TOML file; `make` is given what the file says, and its name.

    Raises:
        ConfigError: as `make`, with the file in front, or the file cannot be read.
    """
    values = read_toml(path)
    try:
        return make(values, path.stem)
    except ConfigError as problem:
        raise ConfigError(f"{path}: {problem}") from None


def make_plan(values: Mapping[str, Any], name: str = "benchmark") -> Plan:
    """A plan from what the file says.

    Args:
        values: of the file.
        name: of the folder in `runs/benchmark` if the file names none.

    Raises:
        ConfigError: a key or a value that means nothing.
    """
    check_known(values, TOP, "")
    methods = _strings(values, "methods", "a list of methods, as methods = [\"chain\", \"relaxed\"]")
    _methods(methods, "methods")
    reference = values.get("reference", methods[0])
    if reference not in methods:
        raise ConfigError(f"reference: {reference!r} is not among methods; take one of {', '.join(methods)}")
    tables = values.get("corpora")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise ConfigError("corpora: expected at least one [[corpora]] table with name and data")
    rates = _rates(values["rates"], "rates") if "rates" in values else None
    corpora = tuple(_corpus(table, number, rates, methods) for number, table in enumerate(tables))
    names = [corpus.name for corpus in corpora]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise ConfigError(f"corpora: {', '.join(sorted(repeated))} stands there twice; give each a name of its own")
    out = values.get("out", f"runs/benchmark/{name}")
    if not isinstance(out, str) or not out:
        raise ConfigError(f"out: expected the name of a folder, got {out!r}")
    base = read_flags(read_table(values, "base", "base"), "base")
    overrides = _overrides(values, "overrides")
    judge = _judge(values)
    return Plan(Path(out), corpora, methods, read_seeds(values), reference, base, overrides, _curve(values), judge)


def _corpus(
    table: Mapping[str, Any], number: int, rates: tuple[Rate, ...] | None, methods: tuple[str, ...]
) -> CorpusPlan:
    name = table.get("name", table.get("data"))
    where = f"corpora.{name if isinstance(name, str) and 'name' in table else number}"
    if not isinstance(name, str) or not NAME.fullmatch(name) or not name.strip("."):
        raise ConfigError(f"{where}.name: expected a name of letters, digits and . + - _ for the folder, got {name!r}")
    own = _rates(table["rates"], f"{where}.rates") if "rates" in table else rates
    if own is None:
        raise ConfigError(f"{where}: no rates; give rates = [0.1] here, or at the top for all corpora")
    some = methods
    if "methods" in table:
        some = _strings(table, "methods", "a list of methods, some of those at the top", f"{where}.")
        if others := [method for method in some if method not in methods]:
            raise ConfigError(f"{where}.methods: {others[0]} is not among methods at the top; add it there")
    flags = read_flags({k: v for k, v in table.items() if k not in OF_CORPUS}, where, OF_CORPUS)
    return CorpusPlan(name, flags, _overrides(table, f"{where}.overrides"), own, some, read_texts(table, where))


def _overrides(values: Mapping[str, Any], where: str) -> dict[str, Flags]:
    tables = read_table(values, "overrides", where)
    _methods(tables, where)
    overrides = {}
    for method in tables:
        overrides[method] = _method_flags(method, read_table(tables, method, f"{where}.{method}"), f"{where}.{method}")
        if of_data := OF_DATA & overrides[method].keys():
            raise ConfigError(
                f"{where}.{method}.{min(of_data)}: all methods read the same texts; set it for the corpus"
            )
    return overrides


def read_table(values: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    """A table below a key, empty if there is none.

    Raises:
        ConfigError: something else is there.
    """
    value = values.get(key, {})
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: expected a table of flags, [{where}], got {value!r}")
    return value


def read_flags(
    values: Mapping[str, Any], where: str, more: Sequence[str] = (), decided: Mapping[str, str] = DECIDED
) -> Flags:
    """Flags of the fit, checked by name and type; dashes are as good as underscores.

    Args:
        values: of a table.
        where: the table, for messages.
        more: keys of the table that are no flags, so that they are offered where a name is misspelt.
        decided: flags that may not be set, and why.

    Raises:
        ConfigError: no such flag, or no such value of it.
    """
    flags = {key.replace("-", "_"): value for key, value in values.items()}
    check_known(flags, (*OPTIONS, *more), f"{where}.")
    for name, value in flags.items():
        if name in decided:
            raise ConfigError(f"{where}.{name}: cannot be set here, for {decided[name]}")
        flags[name] = convert(*OPTIONS[name], value, f"{where}.{name}")
    return flags


def _unset(flags: Flags) -> Config:
    """A configuration with nothing given: its options are open under a preset, else as on planted reviews."""
    return Config() if "preset" in flags else Config().settled()


def _method_flags(method: str, values: Mapping[str, Any], where: str) -> Flags:
    """Flags for one method: of the fit, or, if it has settings of its own, those and what else it reads."""
    baseline = find_method(method)
    if baseline.settings is None:
        return read_flags(values, where)
    known, given = _fields(baseline.settings), {key.replace("-", "_"): value for key, value in values.items()}
    reads = OPTIONS if baseline.reads is None else baseline.reads
    check_known(given, (*known, *reads), f"{where}.")
    own = {name: convert(*known[name], given.pop(name), f"{where}.{name}") for name in known if name in given}
    return read_flags(given, where) | own


def _fields(kind: type[DataclassInstance]) -> dict[str, tuple[Field[Any], Any]]:
    """Fields of a dataclass by name, each with its type."""
    return {item.name: (item, typing.get_type_hints(kind)[item.name]) for item in fields(kind)}


def check_known(values: Iterable[str], names: Iterable[str], where: str) -> None:
    """Raise ConfigError for a key that is not among the names."""
    names = list(names)
    for key in values:
        if key not in names:
            remedy = did_you_mean(key, names) or f"there are {', '.join(sorted(names))}"
            raise ConfigError(f"{where}{key}: no such key; {remedy}")


def _methods(names: Iterable[str], where: str) -> None:
    known = method_names()
    for name in names:
        if name not in known:
            remedy = did_you_mean(name, known) or f"there are {', '.join(known)}"
            raise ConfigError(f"{where}: no method {name!r}; {remedy}")


def _strings(values: Mapping[str, Any], key: str, expected: str, where: str = "") -> tuple[str, ...]:
    value = values.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise ConfigError(f"{where}{key}: expected {expected}")
    if len(set(value)) < len(value):
        raise ConfigError(f"{where}{key}: something stands there twice")
    return tuple(value)


def read_seeds(values: Mapping[str, Any]) -> tuple[int, ...]:
    """Seeds from `seeds = 5` or `seeds = [0, 3]`.

    Raises:
        ConfigError: they are neither.
    """
    value = values.get("seeds", 1)
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MOST_SEEDS:
        return tuple(range(value))
    if isinstance(value, list) and value and all(type(seed) is int and seed >= 0 for seed in value):
        return tuple(dict.fromkeys(value))
    expected = f"how many, {MOST_SEEDS:,} at most, or a list of whole numbers from 0"
    raise ConfigError(f"seeds: expected {expected}, got {value!r}")


def _rates(value: Any, where: str) -> tuple[Rate, ...]:
    if not isinstance(value, list) or not value:
        raise ConfigError(f"{where}: expected a list of shares, as [0.1, \"1x\"], got {value!r}")
    rates = tuple(_rate(item, where) for item in value)
    if len({rate.label for rate in rates}) < len(rates):
        raise ConfigError(f"{where}: something stands there twice")
    return rates


def _rate(value: Any, where: str) -> Rate:
    of_gold = isinstance(value, str) and value.endswith("x")
    written = value[:-1] if of_gold else value
    number = (number_of(written) or -1.0) if isinstance(written, (str, int, float)) else -1.0
    if isinstance(value, bool) or not 0.0 < number < (float("inf") if of_gold else 1.0):
        raise ConfigError(
            f"{where}: expected a share of words between 0 and 1, or a multiple of the gold share as \"1.5x\", "
            f"got {value!r}"
        )
    return Rate(f"{number:g}x" if of_gold else f"{number:g}", number, of_gold)


def _curve(values: Mapping[str, Any]) -> tuple[float, ...]:
    value = values.get("curve", [])
    if not isinstance(value, list) or not all(type(item) in (int, float) and 0.0 < item <= 1.0 for item in value):
        raise ConfigError(f"curve: expected a list of shares of words above 0 and at most 1, got {value!r}")
    return tuple(sorted({float(item) for item in value}))


def _judge(values: Mapping[str, Any]) -> str:
    name = values.get("judge", "")
    readers = [method for method in BASELINES if BASELINES[method].encoder_only]
    if name and name not in readers:
        raise ConfigError(f"judge: expected one of {', '.join(readers)}, got {name!r}")
    return str(name)

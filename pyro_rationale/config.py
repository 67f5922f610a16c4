"""The configuration of a fit, in parts whose fields are the flags of the command line."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.word_classes import parse_classes
from pyro_rationale.errors import ConfigError
from pyro_rationale.guides import GUIDES
from pyro_rationale.inference.estimators import ESTIMATORS
from pyro_rationale.nn.encoders import ENCODERS
from pyro_rationale.nn.generators import GENERATORS, needs_vocabulary
from pyro_rationale.options import decode
from pyro_rationale.training.options import ModelOptions, TrainOptions

PARTS: dict[str, type[Any]] = {"data": DataOptions, "model": ModelOptions, "train": TrainOptions}
BEST_MEMBERS = 3  # of --preset best
PLANTED: dict[str, Any] = {  # values on planted reviews of the options that are chosen by the texts
    item.name: item.metadata["planted"]
    for kind in PARTS.values()
    for item in dataclasses.fields(kind)
    if item.metadata.get("planted") is not None
}


def value_of(part: Any, name: str) -> Any:
    """The value of an option, or that for planted reviews if it has not been chosen yet."""
    value = getattr(part, name)
    return PLANTED[name] if value is None else value


@dataclass(frozen=True)
class Config:
    """The configuration of a fit: options of the data, the model and the training.

    Options that are not given and depend on the texts are `None` until :func:`pyro_rationale.training.defaults.resolve`
    chooses them, or `settled` does without texts. Combinations of options are checked as soon as the guide is known.
    """

    data: DataOptions = field(default_factory=DataOptions)
    model: ModelOptions = field(default_factory=ModelOptions)
    train: TrainOptions = field(default_factory=TrainOptions)

    def __post_init__(self) -> None:
        if self.model.guide is not None:
            self._check()

    def _check(self) -> None:
        """Refuse options that do not go together."""
        from pyro_rationale.inference.estimators._base import check_penalties, check_samples

        guide, estimator, penalties = GUIDES[self.guide], ESTIMATORS[self.estimator], self.penalties
        if self.nonempty and not guide.can_be_nonempty():
            able = " or ".join(name for name in GUIDES if GUIDES[name].can_be_nonempty())
            raise ConfigError(f"--nonempty: --guide {self.guide} has no closed form without empty masks; take {able}")
        if self.exclusion and not guide.family.can_exclude:
            able = " or ".join(name for name in GUIDES if GUIDES[name].family.can_exclude)
            raise ConfigError(f"--exclude: --guide {self.guide} cannot leave words out; take {able}")
        if self.model.keep_title and (self.whole_units or not guide.family.can_exclude):
            able = " or ".join(name for name in GUIDES if GUIDES[name].family.can_exclude)
            raise ConfigError(f"--keep-title: goes with --unit word and --guide {able}; leave it out")
        if self.exclusion and self.whole_units:
            raise ConfigError(f"--exclude is about single words; with --unit {self.unit} leave it out")
        if self.exclusion and self.train.norm != "l0":
            raise ConfigError(f"--norm {self.train.norm}: with --exclude words do not all cost the same; take l0")
        if reason := estimator.refusal(self.family):
            raise ConfigError(f"--estimator {self.estimator} does not go with --guide {self.guide}: {reason}")
        check_samples(self.estimator, estimator, self.samples)
        if self.train.slope_every > 1 and not estimator.has_slopes:
            able = " or ".join(name for name in ESTIMATORS if ESTIMATORS[name].has_slopes)
            raise ConfigError(f"--slope-every: --estimator {self.estimator} computes no slopes; use {able}")
        undecided = self.model.embedding is None and self.model.vectors is None
        if self.spelling and self.model.pretrained is None and not undecided:
            raise ConfigError(f"{self.spelling[0]}: needs a transformer; name one with --pretrained, such as minilm")
        if self.model.pretrained is not None and not self.spelling:
            raise ConfigError("--pretrained: neither --generator nor --encoder is one that uses it; leave it out")
        if value_of(self.train, "judge") != "none" and estimator.objective is not None:
            raise ConfigError(f"--judge {self.train.judge} does not go with --estimator {self.estimator}; take rloo")
        if self.train.judge == "others" and self.model.masks == "shared":
            raise ConfigError("--judge others: all targets share one mask; take --masks per-target, or leave it out")
        check_penalties(self.estimator, estimator, penalties, self.train.norm)
        if penalties not in guide.penalties:
            known = " or ".join(guide.penalties)
            raise ConfigError(f"--penalties {penalties} does not go with --guide {self.guide}; take {known}")
        if self.train.norm != "l0" and not guide.family.has_exact_marginals:
            raise ConfigError(
                f"--norm {self.train.norm}: --guide {self.guide} has no exact marginals; use --guide independent"
            )
        if value_of(self.train, "head_start") != "none":
            if not guide.family.has_exact_marginals:
                raise ConfigError(f"--head-start: --guide {self.guide} has no exact marginals; take none")
            if self.train.warmup == 0:
                raise ConfigError("--head-start: it takes place in the --warmup, and there is none; take none")
            if self.train.head_start == "extracts" and self.model.own_text == 0:
                raise ConfigError("--head-start extracts: is about what whole texts say; take --own-text 1")
        if self.model.overlap and not guide.family.has_exact_marginals:
            raise ConfigError(f"--overlap: --guide {self.guide} has no exact marginals; leave it out, or take chain")
        if self.model.overlap and estimator.objective is not None:
            raise ConfigError(f"--overlap does not go with --estimator {self.estimator}; take rloo")
        if self.tau == 0 and not estimator.zero_tau:
            raise ConfigError(
                f"--tau: {self.estimator} takes a weight above 0; use --estimator rloo for the paper's tau = 0"
            )
        if self.train.control == "lagrangian" and self.model.lambda1 is not None:
            raise ConfigError("--control lagrangian steers to --rate; leave --lambda1 and --lambda2 out")
        if self.train.rate_as == "target" and self.control != "rate":
            reason = "--lambda1 and --lambda2 steer to none" if self.control == "penalties" else "lagrangian bounds it"
            raise ConfigError(f"--rate-as target: {reason}; leave it out, or take --control rate")
        if self.train.transitions is not None and self.control != "lagrangian":
            raise ConfigError("--transitions needs --control lagrangian and no --lambda1; elsewhere --span says it")

    @property
    def members(self) -> int:
        """Number of models to fit: that of `--members`, else 1; 3 with `--preset best`, except for pairs of texts.

        Raises:
            DataError: there is no such corpus and no such file.
        """
        if self.train.members is not None or self.model.preset != "best":
            return self.train.members or 1
        from pyro_rationale.data.loading import holds_pairs

        return 1 if holds_pairs(self.data) else BEST_MEMBERS

    @property
    def guide(self) -> str:
        """Name of the guide; until it is chosen, that of planted (synthetic) reviews."""
        return str(value_of(self.model, "guide"))

    @property
    def generator(self) -> str:
        """Name of the generator, `auto` resolved."""
        if self.model.generator == "auto":
            return "stacked" if self.model.pretrained else "bilstm"
        return self.model.generator

    @property
    def spelling(self) -> list[str]:
        """Flags of the networks that read the pieces of words with a transformer (`--pretrained`)."""
        networks = {"--generator": GENERATORS[self.generator], "--encoder": ENCODERS[value_of(self.model, "encoder")]}
        return [flag for flag, network in networks.items() if needs_vocabulary(network)]

    @property
    def reads_every_word(self) -> bool:
        """Whether no word is unknown to the encoder, as to a transformer, which reads the pieces of words."""
        return "--encoder" in self.spelling

    @property
    def unit(self) -> str:
        """Stretches of text that masks keep or drop as a whole: `word`, `clause` or `sentence`."""
        return self.model.unit

    @property
    def whole_units(self) -> bool:
        """Whether masks keep or drop clauses or sentences, and not words."""
        return self.unit != "word"

    @property
    def nonempty(self) -> bool:
        """Whether empty masks have no probability."""
        return bool(self.model.nonempty)

    @property
    def exclusion(self) -> tuple[str, ...]:
        """Classes of words with which no run of kept words begins or ends (`--exclude`)."""
        return parse_classes(value_of(self.model, "exclude"))

    @property
    def family(self) -> type[Any]:
        """Class of the guide's distributions."""
        from pyro_rationale.distributions import NonEmptyMask

        return NonEmptyMask if self.nonempty else GUIDES[self.guide].family

    @property
    def estimator(self) -> str:
        """Name of the estimator, `auto` resolved."""
        return GUIDES[self.guide].default_estimator if self.train.estimator == "auto" else self.train.estimator

    @property
    def for_hard_masks(self) -> str:
        """Flags that make the encoder read only masks of 0 and 1, without gradients in them; empty if it does."""
        needed = {
            "--guide chain": GUIDES[self.guide].family.has_rsample,
            "--estimator rloo": ESTIMATORS[self.estimator].differentiates,
            "--head-start none": value_of(self.train, "head_start") == "saliency",
        }
        return " ".join(flag for flag, is_needed in needed.items() if is_needed)

    @property
    def penalties(self) -> str:
        """How KL and entropy enter the objective."""
        return str(value_of(self.train, "penalties"))

    @property
    def prior(self) -> str:
        """Whether p(z) is `fixed` or `learned`, `auto` resolved."""
        if self.model.prior == "auto":
            return "learned" if self.model.lambda1 is None else "fixed"
        return self.model.prior

    @property
    def tau(self) -> float:
        """Weight of the guide's entropy."""
        return GUIDES[self.guide].default_tau if self.model.tau is None else self.model.tau

    @property
    def entropy(self) -> float:
        """Weight of the guide's entropy until the target rate is reached, if it is more than `tau`."""
        return GUIDES[self.guide].default_entropy if self.train.entropy is None else self.train.entropy

    @property
    def control(self) -> str:
        """Name of the control of the rate, `auto` resolved; `penalties` where --lambda1 and --lambda2 are given."""
        if self.model.lambda1 is not None:
            return "penalties"
        if self.train.control == "auto":
            return GUIDES[self.guide].default_control
        return self.train.control

    @property
    def samples(self) -> int:
        """K, masks per document and step."""
        return ESTIMATORS[self.estimator].default_samples if self.train.samples is None else self.train.samples

    @property
    def seed(self) -> int:
        """Seed of networks, batches and samples."""
        return self.train.seed

    def changed(self, **values: Any) -> Config:
        """The configuration with some of its fields replaced, whichever part they are in.

        Raises:
            ConfigError: no part has such a field, or the values do not go together.
        """
        parts = {}
        for part in dataclasses.fields(self):
            own = getattr(self, part.name)
            names = [item.name for item in dataclasses.fields(own) if item.name in values]
            parts[part.name] = dataclasses.replace(own, **{name: values.pop(name) for name in names})
        if values:
            raise ConfigError(f"no option of a fit is called {', '.join(sorted(values))}")
        return Config(**parts)

    def settled(self) -> Config:
        """The configuration with open options set to their values for planted (synthetic) reviews, whatever the texts.

        Raises:
            ConfigError: the values do not go together.
        """
        return self if self.is_settled else self.changed(preset="planted", **self.missing)

    @property
    def is_settled(self) -> bool:
        """Whether every option has a value."""
        return not self.missing

    @property
    def missing(self) -> dict[str, Any]:
        """Options without a value, by name, with their values for planted (synthetic) reviews."""
        return {name: value for name, value in PLANTED.items() if getattr(self.part_of(name), name) is None}

    def part_of(self, name: str) -> Any:
        """The part that has a field of that name."""
        return next(part for part in (self.data, self.model, self.train) if hasattr(part, name))

    def to_dict(self) -> dict[str, Any]:
        """The configuration as nested plain values, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Config:
        """The inverse of `to_dict`, after JSON turned tuples into lists. Fields that are missing take their defaults.

        Raises:
            ConfigError: a field that this version does not know, or a part that is missing.
        """
        try:
            values = _modern(values)
            made = {name: decode(kind, values[name], f"{name}.") for name, kind in PARTS.items()}
        except (KeyError, TypeError, AttributeError, ConfigError) as problem:
            raise ConfigError(f"the configuration is of another version: {problem}") from problem
        return cls(**made)


def _modern(values: dict[str, Any]) -> dict[str, Any]:
    """Adapt a run from before an option.

    Before `--masks`, all targets shared one. Before `--preset`, every option had the value that it has on planted
    reviews, unless another was given. Before `--tokenizer`, texts were cut by the rules of `words`. Before
    `--penalties`, relaxed and tracegraph drew one mask, whatever `--samples` said.
    """
    raw = values["train"]
    values = {**values, **{part: {**_before_presets(kind), **values[part]} for part, kind in PARTS.items()}}
    train = values["train"]
    automatic = train["estimator"] == "auto" and values["model"]["guide"] == "relaxed"
    estimator = "relaxed" if automatic else train["estimator"]
    if "penalties" in raw or estimator not in ("relaxed", "tracegraph"):
        return values
    return {**values, "train": {**train, "samples": None}}


def _before_presets(part: type[Any]) -> dict[str, Any]:
    """Values of options that a run of before did not write down, where they differ from the defaults of today."""
    values = {item.name: PLANTED[item.name] for item in dataclasses.fields(part) if item.name in PLANTED}
    older = {"tokenizer": "words", "preset": "planted", "masks": "shared"}
    return values | {item.name: older[item.name] for item in dataclasses.fields(part) if item.name in older}

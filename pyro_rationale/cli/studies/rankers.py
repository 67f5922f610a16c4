"""Baselines of the search for similar texts: `python -m pyro_rationale.study rankers --data CORPUS [--run RUN]`."""

from __future__ import annotations

from pathlib import Path

import click

from pyro_rationale.cli.outputs import check_output
from pyro_rationale.cli.studies._common import show
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import ConfigError
from pyro_rationale.options import device_option, given, json_option, options_from, write_result

DEFAULT_RATE = 0.15  # of fixed choices of words, where no run says one
_SHORT = {"p_at_1": "P@1", "p_at_5": "P@5", "ndcg_at_10": "nDCG@10", "recall_at_10": "R@10", "map": "MAP", "mrr": "MRR"}


@click.command("rankers")
@options_from(DataOptions, show_defaults=False)
@click.option("--run", "folder", type=click.Path(path_type=Path),
              help="fitted run whose rationales are compared, and whose encoder reads fixed choices of words")
@click.option("--split", default="test", show_default=True, type=click.Choice(("train", "dev", "test", "all")),
              help="whose queries; all: of a corpus that the run was not fitted on")
@click.option("--rate", type=click.FloatRange(0, 1, min_open=True),
              help="share of the words that fixed choices keep [default: that of the run; 0.15]")
@click.option("--pretrained", metavar="NAME|FOLDER",
              help="have a transformer that was not trained on these texts read them, too, such as minilm: all words, "
                   "the run's rationales and the fixed choices")
@click.option("--full-text", is_flag=True,
              help="train an encoder of the run's kind on whole texts, in half of its steps, and let its attention "
                   "choose words as well")
@click.option("--reinforce", is_flag=True,
              help="train by the loss of Lei et al. (2016) for pairs, in as many steps as the run, after an encoder of "
                   "whole texts")
@click.option("--top-k", is_flag=True,
              help="train scores of words, of which always the same share is read, in as many steps as the run")
@click.option("--draws", default=9999, show_default=True, type=click.IntRange(min=1), help="of the permutation test")
@click.option("--batch-size", default=64, show_default=True, type=click.IntRange(min=1), help="documents at once")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="of random words and of draws")
@device_option
@json_option
def study(
    flags: DataOptions, folder: Path | None, split: str, rate: float | None, pretrained: str | None, full_text: bool,
    reinforce: bool, top_k: bool, draws: int, batch_size: int, seed: int, device: str, json_path: Path | None,
) -> None:
    """Compare rationales with BM25, tf-idf, titles and fixed choices of words, on the same candidates."""
    from pyro_rationale.data import load_corpus
    from pyro_rationale.data.pairs import SPEC, PairCorpus
    from pyro_rationale.data.selection import override
    from pyro_rationale.evaluation.ranking_baselines import SearchTask, by_words
    from pyro_rationale.experiments.studies.rankers import RATIONALE, by_encoder, compared, rows_of
    from pyro_rationale.experiments.studies.ranking_readers import others
    from pyro_rationale.fitted import FittedModel

    check_output("--json", json_path)
    typed = given()
    trained = {"--full-text": full_text, "--reinforce": reinforce, "--top-k": top_k}
    asked = [flag for flag, wanted in trained.items() if wanted]
    if asked and split in ("train", "all"):
        raise ConfigError(f"--split {split}: has the queries that {asked[0]} trains on; take test")
    fitted = None if folder is None else FittedModel.load_single(folder, device)
    if fitted is None and "data" not in typed:
        raise ConfigError("--data: name a corpus of similar texts, such as questions, or a --run fitted on one")
    if asked and fitted is None:
        raise ConfigError(f"{asked[0]}: needs the --run whose kind of encoder is trained")
    if {*asked} - {"--full-text"} and fitted and (fitted.config.whole_units or fitted.config.model.keep_title):
        raise ConfigError(f"{asked[-1]}: chooses among all words, which the run does not; fit one without "
                          "--unit sentence and --keep-title")
    options = flags if fitted is None else override(fitted.config.data, flags, typed)
    corpus = load_corpus(options, SPEC, typed=typed)
    assert isinstance(corpus, PairCorpus)
    task = SearchTask.of(corpus, split)
    found = by_words(task)
    shares: dict[str, float] = {}
    p: dict[str, float] = {}
    corpus_p: dict[str, float] = {}
    if fitted is not None:
        if fitted.spec.kind != SPEC.kind:
            raise ConfigError(f"--run {folder}: predicts {', '.join(fitted.spec.names)}, and ranks no texts")
        rate = fitted.config.model.rate if rate is None else rate
        own, shares = by_encoder(task, fitted, rate, seed, batch_size)
        found = own | found
    if pretrained is not None or asked:
        rate = DEFAULT_RATE if rate is None else rate
        more, more_shares = others(
            task, fitted, rate, seed, pretrained, full_text, reinforce, top_k, device, batch_size
        )
        found, shares = found | more, shares | more_shares
    if fitted is not None:
        p = compared(found, RATIONALE, draws, seed)
        if task.whole:
            corpus_p = compared(found, RATIONALE, draws, seed, "corpus_map")
    rows = rows_of(found, shares, p, corpus_p)
    title = f"{options.data}, {split}: {len(task.queries)} queries, lists of candidates"
    show(title, [{"method": row["method"], "words": row["words"], **{_SHORT[name]: row[name] for name in _SHORT},
                  **({"p": row["p"]} if p else {})} for row in rows], digits=3)  # fmt: skip
    if task.whole:
        title = f"{options.data}, {split}: among all {len(corpus.searchable)} texts"
        show(title, [{"method": row["method"], **{_SHORT[name]: row[f"corpus_{name}"] for name in _SHORT},
                      **({"p": row["corpus_p"]} if corpus_p else {})} for row in rows], digits=3)  # fmt: skip
    result = {"data": options.data, "split": split, "queries": len(task.queries), "rate": rate, "seed": seed,
              "run": None if folder is None else str(folder), "oracle": corpus.oracle.get(split)}  # fmt: skip
    write_result(json_path, {**result, "methods": rows})

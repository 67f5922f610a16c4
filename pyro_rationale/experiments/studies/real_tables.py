"""The table of a study of real texts, and the page with the rationales of its first test texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from pyro_rationale import __version__
from pyro_rationale.errors import ConfigError
from pyro_rationale.evaluation.verdict import CONSTANT
from pyro_rationale.experiments.seeds import format_mean_sd, mean_sd
from pyro_rationale.experiments.studies.real_texts import (
    Measures,
    RealCorpus,
    RealTexts,
    Setting,
    digest_of,
    goals_missed,
)
from pyro_rationale.experiments.yardsticks import FULL_TEXT, TFIDF
from pyro_rationale.options import as_typed

HEAD = (
    "corpus", "method", "seeds", "error or accuracy", "beside full text", "averaged over masks", "words kept", "rate",
    "empty", "mean run", "precision", "recall", "F1", "minutes", "goals missed",
)
TITLES = {CONSTANT: "a constant", TFIDF: "tf-idf, linear", FULL_TEXT: "its encoder on full texts"}
UNITS = {"mse": "squared error"}
MEANING = (
    "Mean (standard deviation) over seeds. Beside full text: the error over that of the encoder on full texts, or the "
    "accuracy less its accuracy, in points. Goals: error at most 1.05 times that of full texts (accuracy: 2 points "
    "less) and 1.02 times that of tf-idf, at most 1 % empty, words kept within a fifth of the rate, a mean run of 3 "
    "words where the median text has over 60, and no failed fit; in brackets, by how many seeds each is missed. Goals "
    "of the error are asked of what `predict` answers, averaged over masks, and of the shown words alone."
)
Cells = dict[int, Measures]  # by seed


def finished(runner: RealTexts, corpus: RealCorpus, setting: Setting) -> Cells:
    """Result files of the finished cells of a setting on a corpus."""
    cells = [cell for cell in runner.plan.cells() if cell.corpus is corpus and cell.setting is setting]
    return {cell.seed: runner.read(cell) for cell in cells if runner.is_finished(cell)}


def rows(runner: RealTexts) -> list[list[str]]:
    """Rows of the table, below `HEAD`: of each corpus the baselines of the reference setting, then the settings."""
    table = []
    for corpus in runner.plan.corpora:
        settings = {setting: finished(runner, corpus, setting) for setting in runner.plan.settings}
        reference = settings[runner.plan.settings[0]]
        some = next((facts for cells in settings.values() for facts in cells.values()), None)
        if some is None:
            continue
        name = f"{corpus.name}, {UNITS.get(some['cost'], some['cost'])}"
        baselines = {seed: facts["baselines"] for seed, facts in reference.items()}
        for method in TITLES:
            if costs := {seed: costs[method] for seed, costs in baselines.items() if method in costs}:
                beside = [_beside(some["cost"], cost, baselines[seed].get(FULL_TEXT)) for seed, cost in costs.items()]
                cells = [name, TITLES[method], str(len(costs)), _mean(list(costs.values())), _mean(beside)]
                table.append(cells + ["-"] * (len(HEAD) - len(cells)))
        table += [_row(name, setting, cells, baselines) for setting, cells in settings.items() if cells]
    return table


def _row(name: str, setting: Setting, cells: Cells, baselines: Mapping[int, Mapping[str, float]]) -> list[str]:
    facts = list(cells.values())
    cost = facts[0]["cost"]
    beside = [_beside(cost, own["test"][cost], baselines.get(seed, {}).get(FULL_TEXT)) for seed, own in cells.items()]
    missed = Counter(goal for seed, own in cells.items() for goal in goals_missed(own, baselines.get(seed, {})))
    goals = ", ".join(f"{goal} ({number})" for goal, number in missed.items()) or "none"

    def of_test(measure: str) -> str:
        return _mean([own["test"].get(measure) for own in facts])

    return [
        name, setting.name, str(len(facts)), of_test(cost), _mean(beside),
        _mean([own["averaged"].get(cost) for own in facts]), of_test("selected"), _mean([own["rate"] for own in facts]),
        *map(of_test, ("empty", "span", "precision", "recall", "f1")), _mean([own["minutes"] for own in facts]), goals,
    ]


def _beside(cost: str, own: float, full: float | None) -> float | None:
    if full is None:
        return None
    return 100 * (own - full) if cost == "accuracy" else own / full


def _mean(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None and value == value]
    return format_mean_sd(*mean_sd(known)) if known else "-"


def codes(runner: RealTexts) -> Counter[str]:
    """Digests of the sources that the finished cells were made with, and of how many cells each."""
    return Counter(runner.read(cell)["code"] for cell in runner.plan.cells() if runner.is_finished(cell))


def table(runner: RealTexts) -> str:
    """The table as Markdown, with what its columns mean."""
    body = rows(runner)
    if not body:
        return "No cell is finished yet.\n"
    lines = [f"| {' | '.join(cells)} |" for cells in (HEAD, ["---", "---", *["---:"] * (len(HEAD) - 2)], *body)]
    made = codes(runner)
    others = sum(number for code, number in made.items() if code != runner.code)
    parts = ["\n".join(lines), MEANING]
    if others:
        parts.append(f"{others} of these {made.total()} fits are of another version of the code than this one.")
    return "\n\n".join(parts) + "\n"


def page(runner: RealTexts, command: str) -> str:
    """A page of the documentation: the table, and of each corpus the rationales of its first test texts.

    Args:
        runner: of the study.
        command: that makes the page.

    Raises:
        ConfigError: cells are of several versions of the code, or none is finished.
    """
    made = codes(runner)
    if len(made) != 1:
        problem = "cells of several versions of the code" if made else "no finished cell"
        remedy = "delete the older ones and run again" if made else "run without --page"
        raise ConfigError(f"{runner.plan.out}: {problem}, so there is no page of one version; {remedy}")
    plan = runner.plan
    shown = [(corpus, cells) for corpus in plan.corpora if (cells := finished(runner, corpus, plan.settings[0]))]
    parts = [
        "# Real texts" if len(shown) > 1 else f"# Real texts: {shown[0][0].name}",
        f"Made by `{command}`, version {__version__}, sources {next(iter(made))}. Fits have the flags that are "
        "shown, and no others; all else is decided from the corpus before training.",
        table(runner).rstrip("\n"),
    ]
    for corpus, cells in shown:
        parts += _corpus(runner, corpus, cells[min(cells)])
    return "\n\n".join(parts) + "\n"


def _corpus(runner: RealTexts, corpus: RealCorpus, facts: Measures) -> list[str]:
    reference, shown = runner.plan.settings[0], facts["rationales"]
    flags = " ".join(as_typed(*item) for item in {**runner.plan.base, **corpus.flags, **reference.flags}.items())
    gold = " Words of the gold rationale stand in {braces}." if any("{" in row["text"] for row in shown) else ""
    digest = digest_of(shown)
    if corpus.read is not None and corpus.read.rationales == digest:
        judged = f"A person read them and would accept {corpus.read.accepted} of {len(shown)}."
    else:
        judged = f"Nobody has read these yet (digest {digest})."
    chosen = " ".join(as_typed(*item) for item in facts["chosen"].items() if item[1] is not None)
    sizes = facts["sizes"]
    steps, minutes = f"{facts['steps']:,} steps", f"{facts['minutes']:.3g} minutes"
    items = [f"{number}. {row['text']}\n   <br>*{row['prediction']}; true {row['truth']}*"
             for number, row in enumerate(shown, 1)]
    return [
        f"## {corpus.name}",
        f"`{flags}`, seed {facts['seed']}: {sizes['train']:,} training, {sizes['dev']:,} development and "
        f"{sizes['test']:,} test texts, {steps}, {minutes}. The first {len(shown)} test texts in order; kept words are "
        f"bold.{gold} {judged}",
        f"Chosen for these texts: `{chosen}`.",
        "\n\n".join(items),
    ]

"""The table of everything that `--data` takes, with the options of each: for the page of formats."""

from __future__ import annotations

from pyro_rationale.data import CORPORA
from pyro_rationale.data.corpora._pair_table import PAIR_TABLE
from pyro_rationale.data.loading import TABLE
from pyro_rationale.options import flag


def table() -> str:
    """Markdown, a row per corpus."""
    loaders = {f"`{name}{_behind(name)}`": loader for name, loader in CORPORA.items()}
    loaders |= {"a path": TABLE, "a path, `--task ranking`": PAIR_TABLE}
    rows = [
        f"| {name} | {loader.title} | {' '.join(f'`{flag(each)}`' for each in loader.options)} |"
        for name, loader in loaders.items()
    ]
    return "\n".join(["| `--data` | texts | own options |", "|---|---|---|", *rows])


def _behind(name: str) -> str:
    return ":FOLDER" if CORPORA[name].layout else ":CORPUS" if CORPORA[name].of_corpus else ""


if __name__ == "__main__":
    print(table())

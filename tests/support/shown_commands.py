"""Commands that the README and the pages show in blocks, and how each is run here: as shown, but at a size of seconds.

What is replaced, and nothing else: sizes of fits and of studies (`SMALLER`, later flags win), corpora, word vectors and
benchmarks that are fetched or large (`STAND_INS`), and words in capitals that stand for a reader's own (`OWN`). Runs
that a command reads are copies of a small fit. Whoever shows a new command gives it its line in `SMALLER`.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import click

from pyro_rationale.__main__ import load
from pyro_rationale.cli.study import studies
from tests.support.small_fit import SMALL, flags, table
from tests.support.tiny_bert import make_tiny_bert

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
SHELLS = ("", "sh", "bash", "shell", "console")

SIZES = ("documents", "hidden", "embedding", "batch_size", "steps", "anneal", "patience", "threads", "device")
FIT = [word for name, value in SMALL.items() if name in SIZES for word in (f"--{name.replace('_', '-')}", str(value))]
REFIT = "--documents 48 --hidden 6 --steps 9 --anneal 4 --batch-size 16 --threads 1 --device cpu".split()
PLACES = ["--device", "cpu"]
SMALLER: dict[str, list[str]] = {
    "fit": FIT,
    "inspect": ["--documents", "4", "--samples", "16", *PLACES],
    "compare": ["--iwae", "4", "--draws", "2", "--no-figures", *PLACES],
    "stress": [*REFIT, "--only", "positions", "--only", "skewed-predictor"],  # all: tests/cli/test_stress.py
    "evaluate": [],
    "against": ["--draws", "99"],
    "explain": PLACES,
    "predict": [*PLACES, "--workers", "1"],
    "index": PLACES,
    "search": PLACES,
    "curve": PLACES,
    "prepare": ["--workers", "1"],
    "benchmark": ["--corpus", "planted", "--seed", "0", "--quiet"],
    "study calibration": PLACES,
    "study estimators": "--draws 3 --batches 1 --batch 2 --baseline-steps 3 --timed-steps 1 --threads 1".split(),
    "study evidence": "--number 3 --words 6 --samples 20 --repeats 2 --device cpu".split(),
    "study posterior": "--number 2 --words 8 --samples 500 --chains 3 --draws 8 --warmup 2".split()
    + "--proposal refined --refine-steps 100 --threads 1".split(),  # so fresh a guide is far from any posterior
    "study questions": ["6", "--seeds", "1", *flags(documents=24, steps=4, hidden=4)],  # all seven: minutes even so
    "study real-texts": ["--quiet"],
    "study sbc": "--number 10 --words 6 --draws 20 --chains 5 --samples 100 --thin 1 --warmup 2 --threads 1".split(),
    "benchmarks/chain.py": "--device cpu --words 8 --chains 2 --rounds 1".split(),
    "benchmarks/gpu.py": "--device cpu --seconds 4".split(),  # no part starts so late; the page is written
    "benchmarks/step.py": "--device cpu --quick --steps 1 --batch 2 --words 12 --hidden 6".split(),
    "benchmarks/tune.py": [*FIT, "--trials", "1"],
}
# Not run here but by another test: fits in several processes, on several devices or machines, and what reads the
# figures of other scripts, or a command that goes on until it is ended.
APART = {
    "pyro_rationale.serve": "serving/test_server.py",
    "--devices": "system/test_distributed.py",
    "benchmarks/projection.py": "benchmarks/test_projection.py",
}
# Run by no test: reads for a minute at its smallest, in processes of its own.
NOT_RUN = ("benchmarks/data.py",)
STAND_INS = {
    "askubuntu:FOLDER": "askubuntu:questions",
    **dict.fromkeys(("imdb", "movie-sentences", "vader-movies"), "reviews.csv"),
    "examples/lounge.csv.gz": "lounge.csv",
    "glove": "vectors.txt",
    "minilm": "weights",
    "benchmarks/configs/planted.toml": "benchmarks/configs/tiny.toml",
    "benchmarks/configs/other-methods.toml": "benchmarks/configs/tiny.toml",
    **dict.fromkeys((f"benchmarks/studies/{name}.toml" for name in ("real-texts", "ablation")), "study.toml"),
}
OWN = {"TAU": "0.25", "NATS": "200", "RUN": "runs/own"}


@dataclass(frozen=True)
class Shown:
    """One command of a block.

    Attributes:
        page: where it stands, as a path in the repository.
        line: as it stands there, continuation lines joined.
    """

    page: str
    line: str

    @property
    def words(self) -> list[str]:
        """Words of the command as a shell splits it, without `python`, `-m` and what follows `>` or `&&`."""
        line, *_ = re.split(r" (?:>|&&) ", self.line)
        return [OWN.get(word, word) for word in shlex.split(line, comments=True)][1:]

    @property
    def name(self) -> str:
        """`fit`, `study sbc`, `benchmarks/picture.py`."""
        first, *rest = [word for word in self.words if word != "-m"]
        short = first.removeprefix("pyro_rationale.")
        return f"{short} {rest[0]}" if short == "study" else short

    @property
    def asked(self) -> list[str]:
        """Its arguments as shown."""
        rest = [word for word in self.words if word != "-m"][1:]
        return rest[1:] if self.name.startswith("study ") else rest

    @property
    def apart(self) -> bool:
        """Whether it is not run with the others."""
        return any(word in self.words for word in (*APART, *NOT_RUN))

    def arguments(self) -> list[str]:
        """Its arguments at the size of a test."""
        if "--help" in self.asked or "--list" in self.asked:
            return self.asked
        words = [STAND_INS.get(word, word) for word in self.asked]
        if "reviews.csv" in words and "reviews.csv" not in self.asked:
            words += ["--text-column", "text", "--target-column", "stars"]
        if self.name == "fit" and "--resume" in words:
            return words  # every other flag is that of the run
        epochs = ["--epoch-steps", "3"] if "--epoch-steps" in words else []  # an epoch is always finished
        return [*words, *SMALLER[self.name], *epochs]


def _blocks() -> list[tuple[str, str]]:
    pages = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
    found = [(page, *pair) for page, text in pages.items() for pair in BLOCK.findall(text)]
    return [(page, block) for page, language, block in found if language in SHELLS]


def _lines(start: str) -> list[Shown]:
    whole = [(page, re.sub(r"\\\n\s*", "", block)) for page, block in _blocks()]
    return [Shown(page, line) for page, block in whole for line in block.splitlines() if line.startswith(start)]


def click_command(name: str) -> click.Command:
    """The command of `python -m pyro_rationale.NAME`: `fit`, `study evidence`."""
    name, _, study = name.partition(" ")
    command = studies.get_command(click.Context(studies), study) if study else load(name)
    assert command is not None
    return command


def flags_of(name: str) -> set[str]:
    """All flags of a command."""
    return {flag for item in click_command(name).params for flag in (*item.opts, *item.secondary_opts)}


def shown_commands() -> list[Shown]:
    """All commands in Python, each once: those which differ in the page, the comment or the name of a run are one."""
    return list({re.sub(r"runs/[\w-]+", "RUN", " ".join(shown.words)): shown for shown in _lines("python ")}.values())


def shown_targets() -> list[Shown]:
    """All `make` lines, each once."""
    return list({tuple(shown.words): shown for shown in _lines("make ")}.values())


def write_inputs(folder: Path) -> None:
    """Files that readers have: reviews and their ratings in a CSV, texts one per line, word vectors, AskUbuntu."""
    looks = ["dull", "plain", "fair", "good", "great"]
    columns = ("stars", "staff", "food", "appearance", "staff_service", "catering", "comfort")
    rows = [
        f"the food was {looks[i % 5]} on day {i}" + f",0.{2 * (i % 5)}" * len(columns) + f",{('no', 'yes')[i % 5 > 1]}"
        for i in range(60)
    ]
    for name in ("reviews.csv", "lounge.csv"):
        table(folder / name, f"text,{','.join(columns)},label", rows)
    for name in ("big.jsonl", "reviews.jsonl"):
        lines = [f'{{"text": "{i} {looks[i % 5]} days", "stars": {i % 5}}}\n' for i in range(60)]
        (folder / name).write_text("".join(lines), encoding="utf-8")
    sizes = "\n".join(f"{name} = {value!r}" for name, value in SMALL.items() if name in SIZES)
    corpus = '[[corpora]]\nname = "reviews"\ndata = "reviews.csv"\ntext_column = "text"\ntarget_column = ["stars"]'
    (folder / "study.toml").write_text(f"seeds = [0]\n[base]\n{sizes}\n{corpus}\n", encoding="utf-8")
    make_tiny_bert(folder / "weights", positions=128)
    (folder / "questions").mkdir()
    asked = [f"{i}\tmy {looks[i // 2 % 5]} disk {i}\tit was {looks[i // 2 % 5]} on day {i}\n" for i in range(60)]
    (folder / "questions" / "text_tokenized.txt").write_text("".join(asked), encoding="utf-8")
    for name, begin in (("train_random", 0), ("dev", 20), ("test", 40)):  # each even question is like the next one
        lists = [
            f"{i}\t{i + 1}\t" + " ".join(str(begin + j) for j in range(20) if begin + j != i) + "\n"
            for i in range(begin, begin + 20, 2)
        ]
        (folder / "questions" / f"{name}.txt").write_text("".join(lists), encoding="utf-8")
    (folder / "texts.txt").write_text("The head looked great.\nA dull taste.\n", encoding="utf-8")
    vectors = [f"{word} {i / 9:.2f} {1 - i / 5:.2f} 0.5" for i, word in enumerate(["the", "food", "was", *looks])]
    (folder / "vectors.txt").write_text("\n".join(vectors) + "\n", encoding="utf-8")

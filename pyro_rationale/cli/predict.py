"""Predict a table of texts: `python -m pyro_rationale.predict --run RUN IN.csv --text-column review --out OUT.csv`."""

from __future__ import annotations

import time
from contextlib import closing, nullcontext
from dataclasses import asdict, replace
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pyro_rationale.cli.common import Command
from pyro_rationale.cli.input_texts import STANDARD_INPUT, Texts, read_texts
from pyro_rationale.cli.left_out import telling_left_out
from pyro_rationale.cli.outputs import check_output
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import ConfigError
from pyro_rationale.options import device_option, options_from, rare_option, run_option
from pyro_rationale.prediction.options import BatchOptions
from pyro_rationale.reporting.terminal import Terminal, duration, progress_bar
from pyro_rationale.storage import checksum, user_path

# Modules that need torch are imported by the functions that use them: `--help` and a mistyped flag come at once.
if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from pyro_rationale.prediction.score_file import Counts, ScoreFile
    from pyro_rationale.prediction.scorer import Chunk, Scorer

FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet",
           ".pq": "parquet"}  # fmt: skip
MOST_WORKERS = 8
SLOW_TO_IMPORT = ("pyro_rationale.prediction.scorer",)
MANY = 2 << 20  # bytes of texts that several processes will share


@click.command(cls=Command, prints_only=True)
@click.argument("source", metavar="IN")
@run_option
@click.option("--text-column", help="column with the text [default: as in the run, else text]")
@click.option("--id-column", help="column that names each row in the output [default: rows are numbered "
              "from 1, the header not counted]")
@click.option("--out", type=click.Path(path_type=Path), help="file to write: .csv, .jsonl or .parquet; without it, "
              "JSON lines are printed")
@click.option("--format", "form", type=click.Choice(["csv", "jsonl", "parquet", "eraser"]),
              help="format of --out [default: by its name]; eraser: records of that benchmark, as JSON lines")
@click.option("--faithfulness", is_flag=True, help="--format eraser: add scores without the rationale, and from it "
                                                   "alone")
@click.option("--with-text", is_flag=True, help="add a column with the texts themselves")
@click.option("--skip-bad-rows", is_flag=True, help="give unusable rows their id alone (--format eraser: leave them "
              "out), and say how many, instead of stopping")
@click.option("--resume", is_flag=True, help="go on with an --out that was interrupted, behind its last whole chunk")
@click.option("--force", is_flag=True, help="replace --out")
@options_from(BatchOptions, rare=("decode", "predict", "interval"))
@rare_option("--encoding", help="encoding of the table [default: UTF-8]")
@rare_option("--separator", help="between the fields of a CSV or TSV file; tab for tabs [default: likeliest]")
@rare_option("--header/--no-header", default=True, help="whether the first line of a CSV or TSV file names its "
              "columns; else they are 1, 2, 3, ...")
@rare_option("--max-words", type=click.IntRange(min=1), help="read so many words of each text [default: as in the "
              "run]")
@rare_option("--batch-size", default=64, show_default=True, type=click.IntRange(min=1), help="texts of like lengths "
              "to read at once")
@click.option("--workers", type=click.IntRange(1, 256), help=f"processes [default: as many as cores, at most "
              f"{MOST_WORKERS}; one on a GPU, or for few texts]")
@rare_option("--threads", type=click.IntRange(1, 1024), help="CPU threads of each process [default: 1; with one "
              "process, as torch chooses]")
@device_option
@click.option("--quiet", is_flag=True, help="no progress bar and no summary")
def predict(
    options: BatchOptions,
    source: str,
    folder: Path,
    text_column: str | None,
    id_column: str | None,
    out: Path | None,
    form: str | None,
    faithfulness: bool,
    with_text: bool,
    skip_bad_rows: bool,
    resume: bool,
    force: bool,
    encoding: str | None,
    separator: str | None,
    header: bool,
    max_words: int | None,
    batch_size: int,
    workers: int | None,
    threads: int | None,
    device: str,
    quiet: bool,
) -> None:
    """Predict the texts of IN, one row each, in their order.

    IN is a table (CSV, TSV, JSON lines, Parquet), a text file with a text per line, or - for lines on standard input.
    A row without a word gets no prediction, and is counted; so is one that cannot be read, with --skip-bad-rows.
    """
    # A command that writes a file goes on when nobody reads what it prints.
    click.get_current_context().command.prints_only = out is None  # type: ignore[attr-defined]
    form = chosen_format(out, form)
    if faithfulness and form != "eraser":
        raise ConfigError("--faithfulness: is about records of --format eraser; leave it out")
    if with_text and form == "eraser":
        raise ConfigError("--with-text: records of --format eraser have no place for texts; leave it out")
    if resume and (out is None or source == STANDARD_INPUT):
        raise ConfigError("--resume: needs an --out, and a file to read from: what was piped in is gone")
    if resume and force:
        raise ConfigError("--resume goes on with the file and --force throws it away; give one of them")
    if force and out is None:
        raise ConfigError("--force: is about --out; leave it out")
    if form == "parquet":
        from pyro_rationale.optional import optional

        optional("pyarrow", "Parquet needs", "parquet")
    delimiter = DataOptions(encoding=encoding, separator=separator).delimiter
    from pyro_rationale.data.parallel import cores, has_gpu, import_ahead

    on_cpu = device == "cpu" or (device == "auto" and not has_gpu())
    if (workers or (cores() if on_cpu else 1)) > 1 and size_of(source) > MANY:
        import_ahead(SLOW_TO_IMPORT)
    from pyro_rationale.prediction.scorer import Scorer, TextRow

    scorer = Scorer(folder, device, options, max_words, batch_size, form, faithfulness, threads, text=with_text)
    scorer = checked(scorer, form)
    usual = scorer.fitted.config.data.text_columns
    layout = {"encoding": encoding, "separator": delimiter, "header": header}
    texts = read_texts(source, text_column, id_column, usual, form == "eraser", skip_bad_rows, **layout)
    if texts.count is not None:
        texts.report()
    file = None if out is None else output(out, scorer, form, source, [text_column, id_column, *layout.values()])
    usual_workers = 1 if scorer.fitted.device.type != "cpu" else min(cores(), MOST_WORKERS)
    with nullcontext() if file is None else file.alone():
        if file is not None:
            file.check_free(force or resume)
            if resume and file.path.exists() and not file.state.exists():
                file.check_whole(form, (id for id, _ in texts.rows()))
                Terminal().say(f"{out}: is there, and nothing was interrupted; --force makes it again")
                return
            if not (resume and file.resume()):
                file.start()
        done = 0 if file is None else file.counts.rows
        rows = (TextRow(*row) for row in islice(texts.rows(), done, None))
        write(scorer, rows, texts, file, workers or usual_workers, form, quiet, source)


def size_of(source: str) -> int:
    """Bytes of a file; 0 where they are not known."""
    path = user_path(source)
    return path.stat().st_size if source != STANDARD_INPUT and path.is_file() else 0


def chosen_format(out: Path | None, form: str | None) -> str:
    """The format that is asked for, or that the file's name tells.

    Raises:
        ConfigError: it cannot be told, cannot be printed, or the file would be written over what is read.
    """
    if out is None:
        if form in ("csv", "parquet"):
            raise ConfigError(f"--format {form}: only JSON lines are printed; name a file with --out")
        return form or "jsonl"
    check_output("--out", out)
    known = FORMATS.get(out.suffix.lower())
    if form is None and known is None:
        raise ConfigError(f"--out {out}: cannot tell its format; name it .csv, .jsonl or .parquet, or give --format")
    return form or str(known)


def checked(scorer: Scorer, form: str) -> Scorer:
    """The scorer with all that a run settles.

    Raises:
        ConfigError: the run predicts nothing of the kind that is asked for.
    """
    from pyro_rationale.prediction.intervals import check_interval

    fitted = scorer.fitted
    if fitted.task.of_pairs:
        raise ConfigError(f"--run {scorer.folder}: ranks texts and predicts nothing of one alone; search for texts "
                          "similar to each row with python -m pyro_rationale.search --file")
    if form == "eraser" and (not fitted.spec.classes or len(fitted.spec.names) > 1):
        raise ConfigError("--format eraser: is for one target of classes; write .jsonl, .csv or .parquet")
    check_interval(fitted, scorer.options)
    lines = {"parquet": "jsonl"}.get(form, form)
    return replace(scorer, form=lines, max_words=scorer.max_words or fitted.config.data.max_words)


def output(out: Path, scorer: Scorer, form: str, source: str, columns: list[Any]) -> ScoreFile:
    """The file to be written, with all that its lines depend on."""
    from pyro_rationale.prediction.rows import as_csv
    from pyro_rationale.prediction.score_file import ScoreFile

    path = user_path(source)
    read = sorted(path.iterdir()) if path.is_dir() else [path]  # a folder is a saved data set
    known = None if source == STANDARD_INPUT else [[file.name, file.stat().st_size, checksum(file)] for file in read]
    calibration = scorer.fitted.calibration
    settings = {
        "texts": [str(source)] if known is None else known,
        "columns": columns,
        "weights of the run": [checksum(file) for file in sorted(scorer.folder.rglob("model.safetensors"))],
        "calibration of the run": None if calibration is None else calibration.to_dict(),
        "format": [form, scorer.faithfulness],
        "options": [asdict(scorer.options), scorer.max_words, scorer.batch_size],
    }
    kinds = scorer.layout.kinds
    settings["columns of the output"] = list(kinds)
    head = as_csv([{name: name for name in kinds}], list(kinds)) if form == "csv" else ""
    return ScoreFile(out, settings, head)


def write(
    scorer: Scorer,
    rows: Iterator[Any],
    texts: Texts,
    file: ScoreFile | None,
    workers: int,
    form: str,
    quiet: bool,
    source: str,
) -> None:
    """Write, or print, the lines of all rows with a progress bar, and say at the end what there is to say."""
    from pyro_rationale.prediction.score_file import Counts

    counts = Counts() if file is None else file.counts  # of the file's, it grows as lines are written
    console, started, before = Terminal(stderr=True), time.monotonic(), counts.rows
    bar = progress_bar(console, "figures", quiet=quiet)
    task = bar.add_task("predicting", total=texts.count, completed=before, figures="")
    try:
        with telling_left_out(scorer.fitted), bar, closing(chunks_of(scorer, rows, workers)) as chunks:
            for chunk in chunks:
                if file is None:
                    counts.add(chunk)
                    print(chunk.lines, end="", flush=True)
                else:
                    file.append(chunk)
                bar.update(task, advance=chunk.rows, figures=pace(counts.rows, started, texts.count, before))
    except KeyboardInterrupt:
        if file is not None and not quiet:
            way = f"in {file.partial}." if source == STANDARD_INPUT else "Go on with: the same command and --resume"
            kept = f"{file.counts.rows:,} rows are kept{' ' if source == STANDARD_INPUT else '. '}{way}"
            console.say(f"\nInterrupted. {kept}" if file.counts.rows else "\nInterrupted. Nothing was written.")
        if file is not None:
            file.discard()
        raise
    except BaseException:
        if file is not None:
            file.discard()
        raise
    if texts.count is None:  # only now it is known
        texts.report()
    if file is not None:
        file.finish(scorer.layout if form == "parquet" else None)
    if not quiet:
        where = source if file is None else str(file.path)
        if counts.trained:
            console.say(
                f"{source}: {counts.trained:,} of {counts.rows:,} texts were training texts of the run; their "
                "predictions are nearer the truth than those of new texts will be"
            )
        Terminal(stderr=file is None).say(summary(where, counts, counts.rows - before, time.monotonic() - started))


def chunks_of(scorer: Scorer, rows: Iterator[Any], workers: int) -> Generator[Chunk, None, None]:
    """Chunks of lines, in the order of the rows; few rows are not worth another process."""
    from pyro_rationale.data.parallel import in_processes

    size = scorer.chunk
    # So that a resumed file, whose last rows one process reads, has the same last bits.
    if workers != 1 and scorer.threads is None:
        scorer = replace(scorer, threads=1)
    jobs = iter(lambda: list(islice(rows, size)), [])
    first = list(islice(jobs, 2))
    if len(first) < 2 or workers == 1:
        yield from map(scorer, chain(first, jobs))
    else:
        yield from in_processes(scorer, chain(first, jobs), workers, SLOW_TO_IMPORT)


def pace(rows: int, started: float, count: int | None, before: int) -> str:
    """`1,200 texts/s, 40 s left`."""
    rate = (rows - before) / max(time.monotonic() - started, 1e-9)
    left = "" if count is None else f", {duration((count - rows) / rate)} left"
    return f"{rate:,.0f} texts/s{left}"


def summary(where: str, counts: Counts, rows: int, seconds: float) -> str:
    """A line about what was written."""
    line = f"{where}: {counts.rows:,} row{'s' * (counts.rows != 1)}"
    if counts.unread:
        line += f", {counts.unread:,} that cannot be read"
    if counts.empty:
        line += f", {counts.empty:,} without a word and so without a prediction"
    if counts.cut:
        line += f", {counts.cut:,} longer than the words that were read (column cut)"
    if counts.foreign:
        line += f", {counts.foreign:,} with many unknown words, of which little can be predicted"
    return f"{line}; {duration(seconds)}, {rows / max(seconds, 1e-9):,.0f} texts/s"

"""The notebooks, as they are stored and as they run: in their own folder, like a reader's.

As they are stored they run each from a clean kernel, which takes minutes. Their short runs share one, which has
imported everything once and forgets all names between two notebooks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat", reason="pip install 'pyro_rationale[notebooks]'")
nbclient = pytest.importorskip("nbclient", reason="pip install 'pyro_rationale[notebooks]'")
pytest.importorskip("ipykernel", reason="pip install 'pyro_rationale[notebooks]'")
pytest.importorskip("matplotlib", reason="pip install 'pyro_rationale[viz]'")

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SECONDS = 600  # for one cell: a notebook takes a minute or two, but machines that run tests are busy
# Sizes of fits in a quick run: every cell runs, and makes outputs of the same kinds as the stored ones.
QUICK = {
    **{"documents": 160, "batch_size": 8, "steps": 10, "anneal": 4, "hidden": 8},
    **{"samples": 100, "draws": 4, "iwae": 8, "held_out": 60},
}
LINES = 40  # of text below one cell
# Absolute places on the machine that it ran on: a folder and something in it.
PLACES = re.compile(r"(?<![\w.:/<])/\w+/[.\w]|[A-Za-z]:\\\w|site-packages")

by_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def stored(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def cells_of(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def texts_of(cell: Any) -> list[str]:
    """Plain texts below a cell; of an output in several forms, its plain one."""
    found = []
    for output in cell.outputs:
        text = output.get("text") if output.output_type == "stream" else output.get("data", {}).get("text/plain")
        if text:
            found.append(text)
    return found


def every_text(cell: Any) -> list[str]:
    """The plain texts, and pages as well."""
    return texts_of(cell) + [output.get("data", {}).get("text/html", "") for output in cell.outputs]


def check_outputs(notebook: Any) -> None:
    for cell in cells_of(notebook):
        assert all(output.output_type != "error" for output in cell.outputs), cell.source
        lines = sum(len(text.splitlines()) for text in texts_of(cell))
        assert lines <= LINES, f"{lines} lines below:\n{cell.source}"


def shorten(notebook: Any) -> int:
    """Give the fits of a notebook the sizes of `QUICK`; returns how many cells that changes."""
    size = re.compile(rf"\b({'|'.join(QUICK)})( ?= ?)\d+")
    changed = 0
    for cell in cells_of(notebook):
        before = cell.source
        cell.source = size.sub(lambda match: f"{match[1]}{match[2]}{QUICK[match[1]]}", before)
        if "hidden=" not in before:  # the default is large
            cell.source = cell.source.replace("ModelOptions(", f"ModelOptions(hidden={QUICK['hidden']}, ")
        smaller = "small_study(documents=60, steps=4, anneal=2, hidden=4, folder="
        cell.source = cell.source.replace("small_study(", smaller)
        changed += cell.source != before
    return changed


def client_of(notebook: Any, folder: Path, **options: Any) -> Any:
    return nbclient.NotebookClient(
        notebook, timeout=SECONDS, kernel_name="python3", coalesce_streams=True,  # printed at once, or flushed between
        resources={"metadata": {"path": str(folder)}}, **options,
    )  # fmt: skip


def of_one_cell(source: str) -> Any:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])


@pytest.fixture(scope="module", autouse=True)
def environment() -> Iterator[None]:
    """Kernels run a checkout that need not be installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        # tqdm, which Pyro imports, would like a package that draws progress bars in browsers.
        # So short a fit as a quick one says that it is too short.
        patch.setenv("PYTHONWARNINGS", "ignore:IProgress not found,ignore:no epoch came down to the share of words")
        yield


@pytest.fixture(scope="module")
def shared(environment: None) -> Iterator[Any]:
    """A client of the kernel that short runs share."""
    client = client_of(of_one_cell("import pyro_rationale"), ROOT / "notebooks")
    client.execute(cleanup_kc=False)
    yield client
    client._cleanup_kernel()


def run(notebook: Any, folder: Path, shared: Any = None) -> None:
    """Execute all cells in a new kernel, or in the one that is shared."""
    for cell in cells_of(notebook):
        cell.outputs, cell.execution_count = [], None
    if shared is None:
        client_of(notebook, folder).execute()
        return
    for one in (of_one_cell("%reset -f"), notebook):
        client = client_of(one, folder, km=shared.km)
        client.kc = shared.kc
        client.execute()


def test_there_are_notebooks() -> None:
    assert len(NOTEBOOKS) >= 2


@by_notebook
def test_stored_outputs_can_be_read_alone(path: Path) -> None:
    notebook = stored(path)
    nbformat.validate(notebook)
    check_outputs(notebook)
    counts = [cell.execution_count for cell in cells_of(notebook)]
    assert counts == list(range(1, len(counts) + 1)), "not from a clean kernel, in order; run it again and save it"
    assert any(every_text(cell) for cell in cells_of(notebook))


@by_notebook
def test_stored_outputs_show_no_place_and_no_warning(path: Path) -> None:
    for cell in cells_of(stored(path)):
        for text in every_text(cell):
            assert not PLACES.search(text), PLACES.search(text)
        assert not [output for output in cell.outputs if output.get("name") == "stderr"], cell.source


@by_notebook
def test_starts_with_a_title_and_explains_itself(path: Path) -> None:
    notebook = stored(path)
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    prose = sum(cell.cell_type == "markdown" for cell in notebook.cells)
    assert prose >= len(cells_of(notebook)) / 3


@by_notebook
@pytest.mark.parametrize("quick", [True, pytest.param(False, marks=pytest.mark.slow, id="full")])
def test_runs_from_top_to_bottom(path: Path, quick: bool, request: pytest.FixtureRequest) -> None:
    notebook = stored(path)
    assert not quick or shorten(notebook), "no fit found to shorten"
    run(notebook, path.parent, request.getfixturevalue("shared") if quick else None)
    check_outputs(notebook)
    for before, after in zip(cells_of(stored(path)), cells_of(notebook), strict=True):
        if quick:  # a short fit is warned of, since it is no better than a constant
            after.outputs = [output for output in after.outputs if output.get("name") != "stderr"]
        kinds = [[sorted(output.get("data", {"text": 0})) for output in cell.outputs] for cell in (before, after)]
        assert kinds[0] == kinds[1], f"other outputs than the stored ones:\n{before.source}"


@pytest.mark.parametrize(
    "text", ["/scratch/ab12/run", "/home/me/x.py", "/root/.cache", r"C:\Users\me", "lib/site-packages/tqdm"]
)
def test_places_are_found(text: str) -> None:
    assert PLACES.search(f"written to {text}")


@pytest.mark.parametrize("text", ["reviews.csv", "and/or", "data:image/png;base64,/abA", "</b>/x/", "https://pyro.ai/a/b"])
def test_other_texts_are_no_places(text: str) -> None:
    assert not PLACES.search(text)


def test_long_and_failed_outputs_are_found() -> None:
    cell = nbformat.v4.new_code_cell("many()")
    cell.outputs = [nbformat.v4.new_output("stream", text="line\n" * (LINES + 1))]
    notebook = nbformat.v4.new_notebook(cells=[cell])
    with pytest.raises(AssertionError, match="41 lines"):
        check_outputs(notebook)
    cell.outputs = [nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])]
    with pytest.raises(AssertionError, match="many"):
        check_outputs(notebook)


def test_a_cell_that_fails_is_noticed(tmp_path: Path) -> None:
    """In a kernel of its own, which this one is."""
    cells = [nbformat.v4.new_code_cell(text) for text in ("import json", "assert json is None")]
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="AssertionError"):
        run(nbformat.v4.new_notebook(cells=cells), tmp_path)


def test_the_shared_kernel_forgets_names(tmp_path: Path, shared: Any) -> None:
    run(of_one_cell("left = 1"), tmp_path, shared)
    with pytest.raises(nbclient.exceptions.CellExecutionError, match="NameError"):
        run(of_one_cell("left"), tmp_path, shared)

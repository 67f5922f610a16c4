"""Posts with labels and rationales of several annotators each: `--data hatexplain:FOLDER`.

Source of the layout: Mathew, Saha, Yimam, Biemann, Goyal and Mukherjee, "HateXplain" (AAAI 2021), and its repository.
"""

from __future__ import annotations

from collections import Counter
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from pyro_rationale.data.corpora import LABEL_OPTIONS, CorpusLoader, data_path
from pyro_rationale.data.corpora._annotated import Example, Part, assemble
from pyro_rationale.data.corpus import Corpus, TargetSpec
from pyro_rationale.data.files.text import Faults, exists, log, read_text, shown
from pyro_rationale.data.options import DataOptions
from pyro_rationale.errors import DataError
from pyro_rationale.storage import parse_json

DATASET, DIVISIONS = "dataset.json", "post_id_divisions.json"
_SPLITS = (("train",), ("val", "valid", "validation", "dev"), ("test",))


def load_hatexplain(options: DataOptions, spec: TargetSpec | None = None) -> Corpus:
    """Read `dataset.json`, one object of posts by id, and `post_id_divisions.json`, the ids of the three splits.

    A post's label is the one that most of its annotators gave; posts without such a label are left out, and so are
    posts that the divisions do not name. Its maps are its rationales, one per annotator who gave one; posts without
    any ("normal" ones) have no gold. Without divisions the posts are split 80/10/10. `hatexplain:FILE` names another
    file than `dataset.json`.
    """
    path = data_path(options, "hatexplain")
    path = path / DATASET if path.is_dir() else path
    posts = _object(path)
    divisions = path.parent / DIVISIONS
    if not exists(divisions):
        return assemble(options, spec, "label", [_part(path, posts, options)], [], [])
    given = _object(divisions)
    parts = []
    for names in _SPLITS:
        ids: Any = next((given[name] for name in names if name in given), [])
        if not isinstance(ids, list) or not all(isinstance(post, str) for post in ids):
            raise DataError(f"{divisions}: {names[0]!r} is {shown(ids)}; expected a list of ids of posts")
        missing = [post for post in ids if post not in posts]
        if missing:
            raise DataError(f"{divisions}: names post {shown(missing[0])}, which {path.name} lacks; get both anew")
        parts.append([_part(path, {post: posts[post] for post in ids}, options)] if ids else [])
    if not parts[0]:
        raise DataError(f"{divisions}: names no post under 'train'; expected lists 'train', 'val' and 'test'")
    return assemble(options, spec, "label", *parts)


def _object(path: Path) -> dict[str, Any]:
    try:
        value = parse_json(read_text(path))
    except ValueError as error:
        line = f", line {error.lineno}" if isinstance(error, JSONDecodeError) else ""
        reason = getattr(error, "msg", error)
        raise DataError(f"{path}{line}: is not JSON ({reason}); get the file anew") from None
    if not isinstance(value, dict):
        raise DataError(f"{path}: holds {shown(value)}, expected one object {{...}} of posts by their ids")
    return value


def _part(path: Path, posts: dict[str, Any], options: DataOptions) -> Part:
    faults = Faults(path, options.skip_bad_rows)
    rows = ((f"post {shown(post)}", (post, value)) for post, value in posts.items())
    examples = list(faults.parsed(rows, lambda where, row: _example(where, *row)))
    decided = [example for example in examples if example is not None]
    if undecided := len(examples) - len(decided):
        log.warning("%s: left out %d of %d posts on whose label most annotators disagree", path, undecided, len(posts))
    return Part(faults, decided)


def _example(where: str, post: str, value: Any) -> Example | None:
    """A post, or `None` if no label is that of most annotators. Raises ValueError with what is wrong with it."""
    if not isinstance(value, dict):
        raise ValueError(f"is {shown(value)}, not an object")
    words, annotators, rationales = (value.get(key) for key in ("post_tokens", "annotators", "rationales"))
    if not isinstance(words, list) or not words or not all(isinstance(w, str) and w.strip() for w in words):
        raise ValueError("has no list of words 'post_tokens'")
    if not isinstance(annotators, list) or not annotators:
        raise ValueError("has no list 'annotators'")
    labels = [one.get("label") if isinstance(one, dict) else None for one in annotators]
    if not all(isinstance(label, str) and label for label in labels):
        raise ValueError("has an annotator without a 'label'")
    if not isinstance(rationales, list | None):
        raise ValueError(f"'rationales' is {shown(rationales)}, not a list")
    for flags in rationales or []:
        if not isinstance(flags, list) or len(flags) != len(words) or any(flag not in (0, 1) for flag in flags):
            raise ValueError(f"a rationale is {shown(flags)}, expected a 0 or 1 for each of {len(words)} words")
    label, votes = Counter(map(str, labels)).most_common(1)[0]
    if 2 * votes <= len(labels):
        return None
    return Example(where, post, words, label, tuple(rationales or ()))


REGISTERED = CorpusLoader(
    load_hatexplain,
    "posts with labels and rationales of several annotators (Mathew et al., AAAI 2021)",
    options=LABEL_OPTIONS,
    layout=("dataset.json", "post_id_divisions.json"),
)

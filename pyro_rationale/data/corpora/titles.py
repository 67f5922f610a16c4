"""Titles and bodies as pairs, where nobody has said what is similar: `--data titles:CORPUS`.

Source of the idea: Rückle, Moosavi and Gurevych, "Neural Duplicate Question Detection without Labeled Training Data"
(EMNLP 2019): a model that finds the body of a title finds duplicates nearly as well as one that is trained on them.
"""

from __future__ import annotations

from dataclasses import replace

from pyro_rationale.data.compact import CompactDocuments
from pyro_rationale.data.corpora import CorpusLoader
from pyro_rationale.data.corpus import TargetSpec
from pyro_rationale.data.files.tables import kind_of
from pyro_rationale.data.options import DataOptions
from pyro_rationale.data.pairs import PairCorpus, check_spec, pair_corpus, split_queries
from pyro_rationale.data.question_files import read_questions
from pyro_rationale.data.title_pairs import title_queries, titles_and_bodies, with_titles
from pyro_rationale.errors import ConfigError, DataError
from pyro_rationale.storage import user_path

_NAME = "titles:"


def load_titles(options: DataOptions, spec: TargetSpec | None = None) -> PairCorpus:
    """Make queries of the titles of a corpus, each with its body as the similar text.

    Args:
        options: `titles:CORPUS`, where CORPUS is a corpus of pairs, which then is evaluated on and whose held-out
            questions are not trained on; or a file of questions with titles and bodies, whose own titles are held out.
        spec: of a fitted run.

    Raises:
        DataError: there is no such corpus or file, or it has no text with a title and a body.
        ConfigError: no corpus is named, or one of another kind.
    """
    from pyro_rationale.data.loading import loader_of

    source = options.data.removeprefix(_NAME)
    if not source or source == options.data:
        raise ConfigError("--data titles: name a corpus or file of questions, as --data titles:CORPUS")
    check_spec(options.data, spec)
    path = user_path(source)
    if path.is_file() and (kind_of(path) or ".txt" in path.suffixes):
        documents = CompactDocuments(read_questions(path, options))
        parts = CompactDocuments(titles_and_bodies(documents, range(len(documents))))
        queries = title_queries(0, len(parts))
        if not queries:
            raise DataError(f"{path}: no text has a title and a body, so titles cannot be trained on")
        split = split_queries(queries, parts, options.split_seed)
        return pair_corpus(options.data, parts, split, searchable=[query.positives[0] for query in queries])
    loader = loader_of(source)
    if not loader.pairs:
        raise ConfigError(f"--data {options.data}: {source} holds no questions with titles; name a corpus of pairs")
    corpus = loader.load(replace(options, data=source), spec)
    assert isinstance(corpus, PairCorpus)
    return replace(with_titles(corpus, alone=True), name=options.data)


REGISTERED = CorpusLoader(
    load_titles,
    "another corpus of questions, trained on without labels: the similar text of a title is its body",
    options=("text_column", "target_column", "ambiguity"),
    pairs=True,
    of_corpus=True,
)

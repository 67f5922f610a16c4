"""Rated sentences of film reviews, from the source archive of `vaderSentiment`: `--data vader-movies`."""

from __future__ import annotations

from functools import partial

from pyro_rationale.data.corpora import CorpusLoader
from pyro_rationale.data.corpora._vader import is_fetched, load_ratings

REGISTERED = CorpusLoader(
    partial(load_ratings, "vader-movies", "movieReviewSnippets_GroundTruth.txt"),
    "10,605 sentences of film reviews with mean human ratings from -4 to 4 (Hutto and Gilbert, ICWSM 2014)",
    fetched=is_fetched,
)

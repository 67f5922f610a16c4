"""10,605 sentences of film reviews with mean human ratings in [-4, 4] (Hutto and Gilbert 2014)."""

from pyro_rationale.data.corpora import CorpusLoader
from pyro_rationale.data.corpora._vader import load_vader_movies

REGISTERED = CorpusLoader(load_vader_movies)

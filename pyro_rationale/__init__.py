"""Rationales as latent variables: predict a rating from a text, and show the few words it rests on.

The binary mask over the words is a hidden variable of a Pyro program: a Markov chain for its prior, an encoder
that reads only the kept words for its likelihood, an amortized guide for its posterior.

    python -m pyro_rationale.fit --guide relaxed        fit a model
    python -m pyro_rationale.explain --run RUN          read texts with it
    python -m pyro_rationale.evaluate --run RUN         measure it

Importing this package imports neither torch nor Pyro; its parts do, where they need them.
"""

__version__ = "0.1.0"

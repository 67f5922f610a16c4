"""Networks of a fit without its latent variable: built like those of a fit, written to and read from a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from pyro_rationale.build import build_guide, build_model, build_vocabulary, open_if_needed, target_summary
from pyro_rationale.config import Config
from pyro_rationale.data.corpus import Corpus
from pyro_rationale.data.row_digests import row_digests
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.data.weighting import Weighting
from pyro_rationale.experiments.baselines._run import PLAIN
from pyro_rationale.experiments.baselines._storage import WEIGHTS, read_spec, write_marker
from pyro_rationale.fitted import FittedModel, assemble, pick_device
from pyro_rationale.nn.word_vectors import find_vectors
from pyro_rationale.run_files import VOCABULARY
from pyro_rationale.storage import read_tensors
from pyro_rationale.training.defaults import resolve

NETWORKS: dict[str, Any] = {  # of a baseline, whatever the fit beside it is
    **PLAIN, "guide": "independent", "masks": "shared", "overlap": 0.0, "judge": "none",
}


def completed(config: Config, corpus: Corpus) -> Config:
    """The configuration with what a preset chooses for networks on these texts."""
    return config if config.is_settled else resolve(config.changed(**NETWORKS), corpus)


def build_networks(config: Config, corpus: Corpus, name: str = "baseline") -> tuple[FittedModel, float]:
    """Encoder, likelihood and the generator of the independent guide, untrained, from the seed of the configuration.

    Returns:
        The networks, and the nats that make their loss of order one, as in a fit.
    """
    config = config.changed(**NETWORKS)
    torch.set_num_threads(config.train.threads or 1)
    torch.set_flush_denormal(True)
    torch.manual_seed(config.seed)
    options = config.model
    vocabulary = open_if_needed(config, build_vocabulary(options, corpus.train))
    vectors = find_vectors(options.vectors, vocabulary, config.data.cache).matrix if options.vectors else None
    weighting = Weighting.of(config.train.class_weight, corpus.spec, corpus.train)
    centre, spread = target_summary(corpus.train, corpus.spec, weighting)
    model = build_model(config, corpus.spec, len(vocabulary), vectors, centre, spread, vocabulary)
    guide = build_guide(config, len(vocabulary), vectors, 0.0, vocabulary=vocabulary)
    device = pick_device(config.train.device)
    networks = model.to(device), guide.to(device)
    fitted = FittedModel(config, corpus.spec, vocabulary, *networks, device, name, row_digests(corpus))
    fitted.weighting = weighting
    return fitted, spread * model.gain


def write_networks(name: str, config: Config, fitted: FittedModel, folder: Path, **facts: Any) -> None:
    """Write encoder and generator of a finished baseline; `config` is the requested one."""
    parts = (("model", fitted.model), ("guide", fitted.guide))
    tensors = {f"{part}.{k}": v for part, module in parts for k, v in module.state_dict().items()}
    write_marker(name, config, fitted.spec, fitted.vocabulary, fitted.rows, tensors, folder, **facts)


def read_networks(config: Config, folder: Path) -> FittedModel:
    """Networks that `write_networks` wrote, in evaluation mode.

    Raises:
        RunError: the folder is damaged.
    """
    tensors, _ = read_tensors(folder / WEIGHTS)
    vocabulary = Vocabulary.load(folder / VOCABULARY)
    device = pick_device(config.train.device)
    return assemble(config.changed(**NETWORKS), read_spec(folder), vocabulary, tensors, device, folder).eval()

"""R-hat and effective sample sizes of the Gibbs chains, by ArviZ (extra `viz`)."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pyro_rationale.inference.posterior.gibbs import MaskChains
from pyro_rationale.optional import arviz

Floats = NDArray[np.float64]


class Mixing(NamedTuple):
    """R-hat and effective sample sizes of each document, float64, `(B,)` each.

    `r_hat` is the largest rank-normalised split R-hat (Vehtari et al. 2021) of words kept, log joint and every single
    word; inf where chains stand still at different masks. `ess` is the smallest bulk effective sample size of words
    kept and log joint.
    """

    r_hat: Floats
    ess: Floats


def mixing(chains: MaskChains, lengths: Tensor) -> Mixing:
    """R-hat and effective sample sizes of chains on documents of these lengths, long `(B,)`.

    Raises:
        ConfigError: ArviZ is not installed.
    """
    kept = chains.masks.sum(-1)  # (C, D, B)
    totals = torch.stack([kept.double(), chains.log_joint.double()], -1).cpu().numpy()
    words = chains.masks.double().cpu().numpy()
    inside = torch.arange(words.shape[-1]) < lengths.cpu()[:, None]
    of_totals, (of_words, _) = _diagnose(totals), _diagnose(words)
    outside = ~inside.numpy()
    of_words[outside] = np.nan
    r_hat = np.fmax.reduce(np.concatenate([of_totals[0], of_words], -1), axis=-1)
    return Mixing(
        np.where(np.isnan(r_hat), 1.0, r_hat),  # nothing ever moves, in any chain, and all chains agree
        np.fmin.reduce(of_totals[1], axis=-1),
    )


def _diagnose(values: Floats) -> tuple[Floats, Floats]:
    """R-hat and bulk ESS of `(C, D, B, V)`, `(B, V)` each: NaN of constants, inf and 0 of chains that never meet."""
    az = arviz()
    data = az.convert_to_dataset({"value": values})
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # constants are divided by their variance; they are dealt with below
        r_hat = np.array(az.rhat(data)["value"].values, dtype=np.float64)
        ess = np.array(az.ess(data, method="bulk")["value"].values, dtype=np.float64)
    spread = values.max((0, 1)) - values.min((0, 1))
    still = (values.max(1) == values.min(1)).all(0)
    constant = spread == 0
    r_hat[still], ess[still] = np.inf, 0.0
    r_hat[constant], ess[constant] = np.nan, np.nan
    return r_hat, ess

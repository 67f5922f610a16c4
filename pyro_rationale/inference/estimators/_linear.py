"""What a word would change, to first order: the part of the reconstruction whose expectation needs no sampling.

MuProp (Gu, Levine, Sutskever, Mnih 2016): expand the reconstruction around the guide's own marginals m,
f(z) = f(m) + g . (z - m) + rest. The expectation of the linear part is a function of the marginals, whose gradient is
exact; only the rest is left to the score function. Unbiased for any g that does not depend on the samples. The encoder
can be evaluated at fractional masks, so g costs one more pass through it.
"""

from __future__ import annotations

from typing import Any

import torch
from pyro import poutine
from pyro.poutine import Trace
from torch import Tensor

from pyro_rationale.distributions import MaskDistribution
from pyro_rationale.nn.kernels.gated_lstm import mask_gradient_only


def slope(model: Any, guide_trace: Trace, q: MaskDistribution, log_prob: Any, *args: Any, **kwargs: Any) -> Tensor:
    """d reconstruction / d z_t at the expansion point, `(B, T)`, detached.

    Args:
        model: the generative program.
        guide_trace: of the guide, for its site `z`; the value there is not used.
        q: the guide's distribution, batch shape `(B,)`.
        log_prob: gives the observed log probability per document of a model trace.
        args: of the model.
        kwargs: of the model.
    """
    with torch.no_grad():
        point = q.approximate_mean()
    point.requires_grad_()
    there = guide_trace.copy()
    there.nodes["z"] = {**guide_trace.nodes["z"], "value": point}
    with mask_gradient_only():
        trace = poutine.trace(poutine.replay(model, trace=there)).get_trace(*args, **kwargs)
    (found,) = torch.autograd.grad(log_prob(trace).sum(), point)
    return found.detach()

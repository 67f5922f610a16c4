"""`Estimator`, the base class of the gradient estimators, and the draws that an estimator works on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from pyro import poutine
from pyro.poutine import Trace
from torch import Tensor, nn

from pyro_rationale.distributions import MaskDistribution
from pyro_rationale.errors import ConfigError
from pyro_rationale.inference.estimators import NORMS, PENALTIES
from pyro_rationale.inference.terms import MaskTerms


@dataclass(frozen=True)
class Masks:
    """Masks at which the model is evaluated, N for each of B documents.

    Attributes:
        q: the guide's distribution, batch shape `(N, B)`.
        z: the masks, `(N, B, T)`.
    """

    q: MaskDistribution
    z: Tensor

    @property
    def weights(self) -> Tensor | None:
        """Weight of each mask in an average, `(N, B)`, summing to 1 over the masks; `None` for equal weights."""
        return None


@dataclass(frozen=True)
class Programs:
    """Model and guide on one batch, for estimators that evaluate the model at other points than their samples."""

    model: Any
    guide: Any
    guide_trace: Trace
    log_prob: Callable[[Trace], Tensor]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def reconstruction(self, z: Tensor) -> Tensor:
        """Scaled log likelihood kappa log p(y | x, z) at masks or fractional masks `(*s, B, T)`."""
        trace = self.guide_trace.copy()
        trace.nodes["z"] = {**self.guide_trace.nodes["z"], "value": z}
        replayed = poutine.replay(self.model, trace=trace)
        return self.log_prob(poutine.trace(replayed).get_trace(*self.args, **self.kwargs))


@dataclass(frozen=True)
class Draws:
    """One pass of guide and model, from which an estimator makes its surrogate.

    Attributes:
        masks: the masks as the estimator drew them.
        z: their values, `(N, B, T)`, detached.
        reconstruction: kappa log p(y | x, z), `(N, B)`, with gradients.
        terms: KL and entropy: exact `(B,)`, sampled `(N, B)`, or along prefixes `(N, B, T)`.
        samples: K, the number of samples requested.
        weights: weight of each mask in an average, or `None`; see `Masks.weights`.
        prepared: return value of `Estimator.prepare`.
    """

    masks: Masks
    z: Tensor
    reconstruction: Tensor
    terms: MaskTerms
    samples: int
    weights: Tensor | None = None
    prepared: Any = None

    @property
    def q(self) -> MaskDistribution:
        """The guide's distribution, batch shape `(N, B)`."""
        return self.masks.q

    def total(self, values: Tensor) -> Tensor:
        """K times the average over masks of values `(N, B)`, summed over documents."""
        return values.sum() if self.weights is None else (self.weights * self.samples * values).sum()


class Estimator:
    """An estimator of the gradient of E_q[kappa log p(y | x, z)] in the guide's parameters.

    A subclass is registered by its module in this folder, or by an entry point of the group
    `pyro_rationale.estimators`. Most override `draw`, `prepare` or `score_term`, or `surrogate` as a whole.

    Attributes:
        default_samples: K unless `--samples` says otherwise.
        fewest_samples: smallest K.
        sample_step: K must be a multiple of it.
        penalties: treatments of KL and entropy that it knows, out of `PENALTIES`.
        exact_penalties: whether `--penalties exact` means closed forms, and not samples all the same.
        zero_tau: whether the entropy may have a weight of 0.
        has_slopes: whether it evaluates the model at fractional masks for slopes that it can do without at times.
        differentiates: whether it takes gradients of the model in the masks, which encoders then read as weights.
        draws_together: whether mask k of all documents is one draw, as a model that compares documents needs it.
        objective: makes the objective from K and tau, in place of `MaskELBO` with this estimator.
    """

    default_samples: ClassVar[int] = 4
    fewest_samples: ClassVar[int] = 1
    sample_step: ClassVar[int] = 1
    penalties: ClassVar[tuple[str, ...]] = PENALTIES
    exact_penalties: ClassVar[bool] = True
    zero_tau: ClassVar[bool] = True
    has_slopes: ClassVar[bool] = False
    differentiates: ClassVar[bool] = False
    draws_together: ClassVar[bool] = True
    objective: ClassVar[type[Any] | None] = None

    @classmethod
    def refusal(cls, family: type[MaskDistribution]) -> str | None:
        """Why it does not work with guides of this family and what does, `None` if it works."""
        return None

    @classmethod
    def make_baseline(cls, inputs: int, hidden: int) -> nn.Module | None:
        """The untrained neural baseline that a guide must bring, from its mean features `(B, inputs)`, if any."""
        return None

    def guide_samples(self, samples: int) -> int:
        """How many masks the guide's program itself draws per document, for K = `samples`."""
        return samples

    def draw(self, q: MaskDistribution, z: Tensor, samples: int) -> Masks:
        """The masks to evaluate the model at.

        Args:
            q: the guide's distribution, batch shape `(guide_samples, B)`.
            z: masks that its program has drawn, `(guide_samples, B, T)`.
            samples: K.
        """
        return Masks(q, z)

    def prepare(self, programs: Programs, masks: Masks) -> Any:
        """Compute more for the surrogate than the draws have; the result becomes `Draws.prepared`."""
        return None

    def control_variate(self, draws: Draws, penalty: Tensor) -> tuple[Tensor, Tensor]:
        """The reward that is left to the score function, `(N, B)`, and the penalty that is differentiated directly."""
        return draws.reconstruction, penalty

    def surrogate(self, draws: Draws, penalty: Tensor) -> Tensor:
        """A scalar whose expected gradient is K times that of the objective, summed over documents.

        Args:
            draws: a pass of guide and model.
            penalty: KL + (1 - tau) H: exact `(B,)`, sampled `(N, B)`, or along prefixes `(N, B, T)`.
        """
        reconstruction = draws.reconstruction
        reward, penalty = self.control_variate(draws, penalty)
        if penalty.dim() == 1:  # exact: the same for every sample
            direct = draws.total(reconstruction) - draws.samples * penalty.sum()
        elif penalty.dim() == 2:  # sampled
            direct = draws.total(reconstruction - penalty)
            reward = reward - penalty
        else:  # along prefixes: the choice of word t bears only on what comes after it
            direct = draws.total(reconstruction - penalty.sum(-1))
            after = penalty.flip(-1).cumsum(-1).flip(-1) - penalty
            reward = reward[..., None] - after
        return direct + self.score_term(reward.detach(), draws)

    def score_term(self, reward: Tensor, draws: Draws) -> Tensor | float:
        """A scalar whose gradient is what the reward, `(N, B)` or per word `(N, B, T)`, says about the choice of z."""
        return 0.0


def check_family(name: str, estimator: type[Estimator], family: type[MaskDistribution]) -> None:
    """Refuse an estimator that does not work with this family of distributions.

    Raises:
        ConfigError: it does not.
    """
    reason = estimator.refusal(family)
    if reason is not None:
        raise ConfigError(f"--estimator {name}: {reason}")


def check_coupled(name: str, estimator: type[Estimator]) -> None:
    """Refuse an estimator that does not work with a model under which the masks of several documents meet.

    Raises:
        ConfigError: it does not.
    """
    if not estimator.draws_together:
        raise ConfigError(
            f"--estimator {name}: takes masks of each document by itself, and --task ranking compares documents; use "
            "--estimator muprop or rloo"
        )


def check_samples(name: str, estimator: type[Estimator], samples: int) -> None:
    """Refuse a number K of samples that the estimator cannot use.

    Raises:
        ConfigError: too few masks per document, or an odd number where they come in pairs.
    """
    if samples < 1:
        raise ConfigError(f"--samples: expected at least 1, got {samples}")
    if samples < estimator.fewest_samples:
        fewest = estimator.fewest_samples
        raise ConfigError(f"--samples: {name} needs at least {fewest} masks per document, got {samples}")
    if samples % estimator.sample_step:
        raise ConfigError(f"--samples: {name} draws masks in pairs and needs an even number, got {samples}")


def check_penalties(name: str, estimator: type[Estimator], penalties: str, norm: str = "l0") -> None:
    """Refuse a treatment of KL and entropy, or a norm of the mask, that the estimator does not know.

    Raises:
        ConfigError: it does not, or there is none of that name.
    """
    if penalties not in PENALTIES:
        raise ConfigError(f"--penalties: expected {', '.join(PENALTIES[:-1])} or {PENALTIES[-1]}, got {penalties!r}")
    if penalties not in estimator.penalties:
        known = " or ".join(estimator.penalties)
        raise ConfigError(f"--penalties {penalties} does not go with --estimator {name}; take {known}, or use rloo")
    if norm not in NORMS:
        raise ConfigError(f"--norm: expected one of {', '.join(NORMS)}, got {norm!r}")
    if norm != "l0" and not (estimator.exact_penalties and penalties == "exact"):
        raise ConfigError(f"--norm {norm} goes with exact penalties: use --estimator rloo and leave --penalties out")

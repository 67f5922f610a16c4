"""Checks before the chain's operations are timed: every method gives the loop's results, and nothing waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from timing import settle
from torch import Tensor

from pyro_rationale.distributions import ChainPrior, LinearChain
from pyro_rationale.distributions.scan.dispatch import linear, messages, using

Result = Tensor | tuple[Tensor, ...]
# Most that a result in float32 may be off, as `Reference.error` says.
BOUNDS = {"log Z": 1e-5, "log Z + gradient": 1e-4, "marginals": 1e-4, "sampling": 1e-3, "Viterbi": 1e-5}
SEED = 20160611


def disagreements(device: torch.device, methods: tuple[str, ...]) -> Iterator[str]:
    """Recurrences that are not those of the loop in float64 on the CPU, at sizes around powers of two."""
    random = torch.Generator().manual_seed(SEED)
    for size in (*range(1, 10), 31, 32, 33, 150):
        for chains, scale in ((1, 3.0), (33, 3.0), (5, 50.0)):
            fields = scale * torch.randn(chains, size, generator=random, dtype=torch.float64)
            coupling = scale * torch.randn(chains, size - 1, generator=random, dtype=torch.float64)
            gain = torch.rand(chains, size, generator=random, dtype=torch.float64) * 2 - 1
            bits = torch.randint(-1, 2, (chains, size), generator=random).to(torch.int8)
            runs: list[tuple[str, Callable[..., Tensor], tuple[Tensor, ...], bool]] = [
                *((f"messages, hard={flag}", messages, (fields, coupling), flag) for flag in (False, True)),
                *((f"linear, reverse={flag}", linear, (gain, fields), flag) for flag in (False, True)),
                ("linear of int8", linear, (bits, bits.abs()), False),
            ]
            for name, run, inputs, flag in runs:
                with using("serial"):
                    exact = run(*inputs, flag).double()
                for method in methods:
                    for dtype, off in ((torch.float32, 2e-5 * (1 + scale)), (torch.float64, 1e-10)):
                        given = [part if part.dtype == torch.int8 else part.to(dtype) for part in inputs]
                        with using(method):
                            found = run(*(part.to(device) for part in given), flag)
                        error = float((found.double().cpu() - exact).abs().max())
                        if not error <= off:
                            yield f"{method}: {name}, {chains} x {size}, {dtype}: off by {error:.1e}"


class Reference:
    """Results of the loop in float64 on the device."""

    def __init__(self, fields: Tensor, coupling: Tensor) -> None:
        self.fields, self.coupling = fields.double(), coupling.double()
        with using("serial"):
            self.chain = LinearChain(self.fields, self.coupling, validate_args=False)
            self.mean = self.chain.mean
            self.best = self.chain.log_prob(self.chain.mode)
            off, on = torch.sigmoid(self.chain.transitions).unbind(-1)
        torch.manual_seed(SEED)
        uniform = torch.rand(fields.shape, dtype=fields.dtype, device=fields.device).double()
        off, on = (uniform < off).to(torch.int8), (uniform < on).to(torch.int8)
        with using("serial"):
            self.sample = linear(on - off, off)

    def error(self, operation: str, result: Result) -> float:
        """How far a result in float32 is off: the largest difference, or for sampling the share of words that differ.

        log Z and Viterbi's log probability are in nats, over log Z and over that probability where above 1.
        """
        parts = tuple(part.double() for part in (result if isinstance(result, tuple) else (result,)))
        if operation == "sampling":  # a word whose random number falls on the edge may differ, and those after it
            return float((parts[0] != self.sample).double().mean())
        if operation == "Viterbi":
            return float(((self.best - self.chain.log_prob(parts[0])).abs() / self.best.abs().clamp_min(1)).max())
        if operation == "marginals":
            return float((parts[0] - self.mean).abs().max())
        log_z = self.chain.log_normalizer
        errors = [((parts[0] - log_z) / log_z.clamp_min(1)).abs().max()]
        if len(parts) > 1:
            errors += [(parts[1] - self.mean).abs().max(), (parts[2] + self.chain.change).abs().max()]
        return float(torch.stack(errors).max())


def waits(device: torch.device) -> str | None:
    """Where the chain's part of a training step makes the program wait for the GPU; `None` if nowhere."""
    lengths = torch.full((64,), 150, device=device)
    fields = torch.randn(64, 150, device=device, requires_grad=True)
    coupling = torch.rand(64, 149, device=device, requires_grad=True)
    for mode in ("default", "error"):  # the first time kernels are compiled
        settle(device)
        torch.cuda.set_sync_debug_mode(mode)
        try:
            q = LinearChain(fields, coupling, lengths).expand((4, 64))
            p = ChainPrior.from_rate_span(0.15, 4.0).distribution(lengths, 150)
            z = q.sample()
            total = torch.distributions.kl_divergence(q, p).sum() + q.entropy().sum() + q.log_prob(z).sum()
            total.backward()
        except RuntimeError as problem:
            return str(problem)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return None

"""`posterior.nc`: which groups and variables it has, and how the draws of many documents get into it.

The names are those of ArviZ's schema (InferenceData specification, 2024) where it has one. Dimensions are chain, draw,
document and word; `document` carries the ids, `word` the positions from 0. With one target, ratings have no
dimension `target`. Where each target has masks of its own, all that is about masks has it as its last one. Files are
read by `pyro_rationale.prediction.netcdf.load`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyro_rationale import __version__
from pyro_rationale.data.corpus import Document
from pyro_rationale.distributions import AspectPriors
from pyro_rationale.errors import DataError
from pyro_rationale.prediction.labels import inclusion_label, tau_label
from pyro_rationale.prediction.netcdf import DITHER, GroupFile, dithered
from pyro_rationale.prediction.options import Size
from pyro_rationale.prediction.posterior_draws import LONGEST, DocumentDraws, Draws, inspect_documents

if TYPE_CHECKING:
    from pyro_rationale.fitted import FittedModel

BLOCK = 2**24  # bytes of draws that are gathered before they are written
DOCUMENTS = 32  # written together, at most
UNKNOWN = -1  # gold of words that nobody annotated
WORDS = ("chain", "draw", "document", "word")
DRAWS = WORDS[:3]
# Fields of `Weights`.
PER_DRAW = {
    "log_prior": "log p(z), nats",
    "log_q": "log q(z | x), nats",
    "log_weight": "kappa log p(y | x, z) + log p(z) - log q(z | x), nats, with trained weights and the members of an "
    "ensemble alike; NaN where no target is known",
}
PER_DOCUMENT = {
    "khat": "Pareto shape of the importance weights; above 0.7 they cannot be trusted, nor can group posterior",
    "ess": "effective sample size of the importance weights",
    "elpd": "log of the mean of p(y | x, z) over the guide's draws, which have not seen y; nats",
}
POSTERIOR = (
    "draws from p(z | x, y): those of `guide`, resampled by Pareto-smoothed importance weights, as far as "
    "sample_stats.khat allows. Documents of which a target is known. az.loo of these draws estimates log p(y | x)"
)
Array = NDArray[Any]


def write_posterior(
    path: Path,
    fitted: FittedModel,
    documents: Sequence[Document],
    size: Size | None = None,
    seed: int = 0,
    progress: Callable[[], object] = lambda: None,
) -> None:
    """Draw, weigh and store, a few documents at a time.

    Args:
        path: of the file; replaced if it is there.
        fitted: a run.
        documents: at least one; what has no target is left out of observed data and likelihood.
        size: how many draws.
        seed: of the draws, together with each text.
        progress: called after each document.

    Raises:
        DataError: no documents.
        ConfigError: h5netcdf is not installed.
    """
    if not documents:
        raise DataError("expected at least one document to draw masks of, got none")
    layout = _Layout(fitted, documents, size or Size())
    with GroupFile(path, layout.attrs(seed)) as file:
        layout.begin(file)
        block: list[DocumentDraws] = []
        for inspected in inspect_documents(fitted, documents, layout.size.chains * layout.size.draws, seed):
            block.append(inspected)
            if len(block) == layout.block:
                layout.put(block)
                block = []
            progress()
        if block:
            layout.put(block)
        layout.end()


class _Layout:
    """One file being written: dimensions, variables, and how far it is."""

    def __init__(self, fitted: FittedModel, documents: Sequence[Document], size: Size) -> None:
        self.fitted, self.documents, self.size = fitted, documents, size
        self.spec = fitted.spec
        self.per_target = ("target",) if len(self.spec.names) > 1 else ()  # last dimension of targets, if any
        self.per_mask = ("target",) if fitted.aspects > 1 else ()  # that of everything about masks
        self.per_value = ("class",) if fitted.task.per_class else self.per_target  # that of predictions
        self.words = max(1, max(len(document.tokens) for document in documents))
        self.rated = [i for i, document in enumerate(documents) if document.has_target]
        cells = size.chains * size.draws * (2 * self.words + 64)
        self.block = max(1, min(DOCUMENTS, len(documents), BLOCK // cells))
        self.done = self.done_rated = 0
        shape = (size.chains, size.draws, LONGEST, *([fitted.aspects] if self.per_mask else []))
        groups = ("guide", "prior", "posterior")[: 3 if self.rated else 2]
        self.span_count = {group: np.zeros(shape, dtype=np.int64) for group in groups}
        kappa = float(fitted.model.kappa)
        self.has_density = fitted.model.likelihood.has_powers or kappa == 1.0  # for the weights
        self.file: GroupFile

    def attrs(self, seed: int) -> dict[str, str | int | float]:
        """Attributes of the whole file."""
        fitted = self.fitted
        prior = fitted.model.prior.describe(fitted.model.gain)
        return {
            "title": f"draws of rationales from guide, prior and posterior, run {fitted.name}",
            "creation_library": "pyro_rationale",
            "creation_library_version": __version__,
            "inference_library": "pyro-ppl",
            "sampling": "every draw is independent of all others: chains are sets of draws from one guide, there is "
            "nothing to warm up or to converge, and r_hat = 1 says no more than that. For az.loo give reff=1.",
            "inclusion": inclusion_label(float(fitted.config.tau)),
            "guide": fitted.config.guide,
            "estimator": fitted.config.estimator,
            "task": self.spec.kind,
            "targets": json.dumps(self.spec.names, ensure_ascii=False),
            "classes": json.dumps(self.spec.classes, ensure_ascii=False),
            "ranges": json.dumps(self.spec.ranges),
            "kappa": float(fitted.model.kappa),
            "tau": float(fitted.config.tau),
            "seed": seed,
            **self._by_target(),
            **{f"prior_{name}": value for name, value in prior.items()},
            **{f"constraint_{name}": value for name, value in asdict(fitted.model.constraint).items()},
        }

    def _by_target(self) -> dict[str, str]:
        """Prior and constraint of each target that has masks of its own, as JSON; `prior_*` are their means then."""
        model, names = self.fitted.model, self.spec.names
        if not self.per_mask:
            return {}
        prior = model.prior
        assert isinstance(prior, AspectPriors)
        chains = {name: chain.describe(model.gain) for name, chain in zip(names, prior.chains, strict=True)}
        nats = {name: asdict(one) for name, one in zip(names, model.constraints, strict=True)}
        return {"priors": json.dumps(chains), "constraints": json.dumps(nats)}

    def begin(self, file: GroupFile) -> None:
        """All groups, variables and coordinates."""
        self.file = file
        guide = f"draws from the guide q(z | x), {tau_label(float(self.fitted.config.tau))}, which has not seen y"
        for group, what in (
            ("guide", f"{guide}, and what they predict"),
            ("prior", "draws from p(z), the chain prior, for texts of these lengths"),
            ("posterior", POSTERIOR),
        ):
            if group not in self.span_count:
                continue
            documents = self.rated if group == "posterior" else None
            self._group(group, what, *WORDS, "length", *self.per_value, documents=documents)
            self._draws(group)
            noise = "with the noise that kappa implies" if documents and self.has_density else "kappa has no part in it"
            what = f"targets drawn from p(y | x, z), z from {group}; {noise}"
            place, dims = f"{group}_predictive", (*DRAWS, *self.per_target)
            self._group(place, what, *dims, documents=documents)
            self._variable(place, "y", dims, self.fitted.task.target_dtype, "in the user's units")
        self._statistics()
        self._constants()
        if self.rated:
            self._observed()

    def put(self, block: Sequence[DocumentDraws]) -> None:
        """The next documents."""
        here = slice(self.done, self.done + len(block))
        self.done += len(block)
        for group in ("guide", "prior"):
            self._put_draws(group, [getattr(item, group) for item in block], here)
        statistics = {name: self._chains([getattr(b.weights, name) for b in block]) for name in PER_DRAW}
        statistics |= {name: np.array([getattr(b.weights, name) for b in block]) for name in PER_DOCUMENT}
        statistics["inclusion"] = self._padded([item.inclusion for item in block], np.float32)
        statistics["mode"] = self._padded([item.mode for item in block], np.int8)
        for name, values in statistics.items():
            self.file.put("sample_stats", name, values, document=here)
        posterior = [item.posterior for item in block if item.posterior is not None]
        if posterior:
            there = slice(self.done_rated, self.done_rated + len(posterior))
            self.done_rated += len(posterior)
            self._put_draws("posterior", [item.draws for item in posterior], there)
            likelihood = [dithered(item.log_likelihood) for item in posterior if item.log_likelihood is not None]
            if likelihood:
                self.file.put("log_likelihood", "y", self._chains(likelihood), document=there)

    def end(self) -> None:
        """Sums over documents."""
        for group, count in self.span_count.items():
            self.file.put(group, "span_count", count)

    def _draws(self, group: str) -> None:
        """Variables of the groups guide, prior and posterior."""
        self._variable(group, "z", (*WORDS, *self.per_mask), np.int8, "1 on kept words; 0 behind the end of a document")
        dims = (*DRAWS, *self.per_mask)
        self._variable(group, "rate", dims, np.float32, "share of the document's words that are kept")
        self._variable(group, "spans", dims, np.int32, "number of runs of kept words")
        self._variable(group, "span", dims, np.float32, "mean length of the runs, in words; 0 where nothing is kept")
        text = f"runs of this length in all documents together; {LONGEST} counts longer ones as well"
        self._variable(group, "span_count", ("chain", "draw", "length", *self.per_mask), np.int64, text)
        text = self.fitted.task.value_name
        self._variable(group, "prediction", (*DRAWS, *self.per_value), np.float32, text)

    def _statistics(self) -> None:
        self._group("sample_stats", "how the draws of `guide` stand to the model", *WORDS, *self.per_mask)
        for name, what in PER_DRAW.items():
            self._variable("sample_stats", name, (*DRAWS, *self.per_mask), np.float32, what)
        for name, what in PER_DOCUMENT.items():
            self._variable("sample_stats", name, ("document", *self.per_mask), np.float64, what)
        text = inclusion_label(float(self.fitted.config.tau))
        self._variable("sample_stats", "inclusion", (*WORDS[2:], *self.per_mask), np.float32, text)
        text = "the most probable mask under the guide"
        self._variable("sample_stats", "mode", (*WORDS[2:], *self.per_mask), np.int8, text)

    def _constants(self) -> None:
        group = "constant_data"
        self._group(group, "the texts", *WORDS[2:])
        self._variable(group, "tokens", WORDS[2:], None, "words as the model reads them; empty behind the end")
        self._variable(group, "lengths", ("document",), np.int32, "words")
        lengths = np.array([len(document.tokens) for document in self.documents])
        self.file.put(group, "lengths", lengths)
        given = [name for name in ("gold", "opinion") if any(getattr(d, name) is not None for d in self.documents)]
        notes = {"gold": "1 on words of the annotated rationale", "opinion": "1 on the words that carry the rating"}
        for name in given:
            self._variable(group, name, WORDS[2:], np.int8, f"{notes[name]}, 0 on others, {UNKNOWN} where unknown")
        for start in range(0, len(self.documents), self.block):
            here = slice(start, start + self.block)
            block = self.documents[here]
            self.file.put(group, "tokens", self._padded([d.tokens for d in block], object, ""), document=here)
            for name in given:
                flags = [[UNKNOWN] * len(d.tokens) if getattr(d, name) is None else getattr(d, name) for d in block]
                self.file.put(group, name, self._padded(flags, np.int8, UNKNOWN), document=here)

    def _observed(self) -> None:
        rated = [self.documents[i] for i in self.rated]
        targets = np.array([document.targets for document in rated], dtype=np.float64)
        dims = ("document", *self.per_target)
        self._group("observed_data", "documents of which a target is known", *dims, documents=self.rated)
        whole = bool(self.spec.classes) and not np.isnan(targets).any()
        kind = self.fitted.task.target_dtype if whole else np.float64
        self._variable("observed_data", "y", dims, kind, "in the user's units; NaN where unknown")
        self.file.put("observed_data", "y", targets if "target" in dims else targets[:, 0])
        if not self.has_density:
            return
        what, dims = "of the draws of `posterior`, which have seen y", (*DRAWS, *self.per_mask)
        self._group("log_likelihood", what, *dims, documents=self.rated)
        together = "each target by itself" if self.per_mask else "all targets together"
        text = f"log p(y | x, z), nats, {together}, with the noise that kappa implies, within {DITHER:g}: "
        self._variable("log_likelihood", "y", dims, np.float64, f"{text}az.loo refuses equal weights")

    # One group, one variable, one block.

    def _group(self, name: str, what: str, *dims: str, documents: Sequence[int] | None = None) -> None:
        """A group with the coordinates of these dimensions."""
        chosen = range(len(self.documents)) if documents is None else documents
        values: dict[str, Any] = {
            "chain": np.arange(self.size.chains),
            "draw": np.arange(self.size.draws),
            "document": _labels(self.documents)[list(chosen)],
            "word": np.arange(self.words),
            "length": np.arange(1, LONGEST + 1),
            "target": np.array(self.spec.names, dtype=object),
            "class": np.array(self.spec.classes, dtype=object),
        }
        self.file.group(name, {dim: len(values[dim]) for dim in dims}, {"description": what})
        for dim in dims:
            text = values[dim].dtype == object
            self.file.variable(name, dim, (dim,), None if text else np.int64)
            self.file.put(name, dim, values[dim])

    def _variable(self, group: str, name: str, dims: Sequence[str], kind: Any, what: str) -> None:
        self.file.variable(group, name, dims, kind, {"description": what}, {"chain": 1, "document": self.block})

    def _put_draws(self, group: str, draws: Sequence[Draws], here: slice) -> None:
        z = np.zeros((self.size.chains, self.size.draws, len(draws), self.words, *draws[0].z.shape[2:]), dtype=np.int8)
        for i, item in enumerate(draws):
            z[:, :, i, : item.z.shape[1]] = item.z.reshape(*z.shape[:2], *item.z.shape[1:])
        self.file.put(group, "z", z, document=here)
        for name in ("rate", "spans", "span"):
            self.file.put(group, name, self._chains([getattr(item, name) for item in draws]), document=here)
        for place, name, dims in ((group, "prediction", self.per_value), (f"{group}_predictive", "y", self.per_target)):
            values = self._chains([getattr(item, name) for item in draws])
            self.file.put(place, name, values if dims else values[..., 0], document=here)
        for item in draws:
            self.span_count[group] += item.span_count.reshape(self.span_count[group].shape)

    def _chains(self, values: Sequence[Array]) -> Array:
        """Draws of `B` documents, `(S, *)` each, as `(chain, draw, B, *)`."""
        together = np.stack(values, 1)
        return together.reshape(self.size.chains, self.size.draws, *together.shape[1:])

    def _padded(self, rows: Sequence[Any], kind: Any, fill: Any = 0) -> Array:
        shape = np.shape(rows[0])[1:] if self.per_mask else ()
        padded = np.full((len(rows), self.words, *shape), fill, dtype=kind)
        for row, values in zip(padded, rows, strict=True):
            row[: len(values)] = values
        return padded


def _labels(documents: Sequence[Document]) -> Array:
    """Ids; one that comes again gets a number, for labels must be distinct."""
    seen: Counter[str] = Counter()
    labels = []
    for document in documents:
        seen[document.id] += 1
        count = seen[document.id]
        labels.append(document.id if count == 1 else f"{document.id} ({count})")
    return np.array(labels, dtype=object)

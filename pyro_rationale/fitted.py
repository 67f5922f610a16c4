"""A run folder, and the fitted model that it holds.

    config.json          configuration, target, versions
    vocabulary.json      the words
    epochs.jsonl         one line per epoch
    checkpoint.safetensors  where training stands (weights, optimiser, random states, control)
    model.safetensors    weights of the chosen epoch
    metrics.json         the test table; its presence says that the run is finished
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pyro_rationale.build import build_guide, build_model
from pyro_rationale.config import Config
from pyro_rationale.data.tokenizers import TOKENIZERS, Tokenizer
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.errors import ConfigError, RunError
from pyro_rationale.guides import RationaleGuide
from pyro_rationale.models import RationaleModel
from pyro_rationale.storage import read_json, read_tensors, write_tensors
from pyro_rationale.tasks import TASKS, TargetSpec, Task, task_of

FORMAT = 1  # of the run folder; raised when older folders can no longer be read

CONFIG, VOCABULARY, EPOCHS = "config.json", "vocabulary.json", "epochs.jsonl"
CHECKPOINT, WEIGHTS, METRICS = "checkpoint.safetensors", "model.safetensors", "metrics.json"


def pick_device(name: str) -> torch.device:
    """`auto` is a GPU where there is one.

    Raises:
        ConfigError: the name is unknown, or there is no such device here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, dtype=torch.float64, device=device).item()  # the prior's tables need float64
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as problem:
        reason = str(problem).splitlines()[0]
        raise ConfigError(f"--device {name}: not usable here ({reason}); try --device auto") from None
    return device


@dataclass
class FittedModel:
    """A model, its guide, and all that is needed to use them on texts."""

    config: Config
    spec: TargetSpec
    vocabulary: Vocabulary
    model: RationaleModel
    guide: RationaleGuide
    device: torch.device
    name: str = "run"

    @property
    def task(self) -> Task:
        """The kind of target: how it is measured and shown."""
        return task_of(self.spec)

    @property
    def tokenizer(self) -> Tokenizer:
        """Splits a text into the words that the model reads."""
        return TOKENIZERS[self.config.data.tokenizer]

    def eval(self) -> FittedModel:
        """Switch dropout off."""
        self.model.eval()
        self.guide.eval()
        return self

    def save(self, folder: Path) -> None:
        """Write the weights and the final prior; configuration and vocabulary are already there."""
        write_tensors(folder / WEIGHTS, self._tensors(), {"format": FORMAT})

    def _tensors(self) -> dict[str, torch.Tensor]:
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        return tensors | {f"guide.{k}": v for k, v in self.guide.state_dict().items()}

    # Copies and pickles hold what a run folder holds, as plain values: they can be read where there is no GPU.

    def __getstate__(self) -> dict[str, Any]:
        weights = {name: tensor.cpu().numpy().copy() for name, tensor in self._tensors().items()}
        facts = {"format": FORMAT, "config": self.config.to_dict(), "device": str(self.device), "name": self.name}
        return facts | {"spec": self.spec, "vocabulary": self.vocabulary, "weights": weights}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Raises RunError: it was pickled by another version."""
        if state.get("format") != FORMAT:
            raise RunError(f"a pickle of format {state.get('format')}, this version reads {FORMAT}; fit again")
        config = Config.from_dict(state["config"])
        tensors = {name: torch.tensor(values) for name, values in state["weights"].items()}
        try:
            place = pick_device(state["device"])
        except ConfigError:  # fitted on a machine with a GPU
            place = torch.device("cpu")
        with torch.random.fork_rng(devices=[]):  # networks are built at random before the weights go in
            made = assemble(config, state["spec"], state["vocabulary"], tensors, place, Path(state["name"]))
        self.__dict__.update(vars(made.eval()))

    @classmethod
    def load(cls, folder: Path | str, device: str = "auto") -> FittedModel:
        """Read a run folder.

        Raises:
            RunError: it is missing, damaged, unfinished, or of another version.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise RunError(f"{folder}: no such run folder; make one with python -m pyro_rationale.fit --out {folder}")
        config, spec = read_config(folder)
        vocabulary = Vocabulary.load(folder / VOCABULARY)
        tensors, _ = read_tensors(folder / WEIGHTS)
        place = pick_device(device)
        fitted = assemble(config, spec, vocabulary, tensors, place, folder)
        return fitted.eval()


def read_config(folder: Path) -> tuple[Config, TargetSpec]:
    """Configuration and target of a run folder.

    Raises:
        RunError: as for `FittedModel.load`.
    """
    path = folder / CONFIG
    facts = read_json(path)
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        found = facts.get("format") if isinstance(facts, dict) else None
        raise RunError(f"{path}: run folder of format {found}, this version reads {FORMAT}; fit again with this one")
    try:
        target = facts["target"]
        TASKS.check(target["kind"])
        spec = TargetSpec(
            target["kind"], tuple(target["names"]), tuple((a, b) for a, b in target["ranges"]), tuple(target["classes"])
        )
        return Config.from_dict(facts["config"]), spec
    except (ConfigError, KeyError, TypeError, ValueError) as problem:
        raise RunError(f"{path}: not a configuration of this version ({problem}); fit again") from None


def assemble(
    config: Config,
    spec: TargetSpec,
    vocabulary: Vocabulary,
    tensors: dict[str, torch.Tensor],
    device: torch.device,
    folder: Path,
) -> FittedModel:
    """Build the networks at the sizes of the stored weights and fill them in."""
    try:
        stored = (value.shape for name, value in tensors.items() if name.endswith(".embedding.weight"))
        shape = next(stored, torch.Size([len(vocabulary), config.model.embedding]))
        if len(shape) != 2 or shape[0] != len(vocabulary):
            raise RuntimeError(f"{len(vocabulary)} words in {VOCABULARY}, word vectors of shape {tuple(shape)}")
        vectors = torch.zeros(shape)
        model = build_model(config, spec, len(vocabulary), vectors)
        guide = build_guide(config, len(vocabulary), vectors, 0.0, spec)
        model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
        guide.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("guide.")})
    except (RuntimeError, KeyError) as problem:
        reason = " ".join(str(problem).split())[:200]
        raise RunError(f"{folder / WEIGHTS}: weights do not fit the configuration ({reason}); fit again") from None
    return FittedModel(config, spec, vocabulary, model.to(device), guide.to(device), device, folder.name)

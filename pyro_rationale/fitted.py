"""A run folder, and the fitted model that it holds.

    config.json          configuration, target, versions
    vocabulary.json      the words
    epochs.jsonl         one line per epoch
    checkpoint.safetensors  where training stands (weights, optimiser, random states, control)
    model.safetensors    weights of the chosen epoch
    metrics.json         the test table; its presence says that the run is finished
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pyro_rationale import __version__
from pyro_rationale.build import build_guide, build_model, open_if_needed
from pyro_rationale.config import Config
from pyro_rationale.data.document import Document, make_document
from pyro_rationale.data.tokenizers import TOKENIZERS, Tokenizer
from pyro_rationale.data.vocabulary import Vocabulary
from pyro_rationale.errors import ConfigError, RunError
from pyro_rationale.guides import RationaleGuide
from pyro_rationale.models import RationaleModel
from pyro_rationale.storage import read_json, read_tensors, write_json, write_tensors
from pyro_rationale.tasks import TASKS, TargetSpec, Task, task_of

if TYPE_CHECKING:
    from pyro_rationale.prediction.explanation import Explanations
    from pyro_rationale.prediction.predictor import Prediction

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

    @contextmanager
    def seeded(self, seed: int) -> Iterator[None]:
        """Random numbers from `seed` inside; torch's generators are as before outside."""
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield

    def documents(self, texts: str | Iterable[str | Document]) -> list[Document]:
        """Texts as the model reads them: cut into words, as many as in training. Documents stay as they are."""
        texts = [texts] if isinstance(texts, str) else texts
        size, tokenizer = self.config.data.max_words, self.tokenizer
        return [
            make_document(f"text {i}", text, max_words=size, tokenizer=tokenizer) if isinstance(text, str) else text
            for i, text in enumerate(texts, 1)
        ]

    def predict(
        self, texts: str | Iterable[str | Document], batch_size: int = 1, threads: int = 0, **options: Any
    ) -> list[Prediction]:
        """Rationales and predictions of texts, with everything that the posterior says about them.

        Args:
            texts: strings or documents.
            batch_size: texts of like lengths to process together; 1 gives each the numbers that it gets alone, to the
                last bit.
            threads: that work ahead; 0 for none.
            options: fields of :class:`~pyro_rationale.prediction.predictor.PredictOptions`: `samples`, `decode` ...
        """
        from pyro_rationale.prediction.predictor import PredictOptions, predict

        return list(predict(self, self.documents(texts), PredictOptions(**options), batch_size, threads))

    def explain(self, texts: str | Iterable[str | Document], **options: Any) -> Explanations:
        """Predictions with their most probable rationales; a notebook shows them as marked texts.

        Args:
            texts: strings or documents.
            options: `samples`, `alternatives`, `level` and `seed` of
                :class:`~pyro_rationale.prediction.predictor.PredictOptions`.
        """
        from pyro_rationale.prediction.explanation import explain
        from pyro_rationale.prediction.predictor import PredictOptions

        return explain(self, self.documents(texts), PredictOptions(**options))

    def evaluate(self, documents: Sequence[Document], **options: Any) -> dict[str, Any]:
        """Metrics on labelled documents by name.

        Args:
            documents: with targets, and gold rationales if there are any.
            options: arguments of :func:`~pyro_rationale.evaluation.evaluate.evaluate_documents`: `decode`, `lexicon`...
        """
        from pyro_rationale.evaluation.evaluate import evaluate_documents

        return evaluate_documents(self, documents, **options)

    def save(self, folder: Path | str) -> None:
        """Write the weights and the final prior; configuration and vocabulary as well, unless the folder has them."""
        folder = Path(folder)
        if not (folder / CONFIG).exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_config(folder, self.config, self.spec, self.vocabulary)
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


def write_config(folder: Path, config: Config, spec: TargetSpec, vocabulary: Vocabulary) -> None:
    """Write configuration and vocabulary; the configuration, which resuming needs, comes first."""
    facts = {"format": FORMAT, "version": __version__, "torch": torch.__version__.split("+")[0]}
    write_json(folder / CONFIG, facts | {"config": config.to_dict(), "target": asdict(spec)})
    vocabulary.save(folder / VOCABULARY)


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
        vocabulary = open_if_needed(config, vocabulary)
        model = build_model(config, spec, len(vocabulary), vectors, vocabulary=vocabulary)
        guide = build_guide(config, len(vocabulary), vectors, 0.0, spec, vocabulary)
        model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
        guide.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("guide.")})
    except (RuntimeError, KeyError) as problem:
        reason = " ".join(str(problem).split())[:200]
        raise RunError(f"{folder / WEIGHTS}: weights do not fit the configuration ({reason}); fit again") from None
    return FittedModel(config, spec, vocabulary, model.to(device), guide.to(device), device, folder.name)

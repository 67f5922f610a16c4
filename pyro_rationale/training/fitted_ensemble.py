"""Several fitted models of one target as one: a deep ensemble, and its run folder."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyro_rationale.config import Config
from pyro_rationale.data.open_vocabulary import OpenVocabulary
from pyro_rationale.errors import RunError
from pyro_rationale.fitted import FittedModel
from pyro_rationale.guides import MixtureGuide
from pyro_rationale.models import EnsembleModel
from pyro_rationale.run_files import MEMBERS, WEIGHTS, read_calibration, write_calibration


@dataclass
class Ensemble(FittedModel):
    """Several models of one target, fitted from different seeds, as one model whose predictions they make together.

    Masks are from each member's guide equally often, and each is read by the member that it is from: P(kept) and
    predictions averaged over masks are means over the members. Masks that are from no guide are read by all.
    """

    members: tuple[FittedModel, ...] = ()

    @classmethod
    def of(cls, members: Sequence[FittedModel], name: str) -> Ensemble:
        """The ensemble of some fitted models.

        Args:
            members: at least one; the first one's configuration stands for all.
            name: of the run.

        Raises:
            RunError: they predict something else, or know other words.
        """
        first = members[0]
        if any((member.spec, member.vocabulary) != (first.spec, first.vocabulary) for member in members):
            raise RunError(f"{name}: its members predict something else, or know other words; fit again")
        if isinstance(first.vocabulary, OpenVocabulary):  # words have one number for all members
            fresh = [copy.deepcopy(m) if getattr(m.vocabulary, "has_grown", False) else m for m in members]
            for member in fresh[1:]:
                member.vocabulary.join(fresh[0].vocabulary)  # type: ignore[attr-defined]
            members, vocabulary = fresh, fresh[0].vocabulary
        else:
            vocabulary = first.vocabulary
        model = EnsembleModel([member.model for member in members])
        guide = MixtureGuide([member.guide for member in members])
        config = first.config.changed(members=len(members))
        made = cls(config, first.spec, vocabulary, model, guide, first.device, name, first.rows, first.text_keys)
        made.members = tuple(members)
        return made

    def save(self, folder: Path | str) -> None:
        """Write configuration and vocabulary, and a run folder for each member.

        Raises:
            RunError: the folder holds another run.
        """
        folder = self._opened(Path(folder))
        for number, member in enumerate(self.members):
            member.save(folder / MEMBERS / str(number))
        write_calibration(folder, self.calibration)

    def __getstate__(self) -> dict[str, Any]:
        return {"name": self.name, "members": list(self.members), "calibration": self.calibration}

    def __setstate__(self, state: dict[str, Any]) -> None:
        made = Ensemble.of(state["members"], state["name"])
        made.calibration = state["calibration"]
        self.__dict__.update(vars(made.eval()))


def load_ensemble(folder: Path, config: Config, device: str) -> Ensemble:
    """Read the run folder of an ensemble.

    Raises:
        RunError: a member is missing, damaged or unfinished.
    """
    folders = [folder / MEMBERS / str(number) for number in range(config.train.members)]
    for number, member in enumerate(folders):
        if not (member / WEIGHTS).exists():
            told = f"member {number} of {len(folders)} is not fitted yet; go on with --out {folder} --resume"
            raise RunError(f"{member}: {told}")
    ensemble = Ensemble.of([FittedModel.load(member, device) for member in folders], folder.name)
    ensemble.calibration = read_calibration(folder, ensemble.spec)
    ensemble.eval()
    return ensemble

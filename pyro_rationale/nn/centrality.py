"""How central each word is to its text: numbers that mean one thing on every subject."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyro_rationale.nn.features import TransformerFeatures

NEAR = 5  # words of a window
BEGINNING = 8.0  # words after which a place counts 1/e of the first
MEASURES = 7


class Centrality(nn.Module):
    """`MEASURES` numbers of each word that say how its state stands to the mean state of its text.

    They are the cosine of the word's state, and of the states around it, with the mean state of the text, both also in
    standard deviations within the text; the size of its state; its place, as one that fades and as a share of the text.

    Args:
        features: of a pretrained transformer.
    """

    embedding_dim = MEASURES

    def __init__(self, features: TransformerFeatures) -> None:
        super().__init__()
        self.features = features

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens `(B, T)`, 0 on padding -> `(B, T, MEASURES)`, 0 on padding."""
        return _measured(self.features(tokens), tokens > 0)

    def words(self, tokens: Tensor, places: Tensor) -> Tensor:
        """Measures of words without padding, `(W, MEASURES)`.

        Args:
            tokens: `(B, T)`, 0 on padding.
            places: of all words in the flat grid, `(W,)`: measures of a text are over the words that are there.
        """
        states = self.features.words(tokens, places)
        grid = states.new_zeros(tokens.numel(), states.shape[-1]).index_copy(0, places, states)
        return _measured(grid.view(*tokens.shape, -1), tokens > 0).flatten(0, 1)[places]


def _measured(states: Tensor, mask: Tensor) -> Tensor:
    present = mask.to(states.dtype)
    lengths = present.sum(-1, keepdim=True).clamp_min(1.0)
    mean = (states.sum(1) / lengths)[:, None]
    near = F.avg_pool1d(states.transpose(1, 2), NEAR, 1, NEAR // 2).transpose(1, 2)  # a cosine knows no scale
    own, around = (F.cosine_similarity(each, mean, dim=-1) for each in (states, near))
    place = torch.arange(states.shape[1], device=states.device, dtype=states.dtype).expand_as(own)
    measures = [
        own, _standard(own, present, lengths), around, _standard(around, present, lengths),
        _standard(states.norm(dim=-1), present, lengths), (-place / BEGINNING).exp(), place / lengths,
    ]  # fmt: skip
    return torch.stack(measures, -1) * present[..., None]


def _standard(values: Tensor, present: Tensor, lengths: Tensor) -> Tensor:
    """Values in standard deviations of those of their text, 0 where all are alike."""
    centred = (values - (values * present).sum(-1, keepdim=True) / lengths) * present
    return centred / ((centred.square().sum(-1, keepdim=True) / lengths).sqrt() + 1e-6)

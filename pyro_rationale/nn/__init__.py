"""Networks that models and guides share: embeddings, BiLSTM, readers, pooling. No Pyro in this room."""

from pyro_rationale.nn.embedding import make_embedding
from pyro_rationale.nn.encoder import Encoder
from pyro_rationale.nn.generator import BiLSTM
from pyro_rationale.nn.pooling import POOLINGS
from pyro_rationale.nn.sequence import READERS

__all__ = ["POOLINGS", "READERS", "BiLSTM", "Encoder", "make_embedding"]

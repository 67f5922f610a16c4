"""Values that are chosen for pairs of similar texts where nothing is given."""

from __future__ import annotations

from typing import Any

# Pairs of similar texts: a query's evidence is shared by several texts, and what two long ones have in common is hardly
# ever in random parts of both.
PAIRS: dict[str, Any] = {"batch_size": 32, "warmup_texts": "full", "start_rate": 0.5}
# Evidence for every word of a text. A word is charged so many nats at most (`RateControl.ceiling`) that with more of
# them, in short texts, nothing is ever dropped.
PAIR_NATS = {"word": 4.0, "least": 40.0, "most": 400.0}
# Random parts of short texts do have it in common; an encoder that reads them whole soon overfits.
SHORT_PAIRS: dict[str, Any] = {"warmup_texts": "masked"}
FEW_PAIRS: dict[str, Any] = {"least_steps": 300, "anneal": 0.4, "warmup": 60}  # of fewer queries than `FEW_QUERIES`
FEW_QUERIES = 400
# Under a pretrained encoder, which knows what texts say: masks are to say it again. It reads slowly, so that a step has
# few texts; the guide begins with extracts, and then no slopes are needed. It learns from few texts, and is asked about
# texts of other subjects.
READ_PAIRS: dict[str, Any] = {
    "own_text": 1.0, "tune_encoder": "none", "generator": "central", "pooling": "mean", "dropout": 0.2, "span": 2.0,
    "learning_rate": 0.001, "batch_size": 8, "negatives": 1, "estimator": "rloo", "samples": 4, "steps": 400,
    "anneal": 60, "warmup": 120, "warmup_texts": "full", "head_start": "extracts",
}  # fmt: skip
MOST_READ = 2000  # steps
# Planted questions, where nothing else is said: a few words in the title and in the body, which say a thing several
# times. A learned prior of longer runs would fill the share up with neighbours of one mention, where another mention
# pays only if words may be missed.
QUESTIONS: dict[str, Any] = {
    "embedding": 50, "rate": 0.1, "span": 1.3, "prior": "fixed", "word_dropout": 0.2, "steps": 1000, "anneal": 300,
    "warmup": 150, "learning_rate": 0.01, "nats": 400.0, "exclude": "none", "dropout": 0.0,
}  # fmt: skip

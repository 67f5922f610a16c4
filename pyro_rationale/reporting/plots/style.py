"""Colours and hatches that all figures share.

Colours are those of Okabe and Ito (2008), which people with any colour vision tell apart; line styles, markers and
hatches say the same once more, for print.
"""

from __future__ import annotations

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
HATCHES = ("", "//", "..", "xx", "\\\\", "--")
POSTERIOR, PRIOR, GOLD = "#0072B2", "#D55E00", "#009E73"

"""Which unlabelled images are worth annotating: one idea a file, STRATEGIES a plain dict.

nnm.py, entropy.py and measures.py look at a network's maps and need torch; the rest needs NumPy alone, so that
`lmdeploy select` ranks with a bundle where no torch is installed.
"""

from __future__ import annotations

from training.selection.choose import STRATEGIES, Choice, Rule, Strategy, check, choose

__all__ = ["STRATEGIES", "Choice", "Rule", "Strategy", "check", "choose"]

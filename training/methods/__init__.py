"""One method, one file that reads like the paper's algorithm; METHODS is a plain dict."""

from __future__ import annotations

from training.methods import naive, stld, supervised
from training.methods.base import Method

METHODS: dict[str, Method] = {
    "naive": Method(naive.Config, naive.train),
    "stld": Method(stld.Config, stld.train),
    "supervised": Method(supervised.Config, supervised.train, unlabelled=False),
}

__all__ = ["METHODS", "Method"]

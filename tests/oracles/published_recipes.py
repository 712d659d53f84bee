"""Writes the recipes of all papers' cells: `python -m tests.oracles.published_recipes [FOLDER ...]`."""

from __future__ import annotations

import sys

from tests.oracles import cnt_recipes, scaf_recipes, sepbn_recipes, smt_recipes, stld_recipes, ts3_recipes
from tests.oracles.recipe_files import Paper

PAPERS: dict[str, Paper] = {
    paper.folder: paper
    for paper in (
        stld_recipes.PAPER,
        ts3_recipes.PAPER,
        scaf_recipes.PAPER,
        smt_recipes.PAPER,
        sepbn_recipes.PAPER,
        cnt_recipes.PAPER,
    )
}

if __name__ == "__main__":
    for folder in sys.argv[1:] or PAPERS:
        PAPERS[folder].write()

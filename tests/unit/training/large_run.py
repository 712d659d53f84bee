"""What test_large_data.py runs in a process of its own: many crops, little memory."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch

from lmdeploy.bundle import ModelSpec
from lmdeploy.geometry import CropRule
from lmdeploy.schema import load_schema
from training.augment import config
from training.data.crops import Crops
from training.engine.batch import Drawer
from training.engine.predictor import predict_crops
from training.engine.sampler import batches
from training.engine.train_set import Part, TrainSet
from training.models import build, heatmap


def anonymous_mb() -> float:
    """Memory of this process that no file backs."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 1024


def sparse(file: Path, count: int, side: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """A .npy file u8[count,side,side,3] of zeros that takes no room on the disk, memory-mapped."""
    np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=(count, side, side, 3))
    return np.load(file, mmap_mode="r")


def peak_mb(folder: Path, count: int, side: int, steps: int) -> float:
    """Largest anonymous memory while an epoch is drawn up and `steps` batches and predictions of it are made."""
    images = sparse(folder / "crops.npy", count, side)
    points = np.random.default_rng(0).uniform(0, side, (count, 68, 2)).astype(np.float32)
    crops = Crops(images, points, np.broadcast_to(np.eye(2, 3), (count, 2, 3)), tuple(map(str, range(count))))
    spec = ModelSpec(
        name="large", landmarks=load_schema("ibug68"), crop=CropRule(size=side * 2 // 3), codec="subpixel",
        method="supervised",
    )  # fmt: skip
    drawer = Drawer(TrainSet([Part(crops, pseudo=True)]), spec, 4, config.Config(), torch.device("cpu"))
    draw, worst = torch.Generator().manual_seed(0), anonymous_mb()
    for rows in batches(drawer.data.lengths, 16, 0, draw)[:steps]:
        drawer.draw(rows, draw)
        worst = max(worst, anonymous_mb())
    small = {"channels": [8, 8, 8, 8], "stem_type": "deep", "stem_width": 8}
    network = build(heatmap.Config(backbone_options=small, channels=8), 68)
    predict_crops(network, spec, crops.rows(count // 2, count // 2 + 10 * steps), torch.device("cpu"))
    return max(worst, anonymous_mb())


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.stdout.write(json.dumps(peak_mb(Path(sys.argv[1]), *map(int, sys.argv[2:]))))

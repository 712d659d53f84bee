"""Labels a network gives to crops: predicted by all processes together, kept with their teacher, and drawn."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from lmdeploy.atomic import write_file
from lmdeploy.bundle import ModelSpec
from lmdeploy.types import F32, U8, Prediction
from training.data.crops import Crops, labels_csv
from training.engine import predictor, processes
from training.models import Network

Predict = Callable[[Network, ModelSpec, Crops, torch.device], Prediction]
"""(network, spec, crops, device) -> points in cache px and their scores."""

SHOWN = 8  # crops of the picture
SIDE = 192  # px of each


def predict_shared(
    predict: Predict, network: Network, spec: ModelSpec, crops: Crops, device: torch.device
) -> tuple[F32, F32]:
    """Points f32[N,K,2] (cache px) and scores f32[N,K] that predict(...) gives all crops.

    Each process takes a run of whole prediction batches, so the answer does not depend on their number.
    """
    share = processes.share()
    batch = predictor.BATCH
    blocks = -(-len(crops) // batch)
    first, last = (min(blocks * r // share.world * batch, len(crops)) for r in (share.rank, share.rank + 1))
    points, score = crops.points[:0], np.zeros((0, crops.points.shape[1]), np.float32)
    if first < last:
        mine = predict(network, spec, crops if share.world == 1 else crops.rows(first, last), device)
        points, score = mine.points, mine.score
    return processes.gather(points), processes.gather(score)


def keep(folder: Path, labelled: Crops, network: Network, seed: int) -> None:
    """Write landmarks.csv (image px, with scores), about.json and preview.jpg of one round's pseudo-labels."""
    labels = labels_csv(labelled.names, labelled.points_frame(labelled.points), labelled.score).encode()
    teacher = hashlib.sha256()
    for value in network.state_dict().values():
        teacher.update(value.cpu().numpy().tobytes())
    about = {
        "images": len(labelled),
        "labels_sha256": hashlib.sha256(labels).hexdigest(),
        "round": folder.name,
        "seed": seed,
        "teacher_sha256": teacher.hexdigest(),
    }
    write_file(folder / "landmarks.csv", labels)
    write_file(folder / "about.json", (json.dumps(about, indent=1) + "\n").encode())


def picture(crops: Crops) -> U8:
    """A sheet u8[H,W,3] RGB of SHOWN crops spread over the list, with their points."""
    chosen = np.linspace(0, len(crops) - 1, min(SHOWN, len(crops))).astype(int)
    tiles = [_tile(crops.images[i], crops.points[i]) for i in chosen]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 4)
    rows = [np.concatenate(tiles[i : i + 4], axis=1) for i in range(0, len(tiles), 4)]
    return np.concatenate(rows, axis=0)


def _tile(image: U8, points: F32) -> U8:
    """A cached crop u8[M,M,3] at SIDE px with its points (cache px) as green dots."""
    tile = cv2.resize(np.ascontiguousarray(image), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    scale = SIDE / len(image)
    for x, y in (points + 0.5) * scale - 0.5:
        if np.isfinite(x) and np.isfinite(y):
            centre = (int(np.clip(x, -SIDE, 2 * SIDE) * 16), int(np.clip(y, -SIDE, 2 * SIDE) * 16))
            cv2.circle(tile, centre, 24, (0, 230, 90), -1, cv2.LINE_AA, 4)
    return np.asarray(tile, np.uint8)


def jpeg(image: U8) -> bytes:
    """A JPEG file of u8[H,W,3] RGB."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert done
    return data.tobytes()

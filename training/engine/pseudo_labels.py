"""Labels a network gives to crops: predicted by all processes together, kept with their teacher, and drawn."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import nn

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


class Quality(NamedTuple):
    """Who judges labels: the network `judge`, `kind` of judgement, and of(labelled crops) -> f32[N], higher better."""

    judge: nn.Module
    kind: str
    of: Callable[[Crops], F32]


def predict_shared(
    predict: Predict, network: Network, spec: ModelSpec, crops: Crops, device: torch.device
) -> tuple[F32, F32]:
    """Points f32[N,K,2] (cache px) and scores f32[N,K] that predict(...) gives all crops.

    Each process takes a run of whole prediction batches, so the answer does not depend on their number.
    """
    share = processes.share()
    first, last = own_run(len(crops))
    points, score = crops.points[:0], np.zeros((0, crops.points.shape[1]), np.float32)
    if first < last:
        mine = predict(network, spec, crops if share.world == 1 else crops.rows(first, last), device)
        points, score = mine.points, mine.score
    return processes.gather(points), processes.gather(score)


def judged(quality: Quality, labelled: Crops) -> Crops:
    """The crops with the quality of their labels; every process judges a run of them."""
    first, last = own_run(len(labelled))
    found = quality.of(labelled.rows(first, last)) if first < last else np.zeros(0, np.float32)
    return replace(labelled, quality=processes.gather(found))


def own_run(count: int) -> tuple[int, int]:
    """First and last + 1 of this process's run of whole prediction batches among `count` crops."""
    share, batch = processes.share(), predictor.BATCH
    blocks = -(-count // batch)
    first, last = (min(blocks * r // share.world * batch, count) for r in (share.rank, share.rank + 1))
    return first, last


def keep(folder: Path, labelled: Crops, network: Network, seed: int, quality: Quality | None = None) -> None:
    """Write landmarks.csv (image px, with scores) and about.json of one round's pseudo-labels.

    quality: who has judged them; writes quality.csv too.
    """
    labels = labels_csv(labelled.names, labelled.points_frame(labelled.points), labelled.score).encode()
    about: dict[str, int | str] = {
        "images": len(labelled),
        "labels_sha256": hashlib.sha256(labels).hexdigest(),
        "round": folder.name,
        "seed": seed,
        "teacher_sha256": _digest(network),
    }
    if quality is not None and labelled.quality is not None:
        about |= {"quality": quality.kind, "judge_sha256": _digest(quality.judge)}
        lines = [f"{name},{value:.6g}" for name, value in zip(labelled.names, labelled.quality, strict=True)]
        write_file(folder / "quality.csv", "\n".join(["image,quality", *lines, ""]).encode())
    write_file(folder / "landmarks.csv", labels)
    write_file(folder / "about.json", (json.dumps(about, indent=1) + "\n").encode())


def keep_chosen(folder: Path, labelled: Crops, rows: tuple[int, ...]) -> None:
    """Write chosen.txt: names of the pseudo-labelled images that are trained on."""
    write_file(folder / "chosen.txt", "".join(f"{labelled.names[row]}\n" for row in rows).encode())


def _digest(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for value in network.state_dict().values():
        digest.update(value.cpu().numpy().tobytes())
    return digest.hexdigest()


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

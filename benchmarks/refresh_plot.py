"""The picture of the refresh benchmark: test NME against image-steps, and the same faces before and after."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lmdeploy.dataset import read_labelled
from lmdeploy.geometry import CropRule, crop_image, crop_matrix, invert, landmark_box, transform
from lmdeploy.images import read_image
from lmdeploy.model import open_model
from lmdeploy.types import F32, U8


@dataclass(frozen=True, slots=True)
class Line:
    """One method: image-steps seen in all and test NME in per cent, round by round."""

    name: str
    steps: list[int]
    nme: list[float]


def curves(lines: list[Line], file: Path) -> None:
    """Write the curves as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for line in lines:
        axes.plot(np.array(line.steps) / 1000, line.nme, marker="o", label=f"{line.name}: {line.nme[-1]:.2f} %")
    axes.set_xlabel("image-steps, thousands (champion included)")
    axes.set_ylabel("test NME, % of inter-ocular (image frame)")
    axes.grid(alpha=0.3)
    axes.legend()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)


def faces(models: dict[str, Path], folder: Path, file: Path, count: int = 6) -> None:
    """Write a sheet: a row per model, the same test faces, true points green and predicted ones red."""
    import cv2

    rows = []
    for model in models.values():
        opened = open_model(model, device="cpu")
        samples = read_labelled(folder, opened.spec.landmarks)
        row = []
        for sample in samples[:: max(len(samples) // count, 1)][:count]:
            assert sample.points is not None
            box, image = landmark_box(sample.points), read_image(sample.path)
            matrix = crop_matrix(box, opened.spec.crop)
            crop = crop_image(image, matrix, opened.spec.crop.size)
            found = transform(invert(matrix), opened.backend.run(crop[None]).points[0])
            wide = crop_matrix(box, CropRule(size=224, scale=1.3))
            row.append(_drawn(crop_image(image, wide, 224), transform(wide, sample.points), transform(wide, found)))
        rows.append(np.hstack(row))
    file.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(file), np.vstack(rows)[..., ::-1]):
        raise OSError(f"{file} cannot be written")


def _drawn(image: U8, true: F32, found: F32) -> U8:
    import cv2

    for points, tint in ((true, (0, 220, 0)), (found, (255, 40, 40))):
        for x, y in points:
            cv2.circle(image, (round(float(x) * 16), round(float(y) * 16)), 24, tint, -1, cv2.LINE_AA, 4)
    return image

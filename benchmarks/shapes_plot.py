"""The picture of the Shapes benchmark: images with the two landmarks that were learnt from class labels."""

from __future__ import annotations

from pathlib import Path

from lmdeploy.types import F32, U8

ROWS, COLUMNS = 3, 8


def sheet(images: U8, points: F32, file: Path) -> None:
    """Write the first images u8[N,60,60] with the landmarks f32[N,2,2] (px) matched to square and triangle."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(COLUMNS * 1.2, ROWS * 1.25), layout="constrained")
    for i, axes in enumerate(figure.subplots(ROWS, COLUMNS).flat):
        axes.axis("off")
        if i < len(images):
            axes.imshow(images[i], cmap="gray")
            axes.plot(*points[i, 0], "x", color="#3182ce", markersize=8, markeredgewidth=2, label="square's")
            axes.plot(*points[i, 1], "x", color="#e53e3e", markersize=8, markeredgewidth=2, label="triangle's")
    figure.suptitle("blue: the landmark matched to the squares, red: to the triangles", fontsize=9)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)

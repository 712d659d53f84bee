"""CelebA in its official layout: Anno/list_bbox_celeba.txt and Img/img_celeba, twelve images."""

from __future__ import annotations

from pathlib import Path

from tests.odd_images import smooth_picture, write_jpeg

NAMES = [f"{n:06d}.jpg" for n in range(1, 13)]
NO_BOX = "000012.jpg"


def edges(number: int) -> tuple[int, int, int, int]:
    """x y width height of the image at an index, as in the file."""
    return (0, 0, 0, 0) if NAMES[number] == NO_BOX else (10 + number, 8, 40, 50)


def write_celeba(root: Path, rows: list[str] | None = None) -> Path:
    """rows: the list's lines instead of the right ones; the stated count stays that of the right ones."""
    for number, name in enumerate(NAMES):
        write_jpeg(root / "Img" / "img_celeba" / name, smooth_picture(90, 80, seed=number))
    right = [f"{name} {' '.join(f'{edge:4d}' for edge in edges(n))}" for n, name in enumerate(NAMES)]
    (root / "Anno").mkdir(exist_ok=True)
    text = "\n".join([str(len(NAMES)), "image_id x_1 y_1 width height", *(right if rows is None else rows)])
    (root / "Anno" / "list_bbox_celeba.txt").write_text(text + "\n", encoding="utf-8")
    return root

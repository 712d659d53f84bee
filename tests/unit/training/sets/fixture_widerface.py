"""WIDER FACE with RetinaFace's label.txt and with its official list, a few faces in two images."""

from __future__ import annotations

from pathlib import Path

from tests.odd_images import smooth_picture, write_jpeg

IMAGES = ["0--Parade/0_Parade_marchingband_1_849.jpg", "0--Parade/0_Parade_Parade_0_904.jpg"]
SEEN = "40.5 50.25 0.0 80.0 52.0 0.0 60.0 70.0 1.0 45.0 90.0 0.0 78.0 91.0 0.0"
NONE = " ".join(["-1.0"] * 15)
# Three points are annotated, one of them hidden
SOME = "-1.0 -1.0 -1.0 80.0 52.0 0.0 60.0 70.0 1.0 -1.0 -1.0 -1.0 78.0 91.0 0.0"
LABELS = [
    f"# {IMAGES[0]}",
    f"30 20 90 100 {SEEN} 0.82",  # line 2: large
    f"30 20 80 100 {SEEN} 0.80",  # line 3: 80 px wide, which is not more than 80
    f"30 20 100 81 {NONE} 0.20",  # line 4: large, without points
    f"# {IMAGES[1]}",
    f"5 6 81 81 {SOME} 0.50",  # line 6: large, some points
    f"5 6 7 8 {SEEN} 0.10",  # line 7: small
]
BOXES = [
    IMAGES[0],
    "2",
    "30 20 90 100 0 0 0 0 0 0 ",
    "30 20 80 100 0 0 0 0 0 0 ",
    IMAGES[1],
    "0",
    "0 0 0 0 0 0 0 0 0 0 ",  # an image without a face has a line of zeros
    IMAGES[1],
    "1",
    "5 6 81 82 1 0 0 0 2 0 ",
]


def write_widerface(root: Path) -> Path:
    for number, name in enumerate(IMAGES):
        write_jpeg(root / "WIDER_train" / "images" / name, smooth_picture(150, 160, seed=number))
        write_jpeg(root / "val" / "images" / name, smooth_picture(150, 160, seed=number))
    write_lines(root / "train" / "label.txt", LABELS)
    for split in ("train", "val"):
        write_lines(root / "wider_face_split" / f"wider_face_{split}_bbx_gt.txt", BOXES)
    return root


def write_lines(path: Path, lines: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path

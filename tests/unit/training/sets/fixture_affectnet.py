"""AffectNet in its official layout: lists with the official columns, images in numbered folders."""

from __future__ import annotations

from pathlib import Path

from tests.odd_images import smooth_picture, write_jpeg

BOX = ["face_x", "face_y", "face_width", "face_height"]
HEADER = ["subDirectory_filePath", *BOX, "facial_landmarks", "expression", "valence", "arousal"]
MARKS = ";".join(f"{20 + n % 30}.5;{30 + n % 20}.25" for n in range(68))


def row(name: str, expression: object = 1, box: str = "10,20,40,50", marks: str = MARKS) -> str:
    return f"{name},{box},{marks},{expression},0.1,-0.2"


# Expressions 8 to 10 are no faces with an expression; the last face has no width
TRAIN = [
    *(row(f"{100 + n}/face{n}.jpg", n) for n in range(11)),
    row("100/flat.jpg", 3, "10,20,0,50"),
]
USED = [f"{100 + n}/face{n}.jpg" for n in range(8)]


def write_list(path: Path, rows: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([",".join(HEADER), *rows]) + "\n", encoding="utf-8")
    return path


def write_affectnet(root: Path) -> Path:
    for number, name in enumerate(USED):
        write_jpeg(root / "Manually_Annotated_Images" / name, smooth_picture(100, 90, seed=number))
    write_list(root / "Manually_Annotated_file_lists" / "training.csv", TRAIN)
    write_list(root / "Manually_Annotated_file_lists" / "validation.csv", [row(USED[2], 0), row(USED[5], 7)])
    write_jpeg(
        root / "Automatically_Annotated" / "Automatically_Annotated_Images" / "7/a.jpg", smooth_picture(100, 90)
    )
    write_list(root / "automatically_annotated.csv", [row("7/a.jpg", 6)])
    return root

"""`lmdeploy select` as a user calls it; called in this process where a second Python would only cost time."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lmdeploy.cli import main
from lmdeploy.images import read_image
from tests.data_folder import write_csv
from tests.odd_images import write_jpeg
from tests.tiny_bundle import blob_image, make_tiny_bundle

COUNT = 10
NAMES = [f"im{i}.png" for i in range(COUNT)]
POINTS = np.array([[20.0, 20], [44, 22], [30, 44]])


def strength(i: int) -> float:
    """Of the i-th image's blobs: the fifth has the weakest, the fourth the strongest."""
    return 0.3 + 0.07 * ((i + 5) % COUNT)


WEAKEST = [NAMES[i] for i in sorted(range(COUNT), key=strength)]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The command's exit code, standard output and standard error."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lmdeploy", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        out = capsys.readouterr()
        return int(caught.value.code or 0), out.out, out.err

    return run


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import cv2

    folder = tmp_path_factory.mktemp("select")
    make_tiny_bundle(folder / "tiny", scale=1.0)
    make_tiny_bundle(folder / "coordinates", scale=1.0, nnm=False)
    (folder / "pool").mkdir()
    flat = np.full((64, 64, 3), 60.0)
    for i, name in enumerate(NAMES):
        image = flat + strength(i) * (blob_image(64, 64, POINTS) - flat)
        cv2.imwrite(str(folder / "pool" / name), image.round().astype(np.uint8)[..., ::-1])
    return folder


def words_of(root: Path, out: Path, *more: object, model: str = "tiny") -> list[object]:
    return ["select", root / "pool", "--model", root / model, "--boxes", "whole_image", "--out", out, *more]


def test_the_weakest_maps_come_first_and_every_file_says_so(call, root: Path, tmp_path: Path) -> None:
    code, out, err = call(*words_of(root, tmp_path, "--count", 3, "--discard", 0))
    assert code == 0, err
    assert out.splitlines() == WEAKEST[:3]
    assert (tmp_path / "selected.txt").read_text() == out
    rows = list(csv.DictReader((tmp_path / "scores.csv").read_text().splitlines()))
    assert [row["image"] for row in rows] == WEAKEST
    assert [row["state"] for row in rows] == ["chosen"] * 3 + [""] * 7
    assert [float(row["value"]) for row in rows] == sorted((float(row["value"]) for row in rows), reverse=True)
    assert read_image(tmp_path / "sheet.jpg").shape == (240, 3 * 228 - 4, 3)
    assert "3 of 10 images chosen by nnm" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scores.csv", "selected.txt", "sheet.jpg"]


def test_the_hardest_tenth_is_left_out_unless_told_otherwise(call, root: Path, tmp_path: Path) -> None:
    code, out, err = call(*words_of(root, tmp_path, "--count", 3))
    assert (code, out.splitlines()) == (0, WEAKEST[1:4])
    assert "the 1 hardest left out as outliers" in err
    first = (tmp_path / "scores.csv").read_text().splitlines()[1]
    assert first.startswith(f"{WEAKEST[0]},1,dropped,")


@pytest.mark.parametrize("kind", ["list", "folder", "images"])
def test_images_with_labels_are_left_aside(kind: str, call, root: Path, tmp_path: Path) -> None:
    known = WEAKEST[:2]
    if kind == "list":
        labelled = tmp_path / "known.txt"
        labelled.write_text("\n".join(known))
    else:
        labelled = tmp_path / "known"
        for name in known:
            write_jpeg(labelled / name, np.zeros((20, 20, 3), np.uint8))
        if kind == "folder":
            write_csv(labelled / "landmarks.csv", ["image", "x0", "y0"], [[name, 1, 1] for name in known])
    out = tmp_path / "out"
    code, found, err = call(*words_of(root, out, "--count", 2, "--discard", 0, "--labelled", labelled))
    assert code == 0, err
    assert found.splitlines() == WEAKEST[2:4]
    assert "10 images, 2 with labels left aside" in err
    both = out / "labelled.txt"
    assert (both.read_text().splitlines() if both.exists() else None) == (WEAKEST[:4] if kind == "list" else None)


def test_random_is_drawn_from_the_seed(call, root: Path, tmp_path: Path) -> None:
    found = [
        call(*words_of(root, tmp_path, "--strategy", "random", "--seed", seed, "--count", 99)) for seed in (1, 1, 2)
    ]
    assert found[0] == found[1]
    assert found[0][1] != found[2][1]
    assert sorted(found[0][1].split()) == NAMES
    assert "fewer than the 99 asked for" in found[0][2]


def test_a_broken_image_is_named_and_the_rest_is_done(call, root: Path, tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    pool.mkdir()
    for name in NAMES:
        (pool / name).write_bytes((root / "pool" / name).read_bytes())
    (pool / "broken.jpg").write_bytes(b"no image")
    words = words_of(root, tmp_path / "out", "--count", 2, "--discard", 0)
    words[1] = pool
    code, out, err = call(*words)
    assert (code, out.splitlines()) == (2, WEAKEST[:2])
    assert "1 images cannot be read; the rest is done" in err
    assert "broken.jpg" in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--model", "{root}/coordinates"), "draws no heatmaps"),
        (("--strategy", "entropy"), "needs the network's weights"),
        (("--strategy", "k-center"), "needs the network's weights"),
        (("--strategy", "random", "--discard", "0.1"), "random does not rank by hardness"),
        (("--boxes", "haar"), "no face is found in any of 10 images"),
        (("--boxes", "file"), "boxes.csv has no row of them in any of 10 images"),
        (("--boxes", "yunet"), "needs its model file"),
        (("--labelled", "{root}/pool"), "all 10 images have labels already"),
        (("--model", "none"), "no such bundle folder"),
        (("--out", "{root}/pool"), "is the folder of the images itself"),
        (("--count", "0"), "0 is not in the range"),
    ],
)
def test_mistakes_end_with_one_sentence(words, sentence: str, call, root: Path, tmp_path: Path) -> None:
    more = [word.format(root=root) for word in words]
    code, out, err = call(*words_of(root, tmp_path / "out"), *more)
    assert (code, out) == (2, "")
    assert sentence in err
    assert not (tmp_path / "out").exists()
    assert sorted(path.name for path in (root / "pool").iterdir()) == NAMES


def test_an_empty_folder_is_said_to_be_empty(call, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, out, err = call("select", tmp_path / "empty", "--out", tmp_path / "out")
    assert (code, out) == (2, "")
    assert "no image; give a folder of images" in err


def test_a_bundle_is_ranked_where_no_torch_is_installed(root: Path, tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['torch'] = None; from lmdeploy.cli import main; "
        f"sys.argv = {['lmdeploy', *map(str, words_of(root, tmp_path, '--count', 1, '--discard', 0))]!r}; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == WEAKEST[:1]

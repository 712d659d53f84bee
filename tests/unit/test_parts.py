"""Several schemas in one network: how they are joined, written into a bundle and asked for by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import lmdeploy.bundle as bundle_file
from lmdeploy import BundleError, InputError, Landmarker
from lmdeploy.bundle import ModelSpec, read_bundle, write_bundle
from lmdeploy.cli import cli
from lmdeploy.geometry import BoxMap, CropRule
from lmdeploy.model import open_model
from lmdeploy.parts import join, named, place, problem
from lmdeploy.schema import load_schema
from tests.tiny_bundle import blob_image, make_tiny_bundle, mixing, tiny_onnx

LABELS = ("wflw98", "ibug68@b", "face5", "ibug68@a")
ORDER = ("face5", "ibug68@a", "ibug68@b", "wflw98")
FIRST = (0, 5, 73, 141)
BLOBS = np.array([[60.0, 50.0], [100.0, 52.0], [80.0, 90.0]])


def spec_of(labels: tuple[str, ...]) -> ModelSpec:
    maps = {label: {"whole_image": BoxMap(sw=0.3 + 0.1 * i, sh=0.5)} for i, label in enumerate(sorted(labels))}
    bare = place({label: named(label)[1] for label in labels})
    parts = tuple(part.model_copy(update={"detectors": maps[part.label]}) for part in bare)
    return ModelSpec(
        name="many", landmarks=join(parts), parts=parts, crop=CropRule(scale=2.0, size=64), codec="subpixel",
        method="fixture", detectors=parts[0].detectors,
    )  # fmt: skip


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = spec_of(LABELS)
    network = tiny_onnx(64, mixing(spec.landmarks.points))
    return write_bundle(tmp_path_factory.mktemp("many") / "b", spec, {"model.onnx": network}).path


def test_parts_stand_in_the_order_of_their_labels_whatever_the_order_they_come_in() -> None:
    for labels in (LABELS, LABELS[::-1]):
        parts = place({label: named(label)[1] for label in labels})
        assert tuple(part.label for part in parts) == ORDER
        assert tuple(part.first for part in parts) == FIRST
        assert parts[-1].rows == slice(141, 239)


def test_twins_lines_and_names_stay_inside_their_block() -> None:
    parts = place({label: named(label)[1] for label in LABELS})
    joined = join(parts)
    index = np.array(joined.flip_index)
    np.testing.assert_array_equal(index[index], np.arange(239))
    for part in parts:
        own = np.array(part.landmarks.flip_index)
        np.testing.assert_array_equal(index[part.rows] - part.first, own)
        assert joined.names[part.rows] == tuple(f"{part.label}/{name}" for name in part.landmarks.names)
    blocks = np.repeat(np.arange(4), [5, 68, 68, 98])
    assert all(len(set(blocks[list(line)])) == 1 for line in joined.skeleton)
    assert len(joined.skeleton) == sum(len(part.landmarks.skeleton) for part in parts)
    assert joined.mirror
    assert not join(place({"face5": named("face5")[1], "hand37": named("hand37")[1]})).mirror


@pytest.mark.parametrize("label", ["all", "ibug68@", "ibug69", "@a"])
def test_a_label_that_names_no_schema_is_refused(label: str) -> None:
    with pytest.raises(InputError, match="schema"):
        named(label)


def test_each_part_is_its_rows_of_the_whole_with_its_own_names_and_boxes(bundle: Path) -> None:
    crops = np.stack([blob_image(64, 64, BLOBS * 0.4 + shift) for shift in (0, 3)])
    whole = open_model(bundle, schema="all", device="cpu")
    found = whole.backend.run(crops)
    assert found.points.shape == (2, 239, 2)
    assert found.nnm is not None
    for i, (label, first) in enumerate(zip(ORDER, FIRST, strict=True)):
        model = open_model(bundle, schema=label, device="cpu")
        schema = load_schema(label.partition("@")[0])
        assert model.spec.landmarks == schema
        assert model.spec.parts == ()
        assert model.spec.name == f"many:{label}"
        assert model.spec.detectors["whole_image"].sw == pytest.approx(0.3 + 0.1 * i)
        part, rows = model.backend.run(crops), slice(first, first + schema.points)
        for name in ("points", "score", "spread", "nnm"):
            np.testing.assert_array_equal(getattr(part, name), getattr(found, name)[:, rows], strict=True)
        assert model.digest == whole.digest


def test_landmarker_gives_the_points_of_the_schema(bundle: Path) -> None:
    image = blob_image(160, 160, BLOBS)
    with Landmarker.load(bundle, schema="wflw98", detector="whole_image", threads=1) as landmarker:
        (found,) = landmarker.predict(image)
        assert found.points.shape == (98, 2)
        assert landmarker.spec.landmarks.name == "wflw98"


@pytest.mark.parametrize("schema", [None, "cofw29", "ibug68"])
def test_no_schema_or_an_unknown_one_is_an_error_that_lists_those_inside(bundle: Path, schema: str | None) -> None:
    with pytest.raises(InputError, match="face5, ibug68@a, ibug68@b, wflw98"):
        Landmarker.load(bundle, schema=schema)


def test_a_model_of_one_schema_takes_its_own_name_and_no_other(tmp_path: Path) -> None:
    path = make_tiny_bundle(tmp_path / "one", schema="face5").path
    assert open_model(path, schema="face5").spec == open_model(path).spec
    for other in ("ibug68", "all"):
        with pytest.raises(InputError, match="it knows face5"):
            open_model(path, schema=other)


def test_only_a_bundle_of_several_schemas_is_of_version_2(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = json.loads((bundle / "bundle.json").read_text())
    assert several["schema_version"] == 2
    assert [(part["label"], part["first"]) for part in several["spec"]["parts"]] == [*zip(ORDER, FIRST, strict=True)]
    one = make_tiny_bundle(tmp_path / "one").path
    value = json.loads((one / "bundle.json").read_text())
    assert value["schema_version"] == 1
    assert "parts" not in value["spec"]
    monkeypatch.setattr(bundle_file, "SCHEMA_VERSION", 1)  # a runtime from before
    assert read_bundle(one).spec.parts == ()
    with pytest.raises(BundleError, match=r"version 2.*update"):
        read_bundle(bundle)


def test_parts_that_do_not_make_up_the_landmarks_are_refused(bundle: Path, tmp_path: Path) -> None:
    spec = spec_of(LABELS)
    assert problem(spec.parts, spec.landmarks) == ""
    assert problem(spec.parts[1:], spec.landmarks)
    assert problem(spec.parts[:-1], spec.landmarks)
    copy = tmp_path / "copy"
    copy.mkdir()
    value = json.loads((bundle / "bundle.json").read_text())
    value["spec"]["parts"][1]["first"] = 6
    (copy / "bundle.json").write_text(json.dumps(value))
    with pytest.raises(BundleError, match="do not follow one another"):
        read_bundle(copy)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Path:
    """A folder labelled in wflw98 with what the network itself says of the truth's crops."""
    import cv2

    folder = tmp_path_factory.mktemp("faces")
    (folder / "images").mkdir()
    mix, rows = mixing(239)[141:], []
    for i in range(2):
        blobs = BLOBS + 4.0 * i
        cv2.imwrite(str(folder / "images" / f"{i}.png"), blob_image(160, 160, blobs)[..., ::-1])
        rows.append([f"{i}.png", *np.round(mix @ blobs, 3).ravel().tolist()])
    header = ["image", *(f"{axis}{k}" for k in range(98) for axis in "xy")]
    (folder / "landmarks.csv").write_text("\n".join(",".join(map(str, row)) for row in [header, *rows]) + "\n")
    return folder


def test_evaluate_measures_a_part_on_a_folder_of_its_schema(bundle: Path, faces: Path, tmp_path: Path) -> None:
    asked = ["evaluate", str(bundle), "--data", str(faces), "--threads", "1", "--json", str(tmp_path / "r.json")]
    done = CliRunner().invoke(cli, [*asked, "--schema", "wflw98"], catch_exceptions=False)
    assert done.exit_code == 0
    result = json.loads((tmp_path / "r.json").read_text())
    assert (result["landmarks"], result["model"], result["images"]) == ("wflw98", "many:wflw98", 2)
    assert result["nme"] < 3.0  # the points are where the network's own mixture of the true blobs lies
    with pytest.raises(InputError, match="name one of face5"):
        CliRunner().invoke(cli, asked, catch_exceptions=False)


def test_predict_writes_the_points_of_the_schema(bundle: Path, faces: Path, tmp_path: Path) -> None:
    words = ["predict", str(faces / "images"), "--model", str(bundle), "--detector", "whole", "--threads", "1"]
    words += ["--csv", str(tmp_path / "p.csv"), "--schema", "face5"]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    lines = (tmp_path / "p.csv").read_text().splitlines()
    assert len(lines) == 3
    assert lines[0].endswith("x4,y4")

"""A model repository is there whole or not at all, and nobody else's files in it are touched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from export.triton import repository
from export.triton.config import Serving
from export.triton.repository import add_to_repository
from lmdeploy.bundle import Bundle
from lmdeploy.errors import InputError
from tests.tiny_bundle import make_tiny_bundle

ROOT = Path(__file__).resolve().parents[3]
KILLED = """
import os, signal, sys
from pathlib import Path
from export.triton import repository
from export.triton.config import Serving
from export.triton.repository import add_to_repository
from lmdeploy.bundle import read_bundle
bundle, folder, left = read_bundle(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
def sync(path, before=repository.sync_folder):
    global left
    left -= 1
    before(path)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
repository.sync_folder = sync
add_to_repository(bundle, folder, Serving(python=True))
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny", size=32)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Of another crop size, under the same name."""
    return make_tiny_bundle(tmp_path_factory.mktemp("bundles") / "other", size=40)


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A repository with a model of somebody else."""
    folder = tmp_path / "models" / "resnet"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text('name: "resnet"\n')
    (folder / "1" / "model.plan").write_bytes(b"engine")
    (folder.parent / "README.md").write_text("ours\n")
    return folder.parent


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_new_repository_has_what_triton_wants(tiny: Bundle, tmp_path: Path) -> None:
    added = add_to_repository(tiny, tmp_path / "deep" / "models", Serving(python=True))
    assert (added.models, added.kept, added.version) == (("tiny", "tiny_tensorrt", "tiny_python"), (), 1)
    found = snapshot(tmp_path / "deep" / "models")
    assert list(found) == [
        "tiny/1/model.onnx",
        "tiny/README.md",
        "tiny/config.pbtxt",
        "tiny_python/1/model.onnx",
        "tiny_python/1/model.py",
        "tiny_python/config.pbtxt",
        "tiny_tensorrt/config.pbtxt",
    ]
    assert found["tiny/1/model.onnx"] == found["tiny_python/1/model.onnx"] == tiny.file("model.onnx").read_bytes()
    assert found["tiny_python/1/model.py"] == (ROOT / "export" / "triton" / "model.py").read_bytes()
    assert names(tmp_path / "deep") == ["models"]


def test_for_processors_there_is_no_tensorrt_and_python_only_on_request(tiny: Bundle, tmp_path: Path) -> None:
    assert add_to_repository(tiny, tmp_path / "models", Serving(device="cpu")).models == ("tiny",)
    assert names(tmp_path / "models") == ["tiny"]


def test_other_models_stay_as_they_are(tiny: Bundle, theirs: Path) -> None:
    before = snapshot(theirs)
    add_to_repository(tiny, theirs, Serving(), name="face.v2-a")
    assert {name: content for name, content in snapshot(theirs).items() if name in before} == before
    assert names(theirs) == ["README.md", "face.v2-a", "face.v2-a_tensorrt", "resnet"]


def test_a_version_is_added_and_a_config_that_was_edited_stays(tiny: Bundle, tmp_path: Path) -> None:
    models = tmp_path / "models"
    add_to_repository(tiny, models, Serving(python=True))
    (models / "tiny" / "config.pbtxt").write_text("edited")
    before = snapshot(models)
    added = add_to_repository(tiny, models, Serving(version=4, python=True))
    assert (added.kept, added.version) == (("tiny", "tiny_tensorrt", "tiny_python"), 4)
    after = snapshot(models)
    assert {name: after[name] for name in before} == before
    assert sorted(set(after) - set(before)) == [
        "tiny/4/model.onnx",
        "tiny_python/4/model.onnx",
        "tiny_python/4/model.py",
    ]


@pytest.mark.parametrize("version", [None, 1, 2])
def test_an_existing_model_needs_a_free_version(version: int | None, tiny: Bundle, tmp_path: Path) -> None:
    models = tmp_path / "models"
    add_to_repository(tiny, models, Serving())
    add_to_repository(tiny, models, Serving(version=2))
    before = snapshot(models)
    with pytest.raises(InputError, match=r"tiny exists: add a version to it \(--triton-version 3\)"):
        add_to_repository(tiny, models, Serving(version=version))
    assert snapshot(models) == before


def test_a_version_with_other_tensors_is_refused(tiny: Bundle, other: Bundle, theirs: Path) -> None:
    add_to_repository(tiny, theirs, Serving())
    before = snapshot(theirs)
    with pytest.raises(InputError, match="other inputs or outputs than this bundle: give another --name"):
        add_to_repository(other, theirs, Serving(version=2))
    with pytest.raises(InputError, match=r"resnet holds no model\.onnx, so it is another kind of model"):
        add_to_repository(tiny, theirs, Serving(version=2), name="resnet")
    assert snapshot(theirs) == before


@pytest.mark.parametrize("name", ["../out", "a/b", ".hidden", "a b", "-x", 'a"b'])
def test_names_that_are_no_folder_of_a_repository(name: str, tiny: Bundle, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Triton takes no model called"):
        add_to_repository(tiny, tmp_path / "models", Serving(), name=name)
    assert names(tmp_path) == []


def test_a_file_and_a_bundle_are_no_repository(tiny: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file: give the folder"):
        add_to_repository(tiny, tmp_path / "file", Serving())
    with pytest.raises(InputError, match="is a bundle: give the folder"):
        add_to_repository(tiny, tiny.path, Serving())


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", [1, 2, 3])
def test_what_fails_halfway_is_taken_back(
    step: int, error: BaseException, tiny: Bundle, theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, moves = snapshot(theirs), []

    def rename(source: Path, target: Path, really: object = Path.rename) -> None:
        moves.append(target)
        if len(moves) == step:
            raise error
        really(source, target)  # type: ignore[operator]

    monkeypatch.setattr(repository.Path, "rename", rename)
    wanted = InputError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(wanted):
        add_to_repository(tiny, theirs, Serving(python=True))
    assert len(moves) == step
    assert snapshot(theirs) == before
    assert names(theirs) == ["README.md", "resnet"]
    assert names(theirs.parent) == ["models"]


@pytest.mark.parametrize("reason", ["closed", "another disk"])
def test_the_draft_is_inside_where_it_cannot_be_beside(
    reason: str, tiny: Bundle, theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.stat

    def stat(path: Path, **how: Any) -> Any:
        return SimpleNamespace(st_dev=-1) if path == theirs.parent else real(path, **how)

    assert repository._place(theirs) == theirs.parent
    if reason == "closed":
        monkeypatch.setattr(repository.os, "access", lambda path, mode: path != theirs.parent)
    else:
        monkeypatch.setattr(repository.Path, "stat", stat)
    assert repository._place(theirs) == theirs
    add_to_repository(tiny, theirs, Serving())
    assert names(theirs) == ["README.md", "resnet", "tiny", "tiny_tensorrt"]


def test_kill_9_leaves_whole_models_only(tiny: Bundle, theirs: Path) -> None:
    """After the first of three moves."""
    assert killed(tiny, theirs, step=7)
    assert names(theirs) == ["README.md", "resnet", "tiny"]
    assert names(theirs / "tiny") == ["1", "README.md", "config.pbtxt"]
    assert (theirs / "tiny" / "1" / "model.onnx").read_bytes() == tiny.file("model.onnx").read_bytes()


def killed(bundle: Bundle, folder: Path, step: int) -> bool:
    """Whether a process that adds a bundle died of kill -9 at a flush."""
    words = [sys.executable, "-c", KILLED, str(bundle.path), str(folder), str(step)]
    return subprocess.run(words, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False).returncode == -9


@pytest.mark.parametrize("step", [1, 6])
def test_kill_9_leaves_no_repository(step: int, tiny: Bundle, tmp_path: Path) -> None:
    assert killed(tiny, tmp_path / "models", step)
    assert not (tmp_path / "models").exists()
    (draft,) = names(tmp_path)
    assert draft.startswith(".")
    add_to_repository(tiny, tmp_path / "models", Serving())

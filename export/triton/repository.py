"""A bundle as models of a Triton server: NAME (ONNX Runtime), NAME_tensorrt, and on request NAME_python.

    DIR/NAME/{config.pbtxt, README.md, 1/model.onnx}
    DIR/NAME_tensorrt/config.pbtxt           its 1/model.plan is built on the target, README.md says how
    DIR/NAME_python/{config.pbtxt, 1/{model.py, model.onnx}}

A new repository appears whole; into one that exists each model or version is moved whole, and what was moved is taken
out again when a later move fails. No file that stands there is changed.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from export.triton.config import Graph, Serving, config, graph_of
from export.triton.readme import readme
from lmdeploy.bundle import MANIFEST, Bundle, sync_folder, write_synced
from lmdeploy.errors import InputError

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

Files = dict[str, bytes]
Move = tuple[str, Path]  # from below the draft, to


@dataclass(frozen=True, slots=True)
class Added:
    """What a repository got: the models' names, those whose config.pbtxt was there before, and the version."""

    models: tuple[str, ...]
    kept: tuple[str, ...]
    version: int

    def sentence(self) -> str:
        """What was written and what is left to do, for people."""
        text = f"version {self.version} of {', '.join(self.models)}"
        if self.kept:
            text += f"; there already, with a config.pbtxt that stays: {', '.join(self.kept)}"
        engines = [model for model in self.models if model == f"{self.models[0]}_tensorrt"]
        return text + "".join(f"; build {m}'s engine on the target: {self.models[0]}/README.md" for m in engines)


def add_to_repository(bundle: Bundle, repository: Path, serving: Serving, name: str | None = None) -> Added:
    """Make a Triton model repository of a bundle, or add the bundle to one.

    Args:
        bundle: whose model.onnx is served.
        repository: folder to make or to add to.
        serving: how the models run; a model that exists keeps its config.pbtxt and gets a version.
        name: of the model; default the bundle's.

    Raises:
        InputError: no such name is possible, the model exists and no free version was given, the existing model has
            other inputs or outputs, or the folder is none or cannot be written to. Nothing is changed then.
    """
    name = name or bundle.spec.name
    if not SAFE_NAME.fullmatch(name):
        raise InputError(f"Triton takes no model called {name!r}: give a --name of letters, digits and . _ -")
    _check_folder(repository)
    onnx = bundle.file("model.onnx")
    graph = graph_of(onnx)
    models = _models(name, onnx.read_bytes(), graph, serving)
    moves = [move for model, files in models.items() for move in _moves(repository, model, files, serving)]
    existing = [model for model in models if (repository / model).exists()]
    if existing:
        _check_same_graph(repository / name, graph)
    _write(repository, models, moves)
    return Added(tuple(models), tuple(existing), serving.version or 1)


def _models(name: str, onnx: bytes, graph: Graph, serving: Serving) -> dict[str, Files]:
    """Files of each model by their path in the model's folder."""
    version = serving.version or 1
    models: dict[str, Files] = {name: {f"{version}/model.onnx": onnx, "README.md": readme(name, graph, serving)}}
    backends = {name: "onnxruntime"}
    if serving.device != "cpu":
        models[f"{name}_tensorrt"] = {}
        backends[f"{name}_tensorrt"] = "tensorrt"
    if serving.python:
        code = (resources.files("export.triton") / "model.py").read_bytes()
        models[f"{name}_python"] = {f"{version}/model.py": code, f"{version}/model.onnx": onnx}
        backends[f"{name}_python"] = "python"
    for model, backend in backends.items():
        models[model]["config.pbtxt"] = config(model, backend, graph, serving).encode()
    return models


def _moves(repository: Path, model: str, files: Iterable[str], serving: Serving) -> list[Move]:
    """The model's folder if it is new, else its version's folder (none for an engine that is yet to be built)."""
    folder = repository / model
    if not folder.exists():
        return [(model, folder)]
    versions = sorted({path.partition("/")[0] for path in files if "/" in path})
    taken = sorted(int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal())
    if serving.version is None or (versions and serving.version in taken):
        free = max(taken, default=0) + 1
        raise InputError(f"{folder} exists: add a version to it (--triton-version {free}) or give another --name")
    return [(f"{model}/{version}", folder / version) for version in versions]


def _check_folder(repository: Path) -> None:
    if repository.exists() and not repository.is_dir():
        raise InputError(f"{repository} is a file: give the folder of a Triton model repository, or a new one")
    if (repository / MANIFEST).exists():
        raise InputError(f"{repository} is a bundle: give the folder of a Triton model repository, or a new one")


def _check_same_graph(folder: Path, graph: Graph) -> None:
    """Versions of one model share its config.pbtxt, so they must share its tensors."""
    files = sorted(folder.glob("*/model.onnx"))
    if not files:
        raise InputError(f"{folder} holds no model.onnx, so it is another kind of model: give another --name")
    if graph_of(files[-1]) != graph:
        raise InputError(f"{files[-1]} has other inputs or outputs than this bundle: give another --name")


def _write(repository: Path, models: dict[str, Files], moves: list[Move]) -> None:
    """All models into a hidden folder, then to their places."""
    new = not repository.exists()
    draft = _place(repository) / f".{repository.name}.{os.getpid()}.part"
    shutil.rmtree(draft, ignore_errors=True)
    done: list[Path] = []
    try:
        draft.mkdir(parents=True)
        for model, files in models.items():
            for path, content in files.items():
                (draft / model / path).parent.mkdir(parents=True, exist_ok=True)
                write_synced(draft / model / path, content)
        for folder in (draft, *(path for path in draft.rglob("*") if path.is_dir())):
            sync_folder(folder)
        for source, target in [(".", repository)] if new else moves:
            (draft / source).rename(target)
            done.append(target)
            sync_folder(target.parent)
    except BaseException as error:  # an interrupt, too, leaves nothing half-written
        for target in done:
            shutil.rmtree(target, ignore_errors=True)
        if isinstance(error, OSError):
            raise InputError(f"{repository} cannot be written ({error.strerror}); choose another place") from error
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _place(repository: Path) -> Path:
    """Where the draft stands: on the repository's disk, so that a move is one step.

    Beside the repository, for a server takes every folder in it for a model, hidden ones too; inside where there is no
    other way.
    """
    parent = repository.resolve().parent
    if not repository.exists():
        return parent
    same_disk = parent.stat().st_dev == repository.stat().st_dev
    return parent if same_disk and os.access(parent, os.W_OK) else repository

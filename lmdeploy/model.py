"""One network ready to run, from a bundle or from a training checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TypedDict

from lmdeploy.backends.base import Backend, BackendName, Device, Engine, Precision
from lmdeploy.backends.choose import open_engine
from lmdeploy.backends.part import PartBackend
from lmdeploy.backends.trial import try_out
from lmdeploy.bundle import ModelSpec
from lmdeploy.errors import BundleError, DeviceError, InputError, MissingExtraError, is_ours
from lmdeploy.parts import ALL, one_part
from lmdeploy.single_file import read_model

CHECKPOINT = "model.safetensors"


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded network: its description, what runs it, and the sha256 that names its content."""

    spec: ModelSpec
    backend: Backend
    digest: str


class Running(TypedDict, total=False):
    """How a model is to be opened: the keyword arguments of open_model."""

    threads: int | None
    device: Device
    backend: BackendName
    precision: Precision
    schema: str | None


def open_model(
    ref: str | Path,
    *,
    threads: int | None = None,
    device: Device = "auto",
    backend: BackendName = "auto",
    precision: Precision = "auto",
    schema: str | None = None,
) -> Model:
    """Open a model by reference.

    Args:
        ref: a bundle folder, its `model.onnx` alone, the name of a built-in bundle (`face68`), a `.safetensors`
            checkpoint, or a run folder that holds `model.safetensors`.
        threads: threads of the network; default the physical cores, at most four.
        device: auto, cpu or cuda; DeviceError when the network does not really run there.
        backend: what runs a bundle (backends.choose): auto, onnxruntime, openvino, tensorrt, onnxruntime-tensorrt.
            Checkpoints run in PyTorch.
        precision: which of a bundle's files: auto, fp32, fp16 or int8; auto and fp32 for checkpoints.
        schema: which landmarks to give where the network finds those of several schemas; see `choose`.
    Errors: BundleError, DeviceError, or MissingExtraError for a checkpoint where torch is not installed; InputError
    when a network of several schemas is opened without naming one, or with one that it does not know.
    """
    return choose(_open(ref, threads, device, backend, precision), schema)


def choose(model: Model, schema: str | None) -> Model:
    """The model as one of a single schema: its own names, normaliser and box maps, its own points.

    schema: label of a part (the name of its schema, or SCHEMA@NAME), or `all` for all points in the network's order
    with the crop of the first part. A network of one schema needs none, and takes only its own name.
    """
    spec = model.spec
    labels = [part.label for part in spec.parts] or [spec.landmarks.name]
    if schema is None and spec.parts:
        raise InputError(f"{spec.name} finds the points of several schemas: name one of {', '.join(labels)}, or {ALL}")
    if schema not in (*labels, None, *([ALL] if spec.parts else [])):
        raise InputError(f"{spec.name} has no schema {schema!r}: it knows {', '.join(labels)}")
    part = next((part for part in spec.parts if part.label == schema), None)
    if part is None:
        return model
    own = one_part(spec, part).model_copy(update={"name": f"{spec.name}:{schema}"})
    return Model(own, PartBackend(model.backend, part.rows), model.digest)


def _open(ref: str | Path, threads: int | None, device: Device, backend: BackendName, precision: Precision) -> Model:
    path = Path(ref)
    if path.suffix == ".safetensors" and not path.is_file():
        raise BundleError(f"{path}: no such checkpoint; give a .safetensors file that 'lmdeploy train' wrote")
    checkpoint = path if path.suffix == ".safetensors" else path / CHECKPOINT
    if checkpoint.is_file():
        if backend != "auto":
            raise DeviceError(f"{checkpoint} is a checkpoint, which PyTorch runs: export it to run it on {backend}")
        if precision not in ("auto", "fp32"):
            raise DeviceError(
                f"{checkpoint} is a checkpoint, which runs in fp32: 'lmdeploy export {ref} -o BUNDLE --precision "
                f"{precision}' makes a bundle that runs in {precision}"
            )
        return _open_checkpoint(checkpoint, threads, device)
    bundle = read_model(ref)
    engine = open_engine(bundle, backend, device, threads, precision)
    _check_spec(bundle.path, bundle.spec, engine)
    try_out(engine, str(bundle.path))
    return Model(bundle.spec, engine, bundle.digest)


def _check_spec(path: Path, spec: ModelSpec, backend: Engine) -> None:
    """The graph must be the one that bundle.json speaks of."""
    told, found = (spec.crop.size, spec.landmarks.points), (backend.size, backend.points)
    if told != found:
        raise BundleError(
            f"{path}: bundle.json says {told[1]} points on {told[0]} px crops, its network has {found[1]} on "
            f"{found[0]} px; export the model again"
        )


def _open_checkpoint(path: Path, threads: int | None, device: Device) -> Model:
    point = _predictor()
    try:
        load = point.load()
        model = load(path, threads=threads, device=device)
    except ModuleNotFoundError as error:
        if is_ours(error):
            raise
        extras = ",".join(point.extras) or "train"
        raise MissingExtraError(
            f"a checkpoint needs {error.name}: pip install 'landmark-deploy[{extras}]', or export it to a bundle"
        ) from error
    assert isinstance(model, Model), "the predictor entry point returns a lmdeploy.model.Model"
    return model


def _predictor() -> EntryPoint:
    for point in entry_points(group="lmdeploy.predictors"):
        if point.name == "checkpoint":
            return point
    raise MissingExtraError(
        "this installation cannot open checkpoints: pip install 'landmark-deploy[train]', or export it to a bundle"
    )

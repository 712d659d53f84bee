"""A checkpoint becomes a bundle, if every exported file says the same as PyTorch."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from export import calibrated_score, crops
from export.card import card
from export.frame_files import ALL_FILES, generated_scenes, real_scenes, with_whole_frames
from export.held_out import fit_score
from export.parity import Parity, compare, generated_crops
from export.precision import Built, build
from export.reference import reference_crops
from export.surgery import operate
from export.to_onnx import to_onnx
from lmdeploy.backends.base import Backend
from lmdeploy.backends.ort import OrtBackend
from lmdeploy.boxes import Boxed, boxes_for
from lmdeploy.bundle import Bundle, Measured, ModelSpec, write_bundle
from lmdeploy.dataset import read_labelled
from lmdeploy.errors import BundleError, InputError
from lmdeploy.evaluate import measure
from lmdeploy.model import Model
from lmdeploy.outcome import predict_samples
from lmdeploy.types import U8, Prediction
from training.engine import checkpoint
from training.engine.predictor import TorchBackend, network_of

CALIBRATION_CROPS = 96


@dataclass(frozen=True, slots=True)
class Request:
    """What to export and what to hold it against.

    source: what holds the trained weights (file, run or bundle folder). out: folder to make. images: crops, or
    pictures with a boxes.csv, for parity and for int8 ranges; without them generated crops are used. data: a labelled
    folder, for the NME of every precision, and for parity and ranges too. held_out: a labelled folder that training
    has not seen, on which scores are calibrated. precisions: of precision.CHOICES. measured: figures to record. name:
    replaces the recipe's. note: Markdown for the model card. frame: add the files that take whole frames.
    """

    source: Path
    out: Path
    images: Path | None = None
    data: Path | None = None
    held_out: Path | None = None
    precisions: tuple[str, ...] = ("fp32",)
    measured: tuple[Measured, ...] = ()
    name: str | None = None
    note: str = ""
    frame: bool = False


@dataclass(frozen=True, slots=True)
class Exported:
    """The bundle on disk and the parities that let it through, fp32 first, whole frames last."""

    bundle: Bundle
    parities: tuple[Parity, ...]

    @property
    def parity(self) -> Parity:
        """That of model.onnx."""
        return self.parities[0]


def package(request: Request) -> Exported:
    """Export a checkpoint into a new bundle folder; nothing is left there when the export is refused.

    Raises:
        BundleError: there is something at `out`.
        InputError: int8 without real images, or labels asked of a network of several schemas.
        GateRefusedError: a 99th percentile is over its precision's tolerance (exit code 3).
    """
    saved = checkpoint.read(checkpoint.find(request.source))
    spec = saved.about.spec if request.name is None else saved.about.spec.model_copy(update={"name": request.name})
    _check(request, spec)
    network = network_of(saved)
    backend: Backend = TorchBackend(network.eval(), spec.codec, torch.device("cpu"))
    told = spec.model_copy(update={"score_kind": "calibrated"}) if request.held_out else spec
    model = operate(to_onnx(network, told))
    if request.held_out:
        curve = fit_score(backend, spec, request.held_out)
        model, backend = calibrated_score.write(model, curve), calibrated_score.Calibrated(backend, curve)
    sure = reference_crops(network, spec)
    built = _build(model, request, told, backend, sure)
    parities = tuple(one.parity for one in built.values())
    files = {
        **{ALL_FILES[name]: one.model for name, one in built.items()},
        "weights.safetensors": checkpoint.dump(network, saved.about.model_copy(update={"spec": spec})),
        "reference.npz": _reference(backend, sure),
        "card.md": card(told, request.measured, parities, request.note).encode(),
    }
    numbers = {parity.precision: parity.numbers() for parity in parities}
    return Exported(write_bundle(request.out, told, files, measured=request.measured, parity=numbers), parities)


def _check(request: Request, spec: ModelSpec) -> None:
    """Refuse what cannot end well before anything is computed."""
    if request.out.exists():
        raise BundleError(f"{request.out} exists already: remove it or choose another name")
    if "int8" in request.precisions and not (request.images or request.data):
        raise InputError("int8 takes its ranges from real crops: give --images FOLDER or --data LABELLED")
    if spec.parts and (request.data or request.held_out):
        raise InputError(f"{spec.name} finds the points of several schemas: give --images instead of labelled folders")


def _build(model: bytes, request: Request, spec: ModelSpec, backend: Backend, sure: U8) -> dict[str, Built]:
    """Every asked-for file; NME is measured of those that keep to their tolerance.

    sure: crops u8[N,S,S,3] of reference_crops, for whole frames without real images.
    """
    labelled = boxes_for(read_labelled(request.data, spec.landmarks), "gt") if request.data else None
    shown = labelled or (crops.boxed_images(request.images) if request.images else None)
    seen = generated_crops(spec.crop.size) if shown is None else crops.cut(crops.first(shown), spec.crop)[0]
    ranges, advice = None, ""
    if "int8" in request.precisions:
        source = crops.boxed_images(request.images) if request.images else shown
        assert source is not None, "int8 is refused without images"
        ranges = crops.cut(crops.jittered(source, CALIBRATION_CROPS), spec.crop)[0]
        advice = crops.advice(source) if request.images else ""

    def judge(candidate: bytes, precision: str) -> Parity:
        return compare(backend, OrtBackend(candidate, None, "cpu"), seen, precision)

    built = build(model, request.precisions, ranges, judge, advice)
    framed = {}
    if request.frame:
        scenes = [] if shown is None else list(real_scenes(shown, spec.crop))
        framed = with_whole_frames(built, scenes or list(generated_scenes(sure)), spec.crop.size)
    return (built if labelled is None else _with_nme(built, spec, backend, labelled)) | framed


def _with_nme(built: dict[str, Built], spec: ModelSpec, backend: Backend, labelled: Boxed) -> dict[str, Built]:
    """The same files with the NME of each beside PyTorch's, per cent, true boxes."""
    ours = _nme(spec, backend, labelled)
    found = {}
    for name, one in built.items():
        figures = {"nme": _nme(spec, OrtBackend(one.model, None, "cpu"), labelled), "nme_pytorch": ours}
        found[name] = Built(one.model, one.parity.model_copy(update=figures))
    return found


def _nme(spec: ModelSpec, backend: Backend, labelled: Boxed) -> float:
    return measure(predict_samples(Model(spec, backend, ""), labelled)).nme


def _reference(backend: Backend, images: U8) -> bytes:
    """Npz of generated crops and what PyTorch fp32 says of them, so that any machine can check its own backend."""
    found: Prediction = backend.run(images)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, crops=images, points=found.points, score=found.score)
    return buffer.getvalue()

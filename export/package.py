"""A checkpoint becomes a bundle, if the exported file says the same as PyTorch."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from export.card import card
from export.parity import Parity, compare, crops_of_folder, generated_crops
from export.reference import reference_crops
from export.to_onnx import to_onnx
from lmdeploy.backends.ort import OrtBackend
from lmdeploy.bundle import Bundle, Measured, write_bundle
from lmdeploy.errors import BundleError, GateRefusedError
from lmdeploy.types import U8, Prediction
from training.engine import checkpoint
from training.engine.predictor import TorchBackend, load_network


@dataclass(frozen=True, slots=True)
class Exported:
    """The bundle on disk and the parity that let it through."""

    bundle: Bundle
    parity: Parity


def package(
    source: Path,
    out: Path,
    images: Path | None,
    measured: tuple[Measured, ...] = (),
    name: str | None = None,
    note: str = "",
) -> Exported:
    """Export a checkpoint (file, run or bundle folder) into a new bundle folder.

    Args:
        source: what holds the trained weights.
        out: folder to make; nothing is left there when the export is refused.
        images: folder of real images for the parity check; without it generated crops are used.
        measured: figures to record.
        name: replaces the recipe's name for the model.
        note: Markdown for the model card.

    Raises:
        BundleError: there is something at `out`.
        GateRefusedError: the 99th percentile is over the tolerance (exit code 3).
    """
    if out.exists():
        raise BundleError(f"{out} exists already: remove it or choose another name")
    saved = checkpoint.read(checkpoint.find(source))
    spec = saved.about.spec if name is None else saved.about.spec.model_copy(update={"name": name})
    network = load_network(saved.about)
    network.load_state_dict(saved.weights)
    model = to_onnx(network.eval(), spec)
    reference = TorchBackend(network, spec.codec, torch.device("cpu"))
    crops = generated_crops(spec.crop.size) if images is None else crops_of_folder(images, spec.crop)
    parity = compare(reference, OrtBackend(model, None, "cpu"), crops)
    if not parity.passed:
        raise GateRefusedError(f"export refused, no bundle was written: {parity.sentence()}")
    files = {
        "model.onnx": model,
        "weights.safetensors": checkpoint.dump(network, saved.about.model_copy(update={"spec": spec})),
        "reference.npz": _reference(reference, reference_crops(network, spec)),
        "card.md": card(spec, measured, parity, note).encode(),
    }
    numbers = parity.model_dump(exclude={"precision"})
    bundle = write_bundle(out, spec, files, measured=measured, parity={parity.precision: numbers})
    return Exported(bundle, parity)


def _reference(backend: TorchBackend, crops: U8) -> bytes:
    """Npz of generated crops and what PyTorch fp32 says of them, so that any machine can check its own backend."""
    found: Prediction = backend.run(crops)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, crops=crops, points=found.points, score=found.score)
    return buffer.getvalue()

"""Seq-MT, Comm-MT, Heatmap-MT and RCN as ONNX: the graph answers as PyTorch does, at two batch sizes."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
import torch

from export import to_onnx
from lmdeploy.bundle import ModelSpec
from lmdeploy.geometry import CropRule
from lmdeploy.schema import load_schema
from tests.unit.training.test_seq_mt import TINY
from training.engine.predictor import TorchBackend
from training.models import KINDS, build


@pytest.mark.parametrize("kind", TINY)
def test_onnx_equals_pytorch(kind: str) -> None:
    torch.manual_seed(2)
    torch.set_num_threads(1)
    network = build(KINDS[kind].config.model_validate(TINY[kind]), 6).eval()
    codec = network.cfg.codecs[0]
    spec = ModelSpec(
        name="x", landmarks=load_schema("blocks6"), crop=CropRule(size=32), codec=codec, method="seq_mt"
    )  # fmt: skip
    session = ort.InferenceSession(to_onnx.to_onnx(network, spec), providers=["CPUExecutionProvider"])
    backend = TorchBackend(network, codec, torch.device("cpu"))
    for batch in (1, 3):
        crops = np.random.default_rng(batch).integers(0, 256, (batch, 32, 32, 3)).astype(np.uint8)
        found = dict(zip([o.name for o in session.get_outputs()], session.run(None, {"images": crops}), strict=True))
        wanted = backend.run(crops)
        np.testing.assert_allclose(found["points"], wanted.points, rtol=0, atol=1e-3)  # px
        np.testing.assert_allclose(found["score"], wanted.score, rtol=0, atol=1e-4)
        np.testing.assert_allclose(found["spread"], wanted.spread, rtol=0, atol=1e-3)

"""The whole network, normalisation and decoding included, as one ONNX file (design: Exported graph)."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator

import onnx
import torch

from export.cast_first import cast_first
from lmdeploy.bundle import ModelSpec
from lmdeploy.single_file import SPEC_KEY, VERSION_KEY
from training.models import Network
from training.models.end_to_end import EndToEnd

OPSET = 20  # inside every supported parser's range
OUTPUTS = ("points", "score", "spread", "nnm")
LARGEST_BATCH = 256


def to_onnx(network: Network, spec: ModelSpec) -> bytes:
    """ONNX bytes of a trained network: `images` u8[B,S,S,3] -> points, score, spread, nnm, with B dynamic.

    The file repeats the spec in its metadata, so that model.onnx alone says what it is.
    """
    graph = EndToEnd(network, spec.codec).eval().cpu()
    size = spec.crop.size
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)  # a batch of one would become a constant
    batch = torch.export.Dim("batch", min=1, max=LARGEST_BATCH)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), _quiet("torch.onnx", "onnxscript"):
        warnings.simplefilter("ignore")  # the exporter's own deprecations; the parity check judges the result
        program = torch.onnx.export(
            graph, (example,), dynamo=True, verbose=False, opset_version=OPSET, input_names=["images"],
            output_names=list(OUTPUTS), dynamic_shapes={"images": {0: batch}},
        )  # fmt: skip
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    _strip(model)
    cast_first(model)
    about = json.dumps(spec.model_dump(mode="json"), sort_keys=True)
    version = str(2 if spec.parts else 1)
    onnx.helper.set_model_props(model, {SPEC_KEY: about, VERSION_KEY: version})
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _strip(model: onnx.ModelProto) -> None:
    """Drop the exporter's notes: they hold source paths of this machine and 200 kB of text."""
    model.graph.doc_string = ""
    del model.graph.metadata_props[:]
    graph = model.graph
    groups = (graph.node, graph.value_info, graph.input, graph.output)
    for item in (one for group in groups for one in group):
        item.doc_string = ""
        del item.metadata_props[:]


@contextlib.contextmanager
def _quiet(*names: str) -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

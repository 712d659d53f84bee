"""The `model.py` of a Triton model: the exported graph in ONNX Runtime, for servers with the Python backend only.

`lmdeploy export --triton` copies this file; on the server it needs numpy and onnxruntime, nothing of this project.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np


class TritonPythonModel:
    """One instance of the model; the names of class and methods are Triton's."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the model.onnx beside this file; instances share the processor's cores evenly.

        Args:
            args: from Triton: `model_config` (JSON), `model_repository` (this model's folder), `model_version`.
        """
        import onnxruntime

        config = json.loads(args["model_config"])
        self.outputs = [output["name"] for output in config["output"]]
        instances = sum(group["count"] for group in config["instance_group"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = max(1, (os.cpu_count() or 1) // instances)
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # a server's cores are shared
        file = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self.session: Any = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer requests of u8[b,S,S,3] each: the dynamic batcher hands over several, they run as one batch."""
        import triton_python_backend_utils as pb  # type: ignore[import-not-found]  # exists inside Triton only

        crops = [pb.get_input_tensor_by_name(request, "images").as_numpy() for request in requests]
        found = self.session.run(self.outputs, {"images": np.concatenate(crops)})
        ends = np.cumsum([len(c) for c in crops])[:-1]
        answers = zip(*(np.split(values, ends) for values in found), strict=True)
        return [
            pb.InferenceResponse([pb.Tensor(n, v) for n, v in zip(self.outputs, answer, strict=True)])
            for answer in answers
        ]

    def finalize(self) -> None:
        """Free the session when the model is unloaded."""
        self.session = None

"""OpenVINO on the processor: faster than ONNX Runtime where the processor computes in bf16."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from lmdeploy.backends.contract import check_crops, check_graph, thread_count
from lmdeploy.backends.openvino_peaks import sweep
from lmdeploy.backends.openvino_products import Share, first_convolutions, lower
from lmdeploy.backends.openvino_split import split
from lmdeploy.backends.openvino_woven import unweave
from lmdeploy.errors import BundleError, DeviceError, InputError, MissingExtraError
from lmdeploy.types import F32, U8, Prediction

Precision = Literal["bf16", "fp32", "int8"]
INSTALL = "pip install 'landmark-deploy[openvino]'"
HINTS = {"bf16": "bf16", "fp32": "f32", "int8": "f32"}  # OpenVINO's words; 8 bits stand in the file
ONNX_TYPES = {"u8": "tensor(uint8)", "f32": "tensor(float)"}


class OpenVINOBackend:
    """A network of design.md's exported graph in OpenVINO, on the CPU.

    A single crop, which is every frame of a video with one face, has a network of fixed shapes of its own, a fifth
    faster than the one that takes any batch.

    Args:
        source: path of the ONNX file, or its bytes.
        threads: default the physical cores, at most four.
        precision: of everything up to the last convolutions, which write fp32 in any case (openvino_split); decoding
            and the heads of networks for coordinates are always fp32. Default bf16 where the processor has it and
            there is something to gain. int8 is for a file that is quantised, what is float in it is fp32.
        share: with bf16, how much of a network is in bf16; see openvino_products. Default the body alone.
            How many products there are is in `products`; whether the points still are right must be seen.
    `single` and `batch` are the compiled models, one after the other; they are there for tests and doctor.
    Errors: BundleError for a file that is not such a graph, MissingExtraError without openvino, DeviceError for bf16
    on a processor without it.
    """

    def __init__(
        self,
        source: Path | str | bytes,
        threads: int | None = None,
        precision: Precision | None = None,
        share: Share | None = None,
    ) -> None:
        """Load, check names and shapes, and compile."""
        self._origin = "the ONNX file" if isinstance(source, bytes) else str(source)
        self.threads = thread_count(threads)
        core = the_core()
        if precision == "bf16" and not has_bf16(core):
            raise DeviceError("this processor does not compute in bf16: ask for fp32, or for another backend")
        model = _read(core, source, self._origin)
        self.size, self.points, self.outputs = check_graph(_ports(model.inputs), _ports(model.outputs), self._origin)
        if precision != "int8":  # its 8-bit weights would become float
            fold(model)
        sweep(model)
        unweave(model)
        wanted: Precision = precision or ("bf16" if has_bf16(core) else "fp32")
        parts = [_parts(one, wanted, share) for one in (_for_one(model), model)]
        self.products = parts[0].products
        self.single, self.batch = (_compile(core, of_batch, self.threads) for of_batch in parts)
        nothing = len(self.batch) == 1 and not self.products
        self.precision: Precision = "fp32" if wanted == "bf16" and nothing else wanted
        self.provider = f"OpenVINO CPU {self.precision}"
        self._requests = [[part.create_infer_request() for part in chain] for chain in (self.single, self.batch)]

    def run(self, crops: U8) -> Prediction:
        """Landmarks of crops u8[B,S,S,3] RGB, in crop px; points, score and spread as in types.Prediction."""
        if not self._requests:
            raise InputError(f"{self._origin} is closed: open it again before predicting")
        check_crops(crops, self.size)
        if not len(crops):
            shapes = ((0, self.points, *([2] if name == "points" else [])) for name in self.outputs)
            return Prediction(*(np.empty(shape, np.float32) for shape in shapes))
        try:
            return Prediction(*_run(self._requests[len(crops) != 1], crops, self.outputs))
        except RuntimeError as error:
            raise DeviceError(
                f"{self.provider} does not run {self._origin} ({_last_line(error)}): ask for backend onnxruntime"
            ) from error

    def close(self) -> None:
        """Free the networks; a second call does nothing."""
        self._requests, self.single, self.batch = [], [], []


def import_openvino() -> Any:
    """The `openvino` module; MissingExtraError with the install command where it is missing or does not load."""
    try:
        import openvino
    except (ImportError, OSError) as error:  # OSError: a library that it loads is missing
        raise MissingExtraError(f"OpenVINO cannot be imported ({error}): {INSTALL}") from error
    return openvino


@cache
def the_core() -> Any:
    """One OpenVINO core for the whole process, kept to its end.

    Its CPU plugin gives the thread another stack for signals and puts the former one back when it goes. With several
    cores that come and go out of order the thread is left with a stack that is gone: the next Ctrl-C is a crash.
    """
    return import_openvino().Core()


def has_bf16(core: Any) -> bool:
    """Whether the processor has instructions for bf16; without them it would be slower than fp32."""
    return bool("BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


class _Port(NamedTuple):
    """An input or output in the words that check_graph takes."""

    name: str
    type: str
    shape: list[int | str]


def _ports(tensors: list[Any]) -> list[_Port]:
    def sizes(tensor: Any) -> list[int | str]:
        return [size.get_length() if size.is_static else "B" for size in tensor.get_partial_shape()]

    def kind(tensor: Any) -> str:
        name: str = tensor.get_element_type().get_type_name()
        return ONNX_TYPES.get(name, name)

    return [_Port(tensor.get_any_name(), kind(tensor), sizes(tensor)) for tensor in tensors]


def _read(core: Any, source: Path | str | bytes, origin: str) -> Any:
    again = "export the model again"
    try:
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
    except OSError as error:
        raise BundleError(f"{origin} cannot be read ({error.strerror}); {again}") from error
    try:
        return core.read_model(BytesIO(content))
    except RuntimeError as error:
        raise BundleError(f"{origin} cannot be loaded ({_last_line(error)}); {again}") from error


def _last_line(error: RuntimeError) -> str:
    """Where OpenVINO says what is wrong, behind the places in its source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def fold(model: Any) -> None:
    """Compute what depends on no crop, such as the shape that the importer gives a convolution's biases."""
    from openvino.passes import ConstantFolding, Manager

    manager = Manager()
    manager.register_pass(ConstantFolding())
    manager.run_passes(model)


def _for_one(model: Any) -> Any:
    """A copy for a single crop, all shapes fixed."""
    copy = model.clone()
    copy.reshape([1, *copy.inputs[0].get_partial_shape()[1:]])
    return copy


class _Parts(NamedTuple):
    """Models that run one after the other, each with its precision; how many products of the last are in bf16."""

    models: list[tuple[Any, Precision]]
    products: int = 0


def _parts(model: Any, precision: Precision, share: Share | None) -> _Parts:
    """Body and tail for bf16 where the network can be cut, else one model, with bf16 in fp32."""
    if precision == "bf16" and share and not share.sums:
        return _Parts([(model, "fp32")], lower(model, share.large, first_convolutions(model)))
    halves = split(model) if precision == "bf16" else None
    if halves is None:
        return _Parts([(model, "fp32" if precision == "bf16" else precision)])
    return _Parts([(halves.body, "bf16"), (halves.tail, "fp32")], lower(halves.tail, share.large) if share else 0)


def _compile(core: Any, parts: _Parts, threads: int) -> list[Any]:
    try:
        return [core.compile_model(part, "CPU", _options(kind, threads)) for part, kind in parts.models]
    except RuntimeError as error:
        raise DeviceError(
            f"OpenVINO cannot compile the network ({_last_line(error)}): take another backend"
        ) from error


def _options(precision: Precision, threads: int) -> dict[str, Any]:
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "ENABLE_CPU_PINNING": False,  # several processes would all be pinned to the first cores
    }


def _run(requests: list[Any], crops: U8, names: list[str]) -> list[F32]:
    """Outputs of the last model, each model fed with the outputs of the one before."""
    import openvino as ov

    first, *later = requests
    # OpenVINO reads the array itself: it must be writeable for that, and live until the answer is there
    held = np.require(crops, requirements=("C", "W"))
    first.set_input_tensor(ov.Tensor(held, shared_memory=True))
    first.infer()
    for before, request in zip(requests, later, strict=False):
        for index in range(len(request.model_inputs)):
            request.set_input_tensor(index, before.get_output_tensor(index))
        request.infer()
    return [np.array(requests[-1].get_tensor(name).data) for name in names]

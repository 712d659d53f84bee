"""TensorRT 10.12 and later, and 11, from the same code: engines built and cached here, run without torch."""

from lmdeploy.backends.tensorrt.backend import TensorRTBackend
from lmdeploy.backends.tensorrt.options import BuildOptions, Profile

__all__ = ["BuildOptions", "Profile", "TensorRTBackend"]

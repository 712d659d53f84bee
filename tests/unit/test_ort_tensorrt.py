"""ONNX Runtime's TensorRT provider, without TensorRT: when it is refused, and where its engines would lie."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from lmdeploy.backends import ort_tensorrt
from lmdeploy.backends.ort_tensorrt import TENSORRT, tensorrt_provider
from lmdeploy.errors import DeviceError, InputError

HAS = SimpleNamespace(get_available_providers=lambda: [TENSORRT, "CPUExecutionProvider"], __version__="1.31.1")
HAS_NOT = SimpleNamespace(get_available_providers=lambda: ["CPUExecutionProvider"], __version__="1.31.1")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder, and a library that every process can load in the place of TensorRT's."""
    if os.name != "posix":
        pytest.skip("the stand-in for the library is libc")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(ort_tensorrt, "LIBRARY", "libc.so.6")
    return tmp_path


def test_a_runtime_without_the_provider_and_a_missing_library_say_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(DeviceError, match=r"landmark-deploy\[gpu\]"):
        tensorrt_provider(HAS_NOT, b"x", 64)
    monkeypatch.setattr(ort_tensorrt, "LIBRARY", "libnvinfer-that-is-nowhere.so.10")
    with pytest.raises(DeviceError, match="needs TensorRT 10") as caught:
        tensorrt_provider(HAS, b"x", 64)
    assert caught.value.exit_code == 4


def test_engines_lie_in_a_private_folder_of_this_file_and_this_version(cache: Path) -> None:
    (cache / "model.onnx").write_bytes(b"network")
    name, options = tensorrt_provider(HAS, cache / "model.onnx", 96)
    folder = Path(options["trt_engine_cache_path"])
    assert name == TENSORRT
    assert folder.name == f"{hashlib.sha256(b'network').hexdigest()}-1.31.1"
    assert cache in folder.parents
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert options["trt_profile_min_shapes"] == "images:1x96x96x3"
    assert options["trt_profile_max_shapes"] == "images:32x96x96x3"
    assert tensorrt_provider(HAS, b"another", 96)[1]["trt_engine_cache_path"] != str(folder)


def test_a_folder_that_others_may_write_to_is_refused(cache: Path) -> None:
    folder = Path(tensorrt_provider(HAS, b"network", 96)[1]["trt_engine_cache_path"])
    folder.chmod(0o777)
    with pytest.raises((InputError, DeviceError), match="written to by others"):
        tensorrt_provider(HAS, b"network", 96)

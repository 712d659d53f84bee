"""The cache: another ingredient is another engine, and what is not whole and ours is built again."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from lmdeploy.backends.cuda import Gpu
from lmdeploy.backends.tensorrt import BuildOptions, Profile, TensorRTBackend
from lmdeploy.backends.tensorrt.builder import Built
from lmdeploy.backends.tensorrt.cache import EngineCache, MadeOf, default_folder, made_of
from lmdeploy.errors import DeviceError, InputError
from tests.tensorrt_kit.fake_tensorrt import FakeTensorRT

GPU = Gpu(name="NVIDIA H200", sm="9.0", processors=132, driver="13.0")
OPTIONS = BuildOptions()


def ingredients(**other: object) -> MadeOf:
    told = {"onnx": b"graph", "tensorrt": "10.16.1.11", "gpu": GPU, "options": OPTIONS, **other}
    return made_of(**told)


class Builds:
    """Counts builds; the timings that each was given are in `given`."""

    def __init__(self, plan: bytes = b"plan " * 100) -> None:
        self.plan, self.given = plan, []

    def __call__(self, timing: bytes) -> Built:
        self.given.append(timing)
        return Built(self.plan, b"timings %d" % len(self.given))


@pytest.mark.parametrize(
    "other",
    [
        {"onnx": b"another graph"},
        {"tensorrt": "11.4.0.106"},
        {"gpu": Gpu("NVIDIA H100", "9.0", 132, "13.0")},
        {"gpu": Gpu("NVIDIA H200", "10.0", 132, "13.0")},
        {"gpu": Gpu("NVIDIA H200", "9.0", 114, "13.0")},
        {"gpu": Gpu("NVIDIA H200", "9.0", 132, "12.8")},
        {"options": BuildOptions(profiles=(Profile(smallest=1, best=1, largest=2),))},
        {"options": BuildOptions(workspace_mb=64)},
        {"options": BuildOptions(level=5)},
        {"options": BuildOptions(tf32=True)},
    ],
    ids=["onnx", "tensorrt", "gpu", "sm", "processors", "driver", "profile", "workspace", "level", "tf32"],
)
def test_every_ingredient_is_in_the_key(other: dict[str, object], tmp_path: Path) -> None:
    assert ingredients(**other).key != ingredients().key
    builds, cache = Builds(), EngineCache(tmp_path)
    cache.obtain(ingredients(), builds, lambda plan: plan)
    cache.obtain(ingredients(**other), builds, lambda plan: plan)
    cache.obtain(ingredients(), builds, lambda plan: plan)
    assert len(builds.given) == 2


def test_another_system_is_another_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    here = ingredients().key
    monkeypatch.setattr("platform.machine", lambda: "riscv128")
    assert ingredients().key != here


def test_a_build_is_announced_and_a_hit_is_not(tmp_path: Path) -> None:
    told: list[str] = []
    cache = EngineCache(tmp_path, told.append)
    cache.obtain(ingredients(), Builds(), lambda plan: plan)
    cache.obtain(ingredients(), Builds(), lambda plan: plan)
    assert told == ["building a TensorRT engine for NVIDIA H200: this takes minutes, once"]


def test_who_waits_is_told_why(tmp_path: Path) -> None:
    told: list[str] = []
    cache = EngineCache(tmp_path, told.append)
    with cache._alone():
        other = threading.Thread(target=lambda: cache.obtain(ingredients(), Builds(), lambda plan: plan))
        other.start()
        end = time.monotonic() + 30
        while not told and time.monotonic() < end:
            time.sleep(0.01)
        assert not cache.path(ingredients()).exists()
    other.join()
    assert told[0] == "another process is building a TensorRT engine: waiting for it"
    assert cache.path(ingredients()).exists()


def test_timings_are_shared_by_networks_of_one_gpu_and_version_only(tmp_path: Path) -> None:
    builds, cache = Builds(), EngineCache(tmp_path)
    for made in (ingredients(), ingredients(onnx=b"2"), ingredients(tensorrt="11.4"), ingredients(onnx=b"3")):
        cache.obtain(made, builds, lambda plan: plan)
    assert builds.given == [b"", b"timings 1", b"", b"timings 2"]


def test_the_file_holds_its_sha256_and_what_it_is_made_of(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    cache.obtain(ingredients(), Builds(), lambda plan: plan)
    header, plan = cache.path(ingredients()).read_bytes().split(b"\n", 1)
    told = json.loads(header)
    assert told["sha256"] == hashlib.sha256(plan).hexdigest()
    assert told["about"]["onnx_sha256"] == hashlib.sha256(b"graph").hexdigest()
    assert told["about"]["gpu"] == "NVIDIA H200"


def _flip(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize(
    "harm",
    [
        lambda c: b"",
        lambda c: c[:10],
        lambda c: c[:-1],
        lambda c: c + b"x",
        lambda c: _flip(c, len(c) - 1),
        lambda c: _flip(c, c.index(b"\n") + 5),
        lambda c: _flip(c, c.index(b"sha256") + 20),
        lambda c: c.replace(b"H200", b"H100", 1),
        lambda c: c.replace(b"\n", b" ", 1),
        lambda c: b"\xff" * 70_000,
    ],
    ids=["empty", "cut in the header", "cut", "longer", "last byte", "bit", "sha256", "other gpu", "no line", "noise"],
)
def test_a_harmed_file_is_built_again_and_replaced(harm, tmp_path: Path) -> None:
    builds, cache = Builds(), EngineCache(tmp_path)
    cache.obtain(ingredients(), builds, lambda plan: plan)
    path = cache.path(ingredients())
    whole = path.read_bytes()
    path.write_bytes(harm(whole))
    assert path.read_bytes() != whole
    assert cache.obtain(ingredients(), builds, lambda plan: plan) == builds.plan
    assert len(builds.given) == 2
    assert path.read_bytes() == whole


def test_an_engine_under_a_wrong_name_is_not_taken(tmp_path: Path) -> None:
    builds, cache = Builds(), EngineCache(tmp_path)
    cache.obtain(ingredients(), builds, lambda plan: plan)
    other = ingredients(tensorrt="11.4.0.106")
    cache.path(ingredients()).rename(cache.path(other))
    cache.obtain(other, builds, lambda plan: plan)
    assert len(builds.given) == 2


def test_harmed_timings_are_left_out(tmp_path: Path) -> None:
    builds, cache = Builds(), EngineCache(tmp_path)
    cache.obtain(ingredients(), builds, lambda plan: plan)
    (path,) = tmp_path.glob("*.timing")
    path.write_bytes(path.read_bytes()[:-1])
    cache.obtain(ingredients(onnx=b"2"), builds, lambda plan: plan)
    assert builds.given == [b"", b""]


def test_an_engine_that_the_library_refuses_is_built_again(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    cache.obtain(ingredients(), Builds(b"old"), lambda plan: plan)
    builds = Builds(b"new")
    assert cache.obtain(ingredients(), builds, lambda plan: None if plan == b"old" else plan) == b"new"
    with pytest.raises(DeviceError, match="just built"):
        cache.obtain(ingredients(onnx=b"2"), Builds(b"bad"), lambda plan: None)
    assert not cache.path(ingredients(onnx=b"2")).exists()


def test_a_plan_that_does_not_deserialize_is_built_again(trt: FakeTensorRT, content: bytes, tmp_path: Path) -> None:
    options = BuildOptions(profiles=(Profile(smallest=1, best=1, largest=1),))

    def make() -> TensorRTBackend:
        return TensorRTBackend(content, options, buckets=(1,), cache=tmp_path, show=False)

    make()
    make()
    assert trt.builds == 1
    known = trt.Runtime.deserialize_cuda_engine
    trt.Runtime.deserialize_cuda_engine = lambda self, plan: known(self, plan) if trt.builds == 2 else None
    make().run(np.zeros((1, 32, 32, 3), np.uint8))
    assert trt.builds == 2


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(DeviceError, match="an engine is code: chmod go-w"):
        EngineCache(tmp_path)


def test_a_folder_without_room_costs_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise InputError("no space left")

    monkeypatch.setattr("lmdeploy.backends.tensorrt.cache.write_sealed", full)
    told: list[str] = []
    builds = Builds()
    assert EngineCache(tmp_path, told.append).obtain(ingredients(), builds, lambda plan: plan) == builds.plan
    assert told[-1] == "the TensorRT engine is not kept for the next start: no space left"


def test_a_new_folder_is_closed_to_others(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    EngineCache(folder)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DeviceError, match="cannot be made"):
        EngineCache(tmp_path / "file" / "cache")


def test_default_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "lmdeploy" / "tensorrt"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert default_folder() == tmp_path / ".cache" / "lmdeploy" / "tensorrt"

"""The images' recipes: what they copy, install and start exists, is pinned, and is not root's."""

from __future__ import annotations

import re
import shlex
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = ("Dockerfile", "Dockerfile.gpu")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())
BUILD_TOOLS = ("gcc", "g++", "make", "build-essential", "python3-dev", "python3-venv", "git", "pip install")


def instructions(name: str) -> list[tuple[str, str]]:
    """(instruction, arguments) in order, continued lines joined, comments left out."""
    text = "\n".join(
        line for line in (ROOT / name).read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    )
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    return [(word.upper(), rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def stages(name: str) -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for word, rest in instructions(name):
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest))
    return found


def ignored(path: str) -> bool:
    """By .dockerignore: the last line that matches the path, or a folder above it, decides."""
    out = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!").strip()
        if not pattern or line.startswith("#"):
            continue
        parts = path.split("/")
        above = ["/".join(parts[: i + 1]) for i in range(len(parts))]
        names = parts if pattern.startswith("**/") else []
        if any(fnmatch(one, pattern) and one.count("/") == pattern.count("/") for one in above) or any(
            fnmatch(one, pattern.removeprefix("**/")) for one in names
        ):
            out = not line.startswith("!")
    return out


@pytest.mark.parametrize("name", FILES)
def test_everything_that_is_copied_exists_and_reaches_the_build(name: str) -> None:
    copied = []
    for word, rest in instructions(name):
        if word == "COPY" and not rest.startswith("--from"):
            copied += shlex.split(rest)[:-1]
    for source in copied:
        assert (ROOT / source).exists(), source
        assert not ignored(source), source
    packages = [p.rstrip("*") for p in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]]
    needed = {"pyproject.toml", "constraints.txt", PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]}
    assert needed | set(packages) <= set(copied)


def test_nothing_else_reaches_the_build() -> None:
    for path in (".git/config", ".venv/bin/python", "runs/x/model.safetensors", "tests/conftest.py", "docs/site.md"):
        assert ignored(path), path
    assert ignored("lmdeploy/__pycache__/cli.cpython-311.pyc")
    for pattern in PROJECT["tool"]["setuptools"]["package-data"]["lmdeploy"]:
        for file in (ROOT / "lmdeploy").glob(pattern):
            assert not ignored(file.relative_to(ROOT).as_posix()), file


@pytest.mark.parametrize("name", FILES)
def test_extras_exist_and_versions_are_pinned(name: str) -> None:
    (extras,) = [rest.removeprefix("EXTRAS=").split(",") for word, rest in instructions(name) if word == "ARG"]
    named = PROJECT["project"]["optional-dependencies"]
    assert set(extras) <= set(named)
    assert len({"cpu", "gpu"} & set(extras)) == 1  # they own the same folder
    assert "train" not in extras
    installs = [rest for word, rest in instructions(name) if word == "RUN" and "pip install" in rest]
    assert installs
    assert all("--constraint constraints.txt" in rest and ".[${EXTRAS}]" in rest for rest in installs)
    by_hand = dict(re.findall(r"([\w-]+)==([\d.]+)", " ".join(installs)))
    wanted = [re.split(r"[<>=~!]", one)[0] for extra in extras for one in named[extra]]
    assert {one for one in wanted if one not in PINS} == set(by_hand)
    for word, rest in instructions(name):
        assert word != "FROM" or re.search(r":[\w.-]*\d+\.\d+", rest), "a base image without a version"


def test_gpu_image_fits_its_onnx_runtime() -> None:
    text = (ROOT / "Dockerfile.gpu").read_text(encoding="utf-8")
    assert re.findall(r"onnxruntime-gpu==([\d.]+)", text) == [PINS["onnxruntime"]]
    bases = set(re.findall(r"^FROM (\S+)", text, re.MULTILINE))
    assert len(bases) == 1
    # The wheel is linked to libcudart.so.13 and opens cuDNN 9; the image has both
    assert re.fullmatch(r"nvidia/cuda:13\.\d+\.\d+-cudnn-runtime-ubuntu24\.04", bases.pop())
    assert re.findall(r"cuda-bindings==(\d+)", text) == ["13"]


@pytest.mark.parametrize("name", FILES)
def test_final_image_is_small_not_root_s_and_starts_lmdeploy(name: str) -> None:
    build, final = stages(name)
    text = " ".join(rest for _, rest in final)
    assert not [tool for tool in BUILD_TOOLS if tool in text]
    assert any("pip uninstall --yes setuptools pip" in rest for _, rest in build)
    words = dict(final)
    assert words["USER"].isdecimal()
    assert int(words["USER"]) > 0
    assert words["ENTRYPOINT"] == '["lmdeploy"]'
    assert "lmdeploy" in PROJECT["project"]["scripts"]
    assert "/opt/lmdeploy/bin" in words["ENV"]

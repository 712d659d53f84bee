"""What `import lmdeploy` costs, what it offers, and that the three packages are this checkout's."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import lmdeploy

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "onnxruntime", "cv2", "matplotlib", "av", "onnx", "timm", "scipy")


def loaded_by(statement):
    """Top-level names in sys.modules of a fresh interpreter after a statement."""
    program = f"{statement}\nimport sys\nprint(' '.join({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement", ["import lmdeploy", "import lmdeploy.cli", "from lmdeploy import Box, load_schema"]
)
def test_importing_costs_no_heavy_package(statement):
    assert loaded_by(statement).isdisjoint(HEAVY)


@pytest.mark.parametrize("module", ["evaluate", "data"])
def test_a_command_s_help_costs_no_heavy_package(module):
    assert loaded_by(f"import lmdeploy.commands.{module}").isdisjoint(HEAVY)


def test_public_names_are_sorted_complete_and_real():
    assert list(lmdeploy.__all__) == sorted(lmdeploy.__all__)
    assert set(lmdeploy.__all__) == set(lmdeploy._HOME)
    for name in lmdeploy.__all__:
        value = getattr(lmdeploy, name)
        assert value.__module__ == f"lmdeploy.{lmdeploy._HOME[name]}"
        assert value.__doc__


def test_every_error_is_public():
    own = importlib.import_module("lmdeploy.errors")
    names = {name for name, value in vars(own).items() if isinstance(value, type) and value.__module__ == own.__name__}
    assert names - set(lmdeploy.__all__) <= {"MissingExtraError"}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'fly'"):
        _ = lmdeploy.fly


@pytest.mark.parametrize("package", ["lmdeploy", "training", "export"])
def test_the_three_packages_are_of_this_checkout(package):
    """`training` and `export` are common names: another package of that name in front would shadow ours."""
    module = importlib.import_module(package)
    assert Path(module.__file__).resolve().parent == ROOT / package


def test_the_runtime_never_imports_training_code():
    for file in (ROOT / "lmdeploy").rglob("*.py"):
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
        imports = [line.split()[1].partition(".")[0] for line in lines if line.startswith(("import ", "from "))]
        assert {"torch", "training", "export", "timm", "safetensors", "onnx"}.isdisjoint(imports), file

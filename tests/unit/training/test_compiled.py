"""Training through torch.compile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lmdeploy.errors import InputError
from tests.unit.training.conftest import tiny_request
from training import job


@pytest.mark.filterwarnings("default")  # the compiler's own deprecations
def test_a_compiled_run_learns_the_same_and_leaves_a_plain_checkpoint(toy: Path, tmp_path: Path) -> None:
    plain = replace(tiny_request(toy, tmp_path / "plain", "supervised"), precision="32", device="cpu")
    fast = replace(plain, out=tmp_path / "compiled", compiled=True)
    torch._dynamo.utils.counters.clear()  # type: ignore[no-untyped-call]
    wanted, found = (load_file(job.run(request, lambda note: None)) for request in (plain, fast))
    assert torch._dynamo.utils.counters["frames"]["ok"] > 0
    assert wanted.keys() == found.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, atol=2e-3, rtol=2e-2, msg=lambda text, n=name: f"{n}: {text}")


def test_without_a_compiler_it_says_so_before_training(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    asked = replace(tiny_request(toy, tmp_path / "run", "supervised"), device="cpu", compiled=True)
    with pytest.raises(InputError, match=r"no no-such-compiler: install it, or leave --compile out"):
        job.run(asked, lambda note: None)
    assert not (tmp_path / "run" / "stages").exists()

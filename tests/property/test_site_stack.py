"""Random promotions and rollbacks against a model of a stack (P5)."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmdeploy.bundle import Bundle, read_bundle
from lmdeploy.errors import GateRefusedError, InputError
from lmdeploy.site import audit
from lmdeploy.site.registry import KEEP, Alias, add_bundle, champion, champion_path, promote, rollback, set_alias
from tests.site_kit import other_bundle
from tests.tiny_bundle import make_tiny_bundle

COUNT = 8


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    folder = tmp_path_factory.mktemp("bundles")
    first = make_tiny_bundle(folder / "0", size=32)
    return [first, *(other_bundle(first, folder / str(n), f"0.1.{n}") for n in range(1, COUNT))]


@settings(deadline=None, max_examples=12)
@given(st.lists(st.one_of(st.integers(1, COUNT - 1), st.just("back")), max_size=14))
def test_registry_behaves_as_a_stack(bundles: list[Bundle], actions: list[int | str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder)
        factory = add_bundle(site, bundles[0].path).digest
        for name in ("factory", "champion"):
            set_alias(site, name, Alias(digest=factory))  # type: ignore[arg-type]  # both are names
        serving, stack, rejected = factory, list[str](), set[str]()
        for action in actions:
            if action == "back":
                rest = [(at, d) for at, d in enumerate([*stack, factory]) if d != serving]
                if not rest:
                    with pytest.raises(InputError):
                        rollback(site)
                    continue
                rejected.add(serving)
                at, serving = rest[0]
                stack = stack[at + 1 :]
                rollback(site)
            else:
                new = add_bundle(site, bundles[int(action)].path).digest
                if new in rejected and new != serving:
                    with pytest.raises(GateRefusedError):
                        promote(site, new, expected=serving, origin="")
                    continue
                promote(site, new, expected=serving, origin="")
                if new != serving:
                    serving, stack = new, [serving, *stack][:KEEP]
            assert champion(site).digest == serving
            assert list(champion(site).before) == stack
            assert read_bundle(champion_path(site)).digest == serving
        switches = [r.data["serial"] for r in audit.read_log(site)]
        assert switches == list(range(len(switches)))

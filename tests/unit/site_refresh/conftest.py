"""A site with collected frames, made once, and the stand-in for training that its refreshes call."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from lmdeploy.site import steps
from lmdeploy.site.child import check_exit
from lmdeploy.site.collect import collect_frames
from lmdeploy.site.refresh import refresh
from tests import stand_in
from tests.site_kit import better_errors, copy_site, frames, make_site, remember_anchor, see_blobs


@pytest.fixture(scope="package")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = make_site(tmp_path_factory.mktemp("made"))
    collect_frames(site, frames(range(100, 108)), see_blobs, "cam")
    return site


@pytest.fixture(autouse=True)
def in_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the stand-in's functions here, which is faster; `real_process` marks the tests that start it for real."""
    if "real_process" not in request.fixturenames:
        monkeypatch.setattr(steps, "run_command", stand_in_call)


@pytest.fixture(scope="module", autouse=True)
def one_anchor() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        remember_anchor(patch)
        yield


@pytest.fixture
def real_process() -> None:
    """Ask for the stand-in in a process of its own."""


def stand_in_call(
    command: Sequence[str], arguments: Sequence[str], *, log: Path, tell: Callable[[bytes], None], **_: object
) -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = stand_in.main(list(arguments))
    with log.open("a") as stream:
        stream.write(out.getvalue())
    tell(out.getvalue().encode())
    check_exit(code, arguments, log)


@pytest.fixture(scope="package")
def straight(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site whose refresh was never interrupted."""
    site = copy_site(made, tmp_path_factory.mktemp("straight") / "site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "run_command", stand_in_call)
        refresh(site, errors=better_errors)
    return site


@pytest.fixture
def site(made: Path, tmp_path: Path) -> Path:
    return copy_site(made, tmp_path / "site")

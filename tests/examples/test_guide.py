"""docs/api.md: every block is an example's own text or is run here, and nothing public is left out."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lmdeploy
from lmdeploy.video.follow import StreamOptions
from tests.examples.conftest import EXAMPLES

GUIDE = EXAMPLES.parent / "docs" / "api.md"
TEXT = GUIDE.read_text(encoding="utf-8")
BLOCK = re.compile(r"^(?P<before>[^\n]*)\n\n```(?P<kind>[^\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [match.groupdict() for match in BLOCK.finditer(TEXT)]
RUN = [block["code"] for block in BLOCKS if block["kind"] == "python run"]
SHOWN = [(block["before"], block["code"]) for block in BLOCKS if block["kind"] == "python"]
ARRAYS = re.compile(r"\b(U8|F32|F64|Array)\b")
SHAPE = re.compile(r"\b[uf]\d+\[|\[H,W")


def title(code: str) -> str:
    return next(line for line in reversed(code.splitlines()) if line.strip()).strip()[:40]


def test_every_block_is_of_a_known_kind() -> None:
    assert TEXT.count("```") == 2 * len(BLOCKS)
    assert len(RUN) + len(SHOWN) == len(BLOCKS)


@pytest.mark.parametrize(("before", "code"), SHOWN, ids=[before for before, _ in SHOWN])
def test_a_shown_block_is_the_text_of_the_example_above_it(before: str, code: str) -> None:
    link = re.fullmatch(r"\[examples/(\w+\.py)\]\(\.\./examples/\1\)", before)
    assert link is not None
    compile(textwrap.dedent(code), before, "exec")
    assert code in (EXAMPLES / link[1]).read_text(encoding="utf-8")


def test_every_example_is_shown() -> None:
    assert {before.partition("]")[0] for before, _ in SHOWN} == {
        f"[examples/{file.name}" for file in EXAMPLES.glob("*.py")
    }


@pytest.mark.parametrize("code", RUN, ids=map(title, RUN))
def test_a_block_runs(
    code: str, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("photo.jpg", "clip.mp4"):
        shutil.copy(prepared / name, tmp_path)
    for name in ("LABELLED", "SITE"):
        (tmp_path / name).symlink_to(prepared / name)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(GUIDE), "exec"), {"__name__": "guide"})
    assert capsys.readouterr().out.strip()


def test_figures_of_the_labelled_folder_are_what_its_labels_are(prepared: Path) -> None:
    """The labels are the model's points moved by (1, 1), from another box: so the mean distance is near 1.4 px."""
    with lmdeploy.Landmarker.load("face68") as landmarker:
        outcome, result = lmdeploy.evaluate_folder(landmarker.model, str(prepared / "LABELLED"))
    gaps = outcome.points_image - outcome.truth_image
    eyes = outcome.truth_image[0, [36, 45]]
    across = float(((eyes[0] - eyes[1]) ** 2).sum() ** 0.5)
    assert result.nme == pytest.approx(100 * float(((gaps**2).sum(axis=2) ** 0.5).mean()) / across, rel=1e-4)
    assert 0.3 < result.nme * across / 100 < 5
    assert (result.images, result.boxes, result.frame) == (2, "gt", "image")


@pytest.mark.parametrize("name", lmdeploy.__all__)
def test_every_public_name_is_in_the_list_at_the_end(name: str) -> None:
    assert f"`{name}`" in TEXT.partition("## Every public name")[2]


def test_every_field_of_a_result_is_said() -> None:
    for kind, prefix in ((lmdeploy.Landmarks, ""), (lmdeploy.Frame, "frame."), (lmdeploy.Seen, "")):
        for field in dataclasses.fields(kind):
            said = f"`{prefix}{field.name}`" in TEXT or f"`{field.name}.image`" in TEXT
            assert said, f"{kind.__name__}.{field.name}"


def test_every_option_of_a_stream_and_of_load_is_said() -> None:
    for function in (lmdeploy.Landmarker.stream, lmdeploy.Landmarker.load, lmdeploy.open_model):
        named = {"self", "source", "bundle", "ref", "running", "following"}  # the last two are typed dicts
        for name in {*inspect.signature(function).parameters, *StreamOptions.__annotations__} - named:
            assert re.search(rf"`{name}\b|[(, ]{name}=", TEXT), f"{function.__name__}: {name}"


def test_what_a_stream_takes_is_what_its_docstring_names() -> None:
    about = f"{lmdeploy.Landmarker.stream.__doc__} {StreamOptions.__doc__}"
    for name in StreamOptions.__annotations__:
        assert about.count(f"{name}") >= 2, name


def test_exit_codes_are_those_of_the_classes() -> None:
    rows = dict(re.findall(r"^\| `(\w+Error)` \|.*\| (\d) \|$", TEXT, re.MULTILINE))
    named = [name for name in lmdeploy.__all__ if name.endswith("Error") and name != "LmdeployError"]
    assert rows == {name: str(getattr(lmdeploy, name).exit_code) for name in named}


def public_functions() -> Iterator[tuple[str, Any, str]]:
    """Each public function and method with its docstring; the making of an object may be told by its class."""
    for name in lmdeploy.__all__:
        value = getattr(lmdeploy, name)
        if inspect.isfunction(value):
            yield name, value, value.__doc__ or ""
            continue
        if issubclass(value, Exception) or hasattr(value, "model_fields"):
            continue
        for member, method in vars(value).items():
            plain = getattr(method, "__func__", method)
            own = getattr(plain, "__doc__", None) or ""
            if inspect.isfunction(plain) and not member.startswith("_"):
                yield f"{name}.{member}", plain, own
            elif member == "__init__" and not getattr(value, "_is_protocol", False):
                yield f"{name}.__init__", plain, f"{value.__doc__}\n{own}"


FUNCTIONS = list(public_functions())


@pytest.mark.parametrize(("function", "about"), [f[1:] for f in FUNCTIONS], ids=[f[0] for f in FUNCTIONS])
def test_a_docstring_says_what_each_argument_is(function: Any, about: str) -> None:
    assert about
    if dataclasses.is_dataclass(getattr(lmdeploy, function.__qualname__.partition(".")[0], None)):
        return  # its fields stand in the class's docstring, test_every_field_of_a_result_is_said
    for name, parameter in inspect.signature(function).parameters.items():
        if name in ("self", "cls"):
            continue
        assert re.search(rf"\b{name}\b", about), name
        if ARRAYS.search(str(parameter.annotation)):
            assert SHAPE.search(about) or "as `predict`" in about.lower(), f"the shape of {name}"


def test_the_programs_are_python() -> None:
    for code in RUN:
        ast.parse(code)

"""A question to a process of its own: an object is an answer, and so is how it died."""

from __future__ import annotations

import sys

import pytest

from lmdeploy.own_process import ask


def program(text: str) -> tuple[str, ...]:
    return (sys.executable, "-c", text)


def test_the_last_line_is_the_answer() -> None:
    assert ask(program('print(\'noise\'); print(\'{"problem": "", "mb": 3}\')'), 60) == {"problem": "", "mb": 3}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("print('no object')", "its process ended with code 0: it said nothing"),
        ("print([1])", "its process ended with code 0"),
        ("import sys; sys.exit('bad library')", "its process ended with code 1: bad library"),
        ("import os; os.kill(os.getpid(), 9)", "its process was killed by SIGKILL"),
    ],
)
def test_no_answer_is_told_with_its_reason(text: str, problem: str) -> None:
    if "SIGKILL" in problem and sys.platform == "win32":
        pytest.skip("no such signal there")
    found = ask(program(text), 60)
    assert list(found) == ["problem"]
    assert found["problem"].startswith(problem)


def test_one_that_hangs_is_ended() -> None:
    assert ask(program("import time; time.sleep(60)"), 0.2) == {"problem": "no answer within 0.2 s"}

"""Every error that people see has a sentence and the exit code that the command line promises."""

from __future__ import annotations

import inspect

import pytest

from lmdeploy import errors
from lmdeploy.errors import BundleError, DataError, DeviceError, GateRefusedError, InputError, LmdeployError

CODES = {"GateRefusedError": 3, "DeviceError": 4}


def test_exit_codes_are_those_of_the_design():
    found = {name: kind.exit_code for name, kind in vars(errors).items() if inspect.isclass(kind) and "Error" in name}
    assert found == {name: CODES.get(name, 2) for name in found}
    assert set(CODES) <= set(found)


def test_data_error_lists_every_problem_below_its_summary():
    error = DataError("3 broken entries", ["a.jpg: empty", "b.jpg: truncated"])
    assert error.problems == ("a.jpg: empty", "b.jpg: truncated")
    assert str(error).splitlines() == ["3 broken entries", "  a.jpg: empty", "  b.jpg: truncated"]
    assert str(DataError("nothing there")) == "nothing there"


@pytest.mark.parametrize("kind", [BundleError, DataError, DeviceError, GateRefusedError, InputError])
def test_one_except_clause_catches_them_all(kind):
    with pytest.raises(LmdeployError, match="what to do"):
        raise kind("what to do")


def test_data_errors_are_input_errors():
    assert issubclass(DataError, InputError)

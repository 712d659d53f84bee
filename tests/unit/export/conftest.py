"""The drawn faces of the training tests, and their single thread."""

from tests.unit.training.conftest import _one_thread, toy

__all__ = ["_one_thread", "toy"]

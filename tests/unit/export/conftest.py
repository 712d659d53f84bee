"""The drawn faces of the training tests."""

from tests.unit.training.conftest import toy

__all__ = ["toy"]

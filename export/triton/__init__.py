"""Serving with Triton: a bundle becomes models of a model repository."""

from export.triton.config import Serving
from export.triton.repository import Added, add_to_repository

__all__ = ["Added", "Serving", "add_to_repository"]

"""Boxes for a frame."""

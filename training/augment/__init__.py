"""Batched augmentation that returns the image and the point transform."""

"""Landmark detectors from few labels and many unlabelled images (PyTorch)."""

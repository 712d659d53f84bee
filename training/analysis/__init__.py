"""The papers' figures as functions over saved rounds: one figure a file, numbers first, then the picture."""

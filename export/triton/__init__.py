"""Serving with Triton: a bundle becomes models of a model repository. The entry is repository.add_to_repository."""

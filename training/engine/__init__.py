"""The only epoch loop and what it needs."""

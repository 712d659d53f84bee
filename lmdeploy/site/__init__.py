"""The on-site refresh: collect, refresh, gate, promote, roll back."""

"""Named encode and decode pairs."""

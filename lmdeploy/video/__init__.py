"""Streams in, tracking, smoothing, drawing, streams out."""

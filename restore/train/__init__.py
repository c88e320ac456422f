"""Owns training.  Inference never imports this package."""

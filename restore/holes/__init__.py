"""Owns which pixels are missing: mask files, alpha, colour key, detectors; pairing, lint and growth of masks."""

"""Owns film: what is damaged in a sequence of frames, and what its neighbours can give back."""

"""Owns filling holes: crops with context from many pictures, fills, and the choice among them for each hole."""

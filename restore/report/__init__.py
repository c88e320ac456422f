"""Owns the pages where people look at before and after."""

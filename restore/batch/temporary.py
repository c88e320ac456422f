"""Owns the names of temporaries: 32 bytes whatever the result is called, and which run made them."""

from __future__ import annotations

import os
import re

TOKEN_DIGITS = 8
"""Leading hex digits of a temporary's name that say which run made it."""
_NAME = re.compile(rb"\.restore-[0-9a-f]{16}\.part")
"""A suffix on a result's own name of 255 bytes would be too long."""
_BEFORE = ".restore-"


def new_token() -> str:
    """For one run, or for all runs of one result."""
    return os.urandom(TOKEN_DIGITS // 2).hex()


def is_token(text: str) -> bool:
    return re.fullmatch(f"[0-9a-f]{{{TOKEN_DIGITS}}}", text) is not None


def temporary_name(token: str) -> str:
    """A new one."""
    return f"{_BEFORE}{token}{os.urandom(4).hex()}.part"


def is_temporary(name: str) -> bool:
    return _NAME.fullmatch(os.fsencode(name)) is not None


def temporary_token(name: str) -> str:
    """Which run made a temporary."""
    return name[len(_BEFORE) : len(_BEFORE) + TOKEN_DIGITS]

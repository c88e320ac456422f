"""Owns how messages between a decoding child and its parent look: one JSON line each, bytes as base64.

JSON and not pickle: the child has parsed hostile bytes, so nothing it says may run code in the parent.
"""

from __future__ import annotations

import base64
import json
from typing import Any


def pack(message: dict[str, Any]) -> bytes:
    """One line of bytes, newline included."""
    return json.dumps(message, default=_bytes_out, separators=(",", ":")).encode() + b"\n"


def unpack(line: bytes) -> dict[str, Any]:
    """ValueError when the line is no message."""
    message = json.loads(line, object_hook=_bytes_in)
    if not isinstance(message, dict):
        raise ValueError("not a message")
    return message


def _bytes_out(value: object) -> dict[str, str]:
    if isinstance(value, bytes | bytearray | memoryview):
        return {"base64": base64.b64encode(value).decode()}
    raise TypeError(f"{type(value)} cannot be sent")


def _bytes_in(value: dict[str, Any]) -> Any:
    return base64.b64decode(value["base64"]) if value.keys() == {"base64"} else value

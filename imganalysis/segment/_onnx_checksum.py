"""The checksum in a network's file: of all its bytes, its own digits read as zeros."""

from __future__ import annotations

import hashlib
import re

KEY = "checksum"
"""Of what the file says of itself; `BLANK` until `with_checksum` fills it in."""

BLANK = "0" * 64

_DIGITS = re.compile(rb'"%b": "([0-9a-f]{64})"' % KEY.encode())


def with_checksum(content: bytes) -> bytes:
    """Put the checksum into a file whose entry `KEY` is `BLANK`."""
    start, end = _place(content) or (0, 0)
    if content[start:end] != BLANK.encode():
        raise ValueError(f"expected one entry {KEY!r} of {len(BLANK)} zeros")
    return content[:start] + hashlib.sha256(content).hexdigest().encode() + content[end:]


def has_checksum(content: bytes) -> bool:
    """Say whether a file has one."""
    return _place(content) is not None


def checksum_fits(content: bytes) -> bool:
    """Say whether no byte was changed since `with_checksum`."""
    place = _place(content)
    if place is None:
        return False
    start, end = place
    blank = content[:start] + BLANK.encode() + content[end:]
    return hashlib.sha256(blank).hexdigest().encode() == content[start:end]


def _place(content: bytes) -> tuple[int, int] | None:
    found = [match.span(1) for match in _DIGITS.finditer(content)]
    return found[0] if len(found) == 1 else None

"""One writer at a time: a lock on a file that other programs and computers see too."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from imganalysis.errors import CorrectionsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE_S = 5.0
"""A line takes milliseconds to write: who holds a file longer has stopped."""


@contextmanager
def locked(handle: int, path: Path) -> Iterator[None]:
    """Hold an open file alone.

    Raises
    ------
    CorrectionsError
        Somebody else does not let go of it.
    """
    end = time.monotonic() + PATIENCE_S
    while not _take(handle):
        if time.monotonic() > end:
            raise CorrectionsError(
                f"{path}: another program holds it; close the other viewer, or wait, and repeat "
                "the edit. Nothing was written",
                reason="locked",
            )
        time.sleep(0.02)
    try:
        yield
    finally:
        _free(handle)


if sys.platform == "win32":  # pragma: no cover
    import msvcrt
    import os

    def _take(handle: int) -> bool:
        os.lseek(handle, 0, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _free(handle: int) -> None:
        os.lseek(handle, 0, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _take(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _free(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)

"""The log: a file of one JSON object per line that only ever grows."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imganalysis import __version__
from imganalysis.corrections._edits import Edit, from_line, to_line
from imganalysis.corrections._lock import locked
from imganalysis.errors import CorrectionsError, OutputError
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NAME = "corrections.jsonl"
TORN = ".torn"
"""Ending of the file in which half-written last lines are kept."""

MAX_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Log:
    """What a log holds.

    Parameters
    ----------
    path
        The file, whether or not it is there yet.
    edits
        In the order in which they were made.
    size
        Bytes of whole lines.
    torn
        What is wrong with its end; empty if nothing.
    """

    path: Path
    edits: tuple[Edit, ...] = ()
    size: int = 0
    torn: str = ""


def log_path(place: Path) -> Path:
    """Find the log that a file or folder stands for: the file itself, or the log in the folder."""
    return place / NAME if place.is_dir() else place


def read_log(path: Path) -> Log:
    """Read a log; one that is not there yet is empty.

    A last line that a crash cut short is left out and said in ``torn``; everything else that is
    no line of a log is an error, for an edit must not vanish unseen.

    Raises
    ------
    CorrectionsError
        It cannot be read, a line is malformed or was changed (with its number), an id stands
        twice, or a later version wrote it.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CorrectionsError(f"{path}: over {MAX_BYTES >> 20} MB; is this a log?")
        data = path.read_bytes()
    except FileNotFoundError:
        return Log(path)
    except OSError as error:
        raise CorrectionsError(f"{path}: cannot be read ({error.strerror or error})") from None
    return _parse(path, data)


def _parse(path: Path, data: bytes) -> Log:
    lines = data.split(b"\n")
    tail = lines.pop()
    edits: dict[str, Edit] = {}
    for number, line in enumerate(lines, 1):
        where = f"{path}: line {number}"
        edit = from_line(line, where)
        if edit.id in edits:
            raise CorrectionsError(f"{where}: stands in the log twice (id {edit.id})")
        _check_version(edit, where)
        edits[edit.id] = edit
    torn = ""
    if tail:
        torn = (
            f"{path}: line {len(lines) + 1} was cut short, likely by a crash "
            f"({plural(len(tail), 'byte')}); it is left out, and kept in {path.name}{TORN} by the "
            "next edit"
        )
    return Log(path, tuple(edits.values()), len(data) - len(tail), torn)


def _check_version(edit: Edit, where: str) -> None:
    if _numbers(edit.version) > _numbers(__version__):
        raise CorrectionsError(
            f"{where}: written by imganalysis {edit.version}, later than this one "
            f"({__version__}); install that version or a later one"
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def append(log: Log, edits: Sequence[Edit]) -> Log:
    """Add lines to a log; they are on the disk when this returns.

    Parameters
    ----------
    log
        As it was last read or written.
    edits
        With their ids.

    Returns
    -------
    log
        With the lines, and with those of other writers.

    Raises
    ------
    CorrectionsError
        Since then another writer changed one of these fields (reason ``conflict``), or holds the
        file; nothing was written.
    OutputError
        The file or folder cannot be written; the log is as it was.
    """
    path, data = log.path, b"".join(to_line(edit) for edit in edits)
    handle = _open(path)
    try:
        with locked(handle, path):
            grown = os.fstat(handle).st_size != log.size
            found = read_log(path) if grown else log
            _check_grown(log, found, edits)
            if found.torn:
                _set_aside(handle, found)
            _write(handle, path, data, found.size)
    finally:
        os.close(handle)
    return Log(path, (*found.edits, *edits), found.size + len(data))


def _check_grown(log: Log, found: Log, edits: Sequence[Edit]) -> None:
    known = len(log.edits)
    if found.edits[:known] != log.edits:
        raise CorrectionsError(
            f"{log.path}: lines that were read are gone or others; the log only ever grows. Put "
            "back the file, or open the study again. Nothing was written",
            reason="conflict",
        )
    fields = {edit.field for edit in edits}
    others = [edit for edit in found.edits[known:] if edit.field in fields]
    if others:
        last = others[-1]
        raise CorrectionsError(
            f"{log.path}: {last.user or 'somebody'} changed {last.field} at {last.time} "
            f"({last.kind}) while it was open here; read the log again and repeat the edit. "
            "Nothing was written",
            reason="conflict",
        )


def _open(path: Path) -> int:
    try:
        new = not path.exists()
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
        handle = os.open(path, flags, 0o666)
        if new:
            _sync_folder(path.parent)
    except OSError as error:
        raise _no_place(path, error) from None
    return handle


def _no_place(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path}: the edit cannot be written ({error.strerror or error}) and is not kept; name a "
        "log in a folder that can be written"
    )


def _sync_folder(folder: Path) -> None:
    # A file is there after a crash only if its folder says so; Windows has no such call.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _set_aside(handle: int, found: Log) -> None:
    """Move a half-written last line into a file beside the log."""
    aside = found.path.with_name(found.path.name + TORN)
    try:
        os.lseek(handle, found.size, os.SEEK_SET)
        tail = os.read(handle, MAX_BYTES)
        with aside.open("ab") as file:
            file.write(tail + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.ftruncate(handle, found.size)
    except OSError as error:
        raise _no_place(found.path, error) from None


def _write(handle: int, path: Path, data: bytes, size: int) -> None:
    try:
        os.lseek(handle, size, os.SEEK_SET)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fsync(handle)
    except OSError as error:
        with contextlib.suppress(OSError):  # a full disk: no half line stays
            os.ftruncate(handle, size)
        raise _no_place(path, error) from None

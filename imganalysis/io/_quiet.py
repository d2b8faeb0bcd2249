"""Readers are kept quiet: their log records, warnings and prints do not reach the user."""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

READERS = (
    "aicsimageio", "aicspylibczi", "asyncio", "bioio", "bioio_base", "bioio_czi", "bioio_lif",
    "bioio_nd2", "bioio_ome_zarr", "bioio_tifffile", "fsspec", "liffile", "nd2", "numcodecs",
    "ome_types", "ome_zarr", "readlif", "tifffile", "xmlschema", "xsdata", "zarr",
)  # fmt: skip

_lock = threading.RLock()
_depth = 0
_threads: dict[int, int] = {}
_handle: Any = logging.Logger.handle
_streams: dict[str, tuple[Any, Any]] = {}
_catcher: warnings.catch_warnings[None] | None = None


class _Muted:
    """A text stream that swallows what a muted thread writes and passes on the rest."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if threading.get_ident() in _threads:
            return len(text)
        return int(self._stream.write(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _handle_if_heard(logger: logging.Logger, record: logging.LogRecord) -> None:
    """Drop the records of muted threads, and those of threads that readers keep."""
    if threading.get_ident() not in _threads and record.name.partition(".")[0] not in READERS:
        _handle(logger, record)


def _install() -> None:
    global _catcher, _handle
    _catcher = warnings.catch_warnings()
    _catcher.__enter__()
    warnings.simplefilter("ignore")
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None:  # None without a console, as in pythonw
            muted = _Muted(stream)
            _streams[name] = (stream, muted)
            setattr(sys, name, muted)
    # Filters would miss the loggers of modules that are imported meanwhile.
    _handle = logging.Logger.handle
    logging.Logger.handle = _handle_if_heard  # type: ignore[method-assign,assignment]


def _restore() -> None:
    global _catcher
    logging.Logger.handle = _handle  # type: ignore[method-assign]
    for name, (stream, muted) in list(_streams.items()):
        if getattr(sys, name) is muted:  # somebody else's redirection is left alone
            setattr(sys, name, stream)
    _streams.clear()
    if _catcher is not None:
        _catcher.__exit__(None, None, None)
        _catcher = None


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the readers in this thread; everything is as before once the last block ends.

    Prints and log records of other threads pass. Warnings cannot be told apart by thread, so
    those of other threads are dropped as long as any thread reads.
    """
    global _depth
    me = threading.get_ident()
    with _lock:
        _depth += 1
        _threads[me] = _threads.get(me, 0) + 1
        if _depth == 1:
            _install()
    try:
        yield
    finally:
        with _lock:
            _threads[me] -= 1
            if not _threads[me]:
                del _threads[me]
            _depth -= 1
            if _depth == 0:
                _restore()

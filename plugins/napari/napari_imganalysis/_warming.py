"""Loads what opening the first field needs before it is asked for. No window here.

A library is loaded once per process, and that is what makes the first field slow: the reader of its
files, dask, the units of napari. While the list of a study is looked at, there is time for it.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_imganalysis._fields import open_stack
from napari_imganalysis._layers import features_of, stack_layers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imganalysis.stack import Stack
    from napari_imganalysis._results import Opened

NAME = "imganalysis-warming"
"""Of the threads."""
PATIENCE_S = 20.0
"""How long the end of a thread is waited for: one library is loaded to its end."""
TRIED = 3  # fields of which one can be opened, or none is
CORNER = 64  # pixels on each side, that are read of a field

_WARM: set[tuple[str, bool]] = set()
"""Kinds of fields that this process is ready for: suffix of the file, whether it has results."""


class Warming:
    """The threads of one window; `end` leaves none of them."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, opened: Opened) -> None:
        """Make ready for the fields of what was opened; returns at once."""
        # One that hangs at a drive that went away must not keep the process: it is a daemon.
        thread = threading.Thread(target=warm, args=(opened, self._stop), name=NAME, daemon=True)
        self._threads = [one for one in self._threads if one.is_alive()] + [thread]
        thread.start()

    @property
    def running(self) -> bool:
        """Whether a thread is at work."""
        return any(one.is_alive() for one in self._threads)

    def wait(self) -> None:
        """Wait until all is loaded: two threads that load the same at once gain nothing."""
        for one in self._threads:
            one.join(PATIENCE_S)

    def end(self) -> None:
        """Ask the threads to stop, and wait until they have."""
        self._stop.set()
        self.wait()


def ender(warming: Warming) -> Callable[..., None]:
    """Give a function that ends it, for when its widget is gone."""

    def end(*_: Any) -> None:
        warming.end()

    return end


def warm(opened: Opened, stop: threading.Event) -> None:
    """Do once what opening a field does, without a window and on few pixels.

    Whatever fails here fails again when the field is opened, and is told then.
    """
    for name in opened.names[:TRIED]:
        kind = ("".join(opened.image_path(name).suffixes[-2:]).lower(), opened.analysed)
        if kind in _WARM:
            return
        with suppress(Exception):
            for _ in _steps(opened, name):
                if stop.is_set():
                    return
            _WARM.add(kind)
            return


def _steps(opened: Opened, name: str) -> Iterator[None]:
    """Load piece by piece, so that it can be stopped in between."""
    stack = open_stack(opened, name)
    yield
    corner = _corner(stack)
    yield
    with suppress(ImportError):
        import_module("distributed")  # dask looks for it whenever it computes
    yield
    stack_layers(replace(stack, data=corner), opened.panel_of(name))
    yield
    cells = opened.cells(name)
    if cells is not None:
        features_of(cells, opened.panel_of(name), ground=True)


def warm_layers() -> None:
    """Make layers in no viewer, in the window's own thread: napari's units bear no other one."""
    from napari.layers import Image, Labels

    place = {"scale": (1.0, 1.0), "units": ("um", "um")}
    for kind in (Image, Labels):
        kind(np.zeros((CORNER, CORNER), np.uint8), **place)


def _corner(stack: Stack) -> np.ndarray[Any, Any]:
    """(C, 1, Y, X), a corner of the middle planes."""
    middle = stack.shape[1] // 2
    seen = stack.data[:, middle : middle + 1, :CORNER, :CORNER]
    # By this thread alone: a pool of dask's would outlive it.
    return np.asarray(seen.compute(scheduler="synchronous") if hasattr(seen, "compute") else seen)

"""A network over an image of any size, in windows that lie on one grid of the whole image."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from imganalysis.segment.pixels import as_input

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from imganalysis.segment.pixels import Box

    Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]

WINDOW = 384
"""Largest side of a window, pixels at the network's scale."""
MARGIN = 24
"""What of a window's sides is context only."""


@dataclass(frozen=True)
class Window:
    """Where the network looks, and which part of what it says is kept.

    Parameters
    ----------
    y, x
        First row and column.
    height, width
        Of what it sees; beyond the image it sees dark.
    keep
        (y0, y1, x0, x1) in the image: the part that this window decides.
    """

    y: int
    x: int
    height: int
    width: int
    keep: Box


Look = Callable[[Window], "NDArray[np.float32]"]
"""What a network says of what a window keeps: (3, y1 - y0, x1 - x0) float32."""


def window_grid(shape: tuple[int, int], multiple: int = 16) -> list[Window]:
    """Windows that together decide every pixel once, row by row.

    Parameters
    ----------
    shape
        Of the whole image at the network's scale. The grid depends on it only, not on the part
        that is computed at a time.
    multiple
        Height and width of a window are multiples of it.
    """
    rows, columns = (_steps(size, multiple) for size in shape)
    return [
        Window(y, x, height, width, (y0, y1, x0, x1))
        for y, height, y0, y1 in rows
        for x, width, x0, x1 in columns
    ]


def _steps(size: int, multiple: int) -> list[tuple[int, int, int, int]]:
    most = WINDOW // multiple * multiple
    if size <= most:
        return [(0, -(-size // multiple) * multiple, 0, size)]
    count = -(-(size - 2 * MARGIN) // (most - 2 * MARGIN))
    # Windows no larger than so many need: the last would see next to nothing.
    side = -(-(-(-(size - 2 * MARGIN) // count) + 2 * MARGIN) // multiple) * multiple
    step = side - 2 * MARGIN
    found = []
    for k in range(count):
        first = 0 if k == 0 else k * step + MARGIN
        last = size if k == count - 1 else (k + 1) * step + MARGIN
        found.append((k * step, side, first, last))
    return found


def look(
    run: Run,
    read: Callable[[Box], NDArray[np.float32]],
    window: Window,
    channels: int,
    shape: tuple[int, int],
) -> NDArray[np.float32]:
    """Ask a network about one window, alone: what it says depends on nothing else.

    Parameters
    ----------
    run
        (1, C, Y, X) float32 to (1, 3, Y, X) float32.
    read
        Gives a box of the image, (Y, X), as `imganalysis.segment.pixels.normalise` leaves it.
    window
        Of the grid.
    channels
        That the network takes.
    shape
        Of the whole image at the network's scale.

    Returns
    -------
    (3, y1 - y0, x1 - x0) float32
        Of what the window keeps.
    """
    part = np.zeros((window.height, window.width), np.float32)
    bottom, right = min(shape[0], window.y + window.height), min(shape[1], window.x + window.width)
    part[: bottom - window.y, : right - window.x] = read((window.y, bottom, window.x, right))
    answer = run(as_input(part, channels)[None])[0]
    y0, y1, x0, x1 = window.keep
    kept = answer[:, y0 - window.y : y1 - window.y, x0 - window.x : x1 - window.x]
    return np.ascontiguousarray(kept, np.float32)


def assemble(
    ask: Look, windows: Sequence[Window], box: Box, *, threads: int = 1
) -> NDArray[np.float32]:
    """Put together what a network says of a box of the image.

    Parameters
    ----------
    ask
        Such as `look`; called by several threads at once.
    windows
        The grid of the whole image; those are asked that keep something of the box.
    box
        (y0, y1, x0, x1) at the network's scale.
    threads
        Windows at a time. The result does not depend on it.

    Returns
    -------
    (3, y1 - y0, x1 - x0) float32
    """
    y0, y1, x0, x1 = box
    these = [
        w
        for w in windows
        if w.keep[0] < y1 and y0 < w.keep[1] and w.keep[2] < x1 and x0 < w.keep[3]
    ]
    out = np.empty((3, y1 - y0, x1 - x0), np.float32)

    def put(window: Window) -> None:
        answer = ask(window)
        top, bottom = max(y0, window.keep[0]), min(y1, window.keep[1])
        left, right = max(x0, window.keep[2]), min(x1, window.keep[3])
        fy, fx = window.keep[0], window.keep[2]
        out[:, top - y0 : bottom - y0, left - x0 : right - x0] = answer[
            :, top - fy : bottom - fy, left - fx : right - fx
        ]

    if threads == 1 or len(these) == 1:
        for window in these:
            put(window)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(put, these))
    return out


def predict(
    run: Run,
    image: NDArray[np.float32],
    channels: int,
    *,
    multiple: int = 16,
    threads: int = 1,
) -> NDArray[np.float32]:
    """Ask a network about an image that fits into memory.

    Parameters
    ----------
    run, channels
        As in `look`.
    image
        (Y, X), as `imganalysis.segment.pixels.normalise` leaves it.
    multiple
        As in `window_grid`.
    threads
        As in `assemble`.

    Returns
    -------
    (3, Y, X) float32
    """
    height, width = image.shape

    def ask(window: Window) -> NDArray[np.float32]:
        return look(
            run, lambda b: image[b[0] : b[1], b[2] : b[3]], window, channels, (height, width)
        )

    grid = window_grid((height, width), multiple)
    return assemble(ask, grid, (0, height, 0, width), threads=threads)

"""A network over an image of any size, in windows that lie on one grid of the whole image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from imganalysis.segment.pixels import as_input

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]

WINDOW = 256
"""Side of a window, pixels at the network's scale."""
MARGIN = 24
"""What of a window's sides is context only."""
BATCH = 4


@dataclass(frozen=True)
class Window:
    """Where the network looks, and which part of what it says is kept.

    Parameters
    ----------
    y, x
        First row and column; below 0 or beyond the image it sees dark.
    height, width
        Of what it sees.
    keep
        (y0, y1, x0, x1) in the image: the part that this window decides.
    """

    y: int
    x: int
    height: int
    width: int
    keep: tuple[int, int, int, int]


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
    if size <= WINDOW:
        return [(0, -(-size // multiple) * multiple, 0, size)]
    side = WINDOW // multiple * multiple
    step = side - 2 * MARGIN
    count = -(-(size - 2 * MARGIN) // step)
    found = []
    for k in range(count):
        first = 0 if k == 0 else k * step + MARGIN
        last = size if k == count - 1 else (k + 1) * step + MARGIN
        found.append((k * step, side, first, last))
    return found


def predict(
    run: Run,
    image: NDArray[np.float32],
    channels: int,
    *,
    multiple: int = 16,
    windows: Sequence[Window] | None = None,
) -> NDArray[np.float32]:
    """Ask a network about an image.

    Parameters
    ----------
    run
        (N, C, Y, X) float32 to (N, 3, Y, X) float32.
    image
        (Y, X), as `imganalysis.segment.pixels.normalise` leaves it.
    channels
        That the network takes.
    multiple
        As in `window_grid`.
    windows
        Of the grid; all by default.

    Returns
    -------
    (3, Y, X) float32
        0 where no window was asked for.
    """
    height, width = image.shape
    if windows is None:
        windows = window_grid((height, width), multiple)
    out = np.zeros((3, height, width), np.float32)
    for start in range(0, len(windows), BATCH):
        group = windows[start : start + BATCH]
        # Every batch has the same size, so that the arithmetic is the same for each window.
        full = [*group, *[group[-1]] * (BATCH - len(group))] if len(windows) > 1 else group
        batch = np.stack([as_input(_cut(image, w), channels) for w in full])
        for w, answer in zip(group, run(batch), strict=False):
            y0, y1, x0, x1 = w.keep
            out[:, y0:y1, x0:x1] = answer[:, y0 - w.y : y1 - w.y, x0 - w.x : x1 - w.x]
    return out


def _cut(image: NDArray[np.float32], window: Window) -> NDArray[np.float32]:
    part = np.zeros((window.height, window.width), np.float32)
    inside = image[window.y : window.y + window.height, window.x : window.x + window.width]
    part[: inside.shape[0], : inside.shape[1]] = inside
    return part

"""Everything that is added up over the pixels, and the loop over strips that does it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.errors import LabelsError
from imganalysis.quantify import _hull, _pixels, _runs
from imganalysis.quantify._rows import STRIP, Rows, label_strip, only, places_of, strips

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    Runs = tuple[tuple[int, int, int], NDArray[np.int32], NDArray[np.int32], int]

NUCLEUS, RING, CELL = COMPARTMENTS = ("nucleus", "ring", "cell")

GROUP = 4
"""Channels that are added up at once."""

_DIRECT = tuple(np.dtype(t) for t in (np.uint8, np.uint16, np.float32, np.float64))
"""Types of pixels that the compiled core takes; all others become float64."""


@dataclass(frozen=True)
class Plan:
    """What is to be added up.

    Parameters
    ----------
    channels
        Number of them.
    moments
        Whether more is asked than means and sums.
    levels
        Channel -> level above which pixels are counted.
    zeros, clipped
        Channels of which the pixels that are 0, or clipped, are counted.
    percentiles
        (channel, compartment) -> shares, ascending.
    contrast
        (channel, compartment) whose local contrast is asked for.
    lag
        (Y, X) pixels between two pixels of the local contrast.
    perimeter, solidity
        Of the nuclei.
    """

    channels: int
    moments: bool = False
    levels: Mapping[int, float] = field(default_factory=dict)
    zeros: frozenset[int] = frozenset()
    clipped: frozenset[int] = frozenset()
    percentiles: Mapping[tuple[int, int], tuple[float, ...]] = field(default_factory=dict)
    contrast: tuple[tuple[int, int], ...] = ()
    lag: tuple[int, int] = (1, 1)
    perimeter: bool = False
    solidity: bool = False


@dataclass(frozen=True)
class Totals:
    """Sums over the pixels of N objects in three compartments; see `_runs` and `_pixels`.

    Parameters
    ----------
    count
        (N, 3) pixels.
    start, box, first, second, same
        Where the nuclei's pixels lie; (N, 3), (N, 6), (N, 3), (N, 6), (N, 4).
    convex
        (N,) pixels in the nuclei's convex hulls.
    sums
        (C / 4 rounded up, N, 3, 4), four channels together.
    moments
        (C, N, 3, 6), or without a channel.
    above, zeros, clipped
        Channel -> (N, 3) pixels.
    percentiles
        (channel, compartment) -> (N, P), NaN where unknown.
    contrast
        (channel, compartment) -> (N,), NaN without a pair of pixels.
    """

    count: NDArray[np.int64]
    start: NDArray[np.int64]
    box: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    same: NDArray[np.int64]
    convex: NDArray[np.int64]
    sums: NDArray[np.float64]
    moments: NDArray[np.float64]
    above: dict[int, NDArray[np.int64]]
    zeros: dict[int, NDArray[np.int64]]
    clipped: dict[int, NDArray[np.int64]]
    percentiles: dict[tuple[int, int], NDArray[np.float64]]
    contrast: dict[tuple[int, int], NDArray[np.float64]]

    def sum(self, channel: int, k: int) -> NDArray[np.float64]:
        """Give the sums of one channel in one compartment, (N,)."""
        return self.sums[channel // GROUP, :, k, channel % GROUP]


def no_totals(n: int, plan: Plan) -> Totals:
    """Begin with all sums at 0."""

    def whole(*shape: int) -> NDArray[np.int64]:
        return np.zeros((n, *shape), np.int64)

    return Totals(
        count=whole(3),
        start=whole(3),
        box=whole(6),
        first=whole(3),
        second=whole(6),
        same=whole(4),
        convex=whole(),
        sums=np.zeros((-(-plan.channels // GROUP), n, 3, GROUP)),
        moments=np.zeros((plan.channels if plan.moments else 0, n, 3, 6)),
        above={c: whole(3) for c in plan.levels},
        zeros={c: whole(3) for c in sorted(plan.zeros)},
        clipped={c: whole(3) for c in sorted(plan.clipped)},
        percentiles={key: np.full((n, len(s)), np.nan) for key, s in plan.percentiles.items()},
        contrast={key: np.full(n, np.nan) for key in plan.contrast},
    )


@dataclass(frozen=True)
class Window:
    """Arrays of a field, or of a part of it that holds some objects whole.

    Parameters
    ----------
    labels
        Compartment -> (Z, Y, X) labels.
    images
        One (Z, Y, X) array per channel.
    clipped
        The same of bool, or nothing.
    origin
        (z, y, x) of the first pixel in the field.
    mine
        (N,) objects to be measured here.
    """

    labels: Mapping[str, NDArray[Any]]
    images: Sequence[NDArray[Any]]
    clipped: Sequence[NDArray[Any]]
    origin: tuple[int, int, int]
    mine: NDArray[np.bool_]


def add_window(totals: Totals, window: Window, rows: Rows, plan: Plan, threads: int = 1) -> None:
    """Measure the objects of a window, which must lie in it whole.

    Parameters
    ----------
    totals
        The rows of these objects are filled.
    window, rows, plan
        What, where, and which.
    threads
        Channels that may be added up at the same time; the sums do not depend on it.

    Raises
    ------
    LabelsError
        A ring or cell has a number that no nucleus has.
    """
    with ThreadPoolExecutor(max(1, threads)) as pool:
        each: Callable[..., Any] = map if threads < 2 else pool.map
        step = 1 if plan.moments else GROUP
        parts = [range(c, min(c + step, plan.channels)) for c in range(0, plan.channels, step)]
        for runs in runs_of(window, rows):
            _add_places(totals, window, plan, runs)
            list(each(lambda part: _add_channels(totals, window, plan, part, runs), parts))  # noqa: B023
    for key in plan.contrast:
        _add_contrast(totals, window, rows, plan, key)
    for key, shares in plan.percentiles.items():
        _add_percentiles(totals, window, rows, key, shares)
    if plan.solidity:
        _add_hulls(totals, window, rows)


def runs_of(window: Window, rows: Rows) -> Iterator[Runs]:
    """Find the runs of each strip of a window, in raster order; the arrays are used again."""
    given = [window.labels.get(name) for name in COMPARTMENTS]
    shape = window.labels[NUCLEUS].shape
    room = min(shape[1] * shape[2], max(shape[2], STRIP))
    ends, row = np.empty((room + 1, 3), np.int32), np.empty((room + 1, 3), np.int32)
    nothing = np.zeros(room, np.uint32)
    table = only(rows, window.mine)
    for place in strips(shape):
        none = nothing[: (place[2] - place[1]) * shape[2]].reshape(-1, shape[2])
        raw = [none if one is None else label_strip(one, *place) for one in given]
        own = [places_of(rows, one) for one in raw] if rows.slots.size else raw
        n, strange = _runs.find_runs(own[0], own[1], own[2], table, ends, row)
        if strange:
            _refuse(raw, rows)
        yield place, ends, row, n


def _refuse(labels: Sequence[NDArray[np.uint32]], rows: Rows) -> None:
    for name, one in zip(COMPARTMENTS, labels, strict=True):
        strange = np.setdiff1d(one[one > 0], rows.ids)
        if strange.size:
            raise LabelsError(f"{name}: label {strange[0]} belongs to no nucleus")


def _add_places(totals: Totals, window: Window, plan: Plan, runs: Runs) -> None:
    (z, y0, y1), ends, row, n = runs
    width = window.labels[NUCLEUS].shape[-1]
    _runs.add_geometry(
        ends, row, n, width, _corner(window, z, y0), totals.count, totals.start, totals.box,
        totals.first, totals.second,
    )  # fmt: skip
    if plan.perimeter:
        own = label_strip(window.labels[NUCLEUS], z, y0, y1 + 1)
        _runs.add_neighbours(own, ends, row, n, totals.same)


def _corner(window: Window, z: int, y: int) -> tuple[int, int, int]:
    return (window.origin[0] + z, window.origin[1] + y, window.origin[2])


def pixel_strip(image: NDArray[Any], z: int, y0: int, y1: int) -> NDArray[Any]:
    """Lines of an image in a type that the compiled core takes; a view if they are in one."""
    own = image[z, y0:y1]
    return np.require(own, own.dtype if own.dtype in _DIRECT else np.float64, ["C", "W"])


def _add_channels(totals: Totals, window: Window, plan: Plan, channels: range, runs: Runs) -> None:
    """Add up a strip of one channel, or of a group of which only means and sums are asked."""
    place, ends, row, n = runs
    pixels = [pixel_strip(window.images[c], *place).ravel() for c in channels]
    first = channels[0]
    sums = totals.sums[first // GROUP]
    if plan.moments:
        moments = totals.moments[first]
        _pixels.add_moments(pixels[0], ends, row, n, sums, first % GROUP, moments)
    else:
        if len({own.dtype for own in pixels}) > 1:
            pixels = [own.astype(np.float64) for own in pixels]
        # A place that is left over gets the sums of the last channel, which nobody asks for.
        four = [pixels[min(i, len(pixels) - 1)] for i in range(GROUP)]
        _pixels.add_sums(four[0], four[1], four[2], four[3], ends, row, n, sums)
    for channel, own in zip(channels, pixels, strict=True):
        if channel in plan.levels:
            _pixels.add_above(own, ends, row, n, plan.levels[channel], totals.above[channel])
        if channel in plan.zeros:
            _pixels.add_zeros(own, ends, row, n, totals.zeros[channel])
        if channel in plan.clipped:
            z, y0, y1 = place
            clipped = np.require(window.clipped[channel][z, y0:y1], bool, ["C", "W"])
            _pixels.add_above(
                clipped.view(np.uint8).ravel(), ends, row, n, 0.5, totals.clipped[channel]
            )


def _add_contrast(
    totals: Totals, window: Window, rows: Rows, plan: Plan, key: tuple[int, int]
) -> None:
    channel, k = key
    squares, pairs = np.zeros(rows.ids.size), np.zeros(rows.ids.size, np.int64)
    for (z, y0, y1), ends, row, n in runs_of(window, rows):
        last = y1 + plan.lag[0]
        labels = label_strip(window.labels[COMPARTMENTS[k]], z, y0, last)
        pixels = pixel_strip(window.images[channel], z, y0, last)
        _pixels.add_contrast(pixels, labels, ends, row, n, k, plan.lag, squares, pairs)
    some = window.mine & (pairs > 0)
    totals.contrast[key][some] = np.sqrt(squares[some] / pairs[some] / 2)


def _add_percentiles(
    totals: Totals, window: Window, rows: Rows, key: tuple[int, int], shares: tuple[float, ...]
) -> None:
    channel, k = key
    count = np.where(window.mine, totals.count[:, k], 0)
    offset = np.concatenate([[0], np.cumsum(count)])
    kind = window.images[channel].dtype
    values = np.empty(offset[-1], kind if kind in _DIRECT else np.float64)
    cursor = offset[:-1].copy()
    for place, ends, row, n in runs_of(window, rows):
        pixels = pixel_strip(window.images[channel], *place).ravel()
        _pixels.gather(pixels, ends, row, n, k, cursor, values)
    known = window.mine & np.isfinite(totals.sum(channel, k))
    _pixels.percentiles(values, offset, known, np.array(shares), totals.percentiles[key])


def _add_hulls(totals: Totals, window: Window, rows: Rows) -> None:
    size = totals.box[:, 3:] - totals.box[:, :3] + 1
    lines = np.where(window.mine, size[:, 0] * size[:, 1], 0)
    offset = np.cumsum(lines) - lines
    extent = np.full((lines.sum(), 2), -1, np.int32)
    width = window.labels[NUCLEUS].shape[-1]
    for (z, y0, _), ends, row, n in runs_of(window, rows):
        corner = _corner(window, z, y0)
        _runs.add_extents(ends, row, n, width, corner, totals.box, offset, extent)
    flat = window.mine & (size[:, 0] == 1)
    totals.convex[flat] = _hull.hull_pixels(extent, offset[flat], lines[flat])
    deep = window.mine & ~flat
    totals.convex[deep] = _hull.hull_voxels(extent, offset[deep], lines[deep], totals.box[deep])

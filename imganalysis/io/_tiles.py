"""Tile scans: which part of each tile is counted, so that overlap is counted once."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imganalysis.io._facts import Rectangle

# Share of a tile's side: positions closer than this are one row, and must agree to the second.
_SAME_ROW = 0.25
_JITTER = 0.1


def counted_parts(
    positions: Mapping[int, tuple[float, float]], height: int, width: int
) -> dict[int, Rectangle | None] | None:
    """Cut every overlap of neighbouring tiles in its middle.

    The cuts run straight through the whole scan, between its columns and between its rows, so
    no point of the tissue is in the counted part of two tiles.

    Parameters
    ----------
    positions
        Upper left corner (y, x) of each tile, in pixels, y down and x to the right.
    height, width
        Of every tile, in pixels.

    Returns
    -------
    parts
        (y0, y1, x0, x1) in pixels of each tile, None for all of it; or None altogether if the
        positions are no grid, so that it is not known what overlaps.
    """
    if len(positions) < 2:
        return dict.fromkeys(positions)
    ys = {tile: round(y) for tile, (y, _) in positions.items()}
    xs = {tile: round(x) for tile, (_, x) in positions.items()}
    rows, columns = _cuts(ys, height), _cuts(xs, width)
    if rows is None or columns is None:
        return None
    cells = {(rows[tile], columns[tile]) for tile in positions}
    if len(cells) < len(positions):
        return None  # two tiles in one place
    parts: dict[int, Rectangle | None] = {}
    for tile in positions:
        y0, y1 = _inside(rows[tile], ys[tile], height)
        x0, x1 = _inside(columns[tile], xs[tile], width)
        if y0 >= y1 or x0 >= x1:
            return None
        whole = (y0, y1, x0, x1) == (0, height, 0, width)
        parts[tile] = None if whole else (y0, y1, x0, x1)
    return parts


def _cuts(starts: dict[int, int], side: int) -> dict[int, tuple[float, float]] | None:
    """(from, to) along one axis for each tile; None if the starts make no rows."""
    groups: list[list[int]] = []
    for start in sorted(set(starts.values())):
        if groups and start - groups[-1][-1] < side * _SAME_ROW:
            groups[-1].append(start)
        else:
            groups.append([start])
    if any(group[-1] - group[0] > side * _JITTER for group in groups):
        return None
    # Where rows overlap the cut is the middle of the overlap, else the middle of the gap.
    cuts: list[float] = [(before[-1] + side + after[0]) // 2 for before, after in pairwise(groups)]
    edges = [float("-inf"), *cuts, float("inf")]
    where = {start: i for i, group in enumerate(groups) for start in group}
    return {tile: (edges[where[s]], edges[where[s] + 1]) for tile, s in starts.items()}


def _inside(cell: tuple[float, float], start: int, side: int) -> tuple[int, int]:
    """Give the cell in pixels of the tile that starts at `start`."""
    low, high = cell
    return int(max(low - start, 0)), int(min(high - start, side))


def any_overlap(positions: Mapping[int, tuple[float, float]], height: float, width: float) -> bool:
    """Whether two fields at these positions (same unit as the sides) share ground."""
    places = list(positions.values())
    return any(
        abs(a[0] - b[0]) < height and abs(a[1] - b[1]) < width
        for i, a in enumerate(places)
        for b in places[i + 1 :]
    )

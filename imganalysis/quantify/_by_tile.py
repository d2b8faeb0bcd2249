"""Fields larger than memory, measured tile by tile with the same bytes as in one piece.

An object is measured whole, in raster order, by the tile that holds its centroid: the tile reads
as much beyond its sides as its objects need. So memory holds a tile with its objects, and the
sums over them; of an object whose parts lie far apart, all that lies between them.
"""

from __future__ import annotations

from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.errors import LabelsError
from imganalysis.quantify import _runs
from imganalysis.quantify._rows import as_stack, check_range, find_ids, make_rows
from imganalysis.quantify._totals import (
    COMPARTMENTS,
    NUCLEUS,
    Plan,
    Totals,
    Window,
    add_window,
    no_totals,
    runs_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Part = tuple[slice, ...]


def is_lazy(array: Any) -> bool:
    """Whether an array is one of dask's."""
    return hasattr(array, "__dask_graph__")


def add_tiles(
    labels: Mapping[str, Any],
    images: Sequence[Any],
    clipped: Sequence[Any],
    plan: Plan,
    threads: int,
) -> tuple[NDArray[np.uint32], Totals]:
    """Measure arrays of which at least one is dask's, tile by tile.

    Parameters
    ----------
    labels, images, clipped
        ([Z,] Y, X) each; tiles are the chunks of the first one that has any.
    plan, threads
        As in `imganalysis.quantify._totals.add_window`.

    Returns
    -------
    ids
        (N,) numbers of the objects, ascending.
    totals
        Of them.

    Raises
    ------
    LabelsError
        Numbers that are no labels, or that no nucleus has.
    """
    lazy = next(a for a in (*labels.values(), *images, *clipped) if is_lazy(a))
    axes = labels[NUCLEUS].ndim
    bounds = [np.cumsum([0, *chunks]) for chunks in lazy.chunks[-axes:]]
    ids, box, centre = _survey(labels, bounds)
    rows = make_rows(ids, int(np.prod(labels[NUCLEUS].shape)))
    totals = no_totals(ids.size, plan)
    # Half pixels go up; which tile it is matters for nothing but where the work is done.
    pixel = np.floor(centre + 0.5).astype(np.int64)[:, 3 - axes :]
    owner = [np.searchsorted(b, pixel[:, i], side="right") - 1 for i, b in enumerate(bounds)]
    for tile in product(*(range(len(b) - 1) for b in bounds)):
        mine = np.all([own == i for own, i in zip(owner, tile, strict=True)], axis=0)
        if not mine.any():
            continue
        low, high = box[mine, :3].min(axis=0), box[mine, 3:].max(axis=0) + 1
        part = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))[3 - axes :]
        arrays = _blocks([*labels.values(), *images, *clipped], part)
        here, rest = arrays[: len(labels)], arrays[len(labels) :]
        window = Window(
            dict(zip(labels, here, strict=True)),
            rest[: len(images)],
            rest[len(images) :],
            (int(low[0]), int(low[1]), int(low[2])),
            mine,
        )
        add_window(totals, window, rows, plan, threads)
    return ids, totals


def _blocks(arrays: Sequence[Any], part: Part) -> list[NDArray[Any]]:
    """Read the same part of several arrays at once, as (Z, Y, X)."""
    from dask.base import compute

    read: Any = compute
    return [as_stack(np.asarray(one)) for one in read(*(array[part] for array in arrays))]


def _survey(
    labels: Mapping[str, Any], bounds: Sequence[NDArray[np.int64]]
) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.float64]]:
    """Numbers of all objects, their boxes with all compartments, and their nuclei's centroids."""
    parts = [
        tuple(slice(int(a), int(b)) for a, b in tile)
        for tile in product(*(pairwise(b) for b in bounds))
    ]
    found, boxes, counts, places = zip(*(_survey_tile(labels, p) for p in parts), strict=True)
    ids, row = np.unique(np.concatenate(found), return_inverse=True)
    box, count, place = _no_boxes(ids.size), *np.zeros((2, ids.size, 3), np.int64)
    np.minimum.at(box[:, :3], row, np.concatenate(boxes)[:, :3])
    np.maximum.at(box[:, 3:], row, np.concatenate(boxes)[:, 3:])
    np.add.at(count, row, np.concatenate(counts))
    np.add.at(place, row, np.concatenate(places))
    for k, name in enumerate(COMPARTMENTS):
        strange = ids[(count[:, 0] == 0) & (count[:, k] > 0)]
        if strange.size:
            raise LabelsError(f"{name}: label {strange[0]} belongs to no nucleus")
    return ids, box, place / count[:, :1]


def _survey_tile(
    labels: Mapping[str, Any], part: Part
) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Numbers in a tile, and what it holds of each: box, pixels, sum of the nucleus's places."""
    blocks = dict(zip(labels, _blocks([*labels.values()], part), strict=True))
    for name, block in blocks.items():
        check_range(name, block)
    ids = np.unique(np.concatenate([find_ids(block) for block in blocks.values()]))
    start = [0] * (3 - len(part)) + [side.start for side in part]
    window = Window(blocks, (), (), (start[0], start[1], start[2]), np.ones(ids.size, bool))
    totals, box = no_totals(ids.size, Plan(channels=0)), _no_boxes(ids.size)
    width = blocks[NUCLEUS].shape[-1]
    for (z, y0, _), ends, row, n in runs_of(window, make_rows(ids, blocks[NUCLEUS].size)):
        corner = (start[0] + z, start[1] + y0, start[2])
        _runs.add_geometry(
            ends, row, n, width, corner, totals.count, totals.start, totals.box, totals.first,
            totals.second,
        )  # fmt: skip
        _runs.add_boxes(ends, row, n, width, corner, box)
    return ids, box, totals.count, totals.first + totals.start * totals.count[:, :1]


def _no_boxes(n: int) -> NDArray[np.int64]:
    """Boxes that hold nothing yet: from the largest number to -1."""
    box = np.full((n, 6), -1, np.int64)
    box[:, :3] = np.iinfo(np.int64).max
    return box

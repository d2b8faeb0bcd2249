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
    Totals,
    Window,
    add_window,
    no_totals,
    runs_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from imganalysis.quantify._totals import Plan

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
        window = Window(
            {name: _block(one, part) for name, one in labels.items()},
            [_block(image, part) for image in images],
            [_block(mask, part) for mask in clipped],
            (int(low[0]), int(low[1]), int(low[2])),
            mine,
        )
        add_window(totals, window, rows, plan, threads)
    return ids, totals


def _block(array: Any, part: Part) -> NDArray[Any]:
    return as_stack(np.asarray(array[part]))


def _survey(
    labels: Mapping[str, Any], bounds: Sequence[NDArray[np.int64]]
) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.float64]]:
    """Numbers of all objects, their boxes with all compartments, and their nuclei's centroids."""
    found, boxes, counts, places = [], [], [], []
    for tile in product(*(pairwise(b) for b in bounds)):
        part = tuple(slice(int(a), int(b)) for a, b in tile)
        blocks = {name: _block(one, part) for name, one in labels.items()}
        for name, block in blocks.items():
            check_range(name, block)
        some = np.unique(np.concatenate([find_ids(block) for block in blocks.values()]))
        rows = make_rows(some, blocks[NUCLEUS].size)
        origin = (0,) * (3 - len(part)) + tuple(side.start for side in part)
        count = np.zeros((some.size, 3), np.int64)
        start, first = np.zeros((some.size, 3), np.int64), np.zeros((some.size, 3), np.int64)
        inner, second = np.zeros((some.size, 6), np.int64), np.zeros((some.size, 6), np.int64)
        box = np.full((some.size, 6), np.iinfo(np.int64).max)
        box[:, 3:] = -1
        window = Window(blocks, (), (), origin, np.ones(some.size, bool))
        width = blocks[NUCLEUS].shape[-1]
        for (z, y0, _), ends, row, n in runs_of(window, rows):
            corner = (origin[0] + z, origin[1] + y0, origin[2])
            _runs.add_geometry(
                ends, row, n, width, corner, count, start, inner, first, second
            )  # fmt: skip
            _runs.add_boxes(ends, row, n, width, corner, box)
        found.append(some)
        boxes.append(box)
        counts.append(count)
        places.append(first + start * count[:, :1])
    numbers = np.concatenate(found)
    ids, row_of = np.unique(numbers, return_inverse=True)
    low = np.full((ids.size, 3), np.iinfo(np.int64).max)
    high = np.full((ids.size, 3), -1)
    count, place = np.zeros((ids.size, 3), np.int64), np.zeros((ids.size, 3), np.int64)
    box = np.concatenate(boxes)
    np.minimum.at(low, row_of, box[:, :3])
    np.maximum.at(high, row_of, box[:, 3:])
    np.add.at(count, row_of, np.concatenate(counts))
    np.add.at(place, row_of, np.concatenate(places))
    for k, name in enumerate(COMPARTMENTS):
        strange = ids[(count[:, 0] == 0) & (count[:, k] > 0)]
        if strange.size:
            raise LabelsError(f"{name}: label {strange[0]} belongs to no nucleus")
    return ids, np.column_stack([low, high]), place / count[:, :1]

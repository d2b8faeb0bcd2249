"""The numbers of the objects and their rows; label images checked, strip by strip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.errors import LabelsError
from imganalysis.quantify import _runs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

LARGEST = 2**32 - 1
STRIP = 1 << 17
"""Pixels that are worked on at a time: with their labels and channels they stay in the cache."""

_FEW = 1 << 16


@dataclass(frozen=True)
class Rows:
    """Numbers of the objects in ascending order, and how to find the row of a number.

    Parameters
    ----------
    ids
        (N,) uint32.
    table
        Number -> row, -1 for 0, -2 for a number that no object has and for all from the last
        entry on. Numbers too far apart for a table of their own are first replaced by their
        place, 1 to N.
    slots
        Then the hash table for that; else empty.
    """

    ids: NDArray[np.uint32]
    table: NDArray[np.int32]
    slots: NDArray[np.int32]


def make_rows(ids: NDArray[np.uint32], pixels: int) -> Rows:
    """Prepare the search for rows.

    Parameters
    ----------
    ids
        Ascending, without 0.
    pixels
        Of the label image: the table takes an eighth of its memory at most.
    """
    largest = int(ids[-1]) if ids.size else 0
    far = largest >= max(_FEW, pixels // 8)
    places = np.arange(1, ids.size + 1) if far else ids
    table = np.full((ids.size if far else largest) + 2, -2, np.int32)
    table[0] = -1
    table[places] = np.arange(ids.size, dtype=np.int32)
    slots = np.full(1 << (2 * ids.size - 1).bit_length() if far else 0, -1, np.int32)
    if far:
        _runs.fill_slots(ids, slots)
    return Rows(ids, table, slots)


def only(rows: Rows, mine: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Table that passes over the objects that are not mine."""
    if mine.all():
        return rows.table
    others = rows.table >= 0
    others[others] = ~mine[rows.table[others]]
    return np.where(others, np.int32(-1), rows.table)


def check_labels(name: str, labels: Any, shape: tuple[int, ...]) -> None:
    """Check type and shape of a compartment's labels.

    Raises
    ------
    LabelsError
        Not whole numbers, or of another shape.
    """
    if labels.dtype == bool:
        raise LabelsError(
            f"{name}: a mask of yes and no, expected one whole number per object; "
            "number its objects first, e.g. with skimage.measure.label"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise LabelsError(
            f"{name}: pixels of type {labels.dtype}, expected whole numbers (labels); "
            "is this an image, not a label image?"
        )
    if tuple(labels.shape) != shape:
        raise LabelsError(
            f"{name}: shape {tuple(labels.shape)}, but the nuclei have {shape}; "
            "all compartments must be of the same field, not cropped, scaled or turned"
        )


def check_range(name: str, labels: NDArray[Any]) -> None:
    """Check that all numbers fit the type of labels, uint32.

    Raises
    ------
    LabelsError
        A negative number, or one above 2**32 - 1.
    """
    kind = np.iinfo(labels.dtype)
    if labels.size and kind.min < 0 and labels.min() < 0:
        raise LabelsError(
            f"{name}: smallest label {labels.min()}, expected 0 for the background and numbers "
            "from 1 for objects"
        )
    if labels.size and kind.max > LARGEST and labels.max() > LARGEST:
        raise LabelsError(f"{name}: largest label {labels.max()}, expected at most {LARGEST}")


def as_stack(array: NDArray[Any]) -> NDArray[Any]:
    """(Y, X) as (1, Y, X); (Z, Y, X) as it is."""
    return array if array.ndim == 3 else array[np.newaxis]


def strips(shape: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    """Plane, first line, and line after the last, of each strip of a stack, in raster order."""
    depth, height, width = shape
    lines = max(1, STRIP // max(width, 1))
    for z in range(depth):
        for y in range(0, height, lines):
            yield z, y, min(y + lines, height)


def label_strip(labels: NDArray[Any], z: int, y0: int, y1: int) -> NDArray[np.uint32]:
    """Lines of a label stack in the one type that the compiled core takes; a view if it is that."""
    return np.require(labels[z, y0:y1], np.uint32, ["C", "W"])


def find_ids(labels: NDArray[Any]) -> NDArray[np.uint32]:
    """Numbers that occur in a (Z, Y, X) label stack, ascending, without 0."""
    seen = np.zeros(_FEW, bool)
    limit = max(_FEW, labels.size // 8)
    far = [np.empty(0, np.uint32)]
    for strip in strips(labels.shape):
        own = label_strip(labels, *strip)
        largest = _runs.mark(own, seen)
        if largest < seen.size:
            continue
        if seen.size < limit:
            more = np.zeros(min(limit, 2 * largest), bool)
            more[: seen.size] = seen
            seen = more
            largest = _runs.mark(own, seen)
        if largest >= seen.size:
            high = own[own >= seen.size]
            begins = np.append(True, high[1:] != high[:-1])
            far.append(np.unique(high[begins]))
    ids = np.flatnonzero(seen[1:]) + 1
    return np.concatenate([ids.astype(np.uint32), np.unique(np.concatenate(far))])


def places_of(rows: Rows, labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Numbers of a strip, replaced as `Rows` says."""
    places = np.empty_like(labels)
    _runs.to_places(labels, rows.ids, rows.slots, places)
    return places

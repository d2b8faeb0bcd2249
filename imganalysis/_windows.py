"""Windows on a field: where something changed, and what lies around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.quantify._contacts import ContactCounts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Box = tuple[tuple[int, int], ...]
"""First pixel, and the one after the last, along each axis."""


def touched(
    old: NDArray[np.uint32], new: NDArray[np.uint32]
) -> tuple[NDArray[np.uint32], Box] | None:
    """Find the nuclei that differ between two label images, and the box around all of each.

    Returns
    -------
    named
        Labels, ascending, of the old and the new image.
    box
        That holds them whole, in both; None where the images are equal.
    """
    differs = old != new
    if not differs.any():
        return None
    named = present(np.concatenate([old[differs], new[differs]]))
    box = around(named, (old, new), [0] * old.ndim)
    assert box is not None  # noqa: S101  # a pixel differs, so that one of them has a nucleus
    return named, box


def present(labels: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Labels that occur, ascending, without the background."""
    high = int(labels.max(initial=0))
    if high <= 4 * labels.size + 1024:
        seen = np.zeros(high + 1, bool)
        seen[labels.ravel()] = True
        seen[0] = False
        return np.flatnonzero(seen).astype(np.uint32)
    ids = np.unique(labels)
    return ids[ids > 0]


def around(
    ids: NDArray[np.uint32], images: Sequence[NDArray[np.uint32]], margin: Sequence[int]
) -> Box | None:
    """Box around all pixels of some labels in label images, with a margin; None without any."""
    boxes = [found for image in images if (found := _box(ids, image)) is not None]
    if not boxes:
        return None
    box = tuple((min(low for low, _ in axis), max(high for _, high in axis))
                for axis in zip(*boxes, strict=True))  # fmt: skip
    return grown(box, margin, images[0].shape)


def _box(ids: NDArray[np.uint32], image: NDArray[np.uint32]) -> Box | None:
    if not ids.size:
        return None
    high = int(image.max(initial=0))
    if high <= 4 * image.size + 1024:
        wanted = np.zeros(high + 1, bool)
        wanted[ids[ids <= high]] = True
        inside = wanted[image]
    else:
        inside = np.isin(image, ids)
    return box_of(inside)


def box_of(inside: NDArray[np.bool_]) -> Box | None:
    """Smallest box that holds all places that are true; None where none is."""
    sides = []
    for axis in range(inside.ndim):
        others = tuple(i for i in range(inside.ndim) if i != axis)
        hit = np.flatnonzero(inside.any(axis=others))
        if not hit.size:
            return None
        sides.append((int(hit[0]), int(hit[-1]) + 1))
    return tuple(sides)


def grown(box: Box, margin: Sequence[int], shape: tuple[int, ...]) -> Box:
    """Make a box larger on every side, as far as the image goes."""
    return tuple(
        (max(0, low - by), min(size, high + by))
        for (low, high), by, size in zip(box, margin, shape, strict=True)
    )


def slices(box: Box) -> tuple[slice, ...]:
    """Slice an image to a box."""
    return tuple(slice(low, high) for low, high in box)


def patch_counts(
    old: ContactCounts,
    close: NDArray[np.uint32],
    ids: NDArray[np.uint32],
    new: ContactCounts | None,
) -> ContactCounts:
    """Put the contacts of some cells in the place of their old ones.

    Parameters
    ----------
    old
        Of the field as it was.
    close
        Cells whose rows are new.
    ids
        All cells that are there now, ascending.
    new
        Of a window that holds these whole; None where none of them is there any more.
    """
    numbers, mine = ids.astype(np.int64), close.astype(np.int64)
    keep, keep_pairs = ~np.isin(old.ids, mine), ~np.isin(old.pairs[:, 0], mine)
    parts: list[tuple[ContactCounts, Any, Any]] = [(old, keep, keep_pairs)]
    if new is not None:
        parts.append((new, np.isin(new.ids, mine), np.isin(new.pairs[:, 0], mine)))
    own = np.concatenate([part.ids[rows] for part, rows, _ in parts])
    order = np.argsort(own, kind="stable")
    pairs = np.concatenate([part.pairs[rows] for part, _, rows in parts])
    by_pair = np.lexsort((pairs[:, 1], pairs[:, 0]))

    def of_cells(name: str) -> NDArray[np.int64]:
        found = np.concatenate([getattr(part, name)[rows] for part, rows, _ in parts])
        return np.asarray(found[order])

    def of_pairs(name: str) -> NDArray[np.int64]:
        found = np.concatenate([getattr(part, name)[rows] for part, _, rows in parts])
        return np.asarray(found[by_pair])

    assert np.array_equal(own[order], numbers)  # noqa: S101
    means = {
        marker: np.concatenate([part.means[marker][rows] for part, _, rows in parts])[by_pair]
        for marker in old.means
    }
    return ContactCounts(
        numbers, of_cells("outline"), of_cells("ring"), pairs[by_pair], of_pairs("shared"),
        of_pairs("arc"), means,
    )  # fmt: skip

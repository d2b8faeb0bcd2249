"""How well found nuclei agree with true ones: objects matched by overlap, counted, pooled.

All from one table: how many pixels each true object shares with each found one. Counts add up
over images, so that an image weighs by its nuclei; rates are made of the sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from imganalysis.errors import LabelsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
"""IoU from which a found object counts as a true one."""

COVERED = 0.2
"""An object takes part in a split or merge if more than this share of the true one is covered."""

SIZES = ("small", "medium", "large")
"""Names of the tertiles of the true objects' size."""


@dataclass(frozen=True)
class Overlap:
    """Which objects of two label images share pixels, and how many.

    Parameters
    ----------
    true_ids, found_ids
        (n,) uint64, ascending: the numbers in the two images.
    true_size, found_size
        (n,) int64, pixels of each object.
    pairs
        (m, 2) int64, positions in ``true_ids`` and ``found_ids`` of objects that share a pixel.
    shared
        (m,) int64, pixels that they share.
    """

    true_ids: NDArray[np.uint64]
    found_ids: NDArray[np.uint64]
    true_size: NDArray[np.int64]
    found_size: NDArray[np.int64]
    pairs: NDArray[np.int64]
    shared: NDArray[np.int64]

    def iou(self) -> NDArray[np.float64]:
        """Shared over joint pixels of each pair, (m,)."""
        sizes = self.true_size[self.pairs[:, 0]] + self.found_size[self.pairs[:, 1]]
        return np.asarray(self.shared / (sizes - self.shared), np.float64)

    def matches(self, threshold: float) -> NDArray[np.int64]:
        """Pair objects one to one, as many as can be, each with an IoU of at least a threshold.

        Returns
        -------
        pairs
            (k, 2), rows of ``pairs``.

        Notes
        -----
        Two objects that share more than half of their joint pixels can have no other such
        partner, so above 0.5 the pairs are one to one as they are. At 0.5 exactly, and
        below, objects can compete; there the most pairs are found by Hopcroft and Karp's
        algorithm (SIAM J Comput 1973;2:225).
        """
        near = np.asarray(self.pairs[self.iou() >= threshold], np.int64)
        if threshold > 0.5 or not len(near):
            return near
        table = sparse.csr_array(
            (np.ones(len(near), np.int8), (near[:, 0], near[:, 1])),
            shape=(self.true_ids.size, self.found_ids.size),
        )
        partner = csgraph.maximum_bipartite_matching(table, perm_type="column")
        true = np.flatnonzero(partner >= 0)
        return np.column_stack([true, partner[true]]).astype(np.int64)

    def covering(self) -> NDArray[np.int64]:
        """Pairs in which the found object covers more than `COVERED` of the true one."""
        covered = self.shared > COVERED * self.true_size[self.pairs[:, 0]]
        return np.asarray(self.pairs[covered], np.int64)


@dataclass(frozen=True)
class Counts:
    """Objects matched, too many, and missed; add those of several images to pool them.

    Parameters
    ----------
    thresholds
        IoU from which a found object counts as a true one.
    hits, false, missed
        Number of objects at each threshold: matched, found only, true only.
    splits
        True objects of which two or more found ones each cover more than 20 %.
    merges
        Found objects that cover more than 20 % of each of two or more true ones.
    """

    thresholds: tuple[float, ...] = THRESHOLDS
    hits: tuple[int, ...] = (0,) * len(THRESHOLDS)
    false: tuple[int, ...] = (0,) * len(THRESHOLDS)
    missed: tuple[int, ...] = (0,) * len(THRESHOLDS)
    splits: int = 0
    merges: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Pool; only counts at the same thresholds can be."""
        if self.thresholds != other.thresholds:
            raise ValueError(
                f"counts at IoU {self.thresholds} and at {other.thresholds} cannot be pooled"
            )

        def summed(mine: tuple[int, ...], others: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(a + b for a, b in zip(mine, others, strict=True))

        return Counts(
            self.thresholds,
            summed(self.hits, other.hits),
            summed(self.false, other.false),
            summed(self.missed, other.missed),
            self.splits + other.splits,
            self.merges + other.merges,
        )

    @property
    def n_true(self) -> int:
        """True objects."""
        return self.hits[0] + self.missed[0]

    @property
    def n_found(self) -> int:
        """Objects found."""
        return self.hits[0] + self.false[0]

    def ap(self) -> tuple[float | None, ...]:
        """TP / (TP + FP + FN) at each threshold; None where there is no object at all."""
        return tuple(_ratio(tp, tp + fp + fn) for tp, fp, fn in self._rows())

    def f1(self) -> tuple[float | None, ...]:
        """2 TP / (2 TP + FP + FN) at each threshold; None where there is no object at all."""
        return tuple(_ratio(2 * tp, 2 * tp + fp + fn) for tp, fp, fn in self._rows())

    def _rows(self) -> list[tuple[int, int, int]]:
        """Hits, false and missed at each threshold.

        A found object goes to the class of its own size where it matches none, so a class without
        any object may get some at higher thresholds. They are of another class, and no score.
        """
        if not self.n_true + self.n_found:
            return [(0, 0, 0)] * len(self.thresholds)
        return list(zip(self.hits, self.false, self.missed, strict=True))

    def precision(self) -> tuple[float | None, ...]:
        """TP / found at each threshold; None where nothing was found."""
        return tuple(_ratio(tp, self.n_found) for tp in self.hits)

    def recall(self) -> tuple[float | None, ...]:
        """TP / true at each threshold; None where there is nothing to find."""
        return tuple(_ratio(tp, self.n_true) for tp in self.hits)

    def split_rate(self) -> float | None:
        """Give splits over true objects."""
        return _ratio(self.splits, self.n_true)

    def merge_rate(self) -> float | None:
        """Give merges over objects found."""
        return _ratio(self.merges, self.n_found)

    def count_error(self) -> float | None:
        """(found - true) / true: 0.1 is a tenth too many."""
        return _ratio(self.n_found - self.n_true, self.n_true)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``precision`` and ``recall`` are at the lowest threshold."""
        names = [f"{threshold:g}" for threshold in self.thresholds]
        return {
            "n_true": self.n_true,
            "n_found": self.n_found,
            "ap": dict(zip(names, self.ap(), strict=True)),
            "f1": dict(zip(names, self.f1(), strict=True)),
            "precision": self.precision()[0],
            "recall": self.recall()[0],
            "split_rate": self.split_rate(),
            "merge_rate": self.merge_rate(),
            "count_error": self.count_error(),
        }


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def overlap(
    true: NDArray[np.integer[Any]],
    found: NDArray[np.integer[Any]],
    *,
    ignore: NDArray[np.bool_] | None = None,
) -> Overlap:
    """Tabulate how two label images overlap.

    Parameters
    ----------
    true, found
        (Y, X) or (Z, Y, X), same shape, any integer type, 0 = background, one number per
        object, in any order and with gaps. An object may lie in several pieces.
    ignore
        bool, same shape: where nobody could tell. Objects of either image of which more than
        half lies there are left out; all others are taken whole.

    Raises
    ------
    LabelsError
        Not whole numbers, a negative one, or shapes that differ.
    """
    true, found = _checked(true, "true"), _checked(found, "found")
    if true.shape != found.shape:
        raise LabelsError(f"true labels of shape {true.shape}, found ones of {found.shape}")
    if ignore is not None and (ignore.dtype != bool or ignore.shape != true.shape):
        raise LabelsError(
            f"the mask of what to ignore must be yes and no of shape {true.shape}; "
            f"got {ignore.dtype} of {ignore.shape}"
        )
    true_ids, true_index = _numbered(true.ravel(), ignore)
    found_ids, found_index = _numbered(found.ravel(), ignore)
    both = (true_index > 0) & (found_index > 0)
    table = sparse.coo_array(
        (
            np.ones(np.count_nonzero(both), np.int64),
            (true_index[both] - 1, found_index[both] - 1),
        ),
        shape=(true_ids.size, found_ids.size),
    ).tocsr()
    table.sum_duplicates()
    table.sort_indices()
    entries = table.tocoo()
    return Overlap(
        true_ids,
        found_ids,
        np.bincount(true_index, minlength=true_ids.size + 1)[1:].astype(np.int64),
        np.bincount(found_index, minlength=found_ids.size + 1)[1:].astype(np.int64),
        np.column_stack([entries.row, entries.col]).astype(np.int64),
        np.asarray(entries.data, np.int64),
    )


def _checked(labels: NDArray[np.integer[Any]], what: str) -> NDArray[np.integer[Any]]:
    array = np.asarray(labels)
    if not np.issubdtype(array.dtype, np.integer):
        raise LabelsError(
            f"{what} labels of type {array.dtype}; expected whole numbers, one per object"
        )
    if array.size and np.issubdtype(array.dtype, np.signedinteger) and array.min() < 0:
        raise LabelsError(f"smallest of the {what} labels is {array.min()}; 0 is the background")
    return array


def _numbered(
    flat: NDArray[np.integer[Any]], ignore: NDArray[np.bool_] | None
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Numbers of the objects, and for each pixel 1 + the position of its object, or 0."""
    highest = int(flat.max()) if flat.size else 0
    if highest <= max(flat.size, 2**16):  # a table of all numbers is quicker than sorting
        numbers = np.arange(highest + 1, dtype=np.uint64)
        position = flat.astype(np.int64)
    else:
        values, inverse = np.unique(flat, return_inverse=True)
        numbers = values.astype(np.uint64)
        position = inverse.astype(np.int64).ravel()
    size = np.bincount(position, minlength=numbers.size)
    keep = (size > 0) & (numbers > 0)
    if ignore is not None:
        lost = np.bincount(position[ignore.ravel()], minlength=numbers.size)
        keep &= 2 * lost <= size
    order = np.where(keep, np.cumsum(keep), 0)
    return numbers[keep], order[position]


def count(
    pairs: Overlap,
    thresholds: Sequence[float] = THRESHOLDS,
    *,
    sizes: tuple[float, float] | None = None,
) -> Counts:
    """Count objects matched, too many and missed.

    Parameters
    ----------
    pairs
        As made by `overlap`.
    thresholds
        IoU, ascending.
    sizes
        Only true objects of more than the first and at most the second number of pixels,
        with what was found in their place; a found object without a true one goes by its own
        size. So the counts of classes of size add up to the counts of all.
    """
    low, high = sizes or (-np.inf, np.inf)
    true_in = (pairs.true_size > low) & (pairs.true_size <= high)
    covering = pairs.covering()
    split = np.bincount(covering[:, 0], minlength=pairs.true_ids.size) > 1
    merge = np.bincount(covering[:, 1], minlength=pairs.found_ids.size) > 1
    hits: list[int] = []
    false: list[int] = []
    missed: list[int] = []
    merges = 0
    for threshold in thresholds:
        matched = pairs.matches(threshold)
        goes_by = pairs.found_size.copy()
        goes_by[matched[:, 1]] = pairs.true_size[matched[:, 0]]
        found_in = (goes_by > low) & (goes_by <= high)
        hit = int(np.count_nonzero(true_in[matched[:, 0]]))
        if not hits:
            merges = int(np.count_nonzero(merge & found_in))
        hits.append(hit)
        false.append(int(np.count_nonzero(found_in)) - hit)
        missed.append(int(np.count_nonzero(true_in)) - hit)
    return Counts(
        tuple(thresholds),
        tuple(hits),
        tuple(false),
        tuple(missed),
        int(np.count_nonzero(split & true_in)),
        merges,
    )


def size_tertiles(images: Iterable[Overlap]) -> dict[str, tuple[float, float]]:
    """Cut the true objects of all images into three classes of size, as equal as can be.

    Returns
    -------
    dict
        Name of the class to its limits in pixels, for `count`; empty without an object.
    """
    sizes = [image.true_size for image in images]
    every = np.concatenate(sizes) if sizes else np.empty(0, np.int64)
    if not every.size:
        return {}
    first, second = (float(q) for q in np.quantile(every, [1 / 3, 2 / 3]))
    limits = ((-np.inf, first), (first, second), (second, np.inf))
    return dict(zip(SIZES, limits, strict=True))

"""What is counted at the contacts of cells, and the table that is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.quantify._touching import lattice

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ContactCounts:
    """What is counted and added up at contacts; any set of cells can be counted by itself.

    Parameters
    ----------
    ids
        (N,) labels of the cells, ascending.
    outline
        (N, directions) crossings of the lattice's lines out of each cell.
    ring
        (N,) pixels of each ring.
    pairs
        (P, 2) labels of cell and neighbour, two rows per contact, ascending.
    shared
        (P, directions) crossings from the one into the other.
    arc
        (P,) pixels of the cell's ring that face the neighbour.
    means
        Marker -> (P,) its mean there.
    """

    ids: NDArray[np.int64]
    outline: NDArray[np.int64]
    ring: NDArray[np.int64]
    pairs: NDArray[np.int64]
    shared: NDArray[np.int64]
    arc: NDArray[np.int64]
    means: dict[str, NDArray[np.float64]]


def contact_table(counts: ContactCounts, spacing_um: tuple[float, ...]) -> pd.DataFrame:
    """Make the table of contacts of what was counted; see `contacts`."""
    _, weights = lattice(spacing_um)
    own = np.searchsorted(counts.ids, counts.pairs[:, 0])
    # One row per contact is multiplied, as large as the field has them: the same bytes each time.
    once = counts.pairs[:, 0] < counts.pairs[:, 1]
    length = np.empty(len(own))
    length[once] = counts.shared[once] @ weights
    back = counts.pairs[:, ::-1][~once]
    keys = counts.pairs[once]
    place = np.searchsorted(_key(keys), _key(back))
    length[~once] = length[once][place]
    flat = len(spacing_um) == 2
    columns: dict[str, NDArray[Any]] = {
        t.LABEL: counts.pairs[:, 0].copy(),
        t.NEIGHBOUR: counts.pairs[:, 1].copy(),
        t.CONTACT if flat else t.CONTACT_AREA: length,
        t.CONTACT_SHARE: length / (counts.outline @ weights)[own],
        t.ARC_SHARE: counts.arc / np.maximum(counts.ring, 1)[own],
    }
    for marker, means in counts.means.items():
        columns[t.measure_column(marker, t.ARC, "mean")] = means
    return pd.DataFrame(columns)


def _key(pairs: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Numbers that are in the order of the pairs; labels have up to 32 bit."""
    whole = pairs.astype(np.uint64)
    return np.asarray((whole[:, 0] << np.uint64(32)) + whole[:, 1])

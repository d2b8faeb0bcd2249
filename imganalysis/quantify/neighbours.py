"""Neighbours: which cells touch, along how much of their outline, and what shines across."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import ndimage as ndi

from imganalysis import tables as t
from imganalysis.errors import LabelsError
from imganalysis.quantify._contacts import ContactCounts, contact_table
from imganalysis.quantify._touching import crossings, facing, lattice, near_border
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


def contacts(
    cells: NDArray[np.integer[Any]],
    ring: NDArray[np.integer[Any]],
    images: Mapping[str, NDArray[Any]],
    spacing_um: tuple[float, ...],
    *,
    gap_um: float = 0.5,
    arc_um: float = 2.0,
) -> pd.DataFrame:
    """Find the cells that abut, the arcs at which they do, and the markers there.

    Parameters
    ----------
    cells
        (Y, X) or (Z, Y, X) labels, 0 = background.
    ring
        Same shape and numbers.
    images
        Marker -> intensities of that shape, background subtracted.
    spacing_um
        Size of a pixel along each axis, um.
    gap_um
        Cells abut if they touch, or if no more than this lies between them.
    arc_um
        A pixel of a ring faces the other cell that is nearest to it, if that is no farther.

    Returns
    -------
    table
        One row per cell and neighbour, so two per contact, in ascending order: ``label``,
        ``neighbour``, ``contact_um`` (``contact_um2`` in 3-D), ``contact_share`` of the cell's
        outline, ``arc_share`` of the cell's ring that faces the neighbour, and the mean of each
        marker there, ``MARKER_arc_mean``; NaN where there is no pixel, or one that is not
        finite. A cell without a neighbour has no row.

    Raises
    ------
    LabelsError
        Cells and rings differ in shape, or a ring has the number of no cell.
    ValueError
        A spacing is missing, or an image has another shape.

    Notes
    -----
    Cells are grown by half the gap, each into the background nearest to it; the contact is
    then measured between pixels side by side, by Crofton's formula over the lattice's
    directions, and so is the outline, of which what the image's border cuts off is a part.
    """
    counts = count_contacts(cells, ring, images, spacing_um, gap_um=gap_um, arc_um=arc_um)
    return contact_table(counts, spacing_um)


def count_contacts(
    cells: NDArray[np.integer[Any]],
    ring: NDArray[np.integer[Any]],
    images: Mapping[str, NDArray[Any]],
    spacing_um: tuple[float, ...],
    *,
    gap_um: float = 0.5,
    arc_um: float = 2.0,
) -> ContactCounts:
    """Count at the contacts of cells; parameters and errors are those of `contacts`."""
    _check(cells, ring, images, spacing_um)
    ids = np.unique(cells[cells > 0])
    owners = _rows_of(_grown(cells, spacing_um, gap_um / 2), ids)
    steps, _ = lattice(spacing_um)
    outline, pairs, shared = crossings(owners, ids.size, steps)
    both = np.concatenate([pairs, pairs[:, ::-1]])
    order = np.lexsort((both[:, 1], both[:, 0]))
    own, other = both[order].T
    ring_rows = _rows_of(ring, ids)
    known = own * ids.size + other
    arc = _keyed(ring_rows, facing(ring_rows, owners, spacing_um, arc_um), known, ids.size)
    whole = np.bincount(ring_rows[ring_rows >= 0], minlength=ids.size)
    numbers = ids.astype(np.int64)
    return ContactCounts(
        numbers,
        outline,
        whole,
        np.column_stack([numbers[own], numbers[other]]),
        np.tile(shared, (2, 1))[order],
        np.bincount(arc[1], minlength=known.size),
        {marker: _means(image, *arc, known.size) for marker, image in images.items()},
    )


def neighbour_columns(
    objects: pd.DataFrame, touching: pd.DataFrame, markers: Sequence[str]
) -> pd.DataFrame:
    """Sum up the contacts of each cell, and how its markers stand against its neighbours'.

    Parameters
    ----------
    objects
        One row per nucleus, with ``label`` and ``MARKER_ring_mean``.
    touching
        As `contacts` gives it.
    markers
        Those of which the dominance is asked.

    Returns
    -------
    columns
        Index of `objects`: ``n_neighbours``, ``contact_share`` of the whole outline, and
        ``MARKER_neighbour_dominance``.

    Notes
    -----
    For cell i, with the neighbours j that abut on it,

        dominance_i = R_i - max_j A_ji,

    where R_i is the mean of the whole ring of i, and A_ji that of the pixels of j's ring that
    face i. It is negative where a neighbour shines more, at the contact, than the cell itself:
    what the cell shows may then be the neighbour's light. Without a neighbour that has an arc it
    is R_i, a neighbour that holds nothing; without a ring it is NaN.
    """
    labels = pd.Index(objects[t.LABEL])
    by_cell = touching.groupby(t.LABEL)
    share = by_cell[t.CONTACT_SHARE].sum().reindex(labels, fill_value=0.0)
    columns: dict[str, NDArray[Any]] = {
        t.N_NEIGHBOURS: by_cell.size().reindex(labels, fill_value=0).to_numpy(),
        t.CONTACT_SHARE: share.to_numpy(),
    }
    for marker in markers:
        arcs = touching.groupby(t.NEIGHBOUR)[t.measure_column(marker, t.ARC, "mean")]
        strongest = arcs.max().reindex(labels).fillna(0.0).to_numpy()
        own = objects[t.measure_column(marker, "ring", "mean")].to_numpy(np.float64)
        columns[t.dominance_column(marker)] = own - strongest
    return pd.DataFrame(columns, index=objects.index)


def brighter_side(touching: pd.DataFrame, marker: str) -> NDArray[np.bool_]:
    """Find the contacts at which the neighbour's ring is brighter than the cell's own.

    Parameters
    ----------
    touching
        As `contacts` gives it.
    marker
        Which.

    Returns
    -------
    array
        (contacts,) bool; false where one of the two has no ring there.
    """
    own = touching[t.measure_column(marker, t.ARC, "mean")].to_numpy(np.float64)
    cell = pd.MultiIndex.from_frame(touching[[t.LABEL, t.NEIGHBOUR]])
    other = pd.MultiIndex.from_frame(touching[[t.NEIGHBOUR, t.LABEL]])
    return np.asarray(own[cell.get_indexer(other)] > own)


def free_ring_means(
    objects: pd.DataFrame,
    touching: pd.DataFrame,
    marker: str,
    rivals: NDArray[np.bool_],
    *,
    min_share: float = 0.25,
) -> NDArray[np.float64]:
    """Mean of a marker in the part of each ring that faces no rival.

    Parameters
    ----------
    objects
        One row per nucleus of one field, with ``label`` and ``MARKER_ring_mean``.
    touching
        Its contacts.
    marker
        Which.
    rivals
        (contacts,) bool: whether the neighbour of a row is one.
    min_share
        Less of the ring than this tells nothing.

    Returns
    -------
    array
        (N,) float64: NaN where a cell has no rival at its ring, and where too little of the ring
        is left.

    Notes
    -----
    (R_i - sum_j s_ij A_ij) / (1 - sum_j s_ij) over the rivals j, where R_i is the mean of the
    ring of i, s_ij the share of its pixels that face j, and A_ij their mean.
    """
    labels = pd.Index(objects[t.LABEL])
    share = touching[t.ARC_SHARE].to_numpy(np.float64)
    mean = touching[t.measure_column(marker, t.ARC, "mean")].to_numpy(np.float64)
    used = rivals & (share > 0)
    row = labels.get_indexer(pd.Index(touching[t.LABEL]))[used]
    taken = np.bincount(row, weights=share[used], minlength=len(labels))
    light = np.bincount(row, weights=(share * mean)[used], minlength=len(labels))
    whole = objects[t.measure_column(marker, "ring", "mean")].to_numpy(np.float64)
    left = 1.0 - taken
    known = (taken > 0) & (left >= min_share)
    return np.where(known, (whole - light) / np.where(known, left, 1.0), np.nan)


def compensate(
    cells: NDArray[np.integer[Any]],
    touching: pd.DataFrame,
    images: Mapping[str, NDArray[Any]],
    *,
    star_px: int = 2,
) -> pd.DataFrame:
    """Give back to each cell the light at its border, and take off its neighbours' share of theirs.

    Parameters
    ----------
    cells
        (Y, X) or (Z, Y, X) labels, 0 = background.
    touching
        Their contacts, as `contacts` gives them.
    images
        Marker -> intensities of that shape, background subtracted.
    star_px
        A pixel is at the border if another cell, or background, is within so many steps along
        the axes.

    Returns
    -------
    table
        ``label``, in ascending order, and ``MARKER_cell_compensated``, per pixel; NaN where a
        pixel of the cell, or of the border of a neighbour, is not finite.

    Notes
    -----
    Bai et al., Front Immunol 2021;12:652631 (REDSEA), with contacts of every kind and cells
    without neighbours too: (S_i + E_i - sum_j E_j s_ji) / n_i, not under 0, where S_i is the sum
    over the n_i pixels of cell i, E_i that over its border, and s_ji the share of j's outline
    that lies at i. S_i and E_i without a neighbour stay whole.
    """
    ids = np.unique(cells[cells > 0])
    rows = _rows_of(cells, ids)
    where = np.flatnonzero(rows >= 0)
    row = rows.ravel()[where]
    border = near_border(rows, star_px).ravel()[where]
    count = np.bincount(row, minlength=ids.size)
    giver = np.searchsorted(ids, touching[t.LABEL].to_numpy())
    taker = np.searchsorted(ids, touching[t.NEIGHBOUR].to_numpy())
    share = touching[t.CONTACT_SHARE].to_numpy(np.float64)
    columns: dict[str, NDArray[Any]] = {t.LABEL: ids.astype(np.int64)}
    for marker, image in images.items():
        values = np.asarray(image).ravel()[where].astype(np.float64)
        values[~np.isfinite(values)] = np.nan
        total = np.bincount(row, weights=values, minlength=ids.size)
        edge = np.bincount(row[border], weights=values[border], minlength=ids.size)
        off = np.bincount(taker, weights=edge[giver] * share, minlength=ids.size)
        level = np.maximum(total + edge - off, 0.0) / np.maximum(count, 1)
        columns[t.measure_column(marker, "cell", t.COMPENSATED)] = level
    return pd.DataFrame(columns)


def _keyed(
    rows: NDArray[np.int32], faced: NDArray[np.int32], known: NDArray[np.int64], n: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Find the pixels that face a cell in contact: flat index, and the contact's position.

    What faces a cell across more than the gap faces nobody that it abuts.
    """
    where = np.flatnonzero(faced >= 0)
    keys = rows.ravel()[where].astype(np.int64) * n + faced.ravel()[where]
    place = np.searchsorted(known, keys)
    mine = (place < known.size) & (np.append(known, -1)[place] == keys)
    return where[mine], place[mine]


def _means(
    image: NDArray[Any], where: NDArray[np.intp], place: NDArray[np.intp], n: int
) -> NDArray[np.float64]:
    """Mean of the pixels of each contact; NaN without any, or with one that is not finite."""
    values = np.asarray(image).ravel()[where].astype(np.float64)
    values[~np.isfinite(values)] = np.nan
    total, count = (np.bincount(place, w, minlength=n) for w in (values, None))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _check(
    cells: NDArray[Any],
    ring: NDArray[Any],
    images: Mapping[str, NDArray[Any]],
    spacing_um: tuple[float, ...],
) -> None:
    if cells.ndim not in (2, 3) or len(spacing_um) != cells.ndim:
        raise ValueError(
            "cells have 2 or 3 axes and one spacing each; got "
            f"{plural(cells.ndim, 'axis', 'axes')} and {plural(len(spacing_um), 'spacing')}"
        )
    if ring.shape != cells.shape:
        raise LabelsError(f"rings: shape {ring.shape}, but the cells have {cells.shape}")
    for marker, image in images.items():
        if np.shape(image) != cells.shape:
            raise ValueError(f"{marker}: expected the shape {cells.shape}, got {np.shape(image)}")


def _grown(
    cells: NDArray[np.integer[Any]], spacing_um: tuple[float, ...], by_um: float
) -> NDArray[np.integer[Any]]:
    """Grow each cell into the background nearest to it."""
    if by_um <= 0 or not cells.any():
        return cells
    distance, index = ndi.distance_transform_edt(
        cells == 0, sampling=spacing_um, return_indices=True
    )
    return np.where(distance <= by_um + 1e-9, cells[tuple(index)], 0)


def _rows_of(labels: NDArray[np.integer[Any]], ids: NDArray[Any]) -> NDArray[np.int32]:
    """Row of the object of each pixel, -1 for background."""
    rows = np.full(labels.shape, -1, np.int32)
    where = np.flatnonzero(labels)
    numbers = labels.ravel()[where]
    row = np.searchsorted(ids, numbers)
    if where.size and (row.max() >= ids.size or not np.array_equal(ids[row], numbers)):
        strange = int(np.setdiff1d(numbers, ids)[0])
        raise LabelsError(f"rings: label {strange} belongs to no cell")
    rows.ravel()[where] = row
    return rows

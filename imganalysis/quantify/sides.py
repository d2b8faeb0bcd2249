"""Sides of a ring: how bright it is where it is dimmest, which one-sided light does not change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

OCTANTS = 8


def dim_halves(
    nuclei: NDArray[np.integer[Any]],
    ring: NDArray[np.integer[Any]],
    images: Mapping[str, NDArray[Any]],
    spacing_um: tuple[float, ...],
) -> pd.DataFrame:
    """Mean of each marker over the dimmer half of each ring.

    Parameters
    ----------
    nuclei
        (Y, X) or (Z, Y, X) labels, 0 = background.
    ring
        Same shape and numbers.
    images
        Marker -> intensities of that shape, background subtracted.
    spacing_um
        Size of a pixel along each axis, um.

    Returns
    -------
    table
        ``label``, in ascending order, and ``MARKER_ring_dim_half_mean``; NaN where there is no
        ring, or one with a pixel that is not finite.

    Notes
    -----
    A ring is cut into octants around its nucleus's centroid in Y and X. From the dimmest on, as
    many are taken, the last one in part, as hold half of the pixels. What a cell holds lies all
    around it; a neighbour's light, also of one whose nucleus is not in the section, comes from
    its side. Centroids are told in whole numbers and pixels added in raster order, so that a
    window that holds the objects whole gives the same bytes.
    """
    ids = np.unique(nuclei[nuclei > 0])
    where = np.flatnonzero(ring)
    row = np.searchsorted(ids, ring.ravel()[where])
    key = row * OCTANTS + _octants(nuclei, ids, where, row, spacing_um)
    count = np.bincount(key, minlength=ids.size * OCTANTS).reshape(-1, OCTANTS)
    columns: dict[str, NDArray[Any]] = {t.LABEL: ids.astype(np.int64)}
    for marker, image in images.items():
        values = np.asarray(image).ravel()[where].astype(np.float64)
        total: NDArray[Any] = np.bincount(key, values, minlength=count.size).reshape(count.shape)
        columns[t.measure_column(marker, "ring", t.DIM_HALF)] = _dimmer_half(total, count)
    return pd.DataFrame(columns)


def _octants(
    nuclei: NDArray[Any],
    ids: NDArray[Any],
    where: NDArray[np.intp],
    row: NDArray[np.intp],
    spacing_um: tuple[float, ...],
) -> NDArray[np.intp]:
    """(pixels,) which of the octants about its nucleus each pixel of a ring lies in."""
    inside = np.flatnonzero(nuclei)
    own = np.searchsorted(ids, nuclei.ravel()[inside])
    n = np.bincount(own, minlength=ids.size)
    away = []
    for axis in (-2, -1):
        side = nuclei.shape[axis]
        step = 1 if axis == -1 else nuclei.shape[-1]
        sums = np.zeros(ids.size, np.int64)
        np.add.at(sums, own, inside // step % side)
        # n times the distance: whole numbers, which do not depend on where a window begins.
        distance = n[row] * (where // step % side) - sums[row]
        away.append(distance * float(spacing_um[axis]))
    dy, dx = away
    return np.asarray(4 * (dy < 0) + 2 * (dx < 0) + (np.abs(dy) > np.abs(dx)), np.intp)


def _dimmer_half(total: NDArray[np.float64], count: NDArray[np.int64]) -> NDArray[np.float64]:
    """(N,) mean over the dimmest octants, the last one in part, that hold half of the pixels."""
    mean = np.where(count > 0, total / np.maximum(count, 1), np.inf)
    order = np.argsort(mean, axis=1, kind="stable")
    mean, count = (np.take_along_axis(a, order, axis=1) for a in (mean, count))
    half = count.sum(axis=1, keepdims=True) / 2
    before = np.cumsum(count, axis=1) - count
    weight = np.clip(half - before, 0, count)
    light = (np.where(weight > 0, mean, 0) * weight).sum(axis=1)
    known = np.isfinite(total).all(axis=1) & (half[:, 0] > 0)
    return np.where(known, light / np.where(known, half[:, 0], 1), np.nan)

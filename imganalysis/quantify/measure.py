"""One row per nucleus: where it is, its shape, and how bright each marker is in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.errors import LabelsError
from imganalysis.quantify import _shapes as shapes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

NUCLEUS, RING, CELL, MAX = "nucleus", "ring", "cell", "max"


def measure(
    labels: Mapping[str, NDArray[np.integer[Any]]],
    images: NDArray[Any],
    markers: Sequence[str],
    spacing_um: tuple[float, ...],
    *,
    statistics: Sequence[str] = ("mean", "sd"),
    extra: Sequence[tuple[str, str, str]] = (),
    thresholds: Mapping[str, float] | None = None,
    clipped: NDArray[np.bool_] | None = None,
    solidity: bool = False,
) -> pd.DataFrame:
    """Measure nuclei, rings and cells.

    Parameters
    ----------
    labels
        Compartment -> (Y, X) or (Z, Y, X) labels, 0 = background. ``nucleus`` must be there;
        ``ring`` and ``cell`` have the same shape and numbers. Never changed.
    images
        (C, ...) intensities, one per marker, shape of the labels; any real type.
    markers
        Marker of each image.
    spacing_um
        Size of a pixel along each axis of the labels, um.
    statistics
        Taken of every marker in every compartment: ``mean``, ``sd`` (of the pixels, divisor
        n), ``sum``, ``median``, ``pNN`` (percentile, linear between pixels),
        ``fraction_above``.
    extra
        Further (marker, compartment, statistic).
    thresholds
        Marker -> level for ``fraction_above``.
    clipped
        (C, ...) pixels at the end of the detector's range, if known.
    solidity
        Whether to fill the solidity too, which takes a convex hull per nucleus.

    Returns
    -------
    objects
        One row per nucleus in ascending order of its number: ``label``, centroid (pixel 0 is
        at 0 um), area, or volume in 3-D, and shape as in `imganalysis.tables.CELL_COLUMNS`,
        then a column per measurement, named by `imganalysis.tables.measure_column`. The
        compartment ``max`` holds the greater of the means of nucleus and ring; of a nucleus
        so walled in by others that it has no ring, the nucleus's. A compartment without pixels,
        or with one that is not finite, gives NaN, never 0.

    Raises
    ------
    LabelsError
        A compartment has another shape than the nuclei, or numbers that no nucleus has.
    ValueError
        Images, markers or spacings do not fit the labels, or a statistic is unknown.

    Notes
    -----
    Sums run in raster order in double precision, so that they do not depend on how the work
    was divided.
    """
    nuclei = np.asarray(labels[NUCLEUS])
    _check(nuclei, images, markers, spacing_um, clipped)
    ids = np.unique(nuclei)
    ids = ids[ids > 0]
    parts = {
        name: _part(name, np.asarray(image), ids, nuclei.shape) for name, image in labels.items()
    }
    columns = _geometry(parts, ids, nuclei.shape, spacing_um, solidity)
    columns[t.SATURATED] = _saturated(parts[NUCLEUS], clipped)
    wanted = [(m, c, s) for m in markers for c in parts for s in statistics]
    for marker, compartment, statistic in extra:
        if marker not in markers or compartment not in (*parts, MAX):
            raise ValueError(f"nothing to measure {marker} in {compartment} from")
        wanted.append((marker, compartment, statistic))
    for index, marker in enumerate(markers):
        level = (thresholds or {}).get(marker)
        own = [(c, s) for m, c, s in wanted if m == marker]
        columns |= _intensities(marker, np.asarray(images[index]), parts, own, level)
    return pd.DataFrame(columns)


@dataclass(frozen=True)
class _Part:
    """The pixels of one compartment, in raster order."""

    where: NDArray[np.intp]  # flat index of each pixel
    row: NDArray[np.intp]  # its object's row
    count: NDArray[np.intp]  # pixels of each object


def _check(
    nuclei: NDArray[Any],
    images: NDArray[Any],
    markers: Sequence[str],
    spacing_um: tuple[float, ...],
    clipped: NDArray[np.bool_] | None,
) -> None:
    if nuclei.ndim not in (2, 3) or len(spacing_um) != nuclei.ndim:
        raise ValueError(
            f"labels have 2 or 3 axes and one spacing each; got {nuclei.ndim} axes and "
            f"{len(spacing_um)} spacings"
        )
    expected = (len(markers), *nuclei.shape)
    for what, array in (("images", images), ("clipped", clipped)):
        if array is not None and array.shape != expected:
            raise ValueError(f"{what}: expected the shape {expected}, got {array.shape}")


def _part(name: str, labels: NDArray[Any], ids: NDArray[Any], shape: tuple[int, ...]) -> _Part:
    """Find the pixels of each object of a compartment."""
    if labels.shape != shape:
        raise LabelsError(f"{name}: shape {labels.shape}, but the nuclei have {shape}")
    where = np.flatnonzero(labels)
    numbers = labels.ravel()[where]
    row = np.searchsorted(ids, numbers)
    if where.size and (row.max() >= ids.size or not np.array_equal(ids[row], numbers)):
        strange = np.setdiff1d(numbers, ids)
        raise LabelsError(f"{name}: label {int(strange[0])} belongs to no nucleus")
    return _Part(where, row, np.bincount(row, minlength=ids.size))


def _geometry(
    parts: Mapping[str, _Part],
    ids: NDArray[Any],
    shape: tuple[int, ...],
    spacing_um: tuple[float, ...],
    solidity: bool,
) -> dict[str, NDArray[Any]]:
    nucleus = parts[NUCLEUS]
    axes, n = len(shape), ids.size
    nothing = np.full(n, np.nan)
    pixel = float(np.prod(spacing_um))
    index = np.unravel_index(nucleus.where, shape)
    centre = shapes.centroids(index, nucleus.row, nucleus.count)
    place = centre * np.asarray(spacing_um)
    size = nucleus.count * pixel
    flat = axes == 2
    rows = np.full(shape, -1, np.intp)
    rows.flat[nucleus.where] = nucleus.row
    columns: dict[str, NDArray[Any]] = {
        t.LABEL: ids.astype(np.int64),
        t.Z: nothing if flat else place[:, 0],
        t.Y: place[:, -2],
        t.X: place[:, -1],
        t.AREA: size if flat else nothing,
        t.VOLUME: nothing if flat else size,
        t.DIAMETER: shapes.equivalent_diameter(size, axes),
        t.ASPECT: shapes.aspect_ratio(index, nucleus.row, centre, spacing_um),
        t.SOLIDITY: shapes.solidities(rows, n) if solidity and flat else nothing,
        t.PERIMETER: shapes.perimeters(rows, n, spacing_um) if flat else nothing,
    }
    for name, column in ((RING, t.RING_AREA), (CELL, t.CELL_AREA)):
        known = flat and name in parts
        columns[column] = parts[name].count * pixel if known else nothing
    return columns


def _saturated(nucleus: _Part, clipped: NDArray[np.bool_] | None) -> NDArray[np.float64]:
    """Share of each nucleus's pixels that are clipped, in the channel where it is greatest."""
    n = nucleus.count.size
    worst = np.full(n, np.nan) if clipped is None else np.zeros(n)
    for channel in () if clipped is None else clipped:
        hit = np.bincount(nucleus.row[channel.ravel()[nucleus.where]], minlength=n)
        worst = np.maximum(worst, hit / nucleus.count)
    return worst


def _intensities(
    marker: str,
    image: NDArray[Any],
    parts: Mapping[str, _Part],
    wanted: Sequence[tuple[str, str]],
    level: float | None,
) -> dict[str, NDArray[np.float64]]:
    """Columns of one marker."""
    columns: dict[str, NDArray[np.float64]] = {}
    pixels = image.ravel()
    for name, part in parts.items():
        names = list(dict.fromkeys(s for c, s in wanted if c == name))
        if not names:
            continue
        values = pixels[part.where].astype(np.float64)
        found = _statistics(values, part, names, level, marker)
        columns |= {t.measure_column(marker, name, s): v for s, v in found.items()}
    of_max = [s for c, s in wanted if c == MAX]
    pair = [t.measure_column(marker, name, "mean") for name in (NUCLEUS, RING)]
    if all(column in columns for column in pair):
        of_max.append("mean")
    for statistic in dict.fromkeys(of_max):
        two = []
        for name in (NUCLEUS, RING):
            column = t.measure_column(marker, name, statistic)
            if column not in columns:
                values = pixels[parts[name].where].astype(np.float64)
                columns |= {
                    column: _statistics(values, parts[name], [statistic], level, marker)[statistic]
                }
            two.append(columns[column])
        columns[t.measure_column(marker, MAX, statistic)] = _greater(
            two[0], two[1], parts[RING].count
        )
    return columns


def _greater(
    nucleus: NDArray[np.float64], ring: NDArray[np.float64], n_ring: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Greater of nucleus and ring; without a ring the nucleus, NaN where a pixel is broken."""
    # Every nucleus has pixels, so its NaN is a broken pixel, which is passed on: half a
    # measurement is none.
    return np.where(n_ring == 0, nucleus, np.maximum(nucleus, ring))


def _statistics(
    values: NDArray[np.float64],
    part: _Part,
    names: Sequence[str],
    level: float | None,
    marker: str,
) -> dict[str, NDArray[np.float64]]:
    """Statistics of the pixels of each object, by name."""
    n = part.count.size
    finite = np.isfinite(values)
    broken = np.bincount(part.row[~finite], minlength=n) > 0
    known = (part.count > 0) & ~broken
    values = np.where(finite, values, 0)
    count = np.maximum(part.count, 1)
    total = np.bincount(part.row, weights=values, minlength=n)
    mean = total / count
    ordered: NDArray[np.float64] | None = None
    result = {}
    for name in names:
        if name == "mean":
            column = mean
        elif name == "sum":
            column = total
        elif name == "sd":
            square = np.square(values - mean[part.row])
            column = np.sqrt(np.bincount(part.row, weights=square, minlength=n) / count)
        elif name == "fraction_above":
            if level is None:
                raise ValueError(f"fraction_above of {marker} needs a threshold")
            column = np.bincount(part.row[values > level], minlength=n) / count
        else:
            if ordered is None:
                ordered = values[np.lexsort((values, part.row))]
            column = _percentile(ordered, part.count, _share(name))
        result[name] = np.where(known, column, np.nan)
    return result


def _share(name: str) -> float:
    """Percentile that a statistic's name stands for, from 0 to 1."""
    if name == "median":
        return 0.5
    if name.startswith("p") and name[1:].isdecimal() and int(name[1:]) <= 100:
        return int(name[1:]) / 100
    raise ValueError(
        f"unknown statistic {name!r}; known are mean, sd, sum, median, p0 to p100, fraction_above"
    )


def _percentile(
    ordered: NDArray[np.float64], count: NDArray[np.intp], share: float
) -> NDArray[np.float64]:
    """Percentile of each group in values ordered by group, then by value."""
    if not ordered.size:
        return np.full(count.size, np.nan)
    first = np.cumsum(count) - count
    position = share * np.maximum(count - 1, 0)
    low = np.floor(position).astype(np.intp)
    high = np.minimum(low + 1, np.maximum(count - 1, 0))
    last = ordered.size - 1
    below = ordered[np.minimum(first + low, last)]
    above = ordered[np.minimum(first + high, last)]
    return np.asarray(below + (position - low) * (above - below))

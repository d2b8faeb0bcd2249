"""One row per nucleus: where it is, its shape, and how bright each marker is in it."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.quantify import _statistics as stat
from imganalysis.quantify._by_tile import add_tiles, is_lazy
from imganalysis.quantify._rows import as_stack, check_labels, check_range, find_ids, make_rows
from imganalysis.quantify._shapes import geometry
from imganalysis.quantify._statistics import MAX
from imganalysis.quantify._totals import (
    CELL,
    COMPARTMENTS,
    NUCLEUS,
    RING,
    Window,
    add_window,
    no_totals,
)
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from imganalysis.quantify._totals import Plan, Totals

__all__ = ["CELL", "MAX", "NUCLEUS", "RING", "measure"]


def measure(
    labels: Mapping[str, Any],
    images: Any,
    markers: Sequence[str],
    spacing_um: tuple[float, ...],
    *,
    statistics: Sequence[str] = ("mean", "sd"),
    extra: Sequence[tuple[str, str, str]] = (),
    thresholds: Mapping[str, float] | None = None,
    clipped: Any = None,
    solidity: bool = False,
    threads: int = 1,
    origin: tuple[int, int, int] = (0, 0, 0),
) -> pd.DataFrame:
    """Measure nuclei, rings and cells in one pass over the pixels.

    Parameters
    ----------
    labels
        Compartment -> (Y, X) or (Z, Y, X) labels of any integer type, 0 = background, numpy
        or dask. ``nucleus`` must be there; ``ring`` and ``cell`` have the same shape and
        numbers. Never changed.
    images
        One array per marker, shape of the labels, any real type, numpy or dask; or all of them
        as one (C, ...).
    markers
        Marker of each image.
    spacing_um
        Size of a pixel along each axis of the labels, um.
    statistics
        Taken of every marker in every compartment. In the one pass: ``mean``, ``sum``; ``sd``
        (of the pixels, divisor n), ``min``, ``max``; ``fraction_above``, ``zero_fraction``,
        ``saturated_fraction``. With a further pass each: ``median``, ``pNN`` (percentile,
        linear between pixels); ``contrast`` (local contrast: root of half the mean squared
        difference of two pixels of the object that lie 0.5 um apart in Y or in X; at least one
        pixel apart. What is finer than this makes it as large as the SD, what is coarser
        smaller).
    extra
        Further (marker, compartment, statistic).
    thresholds
        Marker -> level for ``fraction_above``, a finite number.
    clipped
        Pixels at the end of the detector's range, if known: bool, as `images`.
    solidity
        Whether to fill the solidity too, which takes a convex hull per nucleus (microseconds in
        a plane, milliseconds in a stack).
    threads
        Channels that are added up at the same time; the result does not depend on it.
    origin
        (z, y, x) of the first pixel in the field, where numpy arrays are a part of it that holds
        its objects whole: the same bytes as of the field in one piece.

    Returns
    -------
    objects
        One row per nucleus in ascending order of its number: ``label``, centroid (pixel 0 is
        at 0 um), area, or volume in 3-D, and shape as in `imganalysis.tables.CELL_COLUMNS`,
        then a column per measurement, named by `imganalysis.tables.measure_column`. The
        compartment ``max`` holds the greater of the means of nucleus and ring; of a nucleus
        so walled in by others that it has no ring, the nucleus's. A compartment without pixels,
        or with one that is not finite, gives NaN, never 0. Without nuclei there is no row, but
        every column.

    Raises
    ------
    LabelsError
        Labels that are not whole numbers from 0 to 2**32 - 1; a compartment that has another
        shape than the nuclei, or numbers that no nucleus has.
    ValueError
        Images, markers or spacings do not fit the labels, a statistic is unknown, or a
        threshold is no finite number.

    Notes
    -----
    Sums run in raster order in double precision over each object as a whole, so that they do
    not depend on how the work was divided: dask arrays are measured tile by tile, each object
    by the tile that holds its centroid, with the same bytes as in one piece.
    """
    labels = {name: _array(one) for name, one in labels.items()}
    shape = _check_shapes(labels, spacing_um)
    pictures = _per_marker("images", images, markers, shape)
    masks = [] if clipped is None else _per_marker("clipped", clipped, markers, shape)
    wanted = _wanted(labels, markers, statistics, extra)
    plan = stat.make_plan(
        wanted, markers, spacing_um, thresholds or {}, clipped=bool(masks), solidity=solidity
    )
    if any(is_lazy(a) for a in (*labels.values(), *pictures, *masks)):
        ids, totals = add_tiles(labels, pictures, masks, plan, threads)
    else:
        ids, totals = _add_whole(labels, pictures, masks, plan, threads, origin)
    columns: dict[str, NDArray[Any]] = {t.LABEL: ids.astype(np.int64)}
    columns |= geometry(
        totals, spacing_um, labels, perimeter=plan.perimeter, solidity=plan.solidity
    )
    columns[t.SATURATED] = stat.saturated(totals)
    columns |= stat.columns(totals, plan, wanted, markers)
    return pd.DataFrame(columns)


def _add_whole(
    labels: Mapping[str, NDArray[Any]],
    images: Sequence[NDArray[Any]],
    clipped: Sequence[NDArray[Any]],
    plan: Plan,
    threads: int,
    origin: tuple[int, int, int],
) -> tuple[NDArray[np.uint32], Totals]:
    """Measure arrays in one piece."""
    for name, one in labels.items():
        check_range(name, one)
    stacks = {name: as_stack(one) for name, one in labels.items()}
    ids = find_ids(stacks[NUCLEUS])
    totals = no_totals(ids.size, plan)
    window = Window(
        stacks,
        [as_stack(image) for image in images],
        [as_stack(mask) for mask in clipped],
        origin,
        np.ones(ids.size, bool),
    )
    add_window(totals, window, make_rows(ids, stacks[NUCLEUS].size), plan, threads)
    return ids, totals


def _array(value: Any) -> Any:
    return value if is_lazy(value) else np.asarray(value)


def _check_shapes(labels: Mapping[str, Any], spacing_um: tuple[float, ...]) -> tuple[int, ...]:
    """Shape that everything must have."""
    unknown = [name for name in labels if name not in COMPARTMENTS]
    if NUCLEUS not in labels or unknown:
        raise ValueError(
            f"labels: expected {NUCLEUS} and, if there are any, {RING} and {CELL}; "
            f"got {', '.join(labels) or 'nothing'}"
        )
    nuclei = labels[NUCLEUS]
    steps: Any = spacing_um
    if np.ndim(steps) != 1 or not all(isinstance(step, Real) for step in steps):
        raise ValueError(
            "spacing_um: expected one number in um for each axis of the labels, e.g. "
            f"(0.25, 0.25); got {spacing_um!r}"
        )
    if nuclei.ndim not in (2, 3) or len(spacing_um) != nuclei.ndim:
        raise ValueError(
            "labels have 2 or 3 axes and one spacing each; got "
            f"{plural(nuclei.ndim, 'axis', 'axes')} and {plural(len(spacing_um), 'spacing')}"
        )
    if not all(np.isfinite(step) and step > 0 for step in spacing_um):
        raise ValueError(f"spacings are in um and greater than 0; got {spacing_um}")
    shape = tuple(nuclei.shape)
    for name, one in labels.items():
        check_labels(name, one, shape)
    return shape


def _per_marker(
    what: str, arrays: Any, markers: Sequence[str], shape: tuple[int, ...]
) -> list[Any]:
    """One array per marker, of the labels' shape."""
    whole = is_lazy(arrays) or isinstance(arrays, np.ndarray)
    if whole and arrays.shape != (len(markers), *shape):
        raise ValueError(f"{what}: expected the shape {(len(markers), *shape)}, got {arrays.shape}")
    if not whole and len(arrays) != len(markers):
        raise ValueError(
            f"{what}: expected one for each of {plural(len(markers), 'marker')}, got {len(arrays)}"
        )
    result = [_array(one) for one in arrays]
    for marker, one in zip(markers, result, strict=True):
        if tuple(one.shape) != shape:
            raise ValueError(
                f"{what}: {marker} has the shape {tuple(one.shape)}, but the labels have {shape}"
            )
        if one.dtype.kind not in "buif":
            raise ValueError(f"{what}: {marker} is of type {one.dtype}, expected real numbers")
        if what == "clipped" and one.dtype != bool:
            raise ValueError(f"{what}: {marker} is of type {one.dtype}, expected yes or no (bool)")
    return result


def _wanted(
    labels: Mapping[str, Any],
    markers: Sequence[str],
    statistics: Sequence[str],
    extra: Sequence[tuple[str, str, str]],
) -> list[stat.Wanted]:
    """All measurements in the order of their columns."""
    index = {marker: i for i, marker in enumerate(markers)}
    if len(index) != len(markers):
        raise ValueError(f"markers: each must have a name of its own; got {', '.join(markers)}")
    with_max = {*labels, MAX} if RING in labels else {*labels}
    for marker, compartment, _ in extra:
        if marker not in index or compartment not in with_max:
            raise ValueError(f"nothing to measure {marker} in {compartment} from")
    result = []
    for marker, channel in index.items():
        own = [(c, s) for m, c, s in extra if m == marker]
        for compartment in labels:
            result += [(channel, compartment, s) for s in statistics]
            result += [(channel, c, s) for c, s in own if c == compartment]
        means = all((channel, name, "mean") in result for name in (NUCLEUS, RING))
        of_max = [s for c, s in own if c == MAX]
        result += [(channel, MAX, s) for s in (*of_max, *(["mean"] if means else []))]
    return result

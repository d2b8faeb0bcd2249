"""Where cells are counted, and which of them are evaluable."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from imganalysis import tables as t
from imganalysis.errors import PixelDataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from imganalysis.settings import Measuring

PRECEDENCE = (
    "outside_frame", "on_border", "on_first_plane", "annotated_out", "outside_tissue", "folded",
    "too_small", "saturated", "pigment", "out_of_focus", "not_measurable", "engulfed_debris",
)  # fmt: skip
"""An object has one reason, the first that applies.

What lies outside the frame belongs to another field or to none, so it says nothing about this
one; what lies outside the tissue is no cell of it. Only then the object itself is judged, so
that the other reasons can be set against the objects counted in the same area.
"""


def guard_mask(
    shape: tuple[int, int],
    spacing_um: tuple[float, float],
    guard_um: float,
    counted: tuple[int, int, int, int] | None = None,
) -> NDArray[np.bool_]:
    """Mark the part of a field in which cells are counted.

    Parameters
    ----------
    shape
        (Y, X) of the field, pixels.
    spacing_um
        (Y, X) size of a pixel, um.
    guard_um
        Width of the strip along each side in which nothing is counted, um; rounded to pixels.
        A nucleus centred inside is whole if its radius is smaller.
    counted
        (y0, y1, x0, x1) in pixels, the part of a tile that is not counted in a neighbour.

    Returns
    -------
    frame
        (Y, X) bool. Cells are counted by their centroid, areas by these pixels: tiles that
        divide a section among them count each cell once.

    Raises
    ------
    PixelDataError
        Nothing is left: the field is smaller than twice the guard.
    """
    frame = np.zeros(shape, bool)
    box = counted if counted is not None else (0, shape[0], 0, shape[1])
    sides = []
    for axis in range(2):
        guard = int(np.floor(guard_um / spacing_um[axis] + 0.5))
        low = max(guard, box[2 * axis])
        high = min(shape[axis] - guard, box[2 * axis + 1])
        sides.append(slice(low, max(low, high)))
    frame[tuple(sides)] = True
    if not frame.any():
        size = " x ".join(f"{n * d:.4g}" for n, d in zip(shape, spacing_um, strict=True))
        raise PixelDataError(
            f"the field is {size} um (Y x X) and the guard frame takes {guard_um:g} um from each "
            "side, so that nothing is left to count in; use larger fields, or a smaller "
            "--guard-um (0 counts up to the border)",
            reason="smaller_than_guard",
        )
    return frame


def evaluate(
    objects: pd.DataFrame,
    tissue: NDArray[np.bool_],
    frame: NDArray[np.bool_],
    spacing_um: tuple[float, ...],
    settings: Measuring,
    needed: Sequence[str] = (),
    border: pd.DataFrame | None = None,
    left_out: NDArray[np.bool_] | None = None,
    excluded: Mapping[str, NDArray[np.bool_]] | None = None,
) -> pd.DataFrame:
    """Say of each object whether it is counted, and if not, why.

    Parameters
    ----------
    objects
        As `imganalysis.quantify.measure.measure` gives them.
    tissue, frame
        (Y, X) bool.
    spacing_um
        ([Z,] Y, X) size of a pixel, um.
    settings
        Limits.
    needed
        Columns of measurements without which an object says nothing.
    border
        Columns, by the objects' pixels, that are to be added, as
        `imganalysis.quantify.borders.at_border` gives them.
    left_out
        (Y, X) bool, what a person outlined to be left out.
    excluded
        Further words of `PRECEDENCE`, each with the objects, (N,) bool, that it applies to.

    Returns
    -------
    objects
        A copy with ``in_frame``, ``in_tissue``, ``on_border``, and the columns of `judge`.

    Raises
    ------
    TableError
        A column is missing.
    """
    t.require(objects, [t.Y, t.X, t.DIAMETER, t.SATURATED, *needed], source="objects")
    result = objects.copy()
    pixel = centre_pixels(objects, frame.shape, spacing_um)
    result[t.IN_FRAME] = frame[pixel]
    result[t.IN_TISSUE] = tissue[pixel]
    if left_out is not None:
        result[t.LEFT_OUT] = left_out[pixel]
    result[t.ON_BORDER] = False
    if border is not None:
        result[list(border.columns)] = border.to_numpy()
    return judge(result, settings, needed, excluded)


def centre_pixels(
    objects: pd.DataFrame, shape: tuple[int, ...], spacing_um: tuple[float, ...]
) -> tuple[NDArray[np.intp], ...]:
    """Row and column of the pixel of a mask of that shape (Y, X) that holds each centroid.

    Half pixels go up on every tile alike, with room for rounding errors, so that no cell is
    counted twice or not at all.
    """
    return tuple(
        np.clip(np.floor(objects[column] / step + 0.5 + 1e-6).astype(np.intp), 0, size - 1)
        for column, step, size in zip((t.Y, t.X), spacing_um[-2:], shape, strict=True)
    )


def frame_box(
    frame: NDArray[np.bool_], spacing_um: tuple[float, ...]
) -> tuple[float, float, float, float]:
    """Bounds (y0, x0, y1, x1), um, between which `evaluate` takes a centroid to be inside."""
    sides = [np.flatnonzero(frame.any(axis=1 - axis)) for axis in range(2)]
    low = [(side[0] - 0.5 - 1e-6) * step for side, step in zip(sides, spacing_um[-2:], strict=True)]
    high = [
        (side[-1] + 0.5 - 1e-6) * step for side, step in zip(sides, spacing_um[-2:], strict=True)
    ]
    return low[0], low[1], high[0], high[1]


def judge(
    objects: pd.DataFrame,
    settings: Measuring,
    needed: Sequence[str] = (),
    excluded: Mapping[str, NDArray[np.bool_]] | None = None,
) -> pd.DataFrame:
    """Say whether each object, or cell of merged objects, is counted, from its columns alone.

    Parameters
    ----------
    objects
        Of one field, with ``in_frame``, ``in_tissue``, the diameter and saturation; where they
        are there, ``on_border``, ``on_first_plane``, ``on_last_plane`` and ``left_out``.
    settings
        Limits.
    needed
        Columns of measurements without which an object says nothing.
    excluded
        Further words of `PRECEDENCE`, each with the objects, (N,) bool, that it applies to.

    Returns
    -------
    objects
        A copy with ``cap``, ``evaluable`` (bool) and ``exclusion`` (a word of
        `imganalysis.tables.EXCLUSIONS`, empty if evaluable; of several the first in
        `PRECEDENCE`).

    Notes
    -----
    Caps, profiles cut near the top or bottom of a nucleus, are those under a share of the
    median diameter of the field's nuclei. They stay in the count.
    """
    result = objects.copy()
    none = np.zeros(len(objects), bool)
    on_border, on_first, on_last, left_out = (
        objects[column].to_numpy(bool) if column in objects else none
        for column in (t.ON_BORDER, t.ON_FIRST, t.ON_LAST, t.LEFT_OUT)
    )
    diameter = objects[t.DIAMETER].to_numpy(np.float64)
    whole = diameter >= settings.min_diameter_um
    usual = float(np.median(diameter[whole])) if whole.any() else np.nan
    result[t.CAP] = diameter < settings.cap_fraction * usual
    values = objects[list(needed)].to_numpy(np.float64)
    applies = {
        "outside_frame": ~objects[t.IN_FRAME].to_numpy(bool),
        "on_border": on_border,
        "on_first_plane": on_first,
        "annotated_out": left_out,
        "outside_tissue": ~objects[t.IN_TISSUE].to_numpy(bool),
        # What the last plane cuts may be as large as any.
        "too_small": ~whole & ~on_last,
        # Unknown saturation (NaN) compares as not saturated.
        "saturated": objects[t.SATURATED].to_numpy(np.float64) > settings.max_saturated,
        "not_measurable": ~np.isfinite(values).all(axis=1),
        **(excluded or {}),
    }
    words = np.full(len(objects), "", dtype=object)
    for word in reversed(PRECEDENCE):
        if word in applies:  # the others need the cells' calls
            words[applies[word]] = word
    result[t.EVALUABLE] = words == ""
    result[t.EXCLUSION] = words
    result[t.EXCLUSION] = result[t.EXCLUSION].astype("str")
    return result

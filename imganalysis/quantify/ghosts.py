"""Ghosts: shadows of dead cells, stained but without a nucleus. Counted, never in a fraction."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import ndimage as ndi

from imganalysis import tables as t

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from imganalysis.settings_counting import Counting

SMOOTH_UM = 0.5
"""SD of the Gaussian that takes the noise before pixels are set apart."""

LEAST_SOLIDITY = 0.8
"""Shadows of cells are compact: fibres and vessel walls, which glow by themselves, are not."""

SPREADS = 5.0
"""Robust standard deviations above the tissue's median: what is darker may be noise alone."""


def find_ghosts(
    nuclei: NDArray[np.uint32],
    cells: NDArray[np.uint32],
    images: Mapping[str, NDArray[np.floating[Any]]],
    tissue: NDArray[np.bool_],
    frame: NDArray[np.bool_],
    spacing_um: tuple[float, float],
    settings: Counting,
) -> pd.DataFrame:
    """Find stained bodies without a nucleus.

    Parameters
    ----------
    nuclei, cells
        (Y, X) uint32; cells are the nuclei with what expansion gave them.
    images
        Marker -> (Y, X), background subtracted, of the lineage and the death marker.
    tissue, frame
        (Y, X) bool; where there is tissue, and where cells are counted.
    spacing_um
        (Y, X) um.
    settings
        Least area, and how much of it nuclei may take.

    Returns
    -------
    ghosts
        One row per body that is centred in the frame: ``centroid_y_um``, ``centroid_x_um``,
        ``area_um2`` and, for each marker, `imganalysis.tables.ghost_column`: its mean there.

    Notes
    -----
    Bright is what exceeds Otsu's threshold of the tissue's pixels (IEEE Trans Syst Man Cybern
    1979;9:62), and stands out of the noise: Otsu's threshold halves noise too. Holes are filled
    first, as a cell's cytoplasm alone has its nucleus for a hole; and what lies mostly within
    the reach of nuclei is their cells' cytoplasm.
    """
    bodies = find_bodies(images, tissue, frame, spacing_um)
    return bodies_alone(bodies, nuclei, cells, settings)


@dataclass(frozen=True)
class Bodies:
    """Stained bodies, whether or not they hold a nucleus.

    Parameters
    ----------
    parts
        (Y, X) number of the body of each pixel, 0 for none.
    area
        Pixels by number.
    smooth
        Marker -> (Y, X) smoothed.
    frame, spacing_um
        As in `find_ghosts`.
    boxes
        Where each body lies, from number 1.
    rows
        Number -> what is told of the body, once somebody asked; None for one that is none.
    """

    parts: NDArray[np.integer[Any]]
    area: NDArray[np.int64]
    smooth: dict[str, NDArray[np.float64]]
    frame: NDArray[np.bool_]
    spacing_um: tuple[float, float]
    boxes: list[tuple[slice, slice]]
    rows: dict[int, tuple[float, ...] | None] = field(default_factory=dict)


def find_bodies(
    images: Mapping[str, NDArray[np.floating[Any]]],
    tissue: NDArray[np.bool_],
    frame: NDArray[np.bool_],
    spacing_um: tuple[float, float],
) -> Bodies:
    """Find stained bodies; parameters are those of `find_ghosts`."""
    smooth = {
        marker: ndi.gaussian_filter(
            np.where(np.isfinite(image), image, 0).astype(np.float64),
            [SMOOTH_UM / step for step in spacing_um],
            mode="nearest",
        )
        for marker, image in images.items()
    }
    bright = np.zeros(tissue.shape, bool)
    for image in smooth.values():
        level = _level(image[tissue])
        if np.isfinite(level):
            bright |= (image >= level) & tissue
    parts, n = ndi.label(ndi.binary_fill_holes(bright))
    area = np.bincount(parts.ravel(), minlength=n + 1)
    return Bodies(parts, area, smooth, frame, spacing_um, ndi.find_objects(parts))


def bodies_alone(
    bodies: Bodies, nuclei: NDArray[np.uint32], cells: NDArray[np.uint32], settings: Counting
) -> pd.DataFrame:
    """Choose those that hold no nucleus and are no cell's; see `find_ghosts`."""
    parts, area, n = bodies.parts, bodies.area, len(bodies.area) - 1
    pixel = bodies.spacing_um[0] * bodies.spacing_um[1]
    nuclear = np.bincount(parts.ravel(), weights=(nuclei > 0).ravel(), minlength=n + 1)
    claimed = np.bincount(parts.ravel(), weights=(cells > 0).ravel(), minlength=n + 1)
    alone = (nuclear < settings.ghost_overlap * area) & (claimed < 0.5 * area)
    chosen = np.flatnonzero(alone & (area * pixel >= settings.ghost_um2))
    columns = [t.Y, t.X, t.AREA, *(t.ghost_column(marker) for marker in bodies.smooth)]
    found = [_told(bodies, int(number)) for number in chosen[chosen > 0]]
    rows = [row for row in found if row is not None]
    return pd.DataFrame(rows, columns=columns, dtype=np.float64)


def _told(bodies: Bodies, number: int) -> tuple[float, ...] | None:
    """Place, area and means of a body; None for one outside the frame or not compact."""
    if number in bodies.rows:
        return bodies.rows[number]
    box, (dy, dx) = bodies.boxes[number - 1], bodies.spacing_um
    body = bodies.parts[box] == number
    y, x = (
        float(place.mean()) + side.start for place, side in zip(np.nonzero(body), box, strict=True)
    )
    row: tuple[float, ...] | None = None
    if bodies.frame[int(y + 0.5), int(x + 0.5)] and _solidity(body) >= LEAST_SOLIDITY:
        means = [float(image[box][body].mean()) for image in bodies.smooth.values()]
        row = (y * dy, x * dx, float(bodies.area[number]) * (dy * dx), *means)
    bodies.rows[number] = row
    return row


def count_ghosts(ghosts: pd.DataFrame, gates: Mapping[str, float | None]) -> tuple[float, float]:
    """Count the bodies that are positive for one of the markers.

    Parameters
    ----------
    ghosts
        As `find_ghosts` gives them.
    gates
        Marker -> gate, in grey levels above the background; None for none.

    Returns
    -------
    n, area_mm2
        NaN where no marker has a gate, so that glowing fibres cannot be told from ghosts.
    """
    known = {marker: gate for marker, gate in gates.items() if gate is not None}
    if not known:
        return float("nan"), float("nan")
    positive = np.zeros(len(ghosts), bool)
    for marker, gate in known.items():
        positive |= ghosts[t.ghost_column(marker)].to_numpy(np.float64) >= gate
    return float(positive.sum()), float(ghosts[t.AREA].to_numpy(np.float64)[positive].sum()) / 1e6


def _level(values: NDArray[np.float64]) -> float:
    from skimage.filters import threshold_otsu

    otsu: Any = threshold_otsu
    if values.size == 0 or float(np.ptp(values)) == 0:
        return float("nan")
    median = float(np.median(values))
    spread = 1.4826 * float(np.median(np.abs(values - median)))
    return max(float(otsu(values)), median + SPREADS * spread)


def _solidity(body: NDArray[np.bool_]) -> float:
    from skimage.morphology import convex_hull_image

    hull: Any = convex_hull_image
    return float(body.sum() / hull(body).sum())

"""Pairs of small nuclear objects that may be pieces of one dying nucleus.

Nothing is decided here, so that no gate is needed: for each pair stands how near the two lie,
what they look like together, and from which level of the death marker on one component of it
holds both. A gate at or under that level joins them, without a look at the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.label_places import compact
from imganalysis.quantify._flood import flood

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imganalysis.settings_counting import Counting


def disc_diameter(area_um2: float) -> float:
    """Diameter of the circle of an area: limits that hold for profiles and for balls."""
    return float(np.sqrt(4 * area_um2 / np.pi))


def fragment_pairs(
    nuclei: NDArray[np.uint32],
    death: NDArray[np.floating[Any]],
    objects: pd.DataFrame,
    dna_column: str,
    spacing_um: tuple[float, ...],
    settings: Counting,
    order: FloodOrder | None = None,
    known: dict[tuple[int, int], tuple[float, int]] | None = None,
    only_known: bool = False,
) -> pd.DataFrame:
    """Find pairs of small objects that one component of the death marker joins.

    Parameters
    ----------
    nuclei
        (Y, X) or (Z, Y, X) uint32, 0 = background.
    death
        Shape of `nuclei`; the death marker, background subtracted.
    objects
        One row per nucleus: ``label``, centroid, ``equivalent_diameter_um`` and `dna_column`.
    dna_column
        Mean of the nuclear stain in the nucleus.
    spacing_um
        ([Z,] Y, X) size of a pixel, um.
    settings
        Largest fragment, largest cell, smoothing. Limits are areas of profiles; in a stack left
        in 3-D they hold for the balls of the same diameter.
    order
        Of `death`, as `flood_order` gives it, where the same picture is asked again.
    known
        Labels of a pair -> level and pixels of what joins it, of those that stay as they were;
        the others are added.
    only_known
        Whether to leave the others out.

    Returns
    -------
    pairs
        One row per pair, sorted by labels; columns of `imganalysis.tables.PAIR_COLUMNS`. Pairs
        that no component of at most the largest cell joins, at any level above 0, or whose gap
        is wider than a cell, are left out.

    Notes
    -----
    ``bridge`` is the minimax path: the highest level at which a component of the marker
    (pixels at least as bright, joined by sides) holds pixels of both objects. The marker is
    smoothed first, so that no single pixel of noise joins or parts.
    """
    from scipy.spatial import cKDTree

    diameter = objects[t.DIAMETER].to_numpy(np.float64)
    small = np.flatnonzero(diameter < disc_diameter(settings.fragment_um2))
    places = objects[[t.Z, t.Y, t.X] if nuclei.ndim == 3 else [t.Y, t.X]].to_numpy(np.float64)
    reach = settings.fragment_hull_um
    near = np.zeros((0, 2), np.intp)
    if small.size > 1:
        # Centres of two long thin objects lie farther apart than their edges.
        near = cKDTree(places[small]).query_pairs(2 * reach, output_type="ndarray").astype(np.intp)
    near.sort(axis=1)
    near = near[np.lexsort((near[:, 1], near[:, 0]))]
    numbers = objects[t.LABEL].to_numpy(np.int64)
    earlier = known or {}
    named = [(int(a), int(b)) for a, b in numbers[small[near]].reshape(-1, 2)]
    ask = np.array([pair not in earlier for pair in named], bool)
    told = [earlier.get(pair, (np.nan, 0)) for pair in named]
    level = np.array([one for one, _ in told], np.float64)
    pixels = np.array([many for _, many in told], np.int64)
    if ask.any() and not only_known:
        order = order or flood_order(death, spacing_um, settings)
        level[ask], pixels[ask] = _bridges(
            nuclei, order, numbers[small], near[ask], spacing_um, settings
        )
    if known is not None and not only_known:
        known |= zip(named, zip(level.tolist(), pixels.tolist(), strict=True), strict=True)
    joined = np.isfinite(level)
    near, level, pixels = near[joined], level[joined], pixels[joined]
    grown = pixels * float(np.prod(spacing_um))
    edges = _edges(nuclei, numbers[small[np.unique(near)]])
    dna = objects[dna_column].to_numpy(np.float64)
    whole = dna[diameter >= disc_diameter(settings.fragment_um2)]
    usual = float(np.median(whole[np.isfinite(whole)])) if np.isfinite(whole).any() else np.nan
    rows = []
    for (i, j), bridge, size in zip(near, level, grown, strict=True):
        a, b = small[i], small[j]
        labels = [int(numbers[k]) for k in (a, b)]
        gap = _gap(edges[labels[0]], edges[labels[1]], spacing_um)
        if gap > reach:
            continue
        sizes = _size(diameter[[a, b]], nuclei.ndim)
        hull = _hull(np.concatenate([edges[n] for n in labels]), spacing_um)
        rows.append(
            (
                *labels, *diameter[[a, b]], gap, _diameter(hull, nuclei.ndim),
                min(1.0, float(sizes.sum()) / hull),
                float(sizes @ dna[[a, b]]) / float(sizes.sum()) / usual if usual > 0 else np.nan,
                bridge, _diameter(float(size), nuclei.ndim),
            )
        )  # fmt: skip
    table = pd.DataFrame(rows, columns=list(t.PAIR_COLUMNS))
    whole_numbers = dict.fromkeys((t.LABEL_A, t.LABEL_B), np.int64)
    return table.astype({**dict.fromkeys(t.PAIR_COLUMNS, np.float64), **whole_numbers})


@dataclass(frozen=True)
class FloodOrder:
    """The order in which the pixels of a picture are flooded.

    Parameters
    ----------
    smooth
        Flat, float32.
    order, steps
        Flat indices from the brightest down, and where each level ends.
    """

    smooth: NDArray[np.float32]
    order: NDArray[np.int64]
    steps: NDArray[np.int64]


def flood_order(
    death: NDArray[np.floating[Any]], spacing_um: tuple[float, ...], settings: Counting
) -> FloodOrder:
    """Smooth the death marker and put its pixels in order, the brightest first."""
    from scipy.ndimage import gaussian_filter

    finite = np.where(np.isfinite(death), death, 0).astype(np.float64)
    sigma = [settings.fragment_smooth_um / step for step in spacing_um]
    # In single precision what is even stays even: smoothing adds rounding errors.
    smooth = gaussian_filter(finite, sigma, mode="nearest").ravel().astype(np.float32)
    # Gates lie above 0, so that what is darker joins nothing.
    bright = np.flatnonzero(smooth > 0)
    order = bright[np.argsort(-smooth[bright], kind="stable")].astype(np.int64)
    steps = np.flatnonzero(np.diff(smooth[order], append=-np.inf)) + 1
    return FloodOrder(smooth, order, steps)


def _bridges(
    nuclei: NDArray[np.uint32],
    flooded: FloodOrder,
    labels: NDArray[Any],
    near: NDArray[np.intp],
    spacing_um: tuple[float, ...],
    settings: Counting,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Level at which each pair is joined, NaN for never, and the component's pixels then."""
    if not len(near):
        return np.zeros(0), np.zeros(0, np.int64)
    depth, height, width = (1, *nuclei.shape) if nuclei.ndim == 2 else nuclei.shape
    owner = _numbered(nuclei, labels).ravel() - 1
    smooth, order, steps = flooded.smooth, flooded.order, flooded.steps
    limit = _size(np.array([disc_diameter(settings.fragment_cell_um2)]), nuclei.ndim)[0]
    keys = near[:, 0].astype(np.int64) * len(labels) + near[:, 1]
    joined, pixels = flood(
        order, steps, (depth, height, width), owner.astype(np.int32), keys, len(labels),
        # What is as large as the limit is not above it, whatever the roots above round to.
        int(limit / float(np.prod(spacing_um)) * (1 + 1e-9)),
    )  # fmt: skip
    levels = smooth[order[joined]] if order.size else np.zeros(len(keys))
    return np.where(joined >= 0, levels, np.nan).astype(np.float64), pixels


def _numbered(nuclei: NDArray[np.uint32], labels: NDArray[Any]) -> NDArray[np.int32]:
    """Give some objects the numbers 1, 2, ... in their order, and 0 to all else."""
    numbers, places = compact(nuclei)
    number = np.zeros(len(numbers), np.int32)
    number[np.searchsorted(numbers, labels)] = np.arange(1, len(labels) + 1)
    return np.asarray(number[places])


def _edges(nuclei: NDArray[np.uint32], labels: NDArray[Any]) -> dict[int, NDArray[np.intp]]:
    """Pixels at the edge of some objects, (N, axes), by label."""
    from scipy.ndimage import binary_erosion, find_objects

    found = {}
    for label, box in zip(labels, find_objects(_numbered(nuclei, labels)), strict=True):
        one = nuclei[box] == label
        corner = [side.start for side in box]
        found[int(label)] = np.argwhere(one & ~binary_erosion(one)) + corner
    return found


def _gap(one: NDArray[np.intp], two: NDArray[np.intp], spacing_um: tuple[float, ...]) -> float:
    """Shortest way from the edge of one object to that of another, um; 0 where they touch."""
    square = np.zeros((len(one), len(two)))
    for axis, step in enumerate(spacing_um):
        apart = np.abs(one[:, axis, np.newaxis] - two[np.newaxis, :, axis])
        # Pixels are boxes: neighbours touch.
        square += np.square(np.maximum(apart - 1, 0) * step)
    return float(np.sqrt(square.min()))


def _hull(edge: NDArray[np.intp], spacing_um: tuple[float, ...]) -> float:
    """Area (volume) of the convex hull of pixels, corners and all, um2 (um3)."""
    from scipy.spatial import ConvexHull

    axes = edge.shape[1]
    corners = np.stack(np.meshgrid(*[(-0.5, 0.5)] * axes), -1).reshape(-1, axes)
    points = (edge[:, np.newaxis] + corners).reshape(-1, axes) * np.asarray(spacing_um)
    return float(ConvexHull(np.unique(points, axis=0)).volume)


def _size(diameter: NDArray[np.float64], axes: int) -> NDArray[np.float64]:
    return np.asarray(np.pi / 4 * diameter**2 if axes == 2 else np.pi / 6 * diameter**3)


def _diameter(size: float, axes: int) -> float:
    return float(np.sqrt(4 * size / np.pi) if axes == 2 else np.cbrt(6 * size / np.pi))

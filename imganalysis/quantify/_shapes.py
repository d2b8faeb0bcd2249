"""Size, place and shape of the nuclei, from the sums over their pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis import tables as t
from imganalysis.quantify._totals import CELL, COMPARTMENTS, NUCLEUS, RING

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from imganalysis.quantify._totals import Totals


def geometry(
    totals: Totals,
    spacing_um: tuple[float, ...],
    compartments: Collection[str],
    *,
    perimeter: bool,
    solidity: bool,
) -> dict[str, NDArray[Any]]:
    """Columns of size, place and shape.

    Parameters
    ----------
    totals
        Of N objects.
    spacing_um
        ([Z,] Y, X) size of a pixel, um.
    compartments
        Those that were given.
    perimeter, solidity
        Whether they were asked for.

    Returns
    -------
    columns
        As in `imganalysis.tables.CELL_COLUMNS`, (N,) each; NaN what there is not.

    Notes
    -----
    As `skimage.measure.regionprops` defines them: axes, eccentricity and orientation of the
    ellipse (ellipsoid) with the second moments of the pixels' centres. Only the aspect ratio
    takes each pixel for a box, which adds 1/12 of its squared side to its moment: an object one
    pixel wide has a width too.
    """
    axes = len(spacing_um)
    flat = axes == 2
    step = np.asarray(spacing_um, dtype=np.float64)
    pixel = float(np.prod(step))
    count = totals.count[:, COMPARTMENTS.index(NUCLEUS)]
    nothing = np.full(count.size, np.nan)
    size = count * pixel
    offset = (totals.first / count[:, np.newaxis])[:, 3 - axes :]
    place = (totals.start[:, 3 - axes :] + offset) * step
    # A box begins and ends at the outer sides of its pixels; the first one's middle is at 0.
    low = (totals.box[:, 3 - axes : 3] - 0.5) * step
    high = (totals.box[:, 6 - axes :] + 0.5) * step
    moments = _moments(totals, offset, step)
    values = _principal(moments)
    of_boxes = _principal(moments + np.diag(step**2 / 12))
    # Of an ellipse the semi-axis is 2 sqrt(moment), of an ellipsoid sqrt(5 moment).
    full = 4.0 if flat else 2 * np.sqrt(5)
    around = np.prod(high - low, axis=1)
    columns = {
        t.Z: nothing if flat else place[:, 0],
        t.Y: place[:, -2],
        t.X: place[:, -1],
        t.AREA: size if flat else nothing,
        t.VOLUME: nothing if flat else size,
        t.DIAMETER: _diameter(size, axes),
        t.MAJOR: full * np.sqrt(values[:, -1]),
        t.MINOR: full * np.sqrt(values[:, 0]),
        t.ASPECT: np.sqrt(of_boxes[:, -1] / of_boxes[:, 0]),
        t.ECCENTRICITY: _eccentricity(values) if flat else nothing,
        t.ORIENTATION: _orientation(moments) if flat else nothing,
        t.EXTENT: size / around,
        t.SOLIDITY: count / totals.convex if solidity else nothing,
        t.PERIMETER: _perimeter(totals, step) if perimeter and flat else nothing,
        t.BOX_Z0: nothing if flat else low[:, 0],
        t.BOX_Y0: low[:, -2],
        t.BOX_X0: low[:, -1],
        t.BOX_Z1: nothing if flat else high[:, 0],
        t.BOX_Y1: high[:, -2],
        t.BOX_X1: high[:, -1],
    }
    for name, column in ((RING, t.RING_AREA), (CELL, t.CELL_AREA)):
        known = flat and name in compartments
        columns[column] = totals.count[:, COMPARTMENTS.index(name)] * pixel if known else nothing
    return columns


def _diameter(size: NDArray[np.float64], axes: int) -> NDArray[np.float64]:
    """Diameter of the circle of the same area, or the sphere of the same volume."""
    if axes == 2:
        return np.asarray(np.sqrt(4 * size / np.pi))
    return np.asarray(np.cbrt(6 * size / np.pi))


def _moments(
    totals: Totals, offset: NDArray[np.float64], step: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Covariance of the positions of each nucleus's pixels, (N, axes, axes), um2."""
    axes = step.size
    count = totals.count[:, 0]
    place = {(0, 0): 0, (1, 1): 1, (2, 2): 2, (0, 1): 3, (0, 2): 4, (1, 2): 5}
    result = np.empty((count.size, axes, axes))
    for i in range(axes):
        for j in range(i, axes):
            sums = totals.second[:, place[i + 3 - axes, j + 3 - axes]]
            own = (sums / count - offset[:, i] * offset[:, j]) * step[i] * step[j]
            result[:, i, j] = result[:, j, i] = own
    return result


def _principal(moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Eigenvalues of symmetric matrices, ascending, not negative; (N, axes)."""
    if moments.shape[1] == 3:
        return np.clip(np.linalg.eigvalsh(moments), 0, None)
    yy, xx, yx = moments[:, 0, 0], moments[:, 1, 1], moments[:, 0, 1]
    middle, spread = (yy + xx) / 2, np.hypot((yy - xx) / 2, yx)
    return np.column_stack([np.maximum(middle - spread, 0), middle + spread])


def _eccentricity(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the ellipse with these moments; 0 for a single pixel."""
    long = values[:, 1]
    ratio = np.divide(values[:, 0], long, out=np.ones(long.size), where=long > 0)
    return np.asarray(np.sqrt(1 - ratio))


def _orientation(moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angle from the Y axis to the long axis, counter-clockwise, degrees."""
    yy, xx, yx = moments[:, 0, 0], moments[:, 1, 1], moments[:, 0, 1]
    angle = np.arctan2(2 * yx, yy - xx) / 2
    # Of a circle, scikit-image says this.
    round_ = np.where(yx > 0, np.pi / 4, -np.pi / 4)
    return np.asarray(np.degrees(np.where(yy == xx, round_, angle)))


def _perimeter(totals: Totals, step: NDArray[np.float64]) -> NDArray[np.float64]:
    """Perimeter in um by Crofton's formula over the pixel lattice's four directions.

    Notes
    -----
    Lines of one direction, a distance d apart, cross an outline I times; half the integral of
    d * I over all directions is its length. Each direction stands for the angles that are
    nearer to it than to its neighbours. Along a direction, every pixel of the object is followed
    and preceded by one of the object or by a crossing. As `skimage.measure.perimeter_crofton`,
    for pixels that need not be square.
    """
    dy, dx = step
    slope = np.arctan2(dy, dx)
    diagonal = dx * dy / np.hypot(dx, dy)
    # Lines along X, along Y, and along both diagonals: angle that they stand for, distance.
    lines = ((slope, dy), (np.pi / 2 - slope, dx), (np.pi / 4, diagonal), (np.pi / 4, diagonal))
    total = np.zeros(len(totals.count))
    for direction, (angle, apart) in enumerate(lines):
        crossings = 2 * (totals.count[:, 0] - totals.same[:, direction])
        total += crossings * angle * apart
    return total / 2

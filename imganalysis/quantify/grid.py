"""Areas on a coarse grid, so that regions are measured without the pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.tables import GRID_UM

if TYPE_CHECKING:
    from numpy.typing import NDArray


def area_grid(
    mask: NDArray[np.bool_], spacing_um: tuple[float, float], grid_um: float = GRID_UM
) -> NDArray[Any]:
    """Area of a mask in each square of a coarse grid.

    Parameters
    ----------
    mask
        (Y, X) bool.
    spacing_um
        Size of a pixel (Y, X) in um.
    grid_um
        Side of a square in um.

    Returns
    -------
    array
        (ceil(height / grid_um), ceil(width / grid_um)) float64, um2. A pixel counts for the
        square that holds its centre.
    """
    rows, columns = (
        ((np.arange(n) + 0.5) * step / grid_um).astype(np.intp)
        for n, step in zip(mask.shape, spacing_um, strict=True)
    )
    shape = grid_shape((mask.shape[0] * spacing_um[0], mask.shape[1] * spacing_um[1]), grid_um)
    # Sums of whole numbers, so the order does not matter.
    by_row = np.zeros((shape[0], mask.shape[1]), dtype=np.int64)
    np.add.at(by_row, rows, mask.astype(np.int64))
    out = np.zeros(shape, dtype=np.int64)
    np.add.at(out.T, columns, by_row.T)
    return out * (spacing_um[0] * spacing_um[1])


def grid_shape(extent_um: tuple[float, float], grid_um: float = GRID_UM) -> tuple[int, int]:
    """Rows and columns of the grid over a field of a height and width in um."""
    # A field 400.00000001 um wide by rounding has no further column.
    height, width = (max(1, int(np.ceil(round(side / grid_um, 6)))) for side in extent_um)
    return height, width

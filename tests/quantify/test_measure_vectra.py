"""Cytoplasm and membrane of a commercial program's own maps, beside its own table.

Of its four maps (tissue, nucleus, cytoplasm, membrane) that of the nuclei gives its table exactly
(test_measure.py). The others cannot, wholly, since its cells overlap and a map has one number per
pixel:

- cytoplasm: the map shows 11 855 pixels, the table counts 12 104. The 8 cells of 270 that share
  pixels with a neighbour miss theirs in the map. All others are exact.
- membrane: the map says only yes or no. Of 9 202 pixels the table counts 16 875, since a line
  between two cells is the membrane of both. Given to the nearer cell alone, as a ring is here, they
  have the same mean in the median of the cells and go with the table from cell to cell; a cell
  whose neighbour is bright differs, by the neighbour's share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import tifffile
from skimage.segmentation import expand_labels

from imganalysis.quantify.measure import measure

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.realdata

DYES = ["Alexa 594", "Cy3", "Cy5", "DAPI", "FITC"]


@pytest.fixture(scope="module")
def vectra(testdata: Path) -> tuple[list[np.ndarray], np.ndarray, pd.DataFrame]:
    """Maps of nucleus, cytoplasm and membrane; images; the program's table."""
    folder = testdata / "multiplex-vectra"
    maps = [tifffile.imread(folder / "FIHC4_2_binary_seg_maps.tif", key=i) for i in (1, 2, 3)]
    images = [tifffile.imread(folder / "FIHC4_2_component_data.tif", key=i) for i in range(5)]
    table = pd.read_csv(folder / "FIHC4_2_cell_seg_data.txt", sep="\t").sort_values("Cell ID")
    return maps, np.stack(images), table.reset_index(drop=True)


def theirs(table: pd.DataFrame, compartment: str, dye: str) -> pd.Series:
    return table[f"{compartment} {dye} Mean (Normalized Counts, Total Weighting)"].astype(float)


def test_cytoplasm_is_exact_but_where_cells_overlap(
    vectra: tuple[list[np.ndarray], np.ndarray, pd.DataFrame],
) -> None:
    (nuclei, cytoplasm, _), images, table = vectra
    ours = measure({"nucleus": nuclei, "ring": cytoplasm}, images, DYES, (1, 1))
    missing = table["Cytoplasm Area (pixels)"].astype(float) - ours["ring_area_um2"]
    whole = missing == 0
    assert whole.sum() == 262
    assert missing.sum() == 12104 - 11855
    for dye in DYES:
        difference = np.abs(ours[f"{dye}_ring_mean"] - theirs(table, "Cytoplasm", dye))
        assert difference[whole].max() <= 0.0005
        assert (difference[~whole] > 0.0005).all()


def test_membrane_goes_with_the_table_though_its_lines_are_shared(
    vectra: tuple[list[np.ndarray], np.ndarray, pd.DataFrame],
) -> None:
    (nuclei, cytoplasm, membrane), images, table = vectra
    assert set(np.unique(membrane)) == {0, 1}
    counted = table["Membrane Area (pixels)"].astype(float)
    assert (membrane > 0).sum() == 9202 and counted.sum() == 16875
    cells = np.where(nuclei > 0, nuclei, cytoplasm)
    ring = np.where(membrane > 0, expand_labels(cells, 3), 0)
    ours = measure({"nucleus": nuclei, "ring": ring}, images, DYES, (1, 1))
    assert (ours["ring_area_um2"] <= counted).all()
    for dye in DYES:
        own, other = ours[f"{dye}_ring_mean"], theirs(table, "Membrane", dye)
        assert abs((own / other - 1).median()) < 0.02, dye
        assert np.corrcoef(own, other)[0, 1] > 0.92, dye

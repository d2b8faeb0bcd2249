"""Nuclei on annotated microscope images: the Data Science Bowl 2018 set, BBBC038."""

import numpy as np
import pandas as pd
import pytest
import tifffile
from skimage.io import imread

from imganalysis.methods import ScikitImageMethod
from imganalysis.segment import segment_nuclei


def hits(truth: np.ndarray, found: np.ndarray) -> tuple[int, int, int]:
    """Nuclei found with an IoU over 0.5; found in all; true in all."""
    columns = int(found.max()) + 1
    pairs = np.bincount(truth.astype(np.int64).ravel() * columns + found.ravel())
    table = np.zeros(((int(truth.max()) + 1) * columns), np.int64)
    table[: pairs.size] = pairs
    both = table.reshape(-1, columns)
    union = both.sum(1, keepdims=True) + both.sum(0, keepdims=True) - both
    hit = int((both[1:, 1:] > 0.5 * union[1:, 1:]).sum())
    return hit, columns - 1, np.unique(truth).size - 1


@pytest.mark.realdata
def test_nuclei_of_many_kinds_of_images(testdata):
    folder = testdata / "nuclei-2d-dsb2018"
    index = pd.read_csv(folder / "index.csv")
    some = index[index["height"] <= 360].iloc[5::16]
    assert len(some) >= 20
    total = np.zeros(3, int)
    for row in some.itertuples():
        image = imread(folder / "images" / f"{row.id}.png")
        truth = tifffile.imread(folder / "masks" / f"{row.id}.tif")
        # The pixel size is unknown: nuclei of 8 um, to the nearest 4 pixels, as by eye.
        diameter = 4 * max(2, round(np.sqrt(row.median_area_px / np.pi) / 2))
        size = 8.0 / diameter
        found = segment_nuclei(image.astype(np.float32), (size, size), ScikitImageMethod())
        total += hits(truth, found)
    hit, found_all, true_all = total
    assert 2 * hit / (found_all + true_all) > 0.8
    assert hit / (found_all + true_all - hit) > 0.7


@pytest.mark.realdata
def test_nuclei_of_a_crowded_tissue_section(testdata):
    folder = testdata / "multiplex-vectra"
    stain = tifffile.imread(folder / "FIHC4_2_component_data.tif", key=3)
    given = tifffile.imread(folder / "FIHC4_2_binary_seg_maps.tif", key=1)
    found = segment_nuclei(stain, (0.497, 0.497), ScikitImageMethod())
    # The given map is another program's, not the truth: it can be agreed with roughly only.
    assert 230 < found.max() < 340
    assert hits(given, found)[0] > 140
    inside = (given > 0) & (found > 0)
    assert inside.sum() / ((given > 0) | (found > 0)).sum() > 0.75

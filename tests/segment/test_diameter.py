"""The diameter of nuclei where no scale is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage as ndi
from skimage.io import imread

from imganalysis.segment.diameter import estimate_diameter

if TYPE_CHECKING:
    from pathlib import Path


def discs(diameter: float, size: int = 400, seed: int = 0) -> np.ndarray:
    """Discs of one size, many of which touch, on uneven haze, with noise."""
    rng = np.random.default_rng(seed)
    image = np.zeros((size, size))
    y, x = np.mgrid[:size, :size]
    for _ in range(int(0.35 * size**2 / (np.pi / 4 * diameter**2))):
        cy, cx = rng.uniform(0, size, 2)
        level = rng.uniform(60, 200)
        disc = (y - cy) ** 2 + (x - cx) ** 2 < diameter**2 / 4
        image[disc] = np.maximum(image[disc], level)
    haze = 40 * np.exp(-((y - size / 4) ** 2 + (x - size / 3) ** 2) / (2 * (size / 4) ** 2))
    return rng.poisson(ndi.gaussian_filter(image, 1) + haze + 8).astype(np.uint16)


def off(found: float, true: float) -> float:
    """The factor between two diameters, 1 or more."""
    return float(np.exp(np.abs(np.log(found / true))))


@pytest.mark.parametrize("diameter", [9, 15, 30, 60, 110])
def test_discs_of_every_size(diameter: float) -> None:
    assert off(estimate_diameter(discs(diameter)), diameter) < 1.4


@pytest.mark.parametrize("diameter", [12, 20])
def test_haze_as_wide_as_many_nuclei_is_not_taken_for_one(diameter: float) -> None:
    y, x = np.mgrid[:400, :400]
    haze = 500 * np.exp(-((y - 100) ** 2 + (x - 120) ** 2) / (2 * 60**2))
    assert off(estimate_diameter(discs(diameter) + haze), diameter) < 1.4


def test_grains_of_noise_are_not_taken_for_nuclei() -> None:
    # Two or three photons a pixel, half of them from the background.
    few = np.random.default_rng(1).poisson((discs(80) + 200) / 100)
    assert off(estimate_diameter(few), 80) < 1.4


def test_neither_offset_nor_scale_nor_type_matters() -> None:
    image = discs(20)
    first = estimate_diameter(image)
    assert estimate_diameter(image * 3.0 + 500) == pytest.approx(first, rel=0.02)
    assert estimate_diameter(image) == first


def test_of_a_large_image_the_parts_with_nuclei_are_looked_at() -> None:
    large = np.full((1500, 1500), 8, np.uint16)
    large[900:1300, 800:1200] = discs(20)
    assert off(estimate_diameter(large), 20) < 1.4


def test_pixels_that_are_not_finite_do_no_harm() -> None:
    image = discs(20).astype(np.float32)
    image[50:90, 50:90] = np.nan
    image[0, 0] = np.inf
    assert off(estimate_diameter(image), 20) < 1.4


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((80, 80)),
        np.full((80, 80), 255, np.uint8),
        np.full((80, 80), np.nan),
        np.zeros((0, 5)),
        np.array([[3]]),
    ],
    ids=["black", "saturated", "nan", "empty", "one pixel"],
)
def test_an_image_without_anything_has_none(image: np.ndarray) -> None:
    assert np.isnan(estimate_diameter(image))


def test_only_planes_are_taken() -> None:
    with pytest.raises(ValueError, match="3 axes"):
        estimate_diameter(np.zeros((3, 8, 8)))


@pytest.mark.realdata
def test_nuclei_of_many_kinds_of_images(testdata: Path) -> None:
    folder = testdata / "nuclei-2d-dsb2018"
    index = pd.read_csv(folder / "index.csv")
    some = index[index["height"] <= 360].iloc[3::12]
    factors = []
    for row in some.itertuples():
        found = estimate_diameter(imread(folder / "images" / f"{row.id}.png"))
        factors.append(off(found, 2 * np.sqrt(row.median_area_px / np.pi)))
    assert len(factors) >= 25
    assert np.mean(np.array(factors) < 1.5) >= 0.9

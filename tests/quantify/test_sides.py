"""The dimmer half of a ring does not know light from one side."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from imganalysis.quantify.sides import dim_halves
from imganalysis.segment import rings

SPACING = (0.5, 0.5)
COLUMN = "m_ring_dim_half_mean"


@pytest.fixture
def two() -> tuple[np.ndarray, np.ndarray]:
    """Two discs of 5 um far apart, and rings of 3 um."""
    y, x = np.indices((60, 120))
    nuclei = np.zeros((60, 120), np.uint32)
    nuclei[np.hypot(y - 30, x - 30) <= 5] = 7
    nuclei[np.hypot(y - 29, x - 85) <= 5] = 3
    return nuclei, rings(nuclei, SPACING, 3.0)


def test_light_on_one_side_is_not_in_the_dimmer_half(two: tuple[np.ndarray, np.ndarray]) -> None:
    nuclei, ring = two
    image = np.full(nuclei.shape, 2.0, np.float32)
    image[:, 35:60] = 100.0  # on the right of 7
    table = dim_halves(nuclei, ring, {"m": image}, SPACING)
    assert table["label"].tolist() == [3, 7]
    assert table[COLUMN][0] == 2.0
    assert table[COLUMN][1] < 5.0  # a fifth octant gives the last pixels
    assert image[ring == 7].mean() > 30


def test_what_lies_all_around_stays(two: tuple[np.ndarray, np.ndarray]) -> None:
    nuclei, ring = two
    image = np.where(ring == 7, 50.0, 1.0).astype(np.float32)
    image[ring == 3] = np.random.default_rng(0).normal(50, 5, (ring == 3).sum())
    found = dim_halves(nuclei, ring, {"m": image}, SPACING).set_index("label")[COLUMN]
    assert found[7] == 50
    assert 45 < found[3] < 50


def test_half_of_the_pixels_count_however_they_lie() -> None:
    nuclei = np.zeros((5, 9), np.uint32)
    nuclei[2, 4] = 1
    ring = np.zeros_like(nuclei)
    ring[2, [0, 8]] = 1  # one octant each on the left and right
    ring[0, 4] = ring[4, 4] = 1
    image = np.zeros(nuclei.shape)
    image[2, 0], image[2, 8], image[0, 4], image[4, 4] = 1, 10, 3, 100
    (row,) = dim_halves(nuclei, ring, {"m": image}, SPACING)[COLUMN]
    assert row == 2.0
    ring[2, 8] = 0  # of three pixels one and a half
    (row,) = dim_halves(nuclei, ring, {"m": image}, SPACING)[COLUMN]
    assert row == pytest.approx((1 + 3 / 2) / 1.5)


def test_no_ring_and_a_broken_pixel_give_nothing(two: tuple[np.ndarray, np.ndarray]) -> None:
    nuclei, ring = two
    image = np.ones(nuclei.shape)
    bare = np.where(ring == 7, 0, ring)
    found = dim_halves(nuclei, bare, {"m": image}, SPACING)[COLUMN]
    assert found.isna().tolist() == [False, True]
    image[tuple(np.argwhere(ring == 3)[0])] = np.nan
    found = dim_halves(nuclei, ring, {"m": image}, SPACING)[COLUMN]
    assert found.isna().tolist() == [True, False]
    nothing = dim_halves(np.zeros_like(nuclei), np.zeros_like(ring), {"m": image}, SPACING)
    assert nothing.empty and COLUMN in nothing.columns


@pytest.mark.parametrize("spacing", [SPACING, (0.3, 0.7)])
def test_a_window_gives_the_same_bytes(
    two: tuple[np.ndarray, np.ndarray], spacing: tuple[float, float]
) -> None:
    nuclei, ring = two
    image = np.random.default_rng(1).normal(9, 3, nuclei.shape).astype(np.float32)
    whole = dim_halves(nuclei, ring, {"m": image}, spacing)
    part = (slice(11, 57), slice(53, 118))
    window = dim_halves(nuclei[part], ring[part], {"m": image[part]}, spacing)
    pd.testing.assert_frame_equal(window, whole[whole["label"] == 3], check_exact=True)


def test_in_a_stack_octants_stand_upright(two: tuple[np.ndarray, np.ndarray]) -> None:
    nuclei, ring = (np.stack([one, one]) for one in two)
    image = np.ones(nuclei.shape)
    image[0] = 50 * (np.arange(120) < 60)
    image[1, :, 35:60] = 50
    stack = dim_halves(nuclei, ring, {"m": image}, (1.0, *SPACING))
    flat = dim_halves(nuclei[0], ring[0], {"m": image.mean(axis=0)}, SPACING)
    pd.testing.assert_frame_equal(stack, flat)

"""Stained bodies without a nucleus: found, and not made of noise, fibres or cytoplasm."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from skimage.draw import disk

from imganalysis import tables as t
from imganalysis.quantify.ghosts import count_ghosts, find_ghosts
from imganalysis.settings_counting import Counting

if TYPE_CHECKING:
    import pandas as pd

PX = (0.5, 0.5)
SHAPE = (200, 200)


def found(
    death: np.ndarray, nuclei: np.ndarray | None = None, frame: np.ndarray | None = None
) -> pd.DataFrame:
    nuclei = np.zeros(SHAPE, np.uint32) if nuclei is None else nuclei
    cells = nuclei.copy()
    everywhere = np.ones(SHAPE, bool)
    frame = everywhere if frame is None else frame
    lineage = np.random.default_rng(5).poisson(2, SHAPE) - 2.0
    images = {"L": lineage, "D": death}
    return find_ghosts(nuclei, cells, images, everywhere, frame, PX, Counting())


def noisy(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(3, SHAPE) - 3.0


def body(y: float, x: float, radius_um: float = 5.0, level: float = 30.0) -> np.ndarray:
    image = noisy()
    image[disk((y / PX[0], x / PX[0]), radius_um / PX[0], shape=SHAPE)] += level
    return image


def test_a_shadow_is_found_where_it_is() -> None:
    row = found(body(40, 60)).iloc[0]
    assert (row[t.Y], row[t.X]) == (pytest.approx(40, abs=0.5), pytest.approx(60, abs=0.5))
    assert row[t.AREA] == pytest.approx(math.pi * 25, rel=0.15)
    assert row[t.ghost_column("D")] == pytest.approx(30, rel=0.2)
    assert row[t.ghost_column("L")] == pytest.approx(0, abs=1)


@pytest.mark.parametrize("seed", range(4))
def test_noise_alone_makes_none(seed: int) -> None:
    assert found(noisy(seed)).empty


def test_an_even_picture_makes_none() -> None:
    assert found(np.zeros(SHAPE)).empty


def test_small_bodies_fibres_and_cells_are_none() -> None:
    assert found(body(40, 60, 3.0)).empty  # 28 um2
    fibre = noisy()
    fibre[60:64, 20:180] += 30.0  # 2 um by 80 um
    fibre[20:180, 100:104] += 30.0
    assert found(fibre).empty
    nuclei = np.zeros(SHAPE, np.uint32)
    nuclei[disk((80, 120), 5)] = 1  # 2.5 um, 25 % of the body
    assert found(body(40, 60), nuclei).empty
    # The nucleus is the hole of its cytoplasm, which alone holds no part of it.
    small = np.zeros(SHAPE, np.uint32)
    small[disk((80, 120), 3.2)] = 1
    ring = body(40, 60)
    ring[small > 0] = 0
    assert found(ring, small).empty


def test_cytoplasm_within_the_reach_of_nuclei_is_none() -> None:
    nuclei = np.zeros(SHAPE, np.uint32)
    everywhere = np.ones(SHAPE, bool)
    cells = nuclei.copy()
    cells[disk((80, 120), 8)] = 1
    image = {"D": body(40, 60)}
    assert find_ghosts(nuclei, cells, image, everywhere, everywhere, PX, Counting()).empty


def test_bodies_outside_the_frame_are_not_counted() -> None:
    frame = np.zeros(SHAPE, bool)
    frame[100:, :] = True
    assert found(body(40, 60), frame=frame).empty
    assert len(found(body(60, 60), frame=frame)) == 1


def test_only_what_is_positive_is_a_ghost() -> None:
    table = found(body(40, 60))
    assert count_ghosts(table, {"L": 10.0, "D": 15.0}) == (1.0, table[t.AREA].iat[0] / 1e6)
    assert count_ghosts(table, {"L": 10.0, "D": 90.0}) == (0.0, 0.0)
    assert count_ghosts(table, {"L": None, "D": 15.0})[0] == 1.0
    assert all(math.isnan(value) for value in count_ghosts(table, {"L": None, "D": None}))

"""Pairs of possible fragments: what is said of them, against slow ways to find the same."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import ndimage as ndi

from imganalysis import tables as t
from imganalysis.quantify.fragments import fragment_pairs
from imganalysis.quantify.measure import measure
from imganalysis.settings_counting import Counting

if TYPE_CHECKING:
    import pandas as pd

SHARP = Counting(fragment_smooth_um=0.0)
DNA = "dna_nucleus_mean"


def pairs_of(
    nuclei: np.ndarray,
    death: np.ndarray,
    spacing: tuple[float, ...] = (0.5, 0.5),
    rules: Counting = SHARP,
    dna: np.ndarray | None = None,
) -> pd.DataFrame:
    stain = np.ones(nuclei.shape) if dna is None else dna
    objects = measure({"nucleus": nuclei}, stain[np.newaxis], ["dna"], spacing)
    return fragment_pairs(nuclei.astype(np.uint32), death, objects, DNA, spacing, rules)


def slow_bridge(
    nuclei: np.ndarray, death: np.ndarray, a: int, b: int, largest: int
) -> tuple[float, int]:
    """Look at every level, the highest first, for a component with pixels of both."""
    for level in sorted(set(death[death > 0].tolist()), reverse=True):
        parts, _ = ndi.label(death >= level)
        both = (set(parts[nuclei == a]) & set(parts[nuclei == b])) - {0}
        if both:
            size = min(int((parts == part).sum()) for part in both)
            return (level, size) if size <= largest else (np.nan, 0)
    return np.nan, 0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(24, 31), (4, 12, 14)]))
@example(10059, (24, 31))  # the largest component is as large as the limit
def test_bridge_is_the_highest_level_that_joins(seed: int, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(seed)
    nuclei = np.zeros(shape, np.uint32)
    for number in range(1, 6):
        corner = [int(rng.integers(0, n - 3)) for n in shape]
        nuclei[tuple(slice(c, c + int(rng.integers(1, 4))) for c in corner)] = number
    # Every level once, so that the order of equal ones plays no part; some are not above 0.
    death = (rng.permutation(nuclei.size).reshape(shape) - nuclei.size // 4).astype(float)
    spacing = (0.5,) * len(shape)
    rules = Counting(fragment_smooth_um=0.0, fragment_cell_um2=30.0)
    found = pairs_of(nuclei, death, spacing, rules)
    radius = np.sqrt(30 / np.pi)
    largest = int(30 / 0.25 if len(shape) == 2 else 4 / 3 * np.pi * radius**3 / 0.125)
    expected = []
    for a, b in combinations(np.unique(nuclei[nuclei > 0]).tolist(), 2):
        level, size = slow_bridge(nuclei, death, a, b, largest)
        if np.isfinite(level):
            expected.append((a, b, level, size))
    assert found[[t.LABEL_A, t.LABEL_B]].to_numpy().tolist() == [[a, b] for a, b, *_ in expected]
    assert found[t.BRIDGE].tolist() == [level for *_, level, _ in expected]
    sizes = [size * 0.5 ** len(shape) for *_, size in expected]
    if len(shape) == 2:
        np.testing.assert_allclose(np.pi / 4 * found[t.COMPONENT] ** 2, sizes)
    else:
        np.testing.assert_allclose(np.pi / 6 * found[t.COMPONENT] ** 3, sizes)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_pixels_of_one_level_are_taken_together(seed: int) -> None:
    rng = np.random.default_rng(seed)
    nuclei = np.zeros((20, 16), np.uint32)  # no gap in it is wider than a cell
    for number in range(1, 5):
        y, x = (int(rng.integers(0, n - 3)) for n in nuclei.shape)
        nuclei[y : y + 3, x : x + 2] = number
    death = rng.integers(-2, 5, nuclei.shape).astype(float)
    found = pairs_of(nuclei, death, rules=Counting(fragment_smooth_um=0, fragment_cell_um2=1e6))
    numbers = np.unique(nuclei[nuclei > 0]).tolist()
    slow = {
        (a, b): slow_bridge(nuclei, death, a, b, nuclei.size)[0]
        for a, b in combinations(numbers, 2)
    }
    known = {pair: level for pair, level in slow.items() if np.isfinite(level)}
    keys = zip(found[t.LABEL_A], found[t.LABEL_B], strict=True)
    assert dict(zip(keys, found[t.BRIDGE], strict=True)) == known


def test_gap_and_hull_are_in_um_on_any_pixel() -> None:
    """The same two squares of 2 um, 1.5 um apart, on square pixels and on flat ones."""
    for spacing in ((0.5, 0.5), (0.25, 0.5), (0.5, 0.125)):
        down, across = (round(2 / step) for step in spacing)
        apart = round(1.5 / spacing[1])
        nuclei = np.zeros((60, 120), np.uint32)
        nuclei[20 : 20 + down, 30 : 30 + across] = 1
        nuclei[20 : 20 + down, 30 + across + apart : 30 + 2 * across + apart] = 2
        row = pairs_of(nuclei, np.ones(nuclei.shape), spacing, Counting(fragment_cell_um2=1e6))
        assert row[t.GAP].tolist() == [pytest.approx(1.5)]
        assert np.pi / 4 * row[t.HULL].iat[0] ** 2 == pytest.approx(2 * 5.5)
        assert row[t.UNION_SOLIDITY].iat[0] == pytest.approx(8 / 11)


def test_touching_has_no_gap_and_large_nuclei_make_no_pair() -> None:
    nuclei = np.zeros((60, 60), np.uint32)
    nuclei[10:16, 10:16], nuclei[16:22, 16:22] = 1, 2  # 9 um2 each, corner to corner
    nuclei[30:40, 10:20], nuclei[30:40, 20:30] = 3, 4  # 25 um2 each
    found = pairs_of(nuclei, np.ones(nuclei.shape), rules=Counting(fragment_cell_um2=1e6))
    assert found[[t.LABEL_A, t.LABEL_B]].to_numpy().tolist() == [[1, 2]]
    assert found[t.GAP].tolist() == [0.0]


def test_dna_is_told_against_whole_nuclei() -> None:
    nuclei = np.zeros((60, 60), np.uint32)
    nuclei[10:14, 10:14], nuclei[10:14, 15:19] = 1, 2
    nuclei[30:45, 30:45] = 3
    dna = np.where(nuclei == 3, 10.0, np.where(nuclei == 1, 12.0, 20.0))
    rules = Counting(fragment_cell_um2=1e6)
    assert pairs_of(nuclei, np.ones(nuclei.shape), rules=rules, dna=dna)[t.DNA].tolist() == [1.6]
    nuclei[nuclei == 3] = 0
    assert pairs_of(nuclei, np.ones(nuclei.shape), rules=rules, dna=dna)[t.DNA].isna().all()


@pytest.mark.parametrize("kind", ["no nuclei", "one", "all dark", "not finite"])
def test_nothing_to_pair(kind: str) -> None:
    nuclei = np.zeros((40, 40), np.uint32)
    death = np.ones((40, 40), np.float32)
    if kind != "no nuclei":
        nuclei[4:8, 4:8] = 1
    if kind in ("all dark", "not finite"):
        nuclei[4:8, 9:12] = 2
        death[:] = -1 if kind == "all dark" else np.nan
    found = pairs_of(nuclei, death)
    assert len(found) == 0
    assert list(found.columns) == list(t.PAIR_COLUMNS)
    assert found.dtypes[t.LABEL_A] == np.int64 and found.dtypes[t.BRIDGE] == np.float64


def test_smoothing_takes_a_lone_pixel_for_no_bridge() -> None:
    nuclei = np.zeros((40, 60), np.uint32)
    nuclei[15:20, 10:15], nuclei[15:20, 18:23] = 1, 2
    death = np.full(nuclei.shape, 1.0)
    death[15:20, 10:15] = death[15:20, 18:23] = 100.0
    death[17, 15:18] = 100.0  # one row of bright noise
    assert pairs_of(nuclei, death, rules=SHARP)[t.BRIDGE].tolist() == [100.0]
    assert pairs_of(nuclei, death, rules=Counting())[t.BRIDGE].iat[0] < 60

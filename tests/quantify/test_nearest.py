"""Distances cut off at a border, against processes of which the truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from statsmodels.duration.survfunc import SurvfuncRight

from imganalysis.quantify.nearest import (
    Distances,
    compare,
    nearest_distance,
    seed_of,
    survival,
    together,
)
from imganalysis.quantify.window import border_distance

HOW = {"confidence": 0.95, "deff_default": 5.0}


def poisson(rng: np.random.Generator, per_mm2: float, side_um: float) -> np.ndarray:
    return rng.uniform(0, side_um, (rng.poisson(per_mm2 * side_um**2 / 1e6), 2))


def to_nearest(rng: np.random.Generator, per_mm2: float, fields: int, side_um: float) -> Distances:
    """Of cells placed anywhere, to cells placed anywhere, each field a cluster."""
    parts = []
    for i in range(fields):
        points, targets = poisson(rng, 1000, side_um), poisson(rng, per_mm2, side_um)
        near = nearest_distance(points, targets, np.zeros(len(points), bool))
        border = border_distance(points, (0, side_um, 0, side_um))
        parts.append(Distances.of(near, border, np.full(len(points), i)))
    return together(parts)


@pytest.mark.parametrize(("per_mm2", "mean_um"), [(200, 35.4), (50, 70.7)])
def test_complete_randomness(per_mm2: float, mean_um: float) -> None:
    """Mean distance .5 / sqrt(density); half of it within sqrt(ln 2 / (pi density))."""
    assert 500 / math.sqrt(per_mm2) == pytest.approx(mean_um, abs=0.05)
    found = to_nearest(np.random.default_rng(1), per_mm2, fields=40, side_um=500)
    true_median = 1000 * math.sqrt(math.log(2) / (math.pi * per_mm2))
    true_share = 1 - math.exp(-per_mm2 / 1e6 * math.pi * 20**2)
    median, share = survival(found, 20.0, **HOW)
    assert median.value == pytest.approx(true_median, rel=0.04)
    assert median.lo < true_median < median.hi
    assert share.value == pytest.approx(true_share, abs=0.03)
    # The mean as the area under the curve, as far as the borders let see.
    points = np.linspace(0, 240, 481)
    curve = [1 - survival(found, float(r), **HOW)[1].value for r in points[::20]]
    mean = np.trapezoid(np.nan_to_num(curve), points[::20])
    assert mean == pytest.approx(mean_um, rel=0.05)


def test_without_the_border_distances_come_out_long() -> None:
    """What the correction is for: in small fields the neighbour beyond the border is missed."""
    rng = np.random.default_rng(2)
    found = to_nearest(rng, 50, fields=60, side_um=200)
    rng = np.random.default_rng(2)
    naive = []
    for _ in range(60):
        points, targets = poisson(rng, 1000, 200), poisson(rng, 50, 200)
        naive.append(nearest_distance(points, targets, np.zeros(len(points), bool)))
    true_median = 1000 * math.sqrt(math.log(2) / (math.pi * 50))
    ours = survival(found, 20.0, **HOW)[0].value
    assert np.median(np.concatenate(naive)) > 1.15 * true_median
    assert abs(ours - true_median) < 0.1 * true_median


def test_the_estimate_is_that_of_kaplan_and_meier() -> None:
    rng = np.random.default_rng(3)
    distance, border = rng.exponential(20, 300).round(1), rng.uniform(0, 60, 300).round(1)
    d = Distances.of(distance, border, np.zeros(300, int))
    theirs = SurvfuncRight(d.length, d.seen.astype(int))
    median, share = survival(d, 15.0, confidence=0.95, deff_default=1.0)
    assert median.value == theirs.quantile(0.5)
    at = np.searchsorted(theirs.surv_times, 15.0, side="right") - 1
    assert share.value == pytest.approx(1 - theirs.surv_prob[at])
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = theirs.quantile_ci(0.5, method="cloglog")
    assert (median.lo, median.hi) == (low, high)


def test_fields_that_differ_widen_the_interval() -> None:
    rng = np.random.default_rng(4)
    scale = np.repeat([5.0, 40.0, 8.0, 30.0], 100)
    distance = rng.exponential(scale)
    alike = Distances.of(distance, np.full(400, 1e3), np.tile(np.arange(4), 100))
    apart = Distances.of(distance, np.full(400, 1e3), np.repeat(np.arange(4), 100))
    narrow, wide = (survival(d, 15.0, **HOW)[1] for d in (alike, apart))
    assert narrow.value == wide.value
    assert wide.hi - wide.lo > 2 * (narrow.hi - narrow.lo)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Fields that differ: a median of 14 um, 95 % of intervals hold it, give or take."""
    rng = np.random.default_rng(5)
    held = []
    for _ in range(200):
        parts = []
        for i in range(6):
            rate = np.exp(rng.normal(0, 0.3)) / 20
            parts.append(Distances.of(rng.exponential(1 / rate, 40), rng.uniform(0, 110, 40),
                                      np.full(40, i)))  # fmt: skip
        share = survival(together(parts), 20.0, **HOW)[1]
        held.append(share.lo <= 0.632 <= share.hi)
    assert 0.90 <= np.mean(held) <= 0.99


def test_borders_that_hide_the_median_leave_it_open() -> None:
    d = Distances.of(np.array([5.0, 50, 60, 70]), np.array([9.0, 10, 11, 12]), np.zeros(4, int))
    median, share = survival(d, 8.0, **HOW)
    assert math.isnan(median.value) and share.value == pytest.approx(0.25)
    assert math.isnan(survival(d, 20.0, **HOW)[1].value)


def test_nothing_to_be_near_to() -> None:
    far = nearest_distance(np.ones((3, 2)), np.zeros((0, 2)), np.zeros(3, bool))
    assert np.isinf(far).all()
    d = Distances.of(far, np.array([30.0, 40, 50]), np.zeros(3, int))
    median, share = survival(d, 20.0, **HOW)
    assert math.isnan(median.value)
    assert share.value == share.lo == 0.0 and 0.5 < share.hi < 1
    assert math.isnan(survival(d, 60.0, **HOW)[1].value)


def test_a_cell_is_not_its_own_neighbour() -> None:
    points = np.array([[0.0, 0], [0, 3], [10, 0]])
    near = nearest_distance(points, points, np.ones(3, bool))
    assert near == pytest.approx([3, 3, 10])
    assert np.isinf(nearest_distance(points[:1], points[:1], np.ones(1, bool))).all()


def test_exchanged_labels_are_exact_under_the_null() -> None:
    rng = np.random.default_rng(6)
    hits = 0
    for _ in range(200):
        d = Distances.of(rng.exponential(20, 60), rng.uniform(0, 60, 60), np.repeat([0, 1], 30))
        hits += compare(d, rng.random(60) < 0.3, 99) <= 0.05
    assert 0.02 <= hits / 200 <= 0.09


def test_cells_that_lie_nearer_are_found_out_and_fields_are_not_mixed() -> None:
    rng = np.random.default_rng(7)
    chosen = np.arange(80) < 20
    distance = np.where(chosen, rng.exponential(8, 80), rng.exponential(30, 80))
    border = rng.uniform(20, 80, 80)
    assert compare(Distances.of(distance, border, np.zeros(80, int)), chosen, 999) <= 0.002
    # All of the class in one field, all others in another: nothing to compare.
    apart = Distances.of(distance, border, np.where(chosen, 0, 1))
    assert math.isnan(compare(apart, chosen, 999))


def test_the_seed_is_the_data() -> None:
    points = np.random.default_rng(8).uniform(0, 100, (5, 2))
    assert seed_of(points) == seed_of(points + 1e-9) != seed_of(points + 1e-3)

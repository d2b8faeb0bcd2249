"""K with the translation correction, and its test under random labels."""

from __future__ import annotations

import numpy as np
import pytest

from imganalysis.quantify.clustering import (
    Pattern,
    clustering,
    k_function,
    overlap,
    rank_lengths,
    set_covariance,
)

HOW = {"max_radius_um": 60.0, "permutations": 199, "min_cells": 30}
WHOLE = np.ones((222, 222), bool)
L_SHAPE = WHOLE.copy()
L_SHAPE[111:, 111:] = False
RADII = np.arange(2, 52, 2.0)


def kept(points: np.ndarray, window: np.ndarray) -> np.ndarray:
    inside = ((points >= 0) & (points < window.shape)).all(axis=1)
    points = points[inside]
    squares = points.astype(int)
    return points[window[squares[:, 0], squares[:, 1]]]


def pattern(points: np.ndarray, chosen: np.ndarray, window: np.ndarray = WHOLE) -> Pattern:
    return Pattern(points, chosen, window, (1.0, 1.0), float(min(window.shape)))


def infiltrate(rng: np.random.Generator, window: np.ndarray, n: int) -> np.ndarray:
    """Lymphocytes in clusters of their own: no complete randomness."""
    points = np.zeros((0, 2))
    while len(points) < n:
        near = rng.uniform(0, 222, 2) + rng.normal(0, 25, (30, 2))
        points = np.concatenate([points, kept(near, window)])
    return points[:n]


def random_labels(rng: np.random.Generator, window: np.ndarray, n: int = 20) -> Pattern:
    points = infiltrate(rng, window, 150)
    return pattern(points, np.isin(np.arange(150), rng.choice(150, n, replace=False)), window)


def thomas(rng: np.random.Generator, window: np.ndarray, n: int) -> Pattern:
    """Cells of the class in clusters of 4.5 on average, SD 12 um, among the others."""
    own = np.zeros((0, 2))
    while len(own) < n:
        parent = kept(rng.uniform(0, 222, (1, 2)), window)
        if len(parent):
            near = parent + rng.normal(0, 12, (rng.poisson(4.5), 2))
            own = np.concatenate([own, kept(near, window)])
    others = infiltrate(rng, window, 150 - n)
    points = np.concatenate([own[:n], others])
    return pattern(points, np.arange(150) < n, window)


def brute_overlap(window: np.ndarray, dy: float, dx: float, fine: int = 20) -> float:
    """Area common to a window and itself shifted, by counting fine squares."""
    large = np.kron(window, np.ones((fine, fine), bool))
    y, x = round(abs(dy) * fine), round(abs(dx) * fine)
    if dy * dx < 0:
        large = large[:, ::-1]
    return (
        float((large[y:, x:] & large[: large.shape[0] - y, : large.shape[1] - x]).sum()) / fine**2
    )


def test_common_area_of_a_mask_and_itself_shifted() -> None:
    window = np.random.default_rng(0).random((17, 23)) < 0.6
    covariance = set_covariance(window, (1.0, 1.0), 8.0)
    shifts = np.array([[0, 0], [3, 4], [-3, 4], [2.5, -1.25], [0.3, 7.9], [-7.95, -0.05]])
    found = overlap(covariance, (1.0, 1.0), shifts)
    expected = [brute_overlap(window, *shift) for shift in shifts]
    assert found == pytest.approx(expected, rel=1e-9)


def test_squares_need_not_be_square() -> None:
    window = np.ones((10, 30), bool)
    covariance = set_covariance(window, (2.0, 0.5), 6.0)
    found = overlap(covariance, (2.0, 0.5), np.array([[3.0, -4.0]]))
    assert found == pytest.approx([(20 - 3) * (15 - 4)])


def test_k_is_that_of_the_definition() -> None:
    rng = np.random.default_rng(1)
    window = np.ones((40, 30), bool)
    window[25:, 12:] = False
    points = kept(rng.uniform(0, 40, (40, 2)), window)
    chosen = rng.random(len(points)) < 0.6
    radii = np.array([3.0, 6.0, 9.0])
    own = points[chosen]
    expected = np.zeros(3)
    for i in range(len(own)):
        for j in range(len(own)):
            if i != j:
                d = own[j] - own[i]
                area = brute_overlap(window, round(d[0], 1), round(d[1], 1), fine=10)
                expected += (np.hypot(*d) <= radii) / area
    expected *= window.sum() ** 2 / (len(own) * (len(own) - 1))
    assert k_function(pattern(points, chosen, window), radii) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("window", [WHOLE, L_SHAPE], ids=["square", "L"])
def test_complete_randomness_has_no_excess(window: np.ndarray) -> None:
    """L(r) = r, also in a mask that is no rectangle; without the correction it is less."""
    found, plain = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        points = kept(rng.uniform(0, 222, (400, 2)), window)
        every = np.ones(len(points), bool)
        found.append(k_function(pattern(points, every, window), RADII))
        d = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
        within = ((d[..., None] <= RADII).sum(axis=(0, 1)) - len(points)) * window.sum()
        plain.append(within / len(points) ** 2)
    excess = np.sqrt(np.mean(found, axis=0) / np.pi) - RADII
    assert np.abs(excess[4:]).max() < 0.8
    assert (np.sqrt(np.mean(plain, axis=0) / np.pi) - RADII)[-1] < -3


def test_random_labels_are_rejected_no_more_often_than_said() -> None:
    """200 studies of three fields, one of them L-shaped: 2 to 9 % at a level of 5 %."""
    rng = np.random.default_rng(21)
    hits = 0
    for _ in range(200):
        fields = [random_labels(rng, window) for window in (WHOLE, L_SHAPE, WHOLE)]
        found = clustering(fields, **{**HOW, "permutations": 99})
        assert found is not None
        hits += found.p <= 0.05
    assert 0.02 <= hits / 200 <= 0.09


def test_clusters_are_found() -> None:
    """60 cells in Thomas clusters, in three fields: more than 80 % found."""
    rng = np.random.default_rng(22)
    hits, excess = 0, []
    for _ in range(40):
        found = clustering([thomas(rng, w, 20) for w in (WHOLE, L_SHAPE, WHOLE)], **HOW)
        assert found is not None and found.n == 60
        hits += found.p <= 0.05 and bool((found.observed > found.high).any())
        excess.append(found.excess(20.0)[0])
    assert hits / 40 > 0.8
    assert np.mean(excess) > 5


def test_fields_with_fewer_than_two_do_not_enter() -> None:
    rng = np.random.default_rng(3)
    fields = [random_labels(rng, WHOLE) for _ in range(2)]
    lone = pattern(rng.uniform(0, 222, (150, 2)), np.arange(150) < 1)
    alone, with_lone = clustering(fields, **HOW), clustering([*fields, lone], **HOW)
    assert alone is not None and with_lone is not None
    assert (alone.p, alone.n) == (with_lone.p, with_lone.n)
    assert (alone.observed == with_lone.observed).all()


def test_too_few_cells_are_no_test() -> None:
    rng = np.random.default_rng(4)
    assert clustering([random_labels(rng, WHOLE, 14)] * 2, **HOW) is None
    assert clustering([random_labels(rng, WHOLE, 15)] * 2, **HOW) is not None
    assert clustering([], **HOW) is None


def test_radii_stop_at_a_quarter_of_the_smallest_frame() -> None:
    rng = np.random.default_rng(5)
    small = Pattern(rng.uniform(0, 100, (150, 2)), np.arange(150) < 20, WHOLE, (1.0, 1.0), 100.0)
    found = clustering([small, random_labels(rng, WHOLE)], **HOW)
    assert found is not None and found.radii[-1] == 24.0
    full = clustering([random_labels(rng, WHOLE, 40)], **HOW)
    assert full is not None and full.radii[-1] == 54.0


def test_the_same_cells_give_the_same_numbers() -> None:
    fields = [random_labels(np.random.default_rng(6), WHOLE, 40)]
    first, again = clustering(fields, **HOW), clustering(fields, **HOW)
    assert first is not None and again is not None
    assert first.p == again.p and (first.high == again.high).all()


def test_rank_lengths() -> None:
    """The most extreme curve is the least; curves alike share the larger value."""
    middle = np.tile(np.arange(9.0)[:, None], (1, 3))
    found = rank_lengths(middle)
    assert found[4] == 1.0
    assert found[0] == found[8] == pytest.approx(2 / 9)
    # Extreme at more radii is more extreme.
    curves = np.array([[9.0, 9, 5], [8, 8, 9], [1, 1, 1], [5, 5, 4], [4, 4, 6], [6, 6, 3]])
    p = rank_lengths(curves)
    assert p[2] < p[0] < p[1]

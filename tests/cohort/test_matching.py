"""Clicks to cells."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from imganalysis.cohort.matching import match_points


def test_a_click_means_the_nearest_cell_within_the_distance():
    objects = np.array([[0.0, 0.0], [5.0, 0.0]])
    clicks = np.array([[4.0, 0.0], [0.0, 2.1], [0.5, 0.0]])
    assert match_points(objects, np.array([1, 2]), clicks, 2.0).tolist() == [1, -1, 0]


def test_the_most_pairs_come_before_the_nearest():
    # The first click is nearest to the first cell, but then the second click has none.
    objects = np.array([[0.0, 0.0], [1.9, 0.0]])
    clicks = np.array([[0.9, 0.0], [-1.5, 0.0]])
    assert match_points(objects, np.array([1, 2]), clicks, 2.0).tolist() == [1, 0]


def test_fragments_of_one_cell_take_one_click():
    objects = np.array([[0.0, 0.0], [1.0, 0.0], [9.0, 9.0]])
    clicks = np.array([[0.1, 0.0], [1.0, 0.1]])
    found = match_points(objects, np.array([4, 4, 9]), clicks, 2.0)
    assert sorted(found.tolist()) == [-1, 0] or sorted(found.tolist()) == [-1, 1]
    assert match_points(objects, np.array([4, 5, 9]), clicks, 2.0).tolist() == [0, 1]


def test_nothing_to_match():
    none = np.zeros((0, 2))
    assert match_points(none, np.zeros(0, int), np.ones((2, 2)), 2.0).tolist() == [-1, -1]
    assert match_points(np.ones((2, 2)), np.arange(2), none, 2.0).tolist() == []


points = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=4)


@given(points, points)
@settings(max_examples=80, deadline=None)
def test_no_other_pairing_is_better(cells, clicks):
    # Off the grid, so that no two pairings are equally good by accident.
    a = np.array(cells, float) / 3 + np.sqrt(np.arange(len(cells)))[:, None] / 50
    b = np.array(clicks, float) / 3 + np.sqrt(np.arange(len(clicks)))[:, None] / 70
    far = np.hypot(*(b[:, None] - a[None]).transpose(2, 0, 1))
    found = match_points(a, np.arange(len(a)), b, 2.0)
    on = found >= 0
    assert len(set(found[on])) == on.sum()
    chosen = far[np.flatnonzero(on), found[on]]
    assert (chosen <= 2).all()
    slots = [*range(len(a)), *[-1] * len(b)]
    best = (0, 0.0)
    for order in set(permutations(slots, len(b))):
        pairs = [(i, j) for i, j in enumerate(order) if j >= 0 and far[i, j] <= 2]
        best = min(best, (-len(pairs), sum(far[i, j] for i, j in pairs)))
    assert -best[0] == on.sum()
    np.testing.assert_allclose(best[1], chosen.sum(), atol=1e-9)

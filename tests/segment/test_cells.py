import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imganalysis.segment import expand_cells, ring_widths, rings


def disc(shape, centre, radius):
    grid = np.mgrid[tuple(slice(n) for n in shape)]
    return sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) <= radius**2


def two(apart: int = 20) -> np.ndarray:
    labels = np.zeros((60, 80), np.uint32)
    labels[disc(labels.shape, (30, 30), 6)] = 7
    labels[disc(labels.shape, (30, 30 + apart), 6)] = 70000
    return labels


def brute_force(labels, spacing, reach):
    """Nearest nucleus of every pixel by comparing all; 0 where two are equally near."""
    pixels = np.argwhere(labels >= 0) * spacing
    best = np.full((2, len(pixels)), np.inf)
    owner = np.zeros(len(pixels), int)
    for number in np.unique(labels[labels > 0]):
        own = np.argwhere(labels == number) * spacing
        d = np.sqrt(((pixels[:, None] - own[None]) ** 2).sum(-1)).min(1)
        nearer = d < best[0] - 1e-9
        best[1] = np.where(nearer, best[0], np.minimum(best[1], d))
        owner[nearer] = number
        best[0] = np.minimum(best[0], d)
    owner[best[0] > reach + 1e-9] = 0
    tie = abs(best[0] - best[1]) < 1e-9
    return owner.reshape(labels.shape), tie.reshape(labels.shape)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(1.0, 1.0), (0.5, 1.3)]))
def test_cells_are_the_nearest_nucleus_within_reach(seed, spacing):
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random((14, 17)) < 0.05, rng.integers(1, 6, (14, 17)), 0)
    cells = expand_cells(labels, spacing, 3.1)
    expected, tie = brute_force(labels, spacing, 3.1)
    np.testing.assert_array_equal(np.where(tie, 0, cells), np.where(tie, 0, expected))
    assert (cells[labels > 0] == labels[labels > 0]).all()
    np.testing.assert_array_equal(cells, expand_cells(labels.copy(), spacing, 3.1))


def test_cells_grow_in_um_along_every_axis():
    labels = np.zeros((21, 41, 41), np.uint32)
    labels[10, 20, 20] = 1
    cells = expand_cells(labels, (1.0, 0.5, 0.25), 4.0)
    z, y, x = np.nonzero(cells)
    assert (np.ptp(z), np.ptp(y), np.ptp(x)) == (8, 16, 32)
    np.testing.assert_array_equal(expand_cells(labels, (1.0, 0.5, 0.25), 0.0), labels)


def test_ring_surrounds_the_nucleus_and_leaves_it_out():
    labels = two(40)
    ring = rings(labels, (0.5, 0.5), 1.5)
    assert not (ring[labels > 0]).any()
    assert set(np.unique(ring)) == {0, 7, 70000}
    grown = disc(labels.shape, (30, 30), 9) & ~disc(labels.shape, (30, 30), 6)
    own = ring == 7
    assert (own & grown).sum() / (own | grown).sum() > 0.9


def test_rings_do_not_overlap_nor_touch_another_nucleus():
    labels = two(14)  # one pixel between the two
    ring = rings(labels, (0.5, 0.5), 3.0)
    assert not ring[30, 37]
    for number in (7, 70000):
        other = (labels > 0) & (labels != number)
        beside = other.copy()
        for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
            beside |= np.roll(other, step, axis)
        assert not ((ring == number) & beside).any()
    # Symmetric layout, symmetric rings, but for the line that is equally near.
    assert abs(int((ring == 7).sum()) - int((ring == 70000).sum())) <= 30


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([(1.0, 1.0), (0.5, 1.3), (1.0, 0.4, 0.4), (0.3, 0.5, 0.8)]),
    st.booleans(),
)
def test_rings_are_what_is_nearest_but_for_what_touches_others(seed, spacing, by_size):
    """Whatever the pixels: within the width, outside nuclei, one pixel off every other nucleus."""
    rng = np.random.default_rng(seed)
    shape = (5, 8, 9) if len(spacing) == 3 else (14, 17)
    labels = np.where(rng.random(shape) < 0.06, rng.integers(1, 6, shape), 0)
    numbers = np.unique(labels[labels > 0])
    widths = rng.uniform(0.6, 2.5, numbers.size) if by_size else np.full(numbers.size, 1.7)
    ring = rings(labels, spacing, widths if by_size else 1.7)
    expected = np.zeros(shape, int)
    ties = np.zeros(shape, bool)
    for number, width in zip(numbers, widths, strict=True):
        near, tie = brute_force(labels, spacing, width)
        expected[(near == number) & (labels == 0)] = number
        ties |= tie
    for axis in range(labels.ndim):
        for step in (1, -1):
            beside = np.roll(labels, step, axis)
            edge = [slice(None)] * labels.ndim
            edge[axis] = 0 if step == 1 else -1
            beside[tuple(edge)] = 0
            expected[(beside > 0) & (beside != expected)] = 0
    np.testing.assert_array_equal(np.where(ties, 0, ring), np.where(ties, 0, expected))
    assert not ring[labels > 0].any()


def test_a_ball_in_long_voxels_has_a_shell_of_one_width():
    spacing = (1.0, 0.25, 0.25)
    z, y, x = np.mgrid[:21, :81, :81] * np.reshape(spacing, (3, 1, 1, 1))
    away = np.sqrt((z - 10) ** 2 + (y - 10) ** 2 + (x - 10) ** 2)
    labels = (away <= 3.0).astype(np.uint32)
    assert ring_widths(labels, spacing, 3.0, 1.25, 7.5) == 1.25
    ring = rings(labels, spacing, ring_widths(labels, spacing, 3.0, 1.25, 7.5)) > 0
    assert away[ring].max() <= 3.0 + 1.25 + 1e-9
    assert ring[(away > 3.6) & (away < 3.9)].all()


def test_a_nucleus_walled_in_has_no_ring():
    labels = np.full((20, 20), 2, np.uint32)
    labels[8:12, 8:12] = 1
    assert not rings(labels, (0.5, 0.5), 3.0).any()


def test_each_nucleus_its_own_width():
    labels = np.zeros((80, 80), np.uint32)
    labels[disc(labels.shape, (20, 40), 5)] = 2  # 5.0 um
    labels[disc(labels.shape, (58, 40), 10)] = 4  # 10 um
    widths = ring_widths(labels, (0.5, 0.5), 3.0, 1.25, 7.5)
    np.testing.assert_array_equal(widths, [1.25, 3.0])
    ring = rings(labels, (0.5, 0.5), widths)
    np.testing.assert_array_equal(ring == 2, rings(labels, (0.5, 0.5), 1.25) == 2)
    np.testing.assert_array_equal(ring == 4, rings(labels, (0.5, 0.5), 3.0) == 4)
    assert (ring_widths(labels, (0.5, 0.5), 3.0) == 3.0).all()


def test_numbers_as_large_as_labels_may_be_cost_no_memory():
    labels = two(40)
    few = rings(labels, (0.5, 0.5), ring_widths(labels, (0.5, 0.5), 3.0, 1.25, 7.5))
    labels[labels == 70000] = 2**32 - 1
    tracemalloc.start()
    widths = ring_widths(labels, (0.5, 0.5), 3.0, 1.25, 7.5)
    many = rings(labels, (0.5, 0.5), widths)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert widths.size == 2 and peak < 2e7
    np.testing.assert_array_equal(many, np.where(few == 70000, 2**32 - 1, few))
    assert (many == 2**32 - 1).any()


def test_nothing_comes_of_nothing():
    empty = np.zeros((5, 5), np.uint32)
    assert not expand_cells(empty, (1, 1), 3.0).any()
    assert not rings(empty, (1, 1), ring_widths(empty, (1, 1), 3.0, 1.0, 7.5)).any()


def test_wrong_widths_and_spacings_are_refused():
    with pytest.raises(ValueError, match="one for each of the 2"):
        rings(two(), (1, 1), np.ones(3))
    with pytest.raises(ValueError, match="a spacing for each of 2 axes, got 3"):
        expand_cells(two(), (1, 1, 1), 3.0)

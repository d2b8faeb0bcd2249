import numpy as np
import pytest

from imganalysis.segment._merge import merge_pieces


def disc(centre, radius, shape=(60, 80)):
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    return np.hypot(yy - centre[0], xx - centre[1]) <= radius


def halves() -> np.ndarray:
    regions = disc((30, 40), 12).astype(np.int32)
    regions[:, 40:] *= 2
    return regions


def merged(regions, height=1.0, diameter_um=8.0):
    height = np.broadcast_to(np.float32(height), regions.shape)
    return merge_pieces(regions, height, (0.4, 0.4), diameter_um)


def test_halves_of_one_nucleus_are_joined():
    np.testing.assert_array_equal(merged(halves()), halves() > 0)


def test_two_nuclei_that_touch_are_not():
    regions = disc((30, 30), 10).astype(np.int32)
    regions[disc((30, 49), 10) & (regions == 0)] = 2
    np.testing.assert_array_equal(merged(regions), regions)


@pytest.mark.parametrize(("gap", "n"), [(0.95, 1), (0.7, 2)])
def test_a_dark_seam_is_a_gap(gap, n):
    height = np.ones((60, 80), np.float32)
    height[:, 39:41] = gap
    assert np.unique(merged(halves(), height)).size - 1 == n


def test_a_short_seam_is_a_neck():
    regions = disc((30, 40), 24).astype(np.int32)
    regions[:, 40:] *= 2
    np.testing.assert_array_equal(merged(regions, diameter_um=12.0), regions > 0)
    regions[:27, 39] = 0
    regions[33:, 39] = 0
    np.testing.assert_array_equal(merged(regions, diameter_um=12.0), regions)


def test_what_is_not_convex_is_more_than_one_nucleus():
    regions = (disc((30, 40), 14) & ~disc((30, 40), 5)).astype(np.int32)
    regions[:, 40:] *= 2
    np.testing.assert_array_equal(merged(regions, diameter_um=12.0), regions)


def test_nothing_grows_beyond_a_large_nucleus():
    assert merged(halves(), diameter_um=4.0).max() == 2


def test_quarters_are_joined_too():
    regions = halves()
    regions[30:] += 2 * (regions[30:] > 0).astype(np.int32)
    assert set(np.unique(merged(regions))) == {0, 1}


def test_planes_of_a_stack():
    zz, yy, xx = np.mgrid[:20, :30, :30]
    regions = ((2 * zz - 20) ** 2 + (yy - 15) ** 2 + (xx - 15) ** 2 <= 144).astype(np.int32)
    regions[10:] *= 2
    joined = merge_pieces(regions, np.ones(regions.shape, np.float32), (0.8, 0.4, 0.4), 8.0)
    assert set(np.unique(joined)) == {0, 1}


def test_no_regions():
    assert not merged(np.zeros((10, 10), np.int32)).any()

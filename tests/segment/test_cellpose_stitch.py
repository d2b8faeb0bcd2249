"""Planes joined to a stack."""

from __future__ import annotations

from importlib import metadata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from imganalysis.segment._cellpose_network import import_cellpose
from imganalysis.segment._cellpose_stitch import stitch_planes
from imganalysis.segment.labels import relabel


def row(*values: int) -> np.ndarray:
    return np.array([values], np.uint16)


def test_objects_go_on_where_they_overlap() -> None:
    planes = [row(1, 1, 1, 0, 0, 2), row(7, 7, 7, 0, 3, 3), row(0, 0, 5, 5, 5, 5)]
    found = stitch_planes(planes, 0.3)
    assert found.dtype == np.uint32
    np.testing.assert_array_equal(
        found[:, 0], [[1, 1, 1, 0, 0, 2], [1, 1, 1, 0, 2, 2], [0, 0, 2, 2, 2, 2]]
    )


def test_the_threshold_is_of_the_intersection_over_the_union() -> None:
    planes = [row(1, 1, 0), row(0, 1, 1)]  # 1/3
    assert stitch_planes(planes, 0.33).max() == 1
    assert stitch_planes(planes, 0.34).max() == 2


def test_of_two_the_better_one_goes_on() -> None:
    parts = stitch_planes([row(1, 1, 1, 1, 1, 1), row(8, 8, 9, 9, 9, 9)], 0.1)[1, 0]
    np.testing.assert_array_equal(parts, [2, 2, 1, 1, 1, 1])
    whole = stitch_planes([row(1, 1, 2, 2, 2, 2), row(5, 5, 5, 5, 5, 5)], 0.1)[1, 0]
    np.testing.assert_array_equal(whole, [2] * 6)


def test_of_two_equal_ones_the_smaller_number_goes_on() -> None:
    parts = stitch_planes([row(1, 1, 1, 1), row(8, 8, 4, 4)], 0.1)[1, 0]
    np.testing.assert_array_equal(parts, [2, 2, 1, 1])
    whole = stitch_planes([row(3, 3, 1, 1), row(5, 5, 5, 5)], 0.1)
    np.testing.assert_array_equal(whole[:, 0], [[2, 2, 1, 1], [1, 1, 1, 1]])


def test_planes_without_objects_and_without_background() -> None:
    empty = stitch_planes([row(0, 0), row(4, 0), row(0, 0), row(4, 4)], 0.1)
    np.testing.assert_array_equal(empty[:, 0], [[0, 0], [1, 0], [0, 0], [2, 2]])


def test_more_than_65535_objects_are_all_there() -> None:
    plane = np.arange(1, 40_001, dtype=np.uint16).reshape(200, 200)
    planes = [plane, np.zeros_like(plane), plane, plane.T.copy()]
    found = stitch_planes(planes, 0.5)
    assert found.max() == 80_000
    np.testing.assert_array_equal(found[3], found[2])


@pytest.mark.usefixtures("cellpose3")
@settings(deadline=None)  # the first call imports Cellpose
@given(
    planes=arrays(np.int32, (3, 4, 6), elements=st.integers(0, 4)),
    threshold=st.sampled_from([0.6, 0.75]),
)
def test_the_rule_is_cellposes(planes: np.ndarray, threshold: float) -> None:
    import_cellpose(metadata.version("cellpose"))
    from cellpose import utils

    # Above 1/2 no two objects have the same partner, and ties, which Cellpose joins, cannot be.
    # It takes numbers for consecutive, and divides by zero where there is no background.
    planes[:, 0, 0] = 0
    numbered = np.stack([relabel(plane) for plane in planes]).astype(np.int32)
    if not numbered.any(axis=(1, 2)).all():
        return  # it forgets the numbers that it gave before a plane without objects
    theirs = utils.stitch3D(numbered.copy(), threshold)
    np.testing.assert_array_equal(relabel(stitch_planes(numbered, threshold)), relabel(theirs))

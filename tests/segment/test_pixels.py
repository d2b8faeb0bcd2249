"""Images and labels at another scale, whole and in parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imganalysis.segment.pixels import (
    as_input,
    levels,
    needed,
    normalise,
    rescale,
    rescale_labels,
    rescale_labels_part,
    rescale_part,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imganalysis.segment.pixels import Box

FACTORS = st.sampled_from([0.05, 0.31, 0.4928, 0.77, 1.0, 1.003, 1.9, 3.0])
SIDES = st.integers(1, 90)


@st.composite
def boxes(draw: Any) -> tuple[int, tuple[int, int], float, tuple[float, float, float, float]]:
    pair = st.tuples(st.floats(0, 1), st.floats(0, 1))
    shares = (*draw(pair), *draw(pair))
    return draw(st.integers(0, 999)), (draw(SIDES), draw(SIDES)), draw(FACTORS), shares


def box_of(shape: tuple[int, ...], shares: tuple[float, float, float, float]) -> Box:
    """At least one pixel."""
    sides = []
    for size, first, last in zip(shape, shares[::2], shares[1::2], strict=True):
        start = int(first * (size - 1))
        sides += [start, start + 1 + int(last * (size - 1 - start))]
    return (sides[0], sides[1], sides[2], sides[3])


@settings(max_examples=150, deadline=None)
@given(boxes())
def test_a_part_of_an_image_is_rescaled_as_the_whole(
    case: tuple[int, tuple[int, int], float, tuple[float, float, float, float]],
) -> None:
    seed, shape, factor, shares = case
    image = np.random.default_rng(seed).integers(0, 60_000, shape).astype(np.uint16)
    whole = rescale(image, factor)
    scaled = (whole.shape[0], whole.shape[1])
    y0, y1, x0, x1 = box_of(scaled, shares)
    part = rescale_part(image, (y0, y1, x0, x1), scaled)
    assert part.dtype == np.float32
    # Positions differ in the last bit of a double, values in the last of a float.
    np.testing.assert_allclose(part, whole[y0:y1, x0:x1], rtol=1e-6, atol=1e-2)


@settings(max_examples=150, deadline=None)
@given(boxes())
def test_a_part_of_a_label_image_is_rescaled_as_the_whole(
    case: tuple[int, tuple[int, int], float, tuple[float, float, float, float]],
) -> None:
    seed, before, factor, shares = case
    labels = np.random.default_rng(seed).integers(0, 5, before).astype(np.int32)
    after = (max(1, round(before[0] * factor)), max(1, round(before[1] * factor)))
    box = box_of(after, shares)
    part = needed(box, before, after)
    found = rescale_labels_part(
        labels[part[0] : part[1], part[2] : part[3]], part, before, box, after
    )
    whole = rescale_labels(labels, after)
    np.testing.assert_array_equal(found, whole[box[0] : box[1], box[2] : box[3]])


class Reader:
    """An image of which only parts can be had."""

    def __init__(self, values: NDArray[Any]) -> None:
        self.values, self.shape, self.read = values, values.shape, 0

    def __getitem__(self, key: Any) -> NDArray[Any]:
        self.read += self.values[key].size
        return self.values[key]


def test_only_what_a_part_needs_is_read() -> None:
    reader = Reader(np.zeros((400, 500), np.uint8))
    rescale_part(reader, (100, 120, 30, 60), (200, 250))
    assert reader.read <= (40 + 10) * (60 + 10)


def test_pixels_that_are_no_numbers_become_dark() -> None:
    image = np.full((20, 20), 5.0)
    image[3, 4], image[10, 10] = np.nan, np.inf
    part = rescale_part(image, (0, 20, 0, 20), (20, 20), dark=2.0)
    assert part[3, 4] == part[10, 10] == 2
    assert np.count_nonzero(part == 5) == 398
    assert np.isfinite(rescale_part(image, (0, 10, 0, 10), (10, 10), dark=2.0)).all()


def test_scale_changes_areas_not_places() -> None:
    y, x = np.mgrid[:60, :80]
    image = np.hypot(y - 29.5, x - 20.5) < 12
    for factor in (0.5, 1.6):
        scaled = rescale(image, factor)
        assert scaled.sum() == pytest.approx(factor**2 * image.sum(), rel=0.02)
        rows = (np.arange(scaled.shape[0]) + 0.5) @ scaled.sum(axis=1) / scaled.sum()
        assert rows == pytest.approx(factor * 30, abs=0.05)


def test_levels_leave_out_specks_but_not_few_nuclei() -> None:
    image = np.full((100, 100), 10.0)
    image[0, :5] = 60_000.0
    image[50:56, 50:56] = 100.0
    assert levels(image) == (10.0, 100.0)
    assert levels(np.full((5, 5), 3)) is None
    speck = np.zeros((100, 100))
    speck[3, 3] = 7
    assert levels(speck) == (0.0, 7.0)


def test_dark_is_0_bright_is_1_and_glare_has_a_ceiling() -> None:
    values = normalise(np.array([[10, 20, 15, 1000, -1000]]), (10.0, 20.0))
    np.testing.assert_array_equal(values, [[0, 1, 0.5, 4, -0.5]])
    assert values.dtype == np.float32
    both = as_input(values, 2)
    assert both.shape == (2, 1, 5)
    np.testing.assert_allclose(both[1, 0, :2], [0, 1])
    assert both[1, 0, 2] > 0.7
    assert as_input(values, 1).shape == (1, 1, 5)

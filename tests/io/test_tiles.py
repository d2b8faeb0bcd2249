"""Tile scans: overlap is counted once, or said to be unknown."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imganalysis.io._facts import Facts
from imganalysis.io._lif import _positions, _with_tiles
from imganalysis.io._tiles import any_overlap, counted_parts
from imganalysis.stack import PixelSize


def _coverage(
    positions: dict[int, tuple[int, int]], height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """How often each pixel of the scan is imaged, and how often it is counted."""
    parts = counted_parts(positions, height, width)
    assert parts is not None
    top, left = (min(p[i] for p in positions.values()) for i in (0, 1))
    bottom, right = (max(p[i] for p in positions.values()) for i in (0, 1))
    imaged = np.zeros((bottom - top + height, right - left + width), dtype=int)
    counted = imaged.copy()
    for tile, (y, x) in positions.items():
        y, x = y - top, x - left
        imaged[y : y + height, x : x + width] += 1
        y0, y1, x0, x1 = parts[tile] or (0, height, 0, width)
        assert 0 <= y0 < y1 <= height
        assert 0 <= x0 < x1 <= width
        counted[y + y0 : y + y1, x + x0 : x + x1] += 1
    return imaged, counted


@given(
    rows=st.integers(1, 4),
    columns=st.integers(1, 4),
    height=st.integers(8, 40),
    width=st.integers(8, 40),
    overlap=st.floats(0, 0.6),
    gap=st.booleans(),
    corner=st.tuples(st.integers(-500, 500), st.integers(-500, 500)),
    seed=st.randoms(use_true_random=False),
)
def test_a_grid_is_counted_exactly_once(
    rows: int,
    columns: int,
    height: int,
    width: int,
    overlap: float,
    gap: bool,
    corner: tuple[int, int],
    seed: Any,
) -> None:
    step = 1.2 if gap else 1 - overlap
    dy, dx = max(round(height * step), 1), max(round(width * step), 1)
    places = [(corner[0] + r * dy, corner[1] + c * dx) for r in range(rows) for c in range(columns)]
    seed.shuffle(places)
    imaged, counted = _coverage(dict(enumerate(places)), height, width)
    np.testing.assert_array_equal(counted, imaged > 0)


@given(
    jitter=st.lists(st.tuples(st.integers(-2, 2), st.integers(-2, 2)), min_size=9, max_size=9),
)
def test_a_stage_that_misses_a_little_counts_nothing_twice(jitter: list[tuple[int, int]]) -> None:
    places = {i: (100 * (i // 3) + y, 100 * (i % 3) + x) for i, (y, x) in enumerate(jitter)}
    imaged, counted = _coverage(places, 120, 120)
    assert counted.max() == 1
    inner = np.s_[8:-8, 8:-8]  # the rim of the scan is ragged
    assert counted[inner].min() == 1
    assert imaged.max() == 4


def test_tiles_that_do_not_touch_are_whole() -> None:
    assert counted_parts({0: (0, 0), 1: (0, 300)}, 256, 256) == {0: None, 1: None}
    assert counted_parts({3: (7, 9)}, 256, 256) == {3: None}


@pytest.mark.parametrize(
    "positions",
    [
        {0: (0, 0), 1: (0, 0)},  # no positions were written
        {0: (0, 0), 1: (50, 60)},  # too near to be rows and columns
        {0: (0, 0), 1: (30, 90), 2: (60, 180), 3: (90, 270)},  # a slanting line
    ],
)
def test_positions_that_are_no_grid(positions: dict[int, tuple[float, float]]) -> None:
    assert counted_parts(positions, 256, 256) is None


def test_fields_that_share_ground() -> None:
    assert any_overlap({0: (0, 0), 1: (0, 90)}, 100, 100)
    assert not any_overlap({0: (0, 0), 1: (0, 100), 2: (100, 0)}, 100, 100)
    assert not any_overlap({}, 100, 100)


# Leica's stage


def _scan(flip_x: bool, flip_y: bool, swap_xy: bool, *places: tuple[float, float]) -> Any:
    tiles = [{"pos_y": y * 1e-6, "pos_x": x * 1e-6} for y, x in places]

    class Scan(SimpleNamespace):
        def __len__(self) -> int:
            return len(tiles)

    return Scan(flip_x=flip_x, flip_y=flip_y, swap_xy=swap_xy, tiles=tiles)


@pytest.mark.parametrize(
    ("flip_x", "flip_y", "swap_xy", "expected"),
    [
        (False, False, False, (20, 10)),
        (True, False, False, (20, -10)),
        (False, True, False, (-20, 10)),
        (False, False, True, (10, 20)),
        (True, True, True, (-10, -20)),
    ],
)
def test_stage_directions_are_those_of_the_image(
    flip_x: bool, flip_y: bool, swap_xy: bool, expected: tuple[float, float]
) -> None:
    positions = _positions(_scan(flip_x, flip_y, swap_xy, (10, 5)), 0.5, 0.5)
    assert positions is not None
    assert positions[0] == pytest.approx(expected)


FACTS = Facts("t", "MYX", (2, 64, 64), "uint8", pixel_size=PixelSize(None, 0.5, 0.5, "metadata"))


def test_known_overlap() -> None:
    facts = _with_tiles(FACTS, _scan(False, False, False, (0, 0), (0, 24)))
    assert facts.tiles == {0: (0, 64, 0, 56), 1: (0, 64, 8, 64)}
    assert facts.flags == ()


@pytest.mark.parametrize(
    ("facts", "scan"),
    [
        (FACTS, None),
        (FACTS, _scan(False, False, False, (0, 0))),  # one tile's position is missing
        (FACTS, _scan(True, False, True, (0, 0), (0, 24))),  # directions depend on an order
        (FACTS, _scan(False, False, False, (0, 0), (0, 0))),
        (Facts("t", "MYX", (2, 64, 64), "uint8"), _scan(False, False, False, (0, 0), (0, 24))),
    ],
)
def test_unknown_overlap_is_flagged(facts: Facts, scan: Any) -> None:
    facts = _with_tiles(facts, scan)
    assert facts.tiles == {0: None, 1: None}
    assert facts.flags == ("overlap_unknown",)

"""Outlines become masks."""

from __future__ import annotations

import numpy as np

from imganalysis.quantify.polygons import polygon_mask


def box(y0: float, y1: float, x0: float, x1: float) -> np.ndarray:
    return np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0], [y0, x0]], float)


def test_pixels_whose_middle_lies_inside() -> None:
    """A pixel of 2 x 0.5 um is in if its middle is."""
    mask = polygon_mask([[box(3.1, 8.9, 1.1, 2.4)]], (10, 20), (2.0, 0.5))
    expected = np.zeros((10, 20), bool)
    expected[2:4, 2:5] = True  # middles at 5 and 7 um; at 1.25, 1.75 and 2.25 um
    assert (mask == expected).all()


def test_holes_stay_open_and_polygons_add_up() -> None:
    ring = [box(0, 20, 0, 20), box(5, 15, 5, 15)]
    island = [box(8, 12, 8, 12)]
    mask = polygon_mask([ring, island], (30, 30), (1.0, 1.0))
    assert mask.sum() == 20 * 20 - 10 * 10 + 4 * 4
    assert not mask[6, 6] and mask[10, 10] and mask[2, 10]


def test_the_area_is_that_of_the_outline() -> None:
    angle = np.linspace(0, 2 * np.pi, 200)
    circle = np.stack([50 + 30 * np.sin(angle), 60 + 30 * np.cos(angle)], axis=1)
    mask = polygon_mask([[circle]], (500, 480), (0.2, 0.25))
    assert abs(mask.sum() * 0.2 * 0.25 / (np.pi * 900) - 1) < 0.002
    rows, columns = np.nonzero(mask)
    assert abs((rows.mean() + 0.5) * 0.2 - 50) < 0.02
    assert abs((columns.mean() + 0.5) * 0.25 - 60) < 0.02


def test_what_lies_outside_is_cut_off() -> None:
    mask = polygon_mask([[box(-5, 3, -5, 100)], [box(50, 60, 50, 60)]], (10, 10), (1.0, 1.0))
    assert mask.sum() == 30 and mask[:3].all()

"""Tumour, margin and stroma: of cells, and of tissue."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from imganalysis import tables as t
from imganalysis.quantify.frame import guard_mask
from imganalysis.quantify.regions import (
    margin_distance,
    outlined,
    region_areas,
    region_grid,
    with_regions,
)
from imganalysis.quantify.window import FieldSpace, field_space


def half(n: int = 75) -> np.ndarray:
    """Tumour in the left 100 um of a field of 4 n um."""
    mask = np.zeros((n, n), bool)
    mask[:, :25] = True
    return mask


def test_distance_is_signed_and_exact_at_a_straight_margin() -> None:
    points = np.array([[150.0, 40.0], [150.0, 99.9], [150.0, 100.1], [150.0, 260.0]])
    found = margin_distance(half(), points)
    assert found == pytest.approx([-60, -0.1, 0.1, 160])


def test_distance_around_a_corner() -> None:
    mask = np.zeros((75, 75), bool)
    mask[:25, :25] = True
    found = margin_distance(mask, np.array([[130.0, 140.0], [70.0, 60.0]]))
    assert found == pytest.approx([50, -30])


@pytest.mark.parametrize("seed", range(3))
def test_distance_is_that_to_the_nearest_square(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((12, 15)) < 0.5
    points = rng.uniform(0, 48, (200, 2)) * [1, 15 / 12]
    found = margin_distance(mask, points)
    squares = np.floor(points / 4).astype(int)
    for point, (i, j), distance in zip(points, squares, found, strict=True):
        others = np.argwhere(mask != mask[i, j]) * 4.0
        apart = np.maximum(np.maximum(others - point, point - others - 4), 0)
        assert abs(distance) == pytest.approx(np.hypot(*apart.T).min())
        assert (distance < 0) == mask[i, j] or distance == 0


@pytest.mark.parametrize("mask", [np.zeros((5, 5), bool), np.ones((5, 5), bool)])
def test_no_margin_in_sight_is_no_distance(mask: np.ndarray) -> None:
    assert math.isnan(margin_distance(mask, np.array([[3.0, 3.0]]))[0])


def test_band_around_the_tumour() -> None:
    codes = region_grid(half(), 100.0)
    assert codes[0].tolist() == [0] * 25 + [1] * 25 + [2] * 25
    # A square belongs to the band if its middle does.
    assert region_grid(half(), 50.0)[0].tolist() == [0] * 25 + [1] * 13 + [2] * 37
    assert (region_grid(np.zeros((4, 4), bool), 100.0) == 2).all()


def test_areas_are_of_counted_tissue() -> None:
    grid = np.full((75, 75), 16.0)
    grid[:, 70:] = 0
    areas = region_areas(half(), grid, 100.0, None)
    assert areas["tumour"] == areas["margin"] == pytest.approx(0.03)
    assert areas["stroma"] == pytest.approx(0.024)
    # All of it lies within 100 um of the right side.
    assert areas["unsure"] == pytest.approx(0.024)
    assert sum(areas[name] for name in ("tumour", "margin", "stroma")) * 1e6 == pytest.approx(
        grid.sum()
    )


def space(n: int = 75) -> FieldSpace:
    whole = np.ones((4 * n, 4 * n), bool)
    frame = guard_mask(whole.shape, (1.0, 1.0), 8.0)
    return field_space(whole & frame, frame, (1.0, 1.0), {})


def cells(*places: tuple[float, float], field: str = "a") -> pd.DataFrame:
    return pd.DataFrame(places, columns=[t.Y, t.X]).assign(**{t.FIELD: field})


def test_cells_get_a_region_and_say_where_the_border_is_nearer() -> None:
    table = cells((150, 60), (150, 90), (150, 150), (150, 250), (20, 150))
    found = with_regions(table, {"a": half()}, {"a": space()}, 100.0)
    assert found[t.REGION].tolist() == ["tumour", "tumour", "margin", "stroma", "margin"]
    assert found[t.MARGIN_DISTANCE].to_numpy() == pytest.approx([-40, -10, 50, 150, 50])
    assert found[t.MARGIN_CENSORED].tolist() == [False, False, False, True, True]


def test_regions_that_cannot_be_had_are_empty() -> None:
    table = pd.concat([cells((150, 60)), cells((150, 60), field="b")], ignore_index=True)
    found = with_regions(table, {"b": half()}, {"a": space(), "b": space()}, 100.0)
    assert found[t.REGION].tolist() == ["", "tumour"]
    assert np.isnan(found[t.MARGIN_DISTANCE]).tolist() == [True, False]


@pytest.mark.parametrize(("fill", "word"), [(False, "stroma"), (True, "tumour")])
def test_without_a_margin_in_sight_the_region_is_known_and_the_distance_not(
    fill: bool, word: str
) -> None:
    mask = np.full((75, 75), fill)
    found = with_regions(cells((150, 60)), {"a": mask}, {"a": space()}, 100.0).iloc[0]
    assert found[t.REGION] == word and found[t.MARGIN_CENSORED]
    assert math.isnan(found[t.MARGIN_DISTANCE])


def test_cells_and_squares_agree() -> None:
    """A cell lies in the region of its square, but for the squares that the band cuts."""
    rng = np.random.default_rng(5)
    yy, xx = np.indices((75, 75))
    mask = (yy - 30) ** 2 + (xx - 25) ** 2 < 15**2
    points = rng.uniform(0, 300, (2000, 2))
    found = with_regions(cells(*map(tuple, points)), {"a": mask}, {"a": space()}, 40.0)
    squares = np.floor(points / 4).astype(int)
    codes = region_grid(mask, 40.0)[squares[:, 0], squares[:, 1]]
    words = np.array(["tumour", "margin", "stroma"])[codes]
    same = (found[t.REGION] == words).to_numpy()
    assert same[codes == 0].all() and (found[t.REGION] == "tumour").sum() == (codes == 0).sum()
    assert same.mean() > 0.97


def test_outlined_tumours_only() -> None:
    drawn = np.ones((300, 300), bool)
    with_one = field_space(drawn, drawn, (1.0, 1.0), {"tumour": drawn})
    assert list(outlined({"a": space(), "b": with_one, "c": None})) == ["b"]

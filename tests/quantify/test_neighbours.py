"""Contacts between cells: lengths, arcs, dominance, and light given back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imganalysis import tables as t
from imganalysis.errors import LabelsError
from imganalysis.quantify._touching import lattice
from imganalysis.quantify.neighbours import (
    brighter_side,
    compensate,
    contacts,
    free_ring_means,
    neighbour_columns,
)


def beside(size: int = 20) -> np.ndarray:
    """Two squares side by side, and one alone."""
    cells = np.zeros((60, 80), np.uint32)
    cells[10 : 10 + size, 10 : 10 + size] = 3
    cells[10 : 10 + size, 10 + size : 10 + 2 * size] = 70000
    cells[40:50, 65:75] = 5
    return cells


def frame_of(cells: np.ndarray, width: int = 4) -> np.ndarray:
    """The outer pixels of each square, as a ring."""
    ring = cells.copy()
    for number in np.unique(cells[cells > 0]):
        y, x = np.nonzero(cells == number)
        ring[y.min() + width : y.max() + 1 - width, x.min() + width : x.max() + 1 - width] = 0
    return ring


def row(table: pd.DataFrame, label: int, neighbour: int) -> pd.Series:
    (found,) = [r for _, r in table.iterrows() if tuple(r[list(t.PAIR)]) == (label, neighbour)]
    return found


def test_two_squares_touch_along_a_side_and_the_third_has_no_row() -> None:
    cells = beside()
    found = contacts(cells, frame_of(cells), {}, (0.5, 0.5), gap_um=0.0)
    assert found[list(t.PAIR)].to_numpy().tolist() == [[3, 70000], [70000, 3]]
    # A straight side in the worst direction of the lattice: 11 % (Crofton, four directions).
    np.testing.assert_allclose(found[t.CONTACT], 10.0, rtol=0.12)
    np.testing.assert_allclose(found[t.CONTACT_SHARE], 0.25, atol=0.02)


@pytest.mark.parametrize("spacing", [(0.5, 0.5), (0.4, 0.8), (0.8, 0.3)])
def test_the_length_of_a_slanted_contact(spacing: tuple[float, float]) -> None:
    """Mean over all slopes: Crofton's formula has no bias, whatever the pixels' shape."""
    y, x = np.mgrid[:200, :200] * np.reshape(spacing, (2, 1, 1))
    centre = np.array([y.max(), x.max()]) / 2
    away = np.hypot(y - centre[0], x - centre[1]) < min(centre) * 0.8
    lengths = []
    for angle in np.linspace(0, np.pi, 24, endpoint=False) + 0.03:
        side = (y - centre[0]) * np.cos(angle) + (x - centre[1]) * np.sin(angle) > 0
        cells = np.where(away, 1 + side, 0).astype(np.uint32)
        lengths.append(contacts(cells, cells * 0, {}, spacing, gap_um=0.0)[t.CONTACT].iloc[0])
    assert np.mean(lengths) == pytest.approx(2 * 0.8 * min(centre), rel=0.02)
    assert np.ptp(lengths) < 0.3 * np.mean(lengths)


def test_the_area_of_a_contact_in_voxels_that_are_no_cubes() -> None:
    spacing = (1.0, 0.5, 0.5)
    z, y, x = np.mgrid[:24, :48, :48] * np.reshape(spacing, (3, 1, 1, 1))
    z, y, x = z - 11.5, y - 12.0, x - 12.0
    ball = z**2 + y**2 + x**2 < 10.0**2
    rng = np.random.default_rng(4)
    areas = []
    for normal in rng.standard_normal((16, 3)):
        side = z * normal[0] + y * normal[1] + x * normal[2] > 0
        cells = np.where(ball, 1 + side, 0).astype(np.uint32)
        found = contacts(cells, cells * 0, {}, spacing, gap_um=0.0)
        areas.append(found[t.CONTACT_AREA].iloc[0])
    # Less its rim, where a line that crosses the contact leaves the ball within one step.
    assert np.mean(areas) == pytest.approx(0.96 * np.pi * 100, rel=0.03)


@pytest.mark.parametrize("spacing", [(0.5, 0.5), (0.2, 0.9), (1.0, 0.5, 0.5), (0.3, 0.4, 0.9)])
def test_weights_of_the_lattice_stand_for_all_directions(spacing: tuple[float, ...]) -> None:
    steps, weights = lattice(spacing)
    assert len(steps) == {2: 4, 3: 13}[len(spacing)]
    lengths = np.linalg.norm(steps * np.asarray(spacing), axis=1)
    total = (weights * lengths / np.prod(spacing)).sum()
    assert total == pytest.approx({2: np.pi / 2, 3: 2.0}[len(spacing)])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_pairs_are_those_side_by_side(seed: int, solid: bool) -> None:
    rng = np.random.default_rng(seed)
    shape = (4, 9, 8) if solid else (14, 13)
    cells = np.where(rng.random(shape) < 0.7, rng.integers(1, 9, shape), 0).astype(np.uint32)
    spacing = (1.0, 0.5, 0.5)[-cells.ndim :]
    found = contacts(cells, cells * 0, {}, spacing, gap_um=0.0)
    expected = set()
    padded = np.pad(cells, 1)
    for step in np.ndindex(*(3,) * cells.ndim):
        moved = padded[tuple(slice(s, s + n) for s, n in zip(step, shape, strict=True))]
        meets = (cells > 0) & (moved > 0) & (cells != moved)
        expected |= set(zip(cells[meets].tolist(), moved[meets].tolist(), strict=True))
    pairs = list(map(tuple, found[list(t.PAIR)].to_numpy().tolist()))
    assert pairs == sorted(expected)
    back = found.set_index(list(t.PAIR)).iloc[:, 0]
    assert all(back[(a, b)] == back[(b, a)] for a, b in pairs)
    sums = found.groupby(t.LABEL)[t.CONTACT_SHARE].sum()
    assert ((sums > 0) & (sums <= 1 + 1e-9)).all()


def test_cells_abut_across_a_gap_no_wider_than_the_settings() -> None:
    cells = np.zeros((30, 60), np.uint32)
    cells[5:25, 5:25], cells[5:25, 29:49] = 1, 2  # 4 pixels between the two
    for gap, expected in ((0.0, 0), (0.9, 0), (1.1, 2)):
        assert len(contacts(cells, cells * 0, {}, (0.25, 0.25), gap_um=gap)) == expected, gap


def test_dominance_is_the_own_ring_less_the_neighbours_arc() -> None:
    cells = beside()
    ring = frame_of(cells)
    image = np.zeros(cells.shape, np.float32)
    image[cells == 3], image[cells == 70000], image[cells == 5] = 2.0, 1.0, 7.0
    image[:, 30:32] += 10.0 * (cells[:, 30:32] == 70000)  # bright towards 3 only
    found = contacts(cells, ring, {"M": image}, (0.5, 0.5), arc_um=1.0)
    assert row(found, 3, 70000)["M_arc_mean"] == 2.0
    assert row(found, 70000, 3)["M_arc_mean"] == 11.0
    # Of the 256 pixels of a ring 2 x 20 face the other cell.
    assert row(found, 3, 70000)[t.ARC_SHARE] == pytest.approx(40 / 256)
    objects = pd.DataFrame({t.LABEL: [3, 5, 70000], "M_ring_mean": [2.0, 7.0, 1.0 + 400 / 256]})
    columns = neighbour_columns(objects, found, ["M"])
    np.testing.assert_allclose(columns["M_neighbour_dominance"], [-9.0, 7.0, 400 / 256 - 1.0])
    assert columns[t.N_NEIGHBOURS].tolist() == [1, 0, 1]
    assert columns[t.CONTACT_SHARE].iloc[1] == 0.0
    assert brighter_side(found, "M").tolist() == [True, False]


def test_the_rest_of_a_ring_is_what_faces_no_rival() -> None:
    cells = beside()
    ring = frame_of(cells)
    image = np.where(cells == 3, 2.0, 9.0).astype(np.float32)
    image[:, 28:30] = 50.0  # on the side of 3 that faces 70000
    found = contacts(cells, ring, {"M": image}, (0.5, 0.5), arc_um=1.0)
    whole = [float(image[ring == number].mean()) for number in (3, 5, 70000)]
    objects = pd.DataFrame({t.LABEL: [3, 5, 70000], "M_ring_mean": whole})
    free = free_ring_means(objects, found, "M", np.array([True, False]))
    assert free[0] == pytest.approx(2.0)
    assert np.isnan(free[1:]).all()
    few = free_ring_means(objects, found, "M", np.array([True, False]), min_share=0.9)
    assert np.isnan(few).all()


def test_what_is_not_finite_is_said_and_never_zero() -> None:
    cells = beside()
    image = np.ones(cells.shape, np.float32)
    image[12, 29] = np.nan
    found = contacts(cells, frame_of(cells), {"M": image}, (0.5, 0.5))
    assert np.isnan(row(found, 3, 70000)["M_arc_mean"])
    assert row(found, 70000, 3)["M_arc_mean"] == 1.0


def test_light_at_the_border_is_given_back_and_taken_off() -> None:
    """Two cells of 6 x 6 side by side; the sums are worked out by hand."""
    cells = np.zeros((20, 20), np.uint32)
    cells[4:10, 4:10], cells[4:10, 10:16] = 1, 2
    image = np.zeros(cells.shape)
    image[cells == 2] = 10.0
    image[4:10, 9] = 4.0  # what shines into the first
    found = contacts(cells, cells, {"M": image}, (1.0, 1.0), gap_um=0.0)
    share = found[t.CONTACT_SHARE].iloc[0]
    table = compensate(cells, found, {"M": image}, star_px=2)
    # Within a star of 2 steps of the outside lie all pixels but the inner 2 x 2.
    own, other, edge, other_edge = 24.0, 360.0, 24.0, 320.0
    expected = [max(0.0, own + edge - share * other_edge), other + other_edge - share * edge]
    np.testing.assert_allclose(table["M_cell_compensated"], np.array(expected) / 36)
    assert table["M_cell_compensated"].iloc[0] < image[cells == 1].mean()


def test_a_cell_without_neighbours_keeps_its_light_and_its_row() -> None:
    cells = np.zeros((9, 9), np.uint32)
    cells[3:6, 3:6] = 4
    found = contacts(cells, cells, {"M": cells * 1.0}, (1.0, 1.0))
    assert found.empty
    table = compensate(cells, found, {"M": cells * 1.0})
    assert table.to_numpy().tolist() == [[4.0, 8.0]]
    objects = pd.DataFrame({t.LABEL: [4], "M_ring_mean": [2.5]})
    assert neighbour_columns(objects, found, ["M"])["M_neighbour_dominance"].tolist() == [2.5]


def test_nothing_in_the_field() -> None:
    empty = np.zeros((8, 8), np.uint32)
    found = contacts(empty, empty, {"M": empty * 1.0}, (1.0, 1.0))
    assert found.empty and "M_arc_mean" in found


def test_what_does_not_fit_is_refused() -> None:
    cells = beside()
    with pytest.raises(ValueError, match="2 axes and 3 spacings"):
        contacts(cells, cells, {}, (1.0, 1.0, 1.0))
    with pytest.raises(LabelsError, match="rings: shape"):
        contacts(cells, cells[1:], {}, (1.0, 1.0))
    with pytest.raises(LabelsError, match="label 9 belongs to no cell"):
        contacts(cells, np.full_like(cells, 9), {}, (1.0, 1.0))
    with pytest.raises(ValueError, match="M: expected the shape"):
        contacts(cells, cells, {"M": np.zeros((3, 3))}, (1.0, 1.0))

"""Regions from the density of cells."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from imganalysis import tables as t
from imganalysis.classify import field_region, inside, region_mask
from imganalysis.errors import TableError
from imganalysis.panel import Region

REGION = Region(positive=("A", "B"), min_density_per_mm2=400)
OPEN = REGION.model_copy(update={"closing_um": 0.0})


def lattice(y0, y1, x0, x1, per_mm2=2000.0) -> np.ndarray:
    step = np.sqrt(1e6 / per_mm2)
    y, x = np.meshgrid(np.arange(y0, y1, step) + step / 2, np.arange(x0, x1, step) + step / 2)
    return np.stack([y.ravel(), x.ravel()], axis=1)


def test_without_cells_there_is_no_region():
    mask = region_mask(np.zeros((0, 2)), REGION, (100.0, 50.0))
    assert mask.shape == (25, 13)
    assert not mask.any()


def test_a_field_full_of_cells_is_all_region():
    # Without the border correction the corners would have a quarter of the density.
    region = OPEN.model_copy(update={"min_density_per_mm2": 1500.0})
    assert region_mask(lattice(0, 240, 0, 240), region, (240.0, 240.0)).all()


def test_the_border_lies_where_the_density_halves():
    region = OPEN.model_copy(update={"min_density_per_mm2": 1000.0})
    mask = region_mask(lattice(0, 400, 0, 200), region, (400.0, 400.0))
    width = mask.sum(axis=1) * 4.0
    assert np.all(np.abs(width - 200) <= 8)
    assert mask[:, :45].all()
    assert not mask[:, 55:].any()


def test_sparse_cells_make_no_region():
    assert not region_mask(lattice(0, 400, 0, 400, per_mm2=200), REGION, (400.0, 400.0)).any()


def test_a_few_cells_make_no_region_even_in_a_corner():
    corner = np.array([[2.0, 2.0], [4.0, 2.0], [2.0, 4.0]])
    assert not region_mask(corner[:2], OPEN, (200.0, 200.0)).any()
    mask = region_mask(corner, OPEN, (200.0, 200.0))
    assert mask[0, 0]
    assert not mask[25:, 25:].any()


def test_closing_fills_gaps_up_to_its_width_and_keeps_the_rest():
    strips = np.concatenate([lattice(0, 400, 0, 150, 4000), lattice(0, 400, 250, 400, 4000)])
    shape = (400.0, 400.0)
    region = OPEN.model_copy(update={"min_density_per_mm2": 2000.0})
    before = region_mask(strips, region, shape)
    gap = (~before).sum(axis=1).max() * 4
    assert 80 < gap < 120
    narrow, wide = (
        region_mask(strips, region.model_copy(update={"closing_um": r}), shape) for r in (30, 70)
    )
    assert np.array_equal(narrow, before)
    assert wide.all()
    assert np.array_equal(wide & before, before)


def test_points_are_looked_up_by_y_then_x():
    mask = np.zeros((3, 5), dtype=bool)
    mask[2, 0] = True
    points = np.array([[9.0, 1.0], [1.0, 9.0], [8.0, 0.0], [7.99, 0.0], [40.0, -3.0]])
    assert inside(mask, points).tolist() == [True, False, True, False, True]
    assert inside(mask, points, 20.0).tolist() == [False, False, False, False, True]


def field(**columns) -> pd.DataFrame:
    points = lattice(0, 200, 0, 200, 2500)
    n = len(points)
    base = {
        t.Y: points[:, 0],
        t.X: points[:, 1],
        t.DIAMETER: 10.0,
        "A_call": [t.POSITIVE] * n,
        "B_call": [t.NEGATIVE] * n,
    }
    return pd.DataFrame(base | columns)


def test_a_field_s_region_is_made_by_large_positive_cells():
    shape = (50, 50)
    assert field_region(field(), REGION, shape).all()
    assert field_region(field(A_call=t.NEGATIVE, B_call=t.POSITIVE), REGION, shape).all()
    assert not field_region(field(A_call=t.NEGATIVE), REGION, shape).any()
    assert not field_region(field(**{t.DIAMETER: 8.0}), REGION, shape).any()
    debris = {t.EVALUABLE: False, t.EXCLUSION: "outside_tissue"}
    assert not field_region(field(**debris), REGION, shape).any()
    frame = {t.EVALUABLE: False, t.EXCLUSION: "outside_frame"}
    assert field_region(field(**frame), REGION, shape).all()
    assert field_region(field().iloc[:0], REGION, shape).shape == shape


def test_a_region_that_cannot_be_known_is_none():
    assert field_region(field(), None, (50, 50)) is None
    ungated = field(A_call=t.INDETERMINATE, B_call=t.NOT_MEASURED)
    assert field_region(ungated, REGION, (50, 50)) is None
    none = field().iloc[:0]
    assert field_region(none, REGION, (50, 50), gated=False) is None
    assert not field_region(none, REGION, (50, 50), gated=True).any()
    assert field_region(field(A_call=t.INDETERMINATE), REGION, (50, 50)) is not None
    with pytest.raises(TableError, match=r"missing .*equivalent_diameter_um"):
        field_region(field().drop(columns=t.DIAMETER), REGION, (50, 50))

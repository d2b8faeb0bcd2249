"""What the second half keeps of a field, and distances to borders and vessels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from imganalysis import tables as t
from imganalysis.quantify.frame import guard_mask
from imganalysis.quantify.window import border_distance, field_space, place_objects


def test_borders_and_window() -> None:
    frame = guard_mask((400, 300), (0.25, 0.25), 8.0)
    tissue = np.ones((400, 300), bool)
    tissue[:, 200:] = False
    space = field_space(tissue & frame, frame, (0.25, 0.25), {})
    assert space.field_um == pytest.approx((-0.125, 99.875, -0.125, 74.875))
    assert space.frame_um == pytest.approx((7.875, 91.875, 7.875, 66.875))
    assert space.step_um == (1.0, 1.0)
    assert space.window.shape == (100, 75)
    assert space.window.sum() == 84 * (50 - 8)
    assert space.tumour is None and space.reference is None


def test_a_large_field_has_a_coarser_window() -> None:
    whole = np.ones((5000, 10), bool)
    assert field_space(whole, whole, (1.0, 1.0), {}).step_um == (3.0, 1.0)


def test_an_outlined_tumour_takes_squares_of_which_it_has_half() -> None:
    whole = np.ones((40, 40), bool)
    drawn = np.zeros((40, 40), bool)
    drawn[:, :18] = True
    drawn[:, 37:] = True
    tumour = field_space(whole, whole, (1.0, 1.0), {"tumour": drawn}).tumour
    assert tumour is not None
    assert tumour[0].tolist() == [True] * 5 + [False] * 4 + [True]


def test_distance_to_the_nearest_side() -> None:
    points = np.array([[5.0, 5.0], [1.0, 5.0], [5.0, 9.5], [-3.0, 5.0]])
    assert border_distance(points, (0, 10, 0, 10)).tolist() == [5, 1, 0.5, 0]


def objects(places: list[tuple[float, float]]) -> pd.DataFrame:
    return pd.DataFrame(places, columns=[t.Y, t.X])


def test_distance_to_the_edge_of_a_vessel() -> None:
    vessel = np.zeros((200, 200), bool)
    yy, xx = np.indices(vessel.shape) * 0.5
    vessel[(yy - 50) ** 2 + (xx - 50) ** 2 <= 10**2] = True
    found = place_objects(
        objects([(50, 50), (50, 80), (20, 50), (50 + 30, 50 + 40)]),
        (0.5, 0.5),
        (0, 100, 0, 100),
        {"vessel": vessel},
    )
    assert found[t.VESSEL_DISTANCE].to_numpy() == pytest.approx([0, 20, 20, 40], abs=0.3)
    assert found[t.BORDER_DISTANCE].tolist() == [50, 20, 20, 10]


def test_what_was_left_out_is_a_border() -> None:
    out = np.zeros((100, 100), bool)
    out[:, 60:] = True
    found = place_objects(objects([(50, 55), (50, 20)]), (1, 1), (0, 100, 0, 100), {"exclude": out})
    assert found[t.BORDER_DISTANCE].to_numpy() == pytest.approx([4.5, 20])
    assert t.VESSEL_DISTANCE not in found


def test_places_in_the_tissue_are_random() -> None:
    tissue = np.ones((400, 400), bool)
    tissue[200:, 200:] = False
    vessel = np.zeros((400, 400), bool)
    vessel[:, :2] = True
    places = field_space(tissue, np.ones_like(tissue), (0.5, 0.5), {"vessel": vessel}).reference
    assert places is not None
    assert len(places) == 2000
    # Three quarters of a square of 200 um; vessel at its left side.
    truth = np.concatenate([np.linspace(0, 100, 1000)] * 2 + [np.linspace(100, 200, 1000)])
    for share in (0.1, 0.25, 0.5, 0.75, 0.9):
        assert np.quantile(places[:, 0], share) == pytest.approx(np.quantile(truth, share), abs=5)
    assert places[:, 1].max() <= 100.0


def test_a_vessel_outlined_beside_the_image_is_infinitely_far() -> None:
    none = np.zeros((10, 10), bool)
    found = place_objects(objects([(5, 5)]), (1, 1), (0, 10, 0, 10), {"vessel": none})
    assert np.isinf(found[t.VESSEL_DISTANCE]).all()

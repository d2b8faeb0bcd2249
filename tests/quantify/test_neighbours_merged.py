"""Contacts of cells that are made of several objects."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from imganalysis import tables as t
from imganalysis.quantify.merging import merged_contacts

ARC = t.measure_column("m", t.ARC, "mean")


def rows(*values: tuple[int, int, float, float, float]) -> pd.DataFrame:
    names = [t.LABEL, t.NEIGHBOUR, t.CONTACT, t.ARC_SHARE, ARC]
    table = pd.DataFrame(values, columns=names)
    table.insert(3, t.CONTACT_SHARE, 0.1)
    return table.assign(**{t.measure_column("n", t.ARC, "mean"): table[ARC]})


def objects(cells: dict[int, int], **area: float) -> pd.DataFrame:
    areas = [area.get(f"a{label}", 10.0) for label in cells]
    return pd.DataFrame({t.LABEL: list(cells), t.CELL_ID: list(cells.values()), t.RING_AREA: areas})


def test_fragments_share_their_neighbours_and_have_none_in_each_other() -> None:
    seen = rows(
        (1, 2, 2.0, 0.5, 8.0), (1, 3, 1.0, 0.25, 4.0), (2, 1, 2.0, 0.5, 8.0),
        (2, 3, 3.0, 0.5, 10.0), (3, 1, 1.0, 0.1, 1.0), (3, 2, 3.0, 0.3, 3.0),
    )  # fmt: skip
    before = seen.copy()
    found = merged_contacts(seen, objects({1: 1, 2: 1, 3: 3}, a1=20.0, a2=10.0))
    pd.testing.assert_frame_equal(seen, before)
    assert found[[t.LABEL, t.NEIGHBOUR]].to_numpy().tolist() == [[1, 3], [3, 1]]
    assert found[t.CONTACT].tolist() == [4.0, 4.0]
    # Of a ring of 30, 5 of the one and 5 of the other fragment face the neighbour.
    assert found[t.ARC_SHARE].tolist() == pytest.approx([1 / 3, 0.4])
    assert found[ARC].tolist() == pytest.approx([7.0, 2.5])


def test_an_arc_without_a_pixel_has_no_mean_and_hides_none() -> None:
    seen = rows(
        (1, 3, 1.0, 0.0, np.nan), (2, 3, 3.0, 0.5, 10.0),
        (3, 1, 1.0, 0.0, np.nan), (3, 2, 3.0, 0.0, np.nan),
    )  # fmt: skip
    found = merged_contacts(seen, objects({1: 1, 2: 1, 3: 3}))
    assert found[ARC].iloc[0] == pytest.approx(10.0)
    assert np.isnan(found[ARC].iloc[1])


def test_a_broken_pixel_makes_the_mean_unknown() -> None:
    seen = rows((1, 3, 1.0, 0.5, np.nan), (2, 3, 3.0, 0.5, 10.0))
    found = merged_contacts(seen, objects({1: 1, 2: 1, 3: 3}))
    assert np.isnan(found[ARC].iloc[0])


def test_a_cell_without_a_ring_has_no_share_of_it() -> None:
    seen = rows((1, 3, 1.0, 0.0, np.nan), (2, 3, 3.0, 0.0, np.nan), (3, 1, 1.0, 0.5, 2.0))
    found = merged_contacts(seen, objects({1: 1, 2: 1, 3: 3}, a1=0.0, a2=0.0))
    assert np.isnan(found[t.ARC_SHARE].iloc[0])
    assert found[t.ARC_SHARE].iloc[1] == pytest.approx(0.5)

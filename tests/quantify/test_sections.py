"""Corrections for the thickness of a section, against numbers worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from imganalysis import tables as t
from imganalysis.panel import load_panel
from imganalysis.quantify.sections import corrected_columns, reach_um, seen_um, visible_share
from imganalysis.settings import Summary
from imganalysis.settings_counting import Counting

A = load_panel("apoptosis")
PANELS = {A.name: A}
ENDPOINT = next(f for f in A.fractions if f.endpoint)
CLASSES = {"tumour_vital": [A.name], "tumour_apoptotic": [A.name]}
WIDE = Counting(
    nuclear_um={"tumour_vital": 10.0, "tumour_apoptotic": 6.0}, nuclear_um_origin="a book"
)


@pytest.mark.parametrize(
    ("diameter", "share"), [(5, 0.375), (6, 0.333), (6.5, 0.316), (8, 0.273), (10, 0.231)]
)
def test_share_that_a_section_of_3_um_shows(diameter: float, share: float) -> None:
    assert float(visible_share(3, diameter)) == pytest.approx(share, abs=5e-4)


def test_hidden_caps_make_the_reach_shorter() -> None:
    assert float(reach_um(3, 10)) == 13
    assert float(reach_um(3, 10, 1.5)) == 10
    assert np.isnan(reach_um(3, np.nan)) and np.isnan(reach_um(1, 2, 2))


def corrected(
    vital: list[int], apoptotic: list[int], counting: Counting = WIDE, **fields: Any
) -> tuple[dict[str, float], list[str]]:
    usual = {"panel": A.name, "seen_um": 3.0, "tissue_mm2": 0.05, "volume_mm3": np.nan}
    table = pd.DataFrame({t.FIELD: [f"f{i}" for i in range(len(vital))], **usual, **fields})
    counts = pd.DataFrame(0, index=list(table[t.FIELD]), columns=list(A.classes))
    counts["tumour_vital"], counts["tumour_apoptotic"] = vital, apoptotic
    return corrected_columns(ENDPOINT, table, counts, PANELS, CLASSES, Summary(), counting)


def test_shrunken_cells_count_for_more() -> None:
    """40 % of the cells, 31.6 % of the profiles: vital nuclei of 10 um, dying ones of 6."""
    row, why = corrected([780, 780], [360, 360])
    assert 360 / (780 + 360) == pytest.approx(0.316, abs=5e-4)
    assert row["apoptotic_fraction_corrected"] == pytest.approx(0.4)
    assert why == []


def test_density_per_volume() -> None:
    row, _ = corrected([78, 78], [36, 36])
    volume = 0.05 * 13 / 1000  # mm2 times the reach
    assert row["tumour_vital_per_mm3"] == pytest.approx(78 / volume)
    assert row["tumour_vital_per_mm3_lo"] < 78 / volume < row["tumour_vital_per_mm3_hi"]


def test_sections_of_different_thickness_are_corrected_one_by_one() -> None:
    row, _ = corrected([130, 150], [90, 110], seen_um=[3.0, 5.0])
    dying, vital = 90 / 9 + 110 / 11, 130 / 13 + 150 / 15
    assert row["apoptotic_fraction_corrected"] == pytest.approx(dying / (dying + vital))


def test_nothing_is_guessed() -> None:
    assert corrected([10], [5], Counting()) == ({}, [])
    one = Counting(nuclear_um={"tumour_vital": 10.0}, nuclear_um_origin="a book")
    row, why = corrected([10], [5], one)
    assert math.isnan(row["apoptotic_fraction_corrected"])
    assert "apoptotic_fraction_corrected: diameters_unknown" in why
    assert math.isnan(row["tumour_apoptotic_per_mm3"])
    assert row["tumour_vital_per_mm3"] > 0
    row, why = corrected([10], [5], seen_um=np.nan)
    assert math.isnan(row["apoptotic_fraction_corrected"])
    assert "apoptotic_fraction_corrected: thickness_unknown" in why
    with pytest.raises(ValidationError, match="nuclear_um_origin"):
        Counting(nuclear_um={"tumour_vital": 10.0})


def test_stacks_need_no_diameter() -> None:
    row, why = corrected([30, 50], [10, 10], Counting(), volume_mm3=0.001, seen_um=np.nan)
    assert row["tumour_vital_per_mm3"] == pytest.approx(40_000)
    assert "apoptotic_fraction_corrected" not in row and why == []
    row, _ = corrected([30, 50], [10, 10], WIDE, volume_mm3=0.001, seen_um=np.nan)
    assert row["apoptotic_fraction_corrected"] == pytest.approx(0.2)


def test_no_tumour_has_no_corrected_fraction() -> None:
    row, _ = corrected([0], [0])
    assert math.isnan(row["apoptotic_fraction_corrected"])


@pytest.mark.parametrize(
    ("kind", "short", "section", "optical", "expected"),
    [
        ("mean", False, 4.0, None, 4.0),
        ("mean", True, 4.0, None, np.nan),
        ("mean", False, None, 0.9, np.nan),
        ("plane", False, 4.0, 0.9, 0.9),
        ("plane", False, 4.0, None, np.nan),
        ("3d", False, 4.0, 0.9, np.nan),
    ],
)
def test_thickness_that_was_seen(
    kind: str, short: bool, section: float | None, optical: float | None, expected: float
) -> None:
    found = seen_um(
        kind, short=short, section_um=section, settings=Counting(optical_section_um=optical)
    )
    assert found == pytest.approx(expected, nan_ok=True)

"""The second half on tables of made-up cells: what controls allow to be said."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from imganalysis import tables as t
from imganalysis.panel import load_panel
from imganalysis.pipeline import analyse_study
from imganalysis.records import FieldResult, StudyResult
from imganalysis.settings import Settings
from imganalysis.study import Field, Study

if TYPE_CHECKING:
    from pathlib import Path

A = load_panel("apoptosis")
PER_FIELD = 250


def field(name: str, role: str, path: Path, week: float | None = 1.0) -> Field:
    return Field(
        name=name, biopsy="" if role != "sample" else "P01", patient="P01", lesion="L1",
        week=week, section="S1", panel=A.name, batch="B1", acquisition="A1", role=role,
        stain="", section_um=3.0, annotations=None, path=path / f"{name}.tif", series=0,
        scene="", tile=None, counted=None,
    )  # fmt: skip


def objects(rng: np.random.Generator, n: int, lineage: float, death: float) -> pd.DataFrame:
    """Cells in a field of 240 um of which shares are truly positive, five times the negatives."""
    base = {
        t.LABEL: np.arange(1, n + 1),
        t.Y: rng.uniform(10, 230, n),
        t.X: rng.uniform(10, 230, n),
        t.DIAMETER: np.full(n, 9.5),
        t.ASPECT: np.full(n, 1.1),
        t.CAP: False,
        t.EVALUABLE: True,
        t.EXCLUSION: "",
    }
    for marker, share in zip(("MelanA", "casp3"), (lineage, death), strict=True):
        level = np.where(rng.random(n) < share, np.log(50.0), np.log(10.0))
        values = np.exp(rng.normal(level, 0.35))
        for compartment in ("nucleus", "ring", "max"):
            base[t.measure_column(marker, compartment, "mean")] = values
            base[t.measure_column(marker, compartment, "sd")] = values * 0.2
    return pd.DataFrame(base)


def analysed(
    tmp_path: Path,
    *,
    lineage: float,
    death: float,
    controls: int = 9,
    fields: int = 5,
    reverse: bool = False,
) -> StudyResult:
    rng = np.random.default_rng(11)
    found = []
    for i in range(fields):
        cells = objects(rng, PER_FIELD, lineage, death)
        found.append((field(f"s{i}", "sample", tmp_path), cells))
    for i in range(controls):
        cells = objects(rng, PER_FIELD, 0, 0)
        found.append((field(f"c{i}", "secondary_only", tmp_path), cells))
    grid = np.full((60, 60), 16.0)
    results = [FieldResult(f, cells, grid, {"tissue_mm2": 0.05}) for f, cells in found]
    study = Study(tmp_path, tuple(f for f, _ in found), {A.name: A})
    return analyse_study(study, results[::-1] if reverse else results, Settings())


def test_marker_that_nothing_has(tmp_path: Path) -> None:
    """No cell dies: the value is near what the control gives, and is said to be no more."""
    row = analysed(tmp_path, lineage=0.6, death=0.0).biopsies.iloc[0]
    assert row["apoptotic_fraction_strict"] <= 0.02
    assert "apoptotic_fraction:below_LoD" in row["flags"].split(";")


def test_marker_that_some_have_is_above_blank(tmp_path: Path) -> None:
    row = analysed(tmp_path, lineage=0.6, death=0.4).biopsies.iloc[0]
    assert row["apoptotic_fraction_strict"] == pytest.approx(0.4, abs=0.05)
    flags = row["flags"].split(";")
    assert "apoptotic_fraction:below_LoD" not in flags and "no_negative_population" not in flags
    moved = [f"apoptotic_fraction_gate_casp3_{end}" for end in ("low", "high")]
    assert row[moved[0]] > row["apoptotic_fraction"] > row[moved[1]]


def test_without_a_control_there_is_no_value(tmp_path: Path) -> None:
    row = analysed(tmp_path, lineage=0.6, death=0.0, controls=0).biopsies.iloc[0]
    assert math.isnan(row["apoptotic_fraction"]) and math.isnan(row["n_tumour"])
    assert "apoptotic_fraction: ungated" in row["reason"]


def test_marker_that_every_cell_has(tmp_path: Path) -> None:
    """No split in halves where there is one population."""
    result = analysed(tmp_path, lineage=1.0, death=0.4)
    cells = pd.concat(result.cells[f"s{i}"] for i in range(5))
    positive = (cells[t.call_column("MelanA")] == t.POSITIVE).mean()
    assert positive > 0.85
    assert "no_negative_population" in result.biopsies.iloc[0]["flags"].split(";")


def test_no_tumour_left(tmp_path: Path) -> None:
    """A few false positive cells are no tumour: not available, never 0 and never 100 %."""
    row = analysed(tmp_path, lineage=0.0, death=0.0).biopsies.iloc[0]
    assert math.isnan(row["apoptotic_fraction"])
    assert "apoptotic_fraction: no_evaluable_tumour" in row["reason"]


def test_order_of_fields_changes_nothing(tmp_path: Path) -> None:
    first = analysed(tmp_path, lineage=0.6, death=0.4)
    again = analysed(tmp_path, lineage=0.6, death=0.4, reverse=True)
    pd.testing.assert_frame_equal(first.biopsies, again.biopsies)
    pd.testing.assert_frame_equal(first.fields, again.fields)
    assert list(first.cells) == list(again.cells)
    for name in first.cells:
        pd.testing.assert_frame_equal(first.cells[name], again.cells[name])


def test_fields_that_all_failed_leave_a_row(tmp_path: Path) -> None:
    where = field("s0", "sample", tmp_path)
    failed = FieldResult(where, reason="unreadable", message="s0.tif: damaged")
    study = Study(tmp_path, (where,), {A.name: A})
    result = analyse_study(study, [failed], Settings())
    assert result.n_failed == 1
    row = result.biopsies.iloc[0]
    assert row["n_fields"] == 0 and row["n_fields_failed"] == 1
    assert "apoptotic_fraction: fields_failed" in row["reason"]
    assert result.fields["message"].tolist() == ["s0.tif: damaged"]


def test_a_field_without_cells_counts_as_analysed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    empty = objects(rng, 0, 0, 0)
    found = [
        (field("s0", "sample", tmp_path), empty),
        (field("c0", "secondary_only", tmp_path), objects(rng, PER_FIELD, 0, 0)),
    ]
    grid = np.full((60, 60), 16.0)
    results = [FieldResult(f, cells, grid, {"tissue_mm2": 0.05}) for f, cells in found]
    study = Study(tmp_path, tuple(f for f, _ in found), {A.name: A})
    result = analyse_study(study, results, Settings())
    row = result.biopsies.iloc[0]
    assert row["n_fields"] == 1 and row["n_tumour"] == 0
    assert "apoptotic_fraction: no_evaluable_tumour" in row["reason"]
    assert row["tumour_vital_per_mm2"] == 0


def test_another_batch_decides_nothing_here(tmp_path: Path) -> None:
    """A second batch with a single control field takes no limit of blank from the first."""
    rng = np.random.default_rng(11)
    found = [(field(f"s{i}", "sample", tmp_path), objects(rng, 250, 0, 0)) for i in range(5)]
    found += [
        (field(f"c{i}", "secondary_only", tmp_path), objects(rng, 250, 0, 0)) for i in range(9)
    ]
    study = Study(tmp_path, tuple(f for f, _ in found), {A.name: A})
    grid = np.full((60, 60), 16.0)
    results = [FieldResult(f, cells, grid, {"tissue_mm2": 0.05}) for f, cells in found]
    alone = analyse_study(study, results, Settings()).biopsies.iloc[0]
    assert "apoptotic_fraction: no_evaluable_tumour" in alone["reason"]
    second = {"biopsy": "P02", "patient": "P02", "batch": "B2"}
    more = [
        (dataclasses.replace(field("x", "sample", tmp_path), **second), objects(rng, 250, 0.6, 0)),
        (
            dataclasses.replace(field("y", "secondary_only", tmp_path), batch="B2"),
            objects(rng, 250, 0, 0),
        ),
    ]
    results += [FieldResult(f, cells, grid, {"tissue_mm2": 0.05}) for f, cells in more]
    study = Study(tmp_path, tuple(r.field for r in results), {A.name: A})
    both = analyse_study(study, results, Settings()).biopsies.set_index("biopsy")
    assert both.loc["P01", "reason"] == alone["reason"]
    assert "apoptotic_fraction:lod_unknown" in both.loc["P02", "flags"].split(";")

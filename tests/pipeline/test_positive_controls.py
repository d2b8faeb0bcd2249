"""Positive controls tell a failed stain from a marker that is absent."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from imganalysis import tables as t
from imganalysis.classify.gates import Gate
from imganalysis.errors import StudyError
from imganalysis.panel import load_panel
from imganalysis.positive_controls import (
    Checked,
    check_positive_controls,
    controlled_markers,
    with_positive_controls,
)
from imganalysis.records import placed
from imganalysis.settings import Gating
from imganalysis.study import Field, Study

A, B = load_panel("apoptosis"), load_panel("infiltrate")
PLACE = {"panel": A.name, "batch": "B1", "acquisition": "A1"}
GATES = tuple(
    Gate(marker=c.marker, column=column, value=20.0, **PLACE)
    for c in A.gated
    for column in c.columns
)


def field(name: str, role: str, **changes: object) -> Field:
    one = Field(
        name=name, biopsy="P01" if role == "sample" else "", patient="P01", lesion="L1", week=1.0,
        section="S1", panel=A.name, batch="B1", acquisition="A1", role=role, stain="",
        section_um=3.0, annotations=None, path=Path(f"{name}.tif"), series=0, scene="", tile=None,
        counted=None,
    )  # fmt: skip
    return dataclasses.replace(one, **changes)  # type: ignore[arg-type]


def cells(where: Field, n: int, positive: dict[str, int]) -> pd.DataFrame:
    """Cells of which the first ones are positive for each marker."""
    columns: dict[str, object] = {t.LABEL: np.arange(1, n + 1), t.EVALUABLE: True}
    for channel in A.gated:
        value = np.where(np.arange(n) < positive.get(channel.marker, 0), 60.0, 5.0)
        for compartment in ("nucleus", "ring", "max"):
            columns[t.measure_column(channel.marker, compartment, "mean")] = value
    return placed(where, pd.DataFrame(columns))


def checked(
    control: Field | None,
    n: int = 400,
    positive: dict[str, int] | None = None,
    gates: tuple[Gate, ...] = GATES,
) -> dict[str, Checked]:
    fields = [field("s", "sample"), *([control] if control else [])]
    objects = {f.name: cells(f, n, positive or {}) for f in fields}
    study = Study(Path(), tuple(fields), {A.name: A})
    return {c.marker: c for c in check_positive_controls(study, objects, gates, Gating())}


def test_a_stain_that_shows_no_positive_cell_has_failed() -> None:
    found = checked(field("c", "positive_control"), positive={"MelanA": 40})
    assert found["MelanA"].ok is True and found["casp3"].ok is False
    assert (found["MelanA"].n_positive, found["MelanA"].n_called) == (40, 400)


@pytest.mark.parametrize(("positive", "ok"), [(8, False), (9, True)])
def test_more_have_to_be_positive_than_false_calls_give(positive: int, ok: bool) -> None:
    """2 % of 400 cells, as the percentile of the controls leaves 1 % above a gate."""
    assert checked(field("c", "positive_control"), positive={"MelanA": positive})["MelanA"].ok is ok


@pytest.mark.parametrize(
    ("control", "gates", "reason"),
    [
        (None, GATES, "no_positive_control"),
        (field("c", "isotype"), GATES, "no_positive_control"),
        (field("c", "positive_control", stain="casp3"), GATES, "no_positive_control"),
        (field("c", "positive_control", batch="B2"), GATES, "positive_control_elsewhere"),
        (field("c", "positive_control"), (), "ungated"),
    ],
)
def test_where_it_cannot_be_told_it_says_why(
    control: Field | None, gates: tuple[Gate, ...], reason: str
) -> None:
    found = checked(control, 400, {"MelanA": 190}, gates)["MelanA"]
    assert found.ok is None and found.reason == reason and reason in t.REASONS


@pytest.mark.parametrize(("positive", "ok"), [(0, None), (6, None), (40, True)])
def test_few_cells_never_show_that_a_stain_failed(positive: int, ok: bool | None) -> None:
    found = checked(field("c", "positive_control"), 150, {"MelanA": positive})["MelanA"]
    assert found.ok is ok
    assert found.reason == ("" if ok else "positive_control_too_few_cells")
    assert "positive_control_too_few_cells" in t.REASONS


def test_the_stain_column_names_the_markers_that_the_tissue_has() -> None:
    def named(words: str) -> tuple[str, ...]:
        return controlled_markers(field("c", "positive_control", stain=words), A)

    assert named("") == ("MelanA", "casp3")
    assert named("Melan A") == ("MelanA",) and named("casp3; MelanA") == ("casp3", "MelanA")
    with pytest.raises(StudyError, match=r"c\.tif: .* of MelanA, casp3, .* found 'CD3'"):
        named("MelanA;CD3")


def test_the_rows_of_the_biopsies() -> None:
    samples = pd.DataFrame(
        [
            ("P01", A.name, "B1", "A1", "analysed"), ("P01", B.name, "B1", "A1", "failed"),
            ("P02", A.name, "B2", "A1", "analysed"),
        ],
        columns=[t.BIOPSY, t.PANEL, t.BATCH, t.ACQUISITION, "status"],
    )  # fmt: skip
    biopsies = pd.DataFrame(
        {t.BIOPSY: ["P01", "P02"], "flags": ["rgb", ""], "reason": ["", "x: y"]}
    )
    said = [
        Checked("MelanA", A.name, "B1", "A1", ok=True),
        Checked("casp3", A.name, "B1", "A1", ok=False),
        Checked("MelanA", A.name, "B2", "A1", reason="no_positive_control"),
        Checked("casp3", A.name, "B2", "A1", reason="no_positive_control"),
    ]
    table = with_positive_controls(biopsies, samples, said, {A.name: A, B.name: B})
    assert table["positive_control_ok_MelanA"].tolist() == [True, None]
    assert table["positive_control_ok_casp3"].tolist() == [False, None]
    assert table["positive_control_ok_CD3"].isna().all()
    assert table["flags"].tolist() == ["rgb;casp3:positive_control_failed", ""]
    assert table["reason"].tolist() == ["", "x: y; positive_control_ok: no_positive_control"]
    mixed = [*said[:3], Checked("casp3", A.name, "B2", "A1", reason="ungated")]
    reason = with_positive_controls(biopsies, samples, mixed, {A.name: A})["reason"][1]
    assert reason.endswith("_MelanA: no_positive_control; positive_control_ok_casp3: ungated")
    one = [*said[:3], Checked("casp3", A.name, "B2", "A1", ok=True)]
    reason = with_positive_controls(biopsies, samples, one, {A.name: A})["reason"][1]
    assert reason == "x: y; positive_control_ok_MelanA: no_positive_control"


def test_a_limit_is_the_sum_over_the_measures_of_a_marker() -> None:
    found = checked(field("c", "positive_control"))["casp3"]
    columns = next(c.columns for c in A.gated if c.marker == "casp3")
    assert math.isclose(found.limit or 0, 0.02 * len(columns))

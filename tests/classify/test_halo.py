"""Another program's calls and classes on real cells, reproduced by a panel file and fixed gates.

Three tissue cores. The other program gates each marker in one compartment by a fixed threshold;
the one chosen here lies between its highest negative and its lowest positive cell.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from imganalysis import tables as t
from imganalysis.classify import call_cells, classify_cells, read_gates
from imganalysis.panel import load_panel

if TYPE_CHECKING:
    from pathlib import Path

    from imganalysis.classify import Gate
    from imganalysis.panel import Panel

pytestmark = pytest.mark.realdata

PREFIX = {
    "DAPI": "Nuclei..DAPI.", "FOXP3": "FOXP3..Opal.620.", "CD3": "CD3..Opal.570.",
    "CD8": "CD8..Opal.520.", "PD1": "PD1..Opal.650.", "PDL1": "PDL1..Opal.540.",
}  # fmt: skip
# Where each marker is gated, and the gate. PD1 has no positive cell in three cores: its gate lies
# above every cell (2.03). PDL1's has room from 1.40 to 3.23: one cell is positive.
GATES = {
    "FOXP3": ("nucleus", 6.0), "CD3": ("cell", 5.0), "CD8": ("cell", 0.6),
    "PD1": ("cell", 2.5), "PDL1": ("cell", 2.0),
}  # fmt: skip
THEIRS = {"nucleus": "Nucleus", "cell": "Cytoplasm"}
CLASSES = {
    "CD3..FOXP3.": {"CD3", "FOXP3"},
    "CD3..CD8.": {"CD3", "CD8"},
    "CD3..CD8..FOXP3.": {"CD3", "CD8", "FOXP3"},
    "CD3..PD1.": {"CD3", "PD1"},
    "CD3..PD.L1.": {"CD3", "PDL1"},
    "CD8..PD1.": {"CD8", "PD1"},
    "CD3..CD8..PD.L1.": {"CD3", "CD8", "PDL1"},
}
N_POSITIVE = {"FOXP3": 29, "CD3": 103, "CD8": 25, "PD1": 0, "PDL1": 1}
N_CLASS = {"CD3..FOXP3.": 20, "CD3..CD8.": 14}

PANEL = """
name: halo
background: none
channels:
  - {marker: DAPI, role: nuclei}
  - {marker: CD3, measures: [{compartment: cell, statistic: mean}]}
  - {marker: CD8, measures: [{compartment: cell, statistic: mean}]}
  - {marker: FOXP3, role: state, measures: [{compartment: nucleus, statistic: mean}]}
  - {marker: PD1, role: state, measures: [{compartment: cell, statistic: mean}]}
  - {marker: PDL1, role: state, measures: [{compartment: cell, statistic: mean}]}
phenotypes:
"""


@pytest.fixture(scope="module")
def halo(testdata: Path) -> pd.DataFrame:
    return pd.read_csv(testdata / "cells-halo-mif" / "cells.csv.gz")


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Panel:
    """A panel file with a class per combination of positive markers; 32 of them."""
    lines = [PANEL]
    for code in range(32):
        positive = {m for i, m in enumerate(GATES) if code >> i & 1}
        when = ", ".join(f"{m}: {'pos' if m in positive else 'neg'}" for m in GATES)
        lines.append(f"  - {{name: {class_name(positive)}, when: {{{when}}}}}\n")
    path = tmp_path_factory.mktemp("halo") / "halo.yaml"
    path.write_text("".join(lines), encoding="utf-8")
    return load_panel(path)


def class_name(positive: set[str]) -> str:
    return "_".join(f"{m}+" for m in GATES if m in positive) or "none"


@pytest.fixture(scope="module")
def gates(panel: Panel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Gate, ...]:
    path = tmp_path_factory.mktemp("gates") / "gates.json"
    entries = [{"marker": m, "value": value} for m, (_, value) in GATES.items()]
    path.write_text(json.dumps({"gates": entries}), encoding="utf-8")
    return read_gates(path, [panel])


@pytest.fixture(scope="module")
def ours(halo: pd.DataFrame, panel: Panel, gates: tuple[Gate, ...]) -> pd.DataFrame:
    """Their intensities in our columns, with our calls and classes; a field per core."""
    columns = {
        t.measure_column(m, part, "mean"): halo[f"{PREFIX[m]}.{THEIRS[part]}.Intensity"]
        for m in PREFIX
        for part in THEIRS
    }
    cells = pd.DataFrame({t.FIELD: halo["sample"], t.LABEL: halo["Object.Id"] + 1, **columns})
    # The default band: fixed gates of a file have none.
    calls = call_cells(cells, panel, gates, band=0.15)
    called = pd.concat([cells, calls], axis=1)
    found = classify_cells(called, panel)
    return called.assign(**{t.PHENOTYPE: found.phenotype, t.WHY: found.why})


def test_the_gates_lie_between_their_negative_and_positive_cells(halo):
    for marker, (part, value) in GATES.items():
        intensity = halo[f"{PREFIX[marker]}.{THEIRS[part]}.Intensity"]
        positive = halo[f"{PREFIX[marker]}.Positive.{THEIRS[part]}"] == 1
        assert intensity[~positive].max() < value
        assert not positive.any() or value < intensity[positive].min()


@pytest.mark.parametrize("marker", GATES)
def test_every_call_is_the_same_in_every_core_and_compartment(halo, ours, marker):
    part, _ = GATES[marker]
    mine = ours[t.call_column(marker)]
    assert set(mine) <= {t.POSITIVE, t.NEGATIVE}
    positive = (mine == t.POSITIVE).astype(int)
    other = next(p for p in THEIRS if p != part)
    assert int(positive.sum()) == N_POSITIVE[marker]
    for core, rows in halo.groupby("sample").indices.items():
        of_core = positive.iloc[rows].to_numpy()
        theirs = halo.iloc[rows]
        for column in (".Positive", f".Positive.{THEIRS[part]}"):
            assert (of_core == theirs[PREFIX[marker] + column]).all(), (core, column)
        # The compartment that is not gated has no positive cell, however bright it is.
        assert (theirs[f"{PREFIX[marker]}.Positive.{THEIRS[other]}"] == 0).all()


def test_the_compartment_decides(halo):
    """CD3 in the nucleus reaches far above the gate of the cytoplasm: no gate is set there."""
    assert halo["CD3..Opal.570..Nucleus.Intensity"].max() > 9 * GATES["CD3"][1]
    assert halo["FOXP3..Opal.620..Cytoplasm.Intensity"].max() > GATES["FOXP3"][1]


@pytest.mark.parametrize("column", CLASSES)
def test_every_co_positive_class_is_the_same_in_every_core(halo, ours, panel, column):
    names = [c for c in panel.classes if CLASSES[column] <= {p[:-1] for p in c.split("_")}]
    assert len(names) == 2 ** (len(GATES) - len(CLASSES[column]))
    mine = ours[t.PHENOTYPE].isin(names).astype(int)
    assert int(mine.sum()) == N_CLASS.get(column, 0)
    for rows in halo.groupby("sample").indices.values():
        assert (mine.iloc[rows] == halo[column].iloc[rows]).all()


def test_all_cells_have_a_class_and_it_says_why(halo, ours):
    assert len(ours) == len(halo) == 8661
    assert halo.groupby("sample").size().tolist() == [3803, 3008, 1850]
    assert not (ours[t.PHENOTYPE] == t.UNRESOLVED).any()
    # What is positive for nothing there is for nothing here.
    theirs = halo[[f"{PREFIX[m]}.Positive" for m in GATES]].to_numpy()
    assert np.array_equal((ours[t.PHENOTYPE] == "none").to_numpy(), (theirs == 0).all(axis=1))
    double = ours.loc[ours[t.PHENOTYPE] == "FOXP3+_CD3+", t.WHY].iloc[0]
    assert double == (
        "CD3 positive, CD8 negative, FOXP3 positive, PD1 negative, PDL1 negative -> FOXP3+_CD3+"
    )

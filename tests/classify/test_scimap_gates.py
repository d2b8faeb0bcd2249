"""Gates in the form of scimap: one column per image, log1p of the values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from imganalysis.classify import Gate
from imganalysis.classify.scimap_gates import read_scimap_gates, write_scimap_gates
from imganalysis.errors import GatesError
from imganalysis.panel import Panel

P = Panel.model_validate(
    {
        "name": "p",
        "channels": [{"marker": "DNA", "role": "nuclei"}, {"marker": "A"}, {"marker": "B"}],
    }
)
Q = Panel.model_validate(
    {
        "name": "q",
        "channels": [
            {"marker": "DNA", "role": "nuclei"},
            {"marker": "C", "measures": [{"compartment": "nucleus"}, {"compartment": "ring"}]},
        ],
    }
)
FIELDS = [
    ("f1", "p", "1", "x"),
    ("f2", "p", "1", "x"),
    ("f3", "p", "2", "x"),
    ("g1", "q", "1", "x"),
]


def gate(marker, value, **place):
    return Gate(marker=marker, value=value, **place)


GATES = [
    gate("A", 2.5, panel="p", batch="1", acquisition="x", column="A_ring_mean"),
    gate("A", 7.0, panel="p", batch="2", acquisition="x", column="A_ring_mean"),
    gate("C", 3.0, panel="q", batch="1", acquisition="x", column="C_nucleus_mean"),
    gate("C", 4.0, panel="q", batch="1", acquisition="x", column="C_ring_mean"),
    Gate(marker="B", panel="p", batch="1", acquisition="x", column="B_ring_mean", method="none",
         reason="no_control"),
]  # fmt: skip


@pytest.mark.parametrize("log", [True, False])
def test_gates_go_there_and_back(tmp_path, log):
    path = tmp_path / "gates.csv"
    write_scimap_gates(path, GATES, [P, Q], FIELDS, log=log)
    table = pd.read_csv(path, index_col="markers")
    assert list(table.index) == ["A", "B", "C_nucleus_mean", "C_ring_mean"]
    assert list(table.columns) == ["f1", "f2", "f3", "g1"]
    assert table.loc["A", "f3"] == pytest.approx(np.log1p(7.0) if log else 7.0)
    assert table.loc["B"].isna().all() and np.isnan(table.loc["A", "g1"])
    back = read_scimap_gates(path, [P, Q], FIELDS, log=log)
    assert {(g.column, g.batch): g.value for g in back} == pytest.approx(
        {(g.column, g.batch): g.value for g in GATES if g.value}, rel=1e-6
    )
    assert all(g.method == "file" for g in back)


def test_scimap_s_rescaling_calls_what_our_gate_calls(tmp_path):
    """Scimap compares log1p of the data with the value of the CSV."""
    path = tmp_path / "gates.csv"
    write_scimap_gates(path, GATES, [P, Q], FIELDS)
    theirs = pd.read_csv(path, index_col="markers").loc["A", "f1"]
    values = np.random.default_rng(0).lognormal(1, 1, 1000)
    assert ((np.log1p(values) >= theirs) == (values >= 2.5)).all()


def written(tmp_path, text):
    path = tmp_path / "gates.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_one_column_of_another_name_holds_for_all(tmp_path):
    path = written(tmp_path, "marker,gate\nA,1.0\nDNA,5\nB,\n")
    found = read_scimap_gates(path, [P, Q], FIELDS)
    assert [(g.batch, g.value) for g in found] == [
        ("1", pytest.approx(np.e - 1)), ("2", pytest.approx(np.e - 1)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("markers,f1,f2\nA,1,2\n", r"A: f1 and f2 have different gates \(1\.71828 and 6\.38906 "),
        ("markers,f1,f9\nA,1,1\n", r"no field of the study is called f9; .* Take the columns"),
        ("markers,f1\nZ,1\n", r"unknown marker Z; the panels have DNA, A, B, C"),
        ("markers,f1\nA,x\n", r"A, f1: expected a number above 0, log1p of grey levels; found 'x'"),
        ("markers,f1\nA,-1\n", "found '-1'"),
        ("markers,f1\nA,nan\n", "found 'nan'"),
        ("markers,f1\nA,1e5\n", "found '1e5'"),
        ("markers,f1\nA,1\nA,1\n", "the marker A stands twice"),
        ("markers,g1\nC,1\n", "name the row as one of C_nucleus_mean, C_ring_mean"),
        ("markers\nA\n", "expected markers in the first column"),
    ],
)
def test_files_that_are_wrong_say_where(tmp_path, text, message):
    with pytest.raises(GatesError, match=message) as caught:
        read_scimap_gates(written(tmp_path, text), [P, Q], FIELDS)
    assert "gates.csv" in str(caught.value)


def test_no_file(tmp_path):
    with pytest.raises(GatesError, match=r"none\.csv: no such file"):
        read_scimap_gates(tmp_path / "none.csv", [P], FIELDS)

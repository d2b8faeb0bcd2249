"""Cells of a folder of results called again: the numbers are those of a run with these gates."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from imganalysis import tables as t
from imganalysis.classify.gates_file import write_gates
from imganalysis.correction_session import CorrectionSession
from imganalysis.errors import StudyError, TableError
from imganalysis.gate_changes import set_by_hand
from imganalysis.held import held_results, recalled_cells
from imganalysis.io import read_labels
from imganalysis.moving import move_gates
from imganalysis.opening import open_study
from imganalysis.pipeline import run_study
from imganalysis.results import cells_path, labels_path
from imganalysis.settings import Settings
from imganalysis.settings_counting import Counting

if TYPE_CHECKING:
    from pathlib import Path

    from imganalysis.held import HeldResults

# What hangs on neighbours stays when a gate is moved: fragments, debris, the guard of rings, and
# contexts, which do not ask for CD3.
SETTINGS = Settings.model_validate({
    "segmentation": {"method": "scikit-image"},
    "gating": {"min_control_cells": 20},
    "neighbours": {"guard": False},
    "counting": {"merge_fragments": False, "fragment_dna": 1e6},
    "output": {"overlays": False, "quality": False},
})  # fmt: skip


@pytest.fixture(scope="module")
def study(small_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(small_study, tmp_path_factory.mktemp("held") / "study")


@pytest.fixture(scope="module")
def results(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("held") / "out"
    run_study(open_study(study), out, SETTINGS, workers=1)
    return out


@pytest.fixture(scope="module")
def merged(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results in which fragments of one cell were put together."""
    out = tmp_path_factory.mktemp("held") / "merged"
    easily = {"fragment_gap_um": 3.0, "fragment_hull_um": 40.0, "fragment_solidity": 1.0}
    settings = SETTINGS.model_copy(update={"counting": Counting.model_validate(easily)})
    run_study(open_study(study), out, settings, workers=1)
    return out


def written(folder: Path) -> pd.DataFrame:
    return t.read_csv(folder / "biopsies.csv").set_index(t.BIOPSY)


def same_fractions(found: pd.DataFrame, table: pd.DataFrame) -> None:
    told = table.reindex(found.index)[found.columns]
    filled = told.notna().to_numpy()
    assert filled.any()
    np.testing.assert_allclose(found.to_numpy()[filled], told.to_numpy(float)[filled], rtol=1e-6)


def moved_gates(found: HeldResults, marker: str, factor: float) -> tuple:
    value = next(g.value for g in found.review.gates if g.marker == marker)
    return set_by_hand(found.review.gates, marker, factor * value, "a test")[0]


@pytest.mark.parametrize("folder", ["results", "merged"])
def test_unchanged_gates_give_the_tables_of_the_run(
    folder: str, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(folder)
    found = held_results(path)
    moved = move_gates(found.held, found.review.gates)
    same_fractions(moved.fractions, written(path))
    fields = t.read_csv(path / "fields.csv").set_index(t.FIELD)
    for name in moved.counts.columns:
        counts = fields.loc[moved.counts.index, f"n_class_{name}"].fillna(0)
        np.testing.assert_array_equal(moved.counts[name], counts)
    pieces = 0
    for name in moved.counts.index:
        objects = pd.read_parquet(cells_path(path, name))
        pieces += int((objects[t.FRAGMENTS] > 1).sum())
        again = recalled_cells(moved.held, name, objects)
        assert_frame_equal(again, objects, check_dtype=False, check_categorical=False)
    assert (pieces > 0) == (folder == "merged")


@pytest.mark.parametrize(("marker", "factor"), [("CD3", 3.0), ("CD3", 0.5)])
def test_moved_gates_give_the_tables_of_a_run_with_them(
    marker: str, factor: float, study: Path, results: Path, tmp_path: Path
) -> None:
    found = held_results(results)
    gates = moved_gates(found, marker, factor)
    moved = move_gates(found.held, gates)
    write_gates(tmp_path / "gates.json", gates)
    again = tmp_path / "again"
    run_study(open_study(study), again, SETTINGS, gates_file=tmp_path / "gates.json", workers=1)
    same_fractions(moved.fractions, written(again))
    changed = 0
    for name in moved.counts.index:
        before = pd.read_parquet(cells_path(results, name))
        expected = pd.read_parquet(cells_path(again, name))
        table = recalled_cells(moved.held, name, before)
        assert_frame_equal(table, expected, check_dtype=False, check_categorical=False)
        changed += int((before[t.PHENOTYPE] != table[t.PHENOTYPE]).sum())
    assert changed > 0


def test_a_class_that_a_person_gave_stays(study: Path, tmp_path: Path) -> None:
    own = shutil.copytree(study, tmp_path / "study")
    first = tmp_path / "first"
    run_study(open_study(own), first, SETTINGS, workers=1)
    found = held_results(first)
    name = next(n for n in found.held.names if "infiltrate" in n)
    cells = pd.read_parquet(cells_path(first, name))
    t_cells = cells[cells[t.EVALUABLE] & (cells[t.PHENOTYPE] == "T")]
    session = CorrectionSession(open_study(own), user="anna")
    session.open_field(name, read_labels(labels_path(first, name)), (0.465, 0.465))
    # One is called another thing, one is said to be what the rules say too.
    other, same = (int(label) for label in t_cells[t.LABEL].iloc[:2])
    session.change_class(name, session.cell(name, other), "NK", why="round")
    session.change_class(name, session.cell(name, same), "T", why="sure")
    out = tmp_path / "out"
    run_study(open_study(own), out, SETTINGS, workers=1, corrections_file=own)
    found = held_results(out)
    same_fractions(move_gates(found.held, found.review.gates).fractions, written(out))
    moved = move_gates(found.held, moved_gates(found, "CD3", 1000.0))
    objects = pd.read_parquet(cells_path(out, name))
    table = recalled_cells(moved.held, name, objects).set_index(t.LABEL)
    assert table.loc[[other, same], t.PHENOTYPE].tolist() == ["NK", "T"]
    assert "anna" in table.loc[same, t.WHY]
    assert (table.loc[[other, same], t.PHENOTYPE_RULES] != "T").all()
    counted = table[table[t.EVALUABLE]]
    assert moved.counts.loc[name, "T"] == 1 == (counted[t.PHENOTYPE] == "T").sum()


def test_results_that_do_not_fit_are_refused(results: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="holds no results"):
        held_results(tmp_path)
    copy = shutil.copytree(results, tmp_path / "copy")
    name = str(held_results(copy).held.names[0])
    cells = pd.read_parquet(cells_path(copy, name))
    counted = np.flatnonzero(cells[t.EVALUABLE])
    t.write_parquet(cells_path(copy, name), cells.drop(index=counted[:20]))
    with pytest.raises(StudyError, match=r"biopsies\.csv says"):
        held_results(copy)
    cells_path(copy, name).write_bytes(b"no table")
    with pytest.raises(TableError, match="no table of cells"):
        held_results(copy)
    record = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**record, "imganalysis": "0.0.1"}))
    with pytest.raises(StudyError, match=r"made by imganalysis 0\.0\.1"):
        held_results(copy)

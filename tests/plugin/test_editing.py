"""Edits without a window: the log, the table that follows, and the same table from the batch."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from napari_imganalysis import _measuring
from napari_imganalysis._editing import Editor, editor_of
from napari_imganalysis._following import NOT_FOLLOWING
from napari_imganalysis._session import Session

from imganalysis import tables as t
from imganalysis.errors import CorrectionsError, OutputError
from imganalysis.io import read_labels
from imganalysis.opening import open_study
from imganalysis.pipeline import run_study
from imganalysis.results import CALIBRATION, GATES, cells_path, labels_path
from imganalysis.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_imganalysis._measuring import Measuring

FIELD = "P1_week1_A_apoptosis"


@pytest.fixture
def study(study: tuple[Path, Path]) -> Iterator[tuple[Path, Path]]:
    """As in every test, but that a test may take the rights to write from the study."""
    yield study
    study[0].chmod(0o755)


def begun(out: Path) -> tuple[Session, Editor, list[tuple[str, str]], str]:
    """A session with a field open, its editor, what is told, and the field's name."""
    session = Session()
    told: list[tuple[str, str]] = []

    def tell(kind: str, text: str) -> None:
        told.append((kind, text))

    session.message.connect(tell)
    session._test_tell = tell  # type: ignore[attr-defined]  # signals hold it weakly
    session.open(out)
    editor = editor_of(session)
    editor.set_user("anna")
    names = [n for n in session.opened.names if "A_apoptosis" in n]  # type: ignore[union-attr]
    session.open_field(names[-1])
    return session, editor, told, names[-1]


def measured(editor: Editor) -> Measuring:
    job = editor.job()
    assert job is not None
    made = job[1]()
    editor.adopt(job[0], made)
    return made


def run_again(root: Path, out: Path, again: Path, *, gates: bool) -> None:
    settings = Settings.model_validate({
        "segmentation": {"method": "scikit-image"},
        "gating": {"min_control_cells": 20},
        "output": {"overlays": False, "quality": False, "cells_csv": True},
    })  # fmt: skip
    run_study(
        open_study(root), again, settings, workers=1, corrections_file=root,
        gates_file=out / GATES if gates else None, calibration_file=out / CALIBRATION,
    )  # fmt: skip


def assert_same_table(mine: pd.DataFrame, written: Path, *, study: bool = True) -> None:
    """Every column, value and kind of missing value, after a writing and reading.

    Without `study` the probabilities are left out: their curve is of all cells of the study.
    """
    theirs = pd.read_parquet(written)
    kept = written.with_name("mine.parquet")
    mine.to_parquet(kept)
    back = pd.read_parquet(kept)
    assert set(back.columns) == set(theirs.columns)
    if not study:
        theirs = theirs[[c for c in theirs.columns if not c.endswith("_probability")]]
    pd.testing.assert_frame_equal(
        back[list(theirs.columns)], theirs, check_exact=True, check_categorical=False,
        check_dtype=False,
    )  # fmt: skip


def inner(session: Session) -> list[int]:
    cells = session.cells
    assert cells is not None
    good = cells[cells[t.EVALUABLE] & cells[t.AREA].between(30, 400)]
    return [int(n) for n in good[t.LABEL]]


def other_class(session: Session, label: int) -> str:
    row = session.field.cell(label)  # type: ignore[union-attr]
    assert row is not None
    return "tumour_apoptotic" if row[t.PHENOTYPE] != "tumour_apoptotic" else "non_tumour"


def test_classes_follow_at_once_and_a_run_with_the_log_writes_the_same_table(
    study: tuple[Path, Path], tmp_path: Path
) -> None:
    root, out = study
    session, editor, told, name = begun(out)
    before = session.cells
    assert before is not None
    first, second, third = inner(session)[:3]
    to = other_class(session, first)
    counts = session.class_counts
    editor.change_class(first, to, "condensed")
    editor.change_class(second, "unresolved")
    editor.change_class(third, other_class(session, third), "wrong")
    editor.undo()
    assert session.class_counts != counts
    assert session.field.cell(first)[t.PHENOTYPE] == to  # type: ignore[union-attr, index]
    assert editor.job() is not None and not editor.behind, "no pixel is needed for a class"
    run_again(root, out, tmp_path / "again", gates=False)
    assert_same_table(session.cells, cells_path(tmp_path / "again", name))  # type: ignore[arg-type]

    # The new results hold the edits; undoing them shows the table without.
    other, editor, _, _ = begun(tmp_path / "again")
    assert_same_table(other.cells, cells_path(tmp_path / "again", name))  # type: ignore[arg-type]
    assert len(editor.core.pending(name)) == 0  # type: ignore[union-attr]
    editor.undo()
    editor.undo()
    now = other.cells
    assert now is not None
    for column in (t.PHENOTYPE, t.WHY):
        assert now[column].astype(str).tolist() == before[column].astype(str).tolist()
    assert not [text for kind, text in told if kind == "error"]


def test_nuclei_are_measured_where_they_are_touched_and_the_batch_agrees(
    study: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out = study
    session, editor, _, name = begun(out)
    wanted: list[int] = []
    editor.wanted.connect(lambda: wanted.append(1))
    a, b, c, d, e = inner(session)[:5]
    editor.change_class(a, other_class(session, a), "condensed")
    editor.delete(b, "debris")
    assert wanted and editor.behind, "the table waits for a measurement"
    assert not (session.field.labels == b).any(), "what is drawn does not"  # type: ignore[union-attr]
    live = measured(editor)
    assert not editor.behind
    assert b not in session.cells[t.LABEL].tolist()  # type: ignore[index]
    editor.merge([c, d])
    spot = editor.core.cell(name, e)  # type: ignore[union-attr]
    editor.split_by_line(0, [(spot.x, spot.y - 20), (spot.x, spot.y + 20)])
    free = np.argwhere(session.field.labels[20:-20, 20:-20] == 0)[500] + 20  # type: ignore[union-attr, index]
    y, x = free * 0.465
    editor.draw([(x - 3, y - 3), (x + 3, y - 3), (x + 3, y + 3), (x - 3, y + 3)], "missed")
    assert editor.behind, "what takes long is put off"
    # A class needs no pixel and no rule again, whether or not something is put off.
    with monkeypatch.context() as patch:
        patch.setattr(_measuring, "judge_field", None)
        patch.setattr(live.live, "_table", None)
        whole, merged = inner(session)[8], c
        editor.change_class(whole, other_class(session, whole), "haze")
        assert editor.behind
    late = editor.finish_job()
    assert late is not None
    editor.delete(inner(session)[6])
    editor.undo()
    editor.adopt_table(late[0], late[1]())
    assert editor.behind, "a table that an edit overtook is dropped"
    editor.finish()
    assert not editor.behind and editor.job() is None
    with monkeypatch.context() as patch:
        patch.setattr(_measuring, "judge_field", None)
        editor.change_class(merged, other_class(session, merged))
    assert not editor.behind
    labels = session.field.labels  # type: ignore[union-attr]
    run_again(root, out, tmp_path / "again", gates=True)
    np.testing.assert_array_equal(labels, read_labels(labels_path(tmp_path / "again", name)))
    assert_same_table(session.cells, cells_path(tmp_path / "again", name), study=False)  # type: ignore[arg-type]

    # A second session finds all of it: nothing was kept in memory only.
    again, other, _, _ = begun(out)
    assert (again.field.labels == labels).all()  # type: ignore[union-attr]
    measured(other)
    assert_same_table(again.cells, cells_path(tmp_path / "again", name), study=False)  # type: ignore[arg-type]
    for _ in range(7):
        other.undo()
    other.finish()
    assert_same_rows(again.cells, cells_path(out, name))
    for _ in range(7):
        other.redo()
    other.finish()
    assert_same_table(again.cells, cells_path(tmp_path / "again", name), study=False)  # type: ignore[arg-type]
    live_labels = live.live.labels
    assert (live_labels == labels).all()


def assert_same_rows(mine: pd.DataFrame | None, written: Path) -> None:
    """The table without its columns on corrections is that of a run without a log."""
    theirs = pd.read_parquet(written)
    assert mine is not None
    pd.testing.assert_frame_equal(
        mine[list(theirs.columns)].reset_index(drop=True), theirs, check_dtype=False,
        check_categorical=False,
    )  # fmt: skip


def test_a_region_is_written_where_the_batch_reads_it_and_the_field_is_measured_anew(
    study: tuple[Path, Path], tmp_path: Path
) -> None:
    root, out = study
    session, editor, _, name = begun(out)
    square = [(20.0, 20.0), (70.0, 20.0), (70.0, 60.0), (20.0, 60.0)]
    editor.outline("exclude", square, "fold")
    assert editor.outlined() == [("exclude", [[x, y] for x, y in [*square, square[0]]])]
    assert (root / "annotations" / f"{name}.geojson").is_file()
    assert editor.behind
    measured(editor)
    assert not editor.behind
    run_again(root, out, tmp_path / "again", gates=True)
    assert_same_table(session.cells, cells_path(tmp_path / "again", name), study=False)  # type: ignore[arg-type]
    assert (session.cells[t.EXCLUSION] == "excluded_region").any() or (  # type: ignore[index]
        session.cells[t.EVALUABLE].sum()  # type: ignore[index]
        < pd.read_parquet(cells_path(out, name))[t.EVALUABLE].sum()
    )
    late = editor.job()
    editor.undo()
    assert late is None and editor.outlined() == []
    measured(editor)
    assert_same_rows(session.cells, cells_path(out, name))
    # A measurement that an outline overtook is dropped.
    editor.outline("tumour", square)
    old = editor.job()
    assert old is not None
    editor.outline("vessel", [(80.0, 80.0), (90.0, 80.0), (85.0, 90.0)])
    made = old[1]()
    editor.adopt(old[0], made)
    assert editor.behind


def test_what_cannot_be_done_is_said_and_changes_nothing(
    study: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, out = study
    session, editor, told, name = begun(out)
    label = inner(session)[0]
    before, table = session.field.labels.copy(), session.cells  # type: ignore[union-attr]
    editor.set_user("  ")
    with pytest.raises(CorrectionsError, match="Say who you are"):
        editor.delete(label)
    editor.set_user("anna")
    for act, said in (
        (lambda: editor.delete(99999), "no nucleus 99999"),
        (lambda: editor.draw([(900.0, 900.0), (910.0, 900.0), (905.0, 910.0)]), "in the image"),
        (lambda: editor.split_by_points([(1.0, 1.0), (50.0, 50.0)]), "click twice into one"),
        (lambda: editor.split_by_line(0, [(-9.0, -9.0), (-5.0, -5.0)]), "crosses no nucleus"),
        (lambda: editor.outline("tumour", [(0.0, 0.0), (999.0, 0.0), (9.0, 9.0)]), "reaches from"),
    ):
        with pytest.raises(CorrectionsError, match=said):
            act()
    assert (session.field.labels == before).all() and session.cells is table  # type: ignore[union-attr]
    assert editor.log is not None and not editor.log.exists()

    # Somebody else was first: theirs is read, and the edit may be made again.
    bert, other, _, _ = begun(out)
    other.set_user("bert")
    other.change_class(label, other_class(bert, label))
    with pytest.raises(CorrectionsError, match="bert changed"):
        editor.delete(label)
    assert session.field.cell(label)[t.PHENOTYPE] == bert.field.cell(label)[t.PHENOTYPE]  # type: ignore[union-attr, index]
    editor.undo()
    assert told[-1] == ("info", f"anna has nothing to undo in {name}")
    editor.delete(label)

    # A log of another study, and one that is none.
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    lines = editor.log.read_text()
    (stranger / "corrections.jsonl").write_text("no log\n")
    with pytest.raises(CorrectionsError, match="not a line of corrections"):
        editor.keep_log(stranger)
    assert editor.log.read_text() == lines and editor.name == name

    # The image is another one now; the edits stay, and nothing is measured.
    image = session.field.where.path  # type: ignore[union-attr]
    shutil.copy(next(p for p in root.rglob("A apoptosis*") if p != image), image)
    job = editor.job()
    assert job is not None
    with pytest.raises(CorrectionsError, match="is another image than the one"):
        job[1]()
    image.unlink()
    again = Session()
    again.open(out)
    late = editor_of(again)
    with pytest.raises(CorrectionsError, match="Open a field"):
        late.delete(label)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs folders without right")
def test_a_folder_without_right_to_write(study: tuple[Path, Path], tmp_path: Path) -> None:
    root, out = study
    session, editor, _, _ = begun(out)
    root.chmod(0o555)
    check_refused(session, editor, tmp_path)


def test_a_disk_that_refuses(
    study: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, editor, _, _ = begun(study[1])
    opened = os.open

    def refuse(path: Any, *rest: Any, **named: Any) -> int:
        if str(path).startswith(str(study[0])):
            raise PermissionError(13, "Permission denied")
        return opened(path, *rest, **named)

    monkeypatch.setattr("os.open", refuse)
    check_refused(session, editor, tmp_path)


def check_refused(session: Session, editor: Editor, tmp_path: Path) -> None:
    """The edit is refused and nothing changes; with a log elsewhere it is kept."""
    label, before = inner(session)[0], session.field.labels  # type: ignore[union-attr]
    with pytest.raises(OutputError, match="name a log in a folder that can be written"):
        editor.delete(label)
    assert session.field.labels is before  # type: ignore[union-attr]
    elsewhere = tmp_path / "mine"
    elsewhere.mkdir()
    editor.keep_log(elsewhere)
    editor.delete(label)
    assert (elsewhere / "corrections.jsonl").read_text().count("\n") == 1
    assert not (session.field.labels == label).any()  # type: ignore[union-attr]


def test_an_edit_that_no_longer_fits_is_told_and_the_others_hold(
    study: tuple[Path, Path],
) -> None:
    from imganalysis.io import write_labels
    from imganalysis.stack import PixelSize

    _, out = study
    session, editor, _, name = begun(out)
    first, second = inner(session)[:2]
    editor.delete(first)
    editor.delete(second)
    path = labels_path(out, name)
    labels = read_labels(path)
    labels[labels == first] = 0
    write_labels(path, labels, PixelSize(None, 0.465, 0.465))
    again, other, told, _ = begun(out)
    assert [text for kind, text in told if kind == "warning" and "no longer fits" in text]
    assert other.replay is not None and len(other.replay.lost) == 1
    assert not (again.field.labels == second).any()  # type: ignore[union-attr]


def test_results_of_a_classifier_keep_their_classes(study: tuple[Path, Path]) -> None:
    _, out = study
    record = out / "run.json"
    record.write_text(record.read_text().replace('"classifier": null', '"classifier": "abc"'))
    session, editor, told, _ = begun(out)
    editor.delete(inner(session)[0])
    assert editor.job() is None and editor.job() is None
    assert told.count(("warning", NOT_FOLLOWING)) == 1


def test_a_study_that_was_not_analysed_cannot_be_edited(images: Path) -> None:
    session = Session()
    session.open(images)
    editor = editor_of(session)
    session.open_field(session.opened.names[0])  # type: ignore[union-attr]
    assert "was not analysed" in editor.problem
    with pytest.raises(CorrectionsError, match="was not analysed"):
        editor.delete(1)

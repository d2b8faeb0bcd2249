"""What the plugin reads of a folder of results is what stands there; what is wrong is told."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from napari_imganalysis._describe import study_text
from napari_imganalysis._editing import editor_of, review, reviews_of
from napari_imganalysis._fields import load_field
from napari_imganalysis._reader import get_reader, read_layers, read_results, read_table
from napari_imganalysis._results import open_any, open_results, open_unanalysed
from napari_imganalysis._review import CHANGED, REVIEWED, TO_LOOK_AT, Reviews, cells_hash
from napari_imganalysis._session import Session
from napari_imganalysis._study_rows import ANY, FLAGGED, filtered, flags_in, rows_of

from imganalysis import __version__
from imganalysis import corrections as c
from imganalysis.corrections import read_log
from imganalysis.errors import OutputError, StudyError, UnreadableImageError
from imganalysis.io import read_labels, write_labels
from imganalysis.stack import PixelSize

if TYPE_CHECKING:
    from pathlib import Path


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def copy(results: Path, tmp_path: Path) -> Path:
    return shutil.copytree(results, tmp_path / "results")


def edit_run(folder: Path, **changes: Any) -> None:
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes), encoding="utf-8")


def test_the_list_shows_the_numbers_of_the_tables(results: Path) -> None:
    opened = open_results(results)
    rows = rows_of(opened, Reviews(results))
    written = {row["biopsy"]: row for row in table(results / "biopsies.csv")}
    fields = {row["field"]: row for row in table(results / "fields.csv")}
    assert [row.name for row in rows] == [*written, "controls"]
    for row in rows[:-1]:
        mine = written[row.name]
        assert row.cells == mine["n_tumour"]
        assert set(row.flags) == set(filter(None, mine["flags"].split(";")))
        value, low, high = (
            float(mine[f"apoptotic_fraction{end}"] or "nan") for end in ("", "_lo", "_hi")
        )
        if value == value:
            assert row.fraction == f"{100 * value:.1f} % ({100 * low:.1f}–{100 * high:.1f})"
        for child in row.children:
            counted = {
                name.removeprefix("n_class_"): int(float(n))
                for name, n in fields[child.name].items()
                if name.startswith("n_class_") and n
            }
            assert dict(child.counts) == counted
            assert child.cells == fields[child.name]["n_evaluable"]
    shown = [child.name for row in rows for child in row.children]
    assert shown == [name for name, row in fields.items() if row["status"] != "ignored"]
    broken = next(c for row in rows for c in row.children if "broken" in c.name)
    assert broken.status == "failed: unreadable"


def test_a_biopsy_without_a_fraction_says_why(results: Path) -> None:
    opened = open_results(results)
    opened.biopsies.loc[0, "apoptotic_fraction"] = float("nan")
    opened.biopsies["reason"] = opened.biopsies["reason"].astype(object)
    opened.biopsies.loc[0, "reason"] = "pct_T: not_stained; apoptotic_fraction: ungated"
    row = rows_of(opened, Reviews(None))[0]
    assert row.fraction == "NA: ungated"
    told = study_text(row, opened, Reviews(None))
    assert told.index("tumour_vital") < told.index("NA pct_T: not_stained"), "classes come first"


def test_the_list_is_filtered_by_flag_and_text(results: Path) -> None:
    opened = open_results(results)
    rows = rows_of(opened, Reviews(results))
    names = [c.name for row in rows for c in row.children]
    flag = flags_in(tuple(rows))[0]

    def left(*args: str) -> list[str]:
        return [c.name for row in filtered(rows, *args) for c in row.children]

    assert left() == names
    assert left("INFILTRATE week1") == [n for n in names if "infiltrate" in n and "week1" in n]
    assert left("no such field") == []
    carrying = {
        c.name for row in rows for c in row.children if flag in row.flags or flag in c.flags
    }
    assert set(left("", flag)) == carrying
    assert set(left("", FLAGGED)) >= carrying
    assert left("", ANY, REVIEWED) == []
    assert left("", ANY, "") == names


def test_a_field_has_its_labels_masks_and_cells(results: Path) -> None:
    opened = open_results(results)
    name = opened.names[0]
    field = load_field(opened, name)
    assert not field.notes
    assert field.labels is not None
    assert field.cells is not None
    np.testing.assert_array_equal(field.labels, read_labels(results / "labels" / f"{name}.ome.tif"))
    assert set(field.masks) == {"tissue", "frame"}
    assert set(field.cells["label"]) == set(np.unique(field.labels)) - {0}
    assert field.planes == (0, 2)
    assert list(field.channels) == [c.marker for c in field.panel.channels]  # type: ignore[union-attr]
    mean = np.asarray(field.stack.data[1], dtype=float).mean(axis=0)
    np.testing.assert_allclose(list(field.picture.values())[1], mean, rtol=1e-6)


def test_a_study_not_yet_analysed_is_listed_and_opened(images: Path) -> None:
    opened = open_any(images)
    assert not opened.analysed
    rows = rows_of(opened, Reviews(None))
    assert [row.name for row in rows] == ["P1_week0", "P1_week1", "controls"]
    field = load_field(opened, opened.names[0])
    assert field.labels is None
    assert field.cells is None
    assert field.panel is not None
    assert field.panel.name == "apoptosis"


def test_results_of_another_version_are_shown_with_a_note_or_refused(copy: Path) -> None:
    edit_run(copy, imganalysis="9.9.9")
    (note,) = open_results(copy).notes
    assert "9.9.9" in note
    assert __version__ in note
    edit_run(copy, settings={"a_key_of_the_future": 1})
    with pytest.raises(StudyError, match=r"made by imganalysis 9\.9\.9.*Run the analysis again"):
        open_results(copy)


def test_a_folder_that_holds_no_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"run\.json"):
        open_results(tmp_path)


def test_images_that_were_moved_are_found_where_the_user_says(copy: Path, images: Path) -> None:
    record = json.loads((copy / "run.json").read_text())
    edit_run(copy, study=record["study"] | {"root": "/nowhere/at/all"})
    opened = open_results(copy)
    name = opened.names[0]
    with pytest.raises(UnreadableImageError, match="Locate images") as caught:
        load_field(opened, name)
    assert caught.value.reason == "moved"
    with pytest.raises(StudyError, match=r"does not hold the study's . image file"):
        opened.moved_to(copy)
    assert load_field(opened.moved_to(images), name).name == name


def test_labels_that_do_not_fit_are_left_out_with_a_note(copy: Path) -> None:
    opened = open_results(copy)
    name = opened.names[0]
    write_labels(copy / "labels" / f"{name}.ome.tif", np.ones((9, 9), np.uint32), PixelSize())
    field = load_field(opened, name)
    assert field.labels is None
    assert field.cells is not None
    assert any("9 x 9" in note and "left out" in note for note in field.notes)


def test_objects_without_a_row_are_told(copy: Path) -> None:
    opened = open_results(copy)
    name = opened.names[0]
    path = copy / "cells" / f"{name}.parquet"
    pd.read_parquet(path).iloc[2:].to_parquet(path)
    (note,) = load_field(opened, name).notes
    assert "no row in cells/ for 2 objects of labels/" in note


def test_files_of_a_field_that_are_gone_are_told(copy: Path) -> None:
    opened = open_results(copy)
    name = opened.names[0]
    assert load_field(opened, name).notes == ()
    (copy / "labels" / f"{name}.ome.tif").unlink()
    (note,) = load_field(opened, name).notes
    assert f"{copy} has no labels of it any more" in note
    (copy / "cells" / f"{name}.parquet").unlink()
    (note,) = load_field(opened, name).notes
    assert "no cells and no labels" in note
    assert "run the analysis again" in note


@pytest.mark.parametrize("fault", ["column", "bytes", "twice"])
def test_a_table_of_cells_that_is_wrong_is_told_and_the_picture_shown(
    copy: Path, fault: str
) -> None:
    opened = open_results(copy)
    name = opened.names[0]
    path = copy / "cells" / f"{name}.parquet"
    cells = pd.read_parquet(path)
    if fault == "column":
        cells.drop(columns="phenotype").to_parquet(path)
    elif fault == "twice":
        cells.assign(label=1).to_parquet(path)
    else:
        path.write_bytes(b"nothing")
    field = load_field(opened, name)
    assert field.cells is None
    assert field.labels is not None
    assert any(str(path) in note for note in field.notes)


def test_the_log_says_what_was_reviewed_and_knows_the_table_that_was_looked_at(
    study: tuple[Path, Path],
) -> None:
    root, out = study
    session = Session()
    opened = session.open(out)
    name, other = opened.names[0], opened.names[-1]
    assert reviews_of(session).state(name) == ""
    session.open_field(name)
    heard: list[str] = []
    session.reviewed.connect(heard.append)
    review(session, c.REVIEWED)
    assert reviews_of(session).state(name) == REVIEWED and heard == [name]
    (line,) = read_log(root / "corrections.jsonl").edits
    assert (line.kind, line.field, line.after["state"]) == (c.REVIEW, name, "reviewed")
    path = out / "cells" / f"{name}.parquet"
    pd.read_parquet(path).assign(phenotype="other").to_parquet(path)
    assert reviews_of(session).state(name) == CHANGED
    assert reviews_of(session).state(other) == ""

    # The editor writes and reads the same, and an undo of it is one here.
    editor = editor_of(session)
    editor.set_user("anna")
    editor.review(c.TO_LOOK_AT, "blur")
    assert reviews_of(session).state(name) == TO_LOOK_AT
    (row,) = (one for biopsy in rows_of(opened, reviews_of(session)) for one in biopsy.children
              if one.name == name)  # fmt: skip
    told = study_text(row, opened, reviews_of(session))
    assert "To look at, says anna" in told and "UTC: blur" in told
    editor.undo()
    assert reviews_of(session).state(name) == CHANGED and heard == [name] * 3
    review(session, c.OPEN)
    assert reviews_of(session).state(name) == "" and reviews_of(session).mark_of(name) is None
    assert len(read_log(root / "corrections.jsonl").edits) == 4


def test_marks_of_earlier_versions_hold_until_the_log_says_something(
    study: tuple[Path, Path],
) -> None:
    out = study[1]
    session = Session()
    opened = session.open(out)
    name, other = opened.names[0], opened.names[-1]
    old = {
        one: {"user": "bert", "time": "2026-01-02T03:04:05+00:00", "cells": seen}
        for one, seen in ((name, cells_hash(out, name)), (other, "of another table"))
    }
    (out / "review.json").write_text(json.dumps({"fields": old}), encoding="utf-8")
    marks = reviews_of(session)
    assert (marks.state(name), marks.state(other)) == (REVIEWED, CHANGED)
    assert marks.mark_of(name).user == "bert"  # type: ignore[union-attr]
    session.open_field(name)
    review(session, c.OPEN)
    assert (reviews_of(session).state(name), reviews_of(session).state(other)) == ("", CHANGED)
    assert json.loads((out / "review.json").read_text())["fields"] == old, "it is read, not written"
    (out / "review.json").write_text("[", encoding="utf-8")
    assert re.search(r"review\.json.*move it away", reviews_of(session).problem)


def test_a_review_that_cannot_be_written_is_an_error_and_no_state(
    study: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session()
    session.open(study[1])
    name = session.order[0]
    session.open_field(name)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("imganalysis.corrections._log.os.open", refuse)
    with pytest.raises(OutputError, match=r"corrections\.jsonl"):
        review(session, c.REVIEWED)
    assert reviews_of(session).mark_of(name) is None


def test_files_of_results_are_layers(results: Path) -> None:
    opened = open_results(results)
    name = opened.names[0]
    assert get_reader(str(results)) is read_results
    ((labels, keywords, kind),) = read_layers(str(results / "labels" / f"{name}.ome.tif"))
    assert kind == "labels"
    assert labels.dtype == np.uint32
    assert keywords["units"] == ("um", "um")
    features = keywords["features"].set_index("index")
    cells = pd.read_parquet(results / "cells" / f"{name}.parquet").set_index("label")
    counted = cells[cells["evaluable"]]
    assert (features.loc[counted.index, "class"] == counted["phenotype"]).all()
    path = results / "cells" / f"{name}.parquet"
    assert get_reader(str(path)) is read_table
    ((points, keywords, kind),) = read_table(str(path))
    assert kind == "points"
    np.testing.assert_array_equal(points, cells[["centroid_y_um", "centroid_x_um"]])
    assert get_reader(str(results / "death" / f"{name}_pairs.parquet")) is None


def test_without_a_viewer_results_are_the_layers_of_the_first_field(results: Path) -> None:
    layers = read_results(str(results))
    assert [kind for _, _, kind in layers] == ["image"] * 3 + ["labels", "points"]


def test_series_of_one_name_are_told_apart_by_their_turn(results: Path) -> None:
    opened = open_results(results)
    first = opened.fields.iloc[[0]]
    # The file has one series; the table says that two fields of that name are in it.
    both = pd.concat([first, first.assign(field="second")], ignore_index=True)
    opened = dataclasses.replace(opened, fields=both)
    assert opened.field(str(first["field"].iloc[0])).series == 0
    with pytest.raises(UnreadableImageError, match="holds no series"):
        opened.field("second")


def test_an_empty_study_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError):
        open_unanalysed(tmp_path)

"""A study with a log of corrections: the batch replays it, and what a viewer shows is the same."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from imganalysis import correction_session as session_module
from imganalysis import tables as t
from imganalysis import words
from imganalysis.annotated import pairs_of, read_annotated
from imganalysis.cli import app
from imganalysis.corrected_training import export_pair, plan_training
from imganalysis.correcting import load_corrections
from imganalysis.correction_session import CorrectionSession
from imganalysis.errors import AnnotationsError, CorrectionsError, OutputError
from imganalysis.io import read_labels
from imganalysis.opening import open_study
from imganalysis.pipeline import run_study
from imganalysis.results import labels_path, uncorrected_path
from imganalysis.settings import parse_settings
from imganalysis.stack import PixelSize

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

QUIET = parse_settings({"output": {"overlays": False, "quality": False}})
PIXEL = (0.465, 0.465)


@pytest.fixture(scope="module")
def study(small_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy that may be written to, without the panel that nothing is asked of."""
    root = tmp_path_factory.mktemp("corrected") / "study"
    shutil.copytree(small_study, root)
    for path in root.rglob("*infiltrate*"):
        path.unlink()
    return root


@pytest.fixture(scope="module")
def plain(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results without a log."""
    out = tmp_path_factory.mktemp("plain") / "out"
    run_study(open_study(study), out, QUIET, workers=1)
    return out


def fields_of(out: Path) -> pd.DataFrame:
    table = t.read_csv(out / "fields.csv")
    return table[table["role"] == "sample"].set_index("field")


def cells_of(out: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(out / "cells" / f"{name}.parquet")


def begin(study: Path, out: Path, user: str = "anna", **options: Any) -> tuple[Any, str]:
    """A session with the first sample field open."""
    session = CorrectionSession(open_study(study), user=user, results=out, **options)
    fields = fields_of(out)
    name = str(fields.index[0])
    labels = read_labels(labels_path(out, name))
    session.open_field(name, labels, PIXEL, fields.loc[name, "sha256"])
    return session, name


@pytest.fixture
def own(study: Path, tmp_path: Path) -> Iterator[Path]:
    """A log of its own for each test, and no outlines."""
    yield tmp_path / "corrections.jsonl"
    shutil.rmtree(study / "annotations", ignore_errors=True)


@pytest.fixture(scope="module")
def corrected(
    study: Path, plain: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """Results with a log of every kind of edit, one of which is lost, and what was done."""
    folder = tmp_path_factory.mktemp("with_log")
    session, name = begin(study, plain, log=folder / "corrections.jsonl")
    table = cells_of(plain, name)
    table = table[table[t.EVALUABLE] & (table["phenotype"] != "unresolved")]
    inner = table[table[t.AREA].between(40, 200)][t.LABEL].tolist()
    a, b, c, d, e, f = inner[:6]
    before = dict(zip(table[t.LABEL], table["phenotype"], strict=True))
    to = "tumour_apoptotic" if before[a] != "tumour_apoptotic" else "tumour_vital"
    session.change_class(name, session.cell(name, a), to, before=before[a], why="=condensed")
    session.delete(name, session.cell(name, b), why="debris")
    session.merge(name, [session.cell(name, c), session.cell(name, d)])
    cell = session.cell(name, e)
    session.split(name, cell, line=[(cell.x, cell.y - 20), (cell.x, cell.y + 20)])
    session.delete(name, session.cell(name, f))
    session.undo()
    lost = session.cell(name, f)
    wrong = type(lost)(lost.label + 1, lost.x, lost.y)
    with pytest.raises(CorrectionsError):
        session.delete(name, wrong)
    # An edit of a segmentation that is no more.
    other = np.where(session.labels(name) > 0, session.labels(name) + 1000, 0).astype(np.uint32)
    again = CorrectionSession(open_study(study), folder, user="bert", results=plain)
    again.open_field(name, other, PIXEL, session._opened(name).digest)
    again.delete(name, again.cell(name, f + 1000), why="of another segmentation")
    session.refresh()
    session.review(name, "reviewed", note="complete")
    out = folder / "out"
    run_study(open_study(study), out, QUIET, corrections_file=folder, workers=1)
    said = {"name": name, "class": (a, to, before[a]), "gone": b, "merged": (c, d),
            "split": e, "kept": f, "session": session, "log": folder}  # fmt: skip
    return out, said


def test_without_a_log_nothing_speaks_of_corrections(plain: Path) -> None:
    assert not (plain / "corrections.csv").exists()
    assert not (plain / "labels" / "uncorrected").exists()
    assert "corrections" not in json.loads((plain / "run.json").read_text())
    for path in plain.glob("*.csv"):
        head = path.read_text(encoding="utf-8-sig").splitlines()[0]
        assert "correct" not in head and "phenotype_rules" not in head
    for path in (plain / "cells").glob("*.parquet"):
        assert not {"corrected", "phenotype_rules"} & set(pd.read_parquet(path).columns)


def test_edits_reach_the_tables(corrected: tuple[Path, dict[str, Any]]) -> None:
    out, said = corrected
    cells = cells_of(out, said["name"]).set_index(t.LABEL)
    label, to, rules = said["class"]
    row = cells.loc[label]
    assert (row["phenotype"], row["phenotype_rules"], row["corrected"]) == (to, rules, "class")
    assert row["why"].endswith(f"; corrected to {to} by anna: =condensed")
    assert said["gone"] not in cells.index
    assert said["merged"][1] not in cells.index
    assert cells.loc[said["merged"][0], "corrected"] == "merged"
    parts = cells[cells["corrected"] == "split"]
    assert len(parts) == 2 and said["split"] in parts.index
    assert said["kept"] in cells.index, "what was undone is there"
    others = cells[cells["corrected"] == ""]
    assert (others["phenotype"] == others["phenotype_rules"]).all()
    assert not {"class_given", "class_note"} & set(cells.columns)


def test_every_edit_is_accounted_for(corrected: tuple[Path, dict[str, Any]]) -> None:
    out, said = corrected
    fields = fields_of(out)
    assert fields.loc[said["name"], ["n_corrections", "n_corrections_lost"]].tolist() == [4, 1]
    assert "corrections_lost" in fields.loc[said["name"], "flags"]
    other = fields.drop(said["name"])
    assert (other[["n_corrections", "n_corrections_lost"]] == 0).all(axis=None)
    biopsy = t.read_csv(out / "biopsies.csv").iloc[0]
    assert biopsy["n_corrected"] == 4
    assert "corrections_lost" in biopsy["flags"].split(";")
    table = t.read_csv(out / "corrections.csv", keep_default_na=False)
    assert list(table.columns) == list(t.CORRECTION_COLUMNS)
    status = ["applied"] * 4 + ["undone", "lost", "noted"]
    assert table["status"].tolist() == status
    assert table["why"].iloc[0] == "'=condensed", "no formula for a spreadsheet"
    assert table["reason"].iloc[5] == "no_such_label"
    assert set(table["reason"]) - {""} <= set(words.LOST)
    record = json.loads((out / "run.json").read_text())["corrections"]
    assert record["lines"] == 8 and len(record["sha256"]) == 64


def test_labels_are_kept_before_and_after(
    corrected: tuple[Path, dict[str, Any]], plain: Path
) -> None:
    out, said = corrected
    name = said["name"]
    found = read_labels(labels_path(out, name))
    assert (read_labels(uncorrected_path(out, name)) == read_labels(labels_path(plain, name))).all()
    assert (found == said["session"].labels(name)).all(), "the viewer and the batch agree"
    assert len(list((out / "labels" / "uncorrected").iterdir())) == 1


def test_the_same_log_gives_the_same_bytes(
    corrected: tuple[Path, dict[str, Any]], study: Path, tmp_path: Path
) -> None:
    out, said = corrected
    again = tmp_path / "again"
    run_study(open_study(study), again, QUIET, corrections_file=said["log"], workers=2)
    compared = [p for p in out.rglob("*") if p.suffix in (".csv", ".parquet", ".tif")]
    assert len(compared) > 10
    for path in compared:
        assert path.read_bytes() == (again / path.relative_to(out)).read_bytes(), path.name


def test_a_session_knows_what_the_results_hold(
    corrected: tuple[Path, dict[str, Any]], study: Path
) -> None:
    out, said = corrected
    name = said["name"]
    session = CorrectionSession(open_study(study), said["log"], user="anna", results=out)
    assert session.pending() == ()
    session.open_field(name, read_labels(uncorrected_path(out, name)), PIXEL)
    assert (session.labels(name) == read_labels(labels_path(out, name))).all()
    table = session.corrected_classes()
    assert list(table.columns) == ["field", "label", "x_um", "y_um", "class", "user", "time"]
    assert table[["field", "label", "class", "user"]].to_numpy().tolist() == [
        [name, said["class"][0], said["class"][1], "anna"]
    ]
    cells = cells_of(out, name).set_index(t.LABEL).loc[said["class"][0]]
    away = np.hypot(cells[t.X] - table["x_um"][0], cells[t.Y] - table["y_um"][0])
    assert away < 1.0, "in the coordinates of centroids"
    assert session.review_state(name) == ("reviewed", "complete")


def test_undo_and_redo_step_through_a_users_own_edits(plain: Path, study: Path, own: Path) -> None:
    session, name = begin(study, plain, log=own)
    first = session.labels(name).copy()
    label = int(first[first > 0][0])
    session.delete(name, session.cell(name, label))
    session.review(name, "to_look_at")
    assert [e.kind for e in session.pending()] == ["nucleus_deleted"]
    assert session.n_corrections() == session.n_corrections(name) == 1
    session.undo()
    assert session.review_state(name) == ("open", "")
    session.undo(name)
    assert (session.labels(name) == first).all() and session.pending() == ()
    assert session.undo() is None
    session.redo()
    assert not (session.labels(name) == label).any()
    bert, _ = begin(study, plain, "bert", log=own)
    assert bert.undo() is None, "of others nothing is undone"
    assert (bert.labels(name) == session.labels(name)).all()
    session.undo()
    with pytest.raises(CorrectionsError, match="anna changed"):
        bert.review(name, "reviewed")
    bert.refresh()
    assert (bert.labels(name) == first).all()
    bert.review(name, "reviewed")


def test_outlines_go_to_the_file_that_the_batch_reads(plain: Path, study: Path, own: Path) -> None:
    path = study / "annotations" / f"{fields_of(plain).index[0]}.geojson"
    path.parent.mkdir()
    necrosis = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]},
                "properties": {"classification": {"name": "Necrosis"}}}  # fmt: skip
    content = {"type": "FeatureCollection", "unit": "pixel", "features": [necrosis]}
    path.write_text(json.dumps(content))
    session, name = begin(study, plain, log=own)
    square = [(9.3, 9.3), (46.5, 9.3), (46.5, 46.5), (9.3, 46.5)]
    session.outline(name, "tumour", square, why="nest")
    features = json.loads(path.read_text())["features"]
    assert features[0] == necrosis, "what others wrote stays"
    assert features[1]["geometry"]["coordinates"][0][0] == [20.0, 20.0]
    written = path.read_bytes()
    session.undo()
    assert json.loads(path.read_text())["features"] == [necrosis]
    session.redo()
    assert path.read_bytes() == written
    session.remove_outline(name, "tumour", square)
    assert json.loads(path.read_text())["features"] == [necrosis]
    session.undo()
    assert path.read_bytes() == written
    with pytest.raises(CorrectionsError, match="holds no such outline of vessel"):
        session.remove_outline(name, "vessel", square)
    with pytest.raises(CorrectionsError, match=r"reaches from 9\.3 to 999 um") as error:
        session.outline(name, "vessel", [(9.3, 1), (999, 1), (20, 20)])
    assert error.value.reason == "outside"
    with pytest.raises(CorrectionsError, match="unknown region 'bone'"):
        session.outline(name, "bone", square)
    kept = len(session.log.edits)
    path.write_text("{")
    with pytest.raises(AnnotationsError, match="not GeoJSON"):
        session.outline(name, "vessel", square)
    assert len(session.log.edits) == kept


def test_an_outline_that_a_crash_kept_from_its_file_is_written_at_the_next_start(
    plain: Path, study: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, name = begin(study, plain, log=own)

    def crash(path: Path, text: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(session_module, "write_outlines", crash)
    with pytest.raises(KeyboardInterrupt):
        session.outline(name, "exclude", [(10, 10), (30, 10), (30, 30)])
    path = study / "annotations" / f"{name}.geojson"
    assert not path.exists()
    again, _ = begin(study, plain, log=own)
    assert "was in the log only; written now" in again.notes[0]
    assert path.exists()
    assert begin(study, plain, log=own)[0].notes == ()


def test_what_does_not_fit_is_refused_and_not_written(plain: Path, study: Path, own: Path) -> None:
    session, name = begin(study, plain, log=own)
    label = int(session.labels(name)[session.labels(name) > 0][0])
    cell = session.cell(name, label)
    with pytest.raises(CorrectionsError, match="no class of the field's panel") as error:
        session.change_class(name, cell, "martian")
    assert error.value.reason == "unknown_class"
    with pytest.raises(CorrectionsError, match="no nucleus 99999"):
        session.cell(name, 99999)
    with pytest.raises(CorrectionsError, match="no field nowhere"):
        session.review("nowhere", "reviewed")
    with pytest.raises(CorrectionsError, match="open the field before"):
        session.delete(str(fields_of(plain).index[1]), cell)
    with pytest.raises(CorrectionsError, match="expected a state of"):
        session.review(name, "fine")
    with pytest.raises(CorrectionsError, match="expected a line or markers"):
        session.split(name, cell)
    with pytest.raises(CorrectionsError, match="one is named twice"):
        session.merge(name, [cell, cell])
    assert session.cell_at(name, -5.0, 3.0) is None
    assert not own.exists() or own.read_bytes() == b""


def test_a_log_that_cannot_be_written_keeps_the_labels_as_they_were(
    plain: Path, study: Path, own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, name = begin(study, plain, log=own)
    before = session.labels(name).copy()

    def refuse(*_: Any) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", refuse)
    with pytest.raises(OutputError, match=r"Permission denied\) and is not kept; name a log in"):
        session.delete(name, session.cell(name, int(before[before > 0][0])))
    monkeypatch.undo()
    assert (session.labels(name) == before).all() and session.edits() == ()


def test_a_field_that_moved_is_found_by_its_content_and_another_image_is_not(
    plain: Path, study: Path, own: Path, tmp_path: Path
) -> None:
    session, name = begin(study, plain, log=own)
    session.review(name, "reviewed")
    labels = session.labels(name)
    session.delete(name, session.cell(name, int(labels[labels > 0][0])))
    moved = tmp_path / "moved"
    shutil.copytree(study, moved)
    image = next(f.path for f in open_study(study).fields if f.name == name)
    place = moved / image.relative_to(study)
    place.rename(place.with_name("A apoptosis 9.ome.tif"))
    found = load_corrections(own, open_study(moved))
    assert found is not None and list(found.by_field) != [name] and not found.strays
    place.with_name("A apoptosis 9.ome.tif").unlink()
    with pytest.raises(CorrectionsError, match="a log of another study"):
        load_corrections(own, open_study(moved))


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "no such log of corrections"), (b"x\n", "line 1: not a line of corrections")],
)
def test_the_command_line_says_what_is_wrong_with_a_log(
    study: Path, own: Path, content: bytes | None, said: str
) -> None:
    if content is not None:
        own.write_bytes(content)
    result = CliRunner().invoke(
        app, ["run", str(study), "-o", str(own.parent / "o"), "--corrections", str(own.parent),
              "--dry-run"],
    )  # fmt: skip
    assert isinstance(result.exception, CorrectionsError)
    assert said in str(result.exception)


def test_reviewed_fields_alone_become_training_pairs(plain: Path, study: Path, own: Path) -> None:
    session, name = begin(study, plain, log=own)
    opened = open_study(study)
    labels = session.labels(name)
    session.delete(name, session.cell(name, int(labels[labels > 0][0])))
    plan = plan_training(opened, session.log.edits)
    assert (plan.fields, plan.waiting) == ((), (name,))
    assert "No field is reviewed as complete; 1 field with corrections not yet" in plan.text
    image = np.ones(labels.shape, np.float32)
    size = PixelSize(None, *PIXEL, origin="file")
    folder = own.parent / "training"
    with pytest.raises(CorrectionsError, match="its review is 'open'"):
        export_pair(folder, name, image, session.labels(name), size, session.log.edits)
    session.review(name, "reviewed")
    plan = plan_training(opened, session.log.edits)
    assert (plan.fields, plan.waiting, plan.n_nuclei) == ((name,), (), 1)
    assert plan.text.startswith("1 reviewed field with 1 correction of nuclei")
    export_pair(folder, name, image, session.labels(name), size, session.log.edits)
    pairs, alone = pairs_of(folder / "images", folder / "masks")
    assert alone == () and len(pairs) == 1
    pixels, outlined, read = read_annotated(*pairs[0])
    assert (outlined == session.labels(name)).all() and (pixels == 1).all()
    assert read.y == pytest.approx(PIXEL[0])

"""The Corrections and Train widgets, driven as a hand would; the tables are those of the core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import distance_transform_edt

from imganalysis import tables as t
from imganalysis.annotations import read_annotations
from imganalysis.corrections import read_log
from imganalysis.opening import open_study
from imganalysis.pipeline import run_study
from imganalysis.results import CALIBRATION, cells_path, labels_path
from imganalysis.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Add = Callable[[str], Any]

pytestmark = pytest.mark.usefixtures("screen")
SLOW = 120_000  # ms, for a thread on a busy machine


def event(kind: str, position: Any, *, dragging: bool = False) -> Any:
    from napari.utils._test_utils import read_only_mouse_event

    return read_only_mouse_event(
        type=kind, is_dragging=dragging, button=1, modifiers=[], position=tuple(position),
        pos=np.asarray(position[-2:]) * 8.0,
    )  # fmt: skip


def drag(target: Any, places: Any) -> None:
    """Press, move and let go over a layer or the viewer, at places (y, x) in um as napari has."""
    from napari.utils.interactions import (
        mouse_move_callbacks,
        mouse_press_callbacks,
        mouse_release_callbacks,
    )

    mouse_press_callbacks(target, event("mouse_press", places[0]))
    for place in places[1:]:
        mouse_move_callbacks(target, event("mouse_move", place, dragging=True))
    mouse_release_callbacks(target, event("mouse_release", places[-1]))


def middle(session: Any, label: int) -> tuple[float, float]:
    """Middle (y, x) of a nucleus in um as napari has: from the middle of the first pixel."""
    row = session.field.cell(label)
    return float(row[t.Y]), float(row[t.X])


def press(viewer: Any, key: str) -> None:
    """What napari makes of a key over the picture."""
    from napari.utils.key_bindings import KeymapHandler

    handler = KeymapHandler()
    active = viewer.layers.selection.active
    handler.keymap_providers = [viewer] if active is None else [active, viewer]
    handler.press_key(key)


def inner(session: Any) -> list[int]:
    cells = session.cells
    good = cells[cells[t.EVALUABLE] & cells[t.AREA].between(30, 400)]
    return [int(n) for n in good[t.LABEL]]


def done(widget: Any, qtbot: Any) -> None:
    """Wait until the table has followed."""
    qtbot.waitUntil(lambda: widget._worker is None, timeout=SLOW)
    widget._finish()
    qtbot.waitUntil(lambda: widget._finisher is None and not widget._editor.behind, timeout=SLOW)


def test_the_walk_find_the_flagged_field_correct_two_cells_and_run_again(
    viewer: Any, add: Add, session: Any, study: tuple[Path, Path], qtbot: Any, tmp_path: Path,
    messages: list[tuple[str, str]],
) -> None:  # fmt: skip
    from qtpy.QtCore import Qt

    root, out = study
    listed, widget, cells = add("Study"), add("Corrections"), add("Cells")
    assert "Open a field" in widget.problem.text()
    listed.open(out)
    fields = t.read_csv(out / "fields.csv", keep_default_na=False)
    flagged = fields[(fields["flags"] != "") & (fields["status"] == "analysed")]
    name = str(flagged["field"].iloc[0])
    session.open_field(name)
    assert widget.problem.text() == ""
    assert list(widget.classes) == [*session.field.panel.classes, "unresolved"]

    # A cell is clicked, and its class changed by a button and by a key.
    first, second = inner(session)[:2]
    widget.user.setText("")
    widget.user.editingFinished.emit()
    drag(viewer, [middle(session, first)])
    assert session.label == first and f"<b>{first}</b>" in widget.cell.text()
    other = next(n for n in widget.classes if n not in (session.field.cell(first)[t.PHENOTYPE],
                                                        "unresolved"))  # fmt: skip
    qtbot.mouseClick(widget.classes[other], Qt.MouseButton.LeftButton)
    assert messages[-1][0] == "error" and "Say who you are" in messages[-1][1]
    widget.user.setText("anna")
    widget.user.editingFinished.emit()
    widget.why.setText("condensed")
    qtbot.mouseClick(widget.classes[other], Qt.MouseButton.LeftButton)
    assert session.field.cell(first)[t.PHENOTYPE] == other
    assert widget.classes[other].isChecked() and widget.why.text() == ""
    row = cells.model.row_of(first)
    shown = {cells.model.index(row, c).data() for c in range(cells.model.columnCount())}
    assert other in shown, "the table of cells follows"
    drag(viewer, [middle(session, second)])
    press(viewer, f"Alt-{len(widget.classes)}")
    assert session.field.cell(second)[t.PHENOTYPE] == "unresolved"
    log = read_log(root / "corrections.jsonl").edits
    assert [(e.user, e.why, e.after["class"]) for e in log] == [
        ("anna", "condensed", other), ("anna", "", "unresolved"),
    ]  # fmt: skip
    assert log[0].before["class"] != other

    # Undo and redo by keys, with our labels active and with a channel active.
    press(viewer, "Control-Z")
    assert session.field.cell(second)[t.PHENOTYPE] != "unresolved"
    assert widget.edits.topLevelItem(0).font(0).strikeOut()
    viewer.layers.selection.active = viewer.layers[0]
    press(viewer, "Control-Shift-Z")
    assert session.field.cell(second)[t.PHENOTYPE] == "unresolved"
    assert not widget.edits.topLevelItem(0).font(0).strikeOut()

    # napari's own undo of labels that the user paints stays.
    mine = viewer.add_labels(np.zeros((20, 20), np.uint8), name="mine")
    mine.paint((5, 5), 1)
    edits = len(read_log(root / "corrections.jsonl").edits)
    press(viewer, "Control-Z")
    assert not mine.data.any()
    assert len(read_log(root / "corrections.jsonl").edits) == edits
    viewer.layers.remove(mine)

    qtbot.mouseClick(widget.reviews[0], Qt.MouseButton.LeftButton)
    assert widget.reviews[0].isChecked() and not widget.reviews[2].isChecked()
    assert listed.seen.isChecked(), "the list of the study knows it"

    settings = Settings.model_validate({
        "segmentation": {"method": "scikit-image"}, "gating": {"min_control_cells": 20},
        "output": {"overlays": False, "quality": False, "cells_csv": True},
    })  # fmt: skip
    again = tmp_path / "again"
    run_study(open_study(root), again, settings, workers=1, corrections_file=root,
              calibration_file=out / CALIBRATION)  # fmt: skip
    theirs = pd.read_parquet(cells_path(again, name))
    for column in theirs.columns:
        left, right = session.cells[column].reset_index(drop=True), theirs[column]
        if left.dtype.name == "category":
            left, right = left.astype(str), right.astype(str)
        pd.testing.assert_series_equal(left, right, check_exact=True, check_dtype=False)
    del widget, cells, listed
    viewer.window.remove_dock_widget("all")
    qtbot.wait(50)
    press(viewer, "Control-Z")
    assert len(read_log(root / "corrections.jsonl").edits) == edits + 1, "the keys went with it"


def of_anna(add: Add, session: Any, out: Path) -> Any:
    """The widget of corrections, with a field of nuclei and tumour open."""
    widget = add("Corrections")
    session.open(out)
    session.open_field(next(n for n in session.opened.names if "A_apoptosis" in n))
    widget.user.setText("anna")
    return widget


def test_nuclei_and_regions_are_drawn_in_the_picture(
    viewer: Any, add: Add, session: Any, study: tuple[Path, Path], qtbot: Any,
    messages: list[tuple[str, str]],
) -> None:  # fmt: skip
    from qtpy.QtCore import Qt

    root, out = study
    widget = of_anna(add, session, out)
    name = session.field.name
    editor = widget._editor
    assert not viewer.layers["nuclei"].editable, "what is painted there is on no record"
    first, second, third = inner(session)[:3]

    # Delete; the picture follows at once, the table by a thread.
    session.select(first)
    qtbot.mouseClick(widget.delete, Qt.MouseButton.LeftButton)
    assert not (viewer.layers["nuclei"].data == first).any()
    assert session.label == 0 and "Measuring" in widget.state.text()
    done(widget, qtbot)
    assert first not in session.cells[t.LABEL].tolist()
    assert "up to date" in widget.state.text()

    # Merge: the chosen one and the next that is clicked.
    session.select(second)
    qtbot.mouseClick(widget.merge, Qt.MouseButton.LeftButton)
    drag(viewer, [middle(session, third)])
    qtbot.waitUntil(lambda: session.label == second, timeout=5000)
    assert not widget.merge.isChecked() and messages == []
    assert third not in session.cells[t.LABEL].tolist()

    # Split along a line that is dragged: the other half is new.
    whole = inner(session)[5]
    y, x = middle(session, whole)
    qtbot.mouseClick(widget.split_line, Qt.MouseButton.LeftButton)
    assert widget.hint.text() and viewer.layers.selection.active.name == "drawing"
    drag(viewer.layers["drawing"], [(y + step, x) for step in range(-12, 13, 2)])
    qtbot.waitUntil(lambda: len(editor.core.edits(name)) == 3, timeout=5000)
    assert len(viewer.layers["drawing"].data) == 0, "ready for the next"
    new = editor.core.edits(name)[-1].new_labels
    assert new and set(new) <= set(session.cells[t.LABEL])
    qtbot.mouseClick(widget.split_line, Qt.MouseButton.LeftButton)
    assert "drawing" not in viewer.layers
    press(viewer, "Control-Z")

    # Split at the waist between two clicks; two that lie apart are told.
    qtbot.mouseClick(widget.split_points, Qt.MouseButton.LeftButton)
    viewer.layers["drawing"].add([[5.0, 5.0], [150.0, 150.0]])
    qtbot.waitUntil(lambda: "click twice into one" in str(messages[-1:]), timeout=5000)
    area = np.argwhere(session.field.labels == whole)
    ends = area[[0, -1]].astype(float)
    for end in ends:
        viewer.layers["drawing"].add(end)
    qtbot.waitUntil(lambda: editor.core.edits(name)[-1].kind == "nucleus_split", timeout=5000)

    # Draw around a nucleus; what lies outside is refused, and nothing is lost.
    qtbot.mouseClick(widget.draw, Qt.MouseButton.LeftButton)
    assert not widget.split_points.isChecked()
    free = np.argwhere(session.field.labels[30:-30, 30:-30] == 0)[300] + 30
    cy, cx = free * 0.465
    turns = np.linspace(0, 2 * np.pi, 24)
    drag(viewer.layers["drawing"], [(cy + 4 * np.sin(a), cx + 4 * np.cos(a)) for a in turns])
    qtbot.waitUntil(lambda: editor.core.edits(name)[-1].kind == "nucleus_drawn", timeout=5000)
    drawn = editor.core.edits(name)[-1].new_labels[0]
    count = int((session.field.labels == drawn).sum())
    assert 0.5 < count * 0.465**2 / (np.pi * 16) <= 1.1
    before = len(editor.core.log.edits)
    drag(viewer.layers["drawing"], [(500 + 4 * np.sin(a), 4 * np.cos(a)) for a in turns])
    qtbot.waitUntil(lambda: "the image" in messages[-1][1], timeout=5000)
    assert len(editor.core.log.edits) == before
    assert session.cells[t.LABEL].tolist().count(drawn) == 1

    # The layer that is drawn into is removed: the tool ends, nothing breaks.
    viewer.layers.remove("drawing")
    assert not widget.draw.isChecked() and widget.hint.text() == ""
    viewer.layers.remove("nuclei")
    session.select(drawn)
    qtbot.mouseClick(widget.delete, Qt.MouseButton.LeftButton)
    assert drawn not in session.cells[t.LABEL].tolist()

    # A region: the file that the batch reads.
    widget.region.setCurrentText("vessel")
    qtbot.mouseClick(widget.outline, Qt.MouseButton.LeftButton)
    viewer.layers["drawing"].add([[20, 20], [20, 90], [80, 90], [80, 20]], shape_type="polygon")
    file = root / "annotations" / f"{name}.geojson"
    qtbot.waitUntil(file.is_file, timeout=5000)
    found = read_annotations(file, session.field.labels.shape, (0.465, 0.465))
    assert found[0].kind == "vessel"
    np.testing.assert_allclose(found[0].polygons[0][0][0], (20.5 * 0.465, 20.5 * 0.465), atol=1e-3)
    assert viewer.layers["regions"].data[0][0].tolist() == pytest.approx([20, 20], abs=0.01)
    done(widget, qtbot)
    qtbot.mouseClick(widget.remove, Qt.MouseButton.LeftButton)
    assert "regions" not in viewer.layers
    done(widget, qtbot)
    kinds = [edit.kind for edit in read_log(root / "corrections.jsonl").edits]
    assert kinds[-2:] == ["region_outlined", "region_removed"]
    # Nothing is kept in memory only: opened again, all of it is there.
    labels = session.field.labels.copy()
    session.open(out)
    session.open_field(name)
    assert (session.field.labels == labels).all()
    done(widget, qtbot)


def test_what_goes_wrong_in_a_thread_is_told_and_the_next_edit_tries_again(
    viewer: Any, add: Add, session: Any, study: tuple[Path, Path], qtbot: Any,
    messages: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from qtpy.QtCore import Qt

    _, out = study
    widget = of_anna(add, session, out)
    labels = inner(session)

    def delete(label: int) -> None:
        session.select(label)
        qtbot.mouseClick(widget.delete, Qt.MouseButton.LeftButton)

    delete(labels[0])
    done(widget, qtbot)
    for error, said in ((OSError(5, "Input/output error"), "Input/output error"),
                        (ValueError("odd"), "odd); its edits are in the log")):  # fmt: skip

        def refuse(*_: object, wrong: Exception = error) -> None:
            raise wrong

        with monkeypatch.context() as patch:
            patch.setattr(type(widget._editor), "finish_job", lambda _: (0, refuse))
            delete(labels.pop())
            widget._finish()
            qtbot.waitUntil(lambda: widget._finisher is None, timeout=SLOW)
            widget._later.stop()
        assert messages[-1][0] == "error"
        assert said in messages[-1][1]
    delete(labels.pop())
    done(widget, qtbot)
    assert "up to date" in widget.state.text()


def test_corrections_become_pairs_and_a_recipe(
    viewer: Any, add: Add, session: Any, study: tuple[Path, Path], qtbot: Any, tmp_path: Path,
    messages: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from napari_imganalysis import _training

    from imganalysis.annotated import pairs_of, read_annotated
    from imganalysis.training_data import read_recipe

    _, out = study
    widget = add("Train")
    assert widget.nuclei.text() == "Open the results of a study."
    session.open(out)
    editor = widget._editor
    editor.set_user("anna")
    names = [n for n in session.opened.names if "_apoptosis" in n and not n.startswith("secondary")]
    assert not widget.export_button.isEnabled() and "No field is reviewed" in widget.nuclei.text()
    for name in names:
        session.open_field(name)
        label = inner(session)[0]
        known = session.field.cell(label)[t.PHENOTYPE]
        editor.change_class(label, "non_tumour" if known != "non_tumour" else "unresolved")
        editor.review("reviewed")
    assert widget.nuclei.text().startswith(f"{len(names)} reviewed field")
    assert widget.classes.text().startswith(f"{len(names)} corrected cell")
    editor.delete(inner(session)[1], "debris")
    assert "nuclei edited since the run" in widget.classes.text()

    folder = tmp_path / "train"
    widget.export_to(folder)
    qtbot.waitUntil(lambda: widget._worker is None, timeout=SLOW)
    assert widget.prepared is not None, messages
    pairs, alone = pairs_of(folder / "images", folder / "masks")
    assert len(pairs) == len(names) and alone == ()
    image, labels, size = read_annotated(*next(p for p in pairs if names[-1] in p[0].name))
    assert (labels == session.field.labels).all() and image.std() > 0
    assert size.y == pytest.approx(0.465)
    recipe = read_recipe(folder / "recipe.yaml")
    assert recipe.start == "nuclei"
    assert str(folder / "recipe.yaml") in widget.command.text()
    widget.export_to(folder)
    qtbot.waitUntil(lambda: widget._worker is None, timeout=SLOW)
    assert "is there already" in messages[-1][1]

    # Two cells of two patients are no training of a classifier: the core says what is needed.
    widget.learn_to(tmp_path / "c.json")
    qtbot.waitUntil(lambda: widget._worker is None, timeout=SLOW)
    assert messages[-1][0] == "error" and not (tmp_path / "c.json").exists()

    # A training that is stopped says so, and goes on the next time.
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    small = (folder / "recipe.yaml").read_text().replace("steps: 1500", "steps: 400")
    (folder / "recipe.yaml").write_text(small.replace("- 144\n  - 176", "- 32\n  - 32"))
    monkeypatch.setattr(_training, "STEPS", 400)
    widget.train_button.click()
    qtbot.waitUntil(lambda: widget._going.step == "Training" and widget._going.done > 0,
                    timeout=SLOW)  # fmt: skip
    widget.stop_button.click()
    qtbot.waitUntil(lambda: widget._worker is None, timeout=SLOW)
    assert "stopped" in widget.result.toPlainText(), messages
    assert (folder / "trained" / "checkpoint.pt").is_file()
    assert labels_path(out, names[0]).is_file()


def test_a_missed_nucleus_is_drawn_as_any_closed_shape(
    viewer: Any, add: Add, session: Any, study: tuple[Path, Path], qtbot: Any,
    messages: list[tuple[str, str]],
) -> None:  # fmt: skip
    from qtpy.QtCore import Qt

    root, out = study
    widget = of_anna(add, session, out)
    name = session.field.name
    editor = widget._editor
    free = distance_transform_edt(session.field.labels == 0)
    size = 0.465

    def place() -> tuple[float, float]:
        """Take the middle of a free square, in um, and leave it to no other shape."""
        y, x = (int(i) for i in np.unravel_index(np.argmax(free[15:-15, 15:-15]), (178, 178)))
        y, x = y + 15, x + 15
        assert free[y, x] > 8
        free[y - 9 : y + 10, x - 9 : x + 10] = 0
        return y * size, x * size

    def drawn(n: int) -> float:
        """Wait for the nucleus; gives its area in um2."""
        qtbot.waitUntil(lambda: len(editor.core.edits(name)) == n, timeout=5000)
        edit = read_log(root / "corrections.jsonl").edits[-1]
        assert edit.kind == "nucleus_drawn" and edit.user == "anna"
        label = editor.core.edits(name)[-1].new_labels[0]
        return float((session.field.labels == label).sum()) * size**2

    qtbot.mouseClick(widget.draw, Qt.MouseButton.LeftButton)
    pen = viewer.layers["drawing"]
    for n, (shape, share) in enumerate((("ellipse", np.pi / 4), ("rectangle", 1.0)), start=1):
        widget.shape.setCurrentText(shape)
        pen = viewer.layers["drawing"]
        assert shape in str(pen.mode) and shape in widget.hint.text()
        y, x = place()
        drag(pen, [(y - 2, x - 2.5), (y, x), (y + 2, x + 2.5)])
        assert drawn(n) == pytest.approx(4 * 5 * share, rel=0.15)
    # An ellipse that is turned, and a polygon, as napari keeps them.
    y, x = (v / size for v in place())
    pen.add([[y - 8, x], [y, x + 4], [y + 8, x], [y, x - 4]], shape_type="polygon")
    assert drawn(3) == pytest.approx(64 * size**2, rel=0.2)
    y, x = (v / size for v in place())
    turned = [[y - 7, x - 3], [y - 3, x - 7], [y + 7, x + 3], [y + 3, x + 7]]
    pen.add(turned, shape_type="ellipse")
    assert drawn(4) == pytest.approx(np.pi / 4 * 80 * size**2, rel=0.2), "4 by 10, times root 2"
    assert messages == []

    # What goes round nothing, and a click without a drag, are refused with what to do.
    for shape, wanted in (("path", "A path goes round nothing; draw a closed shape: lasso, "),
                          ("line", "A line goes round nothing")):  # fmt: skip
        pen.mode = f"add_{shape}"
        pen.add([[y, x], [y + 9, x + 9]], shape_type=shape)
        qtbot.waitUntil(lambda: bool(messages), timeout=5000)
        assert wanted in messages.pop()[1]
        assert str(pen.mode) == "add_rectangle" and len(pen.data) == 0
    pen.add([[y, x], [y, x + 1], [y + 1, x + 1], [y + 1, x]], shape_type="rectangle")
    qtbot.waitUntil(lambda: bool(messages), timeout=5000)
    assert "under 3 pixels wide" in messages.pop()[1]
    qtbot.mouseClick(widget.split_line, Qt.MouseButton.LeftButton)
    viewer.layers["drawing"].add([[0, 0], [0, 9], [9, 9], [9, 0]], shape_type="ellipse")
    qtbot.waitUntil(lambda: bool(messages), timeout=5000)
    assert "A line was expected, not an ellipse" in messages.pop()[1]
    assert len(editor.core.edits(name)) == 4
    done(widget, qtbot)

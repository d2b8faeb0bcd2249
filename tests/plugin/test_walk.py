"""The walk of a user from the flagged field to the table of biopsies, by mouse and keys alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from imganalysis import tables as t
from imganalysis.cli import app
from imganalysis.corrections import read_log

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("screen")
SLOW = 240_000  # ms, for a run on a busy machine


def click(qtbot: Any, widget: Any) -> None:
    from qtpy.QtCore import Qt

    qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)


def click_item(qtbot: Any, view: Any, index: Any, *, double: bool = False) -> None:
    """Click into a row of a list or table, where it is seen."""
    from qtpy.QtCore import Qt

    view.scrollTo(index)
    place = view.visualRect(index).center()
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place)
    if double:
        qtbot.mouseDClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place)


def click_picture(qtbot: Any, viewer: Any, y: float, x: float) -> None:
    """Click the canvas over a place in um."""
    from napari_imganalysis._versions import camera_of
    from qtpy.QtCore import QPoint, Qt

    canvas = viewer.window._qt_viewer.canvas.native
    camera = camera_of(viewer)
    at = [
        n / 2 + (v - c) * camera.zoom
        for n, v, c in zip((canvas.width(), canvas.height()), (x, y), camera.center[:-3:-1],
                           strict=True)
    ]  # fmt: skip
    assert 0 < at[0] < canvas.width() and 0 < at[1] < canvas.height(), "it is in view"
    place = QPoint(round(at[0]), round(at[1]))
    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=place)
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=place)


def type_into(qtbot: Any, line: Any, text: str) -> None:
    from qtpy.QtCore import Qt

    line.setFocus()
    line.selectAll()
    qtbot.keyClicks(line, text)
    qtbot.keyClick(line, Qt.Key.Key_Tab)


def test_the_exported_table_is_the_one_that_the_batch_writes_with_the_same_corrections(
    viewer: Any, session: Any, add: Callable[[str], Any], study: tuple[Path, Path], tmp_path: Path,
    qtbot: Any, messages: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from qtpy.QtCore import QPoint, Qt
    from qtpy.QtWidgets import QFileDialog

    root, out = study
    was = (out / "biopsies.csv").read_bytes()
    viewer.window._qt_window.resize(1366, 768)
    viewer.window.show()
    viewer.window.activate()
    listed, cells = add("Study"), add("Cells")

    def tab(widget: Any) -> Any:
        """Bring a widget to the front, as a click on its tab does."""
        widget.parent().raise_()
        qtbot.waitUntil(widget.isVisible, timeout=5000)
        return widget

    # The results are opened, and the flagged field is found by the filter.
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(out))
    click(qtbot, tab(listed).open_button)
    everything = len(session.order)
    listed.flag.setFocus()
    while listed.flag.currentText() != "any flag":
        qtbot.keyClick(listed.flag, Qt.Key.Key_Down)
    qtbot.keyClicks(listed.text, "week1 apoptosis")
    fields = t.read_csv(out / "fields.csv", keep_default_na=False)
    assert 0 < len(session.order) < everything
    flagged = fields[(fields["flags"] != "") & (fields["status"] == "analysed")]
    name = next(n for n in session.order if n in set(flagged["field"]))
    assert "week1" in name
    items = [listed.tree.topLevelItem(0).child(i)
             for i in range(listed.tree.topLevelItem(0).childCount())]  # fmt: skip
    item = next(i for i in items if i.data(0, Qt.ItemDataRole.UserRole).name == name)
    click_item(qtbot, listed.tree, listed.tree.indexFromItem(item), double=True)
    assert session.field.name == name

    # One class: the cell is chosen in the table. One nucleus: the cell is clicked in the picture.
    good = session.cells[session.cells[t.EVALUABLE] & session.cells[t.AREA].between(30, 400)]
    first, second = (int(n) for n in good[good[t.PHENOTYPE] != "tumour_apoptotic"][t.LABEL][:2])
    model = tab(cells).model
    click_item(qtbot, cells.table, model.index(model.row_of(first), 0))
    assert session.label == first
    widget = tab(add("Corrections"))
    type_into(qtbot, widget.user, "anna")
    qtbot.keyClicks(widget.why, "condensed")
    click(qtbot, widget.classes["tumour_apoptotic"])
    assert session.field.cell(first)[t.PHENOTYPE] == "tumour_apoptotic"
    header = widget.edits.header()
    assert header.length() <= widget.edits.viewport().width(), "all of an edit is seen"
    assert viewer.dims.axis_labels[0] == "z", "what the slider moves"
    viewer.reset_view()
    row = session.field.cell(second)
    click_picture(qtbot, viewer, float(row[t.Y]), float(row[t.X]))
    assert session.label == second
    click(qtbot, widget.delete)
    qtbot.waitUntil(lambda: widget._worker is None and not widget._editor.behind, timeout=SLOW)
    assert second not in session.cells[t.LABEL].tolist()
    assert [(e.kind, e.user, e.why) for e in read_log(root / "corrections.jsonl").edits] == [
        ("class_changed", "anna", "condensed"), ("nucleus_deleted", "anna", ""),
    ]  # fmt: skip

    # One gate is dragged, and saved with name and reason.
    gates = tab(add("Gates"))
    gates.gate.setFocus()
    while "casp3" not in gates.gate.currentText():
        qtbot.keyClick(gates.gate, Qt.Key.Key_Down)
    plot, value = gates.plot, gates.plot.value
    y = plot.height() // 2
    start, end = round(plot.x_of(value)), round(plot.x_of(1.3 * value))
    qtbot.mousePress(plot, Qt.MouseButton.LeftButton, pos=QPoint(start, y))
    for x in range(start, end + 1):
        qtbot.mouseMove(plot, QPoint(x, y))
    qtbot.mouseRelease(plot, Qt.MouseButton.LeftButton, pos=QPoint(end, y))
    type_into(qtbot, gates.user, "anna")
    type_into(qtbot, gates.reason, "haze up to here")
    click(qtbot, gates.save)
    assert gates.model.saved[gates.gate.currentIndex()].value == pytest.approx(1.3 * value, rel=0.1)
    assert (out / "gates_by_hand.json").is_file()

    # The table of the run lacks both and says so; they are worked in, and it is exported.
    export, target = tab(add("Export")), tmp_path / "biopsies.csv"
    assert "Not in it: 2 corrections and gates saved by hand" in export.which.text()
    click(qtbot, export.work_in)
    analyse = add("Analyse")
    assert analyse.run_button.isEnabled(), analyse.status.text()
    click(qtbot, tab(analyse).run_button)
    qtbot.waitUntil(lambda: analyse.worker is None, timeout=SLOW)
    assert session.opened.folder == out.with_name("out_again"), messages
    assert session.field.name == name
    tab(export)
    assert "nothing was changed since" in export.which.text()
    assert not export.work_in.isVisible()
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(target), ""))
    click(qtbot, export.table)
    assert [text for kind, text in messages if kind == "error"] == []

    # The batch, by the command line.
    again = tmp_path / "batch"
    done = CliRunner().invoke(app, [
        "run", str(root), "--out", str(again), "--settings", str(out / "run.json"),
        "--corrections", str(root), "--gates", str(out / "gates_by_hand.json"), "--workers", "1",
    ])  # fmt: skip
    assert done.exit_code == 1, done.output  # a field of the study cannot be read
    assert target.read_bytes() == (again / "biopsies.csv").read_bytes()
    assert target.read_bytes() != was, "the corrections and the gate are in it"
    table = pd.read_parquet(again / "cells" / f"{name}.parquet").set_index(t.LABEL)
    assert second not in table.index
    assert table.loc[first, t.PHENOTYPE] == "tumour_apoptotic"

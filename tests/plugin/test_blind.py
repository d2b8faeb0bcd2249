"""The Blind counting widget, driven as a hand would; its table goes through `imganalysis agree`."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from imganalysis.panel import load_panel
from imganalysis.tables import read_csv

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("screen")

VITAL, DYING = load_panel("apoptosis").classes[:2]


@pytest.fixture
def blind(viewer: Any, session: Any, results: Path, tmp_path: Path) -> Any:
    viewer.window.add_plugin_dock_widget("imganalysis", "Study")
    made = viewer.window.add_plugin_dock_widget("imganalysis", "Blind counting")[1]
    assert not made.start_button.isEnabled()
    assert "Open a study first" in made.state.text()
    session.open(results)
    made.panel.setCurrentText("apoptosis")
    made.reader.setText("Ann")
    made.folder.setText(str(tmp_path / "readings"))
    return made


def event(kind: str, position: tuple[float, ...], pos: tuple[float, float], **more: Any) -> Any:
    from napari.utils._test_utils import read_only_mouse_event

    return read_only_mouse_event(type=kind, position=position, pos=np.array(pos), button=1, **more)


def click(viewer: Any, y: float, x: float, *, to: tuple[float, float] = (9, 9)) -> None:
    """Click at a place in um; drag where the mouse moves on the screen."""
    from napari.utils.interactions import (
        mouse_move_callbacks,
        mouse_press_callbacks,
        mouse_release_callbacks,
    )

    place = (1.0, y, x)
    mouse_press_callbacks(viewer, event("mouse_press", place, (9, 9), is_dragging=False))
    if to != (9, 9):
        mouse_move_callbacks(viewer, event("mouse_move", place, to, is_dragging=True))
    mouse_release_callbacks(viewer, event("mouse_release", place, to, is_dragging=False))


def hover(viewer: Any, y: float, x: float) -> None:
    from napari.utils.interactions import mouse_move_callbacks

    mouse_move_callbacks(viewer, event("mouse_move", (1.0, y, x), (9, 9), is_dragging=False))


def press(viewer: Any, key: str) -> None:
    """Press a key over the picture; the keys of the active layer go first, as in napari."""
    from app_model.types import KeyBinding

    code = KeyBinding.from_str(key)
    active = viewer.layers.selection.active
    maps = [*([active.keymap, type(active).class_keymap] if active is not None else []),
            viewer.keymap]  # fmt: skip
    for keymap in maps:
        if code in keymap:
            keymap[code](active if keymap is not viewer.keymap else viewer)
            return
    raise AssertionError(f"nothing is bound to {key}")


def test_clicks_become_the_table_that_agree_reads(
    viewer: Any, session: Any, blind: Any, results: Path, tmp_path: Path, qtbot: Any,
    messages: list[tuple[str, str]],
) -> None:  # fmt: skip
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QApplication, QDockWidget, QWidget

    pressed: list[str] = []
    viewer.bind_key("Delete", lambda _viewer: pressed.append("mine"), overwrite=True)
    session.open_field(session.order[0])
    viewer.add_image(np.zeros((4, 4)), name="mine")
    study = next(
        d
        for d in viewer.window._qt_window.findChildren(QDockWidget)
        if any(type(w).__name__ == "StudyWidget" for w in d.findChildren(QWidget))
    )
    title = viewer.title
    qtbot.mouseClick(blind.start_button, Qt.MouseButton.LeftButton)
    reading = blind.view.reading
    assert len(reading.order) == 2

    # Nothing tells which field it is, or what it was called.
    assert session.field is None
    names = [layer.name for layer in viewer.layers if layer.visible]
    markers = [one.marker for one in load_panel("apoptosis").channels]
    assert names == [*markers, "marks"]
    assert not viewer.layers["mine"].visible
    assert study.isHidden()
    said = [viewer.title, viewer.status, *(w.text() for w in blind.findChildren(QWidget)
            if hasattr(w, "text") and w.isVisible() and w is not blind.folder)]  # fmt: skip
    said += [str(layer.metadata) + str(layer.source) for layer in viewer.layers]
    for word in ("week", "P1", *reading.order):
        assert not [text for text in said if word in str(text)], word

    # Our own calls are clicked, so that agree must find full agreement.
    stem = tmp_path / "readings" / "Ann_apoptosis_1"
    for turn in range(2):
        field = blind.view.field
        assert blind.progress.text().startswith(f"Field {turn + 1} of 2")
        cells = read_csv(results / "cells" / f"{field}.csv")
        cells = cells[cells["evaluable"] & (cells["label"] == cells["cell_id"])]
        for row in cells.itertuples():
            kind = row.phenotype
            if kind == "unresolved":
                press(viewer, "0")
            else:
                press(viewer, str(reading.classes.index(kind) + 1))
            assert blind.buttons[kind].isChecked()
            click(viewer, row.centroid_y_um, row.centroid_x_um)
        if turn == 1:
            blind.back_button.click()
            assert blind.view.field == reading.order[0], "the field before, with its marks"
            assert len(viewer.layers["marks"].data) == len(
                blind.view.reading.marks[reading.order[0]]
            )
            blind.done_button.click()
            assert blind.view.field == field
        kept = json.loads(stem.with_suffix(".json").read_text())
        assert len(kept["marks"][field]) == len(cells), "after every click"
        marks = viewer.layers["marks"]
        np.testing.assert_allclose(marks.data, cells[["centroid_y_um", "centroid_x_um"]])
        for kind, n in cells["phenotype"].value_counts().items():
            assert blind.buttons[kind].text().endswith(f"   {n}")
        qtbot.mouseClick(blind.done_button, Qt.MouseButton.LeftButton)
        QApplication.processEvents()
    assert not blind.view.counting
    assert "All fields are read: 2 done" in messages[-1][1]
    assert [layer.name for layer in viewer.layers] == ["mine"]
    assert viewer.layers["mine"].visible
    assert not study.isHidden()
    assert viewer.title == title
    press(viewer, "Delete")
    assert pressed == ["mine"], "keys do again what they did before"

    clicks = read_csv(stem.with_suffix(".csv"))
    assert list(clicks.columns) == ["field", "x_um", "y_um", "class", "reader"]
    done = subprocess.run(
        [sys.executable, "-m", "imganalysis.cli", "agree", str(results),
         str(stem.with_suffix(".csv")), "--out", str(tmp_path / "agreed")],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    pairs = read_csv(tmp_path / "agreed" / "pairs.csv")
    matched = pairs[pairs["status"] == "matched"]
    assert len(matched) == len(clicks) > 20
    crossed = read_csv(tmp_path / "agreed" / "confusion.csv")
    wrong = crossed[(crossed["first_class"] != crossed["second_class"]) & (crossed["n_cells"] > 0)]
    assert wrong.empty

    # Some again, with a word about the wash-out.
    assert not blind.start_button.isEnabled()
    qtbot.mouseClick(blind.again_button, Qt.MouseButton.LeftButton)
    assert any("fields are remembered" in text for _, text in messages)
    assert blind.view.reading.name == "Ann (2)"
    assert len(blind.view.reading.order) == 1
    assert blind.view.reading.open_fields, "nothing of the first reading is shown"
    assert len(viewer.layers["marks"].data) == 0
    blind.leave_button.click()
    assert blind.start_button.text() == "Go on"


def test_undo_delete_resume_and_what_goes_wrong(
    viewer: Any, session: Any, blind: Any, tmp_path: Path, qtbot: Any,
    messages: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from qtpy.QtCore import Qt

    # What is missing is said, and what will be shown.
    blind.folder.clear()
    assert blind.state.text() == "Choose a folder for the reading"
    blind.reader.clear()
    assert blind.state.text() == "Type the reader's name"
    qtbot.keyClicks(blind.reader, "Ann")
    qtbot.keyClicks(blind.folder, str(tmp_path / "readings"))
    blind.n.setValue(1)
    assert blind.state.text() == "2 fields of 2 biopsies to count"
    blind.start()
    view = blind.view
    path = tmp_path / "readings" / "Ann_apoptosis_1.json"

    def marks() -> list[dict[str, Any]]:
        return json.loads(path.read_text())["marks"].get(view.field, [])

    click(viewer, 20.0, 30.0)
    press(viewer, "2")
    click(viewer, 40.0, 30.0)
    assert [mark["kind"] for mark in marks()] == [VITAL, DYING]
    colours = viewer.layers["marks"].border_color
    assert not np.allclose(colours[0], colours[1])
    assert viewer.layers["marks"].symbol[0] != viewer.layers["marks"].symbol[1]
    click(viewer, 60.0, 30.0, to=(60, 60))
    assert len(marks()) == 2, "a drag marks nothing"
    click(viewer, -50.0, 30.0)
    assert len(marks()) == 2, "nor does a click beside the picture"
    click(viewer, 20.5, 30.0)  # on a mark: another class
    assert [mark["kind"] for mark in marks()] == [DYING, DYING]
    press(viewer, "Control-Z")
    assert [mark["kind"] for mark in marks()] == [VITAL, DYING]
    hover(viewer, 40.2, 30.2)
    press(viewer, "Delete")
    assert [mark["kind"] for mark in marks()] == [VITAL]
    qtbot.mouseClick(blind.undo_button, Qt.MouseButton.LeftButton)
    assert len(marks()) == 2

    press(viewer, "PageDown")
    assert view.counting, "no field is opened by its name by mistake"

    # A layer that a person deletes comes back with the next click.
    viewer.layers.remove("marks")
    click(viewer, 50.0, 60.0)
    assert len(viewer.layers["marks"].data) == len(marks()) == 3

    # A folder that cannot be written: told, nothing lost.
    with pytest.MonkeyPatch.context() as patch:

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        patch.setattr("imganalysis.tables.tempfile.mkstemp", refuse)
        click(viewer, 70.0, 60.0)
        assert messages[-1][0] == "error"
        assert "not on the disk yet" in messages[-1][1]
        blind.done_button.click()
        assert view.field, "the field stays until it is written"
    click(viewer, 80.0, 60.0)
    assert len(marks()) == 5

    # A field opened by its name ends it; all is there when it is gone on with.
    name, kept = view.field, marks()
    session.open_field(session.order[0])
    assert not view.counting
    assert "was left" in messages[-1][1]
    assert "marks" not in [layer.name for layer in viewer.layers]
    assert "0 of 2 fields done; seed 2003" in blind.state.text()
    assert blind.start_button.text() == "Go on"
    blind.start()
    assert view.field == name
    assert len(viewer.layers["marks"].data) == len(kept)
    with pytest.raises(AssertionError, match="nothing is bound"):
        blind.leave_button.click()
        press(viewer, "1")

    # An image that is not there is left out without its name.
    def gone(*_: object, **__: object) -> None:
        from imganalysis.errors import UnreadableImageError

        raise UnreadableImageError(f"{name}: not there", reason="moved")

    monkeypatch.setattr("napari_imganalysis._blind_view.read_field", gone)
    told = len(messages)
    blind.start()
    assert not view.counting
    assert sum("(moved) and is left out" in text for _, text in messages[told:]) == 2
    assert not [text for _, text in messages[told:] if name in text]
    assert name in json.loads(path.read_text())["left_out"]

    path.write_text("{")
    blind.reader.setText("An")
    blind.reader.setText("Ann")
    assert messages[-1][0] == "error"
    assert "move it away" in messages[-1][1]
    assert not view.counting


def test_the_widget_is_closed_while_counting(viewer: Any, session: Any, results: Path,
                                             tmp_path: Path, qtbot: Any) -> None:  # fmt: skip
    dock, blind = viewer.window.add_plugin_dock_widget("imganalysis", "Blind counting")
    session.open(results)
    blind.folder.setText(str(tmp_path))
    blind.reader.setText("Ann")
    blind.start()
    view = blind.view
    assert "marks" in viewer.layers
    del blind
    viewer.window.remove_dock_widget(dock)
    del dock
    qtbot.waitUntil(lambda: not view.counting, timeout=10_000)
    assert len(viewer.layers) == 0
    assert not [call for call in viewer.mouse_drag_callbacks if "BlindView" in repr(call)]

"""The widgets, driven as a hand would; what they show is what the tables of the results say.

A viewer takes seconds to make, so that each test does much with one.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import binary_dilation

from imganalysis.corrections import read_log
from imganalysis.errors import UnreadableImageError
from imganalysis.io import write_stack
from imganalysis.panel import load_panel
from imganalysis.stack import PixelSize, Stack
from imganalysis.tables import read_csv

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Add = Callable[[str], Any]

pytestmark = pytest.mark.usefixtures("screen")


@pytest.fixture
def copy(results: Path, tmp_path: Path) -> Path:
    return shutil.copytree(results, tmp_path / "results")


@pytest.fixture
def folders(study: tuple[Path, Path]) -> tuple[Path, Path]:
    return study


def lines(tree: Any) -> list[Any]:
    tops = [tree.topLevelItem(i) for i in range(tree.topLevelItemCount())]
    return [top.child(i) for top in tops for i in range(top.childCount())]


def press(viewer: Any, key: str) -> None:
    """Do what a key does while the picture has the focus."""
    from app_model.types import KeyBinding

    viewer.keymap[KeyBinding.from_str(key)](viewer)


def mouse(viewer: Any, position: tuple[float, ...], kind: str = "click") -> None:
    """Send what napari makes of a mouse over the picture, at a place in um."""
    from napari.utils._test_utils import read_only_mouse_event
    from napari.utils.interactions import (
        mouse_move_callbacks,
        mouse_press_callbacks,
        mouse_release_callbacks,
    )

    def event(what: str, pos: tuple[float, float], dragging: bool = False) -> Any:
        return read_only_mouse_event(
            type=what, is_dragging=dragging, button=1, position=position, pos=np.array(pos)
        )

    if kind == "move":
        mouse_move_callbacks(viewer, event("mouse_move", (9, 9)))
        return
    mouse_press_callbacks(viewer, event("mouse_press", (9, 9)))
    end = (90, 90) if kind == "drag" else (9, 9)
    if kind == "drag":
        mouse_move_callbacks(viewer, event("mouse_move", end, dragging=True))
    mouse_release_callbacks(viewer, event("mouse_release", end))


def test_a_study_is_opened_listed_filtered_reviewed_and_walked_through(
    viewer: Any, add: Add, session: Any, folders: tuple[Path, Path], qtbot: Any,
    messages: list[tuple[str, str]],
) -> None:  # fmt: skip
    from napari_imganalysis._versions import scale_bar_of
    from qtpy.QtCore import Qt

    copy = folders[1]
    study = add("Study")
    assert study.where.text() == "Nothing opened"
    study.open(copy)
    assert study.where.text().startswith("Results")
    assert not study.tree.isColumnHidden(1)
    fields = read_csv(copy / "fields.csv")
    assert [item.data(0, Qt.ItemDataRole.UserRole).name for item in lines(study.tree)] == list(
        fields["field"]
    )
    biopsies = read_csv(copy / "biopsies.csv").set_index("biopsy")
    for i in range(study.tree.topLevelItemCount() - 1):
        item = study.tree.topLevelItem(i)
        row = biopsies.loc[item.data(0, Qt.ItemDataRole.UserRole).name]
        assert item.text(2) == str(row["n_tumour"])
        assert item.text(1).startswith(f"{100 * row['apoptotic_fraction']:.1f} %")
        flags = row["flags"].split(";")
        assert item.text(4) == f"{len(flags)}  {', '.join(flags)}"

    # A double click opens; the layers are the panel's channels, masks, nuclei and outlines.
    first = lines(study.tree)[0]
    rect = study.tree.visualItemRect(first)
    study.tree.setCurrentItem(first)
    study.tree.itemDoubleClicked.emit(first, 0)
    assert rect.isValid()
    names = [layer.name for layer in viewer.layers]
    markers = [c.marker for c in load_panel("apoptosis").channels]
    assert names == [*markers, "tissue", "frame", "nuclei", "cell outlines"]
    assert scale_bar_of(viewer).visible
    size = fields["pixel_size_x_um"].iloc[0]
    assert viewer.layers["nuclei"].scale[-1] == pytest.approx(size)
    assert {str(unit) for unit in viewer.layers[0].units} == {"micrometer"}
    assert viewer.dims.current_step[0] == 1, "the middle of the planes that were measured"
    assert not isinstance(viewer.layers[0].data, np.ndarray), "the stack stays lazy"

    # Next and previous by buttons and keys; the broken file is a message.
    nuclei = viewer.layers["nuclei"]
    for name in fields["field"][1:2]:
        qtbot.mouseClick(study.next, Qt.MouseButton.LeftButton)
        assert session.field.name == name
    qtbot.mouseClick(study.next, Qt.MouseButton.LeftButton)
    assert messages[-1][0] == "error"
    assert "broken" in messages[-1][1]
    assert session.field.name == fields["field"][1]
    study.text.setText("infiltrate week1")
    assert [item.text(0) for item in lines(study.tree)] == ["B_infiltrate"]
    press(viewer, "PageDown")
    assert "infiltrate" in session.field.name
    assert viewer.layers["nuclei"] is nuclei, "a layer of the same kind is used again"
    assert [layer.name for layer in viewer.layers][:3] == [
        c.marker for c in load_panel("infiltrate").channels
    ]
    study.text.clear()
    press(viewer, "PageUp")
    assert messages[-1][0] == "error", "the broken one again"
    study.flag.setCurrentIndex(study.flag.findText("fields_failed"))
    assert {item.parent().data(0, Qt.ItemDataRole.UserRole).name for item in lines(study.tree)} == {
        "P1_week1"
    }
    study.flag.setCurrentIndex(0)

    # The details tell the numbers with their words.
    study.tree.setCurrentItem(study.tree.topLevelItem(1))
    told = study.details.toPlainText()
    row = biopsies.loc["P1_week1"]
    assert f"apoptotic_fraction: {100 * row['apoptotic_fraction']:.1f} %" in told
    assert f"of {row['n_tumour']} cells" in told
    assert "fields_failed: some fields of the biopsy could not be analysed" in told

    # Review: kept in the log of corrections, filtered by; where it cannot be written: a message.
    root, _ = folders
    study.seen.click()
    (said,) = read_log(root / "corrections.jsonl").edits
    assert (said.field, said.after["state"]) == (session.field.name, "reviewed")
    study.review.setCurrentIndex(2)
    assert [item.data(0, Qt.ItemDataRole.UserRole).name for item in lines(study.tree)] == [
        session.field.name
    ]
    study.review.setCurrentIndex(0)
    with pytest.MonkeyPatch.context() as patch:

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        patch.setattr("imganalysis.corrections._log.os.open", refuse)
        study.seen.click()
    assert messages[-1][0] == "error" and "corrections.jsonl" in messages[-1][1]
    assert study.seen.isChecked(), "the mark stands as it is in the log"

    # The Corrections widget shows the same state, and sets it.
    widget = add("Corrections")
    assert [button.isChecked() for button in widget.reviews] == [True, False, False]
    widget.user.setText("anna")
    widget.reviews[1].click()
    assert not study.seen.isChecked()
    assert [i.text(3) for i in lines(study.tree) if i.text(3)] == ["!"]
    study.seen.click()
    assert [button.isChecked() for button in widget.reviews] == [True, False, False]


def test_a_panel_without_an_endpoint_has_no_empty_column_or_heading(
    add: Add, session: Any, copy: Path
) -> None:
    record = json.loads((copy / "run.json").read_text())
    for panel in record["panels"].values():
        for fraction in panel["fractions"]:
            fraction["endpoint"] = False
    (copy / "run.json").write_text(json.dumps(record))
    for name in ("fields", "biopsies"):
        table = read_csv(copy / f"{name}.csv", keep_default_na=False)
        if "role" in table:
            table = table[table["role"] == "sample"]
            table = table[table["status"] == "analysed"]
        table.to_csv(copy / f"{name}.csv", index=False)
    study, gates = add("Study"), add("Gates")
    study.open(copy)
    assert study.tree.topLevelItemCount() and study.tree.isColumnHidden(1)
    session.open_field(session.order[0])
    assert "The endpoint in the batch" not in [one[0] for one in gates._groups()]


def test_cells_are_shown_linked_and_switched(
    viewer: Any, add: Add, session: Any, results: Path, qtbot: Any
) -> None:
    from napari_imganalysis._attach import view_of
    from napari_imganalysis._table_model import RAW
    from qtpy.QtCore import Qt

    cells = add("Cells")
    session.open(results)
    name = next(n for n in session.order if "week1" in n and "apoptosis" in n)
    session.open_field(name)
    written = read_csv(results / "cells" / f"{name}.csv").set_index("label")

    # The table holds what the CSV of the results holds, sorted as asked for.
    cells.all_columns.click()
    model = cells.model
    assert model.columnCount() == len(written.columns) + 1
    column = [model.headerData(i, Qt.Orientation.Horizontal) for i in range(model.columnCount())]
    at = column.index("casp3_max_mean")
    cells.table.sortByColumn(at, Qt.SortOrder.DescendingOrder)
    shown = [model.data(model.index(i, at), RAW) for i in range(model.rowCount())]
    labels = [model.label(i) for i in range(model.rowCount())]
    assert sorted(labels) == sorted(written.index)
    np.testing.assert_allclose(shown, written.loc[labels, "casp3_max_mean"], rtol=1e-7)
    assert (np.diff(shown) <= 0).all()
    why = column.index("why")
    for i in range(0, model.rowCount(), 7):
        expected = written.loc[labels[i], "why"]
        assert model.data(model.index(i, why), RAW) == (expected if expected == expected else "")

    # Outlines have the colours of the classes.
    view, legend = view_of(viewer), session.legend
    data, nuclei = view.layers["cell outlines"].data, session.field.labels
    for label in labels[:20]:
        row = written.loc[label]
        wanted = row["phenotype"] if row["evaluable"] else "not evaluable"
        codes = set(np.unique(data[nuclei == label])) - {0}
        assert codes <= {legend.code(wanted)}
        if row["evaluable"]:
            assert codes
    # The legend counts as the table of fields and switches classes off.
    fields = read_csv(results / "fields.csv").set_index("field")
    for kind, box in cells.legend.boxes.items():
        if f"n_class_{kind}" in fields.columns:
            assert box.text() == f"{kind}  {int(fields.loc[name, f'n_class_{kind}'])}"
    box = cells.legend.boxes["non_tumour"]
    box.click()
    assert session.hidden == {"non_tumour"}
    colours = view.layers["cell outlines"].colormap.colors
    assert colours[legend.code("non_tumour")][3] == 0
    assert colours[legend.code("tumour_vital")][3] == 1
    drawn = written[~((written["phenotype"] == "non_tumour") & written["evaluable"])]
    assert model.rowCount() == len(drawn)
    qtbot.mouseClick(cells.legend.all, Qt.MouseButton.LeftButton)
    assert not session.hidden
    assert box.isChecked()

    # A row chosen moves the view; a click in the view finds the row.
    label = int(drawn.index[3])
    cells.table.setCurrentIndex(model.index(model.row_of(label), 0))
    assert session.label == label
    place = written.loc[label, ["centroid_y_um", "centroid_x_um"]].to_numpy(dtype=float)
    camera = getattr(viewer, "scene", viewer).camera
    np.testing.assert_allclose(camera.center[-2:], place)
    np.testing.assert_allclose(viewer.layers["chosen cell"].data[0][-2:], place)
    other = int(drawn.index[-4])
    y, x = (float(v[0]) for v in np.nonzero(nuclei == other))
    um = session.field.pixel_um
    mouse(viewer, (1.0, y * um[0], x * um[1]), "drag")
    assert session.label == label, "a drag moves the view and chooses nothing"
    mouse(viewer, (1.0, y * um[0], x * um[1]))
    assert session.label == other
    assert model.label(cells.table.currentIndex().row()) == other
    assert f"{other}" in cells.card.text()
    # The mouse over a cell tells what it is, in the widget and to napari's status bar.
    y, x = (float(v[0]) for v in np.nonzero(nuclei == label))
    mouse(viewer, (1.0, y * um[0], x * um[1]), "move")
    assert written.loc[label, "phenotype"] in cells.card.text()
    status = viewer.layers["nuclei"].get_status((1.0, y * um[0], x * um[1]), world=True)
    assert (
        f"class: {drawn.loc[label, 'phenotype']}" in status["value"]
        or not written.loc[label, "evaluable"]
    )

    # The filter waits for the end of typing; a mistake in it is told beside it.
    qtbot.keyClicks(cells.filter, "equivalent_diameter_um < 6")
    qtbot.waitUntil(lambda: model.rowCount() == (written["equivalent_diameter_um"] < 6).sum())
    cells.filter.setText("nothing < 6")
    qtbot.waitUntil(lambda: "no column nothing" in cells.count.text())
    cells.filter.clear()
    qtbot.waitUntil(lambda: model.rowCount() == len(written))

    # Other values of the same objects: views keep their place, and only these are drawn anew.
    resets: list[int] = []
    model.modelReset.connect(lambda: resets.append(1))
    at_call = column.index("casp3_call")
    session.set_cells(session.cells.assign(casp3_call="positive"))
    assert not resets
    assert model.index(0, at_call).data() == "positive"
    drawn_before = view.layers["cell outlines"].data.copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(view, "_make_outlines", None)
        cut = session.field.labels.copy()
        cut[cut == label] = 0
        session.set_labels(cut, session.cells[session.cells["label"] != label])
    assert resets == [1]
    assert model.rowCount() == len(written) - 1
    assert (view.layers["nuclei"].data == cut).all()
    kept = view.layers["cell outlines"].data
    assert not kept[nuclei == label].any()
    away = ~binary_dilation(nuclei == label, iterations=2)
    np.testing.assert_array_equal(kept[away], drawn_before[away])

    # Other calls, as from a gate that is moved: outlines, legend and table follow.
    moved = session.cells.assign(phenotype="tumour_vital", evaluable=True)
    session.set_cells(moved)
    assert set(np.unique(view.layers["cell outlines"].data)) == {0, legend.code("tumour_vital")}
    assert list(cells.legend.boxes) == ["tumour_vital"]
    codes = np.full(view.map.size, legend.code("unresolved"), np.uint8)
    session.preview(codes)
    assert set(np.unique(view.layers["cell outlines"].data)) == {0, legend.code("unresolved")}


def test_the_gallery_shows_a_class_and_a_click_goes_to_the_cell(
    viewer: Any, add: Add, session: Any, results: Path, qtbot: Any
) -> None:
    from qtpy.QtCore import Qt

    gallery = add("Gallery")
    session.open(results)
    name = next(n for n in session.order if "week1" in n and "apoptosis" in n)
    session.open_field(name)
    written = read_csv(results / "cells" / f"{name}.csv")
    kind = "non_tumour"
    gallery.kind.setCurrentIndex(gallery.kind.findData(kind))
    mine = written[written["evaluable"] & (written["phenotype"] == kind)]
    # A long name is cut in a narrow dock; the number before it can be read.
    assert gallery.kind.currentText() == f"{session.class_counts[kind]}  {kind}"
    gallery.order.setCurrentIndex(gallery.order.findData("casp3_max_mean"))
    ordered = list(mine.sort_values("casp3_max_mean", kind="stable")["label"])
    page = [int(gallery.list.item(i).text()) for i in range(gallery.list.count())]
    assert page == ordered[: len(page)]
    assert len(page) == min(24, len(ordered))
    assert gallery.count.text().endswith(f"of {len(ordered)} objects")
    rect = gallery.list.visualItemRect(gallery.list.item(0))
    qtbot.mouseClick(
        gallery.list.viewport(), Qt.MouseButton.LeftButton, pos=rect.topLeft() + rect.center() / 4
    )
    assert session.label == page[0]
    assert "chosen cell" in viewer.layers
    if len(ordered) > len(page):
        qtbot.mouseClick(gallery.next, Qt.MouseButton.LeftButton)
        assert int(gallery.list.item(0).text()) == ordered[24]
    session.close_field()
    assert gallery.list.count() == 0
    assert not list(viewer.layers), "our layers went with the field"


def test_what_is_wrong_is_a_message_and_the_viewer_lives_on(
    viewer: Any, add: Add, session: Any, copy: Path, images: Path, messages: list[tuple[str, str]]
) -> None:
    from napari_imganalysis._attach import view_of

    study, _ = add("Study"), add("Cells")
    (copy / "nothing").mkdir()
    study.open(copy / "nothing")
    assert messages[-1][0] == "error"

    # Images that were moved.
    path = copy / "run.json"
    record = json.loads(path.read_text())
    record["study"]["root"] = os.fspath(copy / "gone")
    path.write_text(json.dumps(record), encoding="utf-8")
    study.open(copy)
    first = lines(study.tree)[0]
    study.tree.setCurrentItem(first)
    study.tree.itemActivated.emit(first, 0)
    assert "Locate images" in messages[-1][1]
    assert session.field is None
    study.locate(copy)
    assert "does not hold the study's 6 image files" in messages[-1][1]
    study.locate(images)
    assert session.field is not None

    # Layers that the user removed: told when they are missed, and back with the field.
    mine = viewer.add_points([[1, 1]], name="mine")
    viewer.layers.remove("cell outlines")
    viewer.layers.remove("nuclei")
    before = len(messages)
    session.hide(frozenset({"tumour_vital"}))
    session.hide(frozenset())
    assert len(messages) == before + 1, "once is enough"
    assert "'cell outlines' was removed" in messages[-1][1]
    session.select(int(session.cells["label"].iloc[0]), go=True)
    name = session.field.name
    session.open_field(name)
    assert "cell outlines" in viewer.layers
    assert mine in viewer.layers

    # A table without the cell that is clicked, and one that is nowhere.
    view, label = view_of(viewer), int(session.cells["label"].iloc[5])
    session.set_cells(session.cells[session.cells["label"] != label])
    y, x = (float(v[0]) for v in np.nonzero(session.field.labels == label))
    um = session.field.pixel_um
    mouse(viewer, (1.0, y * um[0], x * um[1]))
    assert session.label == label
    assert f"Object {label} has no row" in messages[-1][1]
    session.select(10**6, go=True)
    assert "neither in the table" in messages[-1][1]

    # Labels of another size: left out, the picture is shown.
    from imganalysis.io import write_labels

    write_labels(copy / "labels" / f"{name}.ome.tif", np.ones((9, 9), np.uint32), PixelSize())
    session.open_field(name)
    assert "left out" in messages[-1][1]
    assert "nuclei" not in viewer.layers
    assert view.map is None
    mouse(viewer, (1.0, 5.0, 5.0))

    # A field that is not analysed: no table, and says so.
    session.open(images)
    session.open_field(session.order[0])
    assert "frame" not in viewer.layers
    assert session.cells is None

    # Another version that cannot be read.
    record["imganalysis"], record["settings"] = "9.9.9", {"a_key_of_the_future": 1}
    path.write_text(json.dumps(record), encoding="utf-8")
    study.open(copy)
    assert "made by imganalysis 9.9.9" in messages[-1][1]
    assert session.opened.root == images, "what was opened before stays"


def test_files_dropped_on_the_viewer_and_the_sample_study(
    viewer: Any, session: Any, results: Path, images: Path, tmp_path: Path, qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from napari_imganalysis import _reader, _series_dialog
    from napari_imganalysis._versions import scale_bar_of
    from qtpy.QtCore import Qt, QTimer
    from qtpy.QtWidgets import QApplication

    path = next((images / "P1_week1").glob("B*.tif"))
    viewer.open(path, plugin="imganalysis")
    panel = load_panel("infiltrate")
    assert [layer.name for layer in viewer.layers] == [c.marker for c in panel.channels]
    assert scale_bar_of(viewer).visible
    viewer.layers.clear()

    # A folder of results opens in the Study widget.
    viewer.open(results, plugin="imganalysis")
    assert session.opened.folder == results
    assert session.field.name == session.opened.names[0]
    assert any("Study" in name for name in viewer.window.dock_widgets)

    # So does a folder of images, which says what to do with it.
    viewer.open(images, plugin="imganalysis")
    study = viewer.window._wrapped_dock_widgets["Study (imganalysis)"].widget()
    assert session.opened.root == images
    assert not session.opened.analysed
    assert session.field.name == session.opened.names[0]
    session.open(images)
    assert "Plugins, imganalysis, Analyse" in study.details.toPlainText()

    # Of a file with several series those are opened that are chosen in a dialog.
    data = np.random.default_rng(1).integers(0, 99, (1, 1, 64, 64)).astype(np.uint8)
    many = tmp_path / "many.ome.tif"
    write_stack(many, Stack(data, ("a",), PixelSize(None, 0.5, 0.5)))
    (series,) = _reader_series(many)
    fields = [series, type(series)(**{**vars(series), "index": 1, "name": "second"})]
    assert _reader._choose(many, fields) == fields, "nobody can be asked: the window is not shown"
    monkeypatch.setattr(_reader, "_shown", lambda viewer: True)

    def choose(accept: bool) -> list[Any]:
        def answer() -> None:
            dialog = next(
                w for w in QApplication.topLevelWidgets()
                if isinstance(w, _series_dialog.SeriesDialog) and w.isVisible()
            )  # fmt: skip
            assert dialog.list.count() == 2
            dialog.list.setCurrentRow(1)
            buttons = dialog.buttons.StandardButton
            which = buttons.Open if accept else buttons.Cancel
            qtbot.mouseClick(dialog.buttons.button(which), Qt.MouseButton.LeftButton)

        QTimer.singleShot(50, answer)
        return _reader._choose(many, fields)

    assert [one.name for one in choose(accept=True)] == ["second"]
    assert choose(accept=False) == []

    # The sample study is listed, and its first field is shown.
    viewer.open_sample("imganalysis", "sample_study")
    assert not session.opened.analysed
    assert session.opened.root.name == "sample_data"
    dropped = list(viewer.layers)
    assert [layer.name for layer in dropped] == [c.marker for c in load_panel("apoptosis").channels]
    session.open_field(session.order[0])
    assert list(viewer.layers) == dropped, "the layers that were dropped are taken over"
    with pytest.raises(UnreadableImageError):
        (tmp_path / "not.tif").write_bytes(b"no image")
        _reader.read_layers(os.fspath(tmp_path / "not.tif"))


def _reader_series(path: Path) -> Any:
    from imganalysis.io import list_series

    return list_series(path)


def test_a_new_widget_finds_what_is_open(
    viewer: Any, add: Add, session: Any, results: Path
) -> None:
    session.open(results)
    session.open_field(session.order[0])
    assert isinstance(session.cells, pd.DataFrame)
    assert add("Study").tree.topLevelItemCount() == 3
    assert add("Cells").model.rowCount() == len(session.cells)
    assert add("Gallery").list.count() > 0

"""The Gates and Export widgets, driven as a hand would, beside the numbers of the core."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from imganalysis import tables as t
from imganalysis.classify.gates_file import read_gates
from imganalysis.gate_changes import set_by_hand
from imganalysis.held import held_results
from imganalysis.moving import move_gates
from imganalysis.opening import open_study
from imganalysis.pipeline import run_study
from imganalysis.results import cells_path
from imganalysis.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("screen")


@pytest.fixture
def copy(results: Path, tmp_path: Path) -> Path:
    return shutil.copytree(results, tmp_path / "results")


@pytest.fixture(scope="module")
def ungated(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a run in which no rung set a gate."""
    out = tmp_path_factory.mktemp("ungated") / "out"
    settings = Settings.model_validate({
        "segmentation": {"method": "scikit-image"},
        "gating": {"ladder": {"rungs": ["reference"]}},
        "output": {"overlays": False, "quality": False},
    })  # fmt: skip
    run_study(open_study(images), out, settings, workers=1)
    return out


def dock(viewer: Any, name: str) -> Any:
    return viewer.window.add_plugin_dock_widget("imganalysis", name, tabify=True)[1]


def open_field(session: Any, folder: Path, week: str = "week1", panel: str = "apoptosis") -> str:
    session.open(folder)
    name = next(n for n in session.order if week in n and panel in n)
    session.open_field(name)
    return name


def choose(widget: Any, marker: str) -> int:
    found = [i for i, g in enumerate(widget.model.gates) if g.marker == marker]
    widget.gate.setCurrentIndex(found[0])
    return found[0]


def moved_in_core(folder: Path, **values: float) -> Any:
    found = held_results(folder)
    gates = found.review.gates
    for marker, value in values.items():
        gates = set_by_hand(gates, marker, value, "a test")[0]
    return move_gates(found.held, gates)


def drag(qtbot: Any, plot: Any, to: float) -> None:
    """Drag the line of a histogram to a value, in several moves of the mouse."""
    from qtpy.QtCore import QPoint, Qt

    plot.resize(380, 220)
    y = plot.height() // 2
    start, end = round(plot.x_of(plot.value)), round(plot.x_of(to))
    qtbot.mousePress(plot, Qt.MouseButton.LeftButton, pos=QPoint(start, y))
    for x in np.linspace(start, end, 5).round().astype(int).tolist():
        qtbot.mouseMove(plot, QPoint(x, y))
    qtbot.wait(20)


def drop(qtbot: Any, plot: Any, at: float) -> None:
    from qtpy.QtCore import QPoint, Qt

    qtbot.mouseRelease(
        plot, Qt.MouseButton.LeftButton, pos=QPoint(round(plot.x_of(at)), plot.height() // 2)
    )


def drawn(session: Any, viewer: Any) -> dict[int, int]:
    """Label -> code of its outline."""
    data, labels = viewer.layers["cell outlines"].data, session.field.labels
    on = data > 0
    return dict(zip(labels[on].tolist(), data[on].tolist(), strict=True))


def shown_numbers(widget: Any) -> dict[str, tuple[str, str]]:
    found = {}
    for i in range(widget.numbers.topLevelItemCount()):
        top = widget.numbers.topLevelItem(i)
        for k in range(top.childCount()):
            found[top.child(k).text(0)] = (top.child(k).text(1), top.child(k).text(2))
    return found


def percent(table: pd.DataFrame, biopsy: str, name: str = "apoptotic_fraction") -> str:
    value, low, high = (100 * float(table.loc[biopsy, f"{name}{e}"]) for e in ("", "_lo", "_hi"))
    return f"{value:.1f} ({low:.1f}\N{EN DASH}{high:.1f})"


def test_a_gate_is_dragged_and_classes_outlines_and_numbers_follow(
    viewer: Any, session: Any, copy: Path, qtbot: Any, messages: list[tuple[str, str]]
) -> None:
    from qtpy.QtCore import Qt

    widget, cells = dock(viewer, "Gates"), dock(viewer, "Cells")
    assert widget.model is None
    assert not widget.save.isEnabled()
    name = open_field(session, copy)
    at = choose(widget, "casp3")
    gate = widget.model.gates[at]
    told = t.read_csv(copy / "biopsies.csv").set_index("biopsy")
    assert shown_numbers(widget)["apoptotic_fraction"] == (percent(told, "P1_week1"),) * 2
    assert shown_numbers(widget)["P1_week0"] == (percent(told, "P1_week0"),) * 2
    before = drawn(session, viewer)

    # While the line is held: outlines and numbers follow, the table does not yet.
    written = pd.read_parquet(cells_path(copy, name)).set_index(t.LABEL)
    dying = written[written[t.EVALUABLE] & (written["casp3_call"] == t.POSITIVE)]
    wanted = float(dying[gate.column].median())
    drag(qtbot, widget.plot, wanted)
    value = widget.model.gates[at].value
    assert value == pytest.approx(wanted, rel=0.05)
    core = moved_in_core(copy, casp3=value)
    for biopsy, key in (("P1_week1", "apoptotic_fraction"), ("P1_week0", "P1_week0")):
        assert shown_numbers(widget)[key][1] == percent(core.fractions, biopsy)
    assert shown_numbers(widget)["P1_week1"][0] == percent(told, "P1_week1")
    classes = [*session.legend.names]
    pd.testing.assert_series_equal(session.cells.set_index(t.LABEL)[t.PHENOTYPE], written.phenotype)
    during = drawn(session, viewer)
    assert during != before
    counts = core.counts.loc[name]

    def count(codes: dict[int, int]) -> dict[str, int]:
        own = written.loc[list(codes)]
        counted = own[own[t.EVALUABLE] & (own[t.CELL_ID] == own.index)].index
        names = [classes[codes[label] - 1] for label in counted]
        return {n: names.count(n) for n in dict.fromkeys(names)}

    assert count(during) == {n: c for n, c in counts.items() if c}

    # Let go: the table, the legend and the other widgets have it.
    drop(qtbot, widget.plot, value)
    assert widget.model.gates[at].value == pytest.approx(value, rel=0.02)
    value = widget.model.gates[at].value
    counts = moved_in_core(copy, casp3=value).counts.loc[name]
    assert count(drawn(session, viewer)) == {n: c for n, c in counts.items() if c}
    for kind, n in counts.items():
        if n:
            assert cells.legend.boxes[kind].text() == f"{kind}  {n}"
    assert "not saved" in widget.reach.text()

    # The positive cells alone.
    widget.alone.click()
    calls = session.cells.set_index(t.LABEL)
    positive = calls[calls[t.EVALUABLE] & (calls["casp3_call"] == t.POSITIVE)].index
    assert set(drawn(session, viewer)) == set(positive)
    assert 0 < len(positive) < len(calls)
    widget.alone.click()
    assert set(drawn(session, viewer)) > set(positive)

    # Undo, redo, by button and key; an arrow key and the spin box are steps too.
    qtbot.mouseClick(widget.undo, Qt.MouseButton.LeftButton)
    assert widget.model.gates == widget.model.run
    assert drawn(session, viewer) == before
    assert shown_numbers(widget)["apoptotic_fraction"] == (percent(told, "P1_week1"),) * 2
    assert not widget.save.isEnabled()
    qtbot.mouseClick(widget.redo, Qt.MouseButton.LeftButton)
    assert widget.model.gates[at].value == value
    qtbot.keyClick(widget.plot, Qt.Key.Key_Right)
    assert widget.model.gates[at].value == pytest.approx(1.01 * value)
    qtbot.keyClick(widget.plot, Qt.Key.Key_Left, Qt.KeyboardModifier.ShiftModifier)
    assert widget.model.gates[at].value == pytest.approx(1.01 * value / 1.1)
    widget.value.setValue(round(2 * gate.value, 3))
    assert widget.model.gates[at].value == pytest.approx(2 * gate.value, rel=1e-3)
    for _ in range(4):
        widget.undo.click()
    assert not widget.undo.isEnabled()
    assert widget.model.gates == widget.model.run

    # A gate that is not positive is refused, and stays.
    widget.value.setValue(0.0)
    assert messages[-1][0] == "error"
    assert "above 0" in messages[-1][1]
    assert widget.value.value() == pytest.approx(gate.value, rel=1e-3)

    # Another field: its table has the moved gates too.
    widget.value.setValue(2 * gate.value)
    value = widget.model.gates[at].value
    other = next(n for n in session.order if "week0" in n)
    session.open_field(other)
    core = moved_in_core(copy, casp3=value)
    assert {k: v for k, v in session.class_counts.items() if k in core.counts.columns} == {
        k: v for k, v in core.counts.loc[other].items() if v
    }
    assert shown_numbers(widget)["apoptotic_fraction"][1] == percent(core.fractions, "P1_week0")


def test_gates_are_saved_with_name_and_reason_and_nothing_is_lost(
    viewer: Any, session: Any, copy: Path, qtbot: Any, messages: list[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from qtpy.QtCore import Qt

    widget = dock(viewer, "Gates")
    open_field(session, copy)
    written = (copy / "gates.json").read_bytes()
    at = choose(widget, "casp3")
    first = widget.model.run[at]
    widget.value.setValue(round(2 * first.value, 3))
    value = widget.model.gates[at].value
    widget.user.setText("Anna Meier")
    qtbot.mouseClick(widget.save, Qt.MouseButton.LeftButton)
    assert messages[-1] == ("error", "say the reason: it stands beside the gate for good")
    qtbot.keyClicks(widget.reason, "smear below")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("imganalysis.tables.tempfile.mkstemp", refuse)
        qtbot.keyClick(widget.reason, Qt.Key.Key_Return)
    assert messages[-1][0] == "error"
    assert "cannot be written" in messages[-1][1]
    assert widget.model.gates[at].value == value
    assert widget.reason.text() == "smear below", "nothing is lost"

    # The widget may be closed, and other results opened meanwhile.
    viewer.window.remove_dock_widget(widget.parent())
    session.set_opened(session.opened)
    widget = dock(viewer, "Gates")
    at = choose(widget, "casp3")
    assert widget.model.gates[at].value == value
    widget.user.setText("Anna Meier")
    widget.reason.setText("smear below")
    widget.save.click()
    assert messages[-1][0] == "info"
    saved = read_gates(copy / "gates_by_hand.json")[at]
    assert (saved.value, saved.method, saved.user, saved.note) == (
        value, "manual", "Anna Meier", "smear below",
    )  # fmt: skip
    assert saved.time
    assert [one.value for one in saved.previous] == [first.value]
    assert (copy / "gates.json").read_bytes() == written, "the record of the run stays"
    assert not widget.save.isEnabled()
    assert not widget.undo.isEnabled()
    assert "all saved" in widget.reach.text()

    # Once more: the history grows, also by what another program wrote meanwhile.
    again, _ = set_by_hand(
        read_gates(copy / "gates_by_hand.json"), "casp3", 7.0, "elsewhere", user="Ben"
    )
    from imganalysis.classify.gates_file import write_gates

    write_gates(copy / "gates_by_hand.json", again)
    widget.value.setValue(round(3 * first.value, 3))
    widget.reason.setText("second look")
    widget.save.click()
    saved = read_gates(copy / "gates_by_hand.json")[at]
    assert [one.value for one in saved.previous] == [first.value, value, 7.0]
    assert [one.user for one in saved.previous][1:] == ["Anna Meier", "Ben"]


def test_what_is_wrong_is_a_message(
    viewer: Any, session: Any, copy: Path, images: Path, qtbot: Any,
    messages: list[tuple[str, str]],
) -> None:  # fmt: skip
    import json

    widget = dock(viewer, "Gates")
    # No results: nothing to move.
    session.open(images)
    assert widget.model is None
    assert not widget.plot.isEnabled()
    assert "this version" in widget.hint.text()

    # A gate by hand that does not fit: the run's are shown, and what is there is not replaced.
    (copy / "gates_by_hand.json").write_text("{", encoding="utf-8")
    open_field(session, copy)
    assert "not JSON" in messages[-1][1] or any("not JSON" in m[1] for m in messages)
    assert widget.model.gates == widget.model.run
    at = choose(widget, "casp3")
    widget.value.setValue(5.0)
    widget.reason.setText("why")
    widget.save.click()
    assert messages[-1][0] == "error"
    assert (copy / "gates_by_hand.json").read_text() == "{"
    assert widget.model.gates[at].value == 5.0
    (copy / "gates_by_hand.json").unlink()

    # A cell that the table does not have, and one that a person changed: both keep their colour.
    lost = int(session.cells[t.LABEL].iloc[3])
    changed = session.cells.copy()
    dying = changed[changed[t.EVALUABLE] & (changed["casp3_call"] == t.POSITIVE)]
    mine = int(next(i for i in dying[t.LABEL] if i != lost))
    changed.loc[changed[t.LABEL] == mine, t.PHENOTYPE] = "melanophage_suspect"
    session.set_cells(changed[changed[t.LABEL] != lost])
    widget.value.setValue(60.0)
    codes = drawn(session, viewer)
    assert codes[lost] == session.legend.unclassed
    assert codes[mine] == session.legend.code("melanophage_suspect")
    row = session.cells.set_index(t.LABEL).loc[mine]
    assert row[t.PHENOTYPE] == "melanophage_suspect"

    # Another version of the results.
    record = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**record, "imganalysis": "0.0.1"}))
    session.open(copy)
    assert widget.model is None
    assert any("made by imganalysis 0.0.1" in text for kind, text in messages if kind == "error")


def test_a_marker_without_a_gate_gets_one(
    viewer: Any, session: Any, ungated: Path, tmp_path: Path, qtbot: Any
) -> None:
    from qtpy.QtCore import QPoint, Qt

    copy = shutil.copytree(ungated, tmp_path / "results")
    widget = dock(viewer, "Gates")
    name = open_field(session, copy, panel="infiltrate")
    at = choose(widget, "CD3")
    assert widget.plot.value is None
    assert "No gate" in widget.reach.text()
    assert shown_numbers(widget)["pct_T"][0].startswith("NA")
    widget.plot.resize(380, 220)
    wanted = float(np.sqrt(widget.plot.low * widget.plot.high))
    qtbot.mouseClick(
        widget.plot, Qt.MouseButton.LeftButton, pos=QPoint(round(widget.plot.x_of(wanted)), 100)
    )
    value = widget.model.gates[at].value
    assert value == pytest.approx(wanted, rel=0.05)
    core = move_gates(
        held_results(copy).held,
        set_by_hand(held_results(copy).review.gates, "CD3", value, "x")[0],
    )
    counts = {k: v for k, v in session.class_counts.items() if k in core.counts.columns}
    assert counts == {k: v for k, v in core.counts.loc[name].items() if v}
    calls = session.cells[session.cells[t.EVALUABLE]]
    assert {t.POSITIVE, t.NEGATIVE} <= set(calls["CD3_call"])
    # The other marker of the fractions has no gate yet.
    assert shown_numbers(widget)["pct_T"][1] == "NA: no gate"
    at_other = choose(widget, "CD56")
    widget.plot.stepped.emit(wanted)
    assert widget.model.gates[at_other].value == wanted
    core = move_gates(held_results(copy).held, widget.model.gates)
    row = core.fractions.loc["P1_week1"]
    assert shown_numbers(widget)["pct_T"][1].startswith(f"{row['pct_T']:.1f} (")
    widget.reason.setText("none before")
    widget.save.click()
    saved = read_gates(copy / "gates_by_hand.json")[at]
    assert (saved.value, saved.previous[0].value) == (value, None)


def test_the_table_is_exported_as_the_batch_wrote_it_and_the_view_with_its_legend(
    viewer: Any, session: Any, copy: Path, tmp_path: Path, messages: list[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from napari_imganalysis._versions import scale_bar_of
    from PIL import Image
    from qtpy.QtWidgets import QFileDialog

    export, gates = dock(viewer, "Export"), dock(viewer, "Gates")
    assert not export.table.isEnabled()
    open_field(session, copy)
    target = tmp_path / "table.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(target), ""))
    export.table.click()
    assert target.read_bytes() == (copy / "biopsies.csv").read_bytes()
    assert "nothing was changed since" in messages[-1][1]
    assert "--gates" not in export.which.text()
    target.unlink()
    choose(gates, "casp3")
    gates.value.setValue(9.0)
    gates.reason.setText("why")
    gates.save.click()
    export.table.click()
    assert target.read_bytes() == (copy / "biopsies.csv").read_bytes()
    assert "Not in it: gates saved by hand (gates_by_hand.json)" in messages[-1][1]
    assert "--gates" in export.which.text()
    before = (copy / "biopsies.csv").read_bytes()
    export.save_table(copy / "biopsies.csv")
    assert messages[-1][0] == "error"
    assert (copy / "biopsies.csv").read_bytes() == before

    # The picture holds the view, its scale bar and the colours of the classes that are drawn.
    target = tmp_path / "view.png"
    export.picture.click()
    assert messages[-1][0] == "info", messages
    picture = np.asarray(Image.open(target).convert("RGB"))
    view = viewer.screenshot(canvas_only=True, flash=False)
    legend = picture[:, view.shape[1] :]
    assert legend.shape[1] > 60

    def shows(colour: str) -> bool:
        wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        return int((legend == wanted).all(axis=-1).sum()) > 100

    colours = dict(zip(session.legend.names, session.legend.colours, strict=True))
    assert shows(colours["tumour_vital"])
    session.hide(frozenset({"tumour_vital"}))
    export.save_picture(target)
    view = viewer.screenshot(canvas_only=True, flash=False)
    legend = np.asarray(Image.open(target).convert("RGB"))[:, view.shape[1] :]
    assert not shows(colours["tumour_vital"])
    scale_bar_of(viewer).visible = False
    export.save_picture(target)
    assert scale_bar_of(viewer).visible
    export.save_picture(tmp_path / "no" / "such" / "folder.png")
    assert (tmp_path / "no" / "such" / "folder.png").exists() or messages[-1][0] == "error"

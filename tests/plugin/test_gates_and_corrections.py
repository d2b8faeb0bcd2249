"""Gates that are moved and cells that are corrected in one field: neither takes the other back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from imganalysis import tables as t
from imganalysis.opening import open_study
from imganalysis.pipeline import run_study
from imganalysis.results import CALIBRATION, cells_path
from imganalysis.run_file import read_run, run_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("screen")
SLOW = 240_000  # ms, for measuring on a busy machine


def classes(session: Any) -> pd.Series[str]:
    return session.cells.set_index(t.LABEL)[t.PHENOTYPE].astype(str)


def test_a_correction_keeps_the_gates_that_were_moved(
    viewer: Any, session: Any, add: Callable[[str], Any], study: tuple[Path, Path], tmp_path: Path,
    qtbot: Any, messages: list[tuple[str, str]],
) -> None:  # fmt: skip
    from qtpy.QtCore import Qt

    root, out = study
    gates, corrections, cells = add("Gates"), add("Corrections"), add("Cells")
    session.open(out)
    name = next(n for n in session.order if "week1" in n and "apoptosis" in n)
    session.open_field(name)
    run = classes(session)

    def click(widget: Any) -> None:
        qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)

    def move(value: float) -> float:
        gates.value.setFocus()
        gates.value.lineEdit().selectAll()
        qtbot.keyClicks(gates.value.lineEdit(), f"{value:.3f}")
        qtbot.keyClick(gates.value, Qt.Key.Key_Return)
        return float(gates.model.gates[at].value)

    at = next(i for i, gate in enumerate(gates.model.gates) if gate.marker == "casp3")
    gates.gate.setCurrentIndex(at)
    counted = session.cells[session.cells[t.EVALUABLE] & session.cells[t.AREA].between(30, 400)]
    dying = counted[counted["casp3_call"] == t.POSITIVE]
    value = move(float(dying[gates.model.gates[at].column].median()))
    moved = classes(session)
    followed = run.index[run != moved]
    assert len(followed) > 1

    # The reason names the gate that the call was made with.
    session.select(int(followed[0]))
    assert f"gate {value:.3g}" in cells.card.text()

    # A class: of this cell alone, also where it is the class that the run had given.
    qtbot.keyClicks(corrections.user, "anna")
    one, other = int(followed[0]), int(followed[1])
    click(corrections.classes[run[one]])
    assert classes(session)[one] == run[one]
    assert classes(session).drop(one).equals(moved.drop(one)), "the others keep the moved gate"

    # A nucleus: its field is measured, and judged by the gates that were moved.
    session.select(other)
    click(corrections.delete)
    qtbot.waitUntil(lambda: corrections._worker is None and not corrections._editor.behind,
                    timeout=SLOW)  # fmt: skip
    left = moved.index.drop([one, other])
    assert classes(session)[left].equals(moved[left])
    assert other not in classes(session).index

    # The gate goes on, and back: the corrections hold.
    value = move(1.2 * value)
    again = classes(session)
    assert again[one] == run[one]
    assert not again[left].equals(moved[left])
    click(gates.undo)
    assert classes(session)[left].equals(moved[left])
    click(gates.redo)
    assert classes(session).equals(again)

    # Also in another field and back, with nobody there to move gates.
    viewer.window.remove_dock_widget(gates.parent())
    session.open_field(next(n for n in session.order if "week0" in n))
    assert "casp3_call" in session.cells
    session.open_field(name)
    qtbot.waitUntil(lambda: corrections._worker is None and not corrections._editor.behind,
                    timeout=SLOW)  # fmt: skip
    pd.testing.assert_series_equal(classes(session), again)

    # What is seen is what the batch makes of both.
    gates = add("Gates")
    assert gates.model.gates[at].value == value
    gates.user.setText("anna")
    qtbot.keyClicks(gates.reason, "haze")
    click(gates.save)
    assert [text for kind, text in messages if kind == "error"] == []
    batch = tmp_path / "batch"
    run_study(
        open_study(root), batch, run_settings(out, read_run(out)), workers=1,
        corrections_file=root, gates_file=gates.model.target,
        calibration_file=out / CALIBRATION,
    )  # fmt: skip
    written = pd.read_parquet(cells_path(batch, name)).set_index(t.LABEL)
    mine = session.cells.set_index(t.LABEL)
    for column in (t.PHENOTYPE, t.EVALUABLE, "casp3_call", "MelanA_call", t.CORRECTED):
        assert mine[column].astype(str).equals(written[column].astype(str)), column


def test_the_export_tells_of_gates_not_saved_and_of_files_that_a_run_was_given(
    session: Any, add: Callable[[str], Any], study: tuple[Path, Path], tmp_path: Path
) -> None:
    import json
    import shlex
    import shutil

    _, out = study
    export, gates = add("Export"), add("Gates")
    session.open(out)
    session.open_field(session.order[0])
    at = next(i for i, gate in enumerate(gates.model.gates) if gate.marker == "casp3")
    gates.gate.setCurrentIndex(at)
    assert "nothing was changed since" in export.which.text()
    gates.value.setValue(9.0)
    assert "not saved" in export.which.text()
    assert export.work_in.isHidden(), "a run cannot have them yet"
    gates.undo.click()
    assert "nothing was changed since" in export.which.text()
    gates.value.setValue(9.0)
    gates.reason.setText("haze")
    gates.save.click()
    export._refresh()
    assert "saved by hand" in export.which.text()
    assert "not saved" not in export.which.text()

    # A run with a calibration keeps it; files that the results do not hold are asked for.
    copy = shutil.copytree(out, tmp_path / "given")
    record = json.loads((copy / "run.json").read_text())
    record["calibration_file"], record["classifier"] = "a hash", {"name": "mine"}
    record["panels"]["apoptosis"]["title"] = "another panel"
    (copy / "run.json").write_text(json.dumps(record))
    session.open(copy)
    export._refresh()
    command = export.which.text().partition("so does: ")[2]
    words = shlex.split(command.partition(" (")[0])
    wanted = {
        "--gates": str(copy / "gates_by_hand.json"), "--panel": "PANEL_FILE",
        "--calibration": str(copy / "calibration.json"), "--classifier": "CLASSIFIER_FILE",
    }  # fmt: skip
    assert {option: words[words.index(option) + 1] for option in wanted} == wanted
    assert "name them again" in command
    analyse = add("Analyse")
    export.work_in.click()
    assert analyse.files.edits["calibration"].text() == str(copy / "calibration.json")

    # The results go away: it is said where the table would be, and the viewer lives on.
    shutil.rmtree(copy)
    export._refresh()
    assert "holds no results" in export.which.text()


def test_gates_that_were_moved_survive_a_crash(
    viewer: Any, session: Any, add: Callable[[str], Any], study: tuple[Path, Path], qtbot: Any,
    messages: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from napari_imganalysis import _gates_widget
    from qtpy.QtCore import Qt

    _, out = study

    def started_anew() -> Any:
        """The widget, as after napari was killed: what was in memory is gone."""
        for dock in [d for d in viewer.window.dock_widgets if "Gates" in d]:
            viewer.window.remove_dock_widget(viewer.window._wrapped_dock_widgets[dock])
        _gates_widget._MODELS.clear()
        session.open(out)
        session.open_field(name)
        return add("Gates")

    session.open(out)
    name = next(n for n in session.order if "week1" in n and "apoptosis" in n)
    gates = started_anew()
    at = next(i for i, gate in enumerate(gates.model.gates) if gate.marker == "casp3")
    run, before = gates.model.run[at].value, classes(session)
    gates.gate.setCurrentIndex(at)
    gates.plot.setFocus()
    for _ in range(26):
        qtbot.keyClick(gates.plot, Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    value, moved = gates.model.gates[at].value, classes(session)
    assert not moved.equals(before)

    gates = started_anew()
    assert gates.model.gates[at].value == value
    assert gates.save.isEnabled(), "it is still to be saved"
    assert classes(session).equals(moved)
    assert messages[-1][0] == "warning"
    assert "not saved" in messages[-1][1]
    gates.undo.click()
    assert gates.model.gates[at].value == run
    assert classes(session).equals(before)
    told = len(messages)
    gates = started_anew()
    assert gates.model.gates[at].value == run, "what was taken back stays so"
    assert len(messages) == told

    # What is saved is no draft; nor is what was moved on an earlier run, or what is damaged.
    gates.gate.setCurrentIndex(at)
    gates.value.setValue(2 * run)
    (draft,) = out.glob(".gates_moved_*")
    kept = draft.read_bytes()
    gates.reason.setText("haze")
    gates.save.click()
    assert not draft.exists()
    (out / "gates_by_hand.json").unlink()
    for content in (kept.replace(b'"run": "', b'"run": "0'), b"{"):
        draft.write_bytes(content)
        assert started_anew().model.gates[at].value == run

    # A folder that cannot be written: the gate is moved all the same.
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("imganalysis.tables.tempfile.mkstemp", refuse)
    gates = started_anew()
    gates.gate.setCurrentIndex(at)
    gates.value.setValue(3 * run)
    assert gates.model.gates[at].value == pytest.approx(3 * run, rel=1e-2)

"""The Analyse widget: what it writes is what the command line writes, to the byte."""

from __future__ import annotations

import multiprocessing
import os
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from imganalysis.errors import GatesError
from imganalysis.settings import Settings, read_settings
from imganalysis.tables import read_csv

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("screen")

LONG = 300_000  # ms, on a busy machine
GUARD, CONTROLS = ("measuring", "guard_um"), ("gating", "min_control_cells")


@pytest.fixture
def analyse(viewer: Any) -> Any:
    return viewer.window.add_plugin_dock_widget("imganalysis", "Analyse")[1]


def choose(box: Any, text: str) -> None:
    """Choose as a hand does: `activated` is what a person's choice sends."""
    box.setCurrentText(text)
    box.activated.emit(box.currentIndex())


def set_up(analyse: Any, qtbot: Any) -> None:
    """Type the settings that make a run quick."""
    form = analyse.form
    choose(form.method, "scikit-image")
    qtbot.keyClicks(form.rows[CONTROLS].editor, "20")
    for name in ("overlays", "quality"):
        choose(form.rows[("output", name)].editor, "no")


def finished(analyse: Any, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: analyse.worker is None, timeout=LONG)


def no_process_left() -> None:
    assert not multiprocessing.active_children()


def contents(folder: Path) -> dict[str, bytes]:
    """Every file that holds results and not when they were made."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("run.json", "results.xlsx", "gates.json")
    }


def test_it_writes_what_the_command_line_writes_with_the_saved_settings(
    analyse: Any, session: Any, images: Path, tmp_path: Path, qtbot: Any,
    messages: list[tuple[str, str]],
) -> None:  # fmt: skip
    from qtpy.QtCore import Qt

    assert not analyse.run_button.isEnabled()
    assert "Open a study first" in analyse.status.text()
    session.open(images)
    assert "Choose a folder" in analyse.status.text()
    analyse.out.setText(str(tmp_path / "form"))
    assert analyse.run_button.isEnabled()

    # A mistake stands beside its setting and keeps the run from starting.
    set_up(analyse, qtbot)
    row = analyse.form.rows[GUARD]
    qtbot.keyClicks(row.editor, "-3")
    assert "greater than or equal to 0" in row.note.text()
    assert "1 wrong" in analyse.form.sections[("measuring",)].head.text()
    assert not analyse.run_button.isEnabled()
    row.editor.clear()
    qtbot.keyClicks(row.editor, "6.5")
    assert analyse.run_button.isEnabled()
    analyse.save(tmp_path / "settings.yaml")

    steps: list[str] = []
    qtbot.mouseClick(analyse.run_button, Qt.MouseButton.LeftButton)
    analyse.worker.progressed.connect(lambda step, done, total: steps.append(f"{step} {done}"))
    assert analyse.cancel_button.isEnabled()
    assert not analyse.run_button.isEnabled()
    finished(analyse, qtbot)
    assert "Fields 5" in steps
    assert analyse.status.text().startswith("Done"), messages
    assert "Bleed-through was not corrected" in analyse.status.text()
    assert session.opened.folder == tmp_path / "form"
    no_process_left()

    done = subprocess.run(
        [sys.executable, "-m", "imganalysis.cli", "run", str(images), "--out",
         str(tmp_path / "cli"), "--settings", str(tmp_path / "settings.yaml"), "--workers", "1"],
        capture_output=True, text=True, check=False, timeout=LONG / 1000,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr  # one field of the study cannot be read
    ours, theirs = contents(tmp_path / "form"), contents(tmp_path / "cli")
    assert list(ours) == list(theirs)
    assert {"biopsies.csv", "fields.csv"} <= set(ours)
    assert sum(name.endswith(".parquet") for name in ours) >= 3
    assert [name for name in ours if ours[name] != theirs[name]] == []
    assert any("1 field failed" in text for _, text in messages)


def test_the_form_is_searched_reset_loaded_and_told_of_a_wrong_file(
    analyse: Any, session: Any, results: Path, tmp_path: Path, qtbot: Any,
    messages: list[tuple[str, str]], viewer: Any,
) -> None:  # fmt: skip
    session.open(results)
    form = analyse.form
    # Of results that are opened, the settings they were made with.
    assert form.form.settings() == session.opened.settings
    assert form.method.currentText() == "scikit-image"
    assert form.sections[("gating",)].head.text().endswith("(1 changed)")
    assert form.sections[("gating",)].body.isHidden(), "groups are folded"
    qtbot.keyClicks(form.search, "guard frame")
    assert not form.sections[("measuring",)].isHidden()
    assert not form.sections[("measuring",)].body.isHidden()
    assert not form.rows[GUARD].editor.isHidden()
    assert form.rows[("measuring", "expansion_um")].editor.isHidden()
    assert form.sections[("artefacts",)].isHidden()
    form.search.clear()
    form.only_changed.click()
    assert not form.rows[CONTROLS].editor.isHidden()
    assert form.rows[GUARD].editor.isHidden()
    form.only_changed.click()
    analyse.reset_button.click()
    assert form.form.settings() == Settings()
    path = tmp_path / "wrong.yaml"
    path.write_text("measuring: {gaurd_um: 3}\n")
    analyse.load(path)
    assert messages[-1][0] == "error"
    assert "measuring.gaurd_um: unknown name" in messages[-1][1]
    assert form.form.settings() == Settings()
    path.write_text("measuring: {guard_um: 3}\n")
    analyse.load(path)
    assert form.rows[GUARD].editor.text() == "3.0"
    analyse.save(path / "below.yaml")
    assert messages[-1][0] == "error"

    # The command line that does the same; a settings file there is not replaced.
    from qtpy.QtWidgets import QApplication

    analyse.out.setText(str(tmp_path / "out"))
    analyse.copy_button.click()
    root, kept = session.opened.root, tmp_path / "out_settings.yaml"
    assert QApplication.clipboard().text() == shlex.join(
        ["imganalysis", "run", str(root), "--out", str(tmp_path / "out"), "--settings", str(kept)]
    )
    assert read_settings(kept) == {"measuring": {"guard_um": 3.0}}
    kept.write_text("space: {}\n")
    analyse.copy_button.click()
    assert "there already with other settings" in messages[-1][1]
    assert kept.read_text() == "space: {}\n"

    # A panel of one's own must be named, or the run would be another one.
    own = session.opened.panels["apoptosis"].model_copy(update={"title": "mine"})
    import dataclasses

    panels = {**session.opened.panels, "apoptosis": own}
    session.set_opened(dataclasses.replace(session.opened, panels=panels))
    analyse.out.setText(str(tmp_path / "out"))
    analyse.run_button.click()
    assert analyse.worker is None
    assert "a panel 'apoptosis' that is not the built-in one" in messages[-1][1]


def test_a_part_of_the_study_runs_with_its_controls(
    analyse: Any, session: Any, images: Path, tmp_path: Path, qtbot: Any, viewer: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from napari_imganalysis import _analyse_widget
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QMessageBox

    session.open(images)
    out = tmp_path / "out"
    analyse.out.setText(str(out))
    set_up(analyse, qtbot)
    assert analyse.note.isHidden()
    analyse.scope.setCurrentText(_analyse_widget.CURRENT)
    assert "Open a field first" in analyse.status.text()
    name = next(n for n in session.order if "week1" in n and "infiltrate" in n)
    session.open_field(name)
    assert not analyse.note.isHidden()
    assert "Controls of the same panel" in analyse.note.text()
    analyse.run()
    viewer.layers.clear()  # while it runs
    finished(analyse, qtbot)
    assert analyse.status.text().startswith("Done")
    fields = read_csv(out / "fields.csv")
    assert list(fields["role"]) == ["sample", "secondary_only"]
    assert fields["field"][0] == name
    assert set(fields["panel"]) == {"infiltrate"}
    assert session.field.name == name, "the field is open again, with its results"
    assert session.field.cells is not None

    # Marked biopsies; earlier results are replaced only where a person says so.
    session.open(images)
    set_up(analyse, qtbot) if analyse.form.form.settings() == Settings() else None
    analyse.scope.setCurrentText(_analyse_widget.CHOSEN)
    assert not analyse.run_button.isEnabled()
    tree = analyse.tree
    tops = {tree.topLevelItem(i).text(0): tree.topLevelItem(i) for i in range(2)}
    tops["P1_week0"].setCheckState(0, Qt.CheckState.Checked)
    asked: list[str] = []

    def answer(_parent: Any, _title: str, text: str) -> Any:
        asked.append(text)
        button = QMessageBox.StandardButton
        return button.No if len(asked) == 1 else button.Yes

    monkeypatch.setattr(QMessageBox, "question", answer)
    before = contents(out)
    analyse.run_button.click()
    assert analyse.worker is None
    assert contents(out) == before
    assert "holds earlier results" in asked[0]
    analyse.run_button.click()
    finished(analyse, qtbot)
    assert list(read_csv(out / "biopsies.csv")["biopsy"]) == ["P1_week0"]


def test_it_is_stopped_and_what_goes_wrong_is_told(
    analyse: Any, session: Any, images: Path, tmp_path: Path, qtbot: Any,
    messages: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from napari_imganalysis import _worker
    from qtpy.QtCore import Qt

    session.open(images)
    out = tmp_path / "out"
    analyse.out.setText(str(out))
    set_up(analyse, qtbot)
    analyse.run()
    qtbot.waitUntil(lambda: bool(multiprocessing.active_children()), timeout=LONG)
    qtbot.mouseClick(analyse.cancel_button, Qt.MouseButton.LeftButton)
    finished(analyse, qtbot)
    assert messages[-1] == ("info", "The run was stopped; nothing was written")
    assert not out.exists()
    no_process_left()

    # A folder with something else, and one that cannot be written.
    out.mkdir()
    (out / "letter.txt").write_text("dear")
    analyse.run()
    assert analyse.worker is None
    assert messages[-1][0] == "error"
    assert "holds no results" in messages[-1][1]
    shutil.rmtree(out)
    with pytest.MonkeyPatch.context() as patch:

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        patch.setattr("pathlib.Path.mkdir", refuse)
        analyse.run()
        finished(analyse, qtbot)
    assert messages[-1][0] == "error"
    assert "cannot be written" in messages[-1][1]

    # A mistake of the user's found in the worker; and one that nobody foresaw.
    analyse.files.edits["gates"].setText(str(images / "nothing.json"))
    analyse.run()
    finished(analyse, qtbot)
    assert messages[-1][0] == "error"
    assert "nothing.json" in messages[-1][1]
    assert GatesError.reason == "gates"

    def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError("of nothing")

    monkeypatch.setattr(_worker, "run_job", fails)
    monkeypatch.setattr("napari.utils.notifications.notification_manager.receive_error", fails_not)
    analyse.run()
    finished(analyse, qtbot)
    assert messages[-1] == ("error", "ZeroDivisionError: of nothing; please report this")
    assert "nothing was written" in analyse.status.text()
    assert analyse.run_button.isEnabled()


def fails_not(*_: object) -> None:
    pass


@pytest.mark.parametrize("what", ["viewer", "widget"])
def test_closed_while_it_runs_nothing_is_left(
    viewer: Any, session: Any, images: Path, tmp_path: Path, qtbot: Any, what: str
) -> None:
    dock, analyse = viewer.window.add_plugin_dock_widget("imganalysis", "Analyse")
    session.open(images)
    out = tmp_path / "out"
    analyse.out.setText(str(out))
    set_up(analyse, qtbot)
    analyse.run()
    worker = analyse.worker
    qtbot.waitUntil(lambda: bool(multiprocessing.active_children()), timeout=LONG)
    del analyse
    if what == "viewer":
        viewer.close()
    else:
        viewer.window.remove_dock_widget(dock)
    del dock
    qtbot.waitUntil(lambda: not worker.is_running, timeout=LONG)
    assert type(worker.error).__name__ == "StoppedError"
    no_process_left()
    assert not out.exists()
    assert os.path.isdir(images)

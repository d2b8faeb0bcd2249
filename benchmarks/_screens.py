"""Pictures of the plugin's widgets on results of the sample study, in both themes of napari.

``python benchmarks/_screens.py --out docs/img`` makes all of them; ``--results`` names a folder of
results (the sample study is analysed first if not given). Needs a screen, or ``xvfb-run``.
A widget gets its pictures by one entry in `SCENES`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIZE = (1366, 768)
THEMES = ("dark", "light")
FIELD = "P01-W1_apoptosis_1"
READER = "reader 1"  # in place of the name of whoever makes the pictures


def _study(viewer: Any, widgets: dict[str, Any]) -> None:
    tree = widgets["Study"].tree
    tree.setCurrentItem(tree.topLevelItem(1))


def _cells(viewer: Any, widgets: dict[str, Any]) -> None:
    session = _session(viewer)
    cells = session.cells
    dying = cells[cells["phenotype"].str.contains("apoptotic") & cells["evaluable"]]
    session.select(int(dying.iloc[len(dying) // 2]["label"]), go=True)
    viewer.scene.camera.zoom = 5.0


def _gallery(viewer: Any, widgets: dict[str, Any]) -> None:
    gallery = widgets["Gallery"]
    gallery.kind.setCurrentIndex(1)
    gallery.list.setCurrentRow(1)


def _corrections(viewer: Any, widgets: dict[str, Any]) -> None:
    session, widget = _session(viewer), widgets["Corrections"]
    editor = widget._editor
    # Kept beside the pictures' own results, never in the study that is shown.
    editor.keep_log(Path(tempfile.mkdtemp()))
    editor.set_user("A. Reader")
    cells = session.cells
    good = cells[cells["evaluable"]]
    tumour = good[good["phenotype"] == "tumour_vital"]["label"].tolist()
    editor.change_class(tumour[3], "tumour_apoptotic", "condensed, bright caspase-3")
    editor.change_class(tumour[7], "non_tumour", "stroma")
    editor.delete(tumour[11], "debris")
    editor.undo()
    session.select(tumour[3], go=True)
    viewer.scene.camera.zoom = 6.0


def _train(viewer: Any, widgets: dict[str, Any]) -> None:
    editor = widgets["Train"]._editor
    editor.keep_log(Path(tempfile.mkdtemp()))
    editor.set_user("A. Reader")
    cells = _session(viewer).cells
    vital = cells[cells["evaluable"] & (cells["phenotype"] == "tumour_vital")]
    for label in vital["label"].tolist()[:6]:
        editor.change_class(label, "tumour_apoptotic" if label % 2 else "non_tumour")
    editor.review("reviewed")


def _analyse(viewer: Any, widgets: dict[str, Any]) -> None:
    analyse = widgets["Analyse"]
    analyse.out.setText("results_guard_6")
    for group in (("segmentation",), ("measuring",)):
        analyse.form.sections[group].head.setChecked(True)
    analyse.form.rows[("measuring", "guard_um")].editor.setText("6")


@cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


def _blind(viewer: Any, widgets: dict[str, Any]) -> None:
    blind, session = widgets["Blind counting"], _session(viewer)
    blind.reader.setText("Dr. Ann")
    blind.folder.setText(str(Path(_scratch().name) / viewer.theme))
    blind.n.setValue(2)
    blind.seed.setValue(4)
    blind.start()
    view = blind.view
    cells = session.opened.cells(view.field)
    for row in cells[cells["evaluable"]].iloc[::5].itertuples():
        view.choose(row.phenotype)
        view.click(row.centroid_y_um, row.centroid_x_um)


def _gates(viewer: Any, widgets: dict[str, Any]) -> None:
    gates = widgets["Gates"]
    titles = [gates.gate.itemText(i) for i in range(gates.gate.count())]
    gates.gate.setCurrentIndex(next(i for i, one in enumerate(titles) if "casp3" in one))
    gates.plot.stepped.emit(3.2)
    gates.reason.setText("Nuclear haze up to 3")


def _export(viewer: Any, widgets: dict[str, Any]) -> None:
    """Nothing is to be done: it shows what it is."""


SCENES: dict[str, Callable[[Any, dict[str, Any]], None]] = {
    "Study": _study, "Cells": _cells, "Gallery": _gallery, "Corrections": _corrections,
    "Train": _train, "Analyse": _analyse, "Gates": _gates, "Export": _export,
    "Blind counting": _blind,
}  # fmt: skip
"""Widget -> what is shown in it."""


def _session(viewer: Any) -> Any:
    from napari_imganalysis._attach import session_of

    return session_of(viewer)


def make(results: Path, out: Path, wanted: Sequence[str], field: str = FIELD) -> list[Path]:
    """Make the pictures of some widgets; gives their files."""
    import napari
    from napari_imganalysis._attach import PLUGIN
    from napari_imganalysis._gates_draft import draft_path
    from qtpy.QtWidgets import QApplication

    out.mkdir(parents=True, exist_ok=True)
    made = []
    for theme in THEMES:
        viewer = napari.Viewer(show=True)
        viewer.theme = theme
        viewer.window.resize(*SIZE)
        session, widgets, docks = _session(viewer), {}, {}
        for name in wanted:
            docks[name], widgets[name] = viewer.window.add_plugin_dock_widget(
                PLUGIN, name, tabify=bool(widgets)
            )
        session.open(results)
        names = session.opened.names
        session.open_field(field if field in names else names[0])
        _wait(QApplication)
        viewer.reset_view()
        for name in wanted:
            docks[name].raise_()
            SCENES[name](viewer, widgets)
            _wait(QApplication)
            path = out / f"napari-{name.lower().replace(' ', '-')}-{theme}.png"
            _save(viewer.window.screenshot(canvas_only=False, flash=False), path)
            made.append(path)
        draft_path(results).unlink(missing_ok=True)  # of the gate that was moved for its picture
        viewer.close()
        _wait(QApplication)
    return made


def _wait(application: Any, seconds: float = 0.6) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        application.processEvents()
        time.sleep(0.02)


def _save(picture: Any, path: Path) -> None:
    from PIL import Image

    image = Image.fromarray(picture[..., :3])
    # Octrees keep the few pixels of a class's colour, which a median cut would merge.
    small = image.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


def main() -> None:
    """Make the pictures that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the PNG files")
    parser.add_argument("--results", type=Path, help="folder of results")
    parser.add_argument("--field", default=FIELD, help="field that is shown")
    parser.add_argument("widgets", nargs="*", help=f"of {', '.join(SCENES)}; all by default")
    given = parser.parse_args()
    os.environ["LOGNAME"] = READER
    with tempfile.TemporaryDirectory() as temporary:
        results = given.results
        if results is None:
            from imganalysis.opening import open_study, sample_study
            from imganalysis.pipeline import run_study

            results = Path(temporary) / "my_results"
            # A copy: what Export says has the study's path, which is nobody's business.
            study = shutil.copytree(sample_study(None, results), Path(temporary) / "my_study")
            run_study(open_study(study), results)
        for path in make(results, given.out, given.widgets or list(SCENES), given.field):
            print(path)


if __name__ == "__main__":
    main()

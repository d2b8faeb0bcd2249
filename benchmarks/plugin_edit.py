"""How fast the table follows an edit of one nucleus in the napari plugin, on 1024 x 1024 x 3.

Everything between the click and the new table counts: the line on the disk, the nuclei, the first
half where it is touched, the classes of the whole field, and the session's signals. With a screen
(``xvfb-run``) also the layers and the widgets, and then how long the window takes to draw itself,
by the processor where there is no graphics card. Wall and processor time: on a machine that does
other things too, the second tells more.
"""

from __future__ import annotations

import os
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from _common import options, report

if TYPE_CHECKING:
    from collections.abc import Callable

SIDE, PIXEL_UM, EDITS = 1024, 0.232, 12
LIMIT_MS = 200
PUT_OFF = "make up for what was put off"


def results(folder: Path) -> Path:
    """Analyse a study of one simulated field, with a control."""
    from imganalysis.io import write_stack
    from imganalysis.opening import open_study
    from imganalysis.pipeline import run_study
    from imganalysis.settings import parse_settings
    from imganalysis.simulate import load_recipe, simulate_field

    recipe = load_recipe("melanoma")
    for place, how in (
        ("P1_week1/A apoptosis.ome.tif", {"week": 1, "seed": 3}),
        ("controls/secondary_only/apoptosis.ome.tif",
         {"week": 1, "seed": 4, "control": "secondary_only"}),
    ):  # fmt: skip
        field = simulate_field(recipe, "apoptosis", size_px=SIDE, pixel_size_um=PIXEL_UM,
                               planes=1, z_step_um=1.0, bits=8, **how)  # fmt: skip
        path = folder / "study" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        write_stack(path, field.stack)
    out = folder / "out"
    # One field has few cells; without gates no edit would change a class.
    quiet = parse_settings({
        "gating": {"min_control_cells": 50}, "output": {"overlays": False, "quality": False},
    })  # fmt: skip
    run_study(open_study(folder / "study"), out, quiet, workers=1)
    return out


def timed(act: Callable[[], Any]) -> tuple[float, float]:
    """Wall and processor time, ms."""
    wall, used = time.perf_counter(), time.process_time()
    act()
    return 1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - used)


def edits(session: Any, editor: Any, draw: Callable[[], None], times: int) -> dict[str, list[Any]]:
    """Make edits of each kind, and time them."""
    found: dict[str, list[Any]] = {}
    cells = session.cells
    known = cells["evaluable"] & (cells["phenotype"] != "unresolved")
    labels = cells[known & (cells["area_um2"] > 30)]["label"].tolist()
    kinds = {
        "change a class": lambda n: editor.change_class(n, "unresolved"),
        "delete a nucleus": editor.delete,
        "split a nucleus": lambda n: _split(editor, n),
        "undo": lambda n: editor.undo(),
    }
    for _ in range(times):
        for kind, act in kinds.items():
            label = labels.pop(3)

            table = timed(partial(act, label))
            found.setdefault(kind, []).append(table + timed(draw))
            found.setdefault(PUT_OFF, []).append(timed(editor.finish) + timed(draw))
    return found


def _split(editor: Any, label: int) -> None:
    cell = editor.core.cell(editor.name, label)
    editor.split_by_line(label, [(cell.x, cell.y - 15), (cell.x, cell.y + 15)])


def main() -> None:
    """Measure and report."""
    chosen = options(__doc__)
    from napari_imganalysis._editing import editor_of
    from napari_imganalysis._session import Session

    with tempfile.TemporaryDirectory() as temporary:
        out = results(Path(temporary))
        screen = bool(os.environ.get("DISPLAY"))
        if screen:
            import napari
            from napari_imganalysis._attach import session_of
            from qtpy.QtWidgets import QApplication

            viewer = napari.Viewer(show=True)
            session = session_of(viewer)
            for name in ("Cells", "Corrections"):
                viewer.window.add_plugin_dock_widget("imganalysis", name, tabify=True)
            draw = QApplication.processEvents
        else:
            session, draw = Session(), lambda: None
        session.open(out)
        editor = editor_of(session)
        editor.set_user("benchmark")
        session.open_field(session.opened.names[0])
        draw()
        job = editor.job()
        assert job is not None
        wall, used = timed(lambda: editor.adopt(job[0], job[1]()))
        n = len(session.cells)
        rows = [["measure the field, once, in a thread", wall, used, "", "", ""]]
        for kind, times in edits(session, editor, draw, 3 if chosen.quick else EDITS).items():
            middle, best = np.median(times, axis=0), np.min(times, axis=0)
            limit = "" if kind == PUT_OFF else f"under {LIMIT_MS} ms"
            rows.append([kind, middle[0], middle[1], best[0], middle[2], limit])
        if screen:
            viewer.close()
    report(
        "The napari plugin: a cell is corrected",
        ["what", "table, ms", "of the processor", "best", "drawn, ms later", "asked for"],
        rows,
        notes=f"{SIDE} x {SIDE} x 3 pixels, {n} objects, {'with' if screen else 'without'} a "
        f"window; median of {3 if chosen.quick else EDITS}. Drawn by the processor where there is "
        "no graphics card.",
        target=chosen.json,
    )


if __name__ == "__main__":
    main()

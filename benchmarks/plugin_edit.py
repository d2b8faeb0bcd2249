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

if TYPE_CHECKING:
    from collections.abc import Callable

SIDE, PIXEL_UM, EDITS = 1024, 0.232, 12


def results(folder: Path) -> Path:
    """Analyse a study of one simulated field, with a control."""
    from imganalysis.io import write_stack
    from imganalysis.opening import open_study
    from imganalysis.pipeline import run_study
    from imganalysis.settings import parse_settings
    from imganalysis.simulate import load_recipe, simulate_field

    recipe = load_recipe("melanoma")
    for place, options in (
        ("P1_week1/A apoptosis.ome.tif", {"week": 1, "seed": 3}),
        ("controls/secondary_only/apoptosis.ome.tif",
         {"week": 1, "seed": 4, "control": "secondary_only"}),
    ):  # fmt: skip
        field = simulate_field(recipe, "apoptosis", size_px=SIDE, pixel_size_um=PIXEL_UM,
                               planes=1, z_step_um=1.0, bits=8, **options)  # fmt: skip
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


def edits(session: Any, editor: Any, draw: Callable[[], None]) -> dict[str, list[Any]]:
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
    for _ in range(EDITS):
        for kind, act in kinds.items():
            label = labels.pop(3)

            table = timed(partial(act, label))
            found.setdefault(kind, []).append(table + timed(draw))
            found.setdefault("make up for what was put off", []).append(
                timed(editor.finish) + timed(draw)
            )
    return found


def _split(editor: Any, label: int) -> None:
    cell = editor.core.cell(editor.name, label)
    editor.split_by_line(label, [(cell.x, cell.y - 15), (cell.x, cell.y + 15)])


def main() -> None:
    """Print the times."""
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
        print(f"{SIDE} x {SIDE} x 3, {n} objects, {'with' if screen else 'without'} a window")
        print(f"measure the field, once, in a thread: {wall:.0f} ms ({used:.0f} ms of processor)")
        for kind, times in edits(session, editor, draw).items():
            both = np.array(times)
            middle, best = np.median(both, axis=0), both.min(axis=0)
            print(
                f"{kind}: table {middle[0]:.0f} ms (processor {middle[1]:.0f}), best "
                f"{best[0]:.0f} ms (processor {best[1]:.0f}); drawn {middle[2]:.0f} ms later"
            )
        if screen:
            viewer.close()


if __name__ == "__main__":
    main()

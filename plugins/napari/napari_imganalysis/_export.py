"""What leaves the viewer: the batch's own table, byte for byte, and a picture of the view."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis import results as r
from imganalysis import tables as t
from imganalysis.classify.gates_file import read_gates
from imganalysis.errors import ImganalysisError, OutputError, StudyError, TableError
from imganalysis.panel import builtin_panels, load_panel
from imganalysis.run_file import RUN, read_run
from imganalysis.words import plural
from napari_imganalysis._gates_model import BY_HAND

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from imganalysis.classify.gates import Gate
    from imganalysis.panel import Panel
    from napari_imganalysis._editing import Editor
    from napari_imganalysis._results import Opened
    from napari_imganalysis._session import Session

PADDING, SWATCH = 10, 14


def export_biopsies(folder: Path, target: Path) -> None:
    """Copy ``biopsies.csv`` of a run as the batch wrote it, byte for byte.

    Parameters
    ----------
    folder
        Of the results.
    target
        The new file.

    Raises
    ------
    TableError
        There is none.
    OutputError
        The target cannot be written, or lies among the results.
    """
    source = folder / r.BIOPSIES
    if target.resolve().parent == folder.resolve():
        raise OutputError(f"{target}: is among the results that it is copied from; choose another")
    try:
        content = source.read_bytes()
    except OSError as error:
        raise TableError(f"{source}: cannot be read ({error.strerror or error})") from None
    t.write_atomic(target, lambda path: _write(path, content))


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


@dataclass(frozen=True)
class NotInIt:
    """What people changed since a run, so that its tables do not have it.

    Parameters
    ----------
    corrections
        Number of edits.
    gates
        Whether gates were saved by hand.
    files
        Option of the command line -> file: with these a run has all of it. Without gates saved by
        hand those of the run are kept, as they were looked at; so is a calibration that it was
        given.
    unsaved
        Whether gates were moved and not saved, which no run can have.
    """

    corrections: int
    gates: bool
    files: dict[str, Path]
    unsaved: bool = False

    def __bool__(self) -> bool:
        return bool(self.corrections or self.gates)


def not_in_it(opened: Opened, editor: Editor) -> NotInIt:
    """Find what was changed since the run that `opened` is of."""
    folder, core = opened.folder, editor.core
    if folder is None:
        return NotInIt(0, False, {})
    by_hand = folder / BY_HAND
    saved = _values(opened.gates)
    if by_hand.is_file():
        try:
            saved = _values(read_gates(by_hand))
        except ImganalysisError:
            saved = []  # the Gates widget says what is wrong with it
    gates = saved != _values(opened.gates)
    files = {"gates": by_hand if gates else folder / r.GATES}
    if core is not None and core.n_corrections():
        files["corrections"] = core.log.path
    if read_run(folder).get("calibration_file"):
        files["calibration"] = folder / r.CALIBRATION
    unsaved = bool(saved) and _values(editor.session.gates) not in (saved, _values(opened.gates))
    return NotInIt(0 if core is None else len(core.pending()), gates, files, unsaved)


def _values(gates: Sequence[Gate]) -> list[float | None]:
    return [gate.value for gate in gates]


def origin_text(opened: Opened, missing: NotInIt) -> str:
    """Say what the exported table rests on, and what to do where it lacks something.

    Raises
    ------
    StudyError
        There are no results.
    """
    if opened.folder is None:
        raise StudyError(f"{opened.root}: not analysed yet, so that there is no table to save")
    unsaved = " Gates that are moved and not saved are not in it: save them in Gates."
    unsaved = unsaved if missing.unsaved else ""
    if not missing:
        return (
            f"As the batch wrote it.{unsaved}"
            if unsaved
            else ("As the batch wrote it; nothing was changed since.")
        )
    n = missing.corrections
    parts = [plural(n, "correction")] if n else []
    parts += [f"gates saved by hand ({BY_HAND})"] if missing.gates else []
    words = ["imganalysis", "run", str(opened.root), "--out", "NEW_FOLDER"]
    words += ["--settings", str(opened.folder / RUN)]
    for name, path in missing.files.items():
        words += [f"--{name}", str(path)]
    own = _own_files(opened)
    return (
        f"As the batch wrote it. Not in it: {' and '.join(parts)}.{unsaved} 'Work them in' runs "
        f"the study again; so does: {shlex.join([*words, *own])}"
        + (" (the run had files of your own: name them again)" if own else "")
    )


def _own_files(opened: Opened) -> list[str]:
    """Options for files that a run was given and its results do not hold."""
    assert opened.folder is not None  # noqa: S101  by the caller
    words = []
    if any(panel not in _builtin() for panel in opened.panels.values()):
        words += ["--panel", "PANEL_FILE"]
    if r.made_with_classifier(opened.folder):
        words += ["--classifier", "CLASSIFIER_FILE"]
    return words


@cache
def _builtin() -> tuple[Panel, ...]:
    return tuple(load_panel(name) for name in builtin_panels())


def legend_lines(session: Session) -> list[tuple[str, str]]:
    """(text, colour) of each class that is drawn, with its number of cells in the field."""
    legend, counts = session.legend, session.class_counts
    colours = dict(zip(legend.names, legend.colours, strict=True))
    return [
        (f"{name}  {n}", colours[name]) for name, n in counts.items() if name not in session.hidden
    ]


def differs(session: Session) -> bool:
    """Whether the classes that are drawn are not those of the results."""
    field, opened = session.field, session.opened
    if field is None or opened is None or field.cells is None:
        return False
    written = opened.cells(field.name)
    if written is None:
        return False
    columns = [t.LABEL, t.PHENOTYPE, t.EVALUABLE]
    a, b = (
        one[columns].sort_values(t.LABEL).astype(str).to_numpy() for one in (written, field.cells)
    )
    return not np.array_equal(a, b)


def channel_lines(viewer: Any) -> list[tuple[str, str]]:
    """(name, colour) of each picture that is shown, by the brightest colour of its map."""
    found = []
    for layer in viewer.layers:
        if layer.visible and layer._type_string == "image":
            red, green, blue = (round(255 * float(v)) for v in layer.colormap.colors[-1][:3])
            found.append((layer.name, f"#{red:02x}{green:02x}{blue:02x}"))
    return found

"""The state of a study's corrections: its log, and the fields that are open, after all edits."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.corrections import (
    APPLIED,
    CLASS,
    DELETE,
    NAME,
    OPEN,
    REGIONAL,
    Cell,
    Edit,
    Replay,
    active_edits,
    apply_corrections,
    log_path,
    read_log,
    review_of,
    stacks,
)
from imganalysis.errors import CorrectionsError
from imganalysis.io import file_hash
from imganalysis.outlining import (
    finish_outlines,
)
from imganalysis.results import CORRECTIONS, user_name
from imganalysis.study import SAMPLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from imganalysis.corrections import Log
    from imganalysis.study import Field, Study

CORRECTED_COLUMNS = (t.FIELD, t.LABEL, "x_um", "y_um", "class", "user", "time")
"""Columns of `CorrectionSession.corrected_classes`."""


@dataclass(frozen=True)
class OpenField:
    """A field that is being corrected.

    Parameters
    ----------
    field
        Which.
    base
        Its nuclei before all edits.
    spacing_um
        ([Z,] Y, X) size of a pixel, um.
    replay
        Its nuclei after all edits that hold, and what became of each.
    digest
        SHA-256 of its image file.
    """

    field: Field
    base: NDArray[np.uint32]
    spacing_um: tuple[float, ...]
    replay: Replay
    digest: str


class CorrectionState:
    """A person's corrections of one study.

    Parameters
    ----------
    study
        From `imganalysis.opening.open_study`.
    log
        File, or folder that holds it; by default ``corrections.jsonl`` in the study's folder,
        where ``annotations/`` is too: what a person says belongs to the images, and results are
        replaced.
    user
        Who corrects; the name of the login by default.
    results
        Folder of the results that are looked at, to tell which edits they hold.
    annotation_unit
        Unit of files of outlines that do not say it, as in the settings.

    Raises
    ------
    CorrectionsError
        The log is damaged, or of a later version.
    """

    def __init__(
        self,
        study: Study,
        log: Path | None = None,
        *,
        user: str | None = None,
        results: Path | None = None,
        annotation_unit: str | None = None,
    ) -> None:
        root = study.root if study.root.is_dir() else study.root.parent
        self.study, self.user = study, user or user_name()
        self._log = read_log(root / NAME if log is None else log_path(Path(log)))
        self._fields = {field.name: field for field in study.fields}
        self._open: dict[str, OpenField] = {}
        self._results, self._unit = results, annotation_unit
        self.notes = tuple(
            note
            for note in (self._log.torn, *finish_outlines(self._log.edits, study, annotation_unit))
            if note
        )
        """What was found when the log was opened, for people."""

    # What there is.

    @property
    def log(self) -> Log:
        """The log, as it was last read or written."""
        return self._log

    @property
    def read_only(self) -> bool:
        """Whether no edit can be kept, as far as can be told before one is made."""
        path = self._log.path
        place = path if path.exists() else path.parent
        return not os.access(place, os.W_OK)

    def open_field(
        self,
        name: str,
        labels: NDArray[Any],
        spacing_um: tuple[float, ...],
        digest: str | None = None,
    ) -> OpenField:
        """Begin to correct a field.

        Parameters
        ----------
        name
            Of the field.
        labels
            Its nuclei before all edits: ``labels/uncorrected/`` where the results have it, else
            ``labels/``.
        spacing_um
            ([Z,] Y, X) size of a pixel, um.
        digest
            SHA-256 of the image, as in ``fields.csv``; of the file if not given.

        Raises
        ------
        CorrectionsError
            No such field, or the image file is not there.
        """
        field = self._field(name)
        if not field.path.exists():
            raise CorrectionsError(
                f"{field.path}: is not there any more; put it back, or open the study again where "
                "it is now. Its edits are in the log"
            )
        base = np.asarray(labels, np.uint32)
        opened = OpenField(field, base, spacing_um, Replay(base), digest or file_hash(field.path))
        self._open[name] = opened
        self._replayed(name)
        return self._open[name]

    def close_field(self, name: str) -> None:
        """Forget the labels of a field; its edits stay."""
        self._open.pop(name, None)

    def labels(self, name: str) -> NDArray[np.uint32]:
        """Nuclei of an open field after all edits that hold."""
        return self._opened(name).replay.labels

    def replay(self, name: str) -> Replay:
        """Say what became of the edits of an open field."""
        return self._opened(name).replay

    def edits(self, name: str | None = None) -> tuple[Edit, ...]:
        """Edits that hold, of one field or of all."""
        return active_edits(self._log.edits, name)

    def n_corrections(self, name: str | None = None) -> int:
        """Count the edits of nuclei, classes and regions that hold."""
        return sum(e.kind in (*APPLIED, *REGIONAL) for e in self.edits(name))

    def pending(self, name: str | None = None) -> tuple[Edit, ...]:
        """Edits that the results do not hold yet, and those that they hold and that were undone."""
        held = {edit.id: edit for edit in self.edits(name) if edit.kind in (*APPLIED, *REGIONAL)}
        shown = self._shown()
        return tuple(
            edit
            for edit in self._log.edits
            if edit.kind in (*APPLIED, *REGIONAL)
            and name in (None, edit.field)
            and (edit.id in held) != (edit.id in shown)
        )

    def _shown(self) -> set[str]:
        """Ids of the edits that the results were made with."""
        path = None if self._results is None else self._results / CORRECTIONS
        if path is None or not path.is_file():
            return set()
        table = t.read_csv(path, dtype=str, keep_default_na=False)
        t.require(table, ["id", "status"], source=str(path))
        return set(table.loc[table["status"] != "undone", "id"])

    def review_state(self, name: str) -> tuple[str, str]:
        """State of review of a field, and the note."""
        said = review_of(self._log.edits, name)
        return (OPEN, "") if said is None else (said.after["state"], said.after.get("note", ""))

    def cell_at(self, name: str, x: float, y: float, z: float | None = None) -> Cell | None:
        """Nucleus at a point, um from the upper left corner; None for background."""
        opened = self._opened(name)
        point = [y, x] if opened.base.ndim == 2 else [z or 0.0, y, x]
        pixel = tuple(
            int(np.floor(v / s + 1e-9)) for v, s in zip(point, opened.spacing_um, strict=True)
        )
        shape = opened.base.shape
        if not all(0 <= i < n for i, n in zip(pixel, shape, strict=True)):
            return None
        label = int(opened.replay.labels[pixel])
        if label == 0:
            return None
        size = float((opened.replay.labels == label).sum() * np.prod(opened.spacing_um))
        deep = None if opened.base.ndim == 2 else round(float(z or 0.0), 4)
        return Cell(label, round(float(x), 4), round(float(y), 4), round(size, 4), deep)

    def cell(self, name: str, label: int) -> Cell:
        """Nucleus of a number, with the point in it that is nearest to its centroid.

        Raises
        ------
        CorrectionsError
            There is none.
        """
        opened = self._opened(name)
        place = np.argwhere(opened.replay.labels == label)
        if not len(place):
            raise CorrectionsError(f"{name}: no nucleus {label}")
        step = np.asarray(opened.spacing_um)
        away = (((place - place.mean(axis=0)) * step) ** 2).sum(axis=1)
        middle = (place[int(np.argmin(away))] + 0.5) * step
        found = self.cell_at(name, middle[-1], middle[-2], middle[0] if len(step) == 3 else None)
        assert found is not None  # noqa: S101  # the point was taken from it
        return found

    def next_undo(self, name: str | None = None) -> Edit | None:
        """Find the edit that `undo` takes back; None where there is none."""
        return self._last(stacks(self._log.edits, self.user)[0], name)

    def next_redo(self, name: str | None = None) -> Edit | None:
        """Find the edit that `redo` makes again; None where there is none."""
        return self._last(stacks(self._log.edits, self.user)[1], name)

    def refresh(self) -> None:
        """Read the log again, after another user wrote into it."""
        self._log = read_log(self._log.path)
        for name in self._open:
            self._replayed(name)

    def corrected_classes(self) -> pd.DataFrame:
        """Table of the cells whose class a person gave, one row each, as readers' tables have it.

        ``x_um`` and ``y_um`` are um from the middle of the first pixel where the field is open,
        as centroids are, else from the upper left corner, half a pixel more.
        """
        last: dict[tuple[str, int], Edit] = {}
        for edit in self.edits():
            for cell in edit.cells:
                last.pop((edit.field, cell.label), None) if edit.kind == DELETE else None
            if edit.kind == CLASS:
                last[edit.field, edit.cells[0].label] = edit
        rows = []
        for (name, label), edit in last.items():
            opened = self._open.get(name)
            if opened is not None and opened.replay.classes.get(label) != edit:
                continue  # lost
            half = (0.0, 0.0) if opened is None else tuple(s / 2 for s in opened.spacing_um[-2:])
            cell = edit.cells[0]
            rows.append((name, label, round(cell.x - half[1], 4), round(cell.y - half[0], 4),
                         edit.after["class"], edit.user, edit.time))  # fmt: skip
        return pd.DataFrame(rows, columns=list(CORRECTED_COLUMNS))

    def _field(self, name: str) -> Field:
        if name not in self._fields:
            raise CorrectionsError(f"{self.study.root}: no field {name}")
        return self._fields[name]

    def _opened(self, name: str) -> OpenField:
        if name not in self._open:
            self._field(name)
            raise CorrectionsError(f"{name}: open the field before it is corrected")
        return self._open[name]

    def _classes(self, field: Field) -> tuple[str, ...]:
        panel = self.study.panels.get(field.panel)
        return (*panel.classes, t.UNRESOLVED) if panel and field.role == SAMPLE else ()

    def _replayed(self, name: str) -> None:
        opened = self._open[name]
        edits = [e for e in self.edits(name) if e.input in ("", opened.digest)]
        replay = apply_corrections(
            opened.base, edits, opened.spacing_um, self._classes(opened.field)
        )
        self._open[name] = replace(opened, replay=replay)

    @staticmethod
    def _last(edits: Sequence[Edit], name: str | None) -> Edit | None:
        return next((e for e in reversed(edits) if name in (None, e.field)), None)

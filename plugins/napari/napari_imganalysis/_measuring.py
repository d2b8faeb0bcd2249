"""A field measured again after edits: the first half where it is touched, then the classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from imganalysis import results as r
from imganalysis import tables as t
from imganalysis.annotations import drawn_masks
from imganalysis.calibrate import scope_of
from imganalysis.calibration_file import read_calibrations
from imganalysis.classify.contexts import trace_values
from imganalysis.correcting import mark_objects
from imganalysis.errors import CorrectionsError
from imganalysis.io import file_hash
from imganalysis.regiving import regive_classes
from imganalysis.remeasuring import LiveField
from imganalysis.second_half import judge_field
from imganalysis.study import SAMPLE
from napari_imganalysis._results import record_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from imganalysis.classify.gates import Gate
    from imganalysis.corrections import Replay
    from imganalysis.panel import Panel
    from imganalysis.study import Field
    from napari_imganalysis._edit_study import Begun
    from napari_imganalysis._fields import OpenField
    from napari_imganalysis._results import Opened


@dataclass
class Measuring:
    """A field whose table follows the edits.

    Parameters
    ----------
    live
        Its first half.
    where, opened
        The field and the results that it is of.
    traces
        What contexts need of the other fields, as the results have them.
    """

    live: LiveField
    where: Field
    opened: Opened
    traces: dict[str, NDArray[np.float64]]
    _table: pd.DataFrame | None = field(default=None, repr=False)
    _gates: tuple[Gate, ...] = field(default=(), repr=False)  # that the table was judged by
    _lock: Lock = field(default_factory=Lock, repr=False)

    @property
    def behind(self) -> bool:
        """Whether something was put off, for `finish` to make up for."""
        return bool(self.live.now.behind)

    def update(self, replay: Replay, gates: Sequence[Gate], *, hurry: bool) -> pd.DataFrame:
        """Measure what other nuclei touch; gives the table of the field's objects.

        Parameters
        ----------
        replay
            Of all edits.
        gates
            By which markers are called.
        hurry
            As in `imganalysis.remeasuring.LiveField.update`.
        """
        with self._lock:
            same = self._table is not None and tuple(gates) == self._gates
            if same and np.array_equal(replay.labels, self.live.labels):
                assert self._table is not None  # noqa: S101  as told above
                # Classes alone: no pixel and no rule is needed.
                self._table = regive_classes(self._table, replay)
                return self._table
            self.live.update(replay.labels, hurry=hurry)
            return self._judge(replay, gates)

    def finish(self, replay: Replay, gates: Sequence[Gate]) -> pd.DataFrame:
        """Make up for what was put off; may be called in a thread."""
        with self._lock:
            self.live.finish()
            table = self._judge(replay, gates)
            if not np.array_equal(replay.labels, self.live.labels):
                self._table = None  # an edit was made meanwhile
            return table

    def _judge(self, replay: Replay, gates: Sequence[Gate]) -> pd.DataFrame:
        now, self._gates = self.live.now, tuple(gates)
        self._table = table = judge_field(
            self.where, mark_objects(now.objects, replay), self.opened.panels[self.where.panel],
            gates, self.opened.settings, grid=now.grid, signs=now.signs, space=now.space,
            contacts=now.contacts, given=replay.classes, traces=self.traces,
        )  # fmt: skip
        return table


def measure(
    opened: Opened, shown: OpenField, begun: Begun, outlines: Path | None, replay: Replay
) -> Measuring:
    """Measure a whole field as the batch does, to go on from; takes seconds.

    Parameters
    ----------
    opened
        The results that it is of.
    shown
        The field.
    begun
        Its nuclei before all edits.
    outlines
        Its file of outlines, if there is one.
    replay
        Of all edits.

    Raises
    ------
    CorrectionsError
        Its image is another one than was analysed, or no panel fits it.
    ImganalysisError
        Its image or outlines cannot be read.
    """
    where, panel = shown.where, shown.panel
    if panel is None or opened.folder is None:
        raise CorrectionsError(f"{shown.name}: no panel was found for it; nothing can be measured")
    if begun.digest is not None and where.path.is_file() and file_hash(where.path) != begun.digest:
        raise CorrectionsError(
            f"{where.path}: is another image than the one that was analysed; edits of {shown.name} "
            "are kept, but nothing is measured. Put the image back, or run the analysis again",
            reason="other_input",
        )
    path = opened.folder / r.CALIBRATION
    known = read_calibrations(path if path.is_file() else None, opened.panels)
    calibration = next((one for one in known if one.scope == scope_of(where)), None)
    drawn = drawn_masks(outlines, shown.stack, opened.settings.space.annotation_unit)
    live = LiveField(
        shown.stack, panel, opened.settings, replay.labels, section_um=where.section_um,
        calibration=calibration, drawn=drawn,
    )  # fmt: skip
    return Measuring(live, where, opened, _traces(opened, where, panel))


def _traces(opened: Opened, where: Field, panel: Panel) -> dict[str, NDArray[np.float64]]:
    """Collect what contexts need of the cells of the other fields of the batch."""
    rows = opened.fields[(opened.fields["role"] == SAMPLE) & (opened.fields["panel"] == panel.name)]
    found: dict[str, list[NDArray[np.float64]]] = {}
    for name in rows["field"].astype(str):
        cells = opened.cells(name) if name != where.name else None
        if cells is None or cells.empty:
            continue
        if scope_of(record_of(opened.row(name), where.path, 0)) != scope_of(where):
            continue
        cells = cells[cells[t.CELL_ID] == cells[t.LABEL]]
        for column, values in trace_values(cells, panel).items():
            found.setdefault(column, []).append(values)
    return {column: np.concatenate(parts) for column, parts in found.items()}

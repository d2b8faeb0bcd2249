"""Gates of a study from the tables of its objects: what the ladder is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.classify.false_calls import rate_gates
from imganalysis.classify.gates_file import adopt_gates, read_gates
from imganalysis.classify.ladder import (
    ALL_NEGATIVE,
    ALL_POSITIVE,
    RUNGS_DISAGREE,
    flag_given,
    set_gates,
)
from imganalysis.classify.scimap_gates import read_scimap_gates
from imganalysis.quantify.regions import margin_distance

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from imganalysis.classify.gates import Gate
    from imganalysis.panel import Panel
    from imganalysis.settings import Gating

UNUSABLE = (
    "control_elsewhere", "control_clipped", "control_too_few_cells", "control_no_signal",
)  # fmt: skip
"""Why a control that is there sets no gate, in `imganalysis.tables.GATE_REASONS`; flags too."""

GATE_CONTROLS = ("secondary_only", "isotype")
"""Roles of the controls that show what a marker's channel holds without the marker."""

PLACE = (t.FIELD, t.PANEL, t.BATCH, t.ACQUISITION)


def study_gates(
    controls: pd.DataFrame,
    objects: Mapping[str, pd.DataFrame],
    places: pd.DataFrame,
    panels: Mapping[str, Panel],
    gating: Gating,
    outlines: Mapping[str, NDArray[np.bool_]],
    given: Sequence[Gate] | None = None,
    scopes: Sequence[tuple[str, str, str]] = (),
    **stamp: Any,
) -> tuple[Gate, ...]:
    """Climb the ladder for a study, and let gates that somebody set go before.

    Each gate is held against the controls, where there are some of its place: those that set it
    with their fields left out in turn, others with all of them.

    Parameters
    ----------
    controls
        Cells of the controls that set gates; the evaluable ones count.
    objects
        Panel -> one row per object of its sample fields.
    places
        One row per sample field: ``field``, ``panel``, ``batch``, ``acquisition``.
    panels
        By name.
    gating
        Settings.
    outlines
        Field -> tumour that a person outlined, on the coarse grid.
    given
        Gates that somebody set.
    scopes
        (panel, batch, acquisition) of fields that were not analysed.
    stamp
        For the gates' record: hashes, user, time, version.
    """
    cells = {n: gating_cells(objects[n], panel, outlines) for n, panel in panels.items()}
    used = set_gates(controls, places, panels, gating, cells=cells, given=given or (), **stamp)
    if given is not None:
        used = adopt_gates(given, used, scopes)
        used = flag_given(used, cells, panels, gating.control_percentile)
    return rate_gates(used, controls, panels, gating.indeterminate_band)


def gating_cells(
    objects: pd.DataFrame, panel: Panel, outlines: Mapping[str, NDArray[np.bool_]]
) -> pd.DataFrame:
    """Take what the ladder needs of the objects of one panel's fields, and no more.

    Returns
    -------
    DataFrame
        One row per evaluable object: its field and scope, the columns of the panel's measures,
        and ``margin_distance_um`` to outlined tumours where the panel has such a reference.
    """
    wanted = [*PLACE, t.EVALUABLE, t.COMPARABLE, t.RING_AREA]
    for channel in panel.gated:
        for measure, column in zip(channel.measures, channel.columns, strict=True):
            parts = ("nucleus", "ring") if measure.compartment == "max" else ()
            wanted += [column]
            wanted += [t.measure_column(channel.marker, c, measure.statistic) for c in parts]
    cells = objects[[column for column in dict.fromkeys(wanted) if column in objects.columns]]
    if any(c.reference is not None and c.reference.outside_region for c in panel.gated):
        points = objects[[t.Y, t.X]].to_numpy(dtype=np.float64)
        distance = np.full(len(objects), np.nan)
        for name, rows in objects.groupby(t.FIELD, sort=False).indices.items():
            mask = outlines.get(str(name))
            if mask is not None:
                distance[rows] = margin_distance(mask, points[rows])
        cells = cells.assign(**{t.MARGIN_DISTANCE: distance})
    if t.EVALUABLE in cells.columns:
        cells = cells[cells[t.EVALUABLE].astype(bool)].reset_index(drop=True)
    return cells


def together(objects: Mapping[str, pd.DataFrame], fields: pd.DataFrame) -> pd.DataFrame:
    """Objects of several fields in one table, in the fields' order."""
    if fields.empty:
        return pd.DataFrame(columns=[*fields.columns, t.EVALUABLE, t.EXCLUSION])
    return pd.concat([objects[name] for name in fields[t.FIELD]], ignore_index=True)


def load_gates(
    path: Path,
    panels: Iterable[Panel],
    fields: Sequence[tuple[str, str, str, str]],
    gating: Gating,
) -> tuple[Gate, ...]:
    """Read a gates file of ours, or the CSV of scimap, by the file's suffix.

    Parameters
    ----------
    path
        ``.csv`` is scimap's.
    panels
        Of the study.
    fields
        (field, panel, batch, acquisition) of its sample fields.
    gating
        Says whether a CSV holds logarithms.

    Raises
    ------
    GatesError
        The file is wrong.
    """
    if path.suffix.lower() == ".csv":
        return read_scimap_gates(path, panels, fields, log=gating.scimap_log)
    return read_gates(path, panels)


def flag_gates(biopsies: pd.DataFrame, fields: pd.DataFrame, gates: Sequence[Gate]) -> pd.DataFrame:
    """Flag the biopsies of which a gate rests on the samples themselves, or is in doubt.

    Also those of which a control was there but could set no gate: they would read as without one.

    Parameters
    ----------
    biopsies
        As in ``biopsies.csv``.
    fields
        Its sample fields, as in ``fields.csv``.
    gates
        Those of the study.
    """
    own = (fields["status"] == "analysed").to_numpy()
    columns = (t.PANEL, t.BATCH, t.ACQUISITION)
    place = list(zip(*(fields[c].astype(str) for c in columns), strict=True))
    flags = list(biopsies["flags"])
    found = {
        "mixture_gate": {_place(g) for g in gates if g.method == "mixture"},
        RUNGS_DISAGREE: {_place(g) for g in gates if RUNGS_DISAGREE in g.flags},
    }
    for word in (ALL_POSITIVE, ALL_NEGATIVE, *UNUSABLE):
        for gate in gates:
            if word in (*gate.flags, *(verdict.reason for verdict in gate.alternatives)):
                found.setdefault(f"{gate.marker}:{word}", set()).add(_place(gate))
    for word, scopes in found.items():
        inside = np.array([key in scopes for key in place], dtype=bool)
        named = set(fields[t.BIOPSY][inside & own])
        flags = [
            ";".join(filter(None, [words, word])) if name in named else words
            for name, words in zip(biopsies[t.BIOPSY], flags, strict=True)
        ]
    return biopsies.assign(flags=flags)


def _place(gate: Gate) -> tuple[str, str, str]:
    return gate.panel, gate.batch, gate.acquisition

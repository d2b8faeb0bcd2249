"""The gates of a run that is done, beside what each rung of the ladder says; no pixel is read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.classify.calls import POSITIVE_CODE, call_codes, measure_values
from imganalysis.classify.false_calls import rate_gates
from imganalysis.classify.gates_file import adopt_gates, read_gates
from imganalysis.gating import GATE_CONTROLS, load_gates, study_gates, together
from imganalysis.results import FIELDS, GATES, cells_path
from imganalysis.run_file import read_run, run_panels, run_settings
from imganalysis.study import SAMPLE
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from imganalysis.classify.gates import Gate
    from imganalysis.panel import Channel, Panel
    from imganalysis.settings import Settings

RUNGS = ("control_percentile", "reference", "mixture")


@dataclass(frozen=True)
class Review:
    """What a folder of results says of its gates.

    Parameters
    ----------
    folder
        Of the results.
    panels
        By name.
    settings
        Of the run.
    fields
        One row per field with cells: ``field``, ``role``, ``panel``, ``batch``, ``acquisition``.
    gates
        In use; with what every rung says.
    """

    folder: Path
    panels: dict[str, Panel]
    settings: Settings
    fields: pd.DataFrame
    gates: tuple[Gate, ...]

    @property
    def samples(self) -> list[tuple[str, str, str, str]]:
        """(field, panel, batch, acquisition) of each sample field."""
        mine = self.fields[self.fields[t.ROLE] == SAMPLE]
        return list(mine[[t.FIELD, t.PANEL, t.BATCH, t.ACQUISITION]].itertuples(index=False))


def review_gates(folder: Path, gates_file: Path | None = None) -> Review:
    """Read the gates of a run.

    Parameters
    ----------
    folder
        Results of `imganalysis.pipeline.run_study`.
    gates_file
        Gates to be looked at in the place of those that were used.

    Raises
    ------
    StudyError
        No results of a run.
    GatesError
        A gates file is wrong, or does not fit.
    """
    record = read_run(folder)
    panels, settings = run_panels(folder, record), run_settings(folder, record)
    wanted = [t.FIELD, t.ROLE, t.PANEL, t.BATCH, t.ACQUISITION]
    fields = t.read_csv(folder / FIELDS, dtype=str, keep_default_na=False)
    t.require(fields, wanted, source=str(folder / FIELDS))
    there = [cells_path(folder, name).is_file() for name in fields[t.FIELD]]
    review = Review(folder, panels, settings, fields[wanted][there].reset_index(drop=True), ())
    gates = read_gates(folder / GATES, panels.values())
    if any(not gate.alternatives for gate in gates):
        gates = adopt_gates(gates, _ladder(review))
    if gates_file is not None:
        given = load_gates(gates_file, panels.values(), review.samples, settings.gating)
        gates = rated_gates(review, adopt_gates(given, gates))
    return Review(folder, panels, settings, review.fields, gates)


def rated_gates(review: Review, gates: Sequence[Gate]) -> tuple[Gate, ...]:
    """Find again how often gates call the controls' cells positive, such as gates just moved.

    Parameters
    ----------
    review
        The run.
    gates
        Its gates, some of them others.
    """
    mine = review.fields[review.fields[t.ROLE].isin(GATE_CONTROLS)]
    if mine.empty:
        return tuple(gates)
    controls = together({name: _cells(review.folder, name) for name in mine[t.FIELD]}, mine)
    return rate_gates(gates, controls, review.panels, review.settings.gating.indeterminate_band)


def _ladder(review: Review) -> tuple[Gate, ...]:
    """Climb the ladder again, for results of a version that did not keep what each rung says."""
    tables = {name: _cells(review.folder, name) for name in review.fields[t.FIELD]}
    controls = together(tables, review.fields[review.fields[t.ROLE].isin(GATE_CONTROLS)])
    places = review.fields[review.fields[t.ROLE] == SAMPLE].reset_index(drop=True)
    cells = {name: together(tables, places[places[t.PANEL] == name]) for name in review.panels}
    found = study_gates(controls, cells, places, review.panels, review.settings.gating, {})
    return tuple(found)


def _cells(folder: Path, field: str, columns: list[str] | None = None) -> pd.DataFrame:
    return pd.read_parquet(cells_path(folder, field), columns=columns)


def rung_table(review: Review) -> pd.DataFrame:
    """Lay out the gates and what every rung says of each.

    Returns
    -------
    DataFrame
        One row per gate and rung, and one more where a person set the gate: ``marker``,
        ``panel``, ``batch``, ``acquisition``, ``column``, ``rung``, ``in_use``, ``value``,
        ``se``, ``n``, ``bic_gain``, ``ashman_d``, ``weight``, ``reason``, ``what`` (what the
        reason means, and what to do), ``note``, ``flags``, ``user``, ``time``.
    """
    rows = []
    for gate in review.gates:
        place = {k: getattr(gate, k) for k in ("marker", "panel", "batch", "acquisition", "column")}
        lines: list[dict[str, Any]] = [
            {
                **verdict.model_dump(),
                "in_use": verdict.rung == gate.method,
                "what": t.GATE_REASONS.get(verdict.reason, ""),
            }
            for verdict in sorted(gate.alternatives, key=lambda v: RUNGS.index(v.rung))
        ]
        if gate.method not in RUNGS:
            lines.append(
                {
                    "rung": gate.method,
                    "in_use": True,
                    "value": gate.value,
                    "reason": gate.reason,
                    "what": t.GATE_REASONS.get(gate.reason, ""),
                    "note": gate.note,
                    "n": None,
                }
            )
        used = {"flags": ";".join(gate.flags), "user": gate.user, "time": gate.time}
        rows += [{**place, **line, **(used if line["in_use"] else {})} for line in lines]
    columns = [
        "marker", "panel", "batch", "acquisition", "column", "rung", "in_use", "value", "se", "n",
        "bic_gain", "ashman_d", "weight", "reason", "what", "note", "flags", "user", "time",
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=columns)
    words = ["reason", "what", "note", "flags", "user", "time"]
    return table.assign(**{name: table[name].fillna("") for name in words})


@dataclass(frozen=True)
class Shown:
    """The values of one gate's cells, as a figure shows them."""

    gate: Gate
    samples: NDArray[np.float64]
    controls: NDArray[np.float64]
    reference: NDArray[np.float64]


def shown_values(review: Review) -> list[Shown]:
    """Read the values that every gate was set on and is used on.

    Returns
    -------
    list of Shown
        In the order of the gates; evaluable cells of fields that are not clipped.
    """
    found: dict[int, Shown] = {}
    for name, panel in review.panels.items():
        mine = review.fields[review.fields[t.PANEL] == name]
        numbered = [i for i, gate in enumerate(review.gates) if gate.panel == name]
        if mine.empty or not numbered:
            continue
        # The last of a panel's tables may be a control, without calls.
        tables = [_cells(review.folder, field) for field in mine[t.FIELD]]
        cells = pd.concat(tables, ignore_index=True)
        keep = cells[t.EVALUABLE].astype(bool)
        if t.COMPARABLE in cells.columns:
            keep &= cells[t.COMPARABLE].astype(bool)
        if t.CELL_ID in cells.columns:  # fragments of one cell have its values, each
            keep &= cells[t.CELL_ID] == cells[t.LABEL]
        cells = cells[keep].reset_index(drop=True)
        for i in numbered:
            found[i] = _shown(review.gates[i], cells, panel)
    return [found[i] for i in sorted(found)]


def outside_values(review: Review, changed: Sequence[Gate]) -> list[str]:
    """Say which gates lie beyond every value that they are used on.

    Parameters
    ----------
    review
        The run.
    changed
        Gates to look at, such as those that a person has just set.

    Returns
    -------
    list of str
        One sentence per gate; none of gates within the values, or without cells.
    """
    found = []
    for one in shown_values(replace(review, gates=tuple(changed))):
        gate, values = one.gate, one.samples
        if gate.value is None or not values.size:
            continue
        low, high = float(values.min()), float(values.max())
        if low <= gate.value <= high:
            continue
        where, share = ("above", "0 %") if gate.value > high else ("below", "100 %")
        found.append(
            f"the gate of {gate.marker} at {gate.value:g} lies {where} all "
            f"{plural(values.size, 'value')} of {gate.column} ({low:g} to {high:g}; panel "
            f"{gate.panel}, batch {gate.batch or '-'}, acquisition {gate.acquisition or '-'}): "
            f"{share} of the cells reach it; is it in {gate.unit}?"
        )
    return found


def _shown(gate: Gate, cells: pd.DataFrame, panel: Panel) -> Shown:
    here = (cells[t.BATCH].astype(str) == gate.batch).to_numpy() & (
        cells[t.ACQUISITION].astype(str) == gate.acquisition
    ).to_numpy()
    cells = cells[here]
    channel = panel.channel(gate.marker)
    measure = channel.measures[channel.columns.index(gate.column)]
    values = measure_values(cells, gate.marker, measure)
    role = cells[t.ROLE].astype(str)
    sample = (role == SAMPLE).to_numpy()
    blank = role.isin(GATE_CONTROLS).to_numpy()
    chosen = sample & _reference(channel, cells)
    good = np.isfinite(values)
    return Shown(gate, values[sample & good], values[blank & good], values[chosen & good])


def _reference(channel: Channel, cells: pd.DataFrame) -> NDArray[np.bool_]:
    """Find the reference cells, as far as the results tell them."""
    chosen = np.zeros(len(cells), dtype=bool)
    reference = channel.reference
    if reference is None:
        return chosen
    for marker in reference.positive_for:
        if t.call_column(marker) in cells.columns:
            chosen |= call_codes(cells, marker) == POSITIVE_CODE
    if reference.outside_region and t.MARGIN_DISTANCE in cells.columns:
        chosen |= (cells[t.MARGIN_DISTANCE] > reference.distance_um).to_numpy(dtype=bool)
    return chosen

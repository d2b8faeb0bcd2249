"""The ladder of gates: what each rung says, and the first one that holds sets the gate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis import tables as t
from imganalysis.classify.calls import POSITIVE_CODE, call_between, measure_values
from imganalysis.classify.gate_parts import Source, Verdict
from imganalysis.classify.gates import Gate, select_gate
from imganalysis.classify.rung_control import control_rung
from imganalysis.classify.rung_mixture import mixture_rung
from imganalysis.classify.rung_reference import reference_rung
from imganalysis.classify.scopes import comparable, evaluable, of_place

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from imganalysis.panel import Channel, Measure, Panel
    from imganalysis.settings import Gating

    Place = tuple[str, str, str]
    Found = tuple[Verdict, dict[str, Any]]

TRUSTED = ("control_percentile", "manual", "file")
"""Methods of the gates that may show the reference cells of another marker: a gate that rests on
the samples themselves would be a guess under a guess."""

RUNGS_DISAGREE = "rungs_disagree"
ALL_POSITIVE, ALL_NEGATIVE = "all_positive", "all_negative"
"""Flag of a gate that another rung would have set elsewhere."""

MOST, ENOUGH_CELLS = 0.95, 100
"""Share of the samples from which on all count as positive, where so many cells tell."""


def gates_from_controls(
    controls: pd.DataFrame,
    samples: pd.DataFrame,
    panels: Mapping[str, Panel],
    gating: Gating,
    *,
    hashes: Mapping[str, str] | None = None,
    user: str = "",
    time: str = "",
    version: str = "",
) -> tuple[Gate, ...]:
    """Set gates from cells that cannot be positive, and from nothing else.

    As `set_gates` without the samples' cells: the first rung of the ladder alone.

    Parameters
    ----------
    controls
        One row per cell of the secondary-only and isotype controls, with the columns ``field``,
        ``panel``, ``batch``, ``acquisition`` and the measures.
    samples
        Says with ``panel``, ``batch`` and ``acquisition`` which gates are needed.
    panels
        By name.
    gating
        Percentile, fewest control cells, indeterminate band.
    hashes
        Field -> hash of its input, for the record.
    user, time, version
        For the record.

    Raises
    ------
    TableError
        A column is missing.
    """
    return set_gates(
        controls, samples, panels, gating, hashes=hashes, user=user, time=time, version=version
    )


def set_gates(
    controls: pd.DataFrame,
    samples: pd.DataFrame,
    panels: Mapping[str, Panel],
    gating: Gating,
    *,
    cells: Mapping[str, pd.DataFrame] | None = None,
    given: Sequence[Gate] = (),
    hashes: Mapping[str, str] | None = None,
    user: str = "",
    time: str = "",
    version: str = "",
) -> tuple[Gate, ...]:
    """Climb the ladder for every gate that the samples need.

    One gate per panel, batch, acquisition, marker and measure, never per field: of the first
    rung of ``gating.ladder.rungs`` that holds, with what every rung says beside it. Where none
    holds, the gate has the method ``none`` and the reason of the first.

    Parameters
    ----------
    controls
        One row per cell of the secondary-only and isotype controls, with the columns ``field``,
        ``panel``, ``batch``, ``acquisition`` and the measures. The percentile (linear
        interpolation) of the evaluable ones of a scope is its gate.
    samples
        Says with ``panel``, ``batch`` and ``acquisition`` which gates are needed.
    panels
        By name.
    gating
        Settings of the ladder.
    cells
        Panel -> one row per cell of its sample fields, columns as of `controls`, and
        ``margin_distance_um`` to outlined tumours where a reference lies outside them. Without
        it the samples tell nothing, and the control alone sets gates.
    given
        Gates that somebody set; they may show the reference cells of another marker.
    hashes
        Field -> hash of its input, for the record.
    user, time, version
        For the record.

    Returns
    -------
    tuple of Gate
        Sorted by panel, batch and acquisition; markers in the panel's order.

    Raises
    ------
    TableError
        A column is missing.
    GatesError
        Two given gates fit equally well.
    """
    scope = [t.PANEL, t.BATCH, t.ACQUISITION]
    t.require(samples, scope, source="sample cells")
    t.require(controls, [*scope, t.FIELD], source="control cells")
    wanted = samples[scope].astype(str).drop_duplicates().sort_values(scope)
    record = {"user": user, "time": time, "version": version}
    valued = [gate for gate in given if gate.value is not None]
    gates: list[Gate] = []
    for name, batch, acquisition in wanted.itertuples(index=False):
        place = (str(name), str(batch), str(acquisition))
        mine = None if cells is None else evaluable(of_place(cells[name], place))
        here = _Scope(panels[name], place, controls, mine, gating, valued, hashes or {}, record)
        gates += here.gates()
    return tuple(gates)


def flag_given(
    gates: Sequence[Gate],
    cells: Mapping[str, pd.DataFrame],
    panels: Mapping[str, Panel],
    percentile: float,
) -> tuple[Gate, ...]:
    """Flag gates that somebody set where all cells, or hardly any, reach them.

    Parameters
    ----------
    gates
        Of a study; those of a rung of the ladder stay as they are.
    cells
        Panel -> evaluable cells of its samples, as `set_gates` takes them.
    panels
        By name.
    percentile
        Of controls, see `one_sided`.
    """
    own: dict[Place, pd.DataFrame] = {}
    out = []
    for gate in gates:
        if gate.method in ("file", "manual") and gate.value is not None:
            place = (gate.panel, gate.batch, gate.acquisition)
            if place not in own:  # several gates share the cells of a place
                own[place] = comparable(evaluable(of_place(cells[gate.panel], place)))
            measures = {c: m for m, c in _measures(panels[gate.panel].channel(gate.marker))}
            values = measure_values(own[place], gate.marker, measures[gate.column])
            flags = one_sided(values, gate.value, percentile)
            gate = gate.model_copy(update={"flags": flags})
        out.append(gate)
    return tuple(out)


def one_sided(values: NDArray[np.float64], gate: float, percentile: float) -> tuple[str, ...]:
    """Say whether all cells of the samples, or none, are on one side of a gate.

    Parameters
    ----------
    values
        Of the cells; what is not finite is left out.
    gate
        Its value.
    percentile
        Of the controls' cells that a gate leaves below: twice what is above counts as none.

    Returns
    -------
    tuple of str
        ``all_positive``, ``all_negative``, or nothing; nothing of fewer than 100 cells.
    """
    values = values[np.isfinite(values)]
    if values.size < ENOUGH_CELLS:
        return ()
    share = float((values >= gate).mean())
    if share >= MOST:
        return (ALL_POSITIVE,)
    return (ALL_NEGATIVE,) if share <= 2 * (1 - percentile / 100) else ()


class _Scope:
    """The gates of one panel, batch and acquisition."""

    def __init__(
        self,
        panel: Panel,
        place: Place,
        controls: pd.DataFrame,
        cells: pd.DataFrame | None,
        gating: Gating,
        given: Sequence[Gate],
        hashes: Mapping[str, str],
        record: dict[str, str],
    ) -> None:
        self.panel, self.place, self.gating = panel, place, gating
        self.controls, self.given, self.hashes, self.record = controls, given, hashes, record
        self.clipped = False
        if cells is not None:
            usable = comparable(cells)
            self.clipped = len(cells) > 0 and usable.empty
            cells = usable
        self.cells = cells
        self.values: dict[str, NDArray[np.float64]] = {}

    def gates(self) -> list[Gate]:
        first: dict[str, Found] = {}
        pairs = [(c, m, column) for c in self.panel.gated for m, column in _measures(c)]
        for channel, measure, column in pairs:
            if self.cells is not None:
                self.values[column] = measure_values(self.cells, channel.marker, measure)
            first[column] = control_rung(
                self.controls, channel.marker, measure, self.gating, self.place,
                self.values.get(column),
            )  # fmt: skip
        return [self._gate(channel, column, first) for channel, _, column in pairs]

    def _gate(self, channel: Channel, column: str, first: Mapping[str, Found]) -> Gate:
        found: dict[str, Found] = {"control_percentile": first[column]}
        if self.cells is not None:
            found["reference"] = self._reference(channel, column, first)
            found["mixture"] = self._mixture(column, found)
        allowed = [r for r in self.gating.ladder.rungs if r in found]
        if self.cells is None:
            allowed = ["control_percentile"]
        verdicts = tuple(verdict for verdict, _ in found.values())
        gate: dict[str, Any] = {
            "marker": channel.marker,
            "column": column,
            **dict(zip(("panel", "batch", "acquisition"), self.place, strict=True)),
            **self.record,
            "alternatives": verdicts if self.cells is not None else (),
        }
        best = next((rung for rung in allowed if found[rung][0].holds), None)
        if best is None:
            verdict = found[allowed[0]][0] if allowed else None
            said = {"reason": "switched_off"} if verdict is None else {
                "reason": verdict.reason, "note": verdict.note, "n": verdict.n,
            }  # fmt: skip
            return Gate(**gate, **said, method="none", sources=self._sources("control_percentile"))
        verdict, extra = found[best]
        gate |= {"method": best, "value": verdict.value, "se": verdict.se, "n": verdict.n}
        gate |= {"sources": self._sources(best), "flags": self._flags(verdicts, verdict, column)}
        return Gate(**gate, **extra)

    def _reference(self, channel: Channel, column: str, first: Mapping[str, Found]) -> Found:
        reference = channel.reference
        if reference is None or self.cells is None:
            return Verdict(rung="reference", reason="no_reference"), {}
        if self.clipped:
            return Verdict(rung="reference", reason="samples_clipped"), {}
        chosen = np.zeros(len(self.cells), dtype=bool)
        for marker in reference.positive_for:
            positive = self._positive(self.panel.channel(marker), first)
            if positive is None:
                note = f"{marker} has no gate here from a control or a person"
                return Verdict(rung="reference", reason="reference_not_gated", note=note), {}
            chosen |= positive
        if reference.outside_region:
            if t.MARGIN_DISTANCE not in self.cells.columns:
                return Verdict(rung="reference", reason="reference_not_outlined"), {}
            away = self.cells[t.MARGIN_DISTANCE].to_numpy(dtype=np.float64)
            if np.isnan(away).all():
                return Verdict(rung="reference", reason="reference_not_outlined"), {}
            chosen |= away > reference.distance_um
        return reference_rung(self.values[column][chosen], self.gating.ladder)

    def _positive(self, other: Channel, first: Mapping[str, Found]) -> NDArray[np.bool_] | None:
        """Cells positive for another marker; None where its gates cannot be trusted with that."""
        panel, batch, acquisition = self.place
        positive = np.zeros(0 if self.cells is None else len(self.cells), dtype=bool)
        for column in other.columns:
            where = {"panel": panel, "batch": batch, "acquisition": acquisition}
            gate = select_gate(self.given, other.marker, column, **where)
            verdict = first[column][0]
            if gate is None and verdict.holds and "control_percentile" in self.gating.ladder.rungs:
                gate = Gate(marker=other.marker, value=verdict.value, method="control_percentile")
            if gate is None or gate.method not in TRUSTED:
                return None
            low, high = gate.limits(self.gating.indeterminate_band)
            positive |= call_between(self.values[column], low, high) == POSITIVE_CODE
        return positive

    def _mixture(self, column: str, found: Mapping[str, Found]) -> Found:
        if self.clipped:
            return Verdict(rung="mixture", reason="samples_clipped"), {}
        # Of a control with few cells too: they set no gate, but show one that is far off.
        others = {r: v.value for r, (v, _) in found.items() if v.value is not None}
        return mixture_rung(self.values[column], self.gating.ladder, others)

    def _flags(self, verdicts: Sequence[Verdict], chosen: Verdict, column: str) -> tuple[str, ...]:
        flags = []
        said = [v.value for v in verdicts if v.value is not None]
        if max(said) > self.gating.ladder.max_ratio * min(said):
            flags.append(RUNGS_DISAGREE)
        values = self.values.get(column)
        if values is None or chosen.rung == "mixture" or chosen.value is None:
            return tuple(flags)
        return (*flags, *one_sided(values, chosen.value, self.gating.control_percentile))

    def _sources(self, rung: str) -> tuple[Source, ...]:
        if self.cells is None or rung == "control_percentile":
            table = evaluable(of_place(self.controls, self.place))
        else:
            table = self.cells
        fields = sorted(str(name) for name in table[t.FIELD].unique())
        return tuple(Source(field=name, hash=self.hashes.get(name, "")) for name in fields)


def _measures(channel: Channel) -> list[tuple[Measure, str]]:
    return list(zip(channel.measures, channel.columns, strict=True))

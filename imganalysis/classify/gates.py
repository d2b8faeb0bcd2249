"""Gates: thresholds on one statistic of one marker, and how controls set them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from imganalysis import tables as t
from imganalysis.classify.calls import NEGATIVE_CODE, POSITIVE_CODE, call, measure_values
from imganalysis.errors import GatesError
from imganalysis.settings_base import Fraction, Model, NotNegative, Positive

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from imganalysis.panel import Channel, Measure, Panel
    from imganalysis.settings import Gating

ALL = "*"
"""Stands for every panel, batch, acquisition or column."""


class Source(Model):
    """A field that a gate rests on, and the hash of what was read."""

    field: str
    hash: str = ""


class FormerGate(Model):
    """What a gate was before somebody changed it."""

    value: Positive | None = None
    method: str = ""
    user: str = ""
    time: str = ""
    version: str = ""


class FalsePositives(Model):
    """Positive share of each control field under a gate set without it.

    ``blank_limit`` is the limit of blank, mean + 1.645 SD (EP17).
    """

    mean: Fraction
    sd: NotNegative
    blank_limit: NotNegative
    n_fields: Annotated[int, Field(ge=2)]


class Gate(Model):
    """A threshold on one statistic of one marker, with where it came from.

    ``*`` for a panel, batch, acquisition or column stands for all of them. Where `method` is
    ``none`` there is no value and `reason` says why; every call of the marker is then
    indeterminate.
    """

    marker: str
    panel: str = ALL
    batch: str = ALL
    acquisition: str = ALL
    column: str = ALL
    value: Positive | None = None
    unit: str = "grey levels"
    method: Literal["control_percentile", "file", "manual", "none"] = "file"
    band: Fraction | None = None
    percentile: float | None = Field(None, gt=0, lt=100)
    n: int = Field(0, ge=0)
    se: NotNegative | None = None
    control_fpr: FalsePositives | None = None
    sources: tuple[Source, ...] = ()
    reason: str = ""
    previous: tuple[FormerGate, ...] = ()
    user: str = ""
    time: str = ""
    version: str = ""

    @model_validator(mode="after")
    def _value_or_reason(self) -> Gate:
        if (self.value is None) != (self.method == "none"):
            raise ValueError("a gate has a value, or the method 'none' and a reason")
        if self.value is None and not self.reason:
            raise ValueError("a gate without a value says why in `reason`")
        return self

    def band_or(self, default: float) -> float:
        """Half-width of the indeterminate band as a share of the gate.

        A fixed gate from a file has none, unless the file gives one.
        """
        if self.band is not None:
            return self.band
        return 0.0 if self.method == "file" else default

    @property
    def _wildcards(self) -> int:
        return sum(v == ALL for v in (self.panel, self.batch, self.acquisition, self.column))

    def fits(self, panel: str, column: str, batch: str, acquisition: str) -> bool:
        """Whether the gate holds for a column of a panel's cells from a batch."""
        pairs = (
            (self.panel, panel),
            (self.column, column),
            (self.batch, batch),
            (self.acquisition, acquisition),
        )
        return all(mine in (ALL, theirs) for mine, theirs in pairs)


def select_gate(
    gates: Iterable[Gate],
    marker: str,
    column: str,
    *,
    panel: str = "",
    batch: str = "",
    acquisition: str = "",
) -> Gate | None:
    """Find the gate for a marker's column; the one with fewest ``*`` goes first.

    Raises
    ------
    GatesError
        Two gates fit equally well.
    """
    fitting = [g for g in gates if g.marker == marker and g.fits(panel, column, batch, acquisition)]
    if not fitting:
        return None
    fewest = min(g._wildcards for g in fitting)
    best = [g for g in fitting if g._wildcards == fewest]
    if len(best) > 1:
        raise GatesError(
            f"two gates fit {column} (panel {panel or '-'}, batch {batch or '-'}, "
            f"acquisition {acquisition or '-'}): "
            f"{' and '.join(str(g.value) for g in best)}; keep one, or give each its batch"
        )
    return best[0]


def scale_gates(gates: Iterable[Gate], marker: str, factor: float) -> tuple[Gate, ...]:
    """Multiply the gates of one marker by a factor, to see what hangs on them."""
    return tuple(
        g.model_copy(update={"value": g.value * factor})
        if g.marker == marker and g.value is not None
        else g
        for g in gates
    )


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
    """Set gates from cells that cannot be positive.

    One gate per panel, batch, acquisition, marker and measure that the samples need: the
    percentile (linear interpolation) of the evaluable control cells of that panel, batch and
    acquisition. Nothing is guessed from the samples: where no control tells, the gate has the
    method ``none`` with the reason ``no_control``, ``control_clipped`` (all of them are),
    ``control_too_few_cells`` or ``control_no_signal`` (the percentile is not positive).

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

    Returns
    -------
    tuple of Gate
        Sorted by panel, batch and acquisition; markers in the panel's order.

    Raises
    ------
    TableError
        A column is missing.
    """
    scope = [t.PANEL, t.BATCH, t.ACQUISITION]
    t.require(samples, scope, source="sample cells")
    t.require(controls, [*scope, t.FIELD], source="control cells")
    if t.EVALUABLE in controls.columns:
        controls = controls[controls[t.EVALUABLE].astype(bool)]
    wanted = samples[scope].astype(str).drop_duplicates().sort_values(scope)
    place = controls[scope].astype(str)
    stamp = {"user": user, "time": time, "version": version}
    gates = []
    for name, batch, acquisition in wanted.itertuples(index=False):
        here = (
            (place[t.PANEL] == name)
            & (place[t.BATCH] == batch)
            & (place[t.ACQUISITION] == acquisition)
        )
        cells = controls[here.to_numpy(dtype=bool)]
        fields = sorted(cells[t.FIELD].unique())
        sources = tuple(Source(field=f, hash=(hashes or {}).get(f, "")) for f in fields)
        for channel in panels[name].gated:
            for measure in channel.measures:
                found = _control_gate(cells, channel, measure, gating)
                values = {"panel": name, "batch": batch, "acquisition": acquisition}
                gates.append(Gate(**values, **found, sources=sources, **stamp))
    return tuple(gates)


def _control_gate(
    cells: pd.DataFrame, channel: Channel, measure: Measure, gating: Gating
) -> dict[str, object]:
    gate: dict[str, object] = {
        "marker": channel.marker,
        "column": t.measure_column(channel.marker, measure.compartment, measure.statistic),
        "method": "none",
    }
    if cells.empty:
        return gate | {"reason": "no_control"}
    if t.COMPARABLE in cells.columns:
        cells = cells[cells[t.COMPARABLE].astype(bool)]
    if cells.empty:
        return gate | {"reason": "control_clipped"}
    values = measure_values(cells, channel.marker, measure)
    finite = np.isfinite(values)
    values, fields = values[finite], cells[t.FIELD].to_numpy()[finite]
    gate["n"] = int(values.size)
    if values.size < gating.min_control_cells:
        return gate | {"reason": "control_too_few_cells"}
    value = float(np.percentile(values, gating.control_percentile))
    if value <= 0:
        return gate | {"reason": "control_no_signal"}
    return gate | {
        "method": "control_percentile",
        "value": value,
        "percentile": gating.control_percentile,
        "se": quantile_se(values, gating.control_percentile / 100),
        "control_fpr": false_positives(
            values, fields, gating.control_percentile, gating.indeterminate_band
        ),
    }


def quantile_se(values: NDArray[np.float64], probability: float) -> float | None:
    """Estimate the standard error of a quantile by order statistics.

    Parameters
    ----------
    values
        (N,) sample.
    probability
        Of the quantile, between 0 and 1.

    Returns
    -------
    float or None
        None where the sample is too small for the quantile.

    Notes
    -----
    Maritz and Jarrett, J Am Stat Assoc 1978;73:194. Cells count as independent.
    """
    from scipy.stats import mstats

    rank = int(probability * values.size + 0.5)
    if not 1 < rank < values.size:
        return None
    return float(mstats.mjci(values, prob=[probability])[0])


def false_positives(
    values: NDArray[np.float64],
    fields: Sequence[str] | NDArray[np.object_],
    percentile: float,
    band: float,
) -> FalsePositives | None:
    """Find the positive share of each control field, under the gate of the other fields.

    On the cells that set it a gate's share is fixed by construction; only cells that it has not
    seen tell what it lets through.

    Parameters
    ----------
    values
        (N,) statistic of the control cells.
    fields
        (N,) field of each.
    percentile
        That sets the gate.
    band
        Indeterminate band; cells within it are left out, as they are in the samples.

    Returns
    -------
    FalsePositives or None
        None with fewer than two fields.
    """
    rates = []
    for name in np.unique(np.asarray(fields, dtype=str)):
        own = np.asarray(fields, dtype=str) == name
        if own.all():
            return None
        gate = float(np.percentile(values[~own], percentile))
        calls = call(values[own], gate, band)
        n_positive = int((calls == POSITIVE_CODE).sum())
        n_called = n_positive + int((calls == NEGATIVE_CODE).sum())
        if n_called:
            rates.append(n_positive / n_called)
    if len(rates) < 2:
        return None
    mean, sd = float(np.mean(rates)), float(np.std(rates, ddof=1))
    return FalsePositives(mean=mean, sd=sd, blank_limit=mean + 1.645 * sd, n_fields=len(rates))

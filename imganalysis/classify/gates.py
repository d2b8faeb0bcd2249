"""Gates: thresholds on one statistic of one marker, and which one holds for which cells."""

# ruff: noqa: TC001 - pydantic reads the types of the fields
from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from imganalysis import tables as t
from imganalysis.classify.gate_parts import (
    FalsePositives,
    FormerGate,
    Method,
    Mixture,
    Quantiles,
    SoftCurve,
    Source,
    Verdict,
)
from imganalysis.errors import GatesError
from imganalysis.settings_base import Fraction, Model, NotNegative, Positive

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

    from imganalysis.panel import Panel

ALL = "*"
"""Stands for every panel, batch, acquisition or column."""

COMPUTED = ("control_percentile", "reference", "mixture")
"""Methods of gates that no person set."""


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
    method: Method = "file"
    band: Fraction | None = None
    percentile: float | None = Field(None, gt=0, lt=100)
    n: int = Field(0, ge=0)
    se: NotNegative | None = None
    control_fpr: FalsePositives | None = None
    quantiles: Quantiles | None = None
    mixture: Mixture | None = None
    soft: SoftCurve | None = None
    sources: tuple[Source, ...] = ()
    reason: str = ""
    note: str = ""
    flags: tuple[str, ...] = ()
    alternatives: tuple[Verdict, ...] = ()
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

    def limits(self, default: float) -> tuple[float, float]:
        """Where calls change: negative under the first, positive from the second on.

        A mixture's are those of its posterior, unless somebody gave the gate a band; else the
        band lies around the value. NaN without a value.

        Parameters
        ----------
        default
            Half-width of the band of gates that do not give their own, as a share of the gate.
        """
        if self.value is None:
            return math.nan, math.nan
        if self.method == "mixture" and self.mixture is not None and self.band is None:
            # Of a gate that was multiplied, by as much.
            times = self.value / self.mixture.value
            return self.mixture.low * times, self.mixture.high * times
        band = self.band_or(default)
        return self.value * (1 - band), self.value * (1 + band)

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


def ungated_markers(
    panel: Panel, fields: pd.DataFrame, gates: Sequence[Gate]
) -> set[tuple[str, str]]:
    """Give (field, marker) pairs of which a measure has no gate.

    Parameters
    ----------
    panel
        Its gated markers are asked for.
    fields
        Those of the panel: ``field``, ``batch``, ``acquisition``.
    gates
        Of the study.
    """
    found = set()
    scope = fields[[t.FIELD, t.BATCH, t.ACQUISITION]].astype(str)
    for own, mine in scope.groupby([t.BATCH, t.ACQUISITION], sort=False):
        batch, acquisition = map(str, own)
        place = {"panel": panel.name, "batch": batch, "acquisition": acquisition}
        for channel in panel.gated:
            for column in channel.columns:
                gate = select_gate(gates, channel.marker, column, **place)
                if gate is None or gate.value is None:
                    found |= {(name, channel.marker) for name in mine[t.FIELD]}
    return found

"""Counts of cells per field become fractions and densities per biopsy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.panel import markers_needed
from imganalysis.quantify.statistics import Estimate, cluster_density, cluster_proportion
from imganalysis.quantify.uncertainty import doubts, field_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from imganalysis.panel import FractionOf, Panel
    from imganalysis.settings import Summary

NAN = float("nan")
SIDES = ("numerator", "denominator")

BELOW_BLANK = "below_LoD"
"""Flag of a fraction whose interval's lower end is no higher than the limit of blank."""

UNKNOWN_BLANK = "lod_unknown"
"""Flag of a fraction of which that cannot be told."""


@dataclass(frozen=True)
class Counts:
    """Evaluable cells per field and class, as called and as they might have been.

    Parameters
    ----------
    called
        Index: field; columns: classes.
    uncapped
        The same without caps.
    scaled
        marker -> (with its gate lowered, with its gate raised).
    bounds
        fraction -> column ``open``: unresolved cells that are certainly in the denominator, and
        perhaps in the numerator.
    false_positives
        fraction -> columns ``numerator`` and ``denominator``: cells per field that false calls
        alone would put there, at the limit of blank of the gates, and ``detectable``: in the
        numerator, at their limit of detection; NaN where it is unknown.
    ungated
        (field, marker) pairs without a gate.
    certain
        Name of a table (``called``, ``uncapped``, ``unmerged``, `scaled_key`) -> fraction/variant
        -> (fields, 2) unresolved cells that are in its numerator, and in its denominator, whatever
        their class is.
    unmerged
        As `called`, every fragment counted as a cell; None where that is not known.
    indeterminate
        Index: field; columns: markers; cells whose call is indeterminate, NaN in fields that do
        not show the marker.
    drawn
        fraction -> (draws, fields, 2) cells in the numerator and denominator with every gate
        moved by its standard error; NaN in fields with a gate that has none.
    soft
        fraction -> columns ``numerator`` and ``denominator``: sums of the cells' probabilities;
        NaN where a marker has none.
    decided
        fraction -> (fields, 34) as `imganalysis.quantify.misclassified` reads it.
    """

    called: pd.DataFrame
    uncapped: pd.DataFrame
    scaled: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]] = field(default_factory=dict)
    bounds: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    false_positives: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    ungated: frozenset[tuple[str, str]] = frozenset()
    certain: Mapping[str, Mapping[str, NDArray[np.int64]]] = field(default_factory=dict)
    unmerged: pd.DataFrame | None = None
    indeterminate: pd.DataFrame | None = None
    drawn: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    soft: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    decided: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def table(self, key: str) -> pd.DataFrame | None:
        """Find the counts by class under a name of `certain`."""
        for marker, pair in self.scaled.items():
            for end, table in enumerate(pair):
                if key == scaled_key(marker, end):
                    return table
        return {"called": self.called, "uncapped": self.uncapped, "unmerged": self.unmerged}.get(
            key
        )


def scaled_key(marker: str, end: int) -> str:
    """Name of the counts with a marker's gate lowered (0) or raised (1)."""
    return f"{marker}/{end}"


def tally(
    fields: Sequence[str] | pd.Index[str], classes: Sequence[str], cells: pd.DataFrame
) -> pd.DataFrame:
    """Count cells per field and class.

    Parameters
    ----------
    fields, classes
        Rows and columns of the result, in this order, also where nothing was counted.
    cells
        One row per cell that counts, with the columns ``field`` and ``phenotype``.
    """
    rows = pd.Index(fields).get_indexer(pd.Index(cells[t.FIELD]))
    columns = pd.Index(classes).get_indexer(pd.Index(cells[t.PHENOTYPE]))
    if (rows < 0).any() or (columns < 0).any():
        raise ValueError("a cell of an unknown field or class")
    flat = np.bincount(rows * len(classes) + columns, minlength=len(fields) * len(classes))
    shaped = flat.reshape(len(fields), len(classes))
    return pd.DataFrame(shaped, index=pd.Index(fields), columns=pd.Index(classes))


def tally_codes(
    rows: NDArray[np.intp], columns: NDArray[np.intp], shape: tuple[int, int]
) -> NDArray[np.int64]:
    """Count cells by the position of their field and class.

    Parameters
    ----------
    rows, columns
        (N,) of each cell.
    shape
        Number of fields and classes.

    Returns
    -------
    array
        (fields, classes).
    """
    return np.bincount(rows * shape[1] + columns, minlength=shape[0] * shape[1]).reshape(shape)


def fraction_names(panels: Iterable[Panel]) -> list[FractionOf]:
    """Fractions of all panels, endpoints first; of those of one name the first."""
    seen: dict[str, FractionOf] = {}
    for panel in panels:
        for fraction in panel.fractions:
            seen.setdefault(fraction.name, fraction)
    return sorted(seen.values(), key=lambda fraction: not fraction.endpoint)


def field_sums(
    name: str, fields: pd.DataFrame, counts: Counts, panels: Mapping[str, Panel]
) -> Callable[[str, str], NDArray[np.float64]]:
    """Say what counts the cells of a fraction per field, by each field's panel.

    Returns
    -------
    callable
        (variant/side, name of a table) -> (fields,).
    """
    rows = counts.called.index.get_indexer(pd.Index(fields[t.FIELD]))
    own = {
        panel: (panels[panel], (fields["panel"] == panel).to_numpy())
        for panel in fields["panel"].unique()
    }

    def sums(part: str, key: str) -> NDArray[np.float64]:
        variant, _, side = part.partition("/")
        table = counts.table(key)
        if table is None:
            return np.full(len(fields), NAN)
        out, values = np.zeros(len(fields)), table.to_numpy()
        for panel, mine in own.values():
            whole = next(f for f in panel.fractions if f.name == name)
            rule: Any = whole.variants[variant] if variant else whole
            columns = table.columns.get_indexer(pd.Index(getattr(rule, side)))
            out[mine] = values[np.ix_(rows[mine], columns)].sum(axis=1)
        more = counts.certain.get(key, {}).get(f"{name}/{variant}")
        return out if more is None else out + more[rows, SIDES.index(side)]

    return sums


def _many_sections(fields: pd.DataFrame) -> int:
    """Most sections of one panel."""
    return int(fields.groupby("panel")["section"].nunique().max()) if len(fields) else 0


def clustering(fields: pd.DataFrame) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Say what sums fields to clusters: sections where a panel has three or more, else fields.

    Returns
    -------
    callable
        (..., fields) -> (..., clusters).
    """
    if _many_sections(fields) < 3:
        return lambda values: values
    keys = [fields["panel"].to_numpy(), fields["section"].astype(str).to_numpy()]
    which = pd.Series(0, index=range(len(fields))).groupby(keys, sort=True).ngroup().to_numpy()
    sections = which == np.arange(which.max() + 1)[:, np.newaxis]
    return lambda values: values @ sections.T.astype(values.dtype)


@dataclass(frozen=True)
class FractionRow:
    """What one fraction adds to the row of a biopsy.

    Parameters
    ----------
    columns
        Name -> value.
    gates
        Name -> value with one gate moved.
    flags
        Fixed words.
    reason
        Fixed word where the fraction cannot be had, else empty.
    reasons
        ``column: word`` of its further columns that cannot be had where the fraction can.
    """

    columns: dict[str, Any]
    gates: dict[str, float]
    flags: tuple[str, ...]
    reason: str
    reasons: tuple[str, ...] = ()


def fraction_row(
    fraction: FractionOf,
    fields: pd.DataFrame,
    counts: Counts,
    panels: Mapping[str, Panel],
    settings: Summary,
    markers: Sequence[str],
) -> FractionRow:
    """All columns of one fraction of one biopsy.

    Parameters
    ----------
    fraction
        What to compute; each field's own panel says which classes it takes.
    fields
        The biopsy's analysed fields of panels that have the fraction: columns ``field``,
        ``panel``, ``section``.
    counts
        Cells per field and class.
    panels
        By name.
    settings
        Confidence, minimums.
    markers
        Gated markers of the study's panels that have the fraction; each gets its columns.
    """
    name, scale = fraction.name, 100.0 if fraction.percent else 1.0

    clusters = clustering(fields)
    sums = field_sums(name, fields, counts, panels)

    def ratio(key: str, variant: str = "") -> float:
        den = sums(f"{variant}/denominator", key).sum()
        return float(scale * sums(f"{variant}/numerator", key).sum() / den) if den else NAN

    reason = _reason(fraction, fields, counts, panels)
    apart = [sums(f"/{side}", "called") for side in SIDES]
    x, n = map(clusters, apart)
    row: dict[str, Any] = {fraction.count: NAN if reason else int(n.sum())}
    blank = _blank(name, fields, counts)
    # No more cells than the controls alone would give are no cells to speak of.
    if not reason and n.sum() <= (0 if blank is None else blank["denominator"]):
        reason = fraction.empty_reason
    e = Estimate() if reason else _estimate(x, n, settings)
    row |= {name: scale * e.value, f"{name}_lo": scale * e.lo, f"{name}_hi": scale * e.hi}
    flags = [] if reason else _flags(fraction, apart[1], fields, settings)
    if not reason and blank is None:
        flags.append(UNKNOWN_BLANK)
    elif not reason and blank is not None and e.lo * n.sum() <= blank["numerator"]:
        flags.append(BELOW_BLANK)
    if fraction.endpoint:
        row |= {f"{name}_naive_lo": scale * e.naive_lo, f"{name}_naive_hi": scale * e.naive_hi}
    more = doubts(fraction, fields, counts, panels, settings, e, (apart[0], apart[1]), clusters)
    row |= more.columns
    flags += more.flags
    for variant in fraction.variants:
        row[f"{name}_{variant}"] = NAN if reason else ratio("called", variant)
    if not fraction.endpoint:
        return FractionRow(row, {}, tuple(flags), reason, more.reasons)
    open_ = 0.0
    if name in counts.bounds:
        open_ = float(counts.bounds[name].loc[list(fields[t.FIELD]), "open"].sum())
    most = n.sum() + open_
    known = not reason and most > 0
    row[f"{name}_bound_lo"] = scale * x.sum() / most if known else NAN
    row[f"{name}_bound_hi"] = scale * (x.sum() + open_) / most if known else NAN
    row[f"{name}_uncapped"] = NAN if reason else ratio("uncapped")
    row[f"{name}_unmerged"] = NAN if reason else ratio("unmerged")
    row |= {"deff": e.deff, "icc": e.icc, "ci_method": e.method}
    moved: dict[str, float] = {}
    for marker in markers:
        for end, word in enumerate(("low", "high")):
            value = NAN if reason else ratio(scaled_key(marker, end))
            moved[f"{name}_gate_{marker}_{word}"] = value
    return FractionRow(row, moved, tuple(flags), reason, more.reasons)


def _estimate(x: NDArray[Any], n: NDArray[Any], settings: Summary) -> Estimate:
    return cluster_proportion(
        x, n, confidence=settings.confidence, deff_default=settings.deff_default
    )


def _reason(
    fraction: FractionOf, fields: pd.DataFrame, counts: Counts, panels: Mapping[str, Panel]
) -> str:
    if fields.empty:
        return "not_stained"
    for label, panel in zip(fields[t.FIELD], fields["panel"], strict=True):
        own = next(f for f in panels[panel].fractions if f.name == fraction.name)
        needed = markers_needed(panels[panel], (*own.numerator, *own.denominator))
        if any((label, marker) in counts.ungated for marker in needed):
            return "ungated"
    return ""


def _blank(name: str, fields: pd.DataFrame, counts: Counts) -> dict[str, float] | None:
    """Cells that false calls alone would give in a biopsy, where that is known."""
    table = counts.false_positives.get(name)
    if table is None:
        return None
    mine = table.loc[list(fields[t.FIELD]), ["numerator", "denominator"]].to_numpy(dtype=float)
    numerator, denominator = mine.sum(axis=0)
    if not np.isfinite(numerator + denominator):
        return None
    return {"numerator": float(numerator), "denominator": float(denominator)}


def _flags(
    fraction: FractionOf,
    n: NDArray[Any],
    fields: pd.DataFrame,
    settings: Summary,
) -> list[str]:
    flags = []
    total, n_fields = int(n.sum()), int((n > 0).sum())
    if fraction.endpoint and (total < settings.minimum_cells or n_fields < settings.minimum_fields):
        flags.append("below_minimum")
    if total < settings.low_cells or (fraction.endpoint and n_fields < settings.low_fields):
        flags.append("low_count")
    if _many_sections(fields) > 1:
        flags.append("adjacent_sections")
    if fields["panel"].nunique() > 1:
        flags.append("panels_pooled")
    return flags


def density_columns(
    name: str, counts: Sequence[float], areas_mm2: Sequence[float], settings: Summary
) -> dict[str, float]:
    """Columns of the density of one class in one biopsy, cells per mm2 of tissue.

    Parameters
    ----------
    name
        The class.
    counts, areas_mm2
        One number per field; an unknown area (NaN) makes the density unknown.
    settings
        Confidence, design effect where the fields cannot tell it.
    """
    areas = np.asarray(areas_mm2, dtype=float)
    e = Estimate()
    if areas.size and np.isfinite(areas).all():
        # Cells without tissue under them are not evaluable, so an area of 0 has count 0.
        e = cluster_density(
            counts, areas, confidence=settings.confidence, deff_default=settings.deff_default
        )
    column = f"{name}_per_mm2"
    mean = field_mean(counts, areas) if np.isfinite(e.value) else NAN
    ends = {f"{column}_lo": e.lo, f"{column}_hi": e.hi}
    return {column: e.value, **ends, f"{column}_field_mean": mean}

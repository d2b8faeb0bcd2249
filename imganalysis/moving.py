"""Moving a gate and seeing at once what it does; region, contexts and fragments stay."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.counted import Counted, Part, membership
from imganalysis.counting import count_cells, ungated_fields
from imganalysis.panel import markers_needed
from imganalysis.quantify.statistics import cluster_proportion
from imganalysis.quantify.summary import clustering, fraction_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from imganalysis.classify.gates import Gate
    from imganalysis.panel import Panel
    from imganalysis.quantify.summary import Counts
    from imganalysis.settings import Settings


@dataclass(frozen=True)
class Held:
    """Counted cells of a study, ready to be called by other gates.

    Parameters
    ----------
    parts
        Of `imganalysis.second_half.judge`, one per panel.
    fields
        One row per sample field: ``field``, ``biopsy``, ``panel``, ``section``.
    panels
        By name.
    settings
        Of the run.
    clusters
        (biopsy, fields shown) -> what sums them to clusters: found once, as fields do not change.
    """

    parts: tuple[Part, ...]
    fields: pd.DataFrame
    panels: Mapping[str, Panel]
    settings: Settings
    clusters: dict[tuple[int, bytes], Callable[[NDArray[Any]], NDArray[Any]]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def names(self) -> pd.Index[Any]:
        """Names of the fields."""
        names: pd.Index[Any] = pd.Index(self.fields[t.FIELD])
        return names


@dataclass(frozen=True)
class Moved:
    """What other gates give.

    Parameters
    ----------
    held
        The same cells with their new calls; the next gate may be moved from here.
    fractions
        Index: biopsy; of each fraction the count of its denominator, value, ``_lo``, ``_hi``.
    counts
        Index: field; columns: classes.
    phenotype
        Per panel (counted cells,) class as a position in ``panel.classes``; their number where it
        is unresolved.
    """

    held: Held
    fractions: pd.DataFrame
    counts: pd.DataFrame
    phenotype: dict[str, NDArray[np.int16]]


def move_gates(held: Held, gates: Sequence[Gate]) -> Moved:
    """Call, classify and count by other gates, and give the fractions with their intervals.

    What hangs on neighbours (region, contexts, fragments) stays as it was, as it does where
    `imganalysis` tells how much hangs on a gate; a run with these gates works it out anew, and
    says where there are no more cells than false calls would give.

    Parameters
    ----------
    held
        The cells.
    gates
        All gates of the study, those that were not moved too.

    Raises
    ------
    GatesError
        Two gates fit equally well.
    """
    parts = tuple(replace(part, recall=part.recall.regated(gates)) for part in held.parts)
    names = held.names
    classes = [*dict.fromkeys(c for p in held.panels.values() for c in p.classes), t.UNRESOLVED]
    counted = [Counted(part, names, classes) for part in parts]
    none = np.zeros((len(names), len(classes)), np.int64)
    table = sum((one.tally(one.recall.states) for one in counted), start=none)
    counts = pd.DataFrame(table, index=names, columns=classes)
    phenotype = {part.panel.name: part.recall.found[part.recall.states] for part in parts}
    moved = replace(held, parts=parts)
    return Moved(moved, _fractions(moved, counted), counts, phenotype)


def recount(held: Held, gates: Sequence[Gate]) -> Counts:
    """Count by other gates all that ``biopsies.csv`` needs; slower than `move_gates`."""
    parts = [replace(part, recall=part.recall.regated(gates)) for part in held.parts]
    return count_cells(parts, held.names, held.panels, held.settings.gating)


def _fractions(held: Held, counted: Sequence[Counted]) -> pd.DataFrame:
    settings = held.settings.summary
    panel_of = held.fields["panel"].to_numpy(dtype=object)
    ungated = ungated_fields(held.parts)
    sides: dict[str, tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]] = {}
    fractions = fraction_names(held.panels.values())
    for fraction in fractions:
        x, n = np.zeros(len(panel_of), np.int64), np.zeros(len(panel_of), np.int64)
        shown, lost = np.zeros(len(panel_of), bool), np.zeros(len(panel_of), bool)
        for one in counted:
            own = next((f for f in one.part.panel.fractions if f.name == fraction.name), None)
            if own is not None:
                above, below = membership(one, own)
                states, many = one.recall.states, len(panel_of)
                x += np.bincount(one.rows[above[states]], minlength=many)
                n += np.bincount(one.rows[below[states]], minlength=many)
                shown |= panel_of == one.part.panel.name
                needed = markers_needed(one.part.panel, (*own.numerator, *own.denominator))
                lacking = {name for name, marker in ungated if marker in needed}
                lost |= (panel_of == one.part.panel.name) & held.names.isin(lacking)
        sides[fraction.name] = x, n, shown, lost
    code, biopsies = pd.factorize(held.fields[t.BIOPSY])
    rows = []
    for i in range(len(biopsies)):
        mine = np.flatnonzero(code == i)
        row: dict[str, Any] = {}
        for fraction in fractions:
            x, n, shown, lost = (values[mine] for values in sides[fraction.name])
            known = bool(shown.any() and not lost.any())
            scale = 100.0 if fraction.percent else 1.0
            e = None
            if known:
                key = (i, shown.tobytes())
                if key not in held.clusters:
                    group = held.fields.iloc[mine[shown]].reset_index(drop=True)
                    held.clusters[key] = clustering(group)
                sums = held.clusters[key]
                e = cluster_proportion(
                    sums(x[shown]), sums(n[shown]),
                    confidence=settings.confidence, deff_default=settings.deff_default,
                )  # fmt: skip
            ends = (np.nan,) * 3 if e is None else (e.value, e.lo, e.hi)
            row[fraction.count] = n[shown].sum() if known else np.nan
            for end, value in zip(("", "_lo", "_hi"), ends, strict=True):
                row[f"{fraction.name}{end}"] = scale * value
        rows.append(row)
    return pd.DataFrame(rows, index=pd.Index(biopsies, name=t.BIOPSY))

"""The counts of a study read once for all its biopsies: arrays over its analysed fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.panel import markers_needed
from imganalysis.quantify.misclassified import deciding_marker
from imganalysis.quantify.summary import SIDES, fraction_names, scaled_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from imganalysis.panel import FractionOf, Panel
    from imganalysis.quantify.summary import Counts

    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class FractionCounts:
    """What the analysed fields of a study count for one fraction.

    Parameters
    ----------
    fraction
        Which; each field's own panel says which classes it takes.
    panels
        Those that have it, by name.
    markers
        Their gated markers that decide on it, in the panels' order, each once.
    shown
        (fields,) bool: the field's panel has it.
    ungated
        (fields,) bool: a marker that decides on it has no gate.
    sums
        (``VARIANT/SIDE``, name of a table of `Counts`) -> (fields,) cells; NaN where there is no
        such table.
    open
        (fields,) unresolved cells that are perhaps in the numerator.
    blank
        ``numerator``, ``denominator``, ``detectable`` -> (fields,) cells that false calls alone
        would give, as far as that was asked.
    soft
        Side -> (fields,) sums of probabilities; None without.
    drawn
        (draws, fields, 2) as `Counts` has it; None without.
    decided
        (fields, 34) likewise.
    undecided
        (fields,) bool: in the field's panel no one marker decides on it.
    """

    fraction: FractionOf
    panels: Mapping[str, Panel]
    markers: tuple[str, ...]
    shown: Bools
    ungated: Bools
    sums: Mapping[tuple[str, str], Floats]
    open: Floats
    blank: Mapping[str, Floats]
    soft: Mapping[str, Floats] | None
    drawn: Floats | None
    decided: Floats | None
    undecided: Bools


@dataclass(frozen=True)
class StudyCounts:
    """What the analysed fields of a study count for.

    Parameters
    ----------
    fractions
        Endpoints first.
    called
        Class -> (fields,) cells.
    ungated
        Class -> (fields,) bool: a marker that decides on it has no gate; classes of the field's
        own panel.
    indeterminate
        Marker -> (fields,) cells; NaN in fields that do not show it.
    """

    fractions: tuple[FractionCounts, ...]
    called: Mapping[str, NDArray[np.int64]]
    ungated: Mapping[str, Bools]
    indeterminate: Mapping[str, Floats]


def read_counts(fields: pd.DataFrame, counts: Counts, panels: Mapping[str, Panel]) -> StudyCounts:
    """Read the counts of fields.

    Parameters
    ----------
    fields
        Analysed fields: ``field`` and ``panel``. Arrays are in their order.
    counts
        Evaluable cells per field and class.
    panels
        By name.

    Raises
    ------
    KeyError
        Nothing was counted in a field.
    """
    names = pd.Index(fields[t.FIELD])
    rows = counts.called.index.get_indexer(names)
    if (rows < 0).any():
        raise KeyError(f"no counts of fields {', '.join(map(str, names[rows < 0]))}")
    owner = fields["panel"].to_numpy(dtype=object)
    of_panel = {str(name): owner == name for name in pd.unique(owner)}
    lacking: dict[str, Bools] = {}
    for marker in dict.fromkeys(marker for _, marker in counts.ungated):
        lacking[marker] = names.isin([name for name, other in counts.ungated if other == marker])

    def ungated(classes: Mapping[str, Iterable[str]]) -> Bools:
        """Fields that lack a gate for some classes, which are given by panel."""
        found = np.zeros(len(rows), dtype=bool)
        for panel, own in classes.items():
            for marker in markers_needed(panels[panel], own) & lacking.keys():
                found |= of_panel[panel] & lacking[marker]
        return found

    def column(table: pd.DataFrame, name: str) -> Any:
        return table[name].to_numpy()[rows]

    fractions = []
    for fraction in fraction_names(panels.values()):
        name = fraction.name
        own = {k: f for k, p in panels.items() for f in p.fractions if f.name == name}
        needed = {
            k: markers_needed(panels[k], (*f.numerator, *f.denominator)) for k, f in own.items()
        }
        markers = [c.marker for k in own for c in panels[k].gated if c.marker in needed[k]]
        blank, soft = counts.false_positives.get(name), counts.soft.get(name)
        open_ = np.zeros(len(rows))
        if name in counts.bounds:
            open_ = column(counts.bounds[name], "open").astype(np.float64)
        decided = counts.decided.get(name)
        fractions.append(
            FractionCounts(
                fraction,
                {k: panels[k] for k in own},
                tuple(dict.fromkeys(markers)),
                np.isin(owner, list(own)),
                ungated(
                    {k: (*own[k].numerator, *own[k].denominator) for k in of_panel if k in own}
                ),
                _sums(own, of_panel, rows, counts, tuple(dict.fromkeys(markers))),
                open_,
                {} if blank is None else {str(c): column(blank, c) for c in blank.columns},
                None if soft is None else {side: column(soft, side) for side in SIDES},
                None if name not in counts.drawn else counts.drawn[name][:, rows],
                None if decided is None else decided[rows],
                np.isin(owner, [k for k, f in own.items() if not deciding_marker(panels[k], f)]),
            )
        )
    some = counts.indeterminate
    return StudyCounts(
        tuple(fractions),
        {str(name): column(counts.called, name) for name in counts.called.columns},
        {
            name: ungated({k: [name] for k in of_panel})
            for name in dict.fromkeys(c for p in panels.values() for c in p.classes)
        },
        {} if some is None else {str(name): column(some, name) for name in some.columns},
    )


def _sums(
    own: Mapping[str, FractionOf],
    of_panel: Mapping[str, Bools],
    rows: NDArray[np.intp],
    counts: Counts,
    markers: tuple[str, ...],
) -> dict[tuple[str, str], Floats]:
    """Count the cells of a fraction per field, by each field's panel."""
    first = next(iter(own.values()))
    wanted = [(variant, "called") for variant in ("", *first.variants)]
    if first.endpoint:
        keys = ["uncapped", "unmerged", *(scaled_key(m, end) for m in markers for end in (0, 1))]
        wanted += [("", key) for key in keys]
    found = {}
    for variant, key in wanted:
        table = counts.table(key)
        more = counts.certain.get(key, {}).get(f"{first.name}/{variant}")
        for k, side in enumerate(SIDES):
            out = np.full(len(rows), 0.0 if table is not None else np.nan)
            if table is not None:
                values = table.to_numpy()
                for panel, whole in own.items():
                    if panel in of_panel:
                        rule: Any = whole.variants[variant] if variant else whole
                        columns = table.columns.get_indexer(pd.Index(getattr(rule, side)))
                        mine = of_panel[panel]
                        out[mine] = values[np.ix_(rows[mine], columns)].sum(axis=1)
                out = out if more is None else out + more[rows, k]
            found[f"{variant}/{side}", key] = out
    return found

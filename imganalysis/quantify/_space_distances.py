"""Rows of ``space.csv`` on distances: nearest neighbours, clusters, vessels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis import tables as t
from imganalysis.errors import TableError
from imganalysis.quantify._space_group import Named, joined
from imganalysis.quantify.biopsies import COUNTED_ROLES
from imganalysis.quantify.clustering import Pattern, clustering
from imganalysis.quantify.nearest import Distances, Value, compare, nearest_distance, together
from imganalysis.quantify.window import border_distance
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from imganalysis.panel import Panel
    from imganalysis.quantify._space_group import Group, SeenField

DYING = "apoptotic"
"""Word for the dying classes of the first of `COUNTED_ROLES`."""
TISSUE = "tissue"


def nearest_in_field(
    cells: pd.DataFrame, classes: Sequence[str], to: Sequence[str]
) -> NDArray[np.float64]:
    """Distance of each cell of some classes to the nearest other cell of some classes, um.

    Parameters
    ----------
    cells
        Evaluable cells of one field.
    classes, to
        From which, to which.

    Returns
    -------
    array
        One per cell of `classes`, in the order of `cells`; inf without a cell of `to`.

    Raises
    ------
    TableError
        Cells of several fields: places in different fields, or on different sections, have no
        distance.
    """
    t.require(cells, [t.FIELD, t.PHENOTYPE, t.Y, t.X], source="cells")
    found = cells[t.FIELD].unique()
    if len(found) > 1:
        raise TableError(
            f"cells: expected those of one field, found {plural(len(found), 'field')} "
            f"({', '.join(map(str, found[:3]))}); there is no distance between fields or sections"
        )
    mine = cells[cells[t.PHENOTYPE].isin(list(classes))]
    others = cells[cells[t.PHENOTYPE].isin(list(to))]
    return nearest_distance(
        mine[[t.Y, t.X]].to_numpy(dtype=np.float64),
        others[[t.Y, t.X]].to_numpy(dtype=np.float64),
        mine[t.PHENOTYPE].isin(list(to)).to_numpy(dtype=bool),
    )


def _selected(panel: Panel, word: str) -> list[Named]:
    """Classes that a word of the settings means."""
    if word in panel.classes:
        return [Named(word, (word,))]
    if word == DYING:
        found = [p.name for p in panel.phenotypes if p.role == COUNTED_ROLES[0] and p.apoptotic]
        return [Named(DYING, tuple(dict.fromkeys(found)))] if found else []
    found = [p.name for p in panel.phenotypes if p.role == word]
    return [Named(name, (name,)) for name in dict.fromkeys(found)]


def nearest_rows(group: Group) -> list[dict[str, Any]]:
    rows = []
    for first, second in group.space.pairs:
        to = tuple(name for one in _selected(group.panel, second) for name in one.classes)
        for who in _selected(group.panel, first):
            why = group.why_not((*who.classes, *to))
            if not to:
                why = "not_stained"
            parts = []
            for field in [] if why else group.fields:
                near = nearest_in_field(field.cells, who.classes, to)
                border = field.of(who.classes)[t.BORDER_DISTANCE].to_numpy(dtype=np.float64)
                parts.append(Distances.of(near, border, np.full(len(near), field.number)))
            names = ("nearest_median_um", "nearest_share")
            rows += _survival_rows(group, names, who.name, second, parts, why)
    return rows


def _survival_rows(
    group: Group,
    names: tuple[str, str],
    who: str,
    to: str,
    parts: Sequence[Distances],
    why: str,
) -> list[dict[str, Any]]:
    n = sum(len(part.length) for part in parts)
    base: dict[str, Any] = {"to": to, "reason": why or ("" if n else "no_cells")}
    if not base["reason"]:
        base |= {"n": n, "n_fields": sum(len(part.length) > 0 for part in parts)}
        found: tuple[Value, ...] = group.survival(parts)
    else:
        found = (Value(), Value())
    rows = []
    for name, value in zip(names, found, strict=True):
        row = group.row(name, who, **base) | vars(value)
        if not row["reason"] and np.isnan(value.value):
            row["reason"] = "censored"
        rows.append(row)
    return rows


def cluster_rows(group: Group) -> list[dict[str, Any]]:
    rows = []
    for who, among in group.fractions() if group.space.clusters else []:
        row = group.row("clustering_um", who.name, to=among.name)
        why = group.why_not(among.classes)
        if why:
            rows.append(row | {"reason": why})
            continue
        patterns = [_pattern(field, who, among) for field in group.fields]
        found = clustering(
            patterns,
            max_radius_um=group.space.max_radius_um,
            permutations=group.space.permutations,
            min_cells=group.space.min_cells,
        )
        chosen = [int(p.chosen.sum()) for p in patterns]
        row |= {"n": sum(n for n in chosen if n > 1), "n_fields": sum(n > 1 for n in chosen)}
        if found is None:
            rows.append(row | {"reason": "too_few_cells"})
            continue
        value, lo, hi = found.excess(group.space.radius_um)
        rows.append(row | {"value": value, "lo": lo, "hi": hi, "p": found.p})
    return rows


def _pattern(field: SeenField, who: Named, among: Named) -> Pattern:
    cells = field.of((*among.classes, *who.classes))
    y0, y1, x0, x1 = field.space.frame_um
    return Pattern(
        cells[[t.Y, t.X]].to_numpy(dtype=np.float64),
        cells[t.PHENOTYPE].isin(who.classes).to_numpy(dtype=bool),
        field.space.window,
        field.space.step_um,
        min(y1 - y0, x1 - x0),
    )


def vessel_rows(group: Group) -> list[dict[str, Any]]:
    names = ("vessel_median_um", "vessel_share")
    drawn = [field for field in group.fields if field.space.reference is not None]
    missing = "" if drawn else "no_vessels"
    # Places in the tissue need no gate; in thick stacks they are distances in the plane alone.
    tissue = [] if group.thick else [_reference(field) for field in drawn]
    rows = _survival_rows(
        group, names, TISSUE, "", tissue, "thick_stack" if group.thick else missing
    )
    for who in group.counted():
        why = group.why_not(who.classes) or missing
        parts = [] if why else [_to_vessel(field, who) for field in drawn]
        rows += _survival_rows(group, names, who.name, "", parts, why)
        rows.append(_difference(group, who.name, TISSUE, parts, tissue, why))
    for who, among in group.fractions():
        rest = joined(tuple(name for name in among.classes if name not in who.classes))
        why = group.why_not(among.classes) or missing
        mine = [] if why else [_to_vessel(field, who) for field in drawn]
        others = [] if why else [_to_vessel(field, rest) for field in drawn]
        rows.append(_difference(group, who.name, rest.name, mine, others, why))
    return rows


def _to_vessel(field: SeenField, who: Named) -> Distances:
    cells = field.of(who.classes)
    points = cells[[t.Y, t.X]].to_numpy(dtype=np.float64)
    return Distances.of(
        cells[t.VESSEL_DISTANCE].to_numpy(dtype=np.float64),
        border_distance(points, field.space.field_um),
        np.full(len(cells), field.number),
    )


def _reference(field: SeenField) -> Distances:
    places = field.space.reference
    if places is None:
        raise ValueError("a field without vessels")
    return Distances.of(places[:, 0], places[:, 1], np.full(len(places), field.number))


def _difference(
    group: Group,
    who: str,
    to: str,
    mine: Sequence[Distances],
    others: Sequence[Distances],
    why: str,
) -> dict[str, Any]:
    row = group.row("vessel_share_difference", who, to=to)
    first, second = together(mine), together(others)
    if why or not (len(first.length) and len(second.length)):
        return row | {"reason": why or "no_cells"}
    a, b = group.survival(mine)[1].value, group.survival(others)[1].value
    chosen = np.arange(len(first.length) + len(second.length)) < len(first.length)
    p = compare(together([*mine, *others]), chosen, group.space.permutations)
    return row | {
        "value": a - b,
        "n": len(first.length),
        "n_fields": sum(len(part.length) > 0 for part in mine),
        "p": p,
        "reason": "censored" if np.isnan(a - b) else "",
    }

"""Fragments of one dying nucleus become one cell, once the death marker's gate is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis import tables as t

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from imganalysis.settings_counting import Counting

CORNERS = 16  # of the polygon that stands for a fragment in a hull
_OF_CONTACTS = (t.CONTACT, t.CONTACT_AREA, t.CONTACT_SHARE, t.ARC_SHARE)
WEIGHTS = {"nucleus": t.AREA, "ring": t.RING_AREA, "cell": t.CELL_AREA}


def join_fragments(
    pairs: pd.DataFrame, gate: float, objects: pd.DataFrame, settings: Counting
) -> list[list[int]]:
    """Find which objects are fragments of one cell.

    Parameters
    ----------
    pairs
        As `imganalysis.quantify.fragments.fragment_pairs` gives them.
    gate
        Of the death marker, in its grey levels above the background.
    objects
        ``label``, centroid and ``equivalent_diameter_um`` of the field's objects.
    settings
        Gap, hull, solidity, condensation.

    Returns
    -------
    groups
        Labels of each cell of two objects or more, ascending; the groups by their first label.

    Notes
    -----
    Pairs are taken from the strongest bridge down, equal ones by their labels. A pair makes a
    cell if its gap is small and its union has gaps or condensed chromatin. One component of the
    death marker is one cell, so that what else it holds joins a cell that was made, however far
    from its fragments. Two groups become one only if every two of their objects are held by one
    component and the hull of all is no wider than a cell: a row of touching cells is not one.
    """
    held = pairs[(pairs[t.BRIDGE] >= gate) & (pairs[t.HULL] <= settings.fragment_hull_um)]
    held = held.sort_values([t.BRIDGE, t.LABEL_A, t.LABEL_B], ascending=[False, True, True])
    pieces = (held[t.UNION_SOLIDITY] < settings.fragment_solidity) | (
        held[t.DNA] > settings.fragment_dna
    )
    broken = (held[t.GAP] <= settings.fragment_gap_um) & pieces
    labels = [tuple(pair) for pair in held[[t.LABEL_A, t.LABEL_B]].to_numpy().tolist()]
    one_component = set(labels)
    group = {label: [label] for pair in labels for label in pair}
    where = objects.set_index(t.LABEL)

    def join(a: int, b: int) -> None:
        one, two = group[a], group[b]
        both = sorted({*one, *two})
        if one is two or not all((min(p, q), max(p, q)) in one_component for p in one for q in two):
            return
        if len(both) > 2 and hull_diameter(where.loc[both]) > settings.fragment_hull_um:
            return
        for label in both:
            group[label] = both

    for (a, b), seed in zip(labels, broken, strict=True):
        if seed:
            join(a, b)
    for a, b in labels:
        if len(group[a]) > 1 or len(group[b]) > 1:
            join(a, b)
    cells = {tuple(members) for members in group.values() if len(members) > 1}
    return [list(members) for members in sorted(cells)]


def hull_diameter(fragments: pd.DataFrame) -> float:
    """Diameter, um, of the circle (ball) of the hull of discs (balls) of the objects' sizes."""
    size = _hull_size(fragments)
    return float(np.cbrt(6 * size / np.pi) if _solid(fragments) else np.sqrt(4 * size / np.pi))


def _solid(fragments: pd.DataFrame) -> bool:
    return t.Z in fragments and bool(fragments[t.Z].notna().all())


def _hull_size(fragments: pd.DataFrame) -> float:
    from scipy.spatial import ConvexHull

    radius = fragments[t.DIAMETER].to_numpy(np.float64) / 2
    turn = 2 * np.pi * np.arange(CORNERS) / CORNERS
    if _solid(fragments):
        way = np.array(
            [
                (np.cos(v), np.sin(v) * np.cos(u), np.sin(v) * np.sin(u))
                for v in turn[: CORNERS // 2 + 1]
                for u in turn
            ]
        )
        axes = [t.Z, t.Y, t.X]
    else:
        way = np.column_stack([np.cos(turn), np.sin(turn)])
        axes = [t.Y, t.X]
    centre = fragments[axes].to_numpy(np.float64)
    points = centre[:, np.newaxis] + radius[:, np.newaxis, np.newaxis] * way
    return float(ConvexHull(points.reshape(-1, len(axes))).volume)


def number_cells(objects: pd.DataFrame, groups: Iterable[Sequence[int]]) -> pd.DataFrame:
    """Give every object the number of its cell, and how many objects that is.

    Returns
    -------
    objects
        A copy with ``cell_id``, the label of the cell's largest object (of equal ones the
        first), and ``n_fragments``.
    """
    label = objects[t.LABEL].to_numpy(np.int64)
    cell, count = label.copy(), np.ones(len(objects), np.int64)
    for members in groups:
        rows = np.flatnonzero(np.isin(label, list(members)))
        largest = rows[np.argmax(objects[t.DIAMETER].to_numpy(np.float64)[rows])]
        cell[rows], count[rows] = label[largest], len(rows)
    return objects.assign(**{t.CELL_ID: cell, t.FRAGMENTS: count})


def merged_cells(
    objects: pd.DataFrame,
    markers: Sequence[str],
    frame_um: tuple[float, float, float, float] | None = None,
) -> pd.DataFrame:
    """One row per cell: fragments are put together, all others stay as they are.

    Parameters
    ----------
    objects
        Of one field, with ``cell_id`` and ``n_fragments``.
    markers
        Whose measurements are put together.
    frame_um
        (y0, x0, y1, x1) um, from the field's upper left corner, in which the centroid of a
        counted cell lies; None where objects are counted by their pixels.

    Returns
    -------
    cells
        The columns of `objects`, in the order of its rows. Of a merged cell: ``label``,
        ``in_tissue`` and all that is not named here of its largest object; area, volume, ring
        and cell area, perimeter are sums; the centroid is weighted by size, the saturated share
        too; aspect ratio and solidity are those of discs of the fragments' sizes. Intensities
        are weighted by the area of their compartment: means and SD become those of all pixels
        together, sums are added, the least and the greatest kept; medians, percentiles and
        shares are the weighted mean of the fragments', near but not equal to those of all
        pixels. Whether it is counted is judged anew, with `imganalysis.quantify.frame.judge`.
    """
    many = objects[objects[t.FRAGMENTS] > 1]
    if many.empty:
        return objects
    cells = objects[objects[t.LABEL] == objects[t.CELL_ID]]
    groups = list(many.groupby(t.CELL_ID, sort=True))
    rows = [_merged(members, markers, frame_um) for _, members in groups]
    labels = cells[t.LABEL].to_numpy()
    at = [int(np.flatnonzero(labels == cell)[0]) for cell, _ in groups]
    changed = {}
    for column in rows[0]:
        new = np.array([row[column] for row in rows])
        values = cells[column].to_numpy(copy=True)
        values = values.astype(np.result_type(values, new), copy=False)
        values[at] = new
        changed[column] = values
    return cells.assign(**changed)


def merged_contacts(touching: pd.DataFrame, objects: pd.DataFrame) -> pd.DataFrame:
    """Contacts of cells from those of the objects that they are made of.

    Parameters
    ----------
    touching
        As `imganalysis.quantify.neighbours.contacts` gives it.
    objects
        Of the field, with ``cell_id`` and ``ring_area_um2``.

    Returns
    -------
    table
        One row per cell and neighbour, ascending. Contacts between the fragments of one cell are
        none. Lengths are sums; shares of the ring, and the means there, are weighted by the
        area of each fragment's ring; the share of the outline is left out.
    """
    cell = objects.set_index(t.LABEL)[t.CELL_ID]
    area = objects.set_index(t.LABEL)[t.RING_AREA].fillna(1.0)
    whole = area.groupby(cell).sum()
    pixels = (touching[t.ARC_SHARE] * touching[t.LABEL].map(area)).to_numpy(np.float64)
    table = touching.drop(columns=t.CONTACT_SHARE)
    table[t.LABEL], table[t.NEIGHBOUR] = (touching[c].map(cell) for c in t.PAIR)
    means = [c for c in touching.columns if c not in (*t.PAIR, *_OF_CONTACTS)]
    # An arc without a pixel has no mean, and none to give.
    light = touching[means].mul(pixels, axis=0)
    light[pixels == 0] = 0.0
    # Sums skip what is missing: infinite it stays in them.
    table[means], table[t.ARC_SHARE] = light.fillna(np.inf), pixels
    table = table[table[t.LABEL] != table[t.NEIGHBOUR]]
    sums = table.groupby(list(t.PAIR), sort=True).sum(min_count=1).reset_index()
    covered = sums[t.ARC_SHARE].to_numpy(np.float64)
    sums[means] = sums[means].div(np.where(covered > 0, covered, np.nan), axis=0)
    sums[means] = sums[means].where(np.isfinite(sums[means]))
    around = sums[t.LABEL].map(whole).to_numpy(np.float64)
    # A cell that others surround wholly has no ring, and no share of one.
    sums[t.ARC_SHARE] = covered / np.where(around > 0, around, np.nan)
    return sums


def _merged(
    members: pd.DataFrame,
    markers: Sequence[str],
    frame_um: tuple[float, float, float, float] | None,
) -> dict[str, Any]:
    solid = _solid(members)
    power = 3 if solid else 2
    size = np.power(members[t.DIAMETER].to_numpy(np.float64), float(power))
    row: dict[str, Any] = {t.DIAMETER: float(size.sum() ** (1 / power))}
    for column in (t.AREA, t.VOLUME, t.RING_AREA, t.CELL_AREA, t.PERIMETER):
        if column in members:
            row[column] = float(members[column].sum(skipna=False))
    for column in (t.Z, t.Y, t.X, t.SATURATED):
        if column in members:
            row[column] = _mean(members[column].to_numpy(np.float64), size)
    if t.ASPECT in members:
        row[t.ASPECT] = _aspect(members, size, [t.Z, t.Y, t.X] if solid else [t.Y, t.X])
    if not solid and t.SOLIDITY in members:
        row[t.SOLIDITY] = min(1.0, float(np.pi / 4 * size.sum()) / _hull_size(members))
    if t.IN_FRAME in members:
        if frame_um is not None:
            y0, x0, y1, x1 = frame_um
            row[t.IN_FRAME] = bool(y0 <= row[t.Y] < y1 and x0 <= row[t.X] < x1)
        else:
            row[t.IN_FRAME] = bool(members[t.IN_FRAME].any())
    for column in (t.ON_BORDER, t.ON_FIRST, t.ON_LAST):
        if column in members:
            row[column] = bool(members[column].any())
    for marker in markers:
        row |= _intensities(members, marker, size)
    return row


def _mean(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Weighted mean; what has no weight plays no part, what is unknown makes all unknown."""
    part = weights > 0
    if not part.any():
        return float("nan")
    return float(values[part] @ weights[part] / weights[part].sum())


def _aspect(members: pd.DataFrame, size: NDArray[np.float64], axes: list[str]) -> float:
    """Long over short axis of the ellipse with the second moments of discs (balls)."""
    place = members[axes].to_numpy(np.float64)
    share = size / size.sum()
    offset = place - share @ place
    own = members[t.DIAMETER].to_numpy(np.float64) ** 2 / (4 * (len(axes) + 2))
    moments = (offset.T * share) @ offset + np.eye(len(axes)) * float(share @ own)
    values = np.linalg.eigvalsh(moments)
    return float(np.sqrt(values[-1] / values[0]))


def _intensities(members: pd.DataFrame, marker: str, size: NDArray[np.float64]) -> dict[str, Any]:
    known = ("mean", "sd", "sum", "min", "max", "median", "fraction_above")
    statistics = (*known, *(f"p{n}" for n in range(101)))
    there = set(members.columns)
    row: dict[str, Any] = {}
    for compartment, area in WEIGHTS.items():
        weights = size
        if compartment != "nucleus" and area in members:
            found = members[area].to_numpy(np.float64)
            weights = np.where(np.isfinite(found), found, size)
        for statistic in statistics:
            column = t.measure_column(marker, compartment, statistic)
            if column in there:
                values = members[column].to_numpy(np.float64)
                row[column] = _pooled(members, marker, compartment, statistic, values, weights)
    for statistic in statistics:
        column = t.measure_column(marker, "max", statistic)
        if column not in there:
            continue
        pair = [t.measure_column(marker, c, statistic) for c in ("nucleus", "ring")]
        if not all(name in row for name in pair):
            row[column] = _mean(members[column].to_numpy(np.float64), size)
        elif t.RING_AREA in members and not members[t.RING_AREA].sum() > 0:
            row[column] = row[pair[0]]
        else:
            row[column] = float(np.maximum(row[pair[0]], row[pair[1]]))
    return row


def _pooled(
    members: pd.DataFrame,
    marker: str,
    compartment: str,
    statistic: str,
    values: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> float:
    part = weights > 0
    if not part.any():
        return float("nan")
    if statistic == "sum":
        return float(values[part].sum())
    if statistic in ("min", "max"):
        return float(getattr(values[part], statistic)())
    mean_column = t.measure_column(marker, compartment, "mean")
    if statistic == "sd" and mean_column in members:
        means = members[mean_column].to_numpy(np.float64)
        between = np.square(means - _mean(means, weights))
        return float(np.sqrt(_mean(np.square(values) + between, weights)))
    return _mean(values, weights)

"""Tables of clicks and of our cells to one table of pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.cohort.cell_tables import CLICK, POSITION
from imganalysis.cohort.matching import DISTANCE_UM, match_points
from imganalysis.errors import TableError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MATCHED, SECOND = "matched", "second_click"
CLICK_ALONE, CELL_ALONE, ON_EXCLUDED = "click_without_cell", "cell_without_click", "excluded_cell"
"""What became of a click, or of a cell of ours, in the column ``status`` of pairs.csv."""


def match_cells(
    cells: pd.DataFrame, clicks: pd.DataFrame, *, distance_um: float = DISTANCE_UM
) -> pd.DataFrame:
    """Find the cell that each click of one or more readers means.

    Parameters
    ----------
    cells, clicks
        As `read_cells` and `read_clicks` give them.
    distance_um
        As in `match_points`; labels are matched by their number.

    Returns
    -------
    DataFrame
        Of the fields that the reader has read: ``field``, ``biopsy``, ``reader``, ``cell_id``
        (NA without a cell), ``x_um``, ``y_um`` (of the click, else of the cell),
        ``reader_class``, ``our_class``, ``distance_um``, ``status``. A cell that we have in
        fragments is met at each of them and in the middle of all; what else a reader clicks
        there is a `SECOND`, with the cell, and so is a click as near to another one of the same
        nucleus as no two nuclei are.

    Raises
    ------
    TableError
        A label that is not in its field.
    """
    parts = []
    by_field = {str(name): own for name, own in cells.groupby(t.FIELD, sort=False)}
    for (field, reader), group in clicks.groupby([t.FIELD, t.READER], sort=False):
        if str(field) in by_field:
            own = by_field[str(field)].reset_index(drop=True)
            parts.append(_field(own, group.reset_index(drop=True), str(reader), distance_um))
    return pd.concat(parts, ignore_index=True)


def _field(
    objects: pd.DataFrame, clicks: pd.DataFrame, reader: str, distance_um: float
) -> pd.DataFrame:
    ids = objects[t.CELL_ID].to_numpy()
    where, row_of = _places(objects)
    points = clicks[list(CLICK)].to_numpy(dtype=float)
    found = _by_label(objects, clicks, reader)  # row of the object
    status = np.where(found < 0, CLICK_ALONE, MATCHED).astype(object)
    status[(found >= 0) & pd.Series(ids[found]).where(found >= 0).duplicated()] = SECOND
    far = np.hypot(*(points - objects[list(POSITION)].to_numpy(dtype=float)[found]).T)

    placed = np.flatnonzero(clicks[t.LABEL] == 0)
    free = np.flatnonzero(~np.isin(ids[row_of], ids[found[status == MATCHED]]))
    hit = match_points(where[free], ids[row_of[free]], points[placed], distance_um)
    on, at = placed[hit >= 0], free[hit[hit >= 0]]
    found[on], status[on] = row_of[at], MATCHED
    far[on] = np.hypot(*(points[on] - where[at]).T)
    first = np.flatnonzero(status == MATCHED)
    again, at = _second(points, np.setdiff1d(placed, on), where, ids[row_of], first, ids[found],
                        distance_um)  # fmt: skip
    found[again], status[again] = row_of[at], SECOND
    far[again] = np.hypot(*(points[again] - where[at]).T)

    evaluable = objects.groupby(t.CELL_ID)[t.EVALUABLE].any()
    counted = evaluable.reindex(ids).to_numpy(dtype=bool)
    status[(status == MATCHED) & ~counted[found]] = ON_EXCLUDED
    known = found >= 0
    table = pd.DataFrame(
        {
            t.CELL_ID: pd.Series(ids[found]).astype("Int64").where(known),
            t.CLICK_X: points[:, 1],
            t.CLICK_Y: points[:, 0],
            "reader_class": clicks[t.CLASS],
            "our_class": np.where(known, objects[t.PHENOTYPE].to_numpy()[found], ""),
            "distance_um": np.where(known, far, np.nan),
            "status": status,
        }
    )
    alone = objects[counted & ~np.isin(ids, ids[found[known]])].drop_duplicates(t.CELL_ID)
    rest = pd.DataFrame(
        {
            t.CELL_ID: pd.Series(alone[t.CELL_ID].to_numpy()).astype("Int64"),
            t.CLICK_X: alone[t.X].to_numpy(),
            t.CLICK_Y: alone[t.Y].to_numpy(),
            "reader_class": "",
            "our_class": alone[t.PHENOTYPE].to_numpy(),
            "distance_um": np.nan,
            "status": CELL_ALONE,
        }
    )
    whole = pd.concat([part for part in (table, rest) if len(part)], ignore_index=True)
    whole.insert(0, t.FIELD, objects[t.FIELD].iloc[0])
    whole.insert(1, t.BIOPSY, objects[t.BIOPSY].iloc[0])
    whole.insert(2, t.READER, reader)
    return whole


def _places(objects: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Where a cell may be clicked: at its objects and, of several, in the middle of them all.

    Returns
    -------
    places, rows
        (places, 2) y and x, um; row of an object of the cell.
    """
    where = objects[list(POSITION)].to_numpy(dtype=float)
    rows = np.arange(len(objects))
    cells = objects.reset_index(drop=True).groupby(t.CELL_ID, sort=True).indices
    parted = [np.asarray(own) for own in cells.values() if len(own) > 1]
    middles = [where[own].mean(axis=0) for own in parted]
    firsts = [int(own[0]) for own in parted]
    if not parted:
        return where, rows
    return np.vstack([where, *middles]), np.concatenate([rows, np.array(firsts, rows.dtype)])


def _by_label(objects: pd.DataFrame, clicks: pd.DataFrame, reader: str) -> NDArray[np.intp]:
    """Row of the object that each click names, -1 where it names none."""
    labels = pd.Index(objects[t.LABEL])
    told = clicks[t.LABEL].to_numpy()
    found = labels.get_indexer(pd.Index(told))
    lost = told[(told > 0) & (found < 0)]
    if lost.size:
        raise TableError(
            f"label {lost[0]} of {reader} is not in field {objects[t.FIELD].iloc[0]}; were the "
            "labels of another run read? Positions (x_um, y_um) hold for any run"
        )
    return np.where(told > 0, found, -1)


def _second(
    points: NDArray[np.float64],
    left: NDArray[np.intp],
    where: NDArray[np.float64],
    ids: NDArray[Any],
    first: NDArray[np.intp],
    cell_of: NDArray[Any],
    distance_um: float,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Find clicks on a cell that has its click already.

    Parameters
    ----------
    points
        (clicks, 2) y and x, um.
    left
        Clicks without a cell.
    where, ids
        Places at which cells are met, and the cell of each.
    first, cell_of
        Clicks that have a cell; of every click its cell.
    distance_um
        Farthest that a click may lie from a place.

    Returns
    -------
    clicks, places
    """
    names, n = np.unique(ids, return_counts=True)
    parted = np.isin(ids, names[n > 1])
    click_on = dict(zip(cell_of[first], first, strict=True))
    clicks, places = [], []
    for i in left:
        far = np.hypot(*(where - points[i]).T)
        for at in np.argsort(far, kind="stable"):
            if far[at] > distance_um:
                break
            other = click_on.get(ids[at])
            if other is None:
                continue
            apart = float(np.hypot(*(points[i] - points[other])))
            # Two clicks farther apart on one nucleus may be two cells that we took for one.
            if parted[at] or not apart > min(distance_um, DISTANCE_UM):
                clicks.append(i)
                places.append(at)
                break
    return np.array(clicks, np.intp), np.array(places, np.intp)

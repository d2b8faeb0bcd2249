"""Tables of clicks and of our cells to one table of pairs."""

from __future__ import annotations

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.cohort.cell_tables import CLICK, POSITION
from imganalysis.cohort.matching import DISTANCE_UM, match_points
from imganalysis.errors import TableError

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
        ``reader_class``, ``our_class``, ``distance_um``, ``status``.

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
    found = np.full(len(clicks), -1, np.int64)
    status = np.full(len(clicks), CLICK_ALONE, dtype=object)
    rows = dict(zip(objects[t.LABEL], range(len(objects)), strict=True))
    taken: set[int] = set()
    for i in np.flatnonzero(clicks[t.LABEL] > 0):
        label = int(clicks[t.LABEL].iloc[i])
        if label not in rows:
            raise TableError(
                f"label {label} of {reader} is not in field {objects[t.FIELD].iloc[0]}; were the "
                "labels of another run read? Positions (x_um, y_um) hold for any run"
            )
        row = rows[label]
        if int(ids[row]) in taken:
            status[i] = SECOND
        else:
            found[i] = row
            taken.add(int(ids[row]))
    placed = np.flatnonzero(clicks[t.LABEL] == 0)
    free = np.flatnonzero(~np.isin(ids, list(taken)))
    where = objects[list(POSITION)].to_numpy(dtype=float)
    points = clicks[list(CLICK)].to_numpy(dtype=float)
    hit = match_points(where[free], ids[free], points[placed], distance_um)
    found[placed[hit >= 0]] = free[hit[hit >= 0]]
    evaluable = objects.groupby(t.CELL_ID)[t.EVALUABLE].any()
    counted = evaluable.reindex(ids).to_numpy(dtype=bool)
    on = found >= 0
    status[on] = np.where(counted[found[on]], MATCHED, ON_EXCLUDED)
    table = pd.DataFrame(
        {
            t.CELL_ID: pd.Series(ids[found]).astype("Int64"),
            t.CLICK_X: points[:, 1],
            t.CLICK_Y: points[:, 0],
            "reader_class": clicks[t.CLASS],
            "our_class": objects[t.PHENOTYPE].to_numpy()[found],
            "distance_um": np.hypot(*(points - where[found]).T),
            "status": status,
        }
    )
    table.loc[~on, t.CELL_ID] = pd.NA
    table.loc[~on, "our_class"] = ""
    table.loc[~on, "distance_um"] = np.nan
    alone = objects[counted & ~np.isin(ids, ids[found[on]])].drop_duplicates(t.CELL_ID)
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

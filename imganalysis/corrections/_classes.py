"""Classes that a person gave, on top of those that the rules gave."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.classify.phenotypes import Classified

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from imganalysis.corrections._edits import Edit
    from imganalysis.panel import Panel

GIVEN, NOTE = "class_given", "class_note"
"""Columns that hold what a person said until the cells are classified."""


def give_classes(
    objects: pd.DataFrame, cells: pd.DataFrame, classes: Mapping[int, Edit]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write into the objects and cells of a field which class a person gave them.

    Parameters
    ----------
    objects
        One row per object, with ``cell_id``.
    cells
        One row per cell, likewise.
    classes
        Label of an object -> the edit, in the order of the edits: of several fragments of one
        cell the last one tells.

    Returns
    -------
    objects, cells
        Copies with `GIVEN` and `NOTE`, empty where nobody said anything.
    """
    cell_of = dict(zip(objects[t.LABEL].tolist(), objects[t.CELL_ID].tolist(), strict=True))
    said = {cell_of[label]: edit for label, edit in classes.items() if label in cell_of}
    given = {cell: edit.after["class"] for cell, edit in said.items()}
    notes = {cell: _note(edit) for cell, edit in said.items()}

    def write(table: pd.DataFrame) -> pd.DataFrame:
        own = table[t.CELL_ID].tolist()
        columns = {
            name: pd.Series([texts.get(cell, "") for cell in own], table.index, dtype="str")
            for name, texts in ((GIVEN, given), (NOTE, notes))
        }
        return table.assign(**columns)

    return write(objects), write(cells)


def _note(edit: Edit) -> str:
    by = f"corrected to {edit.after['class']} by {edit.user or 'unknown'}"
    return f"{by}: {edit.why}" if edit.why else by


def with_given(cells: pd.DataFrame, found: Classified, panel: Panel) -> Classified:
    """Put the classes that a person gave in the place of those of the rules.

    Parameters
    ----------
    cells
        With the columns of `give_classes`; as they are where these are missing.
    found
        Of the same cells, by the rules.
    panel
        Whose classes they are.

    Returns
    -------
    classified
        A cell that a person could not tell could be any class.
    """
    rows = _said(cells)
    if rows is None or not rows.any():
        return found
    given = cells[GIVEN].to_numpy(dtype=object)
    phenotype = found.phenotype.to_numpy(dtype=object).copy()
    phenotype[rows] = given[rows]
    why = found.why.astype(object).to_numpy().copy()
    why[rows] = [f"{a}; {b}" for a, b in zip(why[rows], cells[NOTE].to_numpy()[rows], strict=True)]
    # Those of the rules first, as they were: fields without an edit stay as they are.
    words = pd.Index(
        list(dict.fromkeys([*found.why.astype("category").cat.categories, *why[rows]]))
    )
    possible = found.possible.copy()
    possible[rows] = [
        np.isin(panel.classes, name) if name != t.UNRESOLVED else np.ones(len(panel.classes), bool)
        for name in given[rows]
    ]
    return Classified(
        pd.Series(phenotype, cells.index, dtype="str"),
        pd.Series(pd.Categorical(why, words), cells.index),
        possible,
        rows if found.given is None else rows | found.given,
    )


def rules_column(cells: pd.DataFrame, found: Classified) -> dict[str, pd.Series]:
    """Give what the rules said, as a column; none where no log was given."""
    return {} if _said(cells) is None else {t.PHENOTYPE_RULES: found.phenotype}


def _said(cells: pd.DataFrame) -> NDArray[np.bool_] | None:
    """Say which cells a person gave a class; None where no log was given."""
    if GIVEN not in cells.columns:
        return None
    return np.asarray(cells[GIVEN] != "")

"""What a run says of rendered biopsies, against the same definitions on what is true of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from _biopsies import BEST, TRUE_CELL, beside

from imganalysis import tables as t
from imganalysis.cohort.agreement import bland_altman
from imganalysis.io import read_labels
from imganalysis.results import labels_path
from imganalysis.study import SAMPLE

if TYPE_CHECKING:
    from imganalysis.panel import FractionOf, Panel
    from imganalysis.records import StudyResult

NOT_COUNTED, OUTSIDE, AGAIN, NO_CELL = (
    "not counted", "outside the true frame", "again a counted cell", "no cell",
)  # fmt: skip


def biopsy_rows(found: pd.DataFrame, truth: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """Every fraction of a panel, and its variants, in each biopsy, in percent points.

    Parameters
    ----------
    found
        As ``biopsies.csv``.
    truth
        As the simulator's: a row per biopsy and panel, ``n_CLASS`` of its evaluable cells.
    panel
        Its fractions say which classes count; a class that the truth does not have is empty.
    """
    rows = []
    own = found.set_index(t.BIOPSY)
    for _, true in truth[truth[t.PANEL] == panel.name].iterrows():
        mine = own.loc[true[t.BIOPSY]]
        for whole in panel.fractions:
            for variant, part in {"": whole, **whole.variants}.items():
                column = f"{whole.name}_{variant}" if variant else whole.name
                scale = 1.0 if whole.percent else 100.0
                above, below = (
                    sum(int(true.get(f"n_{name}", 0)) for name in names)
                    for names in (part.numerator, part.denominator)
                )
                ends = {e: scale * float(mine.get(f"{column}_{e}", np.nan)) for e in ("lo", "hi")}
                rows.append(
                    {"panel": panel.name, "fraction": column, "biopsy": true[t.BIOPSY],
                     "week": int(true["week"]), "cells": below,
                     "truth": 100.0 * above / below if below else np.nan,
                     "found": scale * float(mine[column]), **ends}
                )  # fmt: skip
    table = pd.DataFrame(rows)
    inside = (table["lo"] <= table["truth"]) & (table["truth"] <= table["hi"])
    return table.assign(covered=inside.where(table["lo"].notna()))


def summary(table: pd.DataFrame) -> dict[str, Any]:
    """Bias with its standard error, limits of agreement and coverage of some biopsies."""
    both = table[table["truth"].notna() & table["found"].notna()]
    apart = bland_altman(both["truth"], both["found"])
    return {
        "n": len(both), "truth": float(both["truth"].mean()), "found": float(both["found"].mean()),
        "bias": apart.bias.value, "se": apart.sd / np.sqrt(apart.n),
        "lower": apart.lower.value, "upper": apart.upper.value,
        "covered": float(both["covered"].astype(float).mean()),
    }  # fmt: skip


def cells_beside_truth(
    result: StudyResult, root: Path, out: Path, truth: pd.DataFrame, panel: Panel
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Join counted cells to the true cells they show; list true cells that none shows.

    Parameters
    ----------
    result
        Of the run.
    root, out
        Folders of the simulated study and of the results.
    truth
        The study's ``truth/cells.csv``.
    panel
        Of which the fields are taken.
    """
    weeks = truth.groupby("path")["week"].first()
    counted, missing = [], []
    for field in result.study.fields:
        if field.role != SAMPLE or field.panel != panel.name:
            continue
        path = Path(field.path).relative_to(root)
        true = truth[truth["path"] == path.as_posix()]
        pieces = true["labels"].astype(str).str.split().explode().astype(int)
        objects = pd.DataFrame({t.LABEL: pieces, t.CELL_ID: true.loc[pieces.index, t.CELL_ID]})
        cells = result.cells[field.name]
        cells = cells[cells[t.LABEL] == cells[t.CELL_ID]].reset_index(drop=True)
        labels = read_labels(root / "truth" / "labels" / path)
        seen = beside(cells, labels, read_labels(labels_path(out, field.name)), objects, true)
        seen = seen[seen[t.EVALUABLE].astype(bool)]
        counted.append(seen.assign(week=int(weeks[path.as_posix()])))
        shown = true[t.CELL_ID].isin(seen[TRUE_CELL])
        missing.append(true[true[t.EVALUABLE].astype(bool) & ~shown])
    return pd.concat(counted, ignore_index=True), pd.concat(missing, ignore_index=True)


def causes(cells: pd.DataFrame, lost: pd.DataFrame, whole: FractionOf) -> pd.DataFrame:
    """Which true classes, found as which, make the error of a fraction over all cells given.

    Parameters
    ----------
    cells, lost
        Of `cells_beside_truth`.
    whole
        The fraction.

    Returns
    -------
    table
        ``true``, ``found``, ``cells``, and ``points`` of the error, the greatest first; they
        sum up to it.

    Notes
    -----
    With the true fraction T, a cell weighs 1 - T in the numerator, -T in the rest of the
    denominator, 0 elsewhere. The true weights sum to 0, the found ones to the error times the
    cells found in the denominator; so a cell gives the difference of both over these.
    """
    shows = cells[TRUE_CELL] > 0
    group = cells["true_group"].where(shows, NO_CELL)
    group = group.where(~shows | cells[BEST].astype(bool), AGAIN)
    inside = cells["true_evaluable"].fillna(False).astype(bool)
    group = group.where(~shows | inside, OUTSIDE)
    pairs = pd.concat(
        [
            pd.DataFrame({"true": group, "found": cells[t.PHENOTYPE]}),
            pd.DataFrame({"true": lost["group"], "found": NOT_COUNTED}),
        ]
    )
    names = (whole.numerator, whole.denominator)
    true, found = (
        [pairs[kind].isin(list(some)).sum() for some in names] for kind in ("true", "found")
    )
    share = true[0] / true[1]
    table = pairs.value_counts(["true", "found"]).rename("cells").reset_index()
    weights = [
        table[kind].isin(list(names[0])) - share * table[kind].isin(list(names[1]))
        for kind in ("found", "true")
    ]
    table["points"] = 100 * (weights[0] - weights[1]) * table["cells"] / found[1]
    order = table["points"].abs().sort_values(ascending=False, kind="stable").index
    return table.loc[order].reset_index(drop=True)

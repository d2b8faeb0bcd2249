"""What there is, and what is missing: counts, medians, empty values by week."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables_cohort as c
from imganalysis.cohort.endpoints import NOTHING_LEFT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imganalysis.cohort.endpoints import Endpoint
    from imganalysis.cohort.groups import Grouping


def by_week(
    patients: pd.DataFrame, endpoints: Sequence[Endpoint], groupings: Sequence[Grouping]
) -> pd.DataFrame:
    """Median, quartiles and range over patients, by week and by week and group.

    Returns
    -------
    DataFrame
        Columns `imganalysis.tables_cohort.BY_WEEK_COLUMNS`.
    """
    rows = []
    for endpoint in endpoints:
        rows += [_row(mine, endpoint, "", "") for _, mine in patients.groupby(c.WEEK)]
        for groups in groupings:
            if groups.numbers or groups.varies:
                continue
            group = patients[c.PATIENT].map(lambda p, g=groups: g.of.get(p, ""))
            for name in groups.groups:
                for _, mine in patients[group == name].groupby(c.WEEK):
                    rows.append(_row(mine, endpoint, groups.name, name))
    return pd.DataFrame(rows, columns=list(c.BY_WEEK_COLUMNS))


def _row(mine: pd.DataFrame, endpoint: Endpoint, by: str, group: str) -> dict[str, Any]:
    values = mine[endpoint.name].to_numpy(np.float64)
    told = values[np.isfinite(values)]
    five = np.quantile(told, [0.5, 0.25, 0.75, 0, 1]) if told.size else np.full(5, np.nan)
    return {
        c.ENDPOINT: endpoint.name,
        c.TITLE: endpoint.title,
        c.GROUP_BY: by,
        c.GROUP: group,
        c.WEEK: float(mine[c.WEEK].iloc[0]),
        c.N_PATIENTS: int(told.size),
        c.N_NA: int(values.size - told.size),
        **dict(zip(("median", "q1", "q3", "min", "max"), map(float, five), strict=True)),
    }


def na_by_week(biopsies: pd.DataFrame, endpoints: Sequence[Endpoint]) -> pd.DataFrame:
    """Count what has no value, and why.

    Parameters
    ----------
    biopsies
        From `imganalysis.cohort.join.stack_biopsies`.
    endpoints
        What is looked for.

    Returns
    -------
    DataFrame
        Columns `imganalysis.tables_cohort.NA_COLUMNS`.
    """
    everybody = biopsies[c.PATIENT].nunique()
    rows = []
    for endpoint in endpoints:
        told = biopsies.assign(why=endpoint.reasons(biopsies))
        for week, mine in told.groupby(c.WEEK):
            words = Counter(word for word in mine["why"] if word)
            has = mine.assign(has=mine["why"] == "").groupby(c.PATIENT)["has"].any()
            rows.append(
                {
                    c.ENDPOINT: endpoint.name,
                    c.TITLE: endpoint.title,
                    c.WEEK: week,
                    c.N_BIOPSIES: len(mine),
                    "n_biopsies_NA": sum(words.values()),
                    c.N_PATIENTS: len(has),
                    "n_patients_NA": int((~has).sum()),
                    "n_patients_no_biopsy": everybody - len(has),
                    "reasons": ";".join(f"{word} {words[word]}" for word in sorted(words)),
                    "informative": sum(words[word] for word in NOTHING_LEFT),
                }
            )
    return pd.DataFrame(rows, columns=list(c.NA_COLUMNS))

"""All tests of a cohort in one table, adjusted for their number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from imganalysis import tables_cohort as c
from imganalysis.cohort.compare import holm

if TYPE_CHECKING:
    from collections.abc import Sequence


def adjusted(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Put rows of tests.csv together, with the number of tests and Holm's p.

    Returns
    -------
    DataFrame
        Columns `imganalysis.tables_cohort.TESTS_COLUMNS`.
    """
    table = pd.DataFrame(list(rows), columns=list(c.TESTS_COLUMNS))
    for name in (c.TITLE, c.REFERENCE, c.GROUP_BY, c.GROUP, c.EFFECT, c.METHOD, c.MODEL, c.REASON):
        table[name] = table[name].fillna("").astype(str)
    p = table[c.P].astype(float)
    table[c.P] = p
    table[c.P_HOLM] = holm(list(p))
    table[c.N_TESTS] = int(p.notna().sum())
    return table

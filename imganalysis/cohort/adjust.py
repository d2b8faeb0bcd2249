"""All tests of a cohort in one table, adjusted for their number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from imganalysis import tables_cohort as c
from imganalysis.cohort.compare import holm

if TYPE_CHECKING:
    from collections.abc import Sequence


def adjusted(rows: Sequence[dict[str, Any]], main: Sequence[str] = ()) -> pd.DataFrame:
    """Put rows of tests.csv together, with the number of tests and Holm's p.

    Parameters
    ----------
    rows
        Of all questions.
    main
        The study's endpoint, which was chosen before anybody looked: it is adjusted for its own
        tests of a question, and all other columns together for theirs.

    Returns
    -------
    DataFrame
        Columns `imganalysis.tables_cohort.TESTS_COLUMNS`.
    """
    table = pd.DataFrame(list(rows), columns=list(c.TESTS_COLUMNS))
    for name in (c.TITLE, c.REFERENCE, c.GROUP_BY, c.GROUP, c.EFFECT, c.METHOD, c.MODEL, c.REASON):
        table[name] = table[name].astype(object).where(table[name].notna(), "").astype(str)
    p = table[c.P].astype(float)
    table[c.P] = p
    table[c.P_HOLM_ALL] = holm(list(p))
    table[c.N_TESTS_ALL] = int(p.notna().sum())
    is_main = table[c.ENDPOINT].isin(list(main))
    for _, mine in table.groupby([table[c.QUESTION], table[c.GROUP_BY], is_main], sort=False):
        table.loc[mine.index, c.P_HOLM] = holm(list(mine[c.P]))
        table.loc[mine.index, c.N_TESTS] = int(mine[c.P].notna().sum())
    return table

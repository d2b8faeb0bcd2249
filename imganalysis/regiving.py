"""Classes that a person gives to a field whose table is written already; no pixel is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from imganalysis import tables as t
from imganalysis.correcting import mark_objects
from imganalysis.corrections import GIVEN, NOTE, give_classes

if TYPE_CHECKING:
    from imganalysis.corrections import Replay

BY_PERSON = "; corrected to "
"""Between the reason of the rules and that of a person, in the column ``why``."""


def regive_classes(table: pd.DataFrame, replay: Replay) -> pd.DataFrame:
    """Put the classes that edits give now in the place of those that a table was written with.

    Parameters
    ----------
    table
        As in ``cells/``, one row per object, of the nuclei that `replay` has.
    replay
        Of all edits of the field.

    Returns
    -------
    DataFrame
        A copy; values as a run with the same log writes them. ``phenotype_rules`` and
        ``corrected`` are added where the run had no log.
    """
    out, _ = give_classes(table, table.iloc[:0], replay.classes)
    why = out[t.WHY].astype(object).map(lambda text: str(text).partition(BY_PERSON)[0])
    old = out[t.WHY].astype(object).astype(str).str.contains(BY_PERSON, regex=False)
    known = t.PHENOTYPE_RULES in out.columns
    rules = out[t.PHENOTYPE_RULES if known else t.PHENOTYPE]
    before = out[t.PHENOTYPE].where(~old, rules)
    said = out[GIVEN] != ""
    why = why.where(~said, why + "; " + out[NOTE])
    texts = why.tolist()
    out[t.PHENOTYPE] = before.where(~said, out[GIVEN]).astype("str")
    out[t.WHY] = pd.Series(
        pd.Categorical(texts, pd.Index(list(dict.fromkeys(texts)))), index=out.index
    )
    out[t.PHENOTYPE_RULES] = rules.astype("str")
    return mark_objects(out.drop(columns=[GIVEN, NOTE]), replay)

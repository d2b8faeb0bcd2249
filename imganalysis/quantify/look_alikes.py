"""Classes that share their calls with an excluded one, and are outnumbered by it.

A nucleus cut near its end is small whatever it was: where many large CD56-positive cells are
excluded as tumour, some of the small ones that count as NK cells are cuts of these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imganalysis import tables as t

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from imganalysis.panel import FractionOf, Panel

LOOK_ALIKES = "look_alikes"
"""Flag of a fraction whose numerator may hold cells of another kind."""


def outnumbered(
    fraction: FractionOf, fields: pd.DataFrame, counts: pd.DataFrame, panels: Mapping[str, Panel]
) -> bool:
    """Say whether more cells are excluded that have the calls of the numerator than count in it.

    Parameters
    ----------
    fraction
        Of the study; each field's own panel says which classes it takes.
    fields
        Analysed fields of a biopsy: columns ``field`` and ``panel``.
    counts
        Index: field; columns: classes; evaluable cells.
    panels
        By name, those that have the fraction.
    """
    like, own = 0, 0
    for name, panel in panels.items():
        inside = set(next(f for f in panel.fractions if f.name == fraction.name).numerator)
        calls = [row.when for row in panel.phenotypes if row.name in inside]
        others = {
            row.name for row in panel.phenotypes if row.role == "excluded" and row.when in calls
        }
        if others:
            mine = counts.loc[list(fields.loc[fields["panel"] == name, t.FIELD])]
            like += int(mine[sorted(others)].to_numpy().sum())
            own += int(mine[sorted(inside)].to_numpy().sum())
    return like > own

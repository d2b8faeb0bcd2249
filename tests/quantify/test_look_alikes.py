"""Excluded cells that have the calls of those that count."""

from __future__ import annotations

import pandas as pd
import pytest

from imganalysis.panel import load_panel
from imganalysis.quantify.look_alikes import outnumbered

PANEL = load_panel("infiltrate")
FIELDS = pd.DataFrame({"field": ["a", "b"], "panel": PANEL.name})


def counts(natural_killers: int, nonlymphoid: int, t_cells: int = 500) -> pd.DataFrame:
    table = pd.DataFrame(0, index=["a", "b", "another biopsy"], columns=list(PANEL.classes))
    table.loc["a", ["NK", "CD56_nonlymphoid", "T"]] = natural_killers, nonlymphoid, t_cells
    table.loc["another biopsy", "CD56_nonlymphoid"] = 1000
    return table


@pytest.mark.parametrize(("own", "like", "said"), [(3, 40, True), (40, 3, False), (5, 5, False)])
def test_more_excluded_than_counted_cells_of_same_calls(own: int, like: int, said: bool) -> None:
    share = next(f for f in PANEL.fractions if f.name == "pct_NK")
    assert outnumbered(share, FIELDS, counts(own, like), {PANEL.name: PANEL}) is said


def test_classes_with_other_calls_are_no_look_alikes() -> None:
    share = next(f for f in PANEL.fractions if f.name == "pct_T")
    assert not outnumbered(share, FIELDS, counts(0, 400, 1), {PANEL.name: PANEL})

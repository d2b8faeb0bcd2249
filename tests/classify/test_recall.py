"""Cells called again by numbers have the calls and classes that the tables of words give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from imganalysis import tables as t
from imganalysis.classify.calls import call_cells
from imganalysis.classify.gates import Gate, scale_gates
from imganalysis.classify.phenotypes import classify_cells
from imganalysis.classify.recall import recall_cells
from imganalysis.panel import Measure, Panel, load_panel

PANELS = {name: load_panel(name) for name in ("apoptosis", "infiltrate", "joint")}
N = 2000


def several(panel: Panel) -> Panel:
    """A panel whose first marker has two measures."""
    first = panel.gated[0]
    measures = (Measure(), Measure(compartment="nucleus", statistic="p90"))
    channels = [
        c.model_copy(update={"measures": measures}) if c is first else c for c in panel.channels
    ]
    return panel.model_copy(update={"channels": tuple(channels)})


def made(panel: Panel, seed: int = 3) -> tuple[pd.DataFrame, list[Gate]]:
    rng = np.random.default_rng(seed)
    cells: dict[str, Any] = {
        t.FIELD: rng.choice(["a", "b", "c"], N), t.BATCH: rng.choice(["1", "2"], N),
        t.ACQUISITION: "x", t.RING_AREA: rng.choice([0.0, 30.0], N, p=[0.05, 0.95]),
    }  # fmt: skip
    gates = []
    for channel in panel.gated:
        for measure in channel.measures:
            parts = ("nucleus", "ring") if measure.compartment == "max" else (measure.compartment,)
            for part in parts:
                column = t.measure_column(channel.marker, part, measure.statistic)
                values = np.exp(rng.normal(3, 0.5, N))
                values[rng.random(N) < 0.02] = np.nan
                cells[column] = values
        for column in channel.columns:
            for batch in ("1", "2"):
                gates.append(
                    Gate(
                        marker=channel.marker, column=column, batch=batch,
                        value=15 + 5 * int(batch),
                        method="control_percentile",
                        band=None if batch == "1" else 0.05,
                    )
                )  # fmt: skip
    for name in panel.contexts:
        cells[t.context_column(name)] = pd.array(rng.choice([True, False, None], N), "boolean")
    return pd.DataFrame(cells), gates


@pytest.mark.parametrize("panel", [*PANELS.values(), several(PANELS["joint"])], ids=str)
def test_moved_gates_give_what_the_words_give(panel: Panel) -> None:
    cells, gates = made(panel)
    called = cells.join(call_cells(cells, panel, gates, 0.15))
    recall = recall_cells(called, panel, gates, 0.15)
    classes = np.array([*panel.classes, t.UNRESOLVED], dtype=object)
    expected = classify_cells(called, panel)
    assert (classes[recall.found[recall.states]] == expected.phenotype.to_numpy()).all()
    assert (recall.table.classes[recall.states] == expected.possible).all()
    assert expected.phenotype.nunique() > len(panel.classes) / 2
    for channel in panel.gated:
        for factor in (0.8, 1.25):
            other = scale_gates(gates, channel.marker, factor)
            words = cells.join(call_cells(cells, panel, other, 0.15))
            found = classify_cells(words, panel).phenotype.to_numpy()
            moved = recall.moved({channel.marker: recall.digits(channel.marker, factor)})
            assert (classes[recall.found[moved]] == found).all()
            assert (moved != recall.states).any()
            again = recall.regated(other)
            assert (again.states == moved).all()
            assert (again.regated(gates).states == recall.states).all()
        positive = called.assign(**{t.call_column(channel.marker): t.POSITIVE})
        if_positive = recall.table.classes[recall.set_to(channel.marker, 1)]
        assert (if_positive == classify_cells(positive, panel).possible).all()


def test_light_of_neighbours_is_minded() -> None:
    panel = PANELS["infiltrate"]
    cells, gates = made(panel)
    marker = panel.gated[0].marker
    column = panel.gated[0].columns[0]
    alone = cells[column].to_numpy() * 0.5
    plain = call_cells(cells, panel, gates, 0.15)[t.call_column(marker)]
    without = call_cells(cells.assign(**{column: alone}), panel, gates, 0.15)[t.call_column(marker)]
    lower = (plain == t.POSITIVE) & (without != t.POSITIVE)
    lower |= (plain == t.INDETERMINATE) & (without == t.NEGATIVE)
    guarded = plain.mask(lower, without)
    called = cells.join(call_cells(cells, panel, gates, 0.15)).assign(
        **{t.call_column(marker): guarded}
    )
    recall = recall_cells(called, panel, gates, 0.15, {column: alone})
    assert (recall.digits(marker) == recall.markers[marker].digits).all()
    assert (guarded != plain).any()


def test_a_marker_without_a_gate_is_unknown() -> None:
    panel = PANELS["apoptosis"]
    cells, gates = made(panel)
    mine = [g for g in gates if g.marker != panel.death_marker]
    called = cells.join(call_cells(cells, panel, mine, 0.15))
    recall = recall_cells(called, panel, mine, 0.15)
    assert (recall.digits(panel.death_marker or "", 1.25) == 2).all()


def test_no_cells() -> None:
    panel = PANELS["apoptosis"]
    cells, gates = made(panel)
    none = cells.join(call_cells(cells, panel, gates, 0.15)).iloc[:0]
    recall = recall_cells(none, panel, gates, 0.15)
    assert recall.states.size == 0 and recall.digits(panel.gated[0].marker, 0.8).size == 0

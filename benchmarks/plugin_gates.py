"""Latency of a gate that is moved on many cells: classes, numbers, outlines.

``python benchmarks/plugin_gates.py [--cells 100000]``. No window is opened: what Qt adds is the
drawing of one line and of some words; `napari_imganalysis._outlines` writes the outlines.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from _common import options, report

from imganalysis import tables as t
from imganalysis.classify.calls import call_cells
from imganalysis.classify.gates import Gate
from imganalysis.classify.gates_file import change_gate
from imganalysis.classify.phenotypes import classify_cells
from imganalysis.moving import Held, move_gates
from imganalysis.panel import load_panel
from imganalysis.second_half import counted_part
from imganalysis.settings import Settings

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

PER_FIELD, SIDE = 2000, 2000
CLASSES_MS, OUTLINES_MS = 50, 150


def made(n: int) -> tuple[Held, list[Gate], pd.DataFrame]:
    """Make counted cells of a panel, in fields of 2,000, five to a biopsy, with known gates."""
    panel, settings = load_panel("infiltrate"), Settings()
    rng = np.random.default_rng(7)
    names = np.array([f"f{i}" for i in range(-(-n // PER_FIELD))])
    which = np.arange(n) // PER_FIELD
    cells = pd.DataFrame({
        t.FIELD: names[which], t.BIOPSY: [f"b{i // 5}" for i in which], t.BATCH: "1",
        t.ACQUISITION: "a", t.PANEL: panel.name, t.LABEL: np.arange(n) % PER_FIELD + 1,
        t.EVALUABLE: True, t.CAP: False, t.RING_AREA: 20.0,
    })  # fmt: skip
    cells[t.CELL_ID] = cells[t.LABEL]
    gates = []
    for channel in panel.gated:
        values = rng.lognormal(0.5, 0.4, n) * np.where(rng.random(n) < 0.3, 8.0, 1.0)
        for compartment in ("nucleus", "ring"):
            cells[t.measure_column(channel.marker, compartment, "mean")] = values
        gates += [
            Gate(marker=channel.marker, panel=panel.name, batch="1", acquisition="a",
                 column=column, value=4.0, method="manual", note="known")
            for column in channel.columns
        ]  # fmt: skip
    for name in panel.contexts:
        cells[t.context_column(name)] = rng.random(n) < 0.5
    band = settings.gating.indeterminate_band
    cells = pd.concat([cells, call_cells(cells, panel, gates, band)], axis=1)
    result = classify_cells(cells, panel)
    cells[t.PHENOTYPE], cells[t.WHY] = result.phenotype, result.why
    fields = cells.drop_duplicates(t.FIELD)[[t.FIELD, t.BIOPSY, t.PANEL, t.BATCH, t.ACQUISITION]]
    fields = fields.assign(section="1").reset_index(drop=True)
    part = counted_part(cells, result, fields, panel, gates, {}, settings)
    return Held((part,), fields, {panel.name: panel}, settings), gates, cells


def timed(act: Callable[[float], Any], times: int) -> tuple[float, float]:
    """Milliseconds: median and greatest of some gates, each another."""
    found = []
    for value in np.linspace(3.0, 6.0, times):
        start = time.perf_counter()
        act(float(value))
        found.append(1000 * (time.perf_counter() - start))
    return statistics.median(found), max(found)


def measure(n: int, times: int) -> dict[str, tuple[float, float]]:
    """Measure what a gate that is moved costs."""
    from napari_imganalysis._colours import legend_of
    from napari_imganalysis._field_calls import FieldCalls
    from napari_imganalysis._outlines import OutlineMap

    held, gates, cells = made(n)
    state = {"now": move_gates(held, gates)}
    panel = next(iter(held.panels.values()))

    def move(value: float) -> None:
        new = change_gate(gates[0], Gate(marker=gates[0].marker, value=value, method="manual"))
        state["now"] = move_gates(state["now"].held, (new, *gates[1:]))

    moved = timed(move, times)
    # All cells in one picture: the worst that a field can be.
    side = int(np.ceil(np.sqrt(n)))
    wide = max(4, SIDE // side)
    grid = np.arange(side * side, dtype=np.uint32).reshape(side, side) + 1
    grid[grid > n] = 0
    labels = np.kron(grid, np.ones((wide, wide), np.uint32))
    one = cells.assign(**{t.FIELD: "all", t.LABEL: np.arange(n) + 1, t.CELL_ID: np.arange(n) + 1})
    fields = held.fields.iloc[:1].assign(**{t.FIELD: "all"})
    result = classify_cells(one, panel)
    part = counted_part(one, result, fields, panel, gates, {}, held.settings)
    whole = Held((part,), fields, held.panels, held.settings)
    outlines = OutlineMap(labels)
    first = move_gates(whole, gates)
    legend = legend_of(panel)
    calls = FieldCalls((first,), "all", panel.name, one, legend, outlines.size)
    assert len(calls.labels) == n, "all cells follow the gates"
    state["now"] = first

    def recolour(value: float) -> None:
        move(value)
        outlines.recolour(calls.codes(state["now"]), dashed=legend.not_evaluable)

    return {"classes and numbers": moved, "classes, numbers, outlines": timed(recolour, times)}


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--cells", type=int, default=100_000)


def main() -> None:
    """Measure, and report beside what is asked for."""
    chosen = options(__doc__, add)
    n = min(chosen.cells, 20_000) if chosen.quick else chosen.cells
    limits = (CLASSES_MS, CLASSES_MS + OUTLINES_MS)
    found = measure(n, 10 if chosen.quick else 40)
    report(
        "The napari plugin: a gate that is moved",
        ["what", "cells", "median, ms", "most, ms", "asked for"],
        [
            [what, n, *times, f"under {limit} ms"]
            for (what, times), limit in zip(found.items(), limits, strict=True)
        ],
        notes="By the clock, of gates at other places each time, without a window.",
        target=chosen.json,
    )


if __name__ == "__main__":
    main()

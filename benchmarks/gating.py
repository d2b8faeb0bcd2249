"""How fast the second half is: a million cells gated, called, classified and summarised.

And one gate moved with all else held, as the plugin does it, over 100,000 cells. Cells are made
(`imganalysis.simulate.trial`); time is the processor's, memory the peak above the tables given.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _common import best_seconds, options, report
from _trials import placed

from imganalysis import tables as t
from imganalysis.moving import Held, move_gates
from imganalysis.panel import load_panel
from imganalysis.quantify.biopsies import biopsy_table
from imganalysis.second_half import Judged, judge
from imganalysis.settings import Settings
from imganalysis.simulate.trial import SIDE_UM, Trial, simulate_trial

PANEL = load_panel("apoptosis")
CHILD = "--child"


def tables(cells: int, per_field: int) -> tuple[dict[str, pd.DataFrame], pd.DataFrame, Any]:
    """Objects of each field, the fields, and the grids of their areas."""
    biopsies = max(1, cells // per_field // 20)
    trial = Trial(
        patients=biopsies, weeks=(1,), share=(0.4,), without_tumour=(),
        fields=cells // per_field // biopsies,
        tumour_cells=0.6 * per_field, others=0.4 * per_field,
    )  # fmt: skip
    found = simulate_trial(trial, PANEL, seed=0)
    every = placed(found)
    code, names = pd.factorize(every[t.FIELD])
    ends = np.searchsorted(code, np.arange(len(names) + 1))
    objects = {
        str(name): every.iloc[a:b].reset_index(drop=True)
        for name, a, b in zip(names, ends, ends[1:], strict=False)
    }
    side = int(np.ceil(SIDE_UM / t.GRID_UM))
    grids = {name: np.full((side, side), t.GRID_UM**2) for name in objects}
    return objects, found.fields, grids


def summarise(judged: Judged, fields: pd.DataFrame) -> pd.DataFrame:
    """One row per biopsy."""
    samples = fields[fields[t.ROLE] == "sample"].reset_index(drop=True)
    facts = {
        "status": "analysed", "lesion": "", "flags": "", "tissue_mm2": 0.05, "seen_um": 3.0,
        "volume_mm3": np.nan, "n_objects": 0, "n_cells": 0, "n_apoptotic": 0, "ghost_n": 0,
        "fragments_per_apoptotic": 1.0, "ghost_area_mm2": 0.0,
        **{f"n_{word}": 0 for word in t.EXCLUSIONS}, **dict.fromkeys(t.REGION_AREAS, np.nan),
    }  # fmt: skip
    panels = {PANEL.name: PANEL}
    return biopsy_table(samples.assign(**facts), judged.counts, panels, Settings().summary)


def peak_mb() -> float:
    """Most memory that this process has had, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def whole(cells: int, per_field: int) -> dict[str, float]:
    """Seconds and memory of the second half, in this process."""
    warm = tables(2000, 100)
    summarise(judge(*warm, {PANEL.name: PANEL}, Settings()), warm[1])
    objects, fields, grids = tables(cells, per_field)
    before = peak_mb()
    start, wall = time.process_time(), time.perf_counter()
    judged = judge(objects, fields, grids, {PANEL.name: PANEL}, Settings())
    summarise(judged, fields)
    seconds, wall = time.process_time() - start, time.perf_counter() - wall
    n = sum(map(len, objects.values()))
    return {"cells": n, "seconds": seconds, "wall": wall, "mb": peak_mb() - before}


def moving(cells: int, per_field: int, repeats: int) -> float:
    """Milliseconds for one gate moved, and the fractions with their intervals told again."""
    objects, fields, grids = tables(cells, per_field)
    judged = judge(objects, fields, grids, {PANEL.name: PANEL}, Settings())
    samples = fields[fields[t.ROLE] == "sample"].reset_index(drop=True)
    held = Held(judged.parts, samples, {PANEL.name: PANEL}, Settings())
    moved = [
        g.model_copy(update={"value": g.value * 1.1})
        if g.marker == PANEL.death_marker and g.value is not None
        else g
        for g in judged.gates
    ]
    return 1000 * best_seconds(
        lambda: move_gates(held, moved), repeats=repeats, clock=time.process_time
    )


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument(CHILD, nargs=2, type=int, help=argparse.SUPPRESS)


def main() -> None:
    """Measure each size in a process of its own, so that peaks of memory are its own."""
    chosen = options(__doc__, add)
    if chosen.child:
        print(json.dumps(whole(*chosen.child)))
        return
    million = 100_000 if chosen.quick else 1_000_000
    rows: list[list[Any]] = []
    for per_field in (1000, 10_000):
        command = [sys.executable, str(Path(__file__)), CHILD, str(million), str(per_field)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        one = json.loads(done.stdout)
        rows.append(
            ["gate, call, classify, summarise", one["cells"], per_field, one["seconds"],
             one["wall"], one["mb"], "< 5 s, < 1024 MB"]
        )  # fmt: skip
    ms = moving(100_000, 1000, 5 if chosen.quick else 20)
    rows.append(["move a gate, ms", 100_000, 1000, ms, "", "", "< 50 ms"])
    report(
        "Second half",
        ["what", "cells", "per field", "processor", "wall", "MB", "asked for"],
        rows,
        notes="Seconds of the processor and by the clock (the latter depends on what else runs); "
        "memory: peak above that with the tables loaded. Distances to the margin are not told.",
        target=chosen.json,
    )  # fmt: skip


if __name__ == "__main__":
    main()

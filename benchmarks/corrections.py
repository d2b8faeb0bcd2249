"""Corrections: from an edit of one nucleus to the field's table, and how long a log takes.

A field of 1024 x 1024 pixels and three channels, held open as a viewer holds it. Each edit is
measured in place, and compared with measuring the whole field: the bytes must be equal.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from _common import options, report

from imganalysis import __version__
from imganalysis.corrections import DELETE, Edit, active_edits, append, read_log, seal
from imganalysis.first_half import measure_stack
from imganalysis.panel import load_panel
from imganalysis.remeasuring import LiveField
from imganalysis.settings import Settings
from imganalysis.simulate import load_recipe, simulate_field

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from numpy.typing import NDArray

SIDE = 1024
KINDS = ("delete", "split", "draw", "merge")


def edited(labels: NDArray[np.uint32], kind: str, rng: np.random.Generator) -> NDArray[np.uint32]:
    """Labels after an edit of one nucleus, or of two that lie side by side."""
    new, ids = labels.copy(), np.unique(labels)[1:]
    one = int(rng.choice(ids))
    y, x = np.nonzero(new == one)
    if kind == "delete":
        new[y, x] = 0
    elif kind == "split":
        right = x > np.median(x)
        new[y[right], x[right]] = ids.max() + 1
    elif kind == "draw":
        row, column = rng.integers(20, SIDE - 20, 2)
        place = new[row - 15 : row + 15, column - 15 : column + 15]
        place[place == 0] = ids.max() + 1
    else:
        box = new[max(0, y.min() - 60) : y.max() + 60, max(0, x.min() - 60) : x.max() + 60]
        others = np.setdiff1d(box[box > 0], [one])
        new[new == (others[0] if len(others) else one)] = one
    return new


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Give what a call gives, and its processor seconds in ms."""
    start = time.process_time()
    found = call()
    return found, 1000 * (time.process_time() - start)


def equal(one: pd.DataFrame, two: pd.DataFrame) -> bool:
    """Whether two tables have the same columns, types and bytes."""
    return list(one.columns) == list(two.columns) and all(
        one[c].dtype == two[c].dtype
        and (
            one[c].to_numpy().tobytes() == two[c].to_numpy().tobytes()
            if one[c].dtype.kind in "ifb"
            else one[c].equals(two[c])
        )
        for c in one.columns
    )


def log_times(lines: int) -> tuple[float, float]:
    """Wall ms to append a line to a log of so many, and to read it and find what holds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "corrections.jsonl"
        edits = [
            seal(
                Edit(DELETE, f"field_{i % 50}", {"cell": {"label": i + 1, "x": 1.5, "y": 2.5}},
                     user="anna", time=f"2026-01-01T00:00:00.{i:06}+00:00", version=__version__)
            )
            for i in range(lines + 20)
        ]  # fmt: skip
        log = append(read_log(path), edits[:lines])
        start = time.perf_counter()
        for edit in edits[lines:]:
            log = append(log, [edit])
        each = 1000 * (time.perf_counter() - start) / 20
        start = time.perf_counter()
        active_edits(read_log(path).edits)
        return each, 1000 * (time.perf_counter() - start)


def main() -> None:
    """Simulate, edit, and report."""
    chosen = options(__doc__)
    field = simulate_field(
        load_recipe("melanoma"), "apoptosis", seed=5, week=1, size_px=SIDE, pixel_size_um=0.232,
        planes=1, bits=8,
    )  # fmt: skip
    panel, settings = load_panel("apoptosis"), Settings()
    labels = field.labels
    live, opened = timed(lambda: LiveField(field.stack, panel, settings, labels))
    live.update(edited(labels, "split", np.random.default_rng(9)))  # compiled code is loaded
    live.update(labels)
    rng, rows, same = np.random.default_rng(1), [], True
    for kind in KINDS:
        quick, rest, whole = [], [], []
        for _ in range(1 if chosen.quick else 8):
            labels = edited(labels, kind, rng)
            now, took = timed(lambda new=labels: live.update(new, hurry=True))
            quick.append(took)
            now, took = timed(live.finish)
            rest.append(took)
            full, took = timed(
                lambda new=labels: measure_stack(field.stack, panel, settings, nuclei=new)
            )
            whole.append(took)
            same &= equal(now.objects, full.objects) and equal(now.contacts, full.contacts)
        rows.append([f"{kind}: table in a hurry, ms (under 200)", float(np.median(quick))])
        rows.append([f"{kind}: what was put off, ms", float(np.median(rest))])
        rows.append([f"{kind}: whole field, ms", float(np.median(whole))])
    append_ms, read_ms = log_times(1000 if chosen.quick else 10_000)
    lines = "1,000" if chosen.quick else "10,000"
    rows += [
        ["tables equal, byte for byte", "yes" if same else "NO"],
        ["opening the field, ms", opened],
        [f"a line onto a log of {lines}, on the disk, wall ms", append_ms],
        [f"reading a log of {lines}, wall ms", read_ms],
    ]
    report(
        "Corrections",
        ["what", "value"],
        rows,
        notes=f"Processor time of one thread, median; {SIDE} x {SIDE} x 3 pixels, "
        f"{len(np.unique(field.labels)) - 1} nuclei, panel apoptosis. Put off is what one "
        "nucleus can change everywhere: autofluorescence, and fragments where one is touched.",
        target=chosen.json,
    )


if __name__ == "__main__":
    main()

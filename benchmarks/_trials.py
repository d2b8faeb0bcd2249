"""Simulated trials through the second half: whole, or with the contexts taken from the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.classify.calls import call_cells
from imganalysis.classify.ladder import gates_from_controls
from imganalysis.classify.recall import recall_cells
from imganalysis.counted import Counted, Part, membership
from imganalysis.counting import count_cells
from imganalysis.quantify.biopsies import biopsy_table
from imganalysis.quantify.misclassified import correct_fraction
from imganalysis.quantify.statistics import cluster_proportion
from imganalysis.quantify.uncertainty import total_interval
from imganalysis.second_half import GATE_CONTROLS, judge
from imganalysis.simulate.trial import SIDE_UM, Trial, TrialCells, simulate_trial

if TYPE_CHECKING:
    from imganalysis.panel import Panel
    from imganalysis.settings import Settings

ENDS = ("value", "lo", "hi", "naive_lo", "naive_hi", "total_lo", "total_hi", "rg", "rg_lo", "rg_hi")


def with_truth_contexts(cells: pd.DataFrame, panel: Panel, trial: Trial) -> pd.DataFrame:
    """Contexts as the tissue was made: the tumour's side, large nuclei there, small ones beyond."""
    inside = cells[t.X].to_numpy() < trial.tumour_side * SIDE_UM
    diameter = cells[t.DIAMETER].to_numpy()
    columns = {}
    for name, context in panel.contexts.items():
        if context.kind == "in_region":
            value = inside
        elif context.kind == "shape":
            value = np.ones(len(cells), dtype=bool)
            if context.min_diameter_um is not None:
                value &= diameter > context.min_diameter_um
            if context.max_diameter_um is not None:
                value &= diameter <= context.max_diameter_um
        elif context.kind == "lymphoid":
            value = ~inside
        else:
            value = np.zeros(len(cells), dtype=bool)
        columns[t.context_column(name)] = value
    return cells.assign(**columns)


def placed(found: TrialCells) -> pd.DataFrame:
    """Say of each cell where it is from."""
    places = found.fields.set_index(t.FIELD)
    rows = places.index.get_indexer(pd.Index(found.cells[t.FIELD]))
    own = {name: places[name].to_numpy()[rows] for name in places.columns if name != "patient"}
    return found.cells.assign(**own)


def quick_trial(
    trial: Trial, panel: Panel, seed: int, settings: Settings, *, drawn: bool = True
) -> pd.DataFrame:
    """One row per biopsy with an expected value: it, and the intervals.

    Gates, calls, classes, counts and intervals are those of the second half; only the contexts are
    taken from the truth, since in this tissue the region and its surroundings are no matter of
    doubt, and looking for neighbours takes most of the time.
    """
    found = simulate_trial(trial, panel, seed=seed)
    cells = with_truth_contexts(placed(found), panel, trial)
    control = cells[t.ROLE].isin(GATE_CONTROLS).to_numpy()
    samples, controls = cells[~control].reset_index(drop=True), cells[control]
    places = found.fields[~found.fields[t.ROLE].isin(GATE_CONTROLS)].reset_index(drop=True)
    gates = gates_from_controls(controls, places, {panel.name: panel}, settings.gating)
    band = settings.gating.indeterminate_band
    samples = pd.concat([samples, call_cells(samples, panel, gates, band)], axis=1)
    recall = recall_cells(samples, panel, gates, band)
    part = Part(panel, places, samples, samples, recall, {})
    names = pd.Index(places[t.FIELD])
    fraction = next(f for f in panel.fractions if f.endpoint)
    one = Counted(part, names, [*panel.classes, t.UNRESOLVED])
    inside = membership(one, fraction)
    x, n = (
        np.bincount(one.rows[side[recall.states]], minlength=len(names)).reshape(-1, trial.fields)
        for side in inside
    )
    every = None
    if drawn:
        every = count_cells([part], names, {panel.name: panel}, settings.gating)
    rows = []
    options: dict[str, Any] = {
        "confidence": settings.summary.confidence,
        "deff_default": settings.summary.deff_default,
    }
    for i, (biopsy, expected) in enumerate(found.expected.items()):
        e = cluster_proportion(x[i], n[i], **options)
        row = {"biopsy": biopsy, "expected": expected, "n": int(n[i].sum())}
        row |= {"week": trial.weeks[i % len(trial.weeks)]}
        row |= {name: getattr(e, name) for name in ENDS[:5]}
        if every is not None and np.isfinite(e.value):
            mine = slice(i * trial.fields, (i + 1) * trial.fields)
            ends = total_interval(every.drawn[fraction.name][:, mine], e, **options)
            row |= dict(zip(ENDS[5:7], ends, strict=True))
            blank = every.false_positives[fraction.name].iloc[mine]["denominator"].sum()
            row["blank"] = float(blank)
            right = correct_fraction(every.decided[fraction.name][mine], e.lo, e.hi)
            row |= {"rg": right.value, "rg_lo": right.lo, "rg_hi": right.hi}
        rows.append(row)
    return pd.DataFrame(rows)


def whole_trial(trial: Trial, panel: Panel, seed: int, settings: Settings) -> pd.DataFrame:
    """All of the second half; the columns of `quick_trial`, and those of ``biopsies.csv``."""
    found = simulate_trial(trial, panel, seed=seed)
    cells = placed(found)
    tables = {str(n): g.reset_index(drop=True) for n, g in cells.groupby(t.FIELD, sort=False)}
    side = int(np.ceil(SIDE_UM / t.GRID_UM))
    grids = {name: np.full((side, side), t.GRID_UM**2) for name in found.fields[t.FIELD]}
    objects = {name: tables.get(name, cells.iloc[:0]) for name in found.fields[t.FIELD]}
    panels = {panel.name: panel}
    judged = judge(objects, found.fields, grids, panels, settings)
    samples = found.fields[found.fields[t.ROLE] == "sample"].reset_index(drop=True)
    area = side**2 * t.GRID_UM**2 / 1e6
    facts = {
        "status": "analysed", "lesion": "", "flags": "", "tissue_mm2": area, "seen_um": 3.0,
        "volume_mm3": np.nan, "n_objects": 0, "n_cells": 0, "n_apoptotic": 0, "ghost_n": 0,
        "fragments_per_apoptotic": 1.0, "ghost_area_mm2": 0.0,
        **{f"n_{word}": 0 for word in t.EXCLUSIONS},
        **dict.fromkeys(t.REGION_AREAS, np.nan),
    }  # fmt: skip
    table = biopsy_table(
        samples.assign(**facts), judged.counts, panels, settings.summary, counting=settings.counting
    )
    name = next(f for f in panel.fractions if f.endpoint).name
    columns = {f"{name}_{end}".removesuffix("_value"): end for end in ENDS}
    table = table.rename(columns=columns)
    return table.assign(expected=found.expected.reindex(table["biopsy"]).to_numpy())


def covered(table: pd.DataFrame, lo: str = "lo", hi: str = "hi") -> np.ndarray:
    """Whether each interval holds the expected value."""
    expected = table["expected"].to_numpy()
    return np.asarray((table[lo] <= expected) & (expected <= table[hi]))

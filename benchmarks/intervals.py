"""Whether the intervals cover: clustered cells, simulated trials, rare and absent markers.

T2: fields of beta-binomial cells. Trials: 24 patients at three weeks, gates from controls, calls,
classes and counts by the second half (`_trials`); an interval covers where it holds the biopsy's
expected value, of the same definition on true calls. T7 and T30: a rare marker.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from _common import options, report
from _trials import covered, quick_trial, whole_trial

from imganalysis.classify.calls import POSITIVE_CODE, call
from imganalysis.classify.false_calls import false_positives
from imganalysis.panel import load_panel
from imganalysis.quantify.misclassified import rogan_gladen
from imganalysis.quantify.statistics import cluster_proportion
from imganalysis.settings import Settings
from imganalysis.simulate.trial import Trial

if TYPE_CHECKING:
    import argparse

    from imganalysis.panel import Panel

EDGES = (0.0, 0.02, 0.05, 0.15, 0.3, 0.5, 1.0)
SENSITIVITY = 0.995
"""Of the death marker at the trial's default intensities, of called cells."""

TRIALS: dict[str, dict[str, Any]] = {
    "5 fields": {},
    "5 fields, separation 4.5": {"death_ratio": 4.5, "lineage_ratio": 4.5},
    "5 fields, log SD 0.5": {"negative_sd": 0.5, "positive_sd": 0.5},
    "10 fields": {"fields": 10},
}


def beta_binomial(fields: int, repeats: int, *, seed: int = 7) -> list[list[Any]]:
    """Coverage at p = 0.4, correlation 0.05, 80 cells per field."""
    rng = np.random.default_rng(seed)
    p, rho, cells = 0.4, 0.05, 80
    a, b = p * (1 - rho) / rho, (1 - p) * (1 - rho) / rho
    good = naive = 0
    for _ in range(repeats):
        x = rng.binomial(cells, rng.beta(a, b, fields))
        e = cluster_proportion(x, np.full(fields, cells))
        good += e.lo <= p <= e.hi
        naive += e.naive_lo <= p <= e.naive_hi
    where = f"beta-binomial, {fields} fields"
    return [
        [where, "0.4", repeats, "", good / repeats, "0.91-0.98", naive / repeats, "", ""],
    ]


def with_sensitivity(panel: Panel) -> Panel:
    """Take the panel with a known sensitivity of its death marker."""
    known = {"sensitivity": SENSITIVITY, "sensitivity_origin": "simulated"}
    channels = [
        c.model_copy(update=known) if c.marker == panel.death_marker else c for c in panel.channels
    ]
    return panel.model_copy(update={"channels": tuple(channels)})


def trial_rows(name: str, changes: dict[str, Any], repeats: int, panel: Panel) -> list[list[Any]]:
    """Coverage by the expected value."""
    trial, settings = Trial(**changes), Settings()
    tables = [quick_trial(trial, panel, seed, settings) for seed in range(repeats)]
    every = pd.concat(tables, ignore_index=True)
    gone = every["expected"].isna()
    false = int((gone & (every["n"] > every["blank"].fillna(0))).sum())
    rows: list[list[Any]] = [
        [f"{name}: no tumour", "none", int(gone.sum()), "", "", "", "", "",
         f"{false} of them above the blank"]
    ]  # fmt: skip
    every = every[~gone]
    for low, high in pairwise(EDGES):
        mine = every[(every["expected"] > low) & (every["expected"] <= high)]
        middle = (low, high) == (0.3, 0.5)
        rows.append(
            [
                name, f"{low:g}-{high:g}", len(mine),
                float((mine["value"] - mine["expected"]).mean()),
                float(covered(mine).mean()), "0.92-0.98" if middle else ">= 0.92",
                float(covered(mine, "naive_lo", "naive_hi").mean()),
                float(covered(mine, "total_lo", "total_hi").mean()),
                float(covered(mine, "rg_lo", "rg_hi").mean()),
            ]
        )  # fmt: skip
    return rows


def whole_rows(repeats: int, panel: Panel) -> list[list[Any]]:
    """All of the second half, and how far the quick way is from it."""
    settings = Settings()
    whole = pd.concat([whole_trial(Trial(), panel, s, settings) for s in range(repeats)])
    quick = pd.concat([quick_trial(Trial(), panel, s, settings) for s in range(repeats)])
    known = whole["expected"].notna().to_numpy() & whole["value"].notna().to_numpy()
    apart = np.abs(whole["value"].to_numpy() - quick["value"].to_numpy())[known]
    mine = whole[known]
    said = f"largest difference to the quick way {apart.max():.3f}, mean {apart.mean():.4f}"
    return [
        [f"5 fields, contexts from neighbours: {said}", "all", len(mine),
         float((mine["value"] - mine["expected"]).mean()), float(covered(mine).mean()), ">= 0.92",
         float(covered(mine, "naive_lo", "naive_hi").mean()),
         float(covered(mine, "total_lo", "total_hi").mean()),
         float(covered(mine, "rg_lo", "rg_hi").mean())],
    ]  # fmt: skip


def rare_rows(repeats: int) -> list[list[Any]]:
    """T7: 3 % positive cells at 4.5 times the negatives, called by the gate of a control."""
    found = []
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        control = np.exp(rng.normal(0, 0.4, 2000))
        gate = float(np.percentile(control, 99))
        rates = false_positives(control, np.repeat(np.arange(8), 250), 99, 0.0)
        true = rng.random(1000) < 0.03
        calls = call(np.exp(rng.normal(np.where(true, np.log(4.5), 0), 0.4)), gate, 0.0)
        share = float((calls == POSITIVE_CODE).mean())
        fpr = rates.mean if rates is not None else np.nan
        found.append((share, rogan_gladen(share, fpr, 0.9)))
    observed, right = np.mean(found, axis=0)
    return [
        ["rare marker (0.03), observed", "0.03", repeats, observed - 0.03, "", "", "", "", ""],
        ["rare marker (0.03), corrected", "0.03", repeats, right - 0.03, "", "", "", "", ""],
    ]


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--repeats", type=int, default=1000, help="trials")


def main() -> None:
    """Simulate and report."""
    chosen = options(__doc__, add)
    repeats = 10 if chosen.quick else chosen.repeats
    panel = with_sensitivity(load_panel("apoptosis"))
    rows = [row for m in (5, 10) for row in beta_binomial(m, 1000)]
    for i, (name, changes) in enumerate(TRIALS.items()):
        # Enough to see what other tissue does; the claim is of the first.
        rows += trial_rows(name, changes, repeats if i == 0 else max(5, repeats // 10), panel)
    rows += whole_rows(1 if chosen.quick else 10, panel)
    rows += rare_rows(20)
    shown = [["" if isinstance(v, float) and np.isnan(v) else v for v in row] for row in rows]
    report(
        "Statistics",
        ["what", "expected", "n", "bias", "covered", "asked for", "naive", "total",
         "corrected"],
        shown,
        notes="Share of 95 % intervals that hold the expected value: headline, naive (cells taken "
        "for independent), total (with the gates' standard error), and of the value corrected for "
        f"false calls, at the true sensitivity of {SENSITIVITY:g}. Trials: "
        f"{Trial().patients} patients at weeks {', '.join(map(str, Trial().weeks))}, SD "
        f"{Trial().patient_sd:g} (patients) and {Trial().field_sd:g} (fields) on the logit; "
        "positive cells nine times the negatives, log SD 0.35, where not said otherwise. Gates: "
        "99th percentile of 9 control fields.",
        target=chosen.json,
    )  # fmt: skip


if __name__ == "__main__":
    main()

"""Rendered biopsies end to end: what a run reports of each against the same definition on truth.

A study of simulated stacks at the recipe's defaults, with the controls of its batch, is analysed
from its files as ``imganalysis run`` does it: bleed-through from single stains, nuclei by the
embedded network, gates from secondary-only fields, counts. The truth is that of the rendered
profiles: the panel's fractions over the true classes of the evaluable cells.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from _biopsies import f1_of
from _common import options, report
from _rendered import biopsy_rows, causes, cells_beside_truth, summary

from imganalysis.io import write_labels, write_stack
from imganalysis.opening import open_study
from imganalysis.panel import load_panel
from imganalysis.pipeline import run_study
from imganalysis.settings import Settings, fingerprint
from imganalysis.simulate import Plan, load_recipe, simulate_study

if TYPE_CHECKING:
    import argparse

    from imganalysis.panel import Panel
    from imganalysis.records import StudyResult

WEEKS = (0, 1)
COARSE = {"size_px": 512, "pixel_um": 0.465, "planes": 5}
"""Fields as large as the recipe's, on pixels twice as wide."""

LIMIT = 3.0  # percent points
SECONDARY, SINGLE = 3, 2  # control fields: of the panel, and of each stain
SHOWN = 6  # causes of each week

# Panel -> row -> its classes.
CLASSES: dict[str, dict[str, tuple[str, ...]]] = {
    "apoptosis": {
        "vital tumour": ("tumour_vital",),
        "apoptotic tumour": ("tumour_apoptotic", "tumour_apoptotic_melanA_lost"),
        "no tumour": ("non_tumour",),
    },
    "infiltrate": {"T": ("T",), "NK": ("NK",), "CD3+CD56+": ("CD3CD56",)},
}


def plan(fields: dict[str, int], patients: int, grid: dict[str, Any], *, quick: bool) -> Plan:
    """Plan biopsies of all weeks of each patient, in one batch, with its controls."""
    biopsies = [
        {"biopsy": f"P{p:02d}-W{week}", "patient": f"P{p:02d}", "lesion": "L1", "week": week,
         "fields": fields}
        for p in range(1, patients + 1) for week in WEEKS
    ]  # fmt: skip
    controls: list[dict[str, Any]] = []
    for panel in fields:
        number = 2 if quick else SECONDARY
        controls.append({"name": f"control-{panel}", "panel": panel, "week": 0, "fields": number})
        controls += [
            {"name": f"{panel}-{i}", "panel": panel, "week": 1, "role": "single_stain",
             "stain": channel.marker, "fields": 1 if quick else SINGLE}
            for i, channel in enumerate(load_panel(panel).channels)
        ]  # fmt: skip
    return Plan.model_validate(
        {"name": "rendered", "description": "rendered biopsies", "field": grid, "batch": "B1",
         "acquisition": "A1", "biopsies": biopsies, "controls": controls}
    )  # fmt: skip


def rows_of(
    panel: Panel, result: StudyResult, root: Path, out: Path
) -> tuple[list[list[Any]], dict[str, Any]]:
    """Rows of the report of one panel, and its figures: per biopsy, and what made the error."""
    truth, true_cells = (pd.read_csv(root / "truth" / f"{n}.csv") for n in ("biopsies", "cells"))
    every = biopsy_rows(result.biopsies, truth, panel)
    endpoint = next((f for f in panel.fractions if f.endpoint), None)
    rows: list[list[Any]] = []
    for column, table in every.groupby("fraction", sort=False):
        weeks = [(f"week {week}", table[table["week"] == week]) for week in WEEKS]
        for where, mine in [("all", table), *weeks]:
            asked = endpoint is not None and (column, where) == (endpoint.name, "all")
            wanted = f"bias within {LIMIT:g}" if asked else ""
            rows.append([column, where, *summary(mine).values(), wanted])
    cells, lost = cells_beside_truth(result, root, out, true_cells, panel)
    for name, classes in CLASSES[panel.name].items():
        score = f1_of(cells, lost, classes)
        rows.append([f"F1 {name}", "all", int(score["n"]), "", "", score["F1"], *[""] * 5])
    found: list[dict[str, Any]] = []
    for week in WEEKS if endpoint is not None else ():
        here = [table[table["week"] == week] for table in (cells, lost)]
        made = causes(*here, endpoint).assign(week=week)
        found += made.to_dict("records")
        rows += [
            [f"{m.true}, found as {m.found}", f"week {week}", m.cells, "", "", m.points, *[""] * 5]
            for m in made.head(SHOWN).itertuples()
        ]
    if endpoint is not None:
        rows += [
            [b.biopsy, f"week {b.week}", b.cells, b.truth, b.found, b.found - b.truth, "", b.lo,
             b.hi, float(b.covered), ""]
            for b in every[every["fraction"] == endpoint.name].itertuples()
        ]  # fmt: skip
    return rows, {"biopsies": every.to_dict("records"), "causes": found}


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--patients", type=int, default=15, help="with a biopsy per week each")
    parser.add_argument("--fields", type=int, default=4, help="of each biopsy and panel")
    parser.add_argument("--panel", choices=CLASSES, help="this one only")
    parser.add_argument("--fine", action="store_true", help="pixels and planes of the recipe")
    parser.add_argument("--seed", type=int, default=91)
    parser.add_argument("--folder", type=Path, help="keep study and results; a study is used again")


def main() -> None:
    """Simulate, analyse, and report."""
    chosen = options(__doc__, add)
    recipe = load_recipe()
    names = [chosen.panel or "apoptosis"] if chosen.quick or chosen.panel else list(CLASSES)
    fields, patients = (2, 2) if chosen.quick else (chosen.fields, chosen.patients)
    grid = recipe.field.model_copy(update={} if chosen.fine else COARSE)
    rows: list[list[Any]] = []
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        root, out = folder / "study", folder / "results"
        if not (root / "manifest.csv").is_file():
            planned = plan(
                dict.fromkeys(names, fields), patients, grid.model_dump(), quick=chosen.quick
            )
            simulate_study(
                root, recipe, seed=chosen.seed, plan=planned, write_stack=write_stack,
                write_labels=write_labels,
            )  # fmt: skip
        study = open_study(root, panels=list(CLASSES))
        study = replace(study, fields=tuple(f for f in study.fields if f.panel in names))
        settings = Settings.model_validate({"output": {"overlays": False, "quality": False}})
        result = run_study(study, out, settings, overwrite=True)
        for name in names:
            found, figures[name] = rows_of(load_panel(name), result, root, out)
            rows += found
            figures[name]["gates"] = {g.column: g.value for g in result.gates if g.panel == name}
    shown = [["" if isinstance(v, float) and np.isnan(v) else v for v in row] for row in rows]
    gates = {column: value for one in figures.values() for column, value in one["gates"].items()}
    report(
        "Rendered biopsies",
        ["what", "of", "n", "truth", "found", "bias or F1", "SE", "lower", "upper", "covered",
         "asked for"],
        shown,
        notes=f"Recipe {recipe.name} at its defaults, hash {fingerprint(recipe)}: {patients} "
        f"patient(s) at the weeks {' and '.join(map(str, WEEKS))}, {fields} field(s) of "
        f"{grid.size_px} px at {grid.pixel_um} um and {grid.planes} planes of each biopsy and "
        "panel; "
        f"gates {', '.join(f'{column} {value:.3g}' for column, value in gates.items())}. Percent "
        "points. Fractions: n biopsies, mean difference of the reported value and the truth of "
        "its rendered profiles, its standard error, limits of agreement, share of the headline "
        "intervals that hold the truth. Classes: n true cells, matched as in the simulated "
        "biopsies. Then, of the cells of a week taken together, which true class found as which "
        "makes how much of the error; and each biopsy with its true tumour cells and its "
        "interval.",
        target=chosen.json,
        figures=figures,
    )  # fmt: skip


if __name__ == "__main__":
    main()

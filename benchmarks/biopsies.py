"""How well markers and calls tell the cells of simulated biopsies, at the recipe's defaults.

With the true nuclei given, the area under the curve of every marker's default statistic against
true positivity, at 25 photons: the light is scaled so that the marker's peak (photons per pixel
and plane where the dye is 1, the level of the median cell that defines the marker) is 25. With
nuclei that are given, or found by the package's methods, F1 per class, gates from simulated
secondary-only controls, as a run sets them. With the recipe's bleed-through, corrected by
simulated single stain controls and uncorrected, and without any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from _biopsies import (
    BEST,
    TRUE_CELL,
    area_under_curve,
    calibrated,
    f1_of,
    judged,
    look,
    with_truth,
)  # fmt: skip
from _common import options, report

from imganalysis import tables as t
from imganalysis.classify.calls import measure_values
from imganalysis.methods import NetworkMethod, ScikitImageMethod
from imganalysis.panel import load_panel
from imganalysis.settings import Settings, fingerprint
from imganalysis.simulate import load_recipe

if TYPE_CHECKING:
    import argparse

    from imganalysis.panel import Panel
    from imganalysis.prepare.calibration import Calibration
    from imganalysis.simulate import Recipe

CORRECTED, LEFT_IN, NONE = "corrected", "left in", "none"
PHOTONS = 25.0
SAMPLES, CONTROLS, STAINS = 81_000, 82_000, 83_000  # seeds
WEEKS = (0, 1)
GIVEN = "true nuclei"

# Panel -> row -> its classes, and what is to be reached.
CLASSES: dict[str, dict[str, tuple[tuple[str, ...], str]]] = {
    "apoptosis": {
        "vital tumour": (("tumour_vital",), ">= 0.93"),
        "apoptotic tumour": (
            ("tumour_apoptotic", "tumour_apoptotic_melanA_lost"),
            ">= 0.85",
        ),
    },
    "infiltrate": {
        "T": (("T",), ">= 0.93"),
        "NK": (("NK",), ">= 0.80"),
        "CD3+CD56+": (("CD3CD56",), ""),
    },
}


def curves(
    recipe: Recipe, panel: Panel, marker: str, number: int, bleed: str, size: dict[str, Any]
) -> list[Any]:
    """Area under the curve of a marker's default statistic, all weeks together."""
    channel = next(c for c in recipe.panels[panel.name].channels if c.marker == marker)
    scale = PHOTONS / channel.peak_photons
    tables = []
    for week in WEEKS:
        for i in range(number):
            seen = look(
                recipe, panel, Settings(), seed=SAMPLES + i, given=True, week=week,
                photon_scale=scale, bleed_scale=float(bleed != NONE), **size,
            )  # fmt: skip
            tables.append(with_truth(seen))
    cells = pd.concat(tables)
    cells = cells[cells[t.EVALUABLE] & cells[BEST]]
    measure = panel.channel(marker).measures[0]
    positive = cells[f"true_{marker}_positive"].to_numpy(dtype=bool)
    area = area_under_curve(measure_values(cells, marker, measure), positive)
    what = f"AUC {marker} {measure.compartment} {measure.statistic}"
    return [panel.name, what, GIVEN, bleed, int(positive.sum()), "", "", area, ">= 0.99"]


def scores(
    recipe: Recipe,
    panel: Panel,
    way: str,
    settings: Settings,
    number: int,
    bleed: str,
    size: dict[str, Any],
    calibration: Calibration | None,
) -> list[list[Any]]:
    """F1 of the panel's classes, all weeks together."""
    common = {"given": way == GIVEN, "bleed_scale": float(bleed != NONE), **size}
    common |= {"calibration": calibration if bleed == CORRECTED else None}
    controls = [
        look(recipe, panel, settings, seed=CONTROLS + i, week=0, control="secondary_only", **common)
        for i in range(max(2, number))
    ]
    counted, missing, gated = [], [], True
    for week in WEEKS:
        samples = [
            look(recipe, panel, settings, seed=SAMPLES + i, week=week, **common)
            for i in range(number)
        ]
        found = judged(samples, controls, panel, settings)
        gated &= all(gate.value is not None for gate in found.gates)
        cells = found.cells
        cells["true_group"] = cells[f"true_group_{panel.name}"]
        counted.append(cells[cells[t.EVALUABLE].astype(bool)])
        for i, seen in enumerate(samples):
            shown = cells.loc[cells[t.FIELD] == f"s{i}", TRUE_CELL].astype(int)
            true = seen.field.cells
            true = true[true[t.EVALUABLE] & ~true[t.CELL_ID].isin(set(shown))]
            missing.append(true.rename(columns={f"group_{panel.name}": "group"}))
    every, lost = pd.concat(counted), pd.concat(missing)
    rows = []
    for name, (classes, asked) in CLASSES[panel.name].items():
        score = f1_of(every, lost, classes)
        values = [score[key] if gated else np.nan for key in ("precision", "recall", "F1")]
        rows.append([panel.name, f"F1 {name}", way, bleed, score["n"], *values, asked])
    return rows


def add(parser: argparse.ArgumentParser) -> None:
    """Add the options of this benchmark."""
    parser.add_argument("--fields", type=int, default=4, help="fields per week and panel")
    parser.add_argument(
        "--no-guard", action="store_true", help="take a neighbour's light for calls"
    )


def main() -> None:
    """Simulate, analyse, and report."""
    chosen = options(__doc__, add)
    recipe = load_recipe()
    number = 1 if chosen.quick else chosen.fields
    # Fields as large as the recipe's, on coarser pixels.
    coarse = {"size_px": 512, "pixel_size_um": 0.465, "planes": 5}
    size: dict[str, Any] = coarse if chosen.quick else {}
    guard = {"neighbours": {"guard": not chosen.no_guard}}
    ways = {GIVEN: Settings.model_validate(guard)}
    ways["network"] = Settings.model_validate({**guard, "segmentation": NetworkMethod()})
    if not chosen.quick:
        method = ScikitImageMethod()
        ways["scikit-image"] = Settings.model_validate({**guard, "segmentation": method})
    rows: list[list[Any]] = []
    for name in CLASSES:
        panel = load_panel(name)
        known = calibrated(
            recipe, panel, ways[GIVEN], seed=STAINS, number=max(2, number), week=1, **size
        )
        for bleed in (CORRECTED, LEFT_IN, NONE):
            if bleed != CORRECTED:
                rows += [curves(recipe, panel, c.marker, number, bleed, size) for c in panel.gated]
            for way, settings in ways.items():
                rows += scores(recipe, panel, way, settings, number, bleed, size, known)
    names = {"pixel_size_um": "pixel_um"}
    grid = recipe.field.model_copy(update={names.get(k, k): v for k, v in size.items()})
    shown = [["" if isinstance(v, float) and np.isnan(v) else v for v in row] for row in rows]
    report(
        "Simulated biopsies",
        ["panel", "figure", "nuclei", "bleed-through", "true cells", "precision", "recall",
         "value", "asked for"],
        shown,
        notes=f"Recipe {recipe.name} at its defaults, hash {fingerprint(recipe)}, "
        f"{number} field(s) of {grid.size_px} px at {grid.pixel_um} um and "
        f"{grid.planes} planes for each of the "
        f"weeks {' and '.join(map(str, WEEKS))}; {max(2, number)} control field(s). AUC: peak of "
        f"{PHOTONS:g} photons per pixel and plane; F1: the recipe's photons. Positive in truth: "
        f"level at least {recipe.truth.positive_level:g} of the median. Bleed-through: the "
        "recipe's, corrected by single stain controls or left in, or none. An object shows the "
        "true cell with which it shares most pixels, at least half of the smaller; further objects "
        "of a cell in fragments are left out, second objects of a whole nucleus are false; "
        "unresolved cells are missed; empty where a control has too few cells for a gate. "
        f"Calls are {'not ' if chosen.no_guard else ''}guarded against neighbours' light.",
        target=chosen.json,
    )  # fmt: skip


if __name__ == "__main__":
    main()

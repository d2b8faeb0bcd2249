"""Simulated fields analysed as a run does it, each object beside the true cell it shows."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.calibrate import calibrate_study
from imganalysis.first_half import measure_stack
from imganalysis.io import write_stack
from imganalysis.opening import open_study
from imganalysis.second_half import judge
from imganalysis.segment.scores import overlap
from imganalysis.settings import fingerprint
from imganalysis.simulate import simulate_field

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from imganalysis.first_half import Measured
    from imganalysis.panel import Panel
    from imganalysis.prepare.calibration import Calibration
    from imganalysis.second_half import Judged
    from imganalysis.settings import Settings
    from imganalysis.simulate import Recipe, SimulatedField

TRUE_CELL, BEST = "true_cell", "best_of_cell"
"""Columns: the true cell that an object shows, 0 for none; whether it shows most of it."""

ENOUGH = 0.5  # share of the smaller of two objects that must be common, for them to be one


@dataclass(frozen=True)
class Seen:
    """One simulated field and what was measured in it."""

    field: SimulatedField
    found: Measured


def look(
    recipe: Recipe,
    panel: Panel,
    settings: Settings,
    *,
    seed: int,
    given: bool,
    calibration: Calibration | None = None,
    **options: Any,
) -> Seen:
    """Simulate a field and measure it, on its true nuclei or on those that are found."""
    field = _simulated(recipe, panel.name, seed, tuple(sorted(options.items())))
    nuclei = field.labels if given else None
    found = measure_stack(
        field.stack,
        panel,
        settings,
        section_um=recipe.section.thickness_um,
        nuclei=nuclei,
        calibration=calibration,
    )
    return Seen(field, found)


_KEPT: dict[tuple[Any, ...], SimulatedField] = {}
_MOST = 24


def _simulated(
    recipe: Recipe, panel: str, seed: int, options: tuple[tuple[str, Any], ...]
) -> SimulatedField:
    """Simulate a field, or take one of the last again: each is looked at by several ways."""
    key = (fingerprint(recipe), panel, seed, options)
    if key not in _KEPT:
        while len(_KEPT) >= _MOST:
            _KEPT.pop(next(iter(_KEPT)))
        _KEPT[key] = simulate_field(recipe, panel, seed=seed, **dict(options))
    return _KEPT[key]


def calibrated(
    recipe: Recipe, panel: Panel, settings: Settings, *, seed: int, number: int, **options: Any
) -> Calibration:
    """Calibrate by simulated single stain controls, as a run does it from files."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)

        def put(place: str, at: int, **kind: Any) -> None:
            path = root / f"{place}.ome.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_stack(path, simulate_field(recipe, panel.name, seed=at, **kind, **options).stack)

        put("P/sample", seed)
        for channel in panel.channels:
            for i in range(number):
                at = f"controls/single_stain/{channel.marker}/{i}"
                put(at, seed + 1 + i, control="single_stain", stain=channel.marker)
        study = open_study(root, panels=[panel.name])
        (found,) = calibrate_study(study, settings, workers=1)
    return found


def judged(
    samples: Sequence[Seen], controls: Sequence[Seen], panel: Panel, settings: Settings
) -> Judged:
    """Do the second half on fields of one biopsy, with gates from the controls."""
    seen = {f"s{i}": one for i, one in enumerate(samples)}
    seen |= {f"c{i}": one for i, one in enumerate(controls)}
    place = {t.BIOPSY: "P", t.SECTION: "S1", t.PANEL: panel.name}
    place |= {t.BATCH: "B1", t.ACQUISITION: "A1"}
    fields = pd.DataFrame(
        [
            {t.FIELD: name, t.ROLE: one.field.control or "sample"} | place
            for name, one in seen.items()
        ]
    )
    rows = fields.set_index(t.FIELD)
    objects = {
        name: with_truth(one).assign(**{t.FIELD: name, **rows.loc[name].to_dict()})
        for name, one in seen.items()
    }
    grids = {name: one.found.grid for name, one in seen.items()}
    contacts = {name: one.found.contacts for name, one in seen.items()}
    signs = {name: one.found.signs for name, one in seen.items()}
    panels = {panel.name: panel}
    return judge(objects, fields, grids, panels, settings, signs=signs, contacts=contacts)


def with_truth(seen: Seen) -> pd.DataFrame:
    """Objects of a field, with the true cell that each one shows and what is true of it."""
    field = seen.field
    return beside(seen.found.objects, field.labels, seen.found.nuclei, field.objects, field.cells)


def beside(
    objects: pd.DataFrame,
    true: NDArray[np.uint32],
    found: NDArray[np.uint32],
    true_objects: pd.DataFrame,
    true_cells: pd.DataFrame,
) -> pd.DataFrame:
    """Objects of a field beside what is true of it.

    Parameters
    ----------
    objects
        One row per object, or per cell, with its `label` in `found`.
    true, found
        (Y, X) labels.
    true_objects, true_cells
        True label -> cell; one row per true cell, whose columns are given as ``true_NAME``.
    """
    cell, shared = owners(true, found, true_objects)
    labels = objects[t.LABEL].to_numpy(dtype=np.intp)
    out = objects.assign(**{TRUE_CELL: cell[labels]})
    most = (
        pd.Series(shared[labels])
        .groupby(out[TRUE_CELL].to_numpy())
        .rank(method="first", ascending=False)
    )
    out[BEST] = (most.to_numpy() == 1) & (out[TRUE_CELL] > 0)
    truth = true_cells.set_index(t.CELL_ID).add_prefix("true_")
    return out.join(truth, on=TRUE_CELL)


def owners(
    true: NDArray[np.uint32], found: NDArray[np.uint32], objects: pd.DataFrame
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """For each found label, from 0, the true cell that it shows, and their common pixels."""
    pairs = overlap(true, found)
    top = int(found.max(initial=0)) + 1
    cell, shared = np.zeros(top, np.intp), np.zeros(top)
    areas = np.bincount(true.ravel()), np.bincount(found.ravel())
    ids = objects.set_index(t.LABEL)[t.CELL_ID]
    ids_of = (pairs.true_ids, pairs.found_ids)
    for k in np.argsort(pairs.shared, kind="stable"):  # of several the greatest stays
        a, b = (int(i[n]) for i, n in zip(ids_of, pairs.pairs[k], strict=True))
        if pairs.shared[k] >= ENOUGH * min(areas[0][a], areas[1][b]):
            cell[b], shared[b] = int(ids[a]), float(pairs.shared[k])
    return cell, shared


def area_under_curve(values: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Chance that a positive cell has a greater value than a negative one (Mann-Whitney)."""
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return float("nan")
    ranks = pd.Series(values).rank().to_numpy()
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))


def f1_of(cells: pd.DataFrame, truth: pd.DataFrame, classes: Sequence[str]) -> dict[str, float]:
    """Precision, recall and F1 of one class, or of several taken together.

    Parameters
    ----------
    cells
        Counted objects of all fields, with ``phenotype``, ``true_group``, `TRUE_CELL`, `BEST`,
        ``true_evaluable`` and ``true_n_fragments``.
    truth
        Evaluable true cells that no counted object shows, with ``group``.
    classes
        Names.

    Notes
    -----
    An object that shows a true cell outside the frame is left out; so are further objects of a
    cell in fragments. A second object of a whole nucleus, and one that shows no nucleus, are
    false.
    """
    called = cells[t.PHENOTYPE].isin(classes).to_numpy()
    group = cells["true_group"].isin(classes).to_numpy()
    shows = (cells[TRUE_CELL] > 0).to_numpy()
    best = cells[BEST].to_numpy(dtype=bool)
    inside = cells["true_evaluable"].fillna(False).to_numpy(dtype=bool)
    pieces = (cells["true_n_fragments"].fillna(0) > 1).to_numpy()
    ignored = (shows & ~inside) | (~best & pieces)
    hit = int((called & group & best & ~ignored).sum())
    false = int((called & ~(group & best) & ~ignored).sum())
    missed = int((~called & group & best & ~ignored).sum())
    missed += int(truth["group"].isin(classes).sum())
    precision = hit / (hit + false) if hit + false else float("nan")
    recall = hit / (hit + missed) if hit + missed else float("nan")
    both = 2 * hit + false + missed
    return {
        "n": hit + missed,
        "precision": precision,
        "recall": recall,
        "F1": 2 * hit / both if both else float("nan"),
    }

"""A whole simulated study: images, manifest and truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imganalysis import tables
from imganalysis.errors import OutputError, SettingsError
from imganalysis.simulate.fields import SimulatedField, check, simulate_field
from imganalysis.simulate.load import load_plan
from imganalysis.simulate.numeric import derive, rounded, streams
from imganalysis.simulate.plan import Plan
from imganalysis.simulate.truth import count_truth
from imganalysis.stack import PixelSize, Stack

if TYPE_CHECKING:
    from imganalysis.simulate.recipe import Recipe

WriteStack = Callable[[Path, Stack], object]
WriteLabels = Callable[[Path, NDArray[np.uint32], PixelSize], object]
Progress = Callable[[int, int], object]

MANIFEST_COLUMNS = (
    "biopsy",
    "patient",
    "lesion",
    "week",
    "section",
    "panel",
    "batch",
    "acquisition",
    "role",
    "stain",
    "section_um",
    "annotations",
    "path",
    "scene",
)
SAMPLE = "sample"


@dataclass(frozen=True)
class PlannedField:
    """One field of a study, before it is simulated."""

    biopsy: str
    patient: str
    lesion: str
    week: int
    section: str
    panel: str
    role: str
    seed: int
    patient_logit: float
    path: str
    stain: str = ""


def simulate_study(
    out: Path,
    recipe: Recipe,
    *,
    seed: int,
    plan: Plan | str | Path = "sample",
    write_stack: WriteStack,
    write_labels: WriteLabels,
    progress: Progress | None = None,
) -> None:
    """Write a study of simulated stacks with its manifest and its truth.

    Parameters
    ----------
    out
        Folder. It gets ``manifest.csv``, a folder of images per biopsy and control, and
        ``truth/``: ``labels/`` like the images, ``cells.csv``, ``biopsies.csv``.
    recipe
        As `load_recipe` gives it.
    seed
        Of the study. Every field has a seed of its own, made of this one and the field's name,
        so that neither order nor number of fields matters.
    plan
        What the study consists of: a plan, or its name or file.
    write_stack
        Called with (path, stack).
    write_labels
        Called with (path, labels, pixel size).
    progress
        Called with (fields done, all fields).

    Raises
    ------
    SettingsError
        The plan asks for what the recipe does not have.
    OutputError
        ``out`` cannot be written.
    """
    plan = plan if isinstance(plan, Plan) else load_plan(plan)
    todo = plan_fields(recipe, plan, seed)
    cells: list[pd.DataFrame] = []
    for done, item in enumerate(todo):
        if progress is not None:
            progress(done, len(todo))
        field = _simulate(recipe, plan, item)
        image, labels = out / item.path, out / "truth" / "labels" / item.path
        _make_folder(image.parent)
        _make_folder(labels.parent)
        write_stack(image, field.stack)
        write_labels(labels, field.labels, field.stack.pixel_size)
        cells.append(_with_place(item, field))
    if progress is not None:
        progress(len(todo), len(todo))
    tables.write_csv(out / "manifest.csv", _manifest(recipe, plan, todo))
    every = pd.concat(cells, ignore_index=True)
    tables.write_csv(out / "truth" / "cells.csv", every)
    tables.write_csv(out / "truth" / "biopsies.csv", biopsy_truth(recipe, plan, every))


def plan_fields(recipe: Recipe, plan: Plan, seed: int) -> list[PlannedField]:
    """List the fields of a plan, each with its seed.

    Raises
    ------
    SettingsError
        A panel or week that the recipe does not have.
    """
    return list(_plan_fields(recipe, plan, seed))


def _plan_fields(recipe: Recipe, plan: Plan, seed: int) -> Iterator[PlannedField]:
    for biopsy in plan.biopsies:
        effect = plan.patient_logit.get(biopsy.patient)
        if effect is None:
            rng = streams(derive(seed, biopsy.patient), "patient")["patient"]
            effect = rounded(recipe.effects.patient_logit_sd * float(rng.standard_normal()))
        for number, (panel, count) in enumerate(biopsy.fields.items(), start=1):
            _known(recipe, plan, panel, biopsy.week)
            for i in range(1, count + 1):
                name = f"{biopsy.biopsy}_{panel}_{i}"
                yield PlannedField(
                    biopsy=biopsy.biopsy,
                    patient=biopsy.patient,
                    lesion=biopsy.lesion,
                    week=biopsy.week,
                    section=f"S{number}",
                    panel=panel,
                    role=SAMPLE,
                    seed=derive(seed, name),
                    patient_logit=effect,
                    path=f"{biopsy.biopsy}/{name}.ome.tif",
                )
    for control in plan.controls:
        _known(recipe, plan, control.panel, control.week)
        check(recipe, control.panel, control.week, control.role, control.stain or None)
        for i in range(1, control.fields + 1):
            name = f"{control.name}_{i}"
            yield PlannedField(
                biopsy=control.name,
                patient="",
                lesion="",
                week=control.week,
                section="S1",
                panel=control.panel,
                role=control.role,
                seed=derive(seed, name),
                patient_logit=0.0,
                path=f"controls/{control.role}/{name}.ome.tif",
                stain=control.stain,
            )


def _known(recipe: Recipe, plan: Plan, panel: str, week: int) -> None:
    for what, wanted, known in (("panel", panel, recipe.panels), ("week", week, recipe.weeks)):
        if wanted not in known:
            names = ", ".join(map(str, known))
            raise SettingsError(
                f"plan {plan.name} asks for {what} {wanted}; recipe {recipe.name} has {names}"
            )


def _simulate(recipe: Recipe, plan: Plan, item: PlannedField) -> SimulatedField:
    return simulate_field(
        recipe,
        item.panel,
        seed=item.seed,
        week=item.week,
        control=None if item.role == SAMPLE else item.role,
        stain=item.stain or None,
        size_px=plan.field.size_px,
        pixel_size_um=plan.field.pixel_um,
        planes=plan.field.planes,
        z_step_um=plan.field.z_step_um,
        bits=plan.field.bits,
        photon_scale=plan.photon_scale,
        bleed_scale=plan.bleed_scale,
        patient_logit=item.patient_logit,
    )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror or error})") from error


def _with_place(item: PlannedField, field: SimulatedField) -> pd.DataFrame:
    cells = field.cells.drop(columns=[c for c in field.cells if str(c).startswith("group_")])
    cells["group"] = field.cells[f"group_{item.panel}"]
    place: dict[str, Any] = {
        "path": item.path,
        "biopsy": item.biopsy,
        "week": item.week,
        "panel": item.panel,
        "role": item.role,
    }
    for position, (name, value) in enumerate(place.items()):
        cells.insert(position, name, value)
    return cells


def _manifest(recipe: Recipe, plan: Plan, todo: list[PlannedField]) -> pd.DataFrame:
    rows = [
        {
            "biopsy": item.biopsy,
            "patient": item.patient,
            "lesion": item.lesion,
            "week": item.week if item.role == SAMPLE else "",
            "section": item.section,
            "panel": item.panel,
            "batch": plan.batch,
            "acquisition": plan.acquisition,
            "role": item.role,
            "stain": item.stain,
            "section_um": recipe.section.thickness_um,
            "path": item.path,
        }
        for item in todo
    ]
    return pd.DataFrame(rows, columns=list(MANIFEST_COLUMNS))


def biopsy_truth(recipe: Recipe, plan: Plan, cells: pd.DataFrame) -> pd.DataFrame:
    """Count what is true of each biopsy and panel, over the evaluable cells of its fields.

    Returns
    -------
    DataFrame
        A row per biopsy and panel: ``n_fields``, ``area_mm2`` inside the guard frame,
        ``n_evaluable``, ``n_GROUP``, the fractions, ``reason`` of those that are empty. Columns
        of the other panels are empty.
    """
    side = plan.field.size_px * plan.field.pixel_um - 2.0 * recipe.truth.guard_um
    rows: list[dict[str, Any]] = []
    for biopsy in plan.biopsies:
        for panel, count in biopsy.fields.items():
            # Controls have names of their own, so none is among them.
            mine = (cells["biopsy"] == biopsy.biopsy) & (cells["panel"] == panel)
            row = {
                "biopsy": biopsy.biopsy,
                "patient": biopsy.patient,
                "week": biopsy.week,
                "panel": panel,
                "n_fields": count,
                "area_mm2": round(count * max(side, 0.0) ** 2 * 1e-6, 6),
            }
            rows.append(row | count_truth(recipe, panel, cells[mine], group="group"))
    table = pd.DataFrame(rows)
    for name in table.columns:
        if str(name).startswith("n_"):
            table[name] = table[name].astype("Int64")
    return table[[c for c in table.columns if c != "reason"] + ["reason"]]

"""One row per field: what was analysed and how, what was not and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from imganalysis import tables as t
from imganalysis.quantify.study_counts import read_counts
from imganalysis.quantify.summary import SIDES
from imganalysis.study import SAMPLE, clean_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from imganalysis.panel import Panel
    from imganalysis.quantify.study_counts import StudyCounts
    from imganalysis.quantify.summary import Counts
    from imganalysis.records import FieldResult
    from imganalysis.study import Field, Study

FACTS = (
    "n_planes", "projection", "projection_first_plane", "projection_last_plane",
    "projection_reason", "bleedthrough", "flatfield", "channel_shift", "calibration",
    "time_point", "pixel_size_z_um", "pixel_size_y_um", "pixel_size_x_um",
    "pixel_size_origin", "segmentation", "model", "model_sha256", "n_objects", "n_cells",
    "n_evaluable", "n_apoptotic", "fragments_per_apoptotic", "ghost_n", "ghost_area_mm2",
    "field_mm2", "frame_mm2", "tissue_mm2", "seen_um", "volume_mm3", "nuclear_contrast", "focus",
    "sharpness_per_um", "background", "background_levels", "saturated_tissue_fraction",
    "saturated_channels", "zero_tissue_fraction", "autofluorescence_mm2", "n_af_affected",
    "pigment_mm2", "folds_mm2", "annotations", "annotations_left_out", "sha256",
)  # fmt: skip
"""Columns that the first half fills, in this order."""

STATUS = {
    "analysed": "counted",
    "control": "analysed, never counted",
    "failed": "should have been analysed and was not; the reason says why",
    "not_a_field": "no field of view in X and Y; no failure",
    "ignored": "role ignore; no failure",
}


def field_table(
    study: Study,
    results: Sequence[FieldResult],
    counts: Counts,
    region_mm2: Mapping[str, Mapping[str, float]],
    excluded: pd.DataFrame,
    section_um: float | None = None,
) -> pd.DataFrame:
    """Table of every field of a study, also of those not analysed.

    Parameters
    ----------
    study
        All fields, in the order of the rows.
    results
        Of the first half, for the fields that could be tried.
    counts
        Evaluable cells per field and class; a class or fraction that the field's panel does not
        have, or that a marker without a gate decides on, is empty.
    region_mm2
        Field -> counted area of each region.
    excluded
        Objects per field and reason of exclusion.
    section_um
        Thickness that the settings give to sections of which the study says none.
    """
    by_name = {result.field.name: result for result in results}
    rows = [_row(study, field, by_name.get(field.name), section_um) for field in study.fields]
    table = pd.DataFrame(rows)
    names = table[t.FIELD]
    for column, region in t.REGION_AREAS.items():
        table[column] = [region_mm2.get(name, {}).get(region, float("nan")) for name in names]
    counted = counts.called.index
    panel_of = pd.Series([by_name[name].field.panel for name in counted], index=counted)
    read = read_counts(pd.DataFrame({t.FIELD: counted, "panel": panel_of}), counts, study.panels)
    known = _known(counts.called, panel_of, read, study.panels)
    for part in (
        excluded.add_prefix("n_"),
        known.add_prefix("n_class_"),
        fraction_counts(read, counted),
    ):
        aligned = part.reindex(names).reset_index(drop=True)
        table = pd.concat([table, aligned.astype("Int64")], axis=1)
    flags = table.pop("flags")
    table["flags"] = flags
    return table


def _known(
    called: pd.DataFrame, panel_of: pd.Series[str], read: StudyCounts, panels: Mapping[str, Panel]
) -> pd.DataFrame:
    """Take the counts of the classes that a field could show."""
    table = called.astype("Int64")
    for column in table.columns.drop(t.UNRESOLVED):
        owners = [name for name, panel in panels.items() if column in panel.classes]
        shown = panel_of.isin(owners).to_numpy()
        if owners:
            shown = shown & ~read.ungated[column]
        table[column] = table[column].where(shown)
    return table


def fraction_counts(read: StudyCounts, names: pd.Index[str]) -> pd.DataFrame:
    """Count the cells of each field that the fractions of biopsies.csv are made of.

    Parameters
    ----------
    read
        What the fields count for.
    names
        Of these fields.

    Returns
    -------
    DataFrame
        Index: field; columns `imganalysis.tables.side_column`, Int64; empty where the field's
        panel does not have the fraction or a marker that it needs has no gate.
    """
    found = pd.DataFrame(index=names)
    for one in read.fractions:
        known = one.shown & ~one.ungated
        for side in SIDES:
            cells = pd.Series(one.sums[f"/{side}", "called"], index=names).where(known)
            found[t.side_column(one.fraction.name, side)] = cells.astype("Int64")
    return found


def _row(
    study: Study, field: Field, result: FieldResult | None, section_um: float | None
) -> dict[str, Any]:
    status, reason, message = _status(field, result)
    row: dict[str, Any] = {
        t.FIELD: field.name,
        "biopsy": field.biopsy,
        "patient": field.patient,
        "lesion": field.lesion,
        "week": field.week,
        "section": field.section,
        "panel": field.panel,
        "batch": field.batch,
        "acquisition": field.acquisition,
        "role": field.role,
        "stain": field.stain,
        "section_um": section_um if field.section_um is None else field.section_um,
        **{name: field.extra.get(name, "") for name in study.columns},
        "file": clean_text(_relative(field.path, study.root)),
        "scene": field.scene,
        "tile": field.tile,
        "status": status,
        "reason": reason,
        "message": clean_text(message.replace("\n", " ")),
    }
    facts = result.facts if result is not None else {}
    row |= {name: facts.get(name) for name in FACTS}
    flags = (*field.flags, *(result.flags if result is not None else ()))
    row["flags"] = ";".join(dict.fromkeys(flags))
    return row


def _status(field: Field, result: FieldResult | None) -> tuple[str, str, str]:
    if field.problem:
        if field.is_failure:
            return "failed", field.problem, field.problem_text
        word = "ignored" if field.problem == "ignored" else "not_a_field"
        return word, field.problem, field.problem_text
    if result is None or result.reason:
        reason = result.reason if result is not None else "not_tried"
        return "failed", reason, result.message if result is not None else ""
    return ("analysed" if field.role == SAMPLE else "control"), "", ""


def _relative(path: Path, root: Path) -> str:
    """Path under the study, so that a moved study gives the same table."""
    try:
        return path.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return path.name


def exclusion_table(fields: pd.DataFrame) -> pd.DataFrame:
    """Objects that were not counted: one row per field and reason."""
    keys = ["biopsy", t.FIELD, "panel", "role"]
    rows = [
        {**{key: field[key] for key in keys}, "reason": word, "n_objects": int(field[f"n_{word}"])}
        for _, field in fields[fields["status"].isin(["analysed", "control"])].iterrows()
        for word in t.EXCLUSIONS
        if pd.notna(field[f"n_{word}"]) and field[f"n_{word}"] > 0  # NA: nothing was measured
    ]
    return pd.DataFrame(rows, columns=[*keys, "reason", "n_objects"])

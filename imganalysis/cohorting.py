"""A cohort: result folders and a clinical table in; tables, tests and figures out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from imganalysis import tables as t
from imganalysis import tables_cohort as c
from imganalysis.cohort.adjust import adjusted
from imganalysis.cohort.cell_tables import read_parquet
from imganalysis.cohort.clinical import Clinical, follow_up, read_clinical, visits
from imganalysis.cohort.describe import by_week, na_by_week
from imganalysis.cohort.endpoints import Endpoint, endpoints
from imganalysis.cohort.groups import Grouping, group_differences
from imganalysis.cohort.join import join, stack_biopsies
from imganalysis.cohort.loss import (
    ERRS,
    Markers,
    countable,
    loss_markers,
    loss_over_patients,
    patient_losses,
)
from imganalysis.cohort.patients import patient_weeks
from imganalysis.cohort.plan import Groups, Survival, choose_groups, choose_survival, with_clinical
from imganalysis.cohort.response import response_rates, responses
from imganalysis.cohort.survival import curves, log_rank
from imganalysis.cohort.weeks import week_changes
from imganalysis.errors import PanelError, TableError
from imganalysis.panel_fractions import check_together
from imganalysis.results import BIOPSIES, CELLS, FIELDS, cells_path
from imganalysis.run_file import OUR_KEY, read_run, run_panels
from imganalysis.study import SAMPLE
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from imganalysis.panel import Panel

TEXTS = (t.BIOPSY, c.PATIENT, c.LESION, c.WEEK, "flags", "reason", "death_marker_form")


@dataclass(frozen=True)
class Asked:
    """What is asked of a cohort.

    Parameters
    ----------
    by
        Columns of the clinical table that make groups; response and dose, where there, if empty.
    endpoints
        Columns of ``biopsies.csv`` to compare; all fractions and densities if empty.
    survival_by
        Columns by which survival is shown; those of `by`, the response aside, if empty.
    landmark
        Week from which survival is counted where it is shown by response.
    confidence
        Of all intervals.
    allow_unmatched
        Keep patients that only one of the tables has.
    """

    by: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    survival_by: tuple[str, ...] = ()
    landmark: float | None = None
    confidence: float = 0.95
    allow_unmatched: bool = False


@dataclass(frozen=True)
class CohortResult:
    """Tables of a cohort; one that was not asked for or cannot be had is None."""

    biopsies: pd.DataFrame
    cohort: pd.DataFrame
    by_week: pd.DataFrame
    tests: pd.DataFrame
    na: pd.DataFrame
    endpoints: tuple[Endpoint, ...]
    groups: tuple[Grouping, ...]
    losses: pd.DataFrame | None = None
    responses: pd.DataFrame | None = None
    rates: pd.DataFrame | None = None
    survival: pd.DataFrame | None = None
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class _Folder:
    path: Path
    biopsies: pd.DataFrame
    panels: dict[str, Panel]
    record: dict[str, Any]


def analyse_cohort(
    folders: Sequence[Path], clinical_table: Path, asked: Asked | None = None
) -> CohortResult:
    """Compare the biopsies of a cohort; the unit is the patient.

    Parameters
    ----------
    folders
        Results of `imganalysis run`.
    clinical_table
        CSV: a row per patient, lesion, or visit.
    asked
        What is asked; the defaults if not given.

    Raises
    ------
    TableError
        A table is wrong, or keys do not match.
    SettingsError
        Something is asked for that the tables do not have, or that would mislead.
    """
    asked = asked or Asked()
    confidence = asked.confidence
    clinical = read_clinical(clinical_table)
    found = [_folder(path) for path in folders]
    biopsies = stack_biopsies([(f.path / BIOPSIES, f.biopsies) for f in found])
    joined = join(biopsies, clinical, allow_unmatched=asked.allow_unmatched)
    panels, notes = _panels(found)
    chosen = endpoints(panels, biopsies, asked.endpoints)
    if not chosen:
        raise TableError(f"{folders[0]}: neither a fraction nor a density to compare")
    if joined.without_biopsy:
        notes.append(f"{plural(len(joined.without_biopsy), 'patient')} without a biopsy")
    if joined.without_clinical:
        notes.append(f"{plural(len(joined.without_clinical), 'patient')} not in the clinical table")
    notes += joined.notes
    judged = _responses(clinical)
    groups = choose_groups(clinical, asked.by, judged)
    survival = choose_survival(
        clinical, follow_up(clinical), groups, asked.survival_by, asked.landmark
    )
    patients = patient_weeks(biopsies, chosen)
    rows: list[dict[str, Any]] = []
    for endpoint in chosen:
        rows += week_changes(biopsies, patients, endpoint, confidence=confidence)
    for grouping in groups.groupings:
        for endpoint in chosen:
            rows += group_differences(patients, endpoint, grouping, confidence=confidence)
    losses = _losses(found, panels, biopsies, confidence)
    rows += [loss_over_patients(table, confidence=confidence) for table in losses]
    if losses:
        notes.append(ERRS)
    shown, more = _survival(survival, confidence)
    rows += more
    cohort, left = with_clinical(patients, clinical)
    notes += [*groups.notes, *survival.notes, *left]
    return CohortResult(
        biopsies=biopsies,
        cohort=cohort,
        by_week=by_week(patients, chosen, groups.groupings),
        tests=adjusted(rows, [e.name for e in chosen if e.main]),
        na=na_by_week(biopsies, chosen),
        endpoints=tuple(chosen),
        groups=groups.groupings,
        losses=pd.concat(losses, ignore_index=True) if losses else None,
        responses=judged,
        rates=None if judged is None else response_rates(judged, confidence=confidence),
        survival=shown,
        notes=tuple(notes),
    )


def _folder(path: Path) -> _Folder:
    record = read_run(path)
    panels = run_panels(path, record)
    table = t.read_csv(
        path / BIOPSIES, dtype=dict.fromkeys(TEXTS, str), keep_default_na=False, na_values=[""]
    )
    for name in set(TEXTS) & set(table.columns):
        table[name] = table[name].fillna("").str.replace(r"^'(?=[=+\-@\t\r])", "", regex=True)
    return _Folder(path, table, panels, record)


def _panels(found: Sequence[_Folder]) -> tuple[dict[str, Panel], list[str]]:
    """Panels of all folders, and in what the runs differ."""
    panels: dict[str, Panel] = {}
    notes = []
    first = found[0]
    for one in found:
        for name, panel in one.panels.items():
            if panels.setdefault(name, panel) != panel:
                notes.append(f"{first.path} and {one.path}: different panels named {name}")
        for key, what in (("settings_hash", "settings"), (OUR_KEY, "versions of imganalysis")):
            if one.record.get(key) != first.record.get(key):
                notes.append(f"{first.path} and {one.path}: different {what}")
    try:
        check_together(panels.values())
    except PanelError as error:
        raise TableError(f"results that cannot be compared: {error}") from None
    return panels, notes


def _responses(clinical: Clinical) -> pd.DataFrame | None:
    measured = visits(clinical)
    if measured is None:
        return None
    given = clinical.of_patient(c.RESPONSE)[0] if c.RESPONSE in clinical.columns else None
    return responses(measured, clinical.patients, given=given)


def _losses(
    found: Sequence[_Folder],
    panels: Mapping[str, Panel],
    biopsies: pd.DataFrame,
    confidence: float,
) -> list[pd.DataFrame]:
    """Per pair of markers the patients' odds ratios."""
    patient = dict(zip(biopsies[t.BIOPSY], biopsies[c.PATIENT], strict=True))
    out = []
    pairs: dict[tuple[str, str], dict[str, Markers]] = {}
    for name, panel in panels.items():
        markers = loss_markers(panel)
        if markers is not None:
            pairs.setdefault((markers.state, markers.kept), {})[name] = markers
    for names in pairs.values():
        cells: dict[str, list[pd.DataFrame]] = {}
        for one in found:
            if not (one.path / CELLS).is_dir():
                continue
            fields = t.read_csv(one.path / FIELDS, dtype=str, keep_default_na=False)
            mine = fields[
                (fields["role"] == SAMPLE)
                & (fields["status"] == "analysed")
                & fields[t.PANEL].isin(names)
            ]
            for label, biopsy, panel_name in mine[[t.FIELD, t.BIOPSY, t.PANEL]].itertuples(
                index=False
            ):
                table = read_parquet(cells_path(one.path, label))
                told = countable(table, names[panel_name])
                cells.setdefault(patient[biopsy], []).append(told)
        if cells:
            whole = {name: pd.concat(parts) for name, parts in cells.items()}
            out.append(patient_losses(whole, next(iter(names.values())), confidence=confidence))
    return out


def _survival(
    survival: Survival, confidence: float
) -> tuple[pd.DataFrame | None, list[dict[str, Any]]]:
    if survival.unit == "":
        return None, []
    parts = [curves(survival.followed, None, survival.unit, confidence=confidence)]
    rows = []
    for grouping, followed, landmark in survival.compared:
        parts.append(curves(followed, grouping, survival.unit, landmark, confidence=confidence))
        rows.append(log_rank(followed, grouping, survival.unit, landmark))
    told = [part for part in parts if len(part)]
    if not told:
        return None, rows
    return pd.concat(told, ignore_index=True), rows


__all__ = ["Asked", "CohortResult", "Groups", "analyse_cohort"]

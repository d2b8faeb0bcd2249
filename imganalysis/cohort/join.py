"""Biopsies of result folders and the rows of a clinical table, joined by checked keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

from imganalysis import tables as t
from imganalysis.cohort.sheet import alike_key, looks_like_date
from imganalysis.errors import TableError
from imganalysis.tables_cohort import DIAMETERS, KEYS, LESION, PATIENT, WEEK
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from imganalysis.cohort.clinical import Clinical

SOURCE, ROW = "source", "source_row"
"""Columns that say from where a biopsy is: its file, and the row there."""

SHOWN = 8


@dataclass(frozen=True)
class Joined:
    """What belongs together, and what was left alone.

    Parameters
    ----------
    biopsies
        As in ``biopsies.csv``, of all result folders; sorted by patient, week, lesion, biopsy.
    without_biopsy, without_clinical
        Patients of the one table that are not in the other.
    notes
        What else has no partner and is no mistake, in sentences.
    """

    biopsies: pd.DataFrame
    without_biopsy: tuple[str, ...] = ()
    without_clinical: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())


def stack_biopsies(tables: Sequence[tuple[Path, pd.DataFrame]]) -> pd.DataFrame:
    """Put the biopsies of several result folders into one table, keys checked.

    Parameters
    ----------
    tables
        (file, its rows; ``patient`` and ``lesion`` as texts).

    Returns
    -------
    DataFrame
        With the columns `SOURCE` and `ROW`.

    Raises
    ------
    TableError
        A biopsy has no patient or week, a week is no number, a biopsy is in two folders, or a
        patient is spelt in two ways.
    """
    parts = []
    for path, table in tables:
        t.require(table, (t.BIOPSY, *KEYS), source=str(path))
        own = table.copy()
        own[SOURCE], own[ROW] = str(path), range(2, len(table) + 2)
        week = pd.to_numeric(own[WEEK], errors="coerce")
        for at, text, value, patient in zip(own[ROW], own[WEEK], week, own[PATIENT], strict=True):
            if not str(patient).strip():
                raise TableError(_cell(path, at, PATIENT, "empty", "its patient"))
            if pd.isna(value):
                said = "empty" if pd.isna(text) or text == "" else f"{text!r} is no number"
                raise TableError(_cell(path, at, WEEK, said, "a number"))
        own[WEEK] = week.astype(float)
        own[LESION] = own[LESION].astype(object).where(own[LESION].notna(), "").astype(str)
        own[PATIENT] = own[PATIENT].astype(str)
        parts.append(own)
    found = pd.concat(parts, ignore_index=True)
    first: dict[str, tuple[str, int]] = {}
    spelt: dict[str, tuple[str, str, int]] = {}
    for biopsy, patient, source, at in found[[t.BIOPSY, PATIENT, SOURCE, ROW]].itertuples(
        index=False
    ):
        if biopsy in first:
            other, row = first[biopsy]
            raise TableError(
                f"{source}, row {at}: the biopsy {biopsy} is in {other}, row {row} too and would "
                "count twice; leave one result folder out, or name the biopsies apart"
            )
        first[biopsy] = (source, at)
        before = spelt.setdefault(alike_key(patient), (patient, source, at))
        if before[0] != patient:
            raise TableError(
                f"{source}, row {at}, column {PATIENT}: {patient!r}, but {before[0]!r} in "
                f"{before[1]}, row {before[2]}: one patient, or two? Spell a patient in one way "
                "in the manifest and run again"
            )
    order = [PATIENT, WEEK, LESION, t.BIOPSY]
    return found.sort_values(order, kind="stable").reset_index(drop=True)


def _cell(path: Path, row: int, column: str, said: str, needed: str) -> str:
    return (
        f"{path}, row {row}, column {column}: {said}; a biopsy of a cohort needs {needed}: write "
        "it into the manifest of the study and run again"
    )


def join(biopsies: pd.DataFrame, clinical: Clinical, *, allow_unmatched: bool = False) -> Joined:
    """Check that biopsies and clinical rows find each other.

    Parameters
    ----------
    biopsies
        From `stack_biopsies`.
    clinical
        From `read_clinical`.
    allow_unmatched
        Keep patients that are in one of the two only. Names that differ by spelling alone are
        an error all the same.

    Raises
    ------
    TableError
        A name is spelt differently in the two, or something has no partner.
    """
    _spelling(biopsies, clinical)
    ours = set(biopsies[PATIENT])
    alone = tuple(p for p in clinical.patients if p not in ours)
    lost = tuple(sorted(ours - set(clinical.patients)))
    if not allow_unmatched:
        rows = {row.patient: row.number for row in reversed(clinical.rows)}
        said = []
        if lost:
            named = biopsies.drop_duplicates(PATIENT).set_index(PATIENT)
            texts = [f"{p} ({named[SOURCE][p]!s}, row {named[ROW][p]})" for p in lost]
            said.append(f"without a row in {clinical.sheet.path}: {_few(texts)}")
        if alone:
            texts = [f"{p} (row {rows[p]}{_date_hint(p)})" for p in alone]
            said.append(f"in {clinical.sheet.path} without a biopsy: {_few(texts)}")
        said += _keys_without_partner(biopsies, clinical, {*lost, *alone})
        if said:
            raise TableError(
                f"patients {'; '.join(said)}. Correct the column {PATIENT}; or, where they truly "
                "have no partner, give --allow-unmatched: they then count only in what their one "
                "table tells"
                if lost or alone
                else f"{'; '.join(said)}. Correct the keys, or give --allow-unmatched"
            )
    return Joined(biopsies, alone, lost, _visits_alone(biopsies, clinical))


def _visits_alone(biopsies: pd.DataFrame, clinical: Clinical) -> tuple[str, ...]:
    """Count visits without a biopsy, of patients with one; not every visit brings a biopsy."""
    if WEEK not in clinical.keys:
        return ()
    taken = set(zip(biopsies[PATIENT], biopsies[WEEK], strict=True))
    ours = set(biopsies[PATIENT])
    alone = {(r.patient, r.week) for r in clinical.rows if r.patient in ours} - taken
    if not alone:
        return ()
    of = plural(len({patient for patient, _ in alone}), "patient")
    said = f"{plural(len(alone), 'visit')} of {of} without a biopsy: in no comparison of biopsies"
    measured = any(name in clinical.columns for name in DIAMETERS)
    return (f"{said}, but in the responses" if measured else said,)


def _few(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return ", ".join(texts[:SHOWN]) + more


def _date_hint(text: str) -> str:
    return "; a spreadsheet has made a date of it?" if looks_like_date(text) else ""


def _spelling(biopsies: pd.DataFrame, clinical: Clinical) -> None:
    """Refuse a patient or lesion whose name would match but for its spelling."""
    ours = {alike_key(name): name for name in dict.fromkeys(biopsies[PATIENT])}
    known = set(ours.values())
    lesions = {
        (row[PATIENT], alike_key(row[LESION])): row[LESION] for _, row in biopsies.iterrows()
    }
    pairs = set(zip(biopsies[PATIENT], biopsies[LESION], strict=True))
    for row in clinical.rows:
        meant = ours.get(alike_key(row.patient))
        if row.patient not in known and meant is not None:
            raise clinical.sheet.error(
                row.number, PATIENT, f"{row.patient!r}, but the biopsies have {meant!r}; write "
                "both alike (a column formatted as text keeps zeros at the front)",
            )  # fmt: skip
        named = lesions.get((row.patient, alike_key(row.lesion)))
        if LESION in clinical.keys and named is not None:
            if (row.patient, row.lesion) not in pairs:
                raise clinical.sheet.error(
                    row.number, LESION, f"{row.lesion!r}, but the biopsies of patient "
                    f"{row.patient} have {named!r}; write both alike",
                )  # fmt: skip


def _keys_without_partner(
    biopsies: pd.DataFrame, clinical: Clinical, said_already: set[str]
) -> list[str]:
    """Biopsies whose lesion or week is in no row of a table that has these keys.

    A lesion or visit without a biopsy is no mistake: not every lesion is biopsied.
    """
    if clinical.keys == (PATIENT,):
        return []
    have = {tuple(getattr(row, key) for key in clinical.keys): row.number for row in clinical.rows}
    out = []
    for _, row in biopsies.iterrows():
        if row[PATIENT] not in said_already and tuple(row[k] for k in clinical.keys) not in have:
            what = ", ".join(
                f"{k} {row[k]:g}" if k == WEEK else f"{k} {row[k] or '(none)'}"
                for k in clinical.keys
            )
            out.append(f"{row[t.BIOPSY]} ({what}; {row[SOURCE]}, row {row[ROW]})")
    if not out:
        return []
    hint = ""
    if WEEK in clinical.keys:
        hint = (
            f" (its column {WEEK} is taken for the week of a visit: rename it if it means "
            "anything else)"
        )
    if LESION in clinical.keys and (biopsies[LESION] == "").any():
        hint += " (some biopsies name no lesion: write it into the manifest of the study)"
    return [f"biopsies without a row in {clinical.sheet.path}{hint}: {_few(out)}"]

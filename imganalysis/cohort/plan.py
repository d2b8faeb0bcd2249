"""Which groups are compared, and whose survival, by what the tables hold."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imganalysis import tables_cohort as c
from imganalysis.cohort.clinical import visits
from imganalysis.cohort.groups import Grouping, as_groups, grouping, halves
from imganalysis.cohort.response import UNKNOWN, responses
from imganalysis.cohort.sheet import number
from imganalysis.cohort.survival import IMMORTAL, check_landmark, from_landmark, to_unit
from imganalysis.errors import SettingsError
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from imganalysis.cohort.clinical import Clinical, Followed

DEFAULTS = (c.RESPONSE, c.DOSE)
NOT_YET = "none by the landmark"


@dataclass(frozen=True)
class Groups:
    """Groups of patients, and what is to be said of them."""

    groupings: tuple[Grouping, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Survival:
    """Whose survival is compared: (groups, patients, landmark); without a unit there is none."""

    unit: str = ""
    followed: Mapping[str, Followed] = field(default_factory=dict)
    compared: tuple[tuple[Grouping, Mapping[str, Followed], float | None], ...] = ()
    notes: tuple[str, ...] = ()


def choose_groups(clinical: Clinical, by: Sequence[str], judged: pd.DataFrame | None) -> Groups:
    """Take columns of the clinical table for groups; the response by diameters where it has none.

    Parameters
    ----------
    clinical
        The table.
    by
        Columns; `DEFAULTS`, where there, if empty.
    judged
        From `imganalysis.cohort.response.responses`, where there are diameters.

    Raises
    ------
    SettingsError
        A column is not there.
    """
    computed = judged is not None and c.RESPONSE not in clinical.columns
    known = [*clinical.columns, *([c.RESPONSE] if computed else [])]
    wanted = list(dict.fromkeys(by)) or [name for name in DEFAULTS if name in known]
    out, notes = [], []
    for name in wanted:
        if name == c.RESPONSE and computed and judged is not None:
            own = _of_response(judged)
        else:
            own = grouping(clinical, name)
            if name == c.RESPONSE:
                own = as_groups(name, {p: _told(r) for p, r in own.of.items()}) if own.of else own
        if own.varies:
            notes.append(
                f"{name} differs between the rows of a patient: not compared, as the unit is the "
                "patient"
            )
        elif len(own.groups) < 2:
            notes.append(f"{name}: not compared, as all patients are of one group")
            continue
        out.append(own)
    return Groups(tuple(out), tuple(notes))


def _told(response: str) -> str:
    """Who could not be assessed belongs to no group, but counts among the responses."""
    return "" if response.strip().casefold().replace(" ", "_") == UNKNOWN else response


def _of_response(judged: pd.DataFrame) -> Grouping:
    mine = judged[judged[c.LEVEL] == c.PATIENT]
    of = dict(zip(mine[c.PATIENT], mine[c.RESPONSE].map(_told), strict=True))
    return as_groups(c.RESPONSE, of)


def choose_survival(
    clinical: Clinical,
    follow: tuple[str, dict[str, Followed]] | None,
    groups: Groups,
    by: Sequence[str],
    landmark: float | None,
) -> Survival:
    """Decide by what survival is shown.

    Parameters
    ----------
    clinical
        The table.
    follow
        From `imganalysis.cohort.clinical.follow_up`.
    groups
        From `choose_groups`.
    by
        Columns; those of `groups`, the response aside, if empty.
    landmark
        Week, for the response.

    Raises
    ------
    SettingsError
        By response without a landmark or without knowing when it was seen, a column that is not
        there, or no follow-up at all.
    """
    if follow is None:
        if by or landmark is not None:
            raise SettingsError(
                f"{clinical.sheet.path}: survival is asked for, but neither of the columns "
                f"{', '.join(c.TIMES)} is there, beside {c.EVENT}"
            )
        return Survival()
    unit, followed = follow
    columns = list(dict.fromkeys(by))
    check_landmark(columns, landmark)
    names = [g.name for g in groups.groupings]
    notes = []
    if not columns:
        columns = [name for name in names if name != c.RESPONSE]
        if landmark is not None:
            columns.append(c.RESPONSE)
        elif c.RESPONSE in names:
            notes.append(f"survival by {c.RESPONSE} is not shown: {IMMORTAL}")
    if landmark is not None and c.RESPONSE not in columns:
        raise SettingsError(
            "--landmark is for survival by response alone, which is not asked for; leave it out"
        )
    compared: list[tuple[Grouping, Mapping[str, Followed], float | None]] = []
    for name in columns:
        if name != c.RESPONSE:
            own = next((g for g in groups.groupings if g.name == name), None)
            compared.append((halves(own or grouping(clinical, name)), followed, None))
            continue
        assert landmark is not None  # noqa: S101 - `check_landmark` saw to it
        left = from_landmark(followed, to_unit(landmark, unit))
        compared.append((_by_then(clinical, landmark), left, landmark))
        notes.append(
            f"survival by {c.RESPONSE}: {len(left)} of {plural(len(followed), 'patient')} still "
            f"followed after week {landmark:g}"
        )
    return Survival(unit, followed, tuple(compared), tuple(notes))


def _by_then(clinical: Clinical, landmark: float) -> Grouping:
    """Responses as they were known at the landmark."""
    measured = visits(clinical)
    if measured is not None:
        return _of_response(responses(measured, clinical.patients, until=landmark))
    if c.RESPONSE not in clinical.columns or c.RESPONSE_WEEK not in clinical.columns:
        raise SettingsError(
            f"{clinical.sheet.path}: survival by {c.RESPONSE} from a landmark needs the columns "
            f"{c.RESPONSE} and {c.RESPONSE_WEEK} (the week in which it was seen), or the "
            "diameters of each visit: what was seen later must not decide who is in which group"
        )
    of, differing = clinical.of_patient(c.RESPONSE)
    if differing:
        return Grouping(c.RESPONSE, {}, {}, varies=True)
    out = dict.fromkeys(of, "")
    for row in clinical.rows:
        week = number(clinical.sheet, row.number, c.RESPONSE_WEEK, row.values[c.RESPONSE_WEEK])
        if of[row.patient] and not math.isnan(week):
            out[row.patient] = _told(of[row.patient]) if week <= landmark else NOT_YET
    return as_groups(c.RESPONSE, out)


def with_clinical(patients: pd.DataFrame, clinical: Clinical) -> tuple[pd.DataFrame, list[str]]:
    """Put what the clinical table says beside each patient and week.

    Returns
    -------
    table, notes
        A column that differs between rows of a patient is there only where rows are visits of a
        patient, and then of the same week; else a note says that it was left out.
    """
    table, notes = patients.copy(), []
    at = 2
    by_visit = {
        (row.patient, row.week): row.values for row in clinical.rows
    } if clinical.keys == (c.PATIENT, c.WEEK) else {}  # fmt: skip
    for name in clinical.columns:
        if name in c.DIAMETERS:
            continue
        of, differing = clinical.of_patient(name)
        if not differing:
            values = [of.get(p, "") for p in table[c.PATIENT]]
        elif by_visit:
            pairs = zip(table[c.PATIENT], table[c.WEEK], strict=True)
            values = [by_visit.get(pair, {}).get(name, "") for pair in pairs]
        else:
            notes.append(f"{name} differs between the rows of a patient: not in cohort.csv")
            continue
        table.insert(at, f"clinical_{name}" if name in patients.columns else name, values)
        at += 1
    return table, notes

"""Groups of patients, e.g. by response or dose: what they are, and how they differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis import tables_cohort as c
from imganalysis.cohort.compare import Comparison, many_samples, rank_trend, two_samples
from imganalysis.cohort.patients import SCALED
from imganalysis.cohort.weeks import effect_columns
from imganalysis.errors import SettingsError
from imganalysis.tables_cohort import RESPONSES

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from imganalysis.cohort.clinical import Clinical
    from imganalysis.cohort.endpoints import Endpoint

BETWEEN = "between_groups"
MANY = 5
"""Different numbers from which a column is taken for a number, not for groups."""


@dataclass(frozen=True)
class Grouping:
    """A column of the clinical table as groups of patients.

    Parameters
    ----------
    name
        The column.
    of
        patient -> group, or number as a text; empty where it is not known.
    numbers
        patient -> number, where the column is one; else empty.
    varies
        Whether the rows of a patient differ, so that patients have no group.
    """

    name: str
    of: Mapping[str, str]
    numbers: Mapping[str, float]
    varies: bool = False

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups in order: responses best first, numbers by size, else by name."""
        return tuple(sorted({g for g in self.of.values() if g}, key=_order))


def _order(group: str) -> tuple[int, float, str]:
    words = list(RESPONSES)
    if group in words:
        return (0, words.index(group), group)
    try:
        return (1, float(group), group)
    except ValueError:
        return (2, 0.0, group)


def grouping(clinical: Clinical, column: str) -> Grouping:
    """Take a column of the clinical table for groups of patients.

    Raises
    ------
    SettingsError
        The table has no such column.
    """
    if column not in clinical.columns:
        raise SettingsError(
            f"--by {column}: {clinical.sheet.path} has no such column; "
            f"it has {', '.join(clinical.columns) or 'none but its keys'}"
        )
    of, differing = clinical.of_patient(column)
    if differing:
        return Grouping(column, {}, {}, varies=True)
    return as_groups(column, of)


def as_groups(name: str, of: Mapping[str, str]) -> Grouping:
    """Take patients' texts for groups, or for numbers where there are many different ones."""
    told = {patient: text for patient, text in of.items() if text}
    try:
        numbers = {patient: float(text) for patient, text in told.items()}
    except ValueError:
        numbers = {}
    if len(set(numbers.values())) < MANY or not all(map(np.isfinite, numbers.values())):
        numbers = {}
    return Grouping(name, dict(of), numbers)


def halves(groups: Grouping) -> Grouping:
    """Cut a number at its median, for curves; other groups stay."""
    if not groups.numbers:
        return groups
    middle = float(np.median(list(groups.numbers.values())))
    low, high = f"lower half, to {middle:g}", f"upper half, over {middle:g}"
    of = dict.fromkeys(groups.of, "")
    of |= {p: high if v > middle else low for p, v in groups.numbers.items()}
    return Grouping(groups.name, of, {})


def group_differences(
    patients: pd.DataFrame, endpoint: Endpoint, groups: Grouping, *, confidence: float = 0.95
) -> list[dict[str, Any]]:
    """Compare groups of patients in each week.

    Parameters
    ----------
    patients
        From `imganalysis.cohort.patients.patient_weeks`.
    endpoint, groups
        What is compared between whom.
    confidence
        Of the intervals.

    Returns
    -------
    list of dict
        Rows of tests.csv, one per week: two groups by Welch's or Mann and Whitney's test, the
        last against the first; more by Kruskal and Wallis's; a number by rank correlation.
    """
    column = endpoint.name + SCALED
    rows = []
    for week in sorted(patients[c.WEEK].unique()):
        mine = patients[patients[c.WEEK] == week].sort_values(c.PATIENT)
        told = mine[mine[column].notna()]
        group = told[c.PATIENT].map(lambda p: groups.of.get(p, ""))
        row: dict[str, Any] = {
            c.QUESTION: BETWEEN,
            c.ENDPOINT: endpoint.name,
            c.TITLE: endpoint.title,
            c.WEEK: week,
            c.GROUP_BY: groups.name,
            c.N_NA: int(mine[column].isna().sum()),
            c.N_UNKNOWN: int((group == "").sum()),
        }
        values = told[column].to_numpy(np.float64)
        row |= _compare(values, group.to_numpy(str), told, groups, endpoint, confidence)
        rows.append(row)
    return rows


def _compare(
    values: Any,
    group: Any,
    told: pd.DataFrame,
    groups: Grouping,
    endpoint: Endpoint,
    confidence: float,
) -> dict[str, Any]:
    if groups.varies:
        return effect_columns(Comparison(reason="varies_within_patient"), endpoint.effect)
    if groups.numbers:
        number = told[c.PATIENT].map(groups.numbers).to_numpy(np.float64)
        known = np.isfinite(number)
        trend = rank_trend(values[known], number[known], confidence=confidence)
        return effect_columns(trend, "rank_correlation")
    there = [name for name in groups.groups if (group == name).any()]
    parts = [values[group == name] for name in there]
    if len(there) == 2:
        found = two_samples(parts[1], parts[0], confidence=confidence)
        names = {c.REFERENCE: there[0], c.GROUP: there[1]}
        return {**names, **effect_columns(found, endpoint.effect)}
    if len(there) < 2:
        found = Comparison(n_patients=sum(map(len, parts)), reason="one_group")
        return effect_columns(found, endpoint.effect)
    return effect_columns(many_samples(parts), "")

"""Groups of patients, e.g. by response or dose: what they are, and how they differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis import tables_cohort as c
from imganalysis.cohort.compare import Comparison, many_samples, rank_trend, two_samples
from imganalysis.cohort.patients import SCALED
from imganalysis.cohort.separators import is_with_comma, point_for
from imganalysis.cohort.sheet import alike_key, is_unknown, number_of
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
    TableError
        A group is spelt in two ways, or something else stands among numbers.
    """
    if column not in clinical.columns:
        meant = [name for name in clinical.columns if alike_key(name) == alike_key(column)]
        hint = f"is {meant[0]} meant? " if meant else ""
        raise SettingsError(
            f"--by {column}: {clinical.sheet.path} has no such column; {hint}it has "
            f"{', '.join(clinical.columns) or 'none but its keys'}"
        )
    check_column(clinical, column)
    of, differing = clinical.of_patient(column)
    if differing:
        return Grouping(column, {}, {}, varies=True)
    return as_groups(column, of)


def check_column(clinical: Clinical, column: str) -> None:
    """Check the texts of a column that makes groups.

    Raises
    ------
    TableError
        A group is spelt in two ways, a number has a decimal comma, or `MANY` numbers stand there
        and something that is none.
    """
    texts = [(row.number, row.values[column].strip()) for row in clinical.rows]
    told = [(at, text) for at, text in texts if not is_unknown(text)]
    numbers = {v for _, text in told if not np.isnan(v := number_of(text))}
    for at, text in told:
        if is_with_comma(text) and all(
            is_with_comma(other) or not np.isnan(number_of(other)) for _, other in told
        ):
            said = f"expected a number or a group, found {text!r}; {point_for(text)}"
            raise clinical.sheet.error(at, column, said)
        if len(numbers) >= MANY and np.isnan(number_of(text)):
            raise clinical.sheet.error(
                at, column, f"{text!r}, but the column holds {len(numbers)} different numbers; "
                "write the number alone, or leave the cell empty where it is not known",
            )  # fmt: skip
    first: dict[str, tuple[int, str]] = {}
    for at, text in told:
        before, other = first.setdefault(alike_key(text), (at, text))
        if other != text and np.isnan(number_of(text)):
            raise clinical.sheet.error(
                at, column, f"{text!r}, but {other!r} in row {before}: one group, or two? Spell "
                "one group in one way, and two by more than case and blanks",
            )  # fmt: skip


def as_groups(name: str, of: Mapping[str, str]) -> Grouping:
    """Take patients' texts for groups, or for numbers where there are many different ones."""
    of = {patient: "" if is_unknown(text) else text for patient, text in of.items()}
    told = {patient: number_of(text) for patient, text in of.items() if text}
    if np.isnan(list(told.values())).any():
        return Grouping(name, of, {})
    if len(set(told.values())) >= MANY:
        return Grouping(name, of, told)
    # 3 and 3.0 are one group.
    first = {value: of[patient] for patient, value in reversed(told.items())}
    of |= {patient: first[value] for patient, value in told.items()}
    return Grouping(name, of, {})


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
        found = Comparison(
            n_patients=sum(map(len, parts)), reason="one_group" if values.size else "no_value"
        )
        return effect_columns(found, endpoint.effect)
    return effect_columns(many_samples(parts), "")

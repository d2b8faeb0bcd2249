"""Questions of power from assumptions, or from a study of one's own, to tables and a figure."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.cohort.power import precision_table, rare_table
from imganalysis.cohort.power_inputs import read_inputs
from imganalysis.cohort.power_patients import chosen_test, field_sd_of, power_table
from imganalysis.errors import SettingsError
from imganalysis.words import AGREEMENT, plural

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from imganalysis.cohort.agreement import Statistic
    from imganalysis.cohort.power_inputs import PowerInputs

ASSUMPTIONS, PRECISION, RARE = "assumptions.csv", "precision.csv", "rare_class.csv"
PATIENTS, ANSWERS, FIGURE = "patients.csv", "answers.csv", "power.png"
NAMES = (ASSUMPTIONS, PRECISION, RARE, PATIENTS, ANSWERS, FIGURE)
"""Files that are written."""

GIVEN, DEFAULT = "given", "default"
_RARE_CELLS = (100, 200, 500, 1000, 2000, 5000)
_MANY = 10_000
"""Most repeats, fields, or patients; more would take hours and change nothing."""


@dataclass(frozen=True)
class Question:
    """What is asked, and from what it starts.

    Parameters
    ----------
    p, p_second
        Share in the first and in the second group or week.
    rho
        Correlation of cells of one field.
    rare
        Share of the rare class.
    floor
        Share that false calls alone give.
    patient_sd, field_sd
        Standard deviations on logits.
    correlation
        Of the logits of a patient's two weeks.
    fields, cells, patients
        Numbers that are tried; the patients are drawn with the middle one of the cells.
    within
        Wanted half width of one biopsy's interval, percent points.
    power
        Wanted.
    repeats, seed
        Of the simulation.
    """

    p: float = 0.4
    p_second: float = 0.2
    rho: float = 0.05
    rare: float = 0.03
    floor: float = 0.01
    patient_sd: float = 0.8
    field_sd: float = 0.5
    correlation: float = 0.5
    fields: tuple[int, ...] = (3, 5, 10, 20, 40)
    cells: tuple[int, ...] = (20, 80, 200)
    patients: tuple[int, ...] = (6, 8, 12, 16, 24, 32, 48)
    within: float = 6.0
    power: float = 0.8
    repeats: int = 1000
    seed: int = 2003

    @property
    def middle(self) -> int:
        """Cells per field with which patients and rare classes are drawn."""
        return sorted(self.cells)[len(self.cells) // 2]


@dataclass(frozen=True)
class Power:
    """Answers, and the tables that they come from."""

    question: Question
    assumptions: pd.DataFrame
    precision: pd.DataFrame
    rare: pd.DataFrame
    patients: pd.DataFrame
    answers: pd.DataFrame


def check_question(asked: Question) -> None:
    """Check that a question can be answered.

    Raises
    ------
    SettingsError
        A number lies outside its range; says which and what it may be.
    """
    shares = ("p", "p_second", "rare", "power")
    for name in shares:
        if not 0 < getattr(asked, name) < 1:
            raise _wrong(name, "a share above 0 and below 1, such as 0.4", asked)
    if not 0 <= asked.floor < 1:
        raise _wrong("floor", "a share from 0 to below 1", asked)
    if not 0 <= asked.rho <= 0.9:
        raise _wrong("rho", "a correlation from 0 to 0.9", asked)
    if not 0 <= asked.correlation < 1:
        raise _wrong("correlation", "from 0 to below 1", asked)
    for name in ("patient_sd", "field_sd"):
        if not 0 <= getattr(asked, name) <= 10:
            raise _wrong(name, "a standard deviation on logits, 0 to 10", asked)
    if not 0 < asked.within < 100:
        raise _wrong("within", "percent points above 0, such as 6", asked)
    for name in ("fields", "cells", "patients"):
        values = getattr(asked, name)
        least = 2 if name == "patients" else 1
        if not values or not all(least <= v <= _MANY for v in values):
            raise _wrong(name, f"whole numbers from {least} to {_MANY}, commas between", asked)
    if not 20 <= asked.repeats <= _MANY * 10:
        raise _wrong("repeats", "from 20 to 100000", asked)
    if asked.seed < 0:
        raise _wrong("seed", "0 or more", asked)


def _wrong(name: str, wanted: str, asked: Question) -> SettingsError:
    option = "--p2" if name == "p_second" else "--" + name.replace("_", "-")
    return SettingsError(f"{option}: expected {wanted}; got {getattr(asked, name)}")


def make_question(
    given: Mapping[str, Any],
    *,
    results: Path | None = None,
    fraction: str | None = None,
    weeks: Sequence[float] = (),
) -> tuple[Question, pd.DataFrame]:
    """Put what is given on top of what a study says, and that on top of the defaults.

    Parameters
    ----------
    given
        Of the names of `Question`; None is not given.
    results
        Folder of results to estimate the rest from.
    fraction
        Of these results; the endpoint by default.
    weeks
        Of these results: the one that `p` is of and, if two, the one that `p_second` is of; the
        first week by default.

    Returns
    -------
    Question, DataFrame
        Columns ``name``, ``value``, ``lo``, ``hi``, ``source``.

    Raises
    ------
    SettingsError
        A number is outside its range, or no biopsy is of a week.
    TableError
        The folder is none of results.
    """
    told = {name: value for name, value in given.items() if value is not None}
    said: dict[str, tuple[float, float, str]] = {}
    estimated: dict[str, Any] = {}
    if results is not None:
        estimated, said = _from_results(results, fraction, weeks)
    elif fraction is not None or weeks:
        option = "--fraction" if fraction is not None else "--week"
        raise SettingsError(f"{option} names one of a run's results; give them with --from")
    asked = replace(Question(), **{**estimated, **told})
    check_question(asked)
    of_rho = "rho" in estimated or "rho" in told
    if of_rho and "field_sd" not in told:
        asked = replace(asked, field_sd=field_sd_of(asked.p, asked.rho))
        said["field_sd"] = (np.nan, np.nan, "from p and rho")
    rows = []
    for field in fields(Question):
        name, value = field.name, getattr(asked, field.name)
        lo, hi, source = said.get(name, (np.nan, np.nan, DEFAULT))
        if name in told:
            lo, hi, source = np.nan, np.nan, GIVEN
        text = " ".join(map(str, value)) if isinstance(value, tuple) else f"{value:.6g}"
        rows.append({"name": name, "value": text, "lo": lo, "hi": hi, "source": source})
    return asked, pd.DataFrame(rows)


def _from_results(
    folder: Path, fraction: str | None, weeks: Sequence[float]
) -> tuple[dict[str, Any], dict[str, tuple[float, float, str]]]:
    """Estimates of a run, and what to say of each."""
    found = read_inputs(folder, fraction=fraction)
    values: dict[str, Any] = {}
    said: dict[str, tuple[float, float, str]] = {}
    shares = _of_weeks(folder, found, weeks)
    estimates = {name: one for name, (one, _) in shares.items()} | {
        "rho": found.rho, "patient_sd": found.patient_sd, "correlation": found.correlation
    }  # fmt: skip
    where = {name: source for name, (_, source) in shares.items()} | {
        "rho": f"{plural(found.n_fields, 'field')} of {plural(found.n_biopsies, 'biopsy')}",
        "patient_sd": plural(found.n_patients, "patient"),
        "correlation": plural(found.n_patients, "patient"),
    }
    share = (0.001, 0.999)
    limits = {"p": share, "p_second": share, "rho": (0.0, 0.9), "correlation": (0.0, 0.95)}
    for name, source in where.items():
        one: Statistic = estimates[name]
        if one.reason or np.isnan(one.value):
            why = AGREEMENT.get(one.reason, one.reason)
            said[name] = (np.nan, np.nan, f"{DEFAULT}: {source}: {one.reason} ({why})")
            continue
        low, high = limits.get(name, (0.0, 10.0))
        values[name] = float(np.clip(one.value, low, high))
        cut = "" if values[name] == one.value else f"; {one.value:.3g} was estimated"
        said[name] = (one.lo, one.hi, f"{source}{cut}")
    middle = max(1, round(found.cells.value))
    values["cells"] = tuple(dict.fromkeys((max(1, middle // 2), middle, 2 * middle)))
    said["cells"] = (found.cells.lo, found.cells.hi, "half, median and double of its fields")
    return values, said


def _of_weeks(
    folder: Path, found: PowerInputs, weeks: Sequence[float]
) -> dict[str, tuple[Statistic, str]]:
    """Take the shares of the weeks that are asked for, or of the first, and say which those are."""
    there = list(found.shares)
    others = ", ".join(f"{week:g}" for week in there)
    if len(weeks) > 2:
        raise SettingsError("--week: expected one week, or two with a comma between")
    for week in weeks:
        if week not in found.shares:
            known = others if not np.isnan(there[0]) else "none, as no biopsy names one"
            raise SettingsError(
                f"--week {week:g}: no biopsy of {folder} with a value of {found.fraction} is of "
                f"it; weeks: {known}"
            )
    out = {}
    for name, week in zip(("p", "p_second"), weeks or there[:1], strict=False):
        share, n = found.shares[week]
        source = f"{found.fraction}, {plural(n, 'biopsy')}"
        if not np.isnan(week):
            source += f" of week {week:g}"
            source += f" (of {others}; --week takes another)" if not weeks and there[1:] else ""
        out[name] = (share, source)
    return out


def answer(
    asked: Question,
    assumptions: pd.DataFrame,
    *,
    bootstrap: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> Power:
    """Draw, analyse and answer.

    Parameters
    ----------
    asked
        The question.
    assumptions
        As `make_question` gives them.
    bootstrap
        As in `precision_table`.
    progress
        Called with (step, done, total).
    """
    how: dict[str, Any] = {"repeats": asked.repeats, "seed": asked.seed, "progress": progress}
    precision = precision_table(
        asked.p, asked.rho, asked.fields, asked.cells, bootstrap=bootstrap, **how
    )
    rare = rare_table(asked.rare, asked.rho, _RARE_CELLS, asked.middle, floor=asked.floor, **how)
    patients = power_table(
        asked.p,
        asked.p_second,
        asked.patients,
        asked.fields,
        asked.middle,
        patient_sd=asked.patient_sd,
        field_sd=asked.field_sd,
        correlation=asked.correlation,
        **how,
    )
    rows = [*_fields_needed(asked, precision), *_cells_needed(asked, rare)]
    rows += _patients_needed(asked, patients)
    columns = ["question", "condition", "needed", "reached", "reached_se", "note"]
    answers = pd.DataFrame(rows, columns=columns)
    answers["needed"] = answers["needed"].astype("Int64")
    return Power(asked, assumptions, precision, rare, patients, answers)


def _least(
    table: pd.DataFrame,
    by: str,
    value: str,
    wanted: float,
    *,
    at_most: bool,
    below: str = "or fewer",
) -> tuple[Any, float, float, str]:
    """Least of a column from which on a wanted value is reached, and how surely."""
    ordered = table.sort_values(by)
    known = ordered[ordered[value].notna()]
    if known.empty:
        return pd.NA, np.nan, np.nan, "too few to be tested"
    good = known[value] <= wanted if at_most else known[value] >= wanted
    # Reached for good: what lies above it reaches it too.
    lasting = good[::-1].cummin()[::-1].astype(bool)
    if not lasting.any():
        last = known.iloc[-1]
        said = f"not reached with {last[by]:g}"
        return pd.NA, float(last[value]), float(last[f"{value}_se"]), said
    row = known[lasting].iloc[0]
    close = abs(row[value] - wanted) < 2 * row[f"{value}_se"]
    note = "within two standard errors of the wanted value: more --repeats" if close else ""
    if row[by] == ordered[by].iloc[0]:
        note = "; ".join(filter(None, (below, note)))
    return int(row[by]), float(row[value]), float(row[f"{value}_se"]), note


def _fields_needed(asked: Question, table: pd.DataFrame) -> list[tuple[Any, ...]]:
    points = plural(asked.within, "point", form="g")
    question = f"fields for one biopsy: p = {asked.p:.3g} within {points} (rho {asked.rho:.2g})"
    return [
        (question, f"{plural(cast('int', n), 'cell')} per field",
         *_least(part, "fields", "half_width_points", asked.within, at_most=True))
        for n, part in table.groupby("cells_per_field")
    ]  # fmt: skip


def _cells_needed(asked: Question, table: pd.DataFrame) -> list[tuple[Any, ...]]:
    half = 50 * asked.rare
    points = plural(half, "point", form="g")
    each = f"{plural(asked.middle, 'cell')} per field"
    return [
        (f"cells for a class of {100 * asked.rare:g} %: within {points}", each,
         *_least(table, "lymphocytes", "half_width_points", half, at_most=True)),
        (f"cells for a class of {100 * asked.rare:g} %: seen above {100 * asked.floor:g} % in "
         f"{100 * asked.power:g} of 100", each,
         *_least(table, "lymphocytes", "p_above_floor", asked.power, at_most=False)),
    ]  # fmt: skip


def _patients_needed(asked: Question, table: pd.DataFrame) -> list[tuple[Any, ...]]:
    change = f"{100 * asked.p:.3g} % against {100 * asked.p_second:.3g} %"
    words = {"paired": "patients, two weeks each", "unpaired": "patients in each of two groups"}
    rows = []
    for (design, m), part in table.groupby(["design", "fields"], sort=False):
        tested = chosen_test(str(design), int(part["patients"].min()) - 1)
        below = "or fewer" if tested else "fewer are not tested"
        rows.append((
            f"{words[str(design)]}: {change}, power {asked.power:g}",
            f"{plural(cast('int', m), 'field')} of {plural(asked.middle, 'cell')}",
            *_least(part, "patients", "power", asked.power, at_most=False, below=below),
        ))  # fmt: skip
    return rows


def write_power(out: Path, found: Power) -> None:
    """Write all tables and the figure.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    from imganalysis.report.power import draw_power

    tables: Sequence[tuple[str, pd.DataFrame]] = (
        (ASSUMPTIONS, found.assumptions),
        (PRECISION, found.precision),
        (RARE, found.rare),
        (PATIENTS, found.patients),
        (ANSWERS, found.answers),
    )
    for name, table in tables:
        t.write_csv(out / name, table)
    asked = found.question
    draw_power(
        out / FIGURE,
        found.precision,
        found.rare,
        found.patients,
        within=asked.within,
        power=asked.power,
    )

"""What `imganalysis cohort` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from rich.markup import escape

from imganalysis import tables_cohort as c
from imganalysis.report.terminal import _console, _table
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

BY_WEEK = (
    "endpoint", "week", "patients", "median (range)", "NA", "why (biopsies)", "no biopsy",
)  # fmt: skip
TESTS = ("question", "endpoint", "week", "against", "effect (95 %)", "p", "p Holm", "patients")


def print_cohort(
    by_week: pd.DataFrame,
    na: pd.DataFrame,
    tests: pd.DataFrame,
    rates: Sequence[Sequence[Any]],
    shown: Sequence[tuple[str, float, str]],
    main: Sequence[str],
    notes: Sequence[str],
    out: Path,
    confidence: float,
) -> None:
    """Print medians by week, tests, responses and notes, shortly.

    Parameters
    ----------
    by_week, na, tests
        As in the files.
    rates
        Rows of the responses, if any.
    shown
        (endpoint, factor, title) to show by week; the others are in the files.
    main
        Of which every test is shown.
    notes
        What the user should know.
    out
        Folder of the files.
    confidence
        Of the intervals.
    """
    console = _console()
    rows = []
    told = {name: (factor, title) for name, factor, title in shown}
    for _, row in by_week[by_week[c.ENDPOINT].isin(told) & (by_week[c.GROUP_BY] == "")].iterrows():
        why = na[(na[c.ENDPOINT] == row[c.ENDPOINT]) & (na[c.WEEK] == row[c.WEEK])].iloc[0]
        factor, title = told[row[c.ENDPOINT]]
        rows.append(
            [
                title, f"{row[c.WEEK]:g}", row[c.N_PATIENTS], _median(row, factor),
                row[c.N_NA], str(why["reasons"]).replace(";", ", "), why["n_patients_no_biopsy"],
            ]
        )  # fmt: skip
    head: tuple[str, ...] = BY_WEEK
    console.print(_table(head, rows, "By week; one value per patient"))
    week = (tests[c.QUESTION] == "over_weeks") & tests[c.ENDPOINT].isin(told)
    other = ~tests[c.QUESTION].isin(("over_weeks", "between_groups"))
    seen = tests[week | other | tests[c.ENDPOINT].isin(main)]
    n = int(tests[c.P].notna().sum())
    more = len(tests) - len(seen)
    title = f"Differences; {plural(n, 'test')}" + (
        f", {plural(more, 'more row')} in tests.csv" if more else ""
    )
    head = tuple(text.replace("95", f"{100 * confidence:g}") for text in TESTS)
    console.print(_table(head, [_test(row) for _, row in seen.iterrows()], title))
    if rates:
        head = ("level", "response", "n", "share")
        console.print(_table(head, rates, "Response, of all who were treated"))
    for note in notes:
        console.print(f"Note: {escape(note)}", soft_wrap=True)
    console.print(f"Results: {escape(str(out))}", soft_wrap=True)
    console.print("Research use only.", style="dim")


def _median(row: pd.Series[Any], factor: float) -> str:
    if np.isnan(row["median"]):
        return "NA"
    low, middle, high = (f"{factor * row[name]:.3g}" for name in ("min", "median", "max"))
    return middle if row[c.N_PATIENTS] == 1 else f"{middle} ({low}\N{EN DASH}{high})"


def _test(row: pd.Series[Any]) -> list[str]:
    against = row[c.REFERENCE]
    if row[c.GROUP_BY]:
        pair = f"{row[c.GROUP]} / {row[c.REFERENCE]}" if row[c.GROUP] else "all groups"
        pair = "number" if row[c.EFFECT] == "rank_correlation" else pair
        against = f"{row[c.GROUP_BY]}: {pair}"
    number = str(int(row[c.N_PATIENTS]))
    if not np.isnan(row[c.N_REFERENCE]):
        number += f" / {int(row[c.N_REFERENCE])}"
    p = f"{row[c.P]:.2g}" if not np.isnan(row[c.P]) else f"\N{EN DASH} {row[c.REASON]}"
    adjusted = "" if np.isnan(row[c.P_HOLM]) else f"{row[c.P_HOLM]:.2g}"
    week = "" if np.isnan(row[c.WEEK]) else f"{row[c.WEEK]:g}"
    return [row[c.QUESTION], row[c.TITLE], week, against, _effect(row), p, adjusted, number]


def _effect(row: pd.Series[Any]) -> str:
    if np.isnan(row[c.ESTIMATE]):
        return ""
    text = f"{row[c.EFFECT].replace('_', ' ')} {row[c.ESTIMATE]:.3g}"
    if np.isnan(row[c.LO]):
        return text
    return f"{text} ({row[c.LO]:.3g} to {row[c.HI]:.3g})"

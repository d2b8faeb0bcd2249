"""What `imganalysis agree` prints."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from imganalysis.report.terminal import _console, _table
from imganalysis.words import ACCEPT_ALL, AGREEMENT, MET, NOT_MET, plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from rich.console import Console

_BIOPSY = {
    "bias_points": ("bias, points", 1),
    "limit_lower_points": ("lower limit", 1),
    "limit_upper_points": ("upper limit", 1),
    "slope_difference_on_mean": ("slope on mean", 2),
    "ccc": ("CCC", 3),
    "icc_2_1": ("ICC(2,1)", 3),
}
_ACCEPT = {"accept_icc": "ICC(2,1)", "accept_bias": "bias", "accept_limits": "farther limit"}
_ASKED = ("comparison", "what", "found", "asked", "verdict")
_WIDE = 8
"""Columns from which on numbers stand for their names."""

_CELL = ("sensitivity", "specificity", "f1", "kappa", "pabak", "f1_end_to_end")


def print_biopsy_agreement(agreement: pd.DataFrame, notes: Sequence[str], level: str) -> None:
    """Print the comparisons of readings per biopsy, readers among each other first.

    Parameters
    ----------
    agreement
        As in ``agreement.csv``.
    notes
        Sentences below the table.
    level
        Of the intervals, such as ``95 %``.
    """
    console = _console()
    rows: list[list[str]] = []
    unknown = _Unknown()
    for name, group in agreement.groupby("comparison", sort=False):
        by = {str(row["statistic"]): row for row in group.to_dict("records")}
        for key in _BIOPSY:
            unknown.add(by.get(key))
        shown = [_one(by.get(key), digits) for key, (_, digits) in _BIOPSY.items()]
        band = str(by["icc_2_1"]["verdict"])
        rows.append([str(name), str(group["n"].iloc[0]), *shown, band])
    heads = [head for head, _ in _BIOPSY.values()]
    title = f"Agreement per biopsy, percent points, {level} intervals; as named: left minus right"
    console.print(_table(("comparison", "n", *heads, "by the interval"), rows, title))
    _pearson(agreement, console)
    _acceptance(agreement, console)
    _notes(notes, unknown, console)


class _Unknown:
    """Why what is shown is NA, or has no interval; what is not shown needs no reason."""

    def __init__(self) -> None:
        self.reasons: dict[tuple[str, str], None] = {}

    def add(self, row: Mapping[Any, Any] | None) -> None:
        """Take what a shown statistic says."""
        if row is None or not row["reason"]:
            return
        if math.isnan(row["value"]):
            self.reasons[("NA", str(row["reason"]))] = None
        elif math.isnan(row["lo"]):
            self.reasons[("no interval", str(row["reason"]))] = None


def _one(row: Mapping[Any, Any] | None, digits: int) -> str:
    if row is None:
        return ""
    value, lo, hi = (float(row[key]) for key in ("value", "lo", "hi"))
    if math.isnan(value):
        return "NA"
    if math.isnan(lo):
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} ({lo:.{digits}f} to {hi:.{digits}f})"


def _pearson(agreement: pd.DataFrame, console: Console) -> None:
    rows = agreement[agreement["statistic"] == "pearson_hides_bias"]
    said = [f"{row['comparison']} {row['value']:.3f}" for _, row in rows.iterrows()
            if not math.isnan(row["value"])]  # fmt: skip
    if said:
        console.print(
            escape(
                f"Pearson's correlation, which no bias lowers (not for judging): {'; '.join(said)}"
            ),
            soft_wrap=True,
        )


def _acceptance(agreement: pd.DataFrame, console: Console) -> None:
    rows = []
    for _, row in agreement[agreement["statistic"].str.startswith("accept_")].iterrows():
        if row["statistic"] == ACCEPT_ALL:
            rows.append(_whole(row))
            continue
        value, lo, hi = row["value"], row["lo"], row["hi"]
        shown = "NA" if math.isnan(value) else f"{value:.3g}"
        if not math.isnan(lo):
            shown += f" ({lo:.3g} to {hi:.3g})"
        elif not math.isnan(hi):
            shown += f" (its interval reaches {hi:.3g})"
        rows.append(
            [row["comparison"], _ACCEPT[row["statistic"]], shown, row["target"], row["verdict"]]
        )
    if rows:
        console.print(_table(_ASKED, rows, "Acceptance"))


def _whole(row: pd.Series[Any]) -> list[str]:
    """Give the line of the verdict, in capitals where there is one."""
    said = str(row["verdict"])
    judged = said in (MET, NOT_MET)
    return [row["comparison"], "all", "", row["target"], said.upper() if judged else said]


def _notes(notes: Sequence[str], unknown: _Unknown, console: Console) -> None:
    said = [f"{what} {word}: {AGREEMENT[word]}" for what, word in unknown.reasons]
    for note in [*said, *notes]:
        console.print(f"- {escape(note)}", soft_wrap=True)


def print_cell_agreement(
    agreement: pd.DataFrame,
    per_class: pd.DataFrame,
    confusions: Mapping[str, pd.DataFrame],
    notes: Sequence[str],
    level: str,
) -> None:
    """Print the comparisons of classes of cells, readers among each other first.

    Parameters
    ----------
    agreement, per_class
        As in the CSV files.
    confusions
        Comparison -> cells by class of the first reading (rows) and of the second.
    notes
        Sentences below the tables.
    level
        Of the intervals, such as ``95 %``.
    """
    console = _console()
    unknown = _Unknown()
    asked: list[list[str]] = []
    for name, crossed in confusions.items():
        heads, names, title = _heads(name, crossed)
        body = [
            [label, *(str(int(v)) for v in row)]
            for label, row in zip(names, crossed.to_numpy(), strict=True)
        ]
        console.print(_table(heads, body, title))
        rows = []
        for _, row in per_class[per_class["comparison"] == name].iterrows():
            why = dict(part.split(": ") for part in row["reason"].split("; ") if part)
            each = [
                {"value": row[s], "lo": row[f"{s}_lo"], "hi": row[f"{s}_hi"],
                 "reason": why.get(s, "")}
                for s in _CELL
            ]  # fmt: skip
            for one in each:
                unknown.add(one)
            scores = [_one(one, 2) for one in each]
            rows.append(
                [row["class"], str(row["tp"] + row["fn"]), f"{row['prevalence']:.3f}", *scores]
            )
            if row["target"]:
                f1 = scores[_CELL.index("f1")]
                asked.append([name, row["class"], f1, row["target"], row["verdict"]])
        heads = ["class", "n", "prevalence", *_CELL]
        console.print(
            _table(heads, rows, f"{name}: each class against all others, {level} intervals")
        )
        own = agreement[agreement["comparison"] == name]
        verdict = own["statistic"] == ACCEPT_ALL
        asked += [_whole(row) for _, row in own[verdict].iterrows()]
        overall = own[~verdict].to_dict("records")
        for stats in overall:
            unknown.add(stats)
        said = [f"{stats['statistic']} {_one(stats, 3)}" for stats in overall]
        console.print(
            escape(f"All {plural(own['n'].iloc[0], 'matched cell')}: {'; '.join(said)}"),
            soft_wrap=True,
        )
        console.print()
    if asked:
        console.print(_table(_ASKED, asked, "Acceptance, F1 of matched cells"))
    _notes(notes, unknown, console)


def _heads(name: str, crossed: pd.DataFrame) -> tuple[list[str], list[str], str]:
    """Heads and row names of crossed classes; with many classes numbers stand for the columns."""
    columns = [str(c) for c in crossed.columns]
    rows = [str(i) for i in crossed.index]
    if len(columns) <= _WIDE:
        return ["cells", *columns], rows, name
    number = {c: str(i) for i, c in enumerate(columns, start=1)}
    special = [f"{i} = {c}" for c, i in number.items() if c not in rows]
    named = [f"{number[r]} {r}" if r in number else r for r in rows]
    return ["cells", *number.values()], named, "; ".join([name, *special])

"""Answers to questions of power: a figure, and what is printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from rich.markup import escape

from imganalysis.report._plots import GREY, LINES, MARKERS, figure_to
from imganalysis.report.terminal import _console, _table
from imganalysis.words import plural

if TYPE_CHECKING:
    from pathlib import Path


def draw_power(
    path: Path,
    precision: pd.DataFrame,
    rare: pd.DataFrame,
    patients: pd.DataFrame,
    *,
    within: float,
    power: float,
) -> None:
    """Draw width on fields, width on cells of a rare class, and power on patients.

    Parameters
    ----------
    path
        PNG to write.
    precision, rare, patients
        As in the CSV files.
    within
        Wanted half width, percent points.
    power
        Wanted.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    designs = list(dict.fromkeys(patients["design"]))
    with figure_to(path, 9.6, 7.6) as figure:
        axes = figure.subplots(2, 2).ravel()
        one = axes[0]
        for i, (n, part) in enumerate(precision.groupby("cells_per_field")):
            _line(
                one,
                part,
                "fields",
                "half_width_points",
                i,
                f"{plural(int(str(n)), 'cell')} per field",
            )
        _wanted(one, within, f"wanted: {plural(within, 'point', form='g')}")
        row = precision.iloc[0]
        one.set_title(f"One biopsy: p = {row['p']:.3g}, rho = {row['rho']:.2g}")
        one.set_xlabel("fields")
        one.set_ylabel("half width of the 95 % interval (points)")
        one.set_ylim(bottom=0)
        _log_ticks(one, precision["fields"])
        one.legend(fontsize=8)
        two = axes[1]
        _line(two, rare, "lymphocytes", "p_above_floor", 0, "seen above the false calls")
        _line(two, rare, "lymphocytes", "p_none", 1, "no cell of it seen")
        _wanted(two, power, f"wanted: {power:g}")
        row = rare.iloc[0]
        two.set_title(f"A class of {100 * row['share']:g} %, false calls {100 * row['floor']:g} %")
        two.set_xlabel("cells of the denominator")
        two.set_ylabel("share of biopsies")
        two.set_ylim(-0.03, 1.03)
        _log_ticks(two, rare["lymphocytes"])
        two.legend(fontsize=8, loc="center right")
        for panel, design in zip(axes[2:], designs, strict=False):
            mine = patients[patients["design"] == design]
            for i, (m, part) in enumerate(mine.groupby("fields")):
                _line(panel, part, "patients", "power", i, plural(int(m), "field"))
            _wanted(panel, power, f"wanted: {power:g}")
            row = mine.iloc[0]
            kind = "two weeks of the same patients" if design == "paired" else "two groups"
            panel.set_title(
                f"{kind}: {100 * row['p_first']:.3g} % against {100 * row['p_second']:.3g} %"
            )
            panel.set_xlabel("patients" if design == "paired" else "patients in each group")
            panel.set_ylabel("power")
            panel.set_ylim(-0.03, 1.03)
            _log_ticks(panel, mine["patients"])
            panel.legend(fontsize=8, loc="lower right")
        for extra in axes[2 + len(designs) :]:
            extra.set_visible(False)
        figure.supxlabel("bars: two Monte Carlo standard errors", fontsize=8, color=GREY)


def _line(axes: Any, part: pd.DataFrame, x: str, y: str, i: int, label: str) -> None:
    known = part[part[y].notna()].sort_values(x)
    axes.errorbar(
        known[x], known[y], yerr=2 * known[f"{y}_se"].fillna(0).astype(float),
        color=LINES[i % len(LINES)], marker=MARKERS[i % len(MARKERS)], ms=4.5, lw=1.3,
        capsize=2, elinewidth=0.8, label=label,
    )  # fmt: skip


def _wanted(axes: Any, value: float, text: str) -> None:
    axes.axhline(value, color=GREY, lw=1, ls="--")
    axes.annotate(
        text, (0, value), xycoords=("axes fraction", "data"), xytext=(3, 2), fontsize=8,
        textcoords="offset points", color=GREY,
    )  # fmt: skip


def _log_ticks(axes: Any, values: pd.Series[int]) -> None:
    ticks = sorted(set(values))
    axes.set_xscale("log")
    axes.set_xticks(ticks, [str(v) for v in ticks])
    axes.minorticks_off()


def print_power(
    assumptions: pd.DataFrame,
    precision: pd.DataFrame,
    rare: pd.DataFrame,
    patients: pd.DataFrame,
    answers: pd.DataFrame,
) -> None:
    """Print the assumptions, the tables and the answers.

    Parameters
    ----------
    assumptions, precision, rare, patients, answers
        As in the CSV files.
    """
    console = _console()
    rows = [
        [r["name"], r["value"], "" if np.isnan(r["lo"]) else f"{r['lo']:.3g} to {r['hi']:.3g}",
         r["source"]]
        for _, r in assumptions.iterrows()
    ]  # fmt: skip
    console.print(_table(("assumed", "value", "interval", "from"), rows))
    title = "One biopsy: half width of its interval, points, and how often it holds the truth"
    heads = ["fields", "cells per field", "half width", "coverage", "cells taken for independent"]
    with_bootstrap = precision["bootstrap_coverage"].notna().any()
    rows = []
    for _, r in precision.iterrows():
        row = [
            f"{r['fields']:.0f}", f"{r['cells_per_field']:.0f}", _pm(r, "half_width_points", 1),
            _pm(r, "coverage", 3),
            f"{r['naive_half_width_points']:.1f}, covers {_pm(r, 'naive_coverage', 3)}",
        ]  # fmt: skip
        if with_bootstrap:
            half = f"{r['bootstrap_half_width_points']:.1f}"
            row.append(f"{half}, covers {_pm(r, 'bootstrap_coverage', 3)}")
        rows.append(row)
    heads += ["bootstrap of fields"] if with_bootstrap else []
    console.print(_table(heads, rows, title))
    r = rare.iloc[0]
    title = f"A class of {100 * r['share']:g} %, rho {r['rho']:.3g}"
    heads = ["cells", "fields", "of the class", "none seen", "half width, points",
             f"interval above {100 * r['floor']:g} %", "coverage"]  # fmt: skip
    rows = [
        [f"{r['lymphocytes']:.0f}", f"{r['fields']:.0f}", f"{r['expected_cells']:.0f}",
         _pm(r, "p_none", 3), _pm(r, "half_width_points", 2), _pm(r, "p_above_floor", 3),
         _pm(r, "coverage", 3)]
        for _, r in rare.iterrows()
    ]  # fmt: skip
    console.print(_table(heads, rows, title))
    for design, part in patients.groupby("design", sort=False):
        r = part.iloc[0]
        what = "Two weeks of the same patients" if design == "paired" else "Two groups of patients"
        title = f"{what}, {100 * r['p_first']:.3g} % against {100 * r['p_second']:.3g} %: " + (
            "power" if r["p_first"] != r["p_second"] else "false positives"
        )
        wide = part.pivot(index="patients", columns="fields", values="power")
        error = part.pivot(index="patients", columns="fields", values="power_se")
        test = part.drop_duplicates("patients").set_index("patients")["test"]
        rows = [
            [str(n), test[n] or "too few for a test",
             *("NA" if np.isnan(v) else f"{v:.3f} ± {s:.3f}"
               for v, s in zip(wide.loc[n], error.loc[n], strict=True))]
            for n in wide.index
        ]  # fmt: skip
        fields = (plural(int(m), "field") for m in wide.columns)
        console.print(_table(["patients", "test", *fields], rows, title))
    rows = [[r["question"], r["condition"], _needed(r), r["note"]] for _, r in answers.iterrows()]
    console.print(
        _table(("needed: question", "with", "least that was tried", "note"), rows, "Answers")
    )
    said = "After ± stands the Monte Carlo standard error. Intervals of 95 %."
    console.print(escape(said), soft_wrap=True, style="dim")


def _pm(row: pd.Series[Any], name: str, digits: int) -> str:
    error = float(row[f"{name}_se"])
    shown = f"{error:.{digits}f}"
    # An error that is not 0 is not shown as 0.
    return f"{row[name]:.{digits}f} ± {shown if float(shown) else f'{error:.1g}'}"


def _needed(row: pd.Series[Any]) -> str:
    known = "" if np.isnan(row["reached"]) else f"{row['reached']:.3g} ± {row['reached_se']:.2g}"
    if pd.isna(row["needed"]):
        return f"none tried ({known})" if known else "none tried"
    return f"{row['needed']} ({known})"

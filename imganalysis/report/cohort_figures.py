"""Figures of a cohort: patients over weeks, groups, what is missing, survival."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from imganalysis import tables_cohort as c
from imganalysis.report._canvas import encode_png, printable
from imganalysis.report._plots import house_style

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Told apart with any colour vision (Okabe and Ito, 2008)."""

STYLES = ("-", "--", "-.", ":")
GREY = "#555555"
DPI = 150
MANY_LINES = 14
"""Patients from which lines are grey and not named."""


def _drawn(width: float, height: float, draw: Callable[[Figure], None]) -> bytes:
    """Draw in the house style; no date in the file."""
    with house_style():
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        canvas: Any = FigureCanvasAgg(figure)
        draw(figure)
        canvas.draw()
        pixels = np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])
    return encode_png(pixels)


def _sentence(text: str) -> str:
    return printable((text[:1].upper() + text[1:]).replace(" mm2", " mm²"))


def weeks_figure(
    cohort: pd.DataFrame,
    biopsies: pd.DataFrame,
    na: pd.DataFrame,
    name: str,
    title: str,
    factor: float,
) -> bytes:
    """Draw each patient's line over weeks, each biopsy with its interval, and what is missing.

    Parameters
    ----------
    cohort, biopsies, na
        As in cohort.csv, biopsies.csv and na_by_week.csv.
    name, title, factor
        Of the endpoint; by what its values are multiplied.
    """
    weeks = sorted(cohort[c.WEEK].unique())
    patients = sorted(cohort[c.PATIENT].unique())
    many = len(patients) > MANY_LINES
    span = (weeks[-1] - weeks[0]) or 1.0
    reach = (0.035 if many else 0.02 if len(patients) > 1 else 0.0) * span
    shift = dict(zip(patients, np.linspace(-reach, reach, len(patients)), strict=True))

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for i, patient in enumerate(patients):
            colour = GREY if many else COLOURS[i % len(COLOURS)]
            style = STYLES[0 if many else i // len(COLOURS) % len(STYLES)]
            mine = cohort[(cohort[c.PATIENT] == patient) & cohort[name].notna()]
            own = biopsies[(biopsies[c.PATIENT] == patient) & biopsies[name].notna()]
            values = factor * own[name].to_numpy(float)
            ends = [
                np.abs(factor * own[f"{name}_{e}"].to_numpy(float) - values) for e in ("lo", "hi")
            ]
            axes.errorbar(
                own[c.WEEK].to_numpy(float) + shift[patient], values, yerr=np.nan_to_num(ends),
                fmt="o", ms=3.5, lw=0.8, capsize=1.5, color=colour, alpha=0.6 if many else 0.9,
            )  # fmt: skip
            axes.plot(
                mine[c.WEEK].to_numpy(float) + shift[patient],
                factor * mine[name].to_numpy(float), style, color=colour, lw=1.3,
                alpha=0.6 if many else 1.0, label=None if many else printable(patient),
            )  # fmt: skip
        middle = factor * cohort.groupby(c.WEEK)[name].median().dropna()
        if len(patients) > 1:
            axes.plot(middle.index, middle, "k_", ms=22, mew=2.5, label="median of patients")
        rows = na[na[c.ENDPOINT] == name].set_index(c.WEEK)
        labels = []
        for week in weeks:
            row = rows.loc[week]
            told = int(row[c.N_PATIENTS] - row["n_patients_NA"])
            labels.append(f"{week:g}\nn = {told}\nNA = {int(row['n_patients_NA'])}")
        axes.set_xticks(weeks, labels)
        axes.set_xlim(weeks[0] - 0.12 * span, weeks[-1] + 0.12 * span)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("week; n = patients with a value, NA = patients biopsied without one")
        axes.set_ylabel(_sentence(title))
        axes.set_title(_sentence(f"{title}: patients over weeks"))
        handles, _ = axes.get_legend_handles_labels()
        if handles:
            axes.legend(
                frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5),
                ncols=1 + (len(handles) - 1) // 16,
            )  # fmt: skip

    return _drawn(7.2, 4.4, draw)


def groups_figure(
    cohort: pd.DataFrame,
    name: str,
    title: str,
    factor: float,
    by: str,
    of: Sequence[str],
    names: Sequence[str],
) -> bytes:
    """Draw the patients of each group in each week, with median and quartiles.

    Parameters
    ----------
    cohort
        As in cohort.csv.
    name, title, factor
        Of the endpoint; by what its values are multiplied.
    by
        What makes the groups.
    of
        Group of each row.
    names
        Groups in order.
    """
    weeks = sorted(cohort[c.WEEK].unique())
    group = np.asarray(of, str)
    top = factor * float(np.nanmax([*cohort[name].to_numpy(float), 0.0]))

    def draw(figure: Figure) -> None:
        panes = np.atleast_1d(figure.subplots(1, len(weeks), sharey=True))
        for axes, week in zip(panes, weeks, strict=True):
            labels = []
            for i, own in enumerate(names):
                mine = (group == own) & (cohort[c.WEEK] == week).to_numpy()
                values = factor * np.sort(cohort.loc[mine, name].to_numpy(float))
                told = values[np.isfinite(values)]
                missing = f"\nNA = {mine.sum() - told.size}" if told.size < mine.sum() else ""
                labels.append(f"{printable(own)}\nn = {told.size}{missing}")
                if not told.size:
                    continue
                spread = 0.24 * np.sin(np.arange(told.size) * 2.4)  # so that dots do not hide dots
                axes.plot(i + spread, told, "o", ms=4, color=COLOURS[i % len(COLOURS)], alpha=0.8)
                low, middle, high = np.quantile(told, [0.25, 0.5, 0.75])
                axes.hlines(middle, i - 0.35, i + 0.35, color="black", lw=2)
                if told.size > 3:
                    axes.vlines(i, low, high, color="black", lw=1)
            axes.set_xticks(range(len(names)), labels)
            axes.set_xlim(-0.6, len(names) - 0.4)
            axes.set_ylim(0, top * 1.06 or 1)
            axes.set_title(f"week {week:g}")
        panes[0].set_ylabel(_sentence(title))
        figure.suptitle(_sentence(f"{title}, by {by}: patients, median, quartiles"), fontsize=10)

    return _drawn(max(5.0, 1.1 + 1.0 * len(weeks) * max(2, len(names))), 4.2, draw)


def na_figure(na: pd.DataFrame, names: Sequence[str]) -> bytes:
    """Draw how many patients have no value in each week, because nothing was left or otherwise.

    Parameters
    ----------
    na
        As in na_by_week.csv.
    names
        Endpoints to show.
    """
    weeks = sorted(na[c.WEEK].unique())

    def draw(figure: Figure) -> None:
        panes = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
        for axes, name in zip(panes, names, strict=True):
            rows = na[na[c.ENDPOINT] == name].set_index(c.WEEK).reindex(weeks)
            place = np.arange(len(weeks))
            lost = rows["n_patients_NA"].to_numpy(float)
            told = rows[c.N_PATIENTS].to_numpy(float) - lost
            away = rows["n_patients_no_biopsy"].to_numpy(float)
            bottom = np.zeros(len(weeks))
            for values, colour, hatch, label in (
                (told, COLOURS[0], "", "value"),
                (lost, COLOURS[1], "//", "biopsy without a value"),
                (away, "#FFFFFF", "", "no biopsy"),
            ):
                axes.bar(
                    place, values, bottom=bottom, color=colour, hatch=hatch, edgecolor="black",
                    lw=0.6, label=label, width=0.7,
                )  # fmt: skip
                bottom += values
            axes.set_xticks(place, [f"{week:g}" for week in weeks])
            axes.yaxis.set_major_locator(MaxNLocator(integer=True))
            axes.set_xlabel("week")
            axes.set_title(fill(_sentence(rows[c.TITLE].dropna().iloc[0]), 30), fontsize=9)
        panes[0].set_ylabel("patients")
        handles, labels = panes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)

    return _drawn(max(5.0, 2.6 * len(names)), 3.6, draw)


def survival_figure(curves: pd.DataFrame, title: str) -> bytes:
    """Draw Kaplan-Meier curves with intervals, marks of the lost, and the numbers at risk.

    Parameters
    ----------
    curves
        Rows of survival.csv that make one figure.
    title
        Above it.
    """
    names = list(dict.fromkeys(curves[c.GROUP]))
    end = float(curves["time"].max()) or 1.0
    ticks = [tick for tick in MaxNLocator(6).tick_values(0, end) if 0 <= tick <= end]
    unit = str(curves["unit"].iloc[0])
    landmark = curves["landmark"].iloc[0]
    since = "" if np.isnan(landmark) else f" after week {landmark:g}"

    def draw(figure: Figure) -> None:
        axes, below = figure.subplots(
            2, 1, sharex=True, height_ratios=[4, 0.35 + 0.28 * len(names)]
        )
        for i, name in enumerate(names):
            own = curves[curves[c.GROUP] == name]
            time, value = own["time"].to_numpy(float), own["survival"].to_numpy(float)
            colour, style = COLOURS[i % len(COLOURS)], STYLES[i % len(STYLES)]
            label = printable(name) or "all patients"
            axes.step(time, value, style, where="post", color=colour, lw=1.6, label=label)
            axes.fill_between(
                # An end that is not known where nobody is left closes the step before it.
                time, own[c.LO].ffill(), own[c.HI].ffill(), step="post",
                color=colour, alpha=0.12, lw=0,
            )  # fmt: skip
            lost = own["n_censored"].to_numpy() > 0
            axes.plot(time[lost], value[lost], "|", color=colour, ms=7, mew=1.2)
            for tick in ticks:
                # At risk just before: those who left at this time are among them.
                at = own[own["time"] >= tick]
                risk = int(at["n_at_risk"].iloc[0]) if len(at) else 0
                below.text(tick, i, str(risk), ha="center", va="center", color=colour)
        axes.set_ylim(0, 1.03)
        axes.set_ylabel("share without the event")
        axes.set_title(_sentence(title))
        axes.legend(frameon=False, fontsize=8, loc="lower left")
        axes.tick_params(labelbottom=True)
        below.set_yticks(range(len(names)), [printable(n) or "all" for n in names])
        below.set_ylim(len(names) - 0.4, -0.6)
        below.tick_params(left=False, bottom=False, labelbottom=False)
        for spine in below.spines.values():
            spine.set_visible(False)
        below.set_title("at risk", fontsize=8)
        axes.set_xticks(ticks)
        axes.set_xlim(-0.03 * end, end * 1.03)
        axes.set_xlabel(f"{unit}{since}; ticks on a curve: last seen without the event")

    return _drawn(6.4, 4.6 + 0.2 * len(names), draw)

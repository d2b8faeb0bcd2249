"""Ratios of two kinds of cells by their densities, also from sections of different panels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.errors import SettingsError
from imganalysis.panel import markers_needed
from imganalysis.quantify.biopsies import why_not
from imganalysis.quantify.summary import clustering
from imganalysis.quantify.uncertainty import UNEVEN, field_mean, is_uneven

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from imganalysis.panel import Panel
    from imganalysis.quantify.summary import Counts
    from imganalysis.settings import Summary

ROLES = ("tumour", "infiltrate")
"""Words that stand for all classes of a role."""

RESAMPLES = 2000
NAN = float("nan")

RATIO_COLUMNS = {
    "biopsy": "name of the biopsy",
    "patient": "as in biopsies.csv",
    "lesion": "as in biopsies.csv",
    "week": "as in biopsies.csv",
    "numerator": "a class, or all classes of a role: tumour, infiltrate",
    "denominator": "likewise",
    "ratio": "cells per mm2 of the one over cells per mm2 of the other",
    "ratio_lo": "its interval, by drawing fields (sections, of three or more) anew",
    "ratio_hi": "its upper end",
    "ratio_field_mean": "mean of the fields' ratios; of different panels the ratio of the fields' "
    "mean densities",
    "numerator_per_mm2": "density of the one, on the tissue of the fields that can show it",
    "denominator_per_mm2": "density of the other",
    "n_numerator": "evaluable cells of the one",
    "n_denominator": "evaluable cells of the other",
    "n_fields_numerator": "fields that can show the one",
    "n_fields_denominator": "fields that can show the other",
    "sections": "`same`: both are told on the same fields; `different`: each on fields of its own, "
    "that are not registered; `mixed`",
    "flags": "fixed words, `;` between",
    "reason": "fixed word for why the ratio, or its interval, is empty",
}
"""Columns of ``ratios.csv``."""


@dataclass(frozen=True)
class _Side:
    """One kind of cells in the fields of a biopsy that can show it."""

    n: NDArray[np.float64]  # (fields of the biopsy,), 0 where they cannot
    area: NDArray[np.float64]
    shown: NDArray[np.bool_]
    reason: str

    @property
    def density(self) -> float:
        total = self.area.sum()
        return float(self.n.sum() / total) if total > 0 else NAN


def check_ratios(panels: Iterable[Panel], settings: Summary) -> None:
    """Check that the ratios of the settings name classes that there are.

    Raises
    ------
    SettingsError
        A name that is neither a class of any panel nor one of the words.
    """
    classes = list(dict.fromkeys(name for panel in panels for name in panel.classes))
    for name in dict.fromkeys(name for pair in settings.ratios for name in pair):
        if name not in (*classes, *ROLES):
            raise SettingsError(
                f"summary.ratios: no panel has a class {name!r}; expected one of "
                f"{', '.join([*ROLES, *classes])}"
            )


def ratio_table(
    fields: pd.DataFrame, counts: Counts, panels: Mapping[str, Panel], settings: Summary
) -> pd.DataFrame:
    """Give the ratios of the settings for every biopsy.

    Cells of neighbouring sections are in part the same, and no cell of one is found again in the
    other: counts are never added over panels, densities are compared.

    Parameters
    ----------
    fields
        One row per sample field, columns as in ``fields.csv``.
    counts
        Evaluable cells per field and class.
    panels
        By name.
    settings
        Its `ratios`; of a role in the numerator each class is given too.

    Returns
    -------
    DataFrame
        One row per biopsy and ratio, `RATIO_COLUMNS`. Ratios that no panel can show, or of the
        same kind, are left out.
    """
    rows = []
    pairs = _pairs(panels, settings)
    for name, group in fields.groupby("biopsy", sort=False):
        done = group[group["status"] == "analysed"].reset_index(drop=True)
        head = {key: group.iloc[0][key] for key in ("patient", "lesion", "week")}
        for pair in pairs:
            found = _row(pair, done, counts, panels, settings)
            if found["reason"] == "not_stained":
                words = [w for w in pair if not done["panel"].isin(_shown(w, panels)).any()]
                owners = {name: panels[name] for name in _shown(words[0], panels)}
                found["reason"] = why_not(group, owners)
            rows.append({"biopsy": str(name), **head, **found})
    return pd.DataFrame(rows, columns=list(RATIO_COLUMNS))


def _classes(word: str, panel: Panel) -> list[str]:
    """Classes of a panel that a word stands for."""
    if word in panel.classes:
        return [word]
    return list(dict.fromkeys(row.name for row in panel.phenotypes if row.role == word))


def _pairs(panels: Mapping[str, Panel], settings: Summary) -> list[tuple[str, str]]:
    pairs: dict[tuple[str, str], None] = {}
    for above, below in settings.ratios:
        pairs[above, below] = None
        own = [name for p in panels.values() for name in _classes(above, p)]
        pairs |= dict.fromkeys((name, below) for name in own)
    shown = {word for word in {w for pair in pairs for w in pair} if _shown(word, panels)}
    return [pair for pair in pairs if shown.issuperset(pair) and pair[0] != pair[1]]


def _shown(word: str, panels: Mapping[str, Panel]) -> list[str]:
    return [name for name, panel in panels.items() if _classes(word, panel)]


def _row(
    pair: tuple[str, str],
    done: pd.DataFrame,
    counts: Counts,
    panels: Mapping[str, Panel],
    settings: Summary,
) -> dict[str, Any]:
    one, two = (_side(word, done, counts, panels) for word in pair)
    row: dict[str, Any] = {"numerator": pair[0], "denominator": pair[1]}
    row |= {"numerator_per_mm2": one.density, "denominator_per_mm2": two.density}
    row |= {"n_numerator": int(one.n.sum()), "n_denominator": int(two.n.sum())}
    row["n_fields_numerator"] = int(one.shown.sum())
    row["n_fields_denominator"] = int(two.shown.sum())
    both, any_ = one.shown & two.shown, one.shown | two.shown
    row["sections"] = "mixed" if any_.any() else ""
    if any_.any() and (both == any_).all():
        row["sections"] = "same"
    elif any_.any() and not both.any():
        row["sections"] = "different"
    reason = one.reason or two.reason or _empty(pair[1], done, two, counts, panels)
    flags: list[str] = []
    if not reason:
        row["ratio"] = one.density / two.density
        if row["sections"] == "same":
            row["ratio_field_mean"] = field_mean(one.n, two.n)
        else:
            means = [field_mean(s.n[s.shown], s.area[s.shown]) for s in (one, two)]
            row["ratio_field_mean"] = means[0] / means[1] if means[1] > 0 else NAN
        if is_uneven(row["ratio"], row["ratio_field_mean"]):
            flags.append(UNEVEN)
        if min(row["n_fields_numerator"], row["n_fields_denominator"]) < settings.low_fields:
            flags.append("low_count")
        row["ratio_lo"], row["ratio_hi"] = _interval(one, two, done, settings.confidence)
        if np.isnan(row["ratio_lo"]):
            reason = "one_field" if one.n.sum() > 0 else "no_cells"
    return row | {"flags": ";".join(flags), "reason": reason}


def _side(word: str, done: pd.DataFrame, counts: Counts, panels: Mapping[str, Panel]) -> _Side:
    shown = done["panel"].isin(_shown(word, panels)).to_numpy(bool)
    n, area = np.zeros(len(done)), np.zeros(len(done))
    area[shown] = done["tissue_mm2"].to_numpy(np.float64)[shown]
    reason = "" if shown.any() else "not_stained"
    for i in np.flatnonzero(shown):
        name, panel = done[t.FIELD].iloc[i], panels[done["panel"].iloc[i]]
        own = _classes(word, panel)
        n[i] = counts.called.loc[name, own].sum()
        if any((name, marker) in counts.ungated for marker in markers_needed(panel, own)):
            reason = "ungated"
    if not reason and np.isnan(area).any():
        reason = "thick_stack"
    return _Side(n, area, shown, reason)


def _empty(
    word: str, done: pd.DataFrame, side: _Side, counts: Counts, panels: Mapping[str, Panel]
) -> str:
    """Why there is nothing to divide by: no cell, or no more than false calls would give."""
    if not side.area.sum() > 0:
        return "no_area"
    limit, reason = 0.0, "no_cells"
    for name in dict.fromkeys(done["panel"][side.shown]):
        own = set(_classes(word, panels[name]))
        for fraction in panels[name].fractions:
            if set(fraction.denominator) == own and fraction.name in counts.false_positives:
                table = counts.false_positives[fraction.name]
                mine = done[t.FIELD][side.shown & (done["panel"] == name).to_numpy(bool)]
                blank = float(table.loc[list(mine), "denominator"].sum(skipna=False))
                limit += blank if np.isfinite(blank) else 0.0
                reason = fraction.empty_reason
                break
    return reason if side.n.sum() <= limit else ""


def _interval(one: _Side, two: _Side, done: pd.DataFrame, confidence: float) -> tuple[float, float]:
    """Percentiles over sets of fields (or sections), drawn with replacement panel by panel."""
    if not one.n.sum() > 0:
        return NAN, NAN  # none would be found in any set: that tells nothing of how many there are
    rng = np.random.default_rng(0)
    sums = np.zeros((RESAMPLES, 4))
    for name in sorted(set(done["panel"])):
        mine = (done["panel"] == name).to_numpy(bool) & (one.shown | two.shown)
        if not mine.any():
            continue
        parts = np.stack([one.n, one.area, two.n, two.area])[:, mine]
        units = clustering(done[mine].reset_index(drop=True))(parts).T
        if len(units) < 2:
            return NAN, NAN
        draws = rng.integers(0, len(units), (RESAMPLES, len(units)))
        sums += units[draws].sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.sort((sums[:, 0] / sums[:, 1]) / (sums[:, 2] / sums[:, 3]))
    values = values[~np.isnan(values)]
    if not len(values):
        return NAN, NAN
    # Taken from the values, not between them: one may be infinite.
    tail = (1 - confidence) / 2 * (len(values) - 1)
    return float(values[int(np.floor(tail))]), float(values[int(np.ceil(len(values) - 1 - tail))])

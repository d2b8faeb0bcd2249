"""One row per biopsy: fractions, densities, areas, exclusions, flags, reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.quantify.look_alikes import LOOK_ALIKES, outnumbered
from imganalysis.quantify.sections import corrected_columns
from imganalysis.quantify.study_counts import StudyCounts, read_counts
from imganalysis.quantify.summary import (
    NAN,
    Counts,
    density_columns,
    fraction_row,
)
from imganalysis.quantify.tallies import death_columns
from imganalysis.quantify.uncertainty import UNEVEN, is_uneven
from imganalysis.settings_counting import Counting
from imganalysis.tables_biopsies import panel_fields_column

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from imganalysis.panel import Panel
    from imganalysis.settings import Summary

COUNTED_ROLES = ("tumour", "infiltrate")
"""Roles of phenotypes whose density is given."""

POOLED = ("adjacent_sections", "panels_pooled")
"""Flags of a fraction that are as true of every other: they stand without its name."""

QUIET_FLAGS = ("z_descending", "no_bleedthrough_control")
"""Flags of fields that stand in no biopsy's row: the first says nothing against its numbers, and
the second would stand in every row of a study without controls, where no row would be told from
another. What a run prints at its end says it once."""


def biopsy_table(
    fields: pd.DataFrame,
    counts: Counts,
    panels: Mapping[str, Panel],
    settings: Summary,
    *,
    no_negatives: frozenset[tuple[str, str]] = frozenset(),
    counting: Counting | None = None,
) -> pd.DataFrame:
    """Summarise every biopsy of a study.

    Parameters
    ----------
    fields
        One row per sample field, columns as in ``fields.csv``.
    counts
        Evaluable cells per field and class.
    panels
        By name.
    settings
        Confidence, minimums.
    no_negatives
        (biopsy, marker) pairs whose cells show no negative population.
    counting
        Diameters of nuclei; the defaults if not given.

    Returns
    -------
    DataFrame
        One row per biopsy in the order of `fields`, columns as in ``biopsies.csv``.
    """
    own = counting or Counting()
    fields = fields.reset_index(drop=True)
    analysed = (fields["status"] == "analysed").to_numpy(dtype=bool)
    study = read_counts(fields[analysed], counts, panels)
    place = np.cumsum(analysed) - 1  # of each field in the arrays of `study`
    rows = []
    for name, group in fields.groupby("biopsy", sort=False):
        mine = group.index.to_numpy()
        at = place[mine[analysed[mine]]]
        group = group.reset_index(drop=True)
        row = _row(str(name), group, at, study, counts, panels, settings, no_negatives, own)
        rows.append(row)
    return pd.DataFrame(rows)


def _row(
    name: str,
    group: pd.DataFrame,
    at: NDArray[np.intp],
    study: StudyCounts,
    counts: Counts,
    panels: Mapping[str, Panel],
    settings: Summary,
    no_negatives: frozenset[tuple[str, str]],
    counting: Counting,
) -> dict[str, Any]:
    done = group[group["status"] == "analysed"].reset_index(drop=True)
    failed = int((group["status"] == "failed").sum())
    first = group.iloc[0]
    row: dict[str, Any] = {"biopsy": name}
    row |= {key: first[key] for key in ("patient", "lesion", "week")}
    row |= {key: first[key] for key in group.attrs.get("extra_columns", ())}
    row |= {"n_fields": len(done), "n_fields_failed": failed}
    row |= {panel_fields_column(panel): int((done["panel"] == panel).sum()) for panel in panels}
    flags: list[str] = ["fields_failed"] if failed else []
    reasons: list[str] = []
    gates: dict[str, float] = {}
    for read in study.fractions:
        fraction, owners = read.fraction, read.panels
        shown = read.shown[at]
        mine = done if shown.all() else done[shown].reset_index(drop=True)
        result = fraction_row(read, at[shown], mine, settings)
        reason = result.reason
        if reason == "not_stained":
            reason = why_not(group, owners)
        row |= result.columns
        gates |= result.gates
        for word in result.flags:
            flags.append(word if word in POOLED else f"{fraction.name}:{word}")
        if reason:
            reasons.append(f"{fraction.name}: {reason}")
        elif outnumbered(fraction, mine, counts.called, owners):
            flags.append(f"{fraction.name}:{LOOK_ALIKES}")
        reasons += result.reasons
        if fraction.endpoint:
            row |= _form(mine, owners, flags)
    row |= _densities(done, at, study, panels, settings, reasons, flags)
    more, why = corrected_columns(
        next((read.fraction for read in study.fractions if read.fraction.endpoint), None),
        done, counts.called, panels, _counted_classes(panels), settings, counting,
    )  # fmt: skip
    row |= more
    reasons += why
    more, why = death_columns(done, panels)
    row |= more
    reasons += why
    tissue, panel_of = done["tissue_mm2"].to_numpy(np.float64), done["panel"].to_numpy(object)
    # Of a field without an area (a thick stack) neither counts.
    row["tissue_mm2"] = _sum(tissue, len(done))
    for column in t.REGION_AREAS:
        row[column] = _sum(done[column].to_numpy(np.float64)[np.isfinite(tissue)])
    for panel in panels:
        of_panel = tissue[panel_of == panel]
        row[f"tissue_{panel}_mm2"] = _sum(of_panel, len(of_panel))
    row |= gates
    for word in t.EXCLUSIONS:
        row[f"n_{word}"] = int(np.nansum(done[f"n_{word}"].to_numpy(np.float64)))
    row["n_unresolved"] = int(study.called[t.UNRESOLVED][at].sum())
    for marker in dict.fromkeys(m for panel in panels.values() for m in _gated(panel)):
        found = study.indeterminate.get(marker)
        row[t.indeterminate_column(marker)] = NAN if found is None else _sum(found[at])
    if any((name, m) in no_negatives for p in panels.values() for m in _gated(p)):
        flags.append("no_negative_population")
    for words in done["flags"]:
        flags += [word for word in str(words).split(";") if word and word not in QUIET_FLAGS]
    row["flags"] = ";".join(dict.fromkeys(flags))
    row["reason"] = "; ".join(reasons)
    return row


def _sum(values: NDArray[np.float64], least: int = 1) -> float:
    """Sum of what is known; NaN where fewer than `least` values are, or none."""
    known = ~np.isnan(values)
    return float(np.where(known, values, 0.0).sum()) if known.sum() >= max(1, least) else NAN


def why_not(group: pd.DataFrame, owners: Mapping[str, Panel]) -> str:
    """Say why a biopsy has no analysed field of the panels that show something."""
    lost = group[group["status"] == "failed"]["panel"]
    if lost.isin([*owners, ""]).any():
        return "fields_failed"
    return "not_stained" if group["status"].isin(["analysed", "failed"]).any() else "no_field"


def _gated(panel: Panel) -> list[str]:
    return [channel.marker for channel in panel.gated]


def _form(fields: pd.DataFrame, owners: Mapping[str, Panel], flags: list[str]) -> dict[str, str]:
    """Which form of the death marker the antibodies of a biopsy's panels see."""
    used = [owners[name] for name in dict.fromkeys(fields["panel"])] or list(owners.values())
    marked = [p.channel(p.death_marker).form or "unknown" for p in used if p.death_marker]
    forms = list(dict.fromkeys(marked))
    if not fields.empty and any(form != "cleaved" for form in forms):
        flags.append("form_not_cleaved")
    return {"death_marker_form": ";".join(forms)}


def _counted_classes(panels: Mapping[str, Panel]) -> dict[str, list[str]]:
    """Classes whose density is given, and the panels that show each."""
    owners: dict[str, list[str]] = {}
    for panel in panels.values():
        for phenotype in panel.phenotypes:
            if phenotype.role in COUNTED_ROLES and panel.name not in owners.get(phenotype.name, []):
                owners.setdefault(phenotype.name, []).append(panel.name)
    return owners


def _densities(
    done: pd.DataFrame,
    at: NDArray[np.intp],
    study: StudyCounts,
    panels: Mapping[str, Panel],
    settings: Summary,
    reasons: list[str],
    flags: list[str],
) -> dict[str, float]:
    owners = _counted_classes(panels)
    row: dict[str, float] = {}
    why: dict[str, None] = {}
    panel_of = done["panel"].to_numpy(dtype=object)
    tissue = done["tissue_mm2"].to_numpy(dtype=np.float64)
    for name, names in owners.items():
        mine = np.isin(panel_of, names)
        known = not study.ungated[name][at[mine]].any()
        if not mine.any():
            why["not_stained"] = None
        elif not known:
            why["ungated"] = None
        elif np.isnan(tissue[mine]).any():
            why["thick_stack"] = None
        elif not tissue[mine].sum() > 0:
            why["no_area"] = None
        cells, areas = study.called[name][at[mine]], tissue[mine]
        own = density_columns(name, cells if known else [], areas if known else [], settings)
        value, *_, mean = own.values()
        if is_uneven(value, mean):
            flags.append(f"{next(iter(own))}:{UNEVEN}")
        row |= own
    reasons += [f"densities: {word}" for word in why]
    return row

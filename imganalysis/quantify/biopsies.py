"""One row per biopsy: fractions, densities, areas, exclusions, flags, reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from imganalysis import tables as t
from imganalysis.panel import markers_needed
from imganalysis.quantify.look_alikes import LOOK_ALIKES, outnumbered
from imganalysis.quantify.sections import corrected_columns
from imganalysis.quantify.summary import (
    BELOW_BLANK,
    UNKNOWN_BLANK,
    Counts,
    density_columns,
    fraction_names,
    fraction_row,
)
from imganalysis.quantify.tallies import death_columns
from imganalysis.quantify.uncertainty import UNEVEN, is_uneven
from imganalysis.settings_counting import Counting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imganalysis.panel import FractionOf, Panel
    from imganalysis.settings import Summary

COUNTED_ROLES = ("tumour", "infiltrate")
"""Roles of phenotypes whose density is given."""

QUIET_FLAGS = ("z_descending", "no_bleedthrough_control")
"""Flags of fields that say nothing against a biopsy's numbers."""


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
    rows = [
        _row(str(name), group.reset_index(drop=True), counts, panels, settings, no_negatives, own)
        for name, group in fields.groupby("biopsy", sort=False)
    ]
    return pd.DataFrame(rows)


def _row(
    name: str,
    group: pd.DataFrame,
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
    flags: list[str] = ["fields_failed"] if failed else []
    reasons: list[str] = []
    gates: dict[str, float] = {}
    for fraction in fraction_names(panels.values()):
        owners = {key: p for key, p in panels.items() if _has(p, fraction)}
        mine = done[done["panel"].isin(owners)].reset_index(drop=True)
        markers = _markers(owners.values(), fraction)
        result = fraction_row(fraction, mine, counts, panels, settings, markers)
        reason = result.reason
        if reason == "not_stained":
            reason = why_not(group, owners)
        row |= result.columns
        gates |= result.gates
        for word in result.flags:
            # Without a name a flag speaks of the endpoint, or of the whole biopsy.
            own = word in (BELOW_BLANK, UNKNOWN_BLANK) and not fraction.endpoint
            flags.append(f"{fraction.name}:{word}" if own else word)
        if reason:
            reasons.append(f"{fraction.name}: {reason}")
        elif outnumbered(fraction, mine, counts.called, owners):
            flags.append(f"{fraction.name}:{LOOK_ALIKES}")
        reasons += result.reasons
        if fraction.endpoint:
            row |= _form(mine, owners, flags)
    row |= _densities(done, counts, panels, settings, reasons, flags)
    more, why = corrected_columns(
        next((f for f in fraction_names(panels.values()) if f.endpoint), None),
        done, counts.called, panels, _counted_classes(panels), settings, counting,
    )  # fmt: skip
    row |= more
    reasons += why
    more, why = death_columns(done, panels)
    row |= more
    reasons += why
    row |= {
        # Of a field without an area (a thick stack) neither counts.
        "tissue_mm2": done["tissue_mm2"].sum(min_count=max(1, len(done))),
        **{
            column: done[column].where(done["tissue_mm2"].notna()).sum(min_count=1)
            for column in t.REGION_AREAS
        },
    }
    for panel in panels:
        of_panel = done[done["panel"] == panel]["tissue_mm2"]
        row[f"tissue_{panel}_mm2"] = of_panel.sum(min_count=max(1, len(of_panel)))
    row |= gates
    row |= {f"n_{word}": int(done[f"n_{word}"].sum()) for word in t.EXCLUSIONS}
    row["n_unresolved"] = int(counts.called.loc[list(done[t.FIELD]), t.UNRESOLVED].sum())
    for marker in dict.fromkeys(m for panel in panels.values() for m in _gated(panel)):
        row[t.indeterminate_column(marker)] = _indeterminate(done, counts, marker)
    if any((name, m) in no_negatives for p in panels.values() for m in _gated(p)):
        flags.append("no_negative_population")
    for words in done["flags"]:
        flags += [word for word in str(words).split(";") if word and word not in QUIET_FLAGS]
    row["flags"] = ";".join(dict.fromkeys(flags))
    row["reason"] = "; ".join(reasons)
    return row


def _indeterminate(done: pd.DataFrame, counts: Counts, marker: str) -> float:
    """Cells whose call of a marker is indeterminate; NaN where no field shows it."""
    table = counts.indeterminate
    if table is None or marker not in table:
        return float("nan")
    return float(table.loc[list(done[t.FIELD]), marker].sum(min_count=1))


def why_not(group: pd.DataFrame, owners: Mapping[str, Panel]) -> str:
    """Say why a biopsy has no analysed field of the panels that show something."""
    lost = group[group["status"] == "failed"]["panel"]
    if lost.isin([*owners, ""]).any():
        return "fields_failed"
    return "not_stained" if group["status"].isin(["analysed", "failed"]).any() else "no_field"


def _has(panel: Panel, fraction: FractionOf) -> bool:
    return any(own.name == fraction.name for own in panel.fractions)


def _gated(panel: Panel) -> list[str]:
    return [channel.marker for channel in panel.gated]


def _markers(owners: Any, fraction: FractionOf) -> list[str]:
    """Gated markers that decide on a fraction, in the panels' order, each once."""
    found: dict[str, None] = {}
    for panel in owners:
        own = next(f for f in panel.fractions if f.name == fraction.name)
        needed = markers_needed(panel, (*own.numerator, *own.denominator))
        found |= dict.fromkeys(m for m in _gated(panel) if m in needed)
    return list(found)


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
    counts: Counts,
    panels: Mapping[str, Panel],
    settings: Summary,
    reasons: list[str],
    flags: list[str],
) -> dict[str, float]:
    owners = _counted_classes(panels)
    row: dict[str, float] = {}
    why: dict[str, None] = {}
    for name, names in owners.items():
        mine = done[done["panel"].isin(names)]
        known = not any(
            (label, marker) in counts.ungated
            for label, panel in zip(mine[t.FIELD], mine["panel"], strict=True)
            for marker in markers_needed(panels[panel], [name])
        )
        if mine.empty:
            why["not_stained"] = None
        elif not known:
            why["ungated"] = None
        elif mine["tissue_mm2"].isna().any():
            why["thick_stack"] = None
        cells: Sequence[float] = counts.called.loc[list(mine[t.FIELD]), name].tolist()
        areas: Sequence[float] = mine["tissue_mm2"].tolist()
        own = density_columns(name, cells if known else [], areas if known else [], settings)
        value, *_, mean = own.values()
        if is_uneven(value, mean):
            flags.append(f"{next(iter(own))}:{UNEVEN}")
        row |= own
    reasons += [f"densities: {word}" for word in why]
    return row

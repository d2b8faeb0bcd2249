"""What the quality sheet of a field says, in words and numbers; fields out of focus."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis import tables as t
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from imganalysis.records import FieldResult

FEW_FIELDS = 4
"""Fewer fields of one panel, batch and acquisition have no usual sharpness."""

SOFT = 0.5
"""Share of the usual sharpness at which a field is out of focus."""

PASSING = {
    "autofluorescence": "autofluorescence",
    "pigment": "pigment",
    "folds": "folds",
    "clipped": "clipped pixels",
}

STEPS = {"bleedthrough": "bleed-through", "flatfield": "shading", "channel_shift": "shift"}
STATES = {
    "corrected": "corrected",
    "partly": "corrected in part",
    "given": "corrected (given)",
    "not_done": "left in (not seen in the controls)",
    "no_control": "left in (no control)",
    "control_elsewhere": "left in (controls elsewhere only)",
    "off": "left in (off)",
}
"""What was done about a step, as the facts of a field name it."""


def flag_focus(results: Sequence[FieldResult]) -> list[FieldResult]:
    """Flag fields whose nuclei have much softer edges than those of like fields.

    Sharpness has no limit that holds for all microscopes, sections and dyes; so a field is
    compared with the median of its panel, batch and acquisition, where there are `FEW_FIELDS`
    or more.
    """
    groups: dict[tuple[str, str, str], list[float]] = {}
    for result in results:
        if (value := _sharpness(result)) is not None:
            groups.setdefault(_scope(result), []).append(value)
    out = []
    for result in results:
        value, like = _sharpness(result), groups.get(_scope(result), [])
        soft = (
            value is not None and len(like) >= FEW_FIELDS and value <= SOFT * float(np.median(like))
        )
        flags = (*result.flags, "out_of_focus") if soft else result.flags
        out.append(dataclasses.replace(result, flags=flags))
    return out


def _scope(result: FieldResult) -> tuple[str, str, str]:
    return result.field.panel, result.field.batch, result.field.acquisition


def _sharpness(result: FieldResult) -> float | None:
    value = result.facts.get("sharpness_per_um")
    return float(value) if value is not None and math.isfinite(value) else None


def captions(markers: Sequence[str], facts: Mapping[str, Any]) -> dict[str, str]:
    """Say under each channel which background was subtracted and whether it is clipped."""
    method = facts.get("background", "")
    pairs = (text.partition("=") for text in str(facts.get("background_levels", "")).split(";"))
    levels = {name: level for name, _, level in pairs}
    clipped = str(facts.get("saturated_channels") or "").split(";")
    out = {}
    for marker in markers:
        if marker in levels:
            text = f"background {levels[marker]} ({method}), subtracted"
        else:
            text = "no background subtracted" if method == "none" else ""
        out[marker] = text + ("; CLIPPED" if marker in clipped else "")
    return out


def legend(facts: Mapping[str, Any]) -> dict[str, str]:
    """Name each mask with what it measures; what was not looked for says so."""
    tissue, frame = facts.get("tissue_mm2"), facts.get("frame_mm2")
    out = {
        "frame": f"frame of counting {_mm2(frame)}",
        "tissue": f"tissue in the frame {_mm2(tissue)}",
    }
    whole = facts.get("tissue_all_mm2")
    for name, shown in PASSING.items():
        area = facts.get(f"{name}_mm2")
        if area is None:
            out[name] = f"{shown}: not looked for"
        elif not area:
            out[name] = f"{shown}: none"
        else:
            share = f" ({100 * area / whole:.2g} % of the tissue)" if whole else ""
            out[name] = f"{shown} {_mm2(area)}{share}"
    return out


def notes(facts: Mapping[str, Any], cells: pd.DataFrame, flags: Sequence[str]) -> list[str]:
    """Count the nuclei, say how sharp they are, what was corrected, and what speaks against it."""
    counted = int(cells[t.EVALUABLE].astype(bool).sum())
    words = cells.loc[cells[t.EXCLUSION] != "", t.EXCLUSION].value_counts()
    left_out = ", ".join(f"{word} {words[word]}" for word in t.EXCLUSIONS if word in words)
    lines = [
        f"{counted} of {plural(len(cells), 'nucleus', 'nuclei')} counted"
        + (f"; not: {left_out}" if left_out else "")
    ]
    sharp, affected = facts.get("sharpness_per_um"), facts.get("n_af_affected")
    parts = []
    if sharp is not None and math.isfinite(sharp):
        parts.append(f"edges of nuclei {sharp:.2f} per \N{MICRO SIGN}m")
    if affected is not None:
        parts.append(f"{plural(affected, 'counted cell')} on autofluorescence")
    lines += ["; ".join(parts), str(facts.get("projection_reason", ""))]
    done = [f"{shown} {STATES[facts[step]]}" for step, shown in STEPS.items() if facts.get(step)]
    lines = [line for line in (*lines, "; ".join(done)) if line]
    lines.append("flags: " + (", ".join(flags) if flags else "none"))
    return lines


def _mm2(area: float | None) -> str:
    if area is None or not math.isfinite(area):
        return "\N{EN DASH}"
    if area < 1e-3:
        return f"{1e6 * area:.3g} \N{MICRO SIGN}m\N{SUPERSCRIPT TWO}"
    return f"{area:.3g} mm\N{SUPERSCRIPT TWO}"

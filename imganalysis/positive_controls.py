"""Positive controls: whether a stain shows its marker in tissue that is known to have it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from imganalysis import tables as t
from imganalysis.classify.calls import NEGATIVE_CODE, POSITIVE_CODE, call_cells, call_codes
from imganalysis.classify.gates import select_gate
from imganalysis.classify.scopes import evaluable
from imganalysis.errors import StudyError
from imganalysis.panel_match import own_names, plain
from imganalysis.quantify.statistics import wilson
from imganalysis.tables_biopsies import positive_control_column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imganalysis.classify.gates import Gate
    from imganalysis.panel import Channel, Panel
    from imganalysis.settings import Gating
    from imganalysis.study import Field, Study

POSITIVE_CONTROL = "positive_control"
"""Role of a field of tissue that is known to have a marker."""

OK, FAILED = "positive_control_ok", "positive_control_failed"
"""What the columns begin with; flag of a biopsy, after the marker's name."""

PLACE = (t.PANEL, t.BATCH, t.ACQUISITION)


@dataclass(frozen=True)
class Checked:
    """What the positive controls say of one marker in a panel, batch and acquisition.

    Parameters
    ----------
    marker, panel, batch, acquisition
        Of what.
    n_called, n_positive
        Evaluable cells of the controls that are positive or negative; those that are positive.
    limit
        Share that false calls alone stay under.
    ok
        Whether more are positive than that; None where it cannot be told.
    reason
        Fixed word for why not, else empty.
    """

    marker: str
    panel: str
    batch: str
    acquisition: str
    n_called: int = 0
    n_positive: int = 0
    limit: float | None = None
    ok: bool | None = None
    reason: str = ""


def controlled_markers(where: Field, panel: Panel) -> tuple[str, ...]:
    """Markers that a positive control is known to have: those in its ``stain``, else all.

    Raises
    ------
    StudyError
        ``stain`` names something else than gated markers of the panel.
    """
    words = [word.strip() for word in where.stain.split(";") if word.strip()]
    if not words:
        return tuple(channel.marker for channel in panel.gated)
    found = []
    for word in words:
        mine = [c.marker for c in panel.gated if plain(word) in own_names(c)]
        if len(mine) != 1:
            known = ", ".join(c.marker for c in panel.gated) or "none"
            raise StudyError(
                f"{where.path}: positive control of panel '{panel.name}': expected in `stain` "
                f"markers that the tissue is known to have, of {known}, `;` between, or nothing "
                f"for all of them; found {word!r}"
            )
        found += mine
    return tuple(dict.fromkeys(found))


def positive_controls(study: Study) -> list[tuple[Field, tuple[str, ...]]]:
    """Give the positive controls of a study, each with the markers that it is known to have.

    Raises
    ------
    StudyError
        As `controlled_markers`.
    """
    own = [f for f in study.controls if f.role == POSITIVE_CONTROL and f.panel]
    return [(f, controlled_markers(f, study.panels[f.panel])) for f in own]


def check_positive_controls(
    study: Study, objects: Mapping[str, pd.DataFrame], gates: Sequence[Gate], gating: Gating
) -> tuple[Checked, ...]:
    """Look whether the positive controls have more positive cells than false calls would give.

    Parameters
    ----------
    study
        Its positive controls, and the panels, batches and acquisitions of its samples.
    objects
        Field -> one row per object, of the fields that were analysed.
    gates
        Those of the samples.
    gating
        Indeterminate band, fewest control cells, percentile of the controls.

    Returns
    -------
    tuple of Checked
        One per gated marker of every panel, batch and acquisition of the samples. The limit is
        that of blank of the gate, or twice what the controls' percentile leaves above it.
    """
    controls = positive_controls(study)
    scopes = dict.fromkeys((f.panel, f.batch, f.acquisition) for f in study.samples if f.panel)
    found = []
    for panel, batch, acquisition in scopes:
        for channel in study.panels[panel].gated:
            said = _of_marker(
                channel, study.panels[panel], batch, acquisition, controls, objects, gates, gating
            )
            found.append(Checked(channel.marker, panel, batch, acquisition, **said))
    return tuple(found)


def _of_marker(
    channel: Channel,
    panel: Panel,
    batch: str,
    acquisition: str,
    controls: Sequence[tuple[Field, tuple[str, ...]]],
    objects: Mapping[str, pd.DataFrame],
    gates: Sequence[Gate],
    gating: Gating,
) -> dict[str, Any]:
    of_panel = [f for f, own in controls if f.panel == panel.name and channel.marker in own]
    here = [f for f in of_panel if (f.batch, f.acquisition) == (batch, acquisition)]
    if not here:
        return {"reason": "positive_control_elsewhere" if of_panel else "no_positive_control"}
    tables = [objects[f.name] for f in here if f.name in objects]
    if not tables:
        return {"reason": "fields_failed"}
    place = {"panel": panel.name, "batch": batch, "acquisition": acquisition}
    limit = 0.0  # a cell is positive if one of the measures is: false calls of each add up
    for column in channel.columns:
        gate = select_gate(gates, channel.marker, column, **place)
        if gate is None or gate.value is None:
            return {"reason": "ungated"}
        blank = gate.control_fpr
        limit += 2 * (1 - gating.control_percentile / 100) if blank is None else blank.blank_limit
    cells = evaluable(pd.concat(tables, ignore_index=True)).reset_index(drop=True)
    codes = call_codes(call_cells(cells, panel, gates, gating.indeterminate_band), channel.marker)
    positive = int((codes == POSITIVE_CODE).sum())
    called = positive + int((codes == NEGATIVE_CODE).sum())
    said: dict[str, Any] = {"n_called": called, "n_positive": positive, "limit": limit}
    if called >= gating.min_control_cells:
        return {**said, "ok": positive > limit * called}
    # Few cells may still show that the stain works, never that it failed.
    if wilson(positive, called)[0] > limit:
        return {**said, "ok": True}
    return {**said, "reason": "positive_control_too_few_cells"}


def with_positive_controls(
    biopsies: pd.DataFrame,
    samples: pd.DataFrame,
    checked: Sequence[Checked],
    panels: Mapping[str, Panel],
) -> pd.DataFrame:
    """Say in each biopsy's row whether the positive controls of its stains are as they should be.

    Parameters
    ----------
    biopsies
        As in ``biopsies.csv``.
    samples
        Its sample fields, as in ``fields.csv``.
    checked
        From `check_positive_controls`.
    panels
        By name.

    Returns
    -------
    DataFrame
        With a column per gated marker: True, False, or None with a word in ``reason``; None
        without one where the biopsy has no analysed field that shows the marker.
    """
    by_place = {(one.panel, one.batch, one.acquisition, one.marker): one for one in checked}
    done = samples[samples["status"] == "analysed"]
    markers = list(dict.fromkeys(c.marker for panel in panels.values() for c in panel.gated))
    columns: dict[str, list[bool | None]] = {marker: [] for marker in markers}
    flags, reasons = list(biopsies["flags"]), list(biopsies["reason"])
    for i, name in enumerate(biopsies[t.BIOPSY]):
        fields = done[done[t.BIOPSY] == name]
        places = dict.fromkeys(zip(*(fields[c].astype(str) for c in PLACE), strict=True))
        why: dict[str, str] = {}
        known = False
        for marker in markers:
            mine = [by_place[*p, marker] for p in places if (*p, marker) in by_place]
            said = {one.ok for one in mine}
            ok = False if False in said else None if None in said or not mine else True
            columns[marker].append(ok)
            known |= ok is not None
            if ok is False:
                flags[i] = ";".join(filter(None, [flags[i], f"{marker}:{FAILED}"]))
            elif ok is None and mine:
                why[marker] = next(one.reason for one in mine if one.ok is None)
        reasons[i] = "; ".join(filter(None, [reasons[i], *_lines(why, of_all=not known)]))
    found = {positive_control_column(m): values for m, values in columns.items()}
    at = biopsies.columns.get_loc("flags")
    more = pd.DataFrame(found, biopsies.index, dtype=object)
    out = biopsies.assign(flags=flags, reason=reasons)
    return pd.concat([out.iloc[:, :at], more, out.iloc[:, at:]], axis=1)


def _lines(why: Mapping[str, str], *, of_all: bool) -> list[str]:
    """Reasons of the empty columns: one for all markers where every column has the same."""
    if of_all and len(set(why.values())) == 1:
        return [f"{OK}: {next(iter(why.values()))}"]
    return [f"{positive_control_column(marker)}: {word}" for marker, word in why.items()]

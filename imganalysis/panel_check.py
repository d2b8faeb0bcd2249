"""Checks of a panel: its dyes, its words, and a phenotype table without gaps or overlaps."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from imganalysis.errors import PanelError, SpectralClashError
from imganalysis.panel_fractions import check_fractions
from imganalysis.panel_match import own_names, plain
from imganalysis.panel_reference import check_references
from imganalysis.tables import UNRESOLVED
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from imganalysis.panel import Channel, Context, Panel

CLASH_NM = 15.0
"""Dyes whose excitation and emission peaks both differ by less cannot be told apart."""

MAX_VARIABLES = 12
"""Markers and contexts in one phenotype table; all 2^n states are checked."""


@dataclass(frozen=True)
class RuleTable:
    """Which rows of a phenotype table apply in which state.

    Parameters
    ----------
    markers, contexts
        What the table's rows ask for, in the panel's order; one axis of `applies` each.
    applies
        (2, 2, ..., rows) bool; along a marker's axis 0 is negative and 1 positive, along a
        context's axis 0 is no and 1 yes.
    """

    markers: tuple[str, ...]
    contexts: tuple[str, ...]
    applies: NDArray[np.bool_]


def rule_table(panel: Panel) -> RuleTable:
    """Work out every state of the markers and contexts that a panel's phenotype table names.

    A row applies where all of its `when` and all of its `context` hold, and not all of its
    `unless` (if it has any).
    """
    import numpy as np

    rows = panel.phenotypes
    asked = {m for row in rows for m, call in row.when.items() if call != "any"}
    named = {c for row in rows for c in (*row.context, *row.unless)}
    markers = tuple(c.marker for c in panel.channels if c.marker in asked)
    contexts = tuple(name for name in panel.contexts if name in named)
    axes = (*markers, *contexts)
    shape = (2,) * len(axes)
    # sparse index arrays: levels[i] is 0/1 along axis i and broadcasts along the others
    levels = dict(zip(axes, np.indices(shape, sparse=True), strict=True)) if axes else {}

    def hold(conditions: dict[str, bool]) -> NDArray[np.bool_]:
        state = np.ones(shape, dtype=bool)
        for name, value in conditions.items():
            state &= levels[name] == int(value)
        return state

    applies = np.zeros((*shape, len(rows)), dtype=bool)
    for i, row in enumerate(rows):
        calls = {m: call == "pos" for m, call in row.when.items() if call != "any"}
        state = hold(calls) & hold(row.context)
        if row.unless:
            state &= ~hold(row.unless)
        applies[..., i] = state
    return RuleTable(markers, contexts, applies)


def check_panel(panel: Panel, *, source: str = "") -> None:
    """Check what the form of a panel file cannot tell.

    Parameters
    ----------
    panel
        To be checked.
    source
        Where it is from, for the message.

    Raises
    ------
    PanelError
        Names the place and the word that is wrong, or the first state of the markers to which
        no row, or more than one row, of the phenotype table applies.
    SpectralClashError
        Two dyes of one section that no filter separates.
    """
    where = f"{source}: " if source else f"panel '{panel.name}': "
    try:
        _check_channels(panel)
        _check_contexts(panel)
        _check_rows(panel)
        _check_table(panel)
        check_references(panel)
        check_fractions(panel)
    except PanelError as error:
        raise PanelError(where + error.message) from None
    clash = _first_clash(panel)
    if clash:
        raise SpectralClashError(where + clash)


def _check_channels(panel: Panel) -> None:
    for marker, n in Counter(c.marker.casefold() for c in panel.channels).items():
        if n > 1:
            raise PanelError(f"channels: the marker {marker} stands {plural(n, 'time')}")
    nuclei = [c.marker for c in panel.channels if c.role == "nuclei"]
    if len(nuclei) != 1:
        raise PanelError(
            "channels: exactly one channel has the role 'nuclei'; "
            f"found {len(nuclei)}{' (' + ', '.join(nuclei) + ')' if nuclei else ''}"
        )
    for a, b in combinations(panel.channels, 2):
        for name in sorted(own_names(a) & own_names(b)):
            raise PanelError(f"channels: the name {name!r} stands for {a.marker} and {b.marker}")
    for channel in panel.channels:
        if channel.measures and not channel.gated:
            raise PanelError(
                f"channels.{channel.marker}.measures: only channels with the role lineage or "
                f"state are gated; this one has the role {channel.role}"
            )
        if len(set(channel.measures)) < len(channel.measures):
            raise PanelError(f"channels.{channel.marker}.measures: a measure stands twice")
    indices = [c.index for c in panel.channels if c.index is not None]
    if len(set(indices)) < len(indices):
        raise PanelError("channels: two channels have the same index")
    for pair in panel.conflicts or ():
        for marker in pair:
            _known_marker(panel, marker, "conflicts")
            if panel.channel(marker).role != "lineage":
                raise PanelError(f"conflicts: {marker} has not the role lineage")
        if pair[0] == pair[1]:
            raise PanelError(f"conflicts: {pair[0]} is put beside itself")
    if panel.death_marker is not None:
        _known_marker(panel, panel.death_marker, "death_marker")
    if panel.region and not panel.region.positive:
        raise PanelError("region.positive: name at least one marker, or leave the region out")
    for marker in panel.region.positive if panel.region else ():
        _known_marker(panel, marker, "region.positive")


def _known_marker(panel: Panel, marker: str, place: str) -> None:
    known = [c.marker for c in panel.gated]
    if marker not in known:
        raise PanelError(
            f"{place}: {marker} is no marker that this panel calls positive or negative (it has "
            f"{', '.join(known) or 'none'}); what is not measured is never taken for negative"
        )


def _check_contexts(panel: Panel) -> None:
    clash = {c.marker for c in panel.channels} & set(panel.contexts)
    if clash:
        raise PanelError(f"contexts.{min(clash)}: a marker has this name")
    for name, context in panel.contexts.items():
        place = f"contexts.{name}"
        if context.kind in ("in_region", "lonely_granular") and panel.region is None:
            raise PanelError(
                f"{place}: a context of kind '{context.kind}' needs the panel's `region`; without "
                "one it would be unknown in every cell"
            )
        if context.kind == "shape":
            limits = (context.min_diameter_um, context.max_diameter_um, context.max_aspect)
            if all(limit is None for limit in limits):
                raise PanelError(f"{place}: a shape needs a diameter or an aspect")
        for marker in _own_markers(context):
            _known_marker(panel, marker, place)
        for key in ("shape", "neighbours"):  # of kinds that name one
            named = getattr(context, key, None)
            shape = panel.contexts.get(named) if named is not None else None
            if named is not None and (shape is None or shape.kind != "shape"):
                raise PanelError(f"{place}.{key}: {named} is no context of kind 'shape'")


def _check_rows(panel: Panel) -> None:
    meaning: dict[str, tuple[object, ...]] = {}
    for i, row in enumerate(panel.phenotypes):
        place = f"phenotypes[{i}] ({row.name})"
        if row.name == UNRESOLVED:
            raise PanelError(f"{place}: the name is kept for cells that no row can be given")
        for marker in row.when:
            _known_marker(panel, marker, f"{place}.when")
        for name in (*row.context, *row.unless):
            if name not in panel.contexts:
                known = ", ".join(panel.contexts) or "none"
                raise PanelError(f"{place}: unknown context {name}; the panel has {known}")
        same = (row.role, row.apoptotic, row.colour)
        if meaning.setdefault(row.name, same) != same:
            raise PanelError(
                f"{place}: rows of one class have one role, one colour and one `apoptotic`"
            )


def _check_table(panel: Panel) -> None:
    import numpy as np

    if not panel.phenotypes:
        return
    rows = panel.phenotypes
    used = {m for row in rows for m, call in row.when.items() if call != "any"}
    used |= {c for row in rows for c in (*row.context, *row.unless)}
    if len(used) > MAX_VARIABLES:
        raise PanelError(
            f"phenotypes: the table names {plural(len(used), 'marker')} and contexts; "
            f"at most {MAX_VARIABLES} can be checked and looked up"
        )
    table = rule_table(panel)
    n_rows = table.applies.sum(axis=-1)
    # What is covered twice goes first: a gap is often the other half of the same slip.
    for wrong in (n_rows > 1, n_rows == 0):
        if not wrong.any():
            continue
        state = tuple(int(i) for i in np.argwhere(wrong)[0])
        words = describe_state(table, state) or "every cell"
        hits = [f"{i} ({rows[i].name})" for i in np.flatnonzero(table.applies[state])]
        if hits:
            raise PanelError(f"phenotypes: rows {' and '.join(hits)} both apply to: {words}")
        raise PanelError(f"phenotypes: no row applies to: {words}")


def describe_state(table: RuleTable, state: tuple[int, ...]) -> str:
    """Put a state of the markers and contexts into words."""
    n = len(table.markers)
    calls = [
        f"{m} {('negative', 'positive')[s]}" for m, s in zip(table.markers, state[:n], strict=True)
    ]
    contexts = [f"{c} {('no', 'yes')[s]}" for c, s in zip(table.contexts, state[n:], strict=True)]
    return ", ".join([*calls, *contexts])


def markers_needed(panel: Panel, class_names: Iterable[str]) -> set[str]:
    """Find the markers that decide whether a cell is of one of some classes.

    Parameters
    ----------
    panel
        Its phenotype table and contexts.
    class_names
        Of classes; names that the panel does not have need nothing.

    Returns
    -------
    set of str
        Markers whose call a row of these classes asks for, or whose call or level one of the
        row's contexts rests on.
    """
    wanted = set(class_names)
    needed: set[str] = set()
    for row in panel.phenotypes:
        if row.name in wanted:
            needed |= {marker for marker, call in row.when.items() if call != "any"}
            for name in (*row.context, *row.unless):
                needed |= _context_markers(panel, panel.contexts[name])
    return needed


def _context_markers(panel: Panel, context: Context) -> set[str]:
    """Markers that a context rests on, those of the region too."""
    region = set(panel.region.positive) if panel.region else set()
    if context.kind == "in_region":
        return region
    if context.kind == "lonely_granular":
        return {*_own_markers(context)} | region
    return set(_own_markers(context))


def _own_markers(context: Context) -> tuple[str, ...]:
    """Markers that a context itself names."""
    if context.kind == "lymphoid":
        return (context.no_trace_of, *context.neighbours_negative)
    if context.kind == "sheet":
        return (context.positive, *context.negative)
    if context.kind == "lonely_granular":
        return (context.positive, *context.anywhere_without)
    return ()


def _peaks(channel: Channel, dyes: dict[str, tuple[float, float]]) -> tuple[float, float] | None:
    if channel.excitation_nm is not None and channel.emission_nm is not None:
        return (channel.excitation_nm, channel.emission_nm)
    return dyes.get(plain(channel.fluorophore))


def known_dyes() -> dict[str, tuple[float, float]]:
    """Excitation and emission peak in nm of each dye, by its name as `plain` gives it."""
    import csv
    from importlib.resources import files

    text = (files("imganalysis") / "panels" / "dyes.csv").read_text(encoding="utf-8")
    dyes = {}
    for row in csv.DictReader(text.splitlines()):
        peaks = (float(row["excitation_nm"]), float(row["emission_nm"]))
        for name in (row["dye"], *row["also"].split(";")):
            if name:
                dyes[plain(name)] = peaks
    return dyes


def _first_clash(panel: Panel) -> str:
    dyes = known_dyes()
    stained = [(c, _peaks(c, dyes)) for c in panel.channels]
    for (a, peaks_a), (b, peaks_b) in combinations(stained, 2):
        if peaks_a is None or peaks_b is None or a.cycle != b.cycle:
            continue
        apart = [abs(x - y) for x, y in zip(peaks_a, peaks_b, strict=True)]
        if max(apart) < CLASH_NM:
            return (
                f"{a.fluorophore or a.marker} ({a.marker}) and {b.fluorophore or b.marker} "
                f"({b.marker}) cannot be told apart: their excitation peaks lie {apart[0]:g} nm "
                f"and their emission peaks {apart[1]:g} nm from each other, less than "
                f"{CLASH_NM:g} nm; use another dye for one of them"
            )
    return ""


def panel_notes(panel: Panel) -> tuple[str, ...]:
    """Say what could not be checked, one sentence each: dyes whose peaks are not known."""
    dyes = known_dyes()
    return tuple(
        f"{c.marker}: the peaks of {c.fluorophore or 'its dye'} are not known, so clashes with "
        "other dyes cannot be checked; give `excitation_nm` and `emission_nm`"
        for c in panel.channels
        if _peaks(c, dyes) is None
    )

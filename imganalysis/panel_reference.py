"""Checks of references: cells that a panel calls negative for a marker must be so."""

from __future__ import annotations

import csv
from importlib.resources import files
from typing import TYPE_CHECKING

from imganalysis.errors import PanelError
from imganalysis.panel_match import own_names, plain

if TYPE_CHECKING:
    from imganalysis.panel import Channel, Panel


def check_references(panel: Panel) -> None:
    """Check that reference cells cannot be positive, as far as panel and field know.

    Raises
    ------
    PanelError
        A reference by an unknown marker, by the marker itself, or by one that the same cell may
        have: the two are no conflict of the panel, a class has both, or they are known to occur
        together; a reference of a state, which any cell may be in.
    """
    for channel in panel.gated:
        if channel.reference is None:
            continue
        place = f"channels.{channel.marker}.reference"
        if channel.role != "lineage":
            raise PanelError(
                f"{place}: only a lineage marker has cells that cannot be positive; "
                f"this one has the role {channel.role}"
            )
        for marker in channel.reference.positive_for:
            _check_exclusive(panel, channel, marker, f"{place}.positive_for")


def _check_exclusive(panel: Panel, channel: Channel, marker: str, place: str) -> None:
    known = {c.marker: c for c in panel.gated}
    if marker not in known:
        raise PanelError(
            f"{place}: {marker} is no marker that this panel calls positive or negative; it has "
            f"{', '.join(known)}"
        )
    if marker == channel.marker:
        raise PanelError(f"{place}: {marker} is put beside itself")
    why = known_together(channel, known[marker])
    if why:
        raise PanelError(
            f"{place}: cells positive for {marker} are no reference for {channel.marker}: {why}"
        )
    both = [
        row.name
        for row in panel.phenotypes
        if row.role != "conflict"
        and row.when.get(marker) == "pos"
        and row.when.get(channel.marker) == "pos"
    ]
    if both:
        raise PanelError(
            f"{place}: cells positive for {marker} are no reference for {channel.marker}: the "
            f"class {both[0]} is positive for both"
        )
    pairs = [set(pair) for pair in panel.conflict_pairs]
    if {marker, channel.marker} not in pairs:
        raise PanelError(
            f"{place}: the panel does not say that {marker} and {channel.marker} exclude each "
            "other; put them into `conflicts`, if no cell can have both"
        )


def known_together(one: Channel, other: Channel) -> str:
    """Why one cell may have both markers, by a list of such pairs; empty if they are not on it."""
    text = (files("imganalysis") / "panels" / "together.csv").read_text(encoding="utf-8")
    names = [own_names(one), own_names(other)]
    for row in csv.DictReader(text.splitlines()):
        a, b = ({plain(name) for name in row[key].split(";")} for key in ("one", "other"))
        if (a & names[0] and b & names[1]) or (b & names[0] and a & names[1]):
            return str(row["why"])
    return ""

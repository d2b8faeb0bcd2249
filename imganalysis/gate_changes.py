"""A gate set by hand in a gates file: appended to what it was, never written over."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from imganalysis import __version__
from imganalysis.classify.gates import Gate
from imganalysis.classify.gates_file import change_gate
from imganalysis.errors import GatesError
from imganalysis.results import now, user_name

if TYPE_CHECKING:
    from collections.abc import Sequence

PLACE = ("panel", "batch", "acquisition", "column")


def parse_change(text: str) -> tuple[str, float]:
    """Read MARKER=VALUE.

    Raises
    ------
    GatesError
        Not of that form, or the value is no number above 0.
    """
    marker, sign, number = text.rpartition("=")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not marker.strip() or not sign or not (value > 0 and math.isfinite(value)):
        raise GatesError(
            f"--set {text}: expected MARKER=VALUE, the value in grey levels and above 0, "
            "with a point for decimals"
        )
    return marker.strip(), value


def set_by_hand(
    gates: Sequence[Gate],
    marker: str,
    value: float,
    reason: str,
    *,
    user: str | None = None,
    **place: str | None,
) -> tuple[tuple[Gate, ...], tuple[Gate, ...]]:
    """Set gates of a marker, and keep what they were.

    Parameters
    ----------
    gates
        As they are: one per panel, batch, acquisition and column.
    marker
        Whose.
    value
        In the unit of the gates.
    reason
        Why, for the record.
    user
        Who sets them; the name of the login if not given.
    place
        ``panel``, ``batch``, ``acquisition``, ``column`` to which it is limited; all if not given.

    Returns
    -------
    all_gates, changed
        All of them, and those that were changed as they are now.

    Raises
    ------
    GatesError
        No reason, no such gate, or one marker's gates are on several columns and none is named.
    """
    if not reason.strip():
        raise GatesError("--set: say why with --reason; it stands beside the gate for good")
    unknown = set(place) - set(PLACE)
    if unknown:
        raise ValueError(f"no place: {', '.join(sorted(unknown))}")
    limits = {name: wanted for name, wanted in place.items() if wanted is not None}
    fitting = [
        gate
        for gate in gates
        if gate.marker == marker
        and all(getattr(gate, name) == wanted for name, wanted in limits.items())
    ]
    if not fitting:
        raise GatesError(_none_fits(gates, marker, limits))
    columns = dict.fromkeys(gate.column for gate in fitting)
    if len(columns) > 1:
        raise GatesError(
            f"{marker} is gated on {', '.join(columns)}; name one of them with --column"
        )
    stamp = {"user": (user or "").strip() or user_name(), "time": now(), "version": __version__}
    new = Gate(marker=marker, value=value, method="manual", note=reason.strip(), **stamp)
    changed = {id(gate): change_gate(gate, new) for gate in fitting}
    return tuple(changed.get(id(g), g) for g in gates), tuple(changed.values())


def _none_fits(gates: Sequence[Gate], marker: str, limits: dict[str, str]) -> str:
    mine = [gate for gate in gates if gate.marker == marker]
    if not mine:
        known = ", ".join(dict.fromkeys(gate.marker for gate in gates)) or "none"
        return f"no gate for the marker {marker}; there are gates for {known}"
    asked = ", ".join(f"{name} {wanted}" for name, wanted in limits.items())
    there = "; ".join(
        f"panel {g.panel}, batch {g.batch}, acquisition {g.acquisition}" for g in mine
    )
    return f"no gate for {marker} with {asked}; there are {there}"

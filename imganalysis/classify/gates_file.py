"""Gates files: JSON that people edit, and that keeps what the gates were before."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from imganalysis import tables as t
from imganalysis.classify.gate_parts import FormerGate
from imganalysis.classify.gates import ALL, COMPUTED, Gate, select_gate
from imganalysis.errors import GatesError
from imganalysis.settings import explain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from imganalysis.panel import Panel


def read_gates(path: Path, panels: Iterable[Panel] = ()) -> tuple[Gate, ...]:
    """Read a gates file.

    The least that an entry says is its marker and value, in grey levels after the panel's
    background is subtracted: ``{"gates": [{"marker": "CD3", "value": 12.5}]}``.

    Parameters
    ----------
    path
        JSON: a list of gates, or an object with the list under ``gates``.
    panels
        Panels of the study; where given, every marker and column must be in one of them.

    Raises
    ------
    GatesError
        No such file, not JSON, a key twice, an unknown key, a value that is not above 0, two
        gates for the same cells, or a marker, panel or column that no panel has.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_once)
    except GatesError as error:
        raise GatesError(f"{path}: {error.message}") from None
    except json.JSONDecodeError as error:
        raise GatesError(
            f"{path}: line {error.lineno}, column {error.colno}: not JSON ({error.msg})"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise GatesError(f"{path}: cannot be read ({error})") from None
    if isinstance(content, dict):
        unknown = sorted(set(content) - {"gates"})
        if unknown or "gates" not in content:
            raise GatesError(
                f"{path}: expected the one key 'gates'; found {', '.join(content) or 'none'}"
            )
        content = content["gates"]
    if not isinstance(content, list):
        raise GatesError(f"{path}: expected a list of gates under 'gates'")
    gates = tuple(_gate(entry, f"{path}: gates[{i}]") for i, entry in enumerate(content))
    _check_duplicates(gates, path)
    known = list(panels)
    if known:
        for i, gate in enumerate(gates):
            _check_known(gate, known, f"{path}: gates[{i}]")
    return gates


def write_gates(path: Path, gates: Sequence[Gate]) -> None:
    """Write a gates file, whole or not at all.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    entries = [g.model_dump(mode="json") for g in gates]
    text = json.dumps({"gates": entries}, indent=1, ensure_ascii=False) + "\n"
    t.write_atomic(path, lambda temporary: _write(temporary, text))


def adopt_gates(
    given: Sequence[Gate],
    computed: Sequence[Gate],
    places: Iterable[tuple[str, str, str]] = (),
) -> tuple[Gate, ...]:
    """Let gates that somebody set go before those that controls set.

    Parameters
    ----------
    given
        From a gates file, or set by hand.
    computed
        One per panel, batch, acquisition and column, from `set_gates`.
    places
        Further (panel, batch, acquisition) that the study has, for which no gate was computed:
        those of fields that failed.

    Returns
    -------
    tuple of Gate
        One for each of `computed`, as `change_gate` makes it of the given gate that fits best.
        A given gate without a value replaces none.

    Raises
    ------
    GatesError
        Two given gates fit equally well, or one fits nowhere in the study.
    """
    _check_places(given, computed, list(places))
    valued = [gate for gate in given if gate.value is not None]
    out = []
    for old in computed:
        place = {"panel": old.panel, "batch": old.batch, "acquisition": old.acquisition}
        new = select_gate(valued, old.marker, old.column, **place)
        out.append(old if new is None else change_gate(old, new))
    return tuple(out)


def change_gate(old: Gate, new: Gate) -> Gate:
    """Put a new gate in the place of an old one and append the old one to its history.

    Parameters
    ----------
    old
        As computed, or as it was so far; its place, column and unit stay.
    new
        With a value.

    Returns
    -------
    Gate
        Where the new gate says of a rung of the ladder what the old one says too, the old one
        with the new one's `band`. Else the new value, band, user, time, version and note, with
        the method ``file`` where the new gate has that, otherwise ``manual``. What speaks of a
        rung's gate (percentile, n, standard error, false positives, distributions, sources,
        flags) is then dropped; what every rung says stays in `alternatives`. User, time and
        version of a gate that only claims to be a rung's are not those of its value; it takes
        those of the old gate.
    """
    history = tuple(dict.fromkeys((*old.previous, *new.previous)))
    band = {"band": new.band}
    same = _same_value(old, new) and old.method == new.method
    if same and old.method in COMPUTED:
        return old.model_copy(update={**band, "previous": history})
    # What a run computes again is the same entry, though the time is another.
    known = any(f.method == old.method and _same_value(f, old) for f in history)
    if not same and not (known and old.method not in ("file", "manual")):
        former = FormerGate(
            value=old.value,
            method=old.method,
            user=old.user,
            time=old.time,
            version=old.version,
            note=old.note,
        )
        history = (*history, former)
    stamp = new if new.method in ("file", "manual") else old
    # Built anew and not copied, so that nothing is kept that is not named here.
    return Gate(
        marker=old.marker,
        panel=old.panel,
        batch=old.batch,
        acquisition=old.acquisition,
        column=old.column,
        value=new.value,
        unit=old.unit,
        method="file" if new.method == "file" else "manual",
        **band,
        note=stamp.note if new.method in ("file", "manual") else "",
        alternatives=old.alternatives,
        previous=history,
        user=stamp.user,
        time=stamp.time,
        version=stamp.version,
    )


def _same_value(a: Gate | FormerGate, b: Gate | FormerGate) -> bool:
    if a.value is None or b.value is None:
        return a.value is b.value
    # Room for another machine's last digit, which nobody edits.
    return math.isclose(a.value, b.value, rel_tol=1e-9)


def _check_places(
    given: Sequence[Gate], computed: Sequence[Gate], places: list[tuple[str, str, str]]
) -> None:
    """Refuse gates for cells that the study does not have."""
    nowhere = [
        gate
        for gate in given
        if not any(
            gate.marker == old.marker
            and gate.fits(old.panel, old.column, old.batch, old.acquisition)
            for old in computed
        )
        and not any(
            gate.fits(panel, gate.column, batch, acquisition)
            for panel, batch, acquisition in places
        )
    ]
    if not nowhere:
        return
    entries = "; ".join(
        f"{g.marker} (panel {g.panel}, batch {g.batch}, acquisition {g.acquisition}, "
        f"column {g.column})"
        for g in nowhere
    )
    known = sorted({(g.panel, g.batch, g.acquisition) for g in computed} | set(places))
    shown = "; ".join(f"panel {p}, batch {b}, acquisition {a}" for p, b, a in known) or "none"
    columns = ", ".join(dict.fromkeys(g.column for g in computed))
    gated = f"; it gates {columns}" if columns else ""  # before a run nothing is gated
    raise GatesError(
        f"gates that fit no sample of the study: {entries}. The study has {shown}{gated}. "
        "Correct these gates, or take them out"
    )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [k for k, _ in pairs]
    twice = sorted({k for k in keys if keys.count(k) > 1})
    if twice:
        raise GatesError(f"the key '{twice[0]}' stands twice")
    return dict(pairs)


def _gate(entry: Any, place: str) -> Gate:
    if not isinstance(entry, dict):
        raise GatesError(f"{place}: expected an object with marker and value; found {entry!r}")
    try:
        return Gate.model_validate(entry)
    except ValidationError as error:
        raise GatesError(f"{place}: {explain(error)}") from None


def _check_duplicates(gates: Sequence[Gate], path: Path) -> None:
    seen: dict[tuple[str, ...], int] = {}
    for i, gate in enumerate(gates):
        key = (gate.marker, gate.panel, gate.batch, gate.acquisition, gate.column)
        if key in seen:
            raise GatesError(
                f"{path}: gates[{seen[key]}] and gates[{i}] are for the same cells "
                f"({gate.marker}, panel {gate.panel}, batch {gate.batch}, "
                f"acquisition {gate.acquisition}, column {gate.column}); keep one"
            )
        seen[key] = i


def _check_known(gate: Gate, panels: Sequence[Panel], place: str) -> None:
    named = [p for p in panels if gate.panel in (ALL, p.name)]
    if not named:
        names = ", ".join(p.name for p in panels)
        raise GatesError(f"{place}: unknown panel {gate.panel}; the study has {names}")
    channels = [c for p in named for c in p.gated]
    mine = [c for c in channels if c.marker == gate.marker]
    if not mine:
        markers = ", ".join(dict.fromkeys(c.marker for c in channels)) or "none"
        raise GatesError(f"{place}: unknown marker {gate.marker}; gated markers are {markers}")
    columns = dict.fromkeys(column for channel in mine for column in channel.columns)
    if gate.column != ALL and gate.column not in columns:
        raise GatesError(
            f"{place}: no gate is set on {gate.column}; the panel gates {', '.join(columns)}"
        )
    if gate.column == ALL and any(len(c.measures) > 1 for c in mine):
        raise GatesError(
            f"{place}: {gate.marker} is gated on several columns; give `column` as one of "
            f"{', '.join(columns)}"
        )


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")

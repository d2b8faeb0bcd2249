"""Gates as scimap keeps them: a CSV of markers by images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd

from imganalysis import tables as t
from imganalysis.classify.gates import Gate, select_gate
from imganalysis.errors import GatesError, TableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from imganalysis.panel import Panel

    Place = tuple[str, str, str, str]

MARKERS = "markers"
"""First column of the file."""

SAME = 1e-6
"""Relative difference up to which gates of two images count as one: digits lost in a CSV."""


def write_scimap_gates(
    path: Path,
    gates: Sequence[Gate],
    panels: Iterable[Panel],
    fields: Sequence[Place],
    *,
    log: bool = True,
) -> None:
    """Write gates as scimap reads them.

    One row per marker (per measure, where a marker has several) and one column per field; empty
    where the field's panel does not show the marker, or no gate is set.

    Parameters
    ----------
    path
        CSV file.
    gates
        Those of the study.
    panels
        Of the fields.
    fields
        (field, panel, batch, acquisition) of each sample field.
    log
        Write log1p of the value, as `scimap.pp.rescale` wants by its default ``log=True``.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    rows: dict[str, dict[str, float]] = {}
    by_name = {panel.name: panel for panel in panels}
    for panel in by_name.values():
        for channel in panel.gated:
            for column in channel.columns:
                name = channel.marker if len(channel.columns) == 1 else column
                row = rows.setdefault(name, {})
                for field, own, batch, acquisition in fields:
                    if own != panel.name:
                        continue
                    gate = select_gate(
                        gates, channel.marker, column,
                        panel=own, batch=batch, acquisition=acquisition,
                    )  # fmt: skip
                    if gate is not None and gate.value is not None:
                        row[field] = math.log1p(gate.value) if log else gate.value
    columns = [MARKERS, *(field for field, *_ in fields)]
    t.write_csv(
        path, pd.DataFrame([{MARKERS: n, **row} for n, row in rows.items()], columns=columns)
    )


def read_scimap_gates(
    path: Path, panels: Iterable[Panel], fields: Sequence[Place], *, log: bool = True
) -> tuple[Gate, ...]:
    """Read gates as scimap writes and reads them.

    Parameters
    ----------
    path
        CSV: markers in the first column, one column per image; or, as in scimap, one column of
        another name, which holds for all images.
    panels
        Of the fields.
    fields
        (field, panel, batch, acquisition) of each sample field; images are fields.
    log
        Values are log1p of grey levels, as for `scimap.pp.rescale` by its default ``log=True``.

    Returns
    -------
    tuple of Gate
        With the method ``file``; one per marker, panel, batch and acquisition. An empty cell is
        no gate. Markers of channels that are not gated, e.g. of nuclei, are passed over.

    Raises
    ------
    GatesError
        Not such a table, an unknown image or marker, a value that is no number above 0, or images
        of one panel, batch and acquisition with different gates.
    """
    try:
        table = t.read_csv(path, dtype=str, keep_default_na=False)
    except TableError as error:
        raise GatesError(error.message) from None
    if table.shape[1] < 2:
        raise GatesError(
            f"{path}: expected markers in the first column and one column per image; found "
            f"{', '.join(map(str, table.columns)) or 'none'}"
        )
    images = _images(table, fields, path)
    own = list(panels)
    found: dict[tuple[str, str, str, str, str], tuple[float, str]] = {}
    seen: set[str] = set()
    for name, *texts in table.itertuples(index=False, name=None):
        if name in seen:
            raise GatesError(f"{path}: the marker {name} stands twice")
        seen.add(name)
        columns = _columns(str(name), own, path)
        for image, text in zip(images, texts, strict=True):
            if not str(text).strip():
                continue
            value = _value(str(text), log, f"{path}: {name}, {image or 'all images'}")
            for field, panel, batch, acquisition in fields:
                if image not in ("", field) or panel not in columns:
                    continue
                marker, column = columns[panel]
                key = (marker, column, panel, batch, acquisition)
                before, other = found.setdefault(key, (value, field))
                if not math.isclose(before, value, rel_tol=SAME):
                    raise GatesError(
                        f"{path}: {name}: {other} and {field} have different gates "
                        f"({before:.6g} and {value:.6g} grey levels), but are of one panel, batch "
                        f"and acquisition ({panel}, {batch or '-'}, {acquisition or '-'}); gates "
                        "are never set per image: give all images of the batch the same"
                    )
    return tuple(
        Gate(marker=m, column=c, panel=p, batch=b, acquisition=a, value=value, method="file")
        for (m, c, p, b, a), (value, _) in sorted(found.items())
    )


def _images(table: pd.DataFrame, fields: Sequence[Place], path: Path) -> list[str]:
    """Field of each column of values; empty where it holds for all."""
    names = {field for field, *_ in fields}
    columns = [str(c) for c in table.columns[1:]]
    # A name that a spreadsheet would take for a formula was written with a mark before it.
    images = [c[1:] if c[:1] == "'" and c[1:] in names else c for c in columns]
    strange = [c for c in images if c not in names]
    if len(images) == 1 and strange:
        return [""]
    if strange:
        shown = ", ".join(sorted(names)[:5]) + (", ..." if len(names) > 5 else "")
        raise GatesError(
            f"{path}: no field of the study is called {', '.join(strange[:5])}; columns after the "
            f"first are fields ({shown}), or one for all. Take the columns of other studies out, "
            "or give gates.json, which goes by batch and acquisition"
        )
    return images


def _columns(name: str, panels: Sequence[Panel], path: Path) -> dict[str, tuple[str, str]]:
    """Panel -> (marker, column) that a row's name stands for."""
    found, known, silent = {}, [], False
    for panel in panels:
        for channel in panel.channels:
            known.append(channel.marker)
            if not channel.gated:
                silent |= channel.marker == name
            elif channel.marker == name and len(channel.columns) > 1:
                raise GatesError(
                    f"{path}: {name} is gated on several columns; name the row as one of "
                    f"{', '.join(channel.columns)}"
                )
            elif channel.marker == name:
                found[panel.name] = (name, channel.columns[0])
            elif name in channel.columns:
                found[panel.name] = (channel.marker, name)
    if not found and not silent:
        raise GatesError(
            f"{path}: unknown marker {name}; the panels have {', '.join(dict.fromkeys(known))}"
        )
    return found


def _value(text: str, log: bool, place: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (value > 0 and math.isfinite(value)) or (log and value > 700):
        raise GatesError(
            f"{place}: expected a number above 0{', log1p of grey levels' if log else ''}; "
            f"found {text!r}"
        )
    return math.expm1(value) if log else value

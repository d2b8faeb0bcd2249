"""Calibration files: JSON that people read, and may give to another run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from imganalysis.errors import CalibrationError
from imganalysis.prepare.calibration import ALL, Calibration
from imganalysis.results import write_json
from imganalysis.settings import explain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from imganalysis.panel import Panel


def write_calibrations(path: Path, calibrations: Sequence[Calibration]) -> None:
    """Write a calibration file; the same calibrations give the same bytes.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    entries = [
        {**c.model_dump(mode="json", exclude_none=True), "hash": c.fingerprint}
        for c in calibrations
    ]
    write_json(path, {"calibrations": entries})


def read_calibrations(path: Path | None, panels: Mapping[str, Panel]) -> tuple[Calibration, ...]:
    """Read a calibration file.

    The least that an entry says is what is to be done, for example
    ``{"shares": [{"detector": "CD56", "dye": "CD3", "share": 0.02}]}``; without ``panel``,
    ``batch`` and ``acquisition`` it holds for all.

    Parameters
    ----------
    path
        JSON: an object with the list under ``calibrations``; None for no calibration.
    panels
        Panels of the study by name, among which every panel and marker must be.

    Raises
    ------
    CalibrationError
        No such file, not JSON, an unknown key, a value out of range, two entries for the same
        fields, or a panel or marker that the study does not have.
    """
    if path is None:
        return ()
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        raise CalibrationError(
            f"{path}: line {error.lineno}, column {error.colno}: not JSON ({error.msg})"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise CalibrationError(f"{path}: cannot be read ({error})") from None
    entries = content.get("calibrations") if isinstance(content, dict) else None
    if not isinstance(entries, list) or set(content) != {"calibrations"}:
        raise CalibrationError(f"{path}: expected the one key 'calibrations' with a list")
    found: dict[tuple[str, str, str], int] = {}
    known = {panel.name: {c.marker for c in panel.channels} for panel in panels.values()}
    out = []
    for i, entry in enumerate(entries):
        place = f"{path}: calibrations[{i}]"
        calibration = _calibration(entry, place)
        first = found.setdefault(calibration.scope, i)
        if first != i:
            raise CalibrationError(f"{place}: for the same fields as calibrations[{first}]")
        _check_names(calibration, known, place)
        out.append(calibration)
    return tuple(out)


def _calibration(entry: Any, place: str) -> Calibration:
    if not isinstance(entry, dict):
        raise CalibrationError(f"{place}: expected names and values; found {entry!r}")
    # The hash is of what stands beside it; who changes that need not change it too.
    values = {name: value for name, value in entry.items() if name != "hash"}
    try:
        return Calibration.model_validate(values)
    except ValidationError as error:
        raise CalibrationError(f"{place}: {explain(error)}") from None


def _check_names(calibration: Calibration, known: dict[str, set[str]], place: str) -> None:
    if calibration.panel not in (ALL, *known):
        raise CalibrationError(
            f"{place}: unknown panel {calibration.panel}; the study has {', '.join(known)}"
        )
    mine = known.values() if calibration.panel == ALL else [known[calibration.panel]]
    markers = {marker for names in mine for marker in names}
    named = [*calibration.offsets]
    named += [name for s in calibration.shares for name in (s.detector, s.dye)]
    named += [surface.marker for surface in calibration.surfaces]
    named += [shift.marker for shift in calibration.shifts]
    if strange := sorted(set(named) - markers):
        raise CalibrationError(
            f"{place}: unknown marker {', '.join(strange)}; expected {', '.join(sorted(markers))}"
        )

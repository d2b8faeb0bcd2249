"""Outlines added to a field's file, or taken from it; all else that stands there stays."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import imganalysis.annotations as a
from imganalysis.corrections import OUTLINE, REGIONAL, UNDO
from imganalysis.errors import AnnotationsError, CorrectionsError
from imganalysis.tables import write_atomic

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from imganalysis.corrections import Edit
    from imganalysis.study import Field, Study

TOUCH = 0.001
"""um by which two outlines may differ and be the same: numbers are rounded when written."""


def file_mark(path: Path) -> str:
    """SHA-256 of a file of outlines; empty where there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise AnnotationsError(f"{path}: cannot be read ({error.strerror or error})") from None


def text_mark(text: str) -> str:
    """SHA-256 that a file of outlines will have."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def with_outline(
    path: Path,
    region: str,
    polygon: Sequence[Sequence[float]],
    spacing_um: tuple[float, float],
    unit: str | None = None,
) -> str:
    """Text of a file of outlines with one more.

    Parameters
    ----------
    path
        The file; begun in um where it is not there.
    region
        One of `imganalysis.annotations.KINDS`.
    polygon
        [x, y] in um from the upper left corner of the image.
    spacing_um
        (Y, X) size of a pixel, um, for files in pixels.
    unit
        As in `imganalysis.annotations.read_annotations`.

    Raises
    ------
    AnnotationsError
        The file that is there is none of outlines.
    """
    content, features, step = _read(path, spacing_um, unit)
    ring = [[round(x / step[1], 4), round(y / step[0], 4)] for x, y in polygon]
    features.append(
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
            "properties": {
                "objectType": "annotation",
                "classification": {"name": a.WRITTEN[region]},
            },
        }
    )
    return _text(content)


def without_outline(
    path: Path,
    region: str,
    polygon: Sequence[Sequence[float]],
    spacing_um: tuple[float, float],
    unit: str | None = None,
) -> str:
    """Text of a file of outlines without one of them, the last of those that are equal.

    Parameters are those of `with_outline`; `polygon` is the outline's outer ring.

    Raises
    ------
    CorrectionsError
        It is not there.
    AnnotationsError
        The file is none of outlines.
    """
    content, features, step = _read(path, spacing_um, unit)
    wanted = sorted((round(x, 4), round(y, 4)) for x, y in polygon)
    for number in reversed(range(len(features))):
        rings = _outer_rings(features[number], region)
        if len(rings) != 1:
            continue
        own = sorted({(x * step[1], y * step[0]) for x, y in rings[0]})
        if len(own) == len(set(wanted)) and all(
            abs(p - q) <= TOUCH for one, two in zip(own, sorted(set(wanted)), strict=True)
            for p, q in zip(one, two, strict=True)
        ):  # fmt: skip
            del features[number]
            return _text(content)
    raise CorrectionsError(
        f"{path}: holds no such outline of {region}; was it changed in another program?"
    )


def outlines_of(
    path: Path, spacing_um: tuple[float, float], unit: str | None = None
) -> list[tuple[str, list[list[float]]]]:
    """Regions of a file with their outer rings, [x, y] in um; those of one polygon only."""
    _, features, step = _read(path, spacing_um, unit)
    found = []
    for feature in features:
        for region in a.KINDS:
            rings = _outer_rings(feature, region)
            if len(rings) == 1:
                found.append((region, [[x * step[1], y * step[0]] for x, y in rings[0]]))
    return found


def outline_path(study: Study, field: Field) -> Path:
    """File of a field's outlines, there or to be."""
    if field.annotations is not None:
        return field.annotations
    root = study.root if study.root.is_dir() else study.root.parent
    return root / a.FOLDER / f"{field.name}{a.SUFFIX}"


def changed_outlines(path: Path, edit: Edit, *, turned: bool, unit: str | None = None) -> str:
    """Text of a file of outlines after an edit, or after it was taken back (`turned`)."""
    what = edit.what
    dy, dx = what["pixel_um"]
    change = with_outline if (edit.kind == OUTLINE) != turned else without_outline
    return change(path, what["region"], what["polygon"], (dy, dx), unit)


def check_inside(
    polygon: Sequence[Sequence[float]], size_um: tuple[float, float], field: str
) -> None:
    """Check that an outline lies in its field, a little beyond its border at most.

    Raises
    ------
    CorrectionsError
        It does not.
    """
    for axis, side in zip((1, 0), size_um, strict=True):
        values = [point[axis] for point in polygon]
        if min(values) < -a.BEYOND * side or max(values) > (1 + a.BEYOND) * side:
            raise CorrectionsError(
                f"{field}: the outline's {'xy'[axis]} reaches from {min(values):g} to "
                f"{max(values):g} um, and the field from 0 to {side:g} um",
                reason="outside",
            )


def finish_outlines(edits: Sequence[Edit], study: Study, unit: str | None = None) -> list[str]:
    """Write the outlines that a crash kept from their file after the log had them.

    Only the last edit of a field's outlines can be in that state, and only while the file is
    just as it was before. Gives what was done, for people.
    """
    by_id = {edit.id: edit for edit in edits}
    last: dict[str, tuple[Edit, Edit, bool]] = {}
    for edit in edits:
        target = by_id.get(str(edit.what.get("edit")), edit)
        if target.kind in REGIONAL:
            last[edit.field] = (edit, target, edit.kind == UNDO)
    fields = {field.name: field for field in study.fields}
    notes = []
    for name, (edit, target, turned) in last.items():
        if name not in fields:
            continue
        path = outline_path(study, fields[name])
        if file_mark(path) != edit.before.get("annotations"):
            continue
        text = changed_outlines(path, target, turned=turned, unit=unit)
        if text_mark(text) == edit.after.get("annotations"):
            write_outlines(path, text)
            notes.append(f"{path}: the last outline of {name} was in the log only; written now")
    return notes


def write_outlines(path: Path, text: str) -> None:
    """Write a file of outlines, whole or not at all."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(text.encode("utf-8"))

    write_atomic(path, write)


def _read(
    path: Path, spacing_um: tuple[float, float], unit: str | None
) -> tuple[Any, list[Any], tuple[float, float]]:
    """Content of a file, its features, and the um of a step in its coordinates (Y, X)."""
    if not path.exists():
        empty: dict[str, Any] = {"type": "FeatureCollection", "unit": "um", "features": []}
        return empty, empty["features"], (1.0, 1.0)
    content = a.load(path)
    features, said = a.features_of(content, path)
    step = a.step_of(path, said, unit, spacing_um)
    if isinstance(content, dict) and content.get("type") == "Feature":
        content = {"type": "FeatureCollection", "features": [content]}
        if said is not None:
            content["unit"] = said
        features = content["features"]
    return content, features, step


def _outer_rings(feature: Any, region: str) -> list[list[list[float]]]:
    """Outer rings of a feature, if it is an area of that region."""
    if a.region_of(feature) != region:
        return []
    geometry = feature.get("geometry") or {}
    parts = geometry.get("coordinates") or []
    parts = [parts] if geometry.get("type") == "Polygon" else parts
    return [[[float(v) for v in point[:2]] for point in part[0]] for part in parts if part]


def _text(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

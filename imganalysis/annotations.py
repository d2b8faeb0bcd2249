"""Outlines of tumour, vessels and what to leave out, drawn by a person: GeoJSON, as of QuPath.

Coordinates are x, y from the upper left corner of the image, so the middle of its first pixel
lies half a pixel from it. A file says its unit at its top level, ``"unit": "um"`` or
``"unit": "pixel"``; where it does not, the caller must.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from imganalysis.errors import AnnotationsError
from imganalysis.quantify.polygons import polygon_mask
from imganalysis.tables import write_atomic

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from imganalysis.stack import Stack

FOLDER, SUFFIX = "annotations", ".geojson"
TUMOUR, VESSEL, PIGMENT, EXCLUDE = "tumour", "vessel", "pigment", "exclude"
KINDS = (TUMOUR, VESSEL, PIGMENT, EXCLUDE)
MAX_BYTES = 64 * 2**20
BEYOND = 0.05
"""Share of the field by which an outline may reach beyond it; it is cut off there."""

_NAMES = {
    "tumor": TUMOUR, "tumour": TUMOUR,
    "vessel": VESSEL, "vessels": VESSEL, "blood vessel": VESSEL, "blood vessels": VESSEL,
    "pigment": PIGMENT, "melanin": PIGMENT,
    "exclude": EXCLUDE, "excluded": EXCLUDE, "ignore": EXCLUDE, "ignored": EXCLUDE,
}  # fmt: skip
WRITTEN = {TUMOUR: "Tumor", VESSEL: "Vessel", PIGMENT: "Pigment", EXCLUDE: "Ignore*"}
_UNITS = {
    "um": "um", "µm": "um", "μm": "um", "micron": "um", "microns": "um", "micrometer": "um",
    "micrometre": "um", "pixel": "pixel", "pixels": "pixel", "px": "pixel",
}  # fmt: skip


@dataclass(frozen=True)
class Outline:
    """One feature of a file.

    Parameters
    ----------
    kind
        One of `KINDS`.
    polygons
        Each its rings, the outer one first, then the holes: (N, 2) y and x in um from the upper
        left corner of the image.
    """

    kind: str
    polygons: tuple[tuple[NDArray[np.float64], ...], ...]


def drawn_masks(
    path: Path | None, stack: Stack, unit: str | None = None
) -> dict[str, NDArray[np.bool_]]:
    """Masks of a field's outlines; none where there is no file, or the pixel size is unknown.

    Parameters
    ----------
    path
        The file of outlines.
    stack
        The field.
    unit
        As in `read_annotations`.

    Returns
    -------
    masks
        Kind -> (Y, X) bool, of those kinds that are outlined.

    Raises
    ------
    AnnotationsError
        As `read_annotations` does.
    """
    size = stack.pixel_size
    if path is None or size.y is None or size.x is None:
        return {}
    shape, spacing = (stack.shape[-2], stack.shape[-1]), (size.y, size.x)
    outlines = read_annotations(path, shape, spacing, unit)
    return {
        kind: polygon_mask([p for o in outlines if o.kind == kind for p in o.polygons], shape,
                           spacing)
        for kind in KINDS
        if any(o.kind == kind for o in outlines)
    }  # fmt: skip


def read_annotations(
    path: Path, shape: tuple[int, int], spacing_um: tuple[float, float], unit: str | None = None
) -> tuple[Outline, ...]:
    """Read the outlines of one field.

    Parameters
    ----------
    path
        GeoJSON: a FeatureCollection, a list of features, or one feature. Classes are
        ``properties.classification.name``; those of other names are left out.
    shape
        (Y, X) of the field, pixels.
    spacing_um
        (Y, X) size of a pixel, um.
    unit
        ``um`` or ``pixel``, for files that do not say it.

    Raises
    ------
    AnnotationsError
        Not there, too large, not JSON, no unit, nothing that can be used, or an outline that is
        no area or lies outside the field.
    """
    content = load(path)
    features, said = features_of(content, path)
    step = step_of(path, said, unit, spacing_um)
    extent = (shape[0] * spacing_um[0], shape[1] * spacing_um[1])
    outlines: list[Outline] = []
    others: list[str] = []
    for number, feature in enumerate(features, start=1):
        where = f"{path}: feature {number}"
        name = class_of(feature, where)
        kind = _kind(name)
        if kind is None:
            others.append(name or "none")
            continue
        polygons = tuple(_polygons(feature, f"{where} ({name})", step))
        _check_place(polygons, extent, f"{where} ({name})", pixels=step != (1.0, 1.0))
        outlines.append(Outline(kind, polygons))
    if features and not outlines:
        found = ", ".join(dict.fromkeys(others))
        raise AnnotationsError(
            f"{path}: expected outlines of the classes {', '.join(WRITTEN.values())}, found {found}"
        )
    return tuple(outlines)


def write_annotations(
    path: Path, outlines: Sequence[Outline], pixel_um: tuple[float, float] | None = None
) -> None:
    """Write outlines as GeoJSON, which says its unit.

    Parameters
    ----------
    path
        Where it shall stand.
    outlines
        In um.
    pixel_um
        (Y, X) size of a pixel: writes pixels, as QuPath understands them; um without it.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    step = (1.0, 1.0) if pixel_um is None else pixel_um
    features = [
        {
            "type": "Feature",
            "geometry": {
                "type": "MultiPolygon",
                "coordinates": [
                    [_closed(ring / step) for ring in rings] for rings in outline.polygons
                ],
            },
            "properties": {
                "objectType": "annotation",
                "classification": {"name": WRITTEN[outline.kind]},
            },
        }
        for outline in outlines
    ]
    unit = "um" if pixel_um is None else "pixel"
    content = {"type": "FeatureCollection", "unit": unit, "features": features}
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    write_atomic(path, lambda temporary: _write(temporary, text))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _closed(ring: NDArray[np.float64]) -> list[list[float]]:
    points = [[round(float(x), 4), round(float(y), 4)] for y, x in ring]
    return points if points[0] == points[-1] else [*points, points[0]]


def load(path: Path) -> Any:
    """Read a file of outlines as JSON."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise AnnotationsError(
                f"{path}: {size / 2**20:.0f} MB; outlines of one field take under "
                f"{MAX_BYTES // 2**20} MB. Export the annotations alone, without cells"
            )
        text = path.read_text(encoding="utf-8-sig")
        return json.loads(text, parse_constant=_no_constant)
    except OSError as error:
        raise AnnotationsError(f"{path}: cannot be read ({error.strerror or error})") from None
    except RecursionError:
        raise AnnotationsError(f"{path}: not GeoJSON (nested too deeply)") from None
    except AnnotationsError:
        raise
    except ValueError as error:  # not JSON, not UTF-8, or a number too long
        raise AnnotationsError(f"{path}: not GeoJSON ({error})") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def features_of(content: Any, path: Path) -> tuple[list[Any], Any]:
    """Find the features of a file, and the unit that it says, if it does."""
    if isinstance(content, list):
        return content, None
    if isinstance(content, dict) and content.get("type") == "FeatureCollection":
        features = content.get("features")
        if isinstance(features, list):
            return features, content.get("unit")
    if isinstance(content, dict) and content.get("type") == "Feature":
        return [content], content.get("unit")
    raise AnnotationsError(
        f"{path}: expected GeoJSON, a FeatureCollection with a list of features, as QuPath's "
        "File > Export objects as GeoJSON writes it"
    )


def step_of(
    path: Path, said: Any, given: str | None, spacing_um: tuple[float, float]
) -> tuple[float, float]:
    """Find what coordinates are multiplied with, for y and x."""
    if said is None and given is None:
        raise AnnotationsError(
            f"{path}: does not say the unit of its coordinates; QuPath writes pixels. Add "
            '"unit": "pixel" (or "um") beside "type": "FeatureCollection", or put '
            "space: {annotation_unit: pixel} into the settings"
        )
    unit = _UNITS.get(str(said if said is not None else given).strip().casefold())
    if unit is None:
        raise AnnotationsError(f'{path}: the unit is "um" or "pixel", found {said!r}')
    return (1.0, 1.0) if unit == "um" else spacing_um


def class_of(feature: Any, where: str) -> str:
    """Name of the class that a feature has; empty where it has none.

    Raises
    ------
    AnnotationsError
        It is no feature.
    """
    if not isinstance(feature, dict) or feature.get("type") != "Feature":
        raise AnnotationsError(f"{where}: expected an object of the type Feature")
    properties = feature.get("properties")
    given = properties.get("classification") if isinstance(properties, dict) else None
    name = given.get("name") if isinstance(given, dict) else given
    return name.strip() if isinstance(name, str) else ""


def region_of(feature: Any) -> str | None:
    """Region that a feature outlines, one of `KINDS`; None for others."""
    try:
        return _kind(class_of(feature, ""))
    except AnnotationsError:
        return None


def _kind(name: str) -> str | None:
    # QuPath marks classes to leave out with an asterisk, and derived ones with a colon.
    base = name.partition(":")[0].strip().rstrip("*").strip()
    return _NAMES.get(" ".join(base.replace("_", " ").split()).casefold())


def _polygons(
    feature: dict[str, Any], where: str, step: tuple[float, float]
) -> list[tuple[NDArray[np.float64], ...]]:
    geometry = feature.get("geometry")
    form = geometry.get("type") if isinstance(geometry, dict) else None
    if not isinstance(geometry, dict) or form not in ("Polygon", "MultiPolygon"):
        raise AnnotationsError(
            f"{where}: expected an area (Polygon or MultiPolygon), found {form}; outline it "
            "with a polygon, brush, rectangle or ellipse"
        )
    coordinates = geometry.get("coordinates")
    if not isinstance(coordinates, list) or not coordinates:
        raise AnnotationsError(f"{where}: a {form} without coordinates")
    parts = [coordinates] if form == "Polygon" else coordinates
    polygons = []
    for part in parts:
        if not isinstance(part, list) or not part:
            raise AnnotationsError(f"{where}: expected a list of rings, found {_short(part)}")
        polygons.append(tuple(_ring(ring, where) * step for ring in part))
    return polygons


def _ring(ring: Any, where: str) -> NDArray[np.float64]:
    """(N, 2) y and x."""
    if not isinstance(ring, list):
        raise AnnotationsError(f"{where}: expected a ring of points, found {_short(ring)}")
    points = []
    for point in ring:
        if not isinstance(point, list) or len(point) < 2 or not all(map(_number, point[:2])):
            raise AnnotationsError(f"{where}: expected a point [x, y], found {_short(point)}")
        points.append((float(point[1]), float(point[0])))
    if len(set(points)) < 3:
        raise AnnotationsError(
            f"{where}: an area has at least 3 different corners, found {len(set(points))}"
        )
    return np.array(points, dtype=np.float64)


def _number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:  # a whole number of hundreds of digits
        return False


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _check_place(
    polygons: Sequence[Sequence[NDArray[np.float64]]],
    extent: tuple[float, float],
    where: str,
    *,
    pixels: bool,
) -> None:
    points = np.concatenate([rings[0] for rings in polygons])
    for axis, side in enumerate(extent):
        low, high = float(points[:, axis].min()), float(points[:, axis].max())
        if low < -BEYOND * side or high > (1 + BEYOND) * side:
            taken = "taken for pixels" if pixels else "taken for um"
            raise AnnotationsError(
                f"{where}: {'yx'[axis]} reaches from {low:.4g} to {high:.4g} um, and the field "
                f"from 0 to {side:.4g} um; the coordinates were {taken}. Is the file of this "
                "field, and its unit right?"
            )

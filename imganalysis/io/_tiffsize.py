"""Pixel size from the tags of a TIFF that is not OME: only with evidence of a calibration."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from imganalysis.io._pixelsize import believe, shown, um_per

if TYPE_CHECKING:
    from imganalysis.stack import PixelSize

_NO_UNIT, _INCH, _CM = 1, 2, 3
_UM_PER_TAG = {_INCH: 25400.0, _CM: 10000.0}
# Resolutions of printers and screens are whole dots per inch, up to this.
_MAX_PRINT_DPI = 9600


def tag_pixel_size(tif: Any, series: Any, planes: int) -> tuple[PixelSize, tuple[str, ...]]:
    """Pixel size of a series from ImageJ's description or the resolution tags.

    Parameters
    ----------
    tif, series
        Of tifffile.
    planes
        Number of planes along Z.

    Returns
    -------
    pixel_size, flags
        As in `imganalysis.io._pixelsize.believe`; the note says what was found without a
        length unit and therefore not believed.
    """
    page = series.keyframe
    y, x = _per_unit(page, "YResolution"), _per_unit(page, "XResolution")
    described: dict[str, Any] = {}
    if tif.is_imagej:
        described = dict(tif.imagej_metadata or {})
    elif tif.is_shaped:
        described = dict((tif.shaped_metadata or ({},))[0])
    unit = described.get("unit")
    spacing = _number(described.get("spacing"))
    if unit is not None:
        return _described(str(unit), described, spacing, y, x, planes)
    tag = page.tags.get("ResolutionUnit")
    code = int(tag.value) if tag is not None else _INCH  # TIFF 6.0: inch is the default
    if y is None or x is None:
        return believe(None, None, None, planes=planes)
    if code not in _UM_PER_TAG:
        return _unknown(f"pixel size {shown(y, x)} found without a unit, not believed", planes)
    dpi = [1 / v for v in (y, x)]
    if code == _INCH and all(d <= _MAX_PRINT_DPI and abs(d - round(d)) < 1e-6 for d in dpi):
        return _unknown(
            f"{round(dpi[1])} dots per inch found, a printer's resolution, not believed", planes
        )
    um = _UM_PER_TAG[code]
    return believe(None, y * um, x * um, planes=planes)


def _described(
    unit: str,
    described: dict[str, Any],
    spacing: float | None,
    y: float | None,
    x: float | None,
    planes: int,
) -> tuple[PixelSize, tuple[str, ...]]:
    """From a description that names its unit, as ImageJ writes; zunit and yunit if they differ."""
    um = um_per(unit)
    um_y = um_per(str(described.get("yunit", unit)))
    um_z = um_per(str(described.get("zunit", unit)))
    if um is None or um_y is None:
        if y is None and x is None:
            return believe(None, None, None, planes=planes)
        return _unknown(
            f"pixel size {shown(y, x)} found in {unit!r}, which is no length, not believed", planes
        )
    # ImageJ leaves the step out if it is 1, which is also what it has when nobody set it.
    z = spacing * um_z if spacing is not None and um_z is not None else None
    return believe(z, y and y * um_y, x and x * um, planes=planes)


def _unknown(note: str, planes: int) -> tuple[PixelSize, tuple[str, ...]]:
    return believe(None, None, None, planes=planes, note=note)


def _per_unit(page: Any, name: str) -> float | None:
    """Units per pixel: the inverse of a resolution tag; None for a missing or zero tag."""
    tag = page.tags.get(name)
    if tag is None:
        return None
    top, bottom = tag.value
    return bottom / top if top and bottom else None


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None

"""What is believed of the pixel sizes in a file."""

from __future__ import annotations

import math
import re

from imganalysis.stack import PLAUSIBLE_UM, PixelSize

_UM = {
    "um": 1.0, "µm": 1.0, "μm": 1.0, "micron": 1.0, "microns": 1.0,
    "micrometer": 1.0, "micrometers": 1.0, "micrometre": 1.0, "micrometres": 1.0,
    "nm": 1e-3, "nanometer": 1e-3, "nanometers": 1e-3, "nanometre": 1e-3,
    "å": 1e-4, "angstrom": 1e-4,
    "mm": 1e3, "millimeter": 1e3, "millimeters": 1e3, "millimetre": 1e3,
    "cm": 1e4, "centimeter": 1e4, "centimetre": 1e4,
    "m": 1e6, "meter": 1e6, "metre": 1e6,
    "inch": 25400.0, "in": 25400.0, "inches": 25400.0,
}  # fmt: skip


def um_per(unit: str | None) -> float | None:
    """Length of a unit in um, or None for what is no length (``pixel``) or not known."""
    if not unit:
        return None
    # ImageJ writes letters beyond ASCII as \uXXXX.
    text = re.sub(r"\\u([0-9A-Fa-f]{4})", lambda m: chr(int(m.group(1), 16)), unit)
    return _UM.get(text.strip().strip('"').lower())


def shown(*values: float | None) -> str:
    """Values for a note, e.g. ``0.001 x 0.001``."""
    return " x ".join("?" if value is None else f"{value:.6g}" for value in values)


def believe(
    z: float | None, y: float | None, x: float | None, *, planes: int, note: str = ""
) -> tuple[PixelSize, tuple[str, ...]]:
    """Pixel size from metadata, as far as a microscope can have it.

    Parameters
    ----------
    z, y, x
        In um, as found; None where the file says nothing. The sign of z is the direction in
        which the planes were taken; its size is the step.
    planes
        Number of planes; a single plane has no step.
    note
        What else is to be said of the values.

    Returns
    -------
    pixel_size
        ``metadata`` where y and x are believed, else unknown with the values in its note. If
        y or x is a fault, z of the same metadata is not believed either.
    flags
        ``z_descending`` for a negative step.
    """
    notes = [note] if note else []
    flags: tuple[str, ...] = ()
    if planes < 2:
        z = None
    elif z is not None and z < 0:
        z, flags = -z, ("z_descending",)
    y, x = _nothing(y), _nothing(x)
    bad = [v for v in (y, x) if v is not None and not _plausible(v)]
    if bad:
        notes.append(f"pixel size {shown(y, x)} um found in the file, {_WHY}")
        z = y = x = None
    z = _nothing(z)
    if z is not None and not _plausible(z):
        notes.append(f"step between planes {shown(z)} um found in the file, {_WHY}")
        z = None
    origin = "metadata" if (y, x) != (None, None) else "unknown"
    return PixelSize(z, y, x, origin=origin, note="; ".join(notes)), flags


_WHY = f"not believed: outside {PLAUSIBLE_UM[0]:g} to {PLAUSIBLE_UM[1]:g} um"


def _plausible(value: float) -> bool:
    return math.isfinite(value) and PLAUSIBLE_UM[0] <= value <= PLAUSIBLE_UM[1]


def _nothing(value: float | None) -> float | None:
    """None for 0, which stands for no value in every format."""
    return None if value == 0 else value

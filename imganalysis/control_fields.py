"""One control, looked at: what its pixels say of the detectors. No nucleus is needed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.errors import CalibrationError, ImganalysisError
from imganalysis.io import file_hash
from imganalysis.panel import match_channels
from imganalysis.panel_match import own_names, plain
from imganalysis.prepare.bleedthrough import Slope, dye_slopes
from imganalysis.prepare.checks import check_pixels, clip_level, clipped_pixels
from imganalysis.prepare.flatfield import field_grid
from imganalysis.prepare.projection import any_plane, apply, flattened, project
from imganalysis.prepare.shift import estimate_shift, move_back
from imganalysis.reading import read_field

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imganalysis.panel import Panel
    from imganalysis.settings import Settings
    from imganalysis.study import Field

SINGLE_STAIN, UNSTAINED = "single_stain", "unstained"
UNMEASURED = (SINGLE_STAIN, UNSTAINED)
"""Roles of controls that show a dye or the tissue, and no nuclei: nothing is measured there."""

_LOW = 1.0  # percentile of a control's smallest parts that is its low level
_PART = 4  # pixels along the side of such a part: its mean has little noise


@dataclass(frozen=True)
class ControlTask:
    """One control to look at.

    Parameters
    ----------
    field, panel, settings
        Which, what its channels show, and how it is read.
    only_shift
        Look for the shift of the channels alone.
    shifts
        Marker -> whole pixels (dy, dx) by which its channel lies beside the nuclear one.
    """

    field: Field
    panel: Panel
    settings: Settings
    only_shift: bool = False
    shifts: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Looked:
    """What one control says.

    Parameters
    ----------
    field
        Which.
    sha256
        Of its file.
    size_um
        Height and width.
    lows, ranges, grids
        Marker -> low level, range of the detector, mean of each square of the field.
    slopes
        Detector's marker -> its share of the dye's light; single stains only.
    shifts
        Marker -> (dy, dx), as `estimate_shift` gives it.
    reason
        Fixed word for why it says nothing.
    """

    field: Field
    sha256: str = ""
    size_um: tuple[float, float] | None = None
    lows: dict[str, float] = dataclasses.field(default_factory=dict)
    ranges: dict[str, float] = dataclasses.field(default_factory=dict)
    grids: dict[str, NDArray[np.float64]] = dataclasses.field(default_factory=dict)
    slopes: dict[str, Slope] = dataclasses.field(default_factory=dict)
    shifts: dict[str, tuple[float, float] | None] = dataclasses.field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class ControlPicture:
    """The projected channels of a control, of which any may be black.

    Parameters
    ----------
    images
        Marker -> (Y, X), or (Z, Y, X) for a thick stack, float32.
    clipped
        (C, ...) pixels at the end of the range; None where it is unknown.
    full_range
        Largest grey level that the detector gives.
    pixel_um
        Size of a pixel (Y, X); None where it is unknown.
    facts, flags
        What was done.
    """

    images: dict[str, NDArray[np.float32]]
    clipped: NDArray[np.bool_] | None
    full_range: float
    pixel_um: tuple[float, float] | None
    facts: dict[str, Any]
    flags: tuple[str, ...]


def dye_of(where: Field, panel: Panel) -> str:
    """Marker whose dye a single stain control shows, by the words in its ``stain``.

    Raises
    ------
    CalibrationError
        The control names no stain, or none of the panel.
    """
    stained = [c for c in panel.channels if c.role != "ignore"]
    known = ", ".join(f"{c.marker} ({c.fluorophore})" if c.fluorophore else c.marker
                      for c in stained)  # fmt: skip
    what = (
        f"{where.path}: single stain control of panel '{panel.name}': expected in `stain` one of "
        f"{known}"
    )
    if not where.stain:
        raise CalibrationError(
            f"{what}; found nothing. Write it into the manifest, or name the folder in "
            "controls/single_stain/ after it"
        )
    word = plain(where.stain)
    found = [c for c in stained if word in own_names(c)]
    found = found or [c for c in stained if c.fluorophore and word == plain(c.fluorophore)]
    if len(found) != 1:
        raise CalibrationError(f"{what}; found {where.stain!r}")
    return found[0].marker


def control_picture(where: Field, panel: Panel, settings: Settings) -> ControlPicture:
    """Read a control in which any channel may be black, and project it.

    Raises
    ------
    ImageError
        The file cannot be read, or a channel of the panel is not in it.
    """
    stack = read_field(where, settings, panel)
    positions = match_channels(panel, stack.channels, n_planes=stack.shape[1])
    markers = list(positions)
    pixels = stack.numpy(list(positions.values()))
    flags = check_pixels(pixels, markers, settings, allow_black=markers)
    # The brightest channel says which planes hold the section: the nuclei may not be stained.
    guide = int(np.argmax([np.nanmean(np.asarray(c, np.float64)) for c in pixels]))
    choice = project(
        pixels[guide],
        stack.pixel_size.z,
        settings.projection.chosen_um(where.section_um),
        settings.projection,
    )
    level = clip_level(pixels)
    clipped = clipped_pixels(pixels, level)
    size = stack.pixel_size
    facts = {
        **choice.facts(stack.shape[1]),
        "pixel_size_z_um": size.z,
        "pixel_size_y_um": size.y,
        "pixel_size_x_um": size.x,
        "pixel_size_origin": size.origin,
    }
    return ControlPicture(
        dict(zip(markers, apply(pixels, choice), strict=True)),
        None if clipped is None else any_plane(clipped, choice),
        float(np.nanmax(pixels)) if level is None else level,
        None if size.y is None or size.x is None else (size.y, size.x),
        facts,
        tuple(dict.fromkeys((*stack.flags, *flags, *choice.flags))),
    )


def look_at_control(task: ControlTask) -> Looked:
    """Look at a control. Whatever is wrong with it is in the result, and never raised."""
    where, panel = task.field, task.panel
    try:
        digest = file_hash(where.path)
        seen = control_picture(where, panel, task.settings)
        if seen.pixel_um is None:
            return Looked(where, digest, reason="no_pixel_size")
        images = seen.images
        if task.only_shift:
            flat = {m: flattened(image) for m, image in images.items()}
            nuclei = flat[panel.nuclei.marker]
            return Looked(
                where,
                digest,
                shifts={
                    marker: estimate_shift(nuclei, image)[0]
                    for marker, image in flat.items()
                    if marker != panel.nuclei.marker
                },
            )
        for marker, by in task.shifts.items():
            if any(by) and marker in images:
                images[marker] = move_back(images[marker], by).astype(np.float32)
        shape = next(iter(images.values())).shape
        slopes = {}
        if where.role == SINGLE_STAIN:
            own = list(images).index(dye_of(where, panel))
            stacked = np.stack(list(images.values()))
            found = dye_slopes(stacked, own, seen.pixel_um, seen.clipped)
            slopes = dict(zip(images, found, strict=True))
        return Looked(
            where,
            digest,
            (shape[-2] * seen.pixel_um[0], shape[-1] * seen.pixel_um[1]),
            {m: _low_level(image) for m, image in images.items()},
            dict.fromkeys(images, seen.full_range),
            {m: field_grid(image) for m, image in images.items()},
            slopes,
        )
    except ImganalysisError as error:
        return Looked(where, reason=error.reason)
    except MemoryError:
        return Looked(where, reason="memory")
    except Exception:  # a control must never stop a batch; analysing it says what is wrong
        return Looked(where, reason="unexpected")


def _low_level(image: NDArray[np.float32]) -> float:
    """Grey level of the darkest places: the detector's offset and what light is everywhere."""
    rows, columns = (n // _PART * _PART for n in image.shape[-2:])
    cut = image[..., :rows, :columns].astype(np.float64)
    parts = cut.reshape(*cut.shape[:-2], rows // _PART, _PART, columns // _PART, _PART)
    means = parts.mean(axis=(-3, -1))
    means = means[np.isfinite(means)]
    return float(np.percentile(means, _LOW)) if means.size else 0.0

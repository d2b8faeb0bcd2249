"""From a stack to the picture that is measured: channels, projection, background, tissue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.panel import match_channels
from imganalysis.prepare.background import global_background, local_background
from imganalysis.prepare.calibration import calibrate
from imganalysis.prepare.checks import check_pixels, clip_level, clipped_pixels
from imganalysis.prepare.projection import any_plane, apply, flattened, project
from imganalysis.prepare.tissue import tissue_mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imganalysis.panel import Panel
    from imganalysis.prepare.calibration import Calibration
    from imganalysis.settings import Settings
    from imganalysis.stack import Stack


@dataclass(frozen=True)
class Prepared:
    """The picture of a field that is segmented and measured.

    Parameters
    ----------
    images
        marker -> (Y, X), or (Z, Y, X) for a thick stack, float32.
    clipped
        (C, ...) pixels at the end of the detector's range; None where it is unknown.
    zeros
        (C, Y, X) pixels at 0 in all planes as they were read: no correction can show an offset
        that was cut off.
    facts
        What was done.
    flags
        Fixed words.
    transmitted
        (Y, X) or (Z, Y, X) float32, light that went through the section, of panels with such a
        channel.
    """

    images: dict[str, NDArray[np.float32]]
    clipped: NDArray[np.bool_] | None
    zeros: NDArray[np.bool_]
    facts: dict[str, Any]
    flags: tuple[str, ...]
    transmitted: NDArray[np.float32] | None = None


def prepare_stack(
    stack: Stack,
    panel: Panel,
    settings: Settings,
    section_um: float | None = None,
    *,
    allow_black: bool = False,
    calibration: Calibration | None = None,
) -> Prepared:
    """Read the panel's channels, check them, and bring them to the picture that is measured.

    Parameters
    ----------
    stack
        One field of view.
    panel
        Says which channel shows which marker.
    settings
        Of the run.
    section_um
        Thickness of the section where it is known, um.
    allow_black
        Whether channels other than the nuclei may be black.
    calibration
        What the controls of the field's panel, batch and acquisition say; none is applied if
        not given.

    Raises
    ------
    ChannelError
        A channel of the panel is not there.
    PixelDataError
        A channel is black or not finite, or the image is too small.
    CalibrationError
        The calibration's dyes cannot be told apart.
    """
    positions = match_channels(panel, stack.channels, n_planes=stack.shape[1])
    behind = positions.pop(panel.transmitted) if panel.transmitted else None
    markers = list(positions)
    pixels = stack.numpy(list(positions.values()))
    others = [marker for marker in markers if marker != panel.nuclei.marker]
    flags = check_pixels(pixels, markers, settings, allow_black=others if allow_black else ())
    choice = project(
        pixels[markers.index(panel.nuclei.marker)],
        stack.pixel_size.z,
        settings.projection.chosen_um(section_um),
        settings.projection,
    )
    clipped = clipped_pixels(pixels, clip_level(pixels))
    facts = choice.facts(stack.shape[1])
    images = dict(zip(markers, apply(pixels, choice), strict=True))
    clipped = None if clipped is None else any_plane(clipped, choice)
    zeros = np.stack([flattened(image) == 0 for image in images.values()])
    if calibration is not None:
        images, clipped, done = calibrate(
            images,
            clipped,
            calibration,
            (stack.pixel_size.y or 1.0, stack.pixel_size.x or 1.0),
            max_condition=settings.calibration.max_condition,
        )
        facts |= done
    return Prepared(
        images,
        clipped,
        zeros,
        facts,
        (*flags, *choice.flags),
        None if behind is None else apply(stack.numpy([behind]), choice)[0],
    )


def background_method(panel: Panel, settings: Settings) -> str:
    """Which background is subtracted: ``local``, ``global`` or ``none``."""
    wanted = settings.preparation.background
    return panel.background if wanted == "panel" else wanted


def find_tissue(
    images: dict[str, NDArray[np.float32]], spacing: tuple[float, float], settings: Settings
) -> NDArray[np.bool_]:
    """Mark the tissue, (Y, X), by all channels."""
    if not settings.preparation.tissue:
        return np.ones(next(iter(images.values())).shape[-2:], bool)
    flat = np.stack([flattened(image) for image in images.values()])
    return tissue_mask(flat, spacing, settings.preparation)


def without_background(
    images: dict[str, NDArray[np.float32]],
    panel: Panel,
    spacing: tuple[float, ...],
    settings: Settings,
) -> dict[str, NDArray[np.float32]]:
    """Subtract the low level around each place, or of the field, as panel or settings want it."""
    wanted = background_method(panel, settings)
    if wanted == "none":
        return images
    if wanted == "global":
        return {
            marker: image - np.float32(global_background(image, spacing))
            for marker, image in images.items()
        }
    window = settings.preparation.background_window_um
    return {
        marker: image - local_background(image, spacing, window) for marker, image in images.items()
    }

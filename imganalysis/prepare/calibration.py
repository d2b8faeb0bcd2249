"""Calibration of one panel, batch and acquisition: frozen, hashed, and applied to pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import numpy as np
from pydantic import Field, model_validator

from imganalysis.prepare.bleedthrough import check_mixing, unmix
from imganalysis.prepare.flatfield import flatten, shading
from imganalysis.prepare.shift import LIMIT_PX, move_back
from imganalysis.settings import fingerprint
from imganalysis.settings_base import Model, NotNegative, Positive

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

ALL = "*"
"""Stands for every panel, batch or acquisition."""

OFF: Final = "off"
NO_CONTROL: Final = "no_control"
ELSEWHERE: Final = "control_elsewhere"
CORRECTED: Final = "corrected"
PARTLY: Final = "partly"
GIVEN: Final = "given"
NOT_DONE: Final = "not_done"

State = Literal[
    "off", "no_control", "control_elsewhere", "corrected", "partly", "given", "not_done"
]
Pixels = Annotated[int, Field(ge=-LIMIT_PX, le=LIMIT_PX)]

SPILLED = 0.01
"""From this share on, what a clipped pixel hides is missing in the other channel too."""


class Share(Model):
    """Part of a dye's light that another detector sees, in grey levels per grey level.

    ``lo`` and ``hi`` are the 95 % interval. Where `reason` says why it is not known, the share
    is None, and nothing is taken off.
    """

    detector: str
    dye: str
    share: Annotated[float, Field(ge=0, lt=1)] | None = None
    measured: float | None = None  # before a share under 0, which noise gives, was made 0
    se: NotNegative | None = None
    lo: float | None = None
    hi: float | None = None
    n_blocks: int = Field(0, ge=0)
    reason: str = ""


class Surface(Model):
    """Light over the field of a channel, as `imganalysis.prepare.flatfield.shading` takes it."""

    marker: str
    coefficients: tuple[float, float, float, float] | None = None
    se: float | None = None
    reason: str = ""

    @model_validator(mode="after")
    def _bright_everywhere(self) -> Surface:
        if self.coefficients is not None:
            if not shading(self.coefficients, (21, 21)).min() > 0.1:
                raise ValueError("the light of a flat-field is over 0.1 of its mean everywhere")
        return self


class Shift(Model):
    """Whole pixels by which a channel lies beside the nuclear one."""

    marker: str
    dy_px: Pixels = 0
    dx_px: Pixels = 0
    spread_px: NotNegative | None = None
    reason: str = ""


class Control(Model):
    """A control that the calibration rests on, and the hash of what was read."""

    field: str
    role: str
    stain: str = ""
    hash: str = ""
    reason: str = ""  # why it says nothing


class Calibration(Model):
    """What the controls of a panel, batch and acquisition say of its detectors.

    Parameters
    ----------
    panel, batch, acquisition
        For which fields it holds; ``*`` stands for all.
    bleedthrough, flatfield, channel_shift
        What is done: ``corrected``, ``partly`` (of some dyes or channels), ``given`` (by a
        person), ``not_done`` (the controls do not show it well enough; the parts say why),
        ``no_control``, ``control_elsewhere`` (only of another batch or acquisition), ``off``.
    offsets
        Marker -> grey level of its detector without light.
    shares, surfaces, shifts
        The parts.
    field_um
        Height and width of the fields that the surfaces were seen in.
    condition
        Of the matrix of shares.
    controls
        What it rests on.
    """

    panel: str = ALL
    batch: str = ALL
    acquisition: str = ALL
    bleedthrough: State
    flatfield: State
    channel_shift: State
    offsets: dict[str, float] = Field(default_factory=dict)
    shares: tuple[Share, ...] = ()
    surfaces: tuple[Surface, ...] = ()
    shifts: tuple[Shift, ...] = ()
    field_um: tuple[Positive, Positive] | None = None
    condition: float | None = None
    controls: tuple[Control, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _given_if_not_said(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        parts = {"bleedthrough": "shares", "flatfield": "surfaces", "channel_shift": "shifts"}
        said = {step: GIVEN if values.get(part) else OFF for step, part in parts.items()}
        return {**said, **values}

    @property
    def fingerprint(self) -> str:
        """Hash of all of it: fields with the same one were corrected alike."""
        return fingerprint(self)

    @property
    def scope(self) -> tuple[str, str, str]:
        """Panel, batch, acquisition."""
        return (self.panel, self.batch, self.acquisition)

    def matrix(self, markers: Sequence[str]) -> NDArray[np.float64]:
        """S[detector, dye] of these markers; shares that are not known are 0."""
        place = {marker: i for i, marker in enumerate(markers)}
        out = np.eye(len(markers))
        for part in self.shares:
            if part.share and part.detector in place and part.dye in place:
                out[place[part.detector], place[part.dye]] = part.share
        return out


def select_calibration(
    calibrations: Iterable[Calibration], panel: str, batch: str, acquisition: str
) -> Calibration | None:
    """Find the calibration of a field; the one with fewest ``*`` goes first, then the first."""
    place = (panel, batch, acquisition)
    fitting = [
        c for c in calibrations if all(m in (ALL, t) for m, t in zip(c.scope, place, strict=True))
    ]
    return min(fitting, key=lambda c: c.scope.count(ALL), default=None)


def calibrate(
    images: dict[str, NDArray[np.float32]],
    clipped: NDArray[np.bool_] | None,
    calibration: Calibration,
    pixel_um: tuple[float, float],
    *,
    max_condition: float = 10.0,
) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.bool_] | None, dict[str, str]]:
    """Correct the projected channels of a field.

    Parameters
    ----------
    images
        Marker -> (Y, X) or (Z, Y, X), grey levels, background not subtracted.
    clipped
        (C, ...) pixels at the end of the range, in the order of `images`; None if unknown.
    calibration
        Of the field's panel, batch and acquisition.
    pixel_um
        Size of a pixel (Y, X), um.
    max_condition
        A matrix of a greater condition is refused.

    Returns
    -------
    images
        As before where nothing is corrected; else float32, NaN where a channel that was moved
        has no pixel.
    clipped
        A pixel is clipped in a channel also where another one was that bleeds into it: what
        was taken off there is too little.
    facts
        ``bleedthrough``, ``flatfield``, ``channel_shift``: what was done to this field;
        ``calibration``: the hash.

    Raises
    ------
    CalibrationError
        The matrix cannot be inverted.

    Notes
    -----
    In the order in which light met them, backwards: the shift between scans, the shading of the
    field, the mixing of dyes. All three are linear in the pixels and so is the mean over planes,
    so that projecting first gives the same; and what they do to a smooth background, the
    subtraction of the local background, which comes after, takes off again.
    """
    facts = {
        "bleedthrough": calibration.bleedthrough,
        "flatfield": calibration.flatfield,
        "channel_shift": calibration.channel_shift,
        "calibration": calibration.fingerprint,
    }
    markers = list(images)
    offset = np.array([calibration.offsets.get(marker, 0.0) for marker in markers])
    out = dict(images)
    for move in calibration.shifts:
        if (move.dy_px or move.dx_px) and move.marker in out:
            by = (move.dy_px, move.dx_px)
            out[move.marker] = move_back(out[move.marker], by).astype(np.float32)
            if clipped is not None:
                i = markers.index(move.marker)
                moved = np.nan_to_num(move_back(clipped[i], by)) > 0
                clipped = np.stack([moved if k == i else c for k, c in enumerate(clipped)])
    surfaces = [s for s in calibration.surfaces if s.coefficients and s.marker in out]
    if surfaces and not _same_size(next(iter(out.values())), pixel_um, calibration.field_um):
        surfaces, facts["flatfield"] = [], NOT_DONE
    for surface in surfaces:
        i = markers.index(surface.marker)
        flat = flatten(out[surface.marker], surface.coefficients or (), offset[i])
        out[surface.marker] = flat.astype(np.float32)
    matrix = calibration.matrix(markers)
    if not np.array_equal(matrix, np.eye(len(markers))):
        given = calibration.bleedthrough == GIVEN
        check_mixing(matrix, markers, max_condition, given=given)
        pixels = unmix(np.stack([out[marker] for marker in markers]), matrix, offset)
        out = {m: p.astype(np.float32) for m, p in zip(markers, pixels, strict=True)}
        if clipped is not None:
            spills = matrix >= SPILLED
            clipped = np.stack([clipped[row].any(axis=0) for row in spills])
    return out, clipped, facts


def _same_size(
    image: NDArray[Any], pixel_um: tuple[float, float], wanted: tuple[float, float] | None
) -> bool:
    """Whether a field is as large as those in which the shading was seen."""
    if wanted is None:
        return True
    size = (image.shape[-2] * pixel_um[0], image.shape[-1] * pixel_um[1])
    return all(abs(a / b - 1) < 0.01 for a, b in zip(size, wanted, strict=True))

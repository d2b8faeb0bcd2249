"""What can be wrong with a simulated field: models of the recipe's keys, all off by default."""

from __future__ import annotations

from pydantic import Field

from imganalysis.settings_base import Fraction, Model, NotNegative, Positive


class TransmittedSpec(Model):
    """The detector behind the section, which sees the light that pigment lets through."""

    name: str
    photons: Positive = 120.0
    full_scale_photons: Positive = 200.0
    fwhm_um: Positive = 0.4
    texture: NotNegative = 0.03  # SD of what unstained tissue bends, relative
    texture_um: Positive = 1.5


class PigmentSpec(Model):
    """Grains that take the light of every channel, and glow themselves.

    ``share`` of the cells of `kinds` (of all with a nucleus, where it is empty) hold grains in
    ``fill`` of their cytoplasm. Light that passes the diameter of one grain keeps a share that
    is drawn for each cell from `transmission`. ``glow`` is in photons, in a channel of weight 1.
    """

    share: Fraction = 0.0
    kinds: tuple[str, ...] = ()
    granule_um: Positive = 0.5
    fill: Fraction = 0.25
    transmission: tuple[Positive, Positive] = (0.3, 0.8)
    glow: NotNegative = 3.0
    transmitted: TransmittedSpec | None = None


class DefectsSpec(Model):
    """Faults of a section and of the microscope."""

    fold_share: float = Field(0.0, ge=0.0, le=0.5)  # of the field, covered by a second layer
    fold_defocus_um: NotNegative = 1.5
    tilt_um: NotNegative = 0.0  # how far the focal plane lies off at the left and right border
    detector_gain: Positive = 1.0
    shift_px: int = Field(0, ge=0)  # between the first channel and each other one
    swapped: bool = False  # the first two channels under each other's name

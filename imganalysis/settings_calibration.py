"""How controls calibrate the pixels of a batch, before anything is measured."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from imganalysis.settings_base import Model, NotNegative


class Calibrating(Model):
    """What is corrected by the controls of a panel's batch and acquisition."""

    bleedthrough: Literal["controls", "off"] = Field(
        "controls",
        title="Bleed-through",
        description="taken off as the single stain controls show it, or left in",
    )
    shares: dict[str, dict[str, NotNegative]] = Field(
        default_factory=dict,
        title="Shares of your own",
        description="of bleed-through, in place of the controls': detector's marker, then the "
        "dye's, then the share, e.g. 0.06",
    )
    max_condition: float = Field(
        10.0, gt=1, title="Condition", description="a matrix of a greater condition is refused"
    )
    flatfield: Literal["controls", "off"] = Field(
        "controls", title="Flat-field", description="shading divided out if enough controls show it"
    )
    flatfield_fields: int = Field(
        8, ge=4, title="Fields for the flat-field", description="fewest controls that show shading"
    )
    flatfield_se: float = Field(
        0.03, gt=0, lt=1, title="Uncertainty of the flat-field", description="greatest, relative"
    )
    channel_shift: Literal["controls", "off"] = Field(
        "controls",
        title="Channel shift",
        description="channels moved onto the nuclear one by whole pixels, if a control shows it",
    )

    @field_validator("shares")
    @classmethod
    def _off_the_diagonal(
        cls, value: dict[str, dict[str, NotNegative]]
    ) -> dict[str, dict[str, NotNegative]]:
        for detector, dyes in value.items():
            if detector in dyes:
                raise ValueError(
                    f"{detector}: a dye's share in its own detector is 1 by definition"
                )
            if any(share >= 1 for share in dyes.values()):
                raise ValueError(f"{detector}: a share is under 1: 0.06, not 6, for 6 %")
        return value

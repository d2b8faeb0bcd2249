"""Settings of what on a field is no stain: each step can be switched off."""

from __future__ import annotations

from pydantic import Field

from imganalysis.settings_base import Fraction, Model, NotNegative


class Artefacts(Model):
    """What is looked for that no antibody put there, and what is done about it."""

    autofluorescence: bool = Field(
        True, title="Autofluorescence", description="mark what glows in every channel"
    )
    af_share: Fraction = Field(
        0.2, title="Affected", description="cells with more of their area on it are flagged"
    )
    pigment: bool = Field(
        True, title="Pigment", description="where the panel has a channel of transmitted light"
    )
    pigment_transmission: float = Field(
        0.8, gt=0, lt=1, title="Pigment passes", description="less of the light than this"
    )
    pigment_share: Fraction = Field(
        0.1, title="Pigmented", description="cells with more of their area blocked are excluded"
    )
    folds: bool = Field(
        True, title="Folds", description="leave out tissue that lies double: bright and blurred"
    )
    max_clipped: Fraction = Field(
        0.01,
        title="Clipped",
        description="share of a channel, or of it in the tissue, at the end of the range; above it "
        "the field's intensities set no gate and are not compared; 1 switches it off",
    )
    max_zero: Fraction = Field(
        0.5,
        title="At zero",
        description="the same of pixels at 0, where the offset cuts the background off",
    )
    min_sharpness: NotNegative | None = Field(
        None,
        title="Sharpness",
        description="per um; nuclei with softer edges are excluded; not by default",
    )

"""The recipe of a simulated tissue: models of the YAML file that holds all of its biology."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from imganalysis.settings_base import Fraction, Model, NotNegative, Positive
from imganalysis.simulate.defect_specs import DefectsSpec, PigmentSpec


class FieldSpec(Model):
    """Grid of one field of view."""

    size_px: int = Field(gt=15)
    pixel_um: Positive
    planes: int = Field(gt=0)
    z_step_um: Positive
    bits: Literal[8, 12]


class SectionSpec(Model):
    """How the tissue was cut."""

    thickness_um: Positive
    thickness_sd_um: NotNegative
    compression: Fraction
    waviness_um: NotNegative


class DetectorSpec(Model):
    """Photomultiplier and digitiser; grey levels are those of 8 bits."""

    excess_noise: float = Field(ge=1.0)
    read_grey: NotNegative
    offset_grey: NotNegative
    frame_average: int = Field(gt=0)


class ShadingSpec(Model):
    """Uneven light: over the field, from field to field, and lost from plane to plane."""

    vignetting: Fraction
    laser_sd: NotNegative
    bleach_per_plane: Fraction


class Chromatin(Model):
    """Nuclear dye: chromatin texture, nucleoli, and a halo over the cytoplasm."""

    pattern: Literal["chromatin"]
    halo: NotNegative
    nucleolus: NotNegative


class Granular(Model):
    """Puncta in the cytoplasm over a diffuse floor."""

    pattern: Literal["granular"]
    puncta_um: Positive
    floor: Fraction
    nonspecific: NotNegative


class Diffuse(Model):
    """Even in the cytoplasm; in the nucleus by stage of death (early, shrunken, fragmented)."""

    pattern: Literal["diffuse"]
    nucleus: tuple[float, float, float]
    nonspecific: NotNegative


class Membrane(Model):
    """A patchy sheet around the cell."""

    pattern: Literal["membrane"]
    thickness_um: Positive
    patchiness: Fraction
    nonspecific: NotNegative


Pattern = Annotated[Chromatin | Granular | Diffuse | Membrane, Field(discriminator="pattern")]


class LowSpec(Model):
    """A share of the cells that holds only a part of the level."""

    fraction: Fraction
    factor: Fraction


class CytoplasmicSpec(Model):
    """A share of the cells that holds the marker inside, at a level of its own."""

    fraction: Fraction
    level: NotNegative


class Expression(Model):
    """Level of a marker in a kind of cell; 1 is the median of the cells that define the marker.

    In a dying cell at stage s in (0, 1) the level is ``dying`` where given, else
    ``level * exp(-loss * s)``.
    """

    level: NotNegative = 0.0
    log_sd: NotNegative = 0.0
    low: LowSpec | None = None
    loss: NotNegative = 0.0
    dying: NotNegative | None = None
    cytoplasmic: CytoplasmicSpec | None = None
    # Of a granular marker in this kind of cell, where they differ from the marker's own.
    puncta_um: Positive | None = None
    floor: Fraction | None = None


class TextureSpec(Model):
    """Gaussian random field of the chromatin."""

    corr_um: Positive
    cv: NotNegative


class CellSpec(Model):
    """A kind of cell: its nucleus, its body, and what it expresses."""

    diameter_um: Positive
    diameter_cv: NotNegative
    aspect: tuple[float, float]
    roughness: NotNegative
    cytoplasm_um: Positive
    spread_um: NotNegative = 0.0  # how much farther the body reaches where no other one is nearer
    texture: TextureSpec
    nucleoli: tuple[int, int] = (0, 0)
    nucleolus_um: Positive = 1.5
    anucleate: bool = False
    nonspecific: NotNegative = 1.0  # how much of the secondary antibodies sticks to it
    lipofuscin: Fraction = 0.0
    expression: dict[str, Expression] = Field({})


class DeathSpec(Model):
    """Shape of a dying cell along its stage s, uniform in (0, 1)."""

    shrink_from: Fraction
    fragment_from: Fraction
    shrink: tuple[float, float]
    brighten: tuple[float, float]
    body: tuple[float, float]
    fragments: tuple[int, int]
    fragment_um: tuple[float, float]
    extent_um: Positive


class CapillarySpec(Model):
    """A tube with a wall of cells, and clusters of one kind of cell along it (Thomas process)."""

    radius_um: Positive
    wall: str
    spacing_um: Positive
    clustered: str
    cluster_mean: Positive
    cluster_sigma_um: Positive
    near_share: Fraction


class CompartmentSpec(Model):
    """Profiles per mm2 of a compartment, and the kinds they are of."""

    area: Fraction = 1.0
    density_mm2: NotNegative
    mix: dict[str, NotNegative]

    @model_validator(mode="after")
    def _mix_sums_to_one(self) -> CompartmentSpec:
        total = sum(self.mix.values())
        if abs(total - 1.0) > 1e-6:
            raise ValueError(f"the shares of a mix must sum to 1, they sum to {total:.6g}")
        return self


class WeekSpec(Model):
    """Composition of the tissue at one time."""

    nest: CompartmentSpec
    infiltrate: CompartmentSpec
    stroma: CompartmentSpec
    capillaries: int = Field(ge=0)
    dying: dict[str, Fraction] = Field({})


class TurnSpec(Model):
    """A share of the cells of a kind turns into another, but for those in some compartments."""

    kind: str
    into: str
    share: Fraction
    outside: tuple[str, ...] = ()


class SheetSpec(Model):
    """Sheets in which all cells of a kind express a marker.

    ``area`` is their share of all places; ``inside`` is the level in the cytoplasm, as a share of
    that at the marker's own place.
    """

    kind: str
    marker: str
    area: Fraction
    size_um: Positive
    level: NotNegative
    log_sd: NotNegative = 0.0
    inside: Fraction = 0.0


class TissueSpec(Model):
    """Scales of the tissue's pattern, and how much its cells differ."""

    nest_um: Positive
    infiltrate_um: Positive
    area_sd: NotNegative
    overlap: Fraction
    gap_um: NotNegative
    body_cv: NotNegative
    dna_log_sd: NotNegative
    nonspecific_log_sd: NotNegative
    capillary: CapillarySpec
    turned: tuple[TurnSpec, ...] = ()
    sheets: tuple[SheetSpec, ...] = ()


class AutofluorescenceSpec(Model):
    """Photons at the peak of each source, in a channel of weight 1."""

    strands: NotNegative
    blood: NotNegative
    lipofuscin: NotNegative


class ChannelSpec(Model):
    """One channel: what is stained, and how the microscope sees it."""

    name: str
    marker: str
    fwhm_xy_um: Positive
    fwhm_z_um: Positive
    peak_photons: Positive
    background_photons: NotNegative
    full_scale_photons: Positive
    autofluorescence: NotNegative


class GroupSpec(Model):
    """Cells with these true calls; ``kinds`` restricts them further."""

    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    kinds: tuple[str, ...] | None = None
    not_kinds: tuple[str, ...] = ()


class FractionSpec(Model):
    """A ratio of groups, and the word for it where nothing is in the denominator."""

    numerator: tuple[str, ...]
    denominator: tuple[str, ...]
    scale: Positive = 1.0
    empty_reason: str


class PanelSpec(Model):
    """Channels of a panel, bleed-through [detector, dye], and the truth that it can tell."""

    channels: tuple[ChannelSpec, ...]
    bleed: tuple[tuple[float, ...], ...]
    groups: dict[str, GroupSpec]
    fractions: dict[str, FractionSpec]

    @model_validator(mode="after")
    def _consistent(self) -> PanelSpec:
        n = len(self.channels)
        if len(self.bleed) != n or any(len(row) != n for row in self.bleed):
            raise ValueError(f"bleed must be a {n} x {n} matrix, a row per channel")
        for name, fraction in self.fractions.items():
            unknown = {*fraction.numerator, *fraction.denominator} - set(self.groups)
            if unknown:
                raise ValueError(f"fraction {name} names no group: {', '.join(sorted(unknown))}")
        return self


class EffectsSpec(Model):
    """SD of the logit of the dying share between fields and between patients."""

    field_logit_sd: NotNegative
    patient_logit_sd: NotNegative


class TruthSpec(Model):
    """What counts as truth.

    ``positive_level`` is the least level of a positive cell, ``path_um`` the least path of
    light through a nucleus in a pixel of its profile, ``guard_um`` and ``diameter_um`` make a
    nucleus evaluable, and a profile below ``cap_share`` of the median diameter is a cap.
    """

    positive_level: Positive
    path_um: Positive
    guard_um: NotNegative
    diameter_um: NotNegative
    cap_share: Fraction


class Recipe(Model):
    """Everything that a simulated tissue is made of."""

    name: str
    description: str
    field: FieldSpec
    section: SectionSpec
    detector: DetectorSpec
    shading: ShadingSpec
    truth: TruthSpec
    effects: EffectsSpec
    tissue: TissueSpec
    death: DeathSpec
    autofluorescence: AutofluorescenceSpec
    pigment: PigmentSpec = PigmentSpec()
    defects: DefectsSpec = DefectsSpec()
    markers: dict[str, Pattern]
    cells: dict[str, CellSpec]
    weeks: dict[int, WeekSpec]
    panels: dict[str, PanelSpec]

    @model_validator(mode="after")
    def _names_exist(self) -> Recipe:
        kinds = {self.tissue.capillary.wall, self.tissue.capillary.clustered}
        for week in self.weeks.values():
            kinds |= {*week.nest.mix, *week.infiltrate.mix, *week.stroma.mix, *week.dying}
        kinds |= set(self.pigment.kinds)
        kinds |= {k for turn in self.tissue.turned for k in (turn.kind, turn.into)}
        kinds |= {sheet.kind for sheet in self.tissue.sheets}
        markers = {m for cell in self.cells.values() for m in cell.expression}
        markers |= {sheet.marker for sheet in self.tissue.sheets}
        for panel in self.panels.values():
            markers |= {channel.marker for channel in panel.channels}
            for group in panel.groups.values():
                markers |= {*group.positive, *group.negative}
                kinds |= {*(group.kinds or ()), *group.not_kinds}
        for what, named, known in (("cell", kinds, self.cells), ("marker", markers, self.markers)):
            if missing := named - set(known):
                raise ValueError(f"unknown {what}: {', '.join(sorted(missing))}")
        return self

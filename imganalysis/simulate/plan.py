"""The plan of a simulated study: its biopsies, panels, fields and controls."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from imganalysis.settings_base import Model, NotNegative, Positive
from imganalysis.simulate.recipe import FieldSpec  # noqa: TC001 - pydantic needs it

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]


class BiopsyPlan(Model):
    """One biopsy. ``fields`` counts fields of view per panel."""

    biopsy: Name
    patient: Name
    lesion: Name
    week: int
    fields: dict[str, int]


class ControlPlan(Model):
    """A control: without the primary antibodies, with one dye alone (``stain``), or with none."""

    name: Name
    panel: str
    week: int
    fields: int = Field(gt=0)
    role: Literal["secondary_only", "single_stain", "unstained"] = "secondary_only"
    stain: str = ""


class Plan(Model):
    """What a simulated study consists of.

    ``patient_logit`` gives a patient's effect on the logit of the dying share; a patient who is
    not named has one drawn. ``bleed_scale`` multiplies the bleed-through: 1 for channels scanned
    together, near 0 for channels scanned in turn.
    """

    name: str
    description: str
    field: FieldSpec
    batch: Name
    acquisition: Name
    bleed_scale: NotNegative = 1.0
    photon_scale: Positive = 1.0
    patient_logit: dict[str, float] = Field({})
    biopsies: tuple[BiopsyPlan, ...]
    controls: tuple[ControlPlan, ...] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> Plan:
        names = [b.biopsy for b in self.biopsies] + [c.name for c in self.controls]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"named twice: {', '.join(sorted(twice))}")
        return self

"""Settings of regions, annotations and distances. Each default stands here and nowhere else."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from imganalysis.settings_base import Model, Positive


class Space(Model):
    """Where cells lie: regions, outlines drawn by a person, distances and clusters."""

    table: bool = Field(True, title="Distances and clusters", description="write space.csv")
    annotation_unit: Literal["um", "pixel"] | None = Field(
        None,
        title="Unit of annotations",
        description="of files that do not say it themselves; QuPath writes pixels",
    )
    margin_um: Positive = Field(
        100.0, title="Peritumoural band", description="um outside the tumour's margin"
    )
    near_um: Positive = Field(
        20.0, title="Near", description="um; the share of cells within this distance is given"
    )
    pairs: tuple[tuple[str, str], ...] = Field(
        (("infiltrate", "tumour"), ("apoptotic", "infiltrate")),
        title="Nearest neighbours",
        description="from, to: a class, or tumour, infiltrate (classes of that role), apoptotic "
        "(dying tumour classes)",
    )
    clusters: bool = Field(True, title="Clustering", description="test each fraction's numerator")
    max_radius_um: Positive = Field(
        60.0, title="Largest radius", description="um; at most a quarter of the frame's side"
    )
    radius_um: Positive = Field(
        20.0, title="Reported radius", description="um, at which the excess is given"
    )
    permutations: int = Field(999, ge=19, le=99_999, title="Permutations")
    min_cells: int = Field(
        30, ge=2, title="Cells for a test", description="fewer: empty, too_few_cells"
    )

    @field_validator("radius_um")
    @classmethod
    def _even(cls, value: float) -> float:
        if value < 2:
            raise ValueError(f"radii are looked at from 2 um on, got {value:g}")
        return value

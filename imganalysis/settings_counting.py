"""What is counted as a cell, where, and how sections are allowed for."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from imganalysis.settings_base import Fraction, Model, NotNegative, Positive


class Counting(Model):
    """From objects to cells: borders, fragments, ghosts, the thickness of the section."""

    frame: Literal["centroid", "unbiased", "clear_border"] = Field(
        "centroid",
        title="Border",
        description="centroid: inside the guard frame; unbiased: Gundersen's frame, by the "
        "object's pixels; clear_border: what touches the field's border is left out (biased)",
    )
    stack: Literal["disector", "whole"] = Field(
        "disector",
        title="Stack left in 3-D",
        description="disector: objects that reach the first plane are not counted; whole: all are",
    )
    merge_fragments: bool = Field(
        True, title="Merge fragments", description="pieces of one dying nucleus count as one cell"
    )
    fragment_um2: Positive = Field(
        20.0, title="Largest fragment", description="um2; larger nuclei are never merged"
    )
    fragment_gap_um: NotNegative = Field(
        2.0, title="Gap between fragments", description="um, from edge to edge"
    )
    fragment_smooth_um: NotNegative = Field(
        0.5, title="Smoothing", description="um, SD, of the death marker before it is followed"
    )
    fragment_cell_um2: Positive = Field(
        150.0, title="Largest dying cell", description="um2, of the death marker around fragments"
    )
    fragment_hull_um: Positive = Field(
        12.0, title="Extent of fragments", description="um, equivalent diameter of their hull"
    )
    fragment_solidity: Fraction = Field(
        0.9, title="Solidity", description="two fragments fill less of their hull, or are condensed"
    )
    fragment_dna: Positive = Field(
        1.3, title="Condensed", description="times the DNA stain of the field's whole nuclei"
    )
    ghost_um2: Positive = Field(40.0, title="Smallest ghost", description="um2")
    ghost_overlap: Fraction = Field(
        0.05, title="Nuclei in a ghost", description="share of its area, less than this"
    )
    nuclear_um: dict[str, Positive] = Field(
        default_factory=dict,
        title="Nuclear diameters",
        description="class: mean diameter of whole nuclei, um; corrects for the section",
    )
    nuclear_um_origin: str = Field(
        "", title="Their origin", description="where the diameters were measured"
    )
    optical_section_um: Positive | None = Field(
        None, title="Optical section", description="um, FWHM along Z; of single planes"
    )
    hidden_cap_um: NotNegative = Field(
        0.0, title="Hidden cap", description="um, height of the smallest cap that is still seen"
    )

    @field_validator("stack", mode="before")
    @classmethod
    def _no_slices(cls, value: object) -> object:
        if value in ("slices", "sum", "planes", "per_slice"):
            raise ValueError(
                "a nucleus stands in many planes, so that counts of single planes cannot be "
                "summed; use disector (each object once) or whole"
            )
        return value

    @model_validator(mode="after")
    def _origin(self) -> Counting:
        if self.nuclear_um and not self.nuclear_um_origin.strip():
            raise ValueError("nuclear_um needs nuclear_um_origin: where the diameters are from")
        return self

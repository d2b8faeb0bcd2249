"""What a run can be told about cells that touch."""

from __future__ import annotations

from pydantic import Field

from imganalysis.settings_base import Fraction, Model, NotNegative, Positive


class Neighbours(Model):
    """Contacts between cells, and calls that may be a neighbour's light."""

    gap_um: NotNegative = Field(
        0.5, title="Gap", description="um; cells with no more than this between them abut"
    )
    arc_um: Positive = Field(
        2.0, title="Arc", description="um; how far from a neighbour a ring still faces it"
    )
    guard: bool = Field(
        True,
        title="Guard against neighbours",
        description="leave the arcs at brighter positive neighbours out of a call, and "
        "light on one side of markers that lie all around",
    )
    min_free: Fraction = Field(
        0.25, title="Free ring", description="less of a ring than this cannot speak for the whole"
    )
    max_conflict: Fraction = Field(
        0.05,
        title="Conflicts",
        description="fields fail with a greater share of cells that have two exclusive markers",
    )

"""Contexts of a panel: what else is true of a cell than its calls, as its shape and its place."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from imganalysis.settings_base import Fraction, Model, NotNegative, Positive


class Shape(Model):
    """Nuclei of a size and roundness (equivalent diameter with fragments merged)."""

    kind: Literal["shape"]
    min_diameter_um: NotNegative | None = None  # strictly more than this
    max_diameter_um: Positive | None = None  # at most this
    max_aspect: Positive | None = None  # strictly less than this


class InRegion(Model):
    """The centroid lies in the panel's region."""

    kind: Literal["in_region"]


class Lymphoid(Model):
    """A shape, without a trace of a marker, among small neighbours negative for some markers."""

    kind: Literal["lymphoid"]
    shape: str  # name of a shape context
    no_trace_of: str  # marker whose value is under the negatives' percentile
    trace_percentile: float = Field(75.0, gt=0, lt=100)
    neighbours_negative: tuple[str, ...]
    min_neighbours: int = Field(2, ge=0)
    radius_um: Positive = 15.0


class Sheet(Model):
    """One of many cells positive for a marker, most of which have nuclei that are not `shape`.

    With `min_spread`, also a wide one beside such a cell: beyond its ring it has at least this
    share of the ring's marker. With `cut_um`, also a wide one by itself, and one with a nucleus
    seen no larger, where most of the field's others are not `shape`: `min_neighbours` at least,
    and `min_field_share` of the nuclei that are not `shape`, for a gate lets a few pass everywhere.
    """

    kind: Literal["sheet"]
    positive: str
    negative: tuple[str, ...] = ()
    shape: str
    min_neighbours: int = Field(3, ge=1)
    min_share: Fraction = 0.5
    radius_um: Positive = 20.0
    min_spread: Positive | None = None
    cut_um: Positive | None = None
    min_field_share: Fraction = 0.05


class Lonely(Model):
    """Away from other positives, with a coarse granular marker, outside the region.

    A cell that is negative for all of `anywhere_without` may lie in the region too: a region is
    far coarser than what is near one cell.
    """

    kind: Literal["lonely_granular"]
    positive: str
    radius_um: Positive = 20.0
    max_neighbours: int = Field(1, ge=0)
    neighbours: str | None = None  # shape of the positives that count; all if not given
    anywhere_without: tuple[str, ...] = ()
    min_granularity: Positive = 1.0  # SD / mean of the marker in the ring


Context = Annotated[Shape | InRegion | Lymphoid | Sheet | Lonely, Field(discriminator="kind")]

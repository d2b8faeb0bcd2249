"""Panel: what is stained with what, where it sits in the cell, and what its calls mean."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from imganalysis.settings import Fraction, Model, NotNegative, Positive

Compartment = Literal["nucleus", "ring", "cell", "max"]
"""``max`` is the greater of nucleus and ring."""

Statistic = Literal["mean", "median", "p90", "p95", "fraction_above", "sum"]


class Measure(Model):
    """One statistic of a marker that a gate is set on."""

    compartment: Compartment = "ring"
    statistic: Statistic = "mean"


class Channel(Model):
    """One channel of a stack and the marker it shows."""

    marker: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9+_.-]*$")
    names: tuple[str, ...] = ()  # channel names that it goes by; marker and fluorophore count too
    index: int | None = Field(None, ge=0)  # position, for files whose channels have no names
    fluorophore: str = ""
    excitation_nm: Positive | None = None  # peaks; known dyes need none
    emission_nm: Positive | None = None
    role: Literal["nuclei", "lineage", "state", "ignore"] = "lineage"
    measures: tuple[Measure, ...] = ()
    colour: str = "white"
    sensitivity: Fraction | None = None  # of the stain, with its origin, for Rogan-Gladen
    sensitivity_origin: str = ""
    antibody: str = ""
    form: str = ""  # of the antigen that the antibody sees, e.g. cleaved, total, unknown


class Match(Model):
    """Which files, series and channels a panel belongs to (glob patterns, case ignored)."""

    files: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()  # names that must all be among the file's channels


class Region(Model):
    """Density of cells that make a region: any of `positive`, nucleus large enough."""

    positive: tuple[str, ...]
    min_diameter_um: NotNegative = 8.0
    sigma_um: Positive = 25.0
    closing_um: NotNegative = 30.0
    min_density_per_mm2: Positive = 400.0


class Shape(Model):
    """Nuclei of a size and roundness (equivalent diameter with fragments merged)."""

    kind: Literal["shape"]
    min_diameter_um: NotNegative | None = None  # strictly more than this
    max_diameter_um: Positive | None = None  # at most this
    max_aspect: Positive | None = None  # strictly less than this


class InRegion(Model):
    """The centroid lies in the panel's region (annotated, or by density)."""

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
    """One of many cells positive for a marker, most of which have nuclei that are not `shape`."""

    kind: Literal["sheet"]
    positive: str
    negative: tuple[str, ...] = ()
    shape: str
    min_neighbours: int = Field(3, ge=1)
    min_share: Fraction = 0.5
    radius_um: Positive = 20.0


class Lonely(Model):
    """Outside the region, away from other positives, with a coarse granular marker."""

    kind: Literal["lonely_granular"]
    positive: str
    radius_um: Positive = 20.0
    max_neighbours: int = Field(1, ge=0)
    min_granularity: Positive = 1.0  # SD / mean of the marker in the ring


Context = Annotated[Shape | InRegion | Lymphoid | Sheet | Lonely, Field(discriminator="kind")]
Call = Literal["pos", "neg", "any"]


class Phenotype(Model):
    """One row of the phenotype table: it applies where `when` and `context` hold, not `unless`."""

    name: str
    when: dict[str, Call] = {}
    context: dict[str, bool] = {}
    unless: dict[str, bool] = {}
    role: Literal["tumour", "infiltrate", "excluded", "conflict", "other"] = "other"
    apoptotic: bool = False
    colour: str = "grey"


class FractionOf(Model):
    """A fraction per biopsy: classes in the numerator over classes in the denominator."""

    name: str
    numerator: tuple[str, ...]
    denominator: tuple[str, ...]
    count: str  # column of the denominator, e.g. n_tumour
    percent: bool = False
    endpoint: bool = False  # gets every interval, bound and sensitivity
    variants: dict[str, "FractionOf.Variant"] = {}

    class Variant(Model):
        """The same fraction by another definition."""

        numerator: tuple[str, ...]
        denominator: tuple[str, ...]


class Panel(Model):
    """What is stained with what on a section, and what a set of calls means."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    title: str = ""
    match: Match = Match()
    axes: str | None = None
    background: Literal["local", "none"] = "local"
    ring_um: Positive = 3.0
    small_ring_um: Positive | None = None  # ring of nuclei under small_nucleus_um, if given
    small_nucleus_um: Positive = 7.5
    channels: tuple[Channel, ...]
    region: Region | None = None
    contexts: dict[str, Context] = {}
    phenotypes: tuple[Phenotype, ...] = ()
    fractions: tuple[FractionOf, ...] = ()
    death_marker: str | None = None  # joins fragments; its antibody form titles the endpoint

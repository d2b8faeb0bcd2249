"""Panel: what is stained with what, where it sits in the cell, and what its calls mean."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from imganalysis.errors import PanelError
from imganalysis.panel_check import check_panel, markers_needed, panel_notes
from imganalysis.panel_contexts import Context, InRegion, Lonely, Lymphoid, Shape, Sheet
from imganalysis.panel_fractions import check_together
from imganalysis.panel_match import choose_panel, match_channels
from imganalysis.settings import Reading, explain
from imganalysis.settings_base import Fraction, Model, NotNegative, Positive
from imganalysis.tables import measure_column

__all__ = [
    "Channel", "Context", "FractionOf", "InRegion", "Lonely", "Lymphoid", "Match", "Measure",
    "Panel", "Phenotype", "Reference", "Region", "Shape", "Sheet", "Variant", "builtin_panels",
    "check_panel", "check_together", "choose_panel", "load_panel", "markers_needed",
    "match_channels", "panel_notes", "panel_path",
]  # fmt: skip

NAME = r"^[A-Za-z][A-Za-z0-9+_.-]*$"
COLOUR = r"^(#[0-9A-Fa-f]{6}|[a-z]+)$"

Compartment = Literal["nucleus", "ring", "cell", "max"]
"""``max`` is the greater of nucleus and ring."""

Statistic = Literal["mean", "median", "p90", "p95", "sum", "compensated"]
"""``compensated`` is the mean, freed of the neighbours' light at their contacts; of cells only."""


class Measure(Model):
    """One statistic of a marker that a gate is set on."""

    compartment: Compartment = "ring"
    statistic: Statistic = "mean"

    @model_validator(mode="after")
    def _of_cells(self) -> Measure:
        if self.statistic == "compensated" and self.compartment != "cell":
            raise ValueError(f"compensated is told of the cell only, not of the {self.compartment}")
        return self


DEFAULT_MEASURES: dict[str, tuple[Measure, ...]] = {
    "lineage": (Measure(compartment="ring", statistic="mean"),),
    "state": (Measure(compartment="max", statistic="mean"),),
}
"""What a gate is set on where the panel does not say: by the channel's role."""


class Reference(Model):
    """Cells of the samples that cannot be positive for a marker: one of the two kinds.

    Either those positive for a marker that excludes it, or those outside the tumour as a person
    outlined it, by at least `distance_um`.
    """

    positive_for: tuple[str, ...] = ()
    outside_region: bool = False
    distance_um: NotNegative = 25.0

    @model_validator(mode="after")
    def _one_kind(self) -> Reference:
        if bool(self.positive_for) == self.outside_region:
            raise ValueError("give either positive_for, with markers, or outside_region: true")
        return self


class Channel(Model):
    """One channel of a stack and the marker it shows."""

    marker: str = Field(pattern=NAME)
    names: tuple[str, ...] = ()  # channel names that it goes by; marker and fluorophore count too
    index: int | None = Field(None, ge=0)  # position, for files whose channels have no names
    fluorophore: str = ""
    excitation_nm: Positive | None = None  # peaks; known dyes need none
    emission_nm: Positive | None = None
    role: Literal["nuclei", "lineage", "state", "transmitted", "ignore"] = "lineage"
    measures: tuple[Measure, ...] = ()
    reference: Reference | None = None  # cells of the samples that must be negative
    colour: str = Field("white", pattern=COLOUR)
    cycle: int = Field(1, ge=1)  # of staining; dyes of different cycles never meet
    sensitivity: Fraction | None = None  # of the stain, with its origin, for Rogan-Gladen
    sensitivity_origin: str = ""
    antibody: str = ""
    all_around: bool = False  # who holds it does so on all sides, so light on one is a neighbour's
    form: str = ""  # of the antigen that the antibody sees, e.g. cleaved, total, unknown

    @model_validator(mode="before")
    @classmethod
    def _default_measures(cls, values: Any) -> Any:
        if isinstance(values, dict) and not values.get("measures"):
            measures = DEFAULT_MEASURES.get(values.get("role", "lineage"), ())
            return {**values, "measures": measures}
        return values

    @model_validator(mode="after")
    def _sensitivity_origin(self) -> Channel:
        if self.sensitivity is not None and not self.sensitivity_origin.strip():
            raise ValueError("sensitivity needs sensitivity_origin: where the number is from")
        return self

    @property
    def gated(self) -> bool:
        """Whether cells are called positive or negative for the marker."""
        return self.role in DEFAULT_MEASURES

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the measures that its gates are set on."""
        return tuple(measure_column(self.marker, m.compartment, m.statistic) for m in self.measures)


class Match(Model):
    """Which files, series and channels a panel belongs to (glob patterns, case ignored)."""

    files: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()  # names that must all be among the file's channels


class Region(Model):
    """Density of cells that make a region: any of `positive`, nucleus large enough.

    In a thin section half of a nest's profiles are that large, at its margin half of the kernel
    is empty, and shrunken dying nuclei are too small: the threshold leaves room for all three.
    """

    positive: tuple[str, ...]
    min_diameter_um: NotNegative = 8.0
    sigma_um: Positive = 25.0
    closing_um: NotNegative = 30.0
    min_density_per_mm2: Positive = 250.0


Call = Literal["pos", "neg", "any"]


class Phenotype(Model):
    """One row of the phenotype table: it applies where `when` and `context` hold, not `unless`."""

    name: str = Field(pattern=NAME)
    when: dict[str, Call] = Field(default_factory=dict)
    context: dict[str, bool] = Field(default_factory=dict)
    unless: dict[str, bool] = Field(default_factory=dict)
    role: Literal["tumour", "infiltrate", "excluded", "conflict", "other"] = "other"
    apoptotic: bool = False
    colour: str = Field("grey", pattern=COLOUR)


class Variant(Model):
    """A fraction by another definition."""

    numerator: tuple[str, ...]
    denominator: tuple[str, ...]


class FractionOf(Model):
    """A fraction per biopsy: classes in the numerator over classes in the denominator."""

    name: str = Field(pattern=NAME)
    numerator: tuple[str, ...]
    denominator: tuple[str, ...]
    count: str = Field(pattern=NAME)  # column of the denominator, e.g. n_tumour
    empty_reason: str = Field("empty_denominator", pattern=NAME)  # why it is NA without cells
    percent: bool = False
    endpoint: bool = False  # gets every interval, bound and sensitivity
    variants: dict[str, Variant] = Field(default_factory=dict)


class Panel(Model):
    """What is stained with what on a section, and what a set of calls means."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    title: str = ""
    match: Match = Match()
    axes: str | None = None
    background: Literal["local", "global", "none"] = "local"
    ring_um: Positive = 3.0
    small_ring_um: Positive | None = None  # ring of nuclei under small_nucleus_um, if given
    small_nucleus_um: Positive = 7.5
    channels: tuple[Channel, ...]
    region: Region | None = None
    contexts: dict[str, Context] = Field(default_factory=dict)
    phenotypes: tuple[Phenotype, ...] = ()
    fractions: tuple[FractionOf, ...] = ()
    conflicts: tuple[tuple[str, str], ...] | None = None  # markers that exclude each other
    death_marker: str | None = None  # joins fragments; its antibody form titles the endpoint

    @field_validator("axes")
    @classmethod
    def _axes(cls, value: str | None) -> str | None:
        return Reading(axes=value).axes

    @property
    def nuclei(self) -> Channel:
        """The channel that shows the nuclei."""
        return next(c for c in self.channels if c.role == "nuclei")

    @property
    def transmitted(self) -> str | None:
        """Marker of the channel of light that went through the section, which shows pigment."""
        return next((c.marker for c in self.channels if c.role == "transmitted"), None)

    @property
    def gated(self) -> tuple[Channel, ...]:
        """Channels whose marker cells are called positive or negative for."""
        return tuple(c for c in self.channels if c.gated)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the phenotype table's classes, each once, in its order."""
        return tuple(dict.fromkeys(row.name for row in self.phenotypes))

    @property
    def conflict_pairs(self) -> tuple[tuple[str, str], ...]:
        """Lineage markers that no one cell has: `conflicts`, or by the rows of that role."""
        if self.conflicts is not None:
            return self.conflicts
        lineage = [c.marker for c in self.channels if c.role == "lineage"]
        rows = [row.when for row in self.phenotypes if row.role == "conflict"]
        both = [[m for m in lineage if when.get(m) == "pos"] for when in rows]
        return tuple(dict.fromkeys(pair for markers in both for pair in combinations(markers, 2)))

    def channel(self, marker: str) -> Channel:
        """Find the channel that shows a marker.

        Raises
        ------
        PanelError
            The panel has no such marker.
        """
        for channel in self.channels:
            if channel.marker == marker:
                return channel
        known = ", ".join(c.marker for c in self.channels)
        raise PanelError(f"panel '{self.name}' has no marker {marker}; it has {known}")


def builtin_panels() -> dict[str, Path]:
    """Names and files of the panels that come with the package."""
    from importlib.resources import files

    folder = Path(str(files("imganalysis") / "panels"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def panel_path(name: str | Path) -> Path:
    """Find a panel file.

    Parameters
    ----------
    name
        A file, or the name of a built-in panel.

    Raises
    ------
    PanelError
        Neither.
    """
    path = Path(name)
    if path.is_file():
        return path
    builtin = builtin_panels()
    if str(name) in builtin:
        return builtin[str(name)]
    raise PanelError(
        f"{name}: no such panel file, and no built-in panel; built in are {', '.join(builtin)}"
    )


def load_panel(name: str | Path) -> Panel:
    """Read and check a panel file.

    Parameters
    ----------
    name
        A YAML file, or the name of a built-in panel.

    Raises
    ------
    PanelError
        No such file, not YAML, a key twice, an unknown key, or a table that does not hold up.
    SpectralClashError
        Two dyes of one section that no filter separates.
    """
    path = panel_path(name)
    try:
        panel = Panel.model_validate(_read_yaml(path))
    except ValidationError as error:
        raise PanelError(f"{path}: {explain(error)}") from None
    check_panel(panel, source=str(path))
    return panel


def _read_yaml(path: Path) -> dict[str, Any]:
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML in which a key may stand only once: the second would silently win."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            seen = set()
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise PanelError(
                        f"{path}: line {key.start_mark.line + 1}: a key is one word, "
                        "not a list or a table"
                    )
                if key.tag != "tag:yaml.org,2002:merge":
                    if key.value in seen:
                        raise PanelError(
                            f"{path}: line {key.start_mark.line + 1}: "
                            f"the key '{key.value}' stands twice"
                        )
                    seen.add(key.value)
            return super().construct_mapping(node, deep)

    try:
        content = yaml.load(path.read_text(encoding="utf-8-sig"), Loader)  # noqa: S506  is safe
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise PanelError(f"{path}: {place}not YAML ({error.problem})") from None
    except PanelError:
        raise
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PanelError(f"{path}: cannot be read as UTF-8 text ({error})") from None
    except ValueError as error:  # e.g. a date without such a day
        raise PanelError(f"{path}: a value cannot be read ({error})") from None
    if not isinstance(content, dict):
        raise PanelError(f"{path}: a panel file holds names and values, e.g. 'name: my_panel'")
    return content

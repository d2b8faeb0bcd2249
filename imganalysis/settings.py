"""Everything a run can be told. Each default stands here and nowhere else."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator

from imganalysis.errors import SettingsError
from imganalysis.methods import NetworkMethod, Segmentation
from imganalysis.settings_artefacts import Artefacts
from imganalysis.settings_base import Fraction, Model, NotNegative, Positive
from imganalysis.settings_calibration import Calibrating
from imganalysis.settings_counting import Counting
from imganalysis.settings_gating import Ladder
from imganalysis.settings_neighbours import Neighbours
from imganalysis.settings_space import Space
from imganalysis.stack import PLAUSIBLE_UM

if TYPE_CHECKING:
    from pathlib import Path


class Reading(Model):
    """How image files are understood."""

    pixel_size: tuple[float | None, float, float] | None = Field(
        None, title="Pixel size (Z, Y, X)", description="um; overrides what the files say"
    )
    axes: str | None = Field(
        None, title="Axes", description="order of the axes of TIFF files that do not say, e.g. CYX"
    )
    time: int = Field(0, ge=0, title="Time point", description="which one of a time series")
    allow_rgb: bool = Field(False, title="Allow RGB", description="read RGB images, flagged")
    backend: Literal["auto", "bioio", "aicsimageio"] = Field("auto", title="Reading library")

    @field_validator("pixel_size")
    @classmethod
    def _plausible(
        cls, value: tuple[float | None, float, float] | None
    ) -> tuple[float | None, float, float] | None:
        low, high = PLAUSIBLE_UM
        if value is not None and not all(v is None or low <= v <= high for v in value):
            raise ValueError(
                f"pixel sizes of a microscope lie between {low} and {high} um, got {value}"
            )
        return value

    @field_validator("axes")
    @classmethod
    def _axes(cls, value: str | None) -> str | None:
        if value is None:
            return None
        value = value.upper()
        if not {"Y", "X"} <= set(value) <= set("TCZYXS") or len(set(value)) != len(value):
            raise ValueError(f"axes are letters of TCZYX, each once, with Y and X; got {value!r}")
        return value


USUAL_SECTION_UM = 3.0
"""Thickness that planes are chosen for where nobody says it."""


class Projection(Model):
    """How a stack of planes becomes the picture that is measured."""

    method: Literal["auto", "mean", "none"] = Field(
        "auto",
        title="Projection",
        description="auto: mean over the section for stacks thinner than a nucleus, "
        "none for thicker ones",
    )
    section_um: Positive | None = Field(
        None,
        title="Section thickness",
        description=f"um; the manifest's section_um goes first. Not given: planes are chosen for "
        f"{USUAL_SECTION_UM:g}, and nothing is corrected for the section",
    )
    thick_um: Positive = Field(
        8.0, title="Thick stack", description="um; a stack from this thickness on is left in 3-D"
    )

    def chosen_um(self, known: float | None = None) -> float:
        """Thickness that planes are chosen for, um; `known` is the field's own."""
        return known or self.section_um or USUAL_SECTION_UM


class Preparation(Model):
    """What is done to the pixels before they are measured."""

    background: Literal["panel", "local", "global", "none"] = Field(
        "panel",
        title="Background",
        description="subtracted before measuring: the level around each place, one level per "
        "channel, or nothing",
    )
    background_window_um: Positive = Field(
        60.0, title="Background window", description="um; wider than any group of bright cells"
    )
    tissue: bool = Field(
        True, title="Tissue", description="outlined; otherwise all of a field counts as tissue"
    )
    tissue_smooth_um: Positive = Field(
        4.0, title="Tissue smoothing", description="um; for the outline of the tissue"
    )
    tissue_hole_um2: NotNegative = Field(
        400.0, title="Smallest hole", description="um2; smaller gaps count as tissue"
    )
    max_black_fraction: Fraction = Field(
        0.999, title="Black", description="a channel with more zero pixels than this is black"
    )


class Measuring(Model):
    """Cells, the frame in which they are counted, and which are evaluable."""

    guard_um: NotNegative = Field(
        8.0, title="Guard frame", description="um; cells centred nearer the border are not counted"
    )
    expansion_um: Positive = Field(
        3.0, title="Cell radius beyond the nucleus", description="um; bounded by neighbours"
    )
    min_diameter_um: NotNegative = Field(
        3.0, title="Smallest evaluable nucleus", description="um, equivalent diameter"
    )
    max_saturated: Fraction = Field(
        0.02, title="Saturation", description="nuclei with more clipped pixels are not evaluable"
    )
    check_nuclei: bool = Field(
        True,
        title="Check the nuclear stain",
        description="refuse fields in which another channel looks more like nuclei",
    )
    cap_fraction: Fraction = Field(
        0.5, title="Cap", description="profiles under this share of the median diameter are caps"
    )


class Gating(Model):
    """How thresholds are found and used."""

    control_percentile: float = Field(
        99.0, gt=50, lt=100, title="Control percentile", description="of the control's cells"
    )
    min_control_cells: int = Field(
        200, ge=1, title="Control cells", description="a control with fewer sets no gate"
    )
    indeterminate_band: Fraction = Field(
        0.15, title="Indeterminate band", description="share of the gate on either side of it"
    )
    sensitivity_factors: tuple[Positive, Positive] = Field(
        (0.8, 1.25), title="Gate sensitivity", description="factors at which results are repeated"
    )
    ladder: Ladder = Ladder()
    scimap_log: bool = Field(
        True,
        title="scimap's logarithm",
        description="a gates CSV holds log1p of grey levels, as scimap's rescale(log=True) wants",
    )


class Summary(Model):
    """How counts become numbers per biopsy."""

    confidence: float = Field(0.95, gt=0.5, lt=1, title="Confidence")
    deff_default: float = Field(
        5.0, ge=1, title="Design effect", description="where fields cannot tell it"
    )
    minimum_cells: int = Field(200, ge=1, description="fewer: flag below_minimum")
    minimum_fields: int = Field(3, ge=1, description="fewer: flag below_minimum")
    low_cells: int = Field(500, ge=1, description="fewer: flag low_count")
    low_fields: int = Field(5, ge=1, description="fewer: flag low_count")
    ratios: tuple[tuple[str, str], ...] = Field(
        (("infiltrate", "tumour"),),
        title="Ratios",
        description="by density: a class, or tumour or infiltrate (classes of that role), over "
        "another",
    )


class Output(Model):
    """What is written."""

    overlays: bool = Field(True, title="Overlays")
    quality: bool = Field(True, title="Quality pictures", description="one sheet per field")
    cells_csv: bool = Field(False, title="Cells as CSV", description="beside parquet")


class Settings(Model):
    """Everything a run can be told."""

    reading: Reading = Reading()
    projection: Projection = Projection()
    calibration: Calibrating = Calibrating()
    preparation: Preparation = Preparation()
    artefacts: Artefacts = Artefacts()
    segmentation: Segmentation = NetworkMethod()
    measuring: Measuring = Measuring()
    counting: Counting = Counting()
    neighbours: Neighbours = Neighbours()
    gating: Gating = Gating()
    summary: Summary = Summary()
    space: Space = Space()
    output: Output = Output()


def parse_settings(values: dict[str, Any], *, source: str = "settings") -> Settings:
    """Check settings.

    Parameters
    ----------
    values
        Nested names and values, as in a settings file.
    source
        Where they are from, for the message.

    Raises
    ------
    SettingsError
        An unknown name, or a value that is out of range.
    """
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(f"{source}: {explain(error)}") from None


def explain(error: ValidationError) -> str:
    """Say in one line each what a settings or panel file has wrong."""
    lines = []
    for item in error.errors():
        place = ".".join(str(part) for part in item["loc"] if part != "added") or "(top level)"
        found = item.get("input")
        shown = "" if isinstance(found, dict | list) or found is None else f"; found {found!r}"
        said = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            said = "unknown name"
        lines.append(f"{place}: {said}{shown}")
    return "; ".join(lines)


def fingerprint(*parts: Any) -> str:
    """Hash settings and other plain values: equal values, equal hash.

    Parameters
    ----------
    parts
        Pydantic models, or anything that JSON can hold.

    Returns
    -------
    str
        First 16 hexadecimal digits of the SHA-256.
    """
    plain = [p.model_dump(mode="json") if isinstance(p, BaseModel) else p for p in parts]
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_settings(path: Path) -> dict[str, Any]:
    """Read a settings file: YAML, or the run.json of an earlier run.

    Parameters
    ----------
    path
        Nested names and values, as in `Settings`.

    Raises
    ------
    SettingsError
        Not there, or not a mapping.
    """
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not a settings file ({error})") from None
    if isinstance(values, dict) and path.suffix == ".json":
        values = values.get("settings")
    if not isinstance(values, dict):
        raise SettingsError(f"{path}: expected names and values, as in run.json under 'settings'")
    return values

"""How nuclei are found: the settings of every method. Each default stands here and nowhere else."""

from __future__ import annotations

from importlib import metadata
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    SerializeAsAny,
    Tag,
    field_validator,
    model_validator,
)

from imganalysis.settings_base import Fraction, Model, NotNegative, Positive

Percent = Annotated[float, Field(ge=0, le=100)]

ENTRY_POINTS = "imganalysis.segmenters"
"""Group of entry points by which other packages add methods."""

DEVICE = r"^(cpu|mps|cuda(:\d+)?)$"
"""Names of devices of torch."""


class Method(Model):
    """Base of the settings of a method that finds nuclei in images."""

    method: str
    nucleus_diameter_um: Positive = Field(
        8.0, le=100, title="Nucleus diameter", description="um; of a typical nucleus"
    )
    smallest_nucleus_um: Positive = Field(
        2.0, title="Smallest nucleus", description="um; smaller objects are debris"
    )

    @model_validator(mode="after")
    def _smaller(self) -> Method:
        if not self.smallest_nucleus_um < self.nucleus_diameter_um:
            raise ValueError(
                f"smallest_nucleus_um ({self.smallest_nucleus_um:g}) is not below "
                f"nucleus_diameter_um ({self.nucleus_diameter_um:g})"
            )
        return self


class ScikitImageMethod(Method):
    """Nuclei by smoothing, local threshold, seeds and watershed."""

    method: Literal["scikit-image"] = "scikit-image"
    sensitivity: Fraction = Field(
        0.5, title="Sensitivity", description="0 finds bright nuclei only, 1 the dimmest too"
    )


class NetworkMethod(Method):
    """Nuclei by the network that comes with the package, or one that `imganalysis train` made."""

    method: Literal["network"] = "network"
    model: str = Field(
        "nuclei", min_length=1, title="Network", description="nuclei, or an ONNX file of yours"
    )
    sensitivity: Fraction = Field(
        0.5, title="Sensitivity", description="0 finds clear nuclei only, 1 the faintest too"
    )


class CellposeMethod(Method):
    """Nuclei by Cellpose 3 or 4, whichever is installed."""

    method: Literal["cellpose"] = "cellpose"
    model: str | None = Field(
        None,
        min_length=1,
        title="Model",
        description="a built-in name or a model file; nuclei (Cellpose 3) or cpsam (4) if none",
    )
    cellprob_threshold: float = Field(
        0.0, ge=-8, le=8, title="Cell probability", description="lower finds fainter nuclei"
    )
    flow_threshold: NotNegative = Field(
        0.4, title="Flow error", description="higher keeps odder shapes; 0 keeps all"
    )
    percentile: tuple[Percent, Percent] = Field(
        (1.0, 99.0), title="Dark and bright", description="percentiles that become 0 and 1"
    )
    stitch_threshold: Fraction = Field(
        0.0,
        title="Stitching",
        description="0: stacks in 3-D; else planes are joined where they overlap by more",
    )
    batch_size: int = Field(8, ge=1, le=1024, title="Tiles at a time")
    tile_overlap: float = Field(0.1, ge=0.05, le=0.5, title="Overlap of tiles")
    device: str = Field("cpu", pattern=DEVICE, title="Device")
    download: bool = Field(
        False,
        title="Download",
        description="fetch official weights that are not there; they were trained on "
        "non-commercial data",
    )

    @field_validator("percentile")
    @classmethod
    def _rising(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not value[0] < value[1]:
            raise ValueError(f"dark lies below bright, got {value}")
        return value


class GivenLabels(Model):
    """Nuclei from label images that somebody else made."""

    method: Literal["given"] = "given"
    path: str = Field(title="Label image", description="a file, or a folder with one per field")
    page: int | str | None = Field(None, title="Page", description="number or name of the page")


BUILT_IN: dict[str, type[Model]] = {
    "network": NetworkMethod,
    "scikit-image": ScikitImageMethod,
    "cellpose": CellposeMethod,
    "given": GivenLabels,
}
"""Method -> its settings."""


def added_methods() -> dict[str, metadata.EntryPoint]:
    """Methods of other packages: name -> entry point, not loaded. Built-in names stay built in."""
    found = sorted(metadata.entry_points(group=ENTRY_POINTS), key=lambda e: (e.name, e.value))
    return {entry.name: entry for entry in found if entry.name not in BUILT_IN}


def load_added(name: str) -> Any:
    """Load what the entry point of a method names: an `imganalysis.segment.registry.Segmenter`.

    Raises
    ------
    ValueError
        No package adds this method, or what it names is no segmenter.
    """
    added = added_methods()
    if name not in added:
        raise ValueError(f"unknown method {name!r}; expected one of {_names(added)}")
    try:
        loaded = added[name].load()
    except Exception as error:  # a foreign package may raise anything
        raise ValueError(
            f"method {name!r} ({added[name].value}) cannot be loaded: "
            f"{type(error).__name__}: {error}"
        ) from None
    settings = getattr(loaded, "settings", None)
    if not (isinstance(settings, type) and issubclass(settings, Method)):
        raise ValueError(
            f"method {name!r}: {added[name].value} is no segmenter: its `settings` are no "
            "class derived from imganalysis.methods.Method"
        )
    return loaded


def _names(added: dict[str, Any]) -> str:
    return ", ".join([*BUILT_IN, *added])


def _which(value: Any) -> str:
    name = value.get("method", DEFAULT) if isinstance(value, dict) else value.method
    return name if isinstance(name, str) and name in BUILT_IN else "added"


def _added(value: Any) -> Any:
    if isinstance(value, Method):
        return value
    name = value["method"]
    if not isinstance(name, str):
        raise ValueError(f"expected the name of a method, found {name!r}")
    return load_added(name).settings.model_validate(value)


Segmentation = Annotated[
    Annotated[NetworkMethod, Tag("network")]
    | Annotated[ScikitImageMethod, Tag("scikit-image")]
    | Annotated[CellposeMethod, Tag("cellpose")]
    | Annotated[GivenLabels, Tag("given")]
    | Annotated[SerializeAsAny[Method], BeforeValidator(_added), Tag("added")],
    Discriminator(_which),
]

DEFAULT = "network"
"""Method where none is named."""

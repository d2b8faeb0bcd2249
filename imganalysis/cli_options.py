"""Options that several commands share, and what their texts mean."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from imganalysis.errors import SettingsError
from imganalysis.methods import BUILT_IN, DEFAULT, Method, load_added

_NOT_OF_ALL = ("model", "sensitivity", "device", "download")  # settings of some methods only


def check_diameter_px(value: float | None) -> float | None:
    """Refuse a diameter in pixels that is none, by the name of its option."""
    from imganalysis.segment.limits import LEAST_PX

    if value is None or (math.isfinite(value) and value >= LEAST_PX):
        return value
    raise SettingsError(
        f"--diameter-px: expected the diameter of a typical nucleus in pixels, {LEAST_PX:g} or "
        f"more; found {value:g}"
    )


CorrectionsOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE|FOLDER", help="Log of a person's corrections (corrections.jsonl)."),
]
MethodOption = Annotated[
    str | None,
    typer.Option(
        metavar="network|scikit-image|cellpose|...",
        help="How nuclei are found; network by default. Other packages can add methods.",
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help="Weights of the method: a built-in name, or a file of yours.",
    ),
]
DiameterOption = Annotated[
    float | None,
    typer.Option(
        "--nucleus-diameter", metavar="UM", help="Diameter of a typical nucleus, um; 8 by default."
    ),
]
SensitivityOption = Annotated[
    float | None, typer.Option(help="0 finds clear nuclei only, 1 the faintest too.")
]
DeviceOption = Annotated[
    str | None,
    typer.Option(metavar="cpu|cuda|mps", help="Where a network of Cellpose runs; cpu by default."),
]
DownloadOption = Annotated[
    bool,
    typer.Option(
        "--download",
        help="Fetch official weights of Cellpose that are not there; they were trained on "
        "non-commercial data.",
    ),
]
PixelSizeOption = Annotated[
    str | None,
    typer.Option(metavar="[Z,]Y,X", help="Pixel size in um; overrides what the files say."),
]


def method_values(
    method: str | None,
    model: str | None,
    nucleus_diameter: float | None,
    sensitivity: float | None,
    device: str | None = None,
    download: bool = False,
    *,
    over: bool = False,
) -> dict[str, Any]:
    """Collect what options say of the segmentation, as in a settings file.

    Parameters
    ----------
    method, model, nucleus_diameter, sensitivity, device, download
        As the options of these names.
    over
        They go over a settings file, which may name the method: `over_file` checks them.

    Raises
    ------
    SettingsError
        The method is that of nuclei which somebody else found, or takes no such option.
    """
    if method == "given":
        raise SettingsError(
            "--method given: nothing is to be found; label images of yours are given with "
            "imganalysis run --nuclei"
        )
    given = {
        "method": method,
        "model": model,
        "nucleus_diameter_um": nucleus_diameter,
        "sensitivity": sensitivity,
        "device": device,
        "download": download or None,
    }
    found = {name: value for name, value in given.items() if value is not None}
    if not over:
        _check_taken(found, method or DEFAULT)
    return found


def _check_taken(given: dict[str, Any], method: str) -> None:
    """Refuse options that a method has no setting for; an unknown method is told of elsewhere."""
    try:
        kind = BUILT_IN[method] if method in BUILT_IN else load_added(method).settings
    except ValueError:
        return
    for name in _NOT_OF_ALL:
        if name in given and name not in kind.model_fields:
            others = [other for other in BUILT_IN if name in BUILT_IN[other].model_fields]
            raise SettingsError(
                f"method {method} takes no --{name}; it is an option of {' and '.join(others)}"
            )


def over_file(before: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Put what options say of the segmentation on top of what a settings file says.

    Where the method changes, only what all methods share is kept of the file.

    Raises
    ------
    SettingsError
        The method takes no such option.
    """
    earlier = before.get("method", DEFAULT)
    _check_taken(given, str(given.get("method", earlier)))
    if given.get("method", earlier) != earlier:
        before = {name: value for name, value in before.items() if name in Method.model_fields}
    return {**before, **given}


def parse_pixel_size(text: str | None) -> tuple[float | None, float, float] | None:
    """Read an option [Z,]Y,X, sizes of a pixel in um.

    Raises
    ------
    SettingsError
        Not two or three numbers.
    """
    if text is None:
        return None
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) == 2:
        return (None, values[0], values[1])
    if len(values) == 3:
        return (values[0], values[1], values[2])
    raise SettingsError(
        f"--pixel-size: expected Y,X or Z,Y,X in um, e.g. 0.23,0.23 or 0.5,0.23,0.23; "
        f"found {text!r}"
    )

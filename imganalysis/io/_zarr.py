"""OME-Zarr: axes, units and scales from its JSON."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from imganalysis.errors import UnreadableImageError
from imganalysis.io._backend import Image, reading
from imganalysis.io._facts import Facts, other_axes
from imganalysis.io._pixelsize import believe, shown, um_per

if TYPE_CHECKING:
    from pathlib import Path


def zarr_facts(path: Path, open_lazily: Any) -> list[Facts]:
    """Every multiscale image of an OME-Zarr folder, no pixels read.

    Parameters
    ----------
    path
        The folder.
    open_lazily
        Opens it as an `Image`; called once the metadata are found sound.

    Raises
    ------
    UnreadableImageError
        The folder holds no OME-Zarr image, or points outside itself.
    """
    attributes = _attributes(path)
    multiscales = attributes.get("multiscales")
    if not isinstance(multiscales, list) or not multiscales:
        inside = "a plate or several images" if _holds_images(attributes) else "no image"
        raise UnreadableImageError(
            f"{path}: expected an OME-Zarr image (multiscales in its attributes), found {inside}. "
            f"Name the folder of one image inside, e.g. {path / '0'}."
        )
    with reading(path, "zarr"):
        for image in multiscales:
            for dataset in image["datasets"]:
                part = PurePosixPath(dataset["path"])
                if part.is_absolute() or ".." in part.parts or "\\" in str(part):
                    raise UnreadableImageError(
                        f"{path}: its metadata name pixels outside the folder ({part}); not read."
                    )
        opened: Image = open_lazily()
        return [_series(opened, i, image, attributes) for i, image in enumerate(multiscales)]


def _attributes(path: Path) -> dict[str, Any]:
    with reading(path, "zarr"):
        if (path / "zarr.json").is_file():
            text = (path / "zarr.json").read_text(encoding="utf-8")
            found = json.loads(text).get("attributes", {})
            return dict(found.get("ome", found))
        if (path / ".zattrs").is_file():
            return dict(json.loads((path / ".zattrs").read_text(encoding="utf-8")))
    return {}


def _holds_images(attributes: dict[str, Any]) -> bool:
    return any(key in attributes for key in ("plate", "well", "bioformats2raw.layout"))


def _series(opened: Image, index: int, image: dict[str, Any], attributes: dict[str, Any]) -> Facts:
    axes, array = opened.lazy(index)
    shape = tuple(int(n) for n in array.shape)
    # Before version 0.4 axes were plain letters without units.
    named = [a if isinstance(a, dict) else {"name": a} for a in image.get("axes", ())]
    units = {str(a["name"]).upper(): a.get("unit") for a in named}
    scale = _scale(image, len(axes))
    um: dict[str, float | None] = {}
    notes = []
    for letter, value in zip(axes, scale, strict=True):
        factor = um_per(units.get(letter))
        if letter in "ZYX" and value is not None:
            um[letter] = value * factor if factor else None
            if not factor and letter in "YX":
                notes.append(shown(value))
    note = f"pixel size {' x '.join(notes)} found without a unit, not believed" if notes else ""
    planes = shape[axes.index("Z")] if "Z" in axes else 1
    pixel_size, flags = believe(um.get("Z"), um.get("Y"), um.get("X"), planes=planes, note=note)
    channels = (attributes.get("omero") or {}).get("channels") or []
    return Facts(
        name=str(image.get("name") or ""),
        axes=axes,
        shape=shape,
        dtype=str(array.dtype),
        channels=tuple(str(c.get("label") or "") for c in channels),
        pixel_size=pixel_size,
        not_a_field=other_axes(axes, shape),
        flags=flags,
    )


def _scale(image: dict[str, Any], n: int) -> list[float | None]:
    """Scale of the full resolution along each axis: the product of both transformations."""
    scale: list[float | None] = [None] * n
    for owner in (image["datasets"][0], image):
        for step in owner.get("coordinateTransformations", ()):
            if step.get("type") == "scale" and len(step.get("scale", ())) == n:
                scale = [
                    float(new) * (1.0 if old is None else old)
                    for old, new in zip(scale, step["scale"], strict=True)
                ]
    return scale

"""OME-XML in a TIFF: names, sizes with their units, and whether the pixels are in this file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imganalysis.errors import UnreadableImageError
from imganalysis.io._pixelsize import shown, um_per
from imganalysis.io._xml import local, parse_xml

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element


@dataclass(frozen=True)
class OmeImage:
    """One image of an OME-XML.

    Parameters
    ----------
    name
        As in the file.
    shape
        Sizes of Y and X.
    channels
        Names, empty where there is none.
    z, y, x
        Physical size of a pixel in um, None if not given or not believed.
    note
        What was found and not believed.
    """

    name: str
    shape: tuple[int, int]
    channels: tuple[str, ...]
    z: float | None
    y: float | None
    x: float | None
    note: str


def ome_images(text: str, path: Path) -> list[OmeImage]:
    """Read the images of an OME-XML.

    Raises
    ------
    UnreadableImageError
        The XML is damaged, or pixels are in other files. Such a set is not read: each of its
        files describes the whole set, so a folder of them would count every field many times,
        and a missing part would be read as black.
    """
    root = parse_xml(text, path)
    _refuse_other_files(root, path)
    return [
        _image(image, pixels)
        for image in root
        if local(image.tag) == "Image"
        for pixels in image
        if local(pixels.tag) == "Pixels"
    ]


def _refuse_other_files(root: Element, path: Path) -> None:
    own = root.attrib.get("UUID")
    for element in root.iter():
        tag = local(element.tag)
        if tag == "BinaryOnly":
            other = element.attrib.get("MetadataFile", "")
        elif tag == "UUID":
            other = element.attrib.get("FileName", "")
            # A file that was renamed still has its own identifier.
            here = (element.text or "").strip() == own if own else other == path.name
            if here:
                continue
        else:
            continue
        raise UnreadableImageError(
            f"{path}: is one part of an OME-TIFF of several files (another is {other!r}), which is "
            f"not read. Save it as one OME-TIFF file, for example with Fiji or bfconvert."
        )


def _image(image: Element, pixels: Element) -> OmeImage:
    notes: list[str] = []
    z, y, x = (_size_um(pixels, axis, notes) for axis in "ZYX")
    raw = [pixels.attrib.get(f"PhysicalSize{axis}") for axis in "YX"]
    units = [pixels.attrib.get(f"PhysicalSize{axis}Unit") for axis in "YX"]
    if (y, x) == (1.0, 1.0) and units == [None, None]:
        # Converters write 1 where they know nothing; who calibrated gives the unit.
        notes.append(f"pixel size {raw[0]} x {raw[1]} found without a unit, not believed")
        z = y = x = None
    names = tuple(
        c.attrib.get("Name") or c.attrib.get("Fluor") or ""
        for c in pixels
        if local(c.tag) == "Channel"
    )
    return OmeImage(
        name=image.attrib.get("Name") or image.attrib.get("ID") or "",
        shape=(_integer(pixels, "SizeY"), _integer(pixels, "SizeX")),
        channels=names,
        z=z,
        y=y,
        x=x,
        note="; ".join(notes),
    )


def _integer(pixels: Element, name: str) -> int:
    try:
        return int(pixels.attrib.get(name, "0"))
    except ValueError:
        return 0


def _size_um(pixels: Element, axis: str, notes: list[str]) -> float | None:
    text = pixels.attrib.get(f"PhysicalSize{axis}")
    if text is None:
        return None
    unit = pixels.attrib.get(f"PhysicalSize{axis}Unit", "µm")  # the schema's default
    try:
        value = float(text)
    except ValueError:
        notes.append(f"physical size {axis} is no number: {text[:20]!r}")
        return None
    factor = um_per(unit)
    if factor is None:
        if value:
            notes.append(
                f"physical size {axis} {shown(value)} found in {unit!r}, which is no length"
            )
        return None
    return value * factor

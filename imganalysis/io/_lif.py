"""Leica LIF: scan axes, step and tile positions, which readers of pixels drop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imganalysis.errors import UnreadableImageError
from imganalysis.io._backend import library, reading
from imganalysis.io._facts import Facts, other_axes
from imganalysis.io._pixelsize import believe
from imganalysis.io._tiles import counted_parts

if TYPE_CHECKING:
    from pathlib import Path

# DimID of Leica's DimensionDescription; 10 is the stage position, which is not scanned.
_SCAN = {1: "x", 2: "y", 3: "z", 4: "t", 5: "l", 6: "r", 7: "n", 8: "q", 9: "e", 11: "p"}
_STAGE = 10


def lif_facts(path: Path) -> list[Facts]:
    """Every series of a LIF file, no pixels read.

    Raises
    ------
    MissingLibraryError
        liffile is not installed.
    UnreadableImageError
        The file is damaged.
    """
    liffile = library("liffile", "lif")
    with reading(path, "lif"), liffile.LifFile(path) as lif:
        return [_series(path, image) for image in lif.images]


def _series(path: Path, image: Any) -> Facts:
    block = image.memory_block
    if block.offset + block.size > path.stat().st_size:
        raise UnreadableImageError(
            f"{path}: is cut off: the pixels of {image.path!r} should end at byte "
            f"{block.offset + block.size}, the file has {path.stat().st_size}. "
            f"Copy it again from its source."
        )
    xml = image.xml_element.find("Data/Image")
    dimensions = [
        d.attrib for d in xml.iterfind("ImageDescription/Dimensions/DimensionDescription")
    ]
    ids = [int(d["DimID"]) for d in dimensions]
    scan = "".join(_SCAN.get(i, "?") for i in ids if i != _STAGE)
    # liffile writes wavelengths with Greek letters.
    axes = "".join(image.dims).replace("λ", "L").replace("Λ", "E")
    shape = tuple(int(n) for n in image.shape)
    steps = {_SCAN[int(d["DimID"])]: _step_um(d) for d in dimensions if int(d["DimID"]) in _SCAN}
    size = dict(zip(axes, shape, strict=True))
    pixel_size, flags = believe(
        steps.get("z"), steps.get("y"), steps.get("x"), planes=size.get("Z", 1)
    )
    not_a_field = "" if scan[:2] == "xy" and set(scan[2:]) <= {"z", "t"} else f"scan_{scan}"
    if image.is_flim:
        not_a_field = "flim"
    if "S" in axes:
        flags += ("rgb",)
    facts = Facts(
        name=image.path,
        axes=axes,
        shape=shape,
        dtype=str(image.dtype),
        channels=tuple(
            c.attrib.get("LUTName", "")
            for c in xml.iterfind("ImageDescription/Channels/ChannelDescription")
        ),
        pixel_size=pixel_size,
        not_a_field=not_a_field or other_axes(axes, shape),
        flags=flags,
    )
    if size.get("M", 1) < 2 or facts.not_a_field:
        return facts
    return _with_tiles(facts, image.tilescan)


def _step_um(dimension: dict[str, str]) -> float | None:
    """Step along an axis: Leica's Length runs from the first element's middle to the last's."""
    n = int(dimension["NumberOfElements"])
    if n < 2 or dimension.get("Unit") != "m":
        return None
    return float(dimension["Length"]) / (n - 1) * 1e6


def _with_tiles(facts: Facts, scan: Any) -> Facts:
    """Add the tiles, and the part of each that is counted if the stage's positions tell."""
    from dataclasses import replace

    n = facts.size("M")
    y, x = facts.pixel_size.y, facts.pixel_size.x
    parts = None
    if scan is not None and len(scan) == n and y and x:
        positions = _positions(scan, y, x)
        if positions is not None:
            parts = counted_parts(positions, facts.size("Y"), facts.size("X"))
    if parts is None:
        return replace(
            facts, tiles=dict.fromkeys(range(n)), flags=(*facts.flags, "overlap_unknown")
        )
    return replace(facts, tiles=parts)


def _positions(scan: Any, y_um: float, x_um: float) -> dict[int, tuple[float, float]] | None:
    """Corner of each tile in pixels, in the directions of the image.

    The stage's axes are exchanged, then turned round, as the file's flags say (so does
    Bio-Formats, ome/bioformats#3423). With both and only one axis turned, the order of the two
    would matter, and it is documented nowhere.
    """
    flip_x, flip_y = bool(scan.flip_x), bool(scan.flip_y)
    if scan.swap_xy and flip_x != flip_y:
        return None
    positions = {}
    for tile, place in enumerate(scan.tiles):
        y, x = float(place["pos_y"]) * 1e6, float(place["pos_x"]) * 1e6
        if scan.swap_xy:
            y, x = x, y
        positions[tile] = ((-y if flip_y else y) / y_um, (-x if flip_x else x) / x_um)
    return positions

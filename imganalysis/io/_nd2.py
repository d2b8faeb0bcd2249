"""Nikon ND2: sizes, and whether the pixel size was ever calibrated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imganalysis.io._backend import library, reading
from imganalysis.io._facts import Facts, other_axes
from imganalysis.io._pixelsize import believe, shown
from imganalysis.io._tiles import any_overlap

if TYPE_CHECKING:
    from pathlib import Path


def nd2_facts(path: Path) -> list[Facts]:
    """Every position of an ND2 file, no pixels read.

    Raises
    ------
    MissingLibraryError
        nd2 is not installed.
    UnreadableImageError
        The file is damaged.
    """
    nd2 = library("nd2", "nd2")
    with reading(path, "nd2"), nd2.ND2File(path) as file:
        sizes = {str(axis): int(n) for axis, n in file.sizes.items()}
        positions = sizes.pop("P", 1)
        axes, shape = "".join(sizes), tuple(sizes.values())
        pixel_size, flags = _pixel_size(file, sizes.get("Z", 1))
        if any(getattr(loop.parameters, "bottomToTop", True) is False for loop in file.experiment):
            flags = (*(f for f in flags if f != "z_descending"), "z_descending")
        if "S" in sizes:
            flags += ("rgb",)
        y, x = pixel_size.y, pixel_size.x
        stage = _stage(file)
        if y and x and any_overlap(stage, sizes.get("Y", 0) * y, sizes.get("X", 0) * x):
            flags += ("overlap_unknown",)
        names = _names(file, positions)
        channels = tuple(str(c.channel.name) for c in file.metadata.channels or ())
        return [
            Facts(
                name=names[i],
                axes=axes,
                shape=shape,
                dtype=str(file.dtype),
                channels=channels,
                pixel_size=pixel_size,
                not_a_field=other_axes(axes, shape),
                flags=flags,
            )
            for i in range(positions)
        ]


def _pixel_size(file: Any, planes: int) -> Any:
    """Take what is calibrated; for an axis that is not, the file gives 1."""
    voxel = file.voxel_size()
    calibrated = (True, True, True)
    for channel in file.metadata.channels or ():
        calibrated = tuple(channel.volume.axesCalibrated)
        break
    x, y, z = (
        value if known else None
        for value, known in zip((voxel.x, voxel.y, voxel.z), calibrated, strict=True)
    )
    note = "" if calibrated[0] else f"pixel size {shown(voxel.y, voxel.x)} is not calibrated"
    return believe(z, y, x, planes=planes, note=note)


def _stage(file: Any) -> dict[int, tuple[float, float]]:
    """Stage position (y, x) in um of each field."""
    for loop in file.experiment:
        if loop.type == "XYPosLoop":
            return {
                i: (float(point.stagePositionUm.y), float(point.stagePositionUm.x))
                for i, point in enumerate(loop.parameters.points)
            }
    return {}


def _names(file: Any, positions: int) -> list[str]:
    for loop in file.experiment:
        if loop.type == "XYPosLoop":
            names = [str(point.name or "") for point in loop.parameters.points]
            if len(names) == positions:
                return names
    return [""] * positions

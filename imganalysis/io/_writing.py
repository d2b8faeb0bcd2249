"""write_stack, write_labels, write_mask: OME-TIFF, the same bytes for the same content."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree  # only written here

import numpy as np
import tifffile

from imganalysis.errors import LabelsError, OutputError
from imganalysis.io._quiet import quiet
from imganalysis.mapped import LARGE, release

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from imganalysis.stack import PixelSize, Stack

_OME = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
_TYPES = {"int8": "int8", "int16": "int16", "int32": "int32", "uint8": "uint8", "uint16": "uint16",
          "uint32": "uint32", "float32": "float", "float64": "double"}  # fmt: skip
_ABOUT = "imganalysis"  # namespace of the annotation
_TILE = 512  # px: sides of the tiles of a large plane
_MAX_LABEL = np.iinfo(np.uint32).max


def write_stack(path: Path, stack: Stack) -> None:
    """Write a stack as OME-TIFF, with its channel names and pixel size.

    Parameters
    ----------
    path
        The file; replaced if it is there. It appears only when it is complete.
    stack
        (C, Z, Y, X) integers up to 32 bit or floats.

    Raises
    ------
    OutputError
        It cannot be written, or OME-TIFF has no such pixel type.
    """
    _write(path, stack.data, stack.channels, stack.pixel_size, name=stack.scene)


def write_labels(
    path: Path,
    labels: NDArray[Any],
    pixel_size: PixelSize,
    about: Mapping[str, str] | None = None,
) -> None:
    """Write a label image as OME-TIFF of 32 bit.

    Parameters
    ----------
    path
        As in `write_stack`.
    labels
        (Y, X) or (Z, Y, X) whole numbers from 0, 0 = background; may be memory-mapped.
    pixel_size
        In um.
    about
        Names and values that say how they were made; an annotation of the image in its OME-XML.

    Raises
    ------
    LabelsError
        It is no label image.
    OutputError
        It cannot be written.
    """
    data = _four_axes(as_labels(labels, str(path)), str(path))
    _write(path, data, ("labels",), pixel_size, name="labels", about=about)


def write_mask(path: Path, mask: NDArray[Any], pixel_size: PixelSize) -> None:
    """Write a mask as OME-TIFF of 8 bit.

    Parameters
    ----------
    path
        As in `write_stack`.
    mask
        (Y, X) or (Z, Y, X) bool, written as 0 and 1; or uint8, written as it is.
    pixel_size
        In um.

    Raises
    ------
    LabelsError
        It is no mask.
    OutputError
        It cannot be written.
    """
    array = np.asarray(mask)
    if array.dtype not in (np.dtype(bool), np.dtype(np.uint8)):
        raise LabelsError(f"{path}: a mask is bool or uint8, got {array.dtype}")
    data = _four_axes(array.astype(np.uint8), str(path))
    _write(path, data, ("mask",), pixel_size, name="mask")


def as_labels(array: NDArray[Any], where: str) -> NDArray[np.uint32]:
    """Check a label image and give it as uint32.

    Raises
    ------
    LabelsError
        Not whole numbers (a mask of yes and no is none), negative ones, or beyond 32 bit.
    """
    if array.dtype == bool:
        raise LabelsError(
            f"{where}: a mask of yes and no, expected one whole number per object; "
            "number its objects first, e.g. with skimage.measure.label"
        )
    if array.dtype.kind not in "iu":
        raise LabelsError(
            f"{where}: a label image holds whole numbers, got {array.dtype}. "
            f"Save it as 16 or 32 bit integers."
        )
    if array.size and array.dtype.kind == "i" and int(array.min()) < 0:
        raise LabelsError(f"{where}: a label image has no negative number, got {array.min()}")
    if array.size and array.dtype.itemsize > 4 and int(array.max()) > _MAX_LABEL:
        raise LabelsError(f"{where}: labels go up to {_MAX_LABEL}, got {array.max()}")
    return array.astype(np.uint32, copy=False)


def _four_axes(array: NDArray[Any], where: str) -> NDArray[Any]:
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise LabelsError(f"{where}: expected an image (Y, X) or (Z, Y, X), got {array.shape}")
    return array.reshape((1, -1, *array.shape[-2:]))


def _write(
    path: Path,
    data: Any,
    channels: tuple[str, ...],
    pixel_size: PixelSize,
    *,
    name: str,
    about: Mapping[str, str] | None = None,
) -> None:
    path = Path(path)
    dtype = np.dtype(data.dtype)
    if dtype.name not in _TYPES:
        raise OutputError(
            f"{path}: OME-TIFF has no pixels of type {dtype}; use {', '.join(_TYPES)}"
        )
    shape = tuple(int(n) for n in data.shape)
    text = _ome_xml(shape, dtype, channels, pixel_size, name, about or {})
    little = dtype.newbyteorder("<")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with (
            quiet(),
            tifffile.TiffWriter(temporary, bigtiff=data.nbytes > 2**31, byteorder="<") as tif,
        ):
            for plane in _planes(data):
                large = plane.size > LARGE
                tif.write(
                    _tiles(plane, little) if large else plane.astype(little, copy=False),
                    shape=plane.shape,
                    dtype=little,
                    tile=(_TILE, _TILE) if large else None,
                    photometric="minisblack",
                    compression="zlib",
                    description=text or None,
                    metadata=None,
                    software="imganalysis",
                    contiguous=False,
                    maxworkers=1,
                )
                text = ""  # the first page speaks for all
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}). "
            f"Check that the folder exists and may be written to."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _planes(data: Any) -> Iterator[NDArray[Any]]:
    """Planes in the order of the file; of a lazy stack one channel is in memory at a time."""
    for channel in range(data.shape[0]):
        part = data[channel]
        yield from part if isinstance(part, np.memmap) else np.asarray(part)


def _tiles(plane: NDArray[Any], dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    """Tiles row by row, the last ones filled up with 0."""
    height, width = plane.shape
    for y in range(0, height, _TILE):
        for x in range(0, width, _TILE):
            tile = np.zeros((_TILE, _TILE), dtype)
            part = plane[y : y + _TILE, x : x + _TILE]
            tile[: part.shape[0], : part.shape[1]] = part
            yield tile
        release(plane)


def _ome_xml(
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    channels: tuple[str, ...],
    pixel_size: PixelSize,
    name: str,
    about: Mapping[str, str],
) -> str:
    """OME-XML without identifier or time, so that equal content gives equal bytes."""
    c, z, y, x = shape
    root = ElementTree.Element("OME", {"xmlns": _OME, "Creator": "imganalysis"})
    image = ElementTree.SubElement(root, "Image", {"ID": "Image:0", "Name": _printable(name)})
    sizes = {
        "ID": "Pixels:0", "DimensionOrder": "XYZCT", "Type": _TYPES[dtype.name],
        "SizeX": str(x), "SizeY": str(y), "SizeZ": str(z), "SizeC": str(c), "SizeT": "1",
        "BigEndian": "false",
    }  # fmt: skip
    for axis, value in zip("ZYX", pixel_size.as_tuple(), strict=True):
        if value is not None:
            sizes[f"PhysicalSize{axis}"] = repr(float(value))
            sizes[f"PhysicalSize{axis}Unit"] = "µm"
    pixels = ElementTree.SubElement(image, "Pixels", sizes)
    for i, channel in enumerate(channels):
        ElementTree.SubElement(
            pixels,
            "Channel",
            {"ID": f"Channel:0:{i}", "Name": _printable(channel), "SamplesPerPixel": "1"},
        )
    ElementTree.SubElement(pixels, "TiffData", {"IFD": "0", "PlaneCount": str(c * z)})
    if about:
        ElementTree.SubElement(image, "AnnotationRef", {"ID": "Annotation:0"})
        held = ElementTree.SubElement(root, "StructuredAnnotations")
        ids = {"ID": "Annotation:0", "Namespace": _ABOUT}
        listed = ElementTree.SubElement(held, "MapAnnotation", ids)
        values = ElementTree.SubElement(listed, "Value")
        for key, said in about.items():
            ElementTree.SubElement(values, "M", {"K": key}).text = _printable(said)
    # TIFF descriptions are ASCII: the encoding writes other letters as &#181;.
    body = ElementTree.tostring(root, encoding="us-ascii").decode("ascii")
    return body if body.startswith("<?xml") else f'<?xml version="1.0" encoding="UTF-8"?>{body}'


def _printable(text: str) -> str:
    """Text without the control characters that XML cannot hold."""
    return "".join(ch for ch in text if ch.isprintable())

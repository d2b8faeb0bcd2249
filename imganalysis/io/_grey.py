"""read_grey: one plane of grey values from a PNG or TIFF, for annotated images without a scale."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.errors import ImageError, QualitativeImageError, UnreadableImageError
from imganalysis.io._backend import reading
from imganalysis.io._reading import read_stack

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PNG = b"\x89PNG\r\n\x1a\n"
_DEPTH, _COLOUR_TYPE = 24, 25  # bytes of the header (PNG specification, section 11.2.1)
_GREY_TYPES = (0, 4)


def is_png(path: Path) -> bool:
    """Tell whether a file is a PNG, by its content; False for what cannot be opened."""
    try:
        with Path(path).open("rb") as file:
            return file.read(len(_PNG)) == _PNG
    except OSError:
        return False


def read_grey(path: Path) -> NDArray[Any]:
    """Read one plane of grey values.

    Parameters
    ----------
    path
        PNG, or anything that `read_stack` reads, of one channel and one plane. Colour is taken
        where red, green and blue are equal, as some programs save grey.

    Returns
    -------
    image : (Y, X), type of the file
        A PNG of less than 8 bits is spread over 8.

    Raises
    ------
    QualitativeImageError
        Colours that differ.
    ImageError
        Several channels or planes.
    UnreadableImageError
        Missing, damaged, or no image.
    """
    path = Path(path)
    if is_png(path):
        return _read_png(path)
    stack = read_stack(path, allow_rgb=True)
    channels, planes, _, _ = stack.shape
    if "rgb" in stack.flags and planes == 1:
        return _one_of(np.moveaxis(stack.numpy()[:, 0], 0, -1), path)
    if (channels, planes) != (1, 1):
        raise ImageError(
            f"{path}: expected one channel and one plane of grey values, found "
            f"{channels} x {planes} (channels x planes); save the one that is meant"
        )
    return np.asarray(stack.numpy()[0, 0])


def _read_png(path: Path) -> NDArray[Any]:
    from PIL import Image

    with path.open("rb") as file:
        head = file.read(32)
    if len(head) < 32:
        raise UnreadableImageError(f"{path}: is cut short; copy it again from its source.")
    if head[_DEPTH] == 16 and head[_COLOUR_TYPE] != 0:
        # The library that reads it would keep 8 of the 16 bits.
        raise ImageError(f"{path}: colour of 16 bits; save it as grey, or as TIFF")
    with reading(path, "png"), Image.open(path, formats=["PNG"]) as picture:
        if head[_COLOUR_TYPE] in _GREY_TYPES:
            # 1 bit and grey with transparency become 8 bits; 8 and 16 bits stay.
            keep = picture.mode in ("L", "I;16")
            image = np.asarray(picture if keep else picture.convert("L"))
        else:
            image = np.asarray(picture.convert("RGB"))
    return image if image.ndim == 2 else _one_of(image, path)


def _one_of(colours: NDArray[Any], path: Path) -> NDArray[Any]:
    """Take the first of red, green and blue where they are equal; a fourth is transparency."""
    if any((colours[..., 0] != colours[..., k]).any() for k in range(1, min(3, colours.shape[-1]))):
        raise QualitativeImageError(
            f"{path}: expected grey values, found colours; save the channel of the nuclei alone"
        )
    return np.ascontiguousarray(colours[..., 0])

"""Images with the nuclei that people outlined in them: which belong together, and reading them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imganalysis import tables as t
from imganalysis.errors import ImageError, SettingsError
from imganalysis.io import is_png, read_grey, read_labels, read_stack
from imganalysis.segment import check_labels, check_numbered
from imganalysis.stack import IMAGE_SUFFIXES, PixelSize
from imganalysis.words import plural

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

IMAGE, MASK = "image", "mask"
"""Columns of a CSV that pairs images and masks."""


def read_annotated(
    image: Path, mask: Path, *, pixel_size: PixelSize | None = None
) -> tuple[NDArray[Any], NDArray[np.uint32], PixelSize]:
    """Read an image of nuclei and the label image that belongs to it.

    Parameters
    ----------
    image, mask
        PNG, or what `read_stack` and `read_labels` read; the image of one channel.
    pixel_size
        In um; wins over the image file's.

    Returns
    -------
    image : (Y, X) or (Z, Y, X), type of the file
    labels : same shape, uint32, 0 = background
    pixel_size
        Unknown where neither the caller nor the file says it.

    Raises
    ------
    ImageError
        The image cannot be read, or has several channels.
    LabelsError
        The mask is no label image, or of another shape.
    """
    pixels, size = _read_image(image, pixel_size)
    return pixels, check_labels(_read_mask(mask), pixels.shape, source=str(mask)), size


def pairs_of(images: Path, masks: Path) -> tuple[list[tuple[Path, Path]], tuple[str, ...]]:
    """Pair images and masks.

    Parameters
    ----------
    images
        A folder, or one image.
    masks
        A folder of label images named like the images, suffix aside; or one label image; or
        a CSV with the columns ``image`` (in the folder of images) and ``mask`` (beside the
        CSV, or in folders below it).

    Returns
    -------
    pairs
        Sorted by the image's name.
    unpaired
        Names without a partner.

    Raises
    ------
    SettingsError
        Not there, two files of one name, or no pair at all.
    """
    for path in (images, masks):
        if not path.exists():
            raise SettingsError(f"{path}: no such file or folder")
    if masks.suffix.lower() == ".csv":
        return _listed(images, masks), ()
    if images.is_file() and masks.is_file():
        return [(images, masks)], ()
    ours, theirs = _by_stem(images), _by_stem(masks)
    both = sorted(set(ours) & set(theirs))
    if not both:
        raise SettingsError(
            f"{images} ({_some(ours)}) and {masks} ({_some(theirs)}): expected masks named like "
            "the images, suffix aside; found no pair. A CSV with the columns image and mask "
            "can pair them"
        )
    alone = [path.name for stem, path in (ours | theirs).items() if stem not in both]
    return [(ours[stem], theirs[stem]) for stem in both], tuple(sorted(alone))


def _some(files: dict[str, Path]) -> str:
    names = sorted(path.name for path in files.values())
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if names[2:] else "") or "empty"


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else [folder]:
        name = path.name.lower()
        ending = next((s for s in (*IMAGE_SUFFIXES, ".png") if name.endswith(s)), None)
        if ending is None or name.startswith("."):
            continue
        stem = path.name[: -len(ending)]
        if stem in found:
            raise SettingsError(
                f"{folder}: {found[stem].name} and {path.name} have one name; keep one of them"
            )
        found[stem] = path
    return found


def _listed(images: Path, listing: Path) -> list[tuple[Path, Path]]:
    table = t.read_csv(listing, dtype=str, keep_default_na=False)
    t.require(table, (IMAGE, MASK), source=str(listing))
    if not len(table):
        raise SettingsError(f"{listing}: lists no image")
    pairs = [
        (images / i, listing.parent / m) for i, m in zip(table[IMAGE], table[MASK], strict=True)
    ]
    for pair in pairs:
        for path in pair:
            if not path.exists():
                raise SettingsError(f"{listing}: {path} is not there")
    return sorted(pairs)


def _read_image(path: Path, given: PixelSize | None) -> tuple[NDArray[Any], PixelSize]:
    """Pixels (Y, X) or (Z, Y, X), and their size."""
    if is_png(path):
        return read_grey(path), given or PixelSize()
    stack = read_stack(path, pixel_size=given, allow_rgb=True)
    if "rgb" in stack.flags:
        return read_grey(path), stack.pixel_size
    channels, planes, _, _ = stack.shape
    if channels != 1:
        raise ImageError(
            f"{path}: expected the nuclear stain alone, found {plural(channels, 'channel')} "
            f"({', '.join(stack.channels)}); save the one of the nuclei"
        )
    pixels = stack.numpy()[0]
    return (pixels[0] if planes == 1 else pixels), stack.pixel_size


def _read_mask(path: Path) -> NDArray[Any]:
    labels: NDArray[Any] = read_grey(path) if is_png(path) else read_labels(path)
    check_numbered(labels, source=str(path))
    return labels

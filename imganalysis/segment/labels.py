"""Label images: checked once at the door, numbered in raster order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.errors import LabelsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LARGEST = 2**32 - 1


def check_labels(
    labels: Any, shape: tuple[int, ...], *, source: str = "label image"
) -> NDArray[np.uint32]:
    """Check a label image that somebody else made.

    Parameters
    ----------
    labels
        (Y, X) or (Z, Y, X) whole numbers, 0 = background, one number per object; the numbers
        need not be consecutive. Never changed.
    shape
        Shape of the field that they belong to.
    source
        Where they are from, for the message.

    Returns
    -------
    labels
        uint32, a copy only where the type changes; the caller's numbers.

    Raises
    ------
    LabelsError
        Not whole numbers, another shape, a negative number, or one above 2**32 - 1.
    """
    array = np.asarray(labels)
    if array.dtype == bool:
        raise LabelsError(
            f"{source}: a mask of yes and no, expected one whole number per object; "
            "number its objects first, e.g. with skimage.measure.label"
        )
    if not np.issubdtype(array.dtype, np.integer):
        raise LabelsError(
            f"{source}: pixels of type {array.dtype}, expected whole numbers (labels); "
            "is this an image, not a label image?"
        )
    if array.shape != tuple(shape):
        raise LabelsError(
            f"{source}: shape {array.shape}, but the field has {tuple(shape)}; "
            "labels must be of the same field, not cropped, scaled or turned"
        )
    if array.size:
        low, high = int(array.min()), int(array.max())
        if low < 0:
            raise LabelsError(f"{source}: smallest label {low}, expected 0 for the background")
        if high > _LARGEST:
            raise LabelsError(f"{source}: largest label {high}, expected at most {_LARGEST}")
    return array.astype(np.uint32, copy=False)


def check_numbered(labels: NDArray[np.integer[Any]], *, source: str = "label image") -> None:
    """Check that the objects of a label image have a number each.

    Parameters
    ----------
    labels
        (Y, X) or (Z, Y, X), 0 = background.
    source
        Where they are from, for the message.

    Raises
    ------
    LabelsError
        One number alone, in separate pieces: a mask, which would be taken for one object.
    """
    number = int(labels.max(initial=0))
    inside = labels == number
    if number == 0 or not (inside | (labels == 0)).all():
        return
    from scipy.ndimage import label

    pieces = label(inside, np.ones((3,) * labels.ndim))[1]
    if pieces > 1:
        raise LabelsError(
            f"{source}: one number, {number}, in {pieces} separate pieces: a mask of foreground; "
            "expected one number per object. Number them first, e.g. with skimage.measure.label"
        )


def label_ids(labels: NDArray[np.integer[Any]]) -> NDArray[np.uint32]:
    """Numbers of the objects in ascending order, without the background."""
    ids = np.unique(labels)
    return np.asarray(ids[ids > 0], np.uint32)


def relabel(labels: NDArray[np.integer[Any]]) -> NDArray[np.uint32]:
    """Give objects the numbers 1, 2, ... in raster order of their first pixel.

    Parameters
    ----------
    labels
        Whole numbers, 0 = background, any axes.

    Returns
    -------
    labels
        uint32, same shape; the same objects whatever numbers they had give the same result.
    """
    ids, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    number = np.zeros(ids.size, np.uint32)
    objects = np.flatnonzero(ids != 0)
    order = objects[np.argsort(first[objects], kind="stable")]
    number[order] = np.arange(1, order.size + 1, dtype=np.uint32)
    return number[inverse].reshape(labels.shape)


def touching_border(labels: NDArray[np.integer[Any]]) -> NDArray[np.uint32]:
    """Numbers of the objects that the image's sides cut, in ascending order.

    Only the sides in Y and X: the first and last plane of a stack are faces of the section.
    """
    sides = (labels[..., 0, :], labels[..., -1, :], labels[..., :, 0], labels[..., :, -1])
    return label_ids(np.concatenate([side.ravel() for side in sides]))

"""Crops of training images, turned, scaled, and seen through a worse microscope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage as ndi

from imganalysis.segment.pixels import levels, normalise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imganalysis.segment.training_settings import Augmentation

F32 = np.float32


@dataclass(frozen=True)
class Example:
    """An annotated image.

    Parameters
    ----------
    image
        (Y, X) float32, as `imganalysis.segment.pixels.normalise` leaves it.
    labels
        (Y, X) int32, 0 = background.
    source
        Where it is from; sources are drawn with shares of their own.
    finer
        Its pixels in one of the network's, along each axis.
    """

    image: NDArray[np.float32]
    labels: NDArray[np.int32]
    source: str = ""
    finer: float = 1.0


@dataclass(frozen=True)
class Crop:
    """What the network is shown, and what is true of it.

    Parameters
    ----------
    image
        (side, side) float32.
    labels
        (side, side) int32.
    known
        (side, side) bool, False outside the image.
    """

    image: NDArray[np.float32]
    labels: NDArray[np.int32]
    known: NDArray[np.bool_]


def draw_crop(
    example: Example, side: int, settings: Augmentation, rng: np.random.Generator
) -> Crop:
    """Cut a crop somewhere, at some angle and scale, and change how it looks.

    Parameters
    ----------
    example
        Where from; not changed.
    side
        Of the crop, pixels.
    settings
        What may be done to it.
    rng
        Everything random comes from it: the same state gives the same crop.

    Returns
    -------
    Crop
    """
    image, labels, known = _warp(example, side, settings, rng)
    image = _stain(image, labels, settings, rng)
    image = _optics(image, settings, rng)
    image = _detector(image, settings, rng)
    image = np.where(known, np.clip(image, -0.5, 4.0), 0).astype(F32)
    return Crop(image, labels, known)


def _warp(
    example: Example, side: int, settings: Augmentation, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.bool_]]:
    """Rotation, reflection, scale and place; labels by the nearest pixel.

    All in one step from the image's own pixels, smoothed as the whole image is before a network
    looks at it: what is resampled twice is less sharp than what the network will see.
    """
    low, high = np.log(settings.scale)
    scale = float(np.exp(rng.uniform(low, high))) / example.finer
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale
    if rng.random() < 0.5:
        turn[:, 1] *= -1
    beyond = rng.random() < settings.outside
    places = rng.random(2)
    centre = np.empty(2)
    for axis, size in enumerate(example.image.shape):
        # As far in as a crop of this scale needs to show image only, as far as there is room.
        margin = 0.0 if beyond else min(side / scale / 2, size / 2)
        centre[axis] = margin + places[axis] * (size - 2 * margin) - 0.5
    offset = centre - turn @ np.array([(side - 1) / 2, (side - 1) / 2])
    shape = (side, side)
    sigma = max(0.0, (1 / scale - 1) / 2)
    reach = np.abs(turn).sum(axis=1) * side / 2 + 4 * sigma + 2
    first = np.maximum(np.floor(centre - reach).astype(int), 0)
    last = np.ceil(centre + reach).astype(int) + 1
    part = tuple(slice(start, max(start + 1, end)) for start, end in zip(first, last, strict=True))
    picture = example.image[part]
    if sigma > 0:
        picture = ndi.gaussian_filter(picture, sigma, mode="nearest")
    image = ndi.affine_transform(picture, turn, offset - first, shape, order=1, mode="nearest")
    labels = ndi.affine_transform(example.labels[part], turn, offset - first, shape, order=0)
    rows, columns = np.mgrid[:side, :side]
    at = np.tensordot(turn, np.stack([rows, columns]), axes=1) + offset[:, None, None]
    limits = np.array(example.image.shape)[:, None, None]
    known = ((at >= -0.5) & (at < limits - 0.5)).all(axis=0)
    return (
        np.asarray(image, F32),
        np.where(known, labels, 0).astype(np.int32),
        np.asarray(known, np.bool_),
    )


def _stain(
    image: NDArray[np.float32],
    labels: NDArray[np.int32],
    settings: Augmentation,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Brightness of the whole and of each nucleus."""
    gain = float(np.exp(rng.uniform(*np.log(settings.gain))))
    gamma = float(np.exp(rng.uniform(*np.log(settings.gamma))))
    offset = rng.uniform(*settings.offset)
    changed = np.sign(image) * np.abs(image) ** F32(gamma) * F32(gain)
    if rng.random() < settings.nuclei and labels.any():
        numbers, dense = np.unique(labels, return_inverse=True)
        factor = np.exp(rng.normal(0, settings.nuclei_log_sd, numbers.size))
        factor[numbers == 0] = 1.0
        # Softened, so that no edge gives the outline away.
        soft = ndi.gaussian_filter(factor[dense.reshape(labels.shape)].astype(F32), 1.0)
        changed = changed * soft
    return np.asarray(changed + F32(offset), F32)


def _optics(
    image: NDArray[np.float32], settings: Augmentation, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Blur, light from other planes, uneven background."""
    side = image.shape[0]
    if rng.random() < settings.blur:
        image = ndi.gaussian_filter(image, rng.uniform(*settings.blur_px), mode="nearest")
    if rng.random() < settings.haze:
        far = ndi.gaussian_filter(np.maximum(image, 0), rng.uniform(6, 14), mode="nearest")
        shift = rng.integers(-side // 4, side // 4 + 1, 2)
        image = image + F32(rng.uniform(*settings.haze_level)) * np.roll(far, shift, (0, 1))
    if rng.random() < settings.gradient:
        level = rng.uniform(*settings.gradient_level)
        coarse = rng.random((3, 3)).astype(F32)
        steps = np.linspace(0, 2, side, dtype=F32)
        wide = ndi.map_coordinates(
            coarse, np.meshgrid(steps, steps, indexing="ij"), order=1, mode="nearest"
        )
        image = image + F32(level) * wide.astype(F32)
    return np.asarray(image, F32)


def _detector(
    image: NDArray[np.float32], settings: Augmentation, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Photons and the detector's own noise; then dark and bright are set anew, or not."""
    if rng.random() < settings.noise:
        photons = float(np.exp(rng.uniform(*np.log(settings.photons))))
        image = (rng.poisson(np.maximum(image, 0) * photons) / photons).astype(F32)
        image = image + rng.normal(0, rng.uniform(*settings.gaussian), image.shape).astype(F32)
    # Whole images are normalised before they are analysed, but a part of one never fits
    # exactly: both are shown.
    if rng.random() < 0.5 and (between := levels(image)) is not None:
        spread = between[1] - between[0]
        if spread > 0.2:
            image = normalise(image, (between[0], between[0] + spread * rng.uniform(0.7, 1.3)))
    return np.asarray(image, F32)

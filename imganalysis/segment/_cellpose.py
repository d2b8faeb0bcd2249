"""The method `cellpose`: nuclei by a network of Cellpose 3 or 4, whichever is installed.

Cellpose gives the network, the tiles and the way from flows to masks. Scale, normalisation,
stitching and the removal of small objects are done here, the same for both versions.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage as ndi

from imganalysis.errors import SettingsError
from imganalysis.segment._cellpose_masks import find_masks
from imganalysis.segment._cellpose_network import CellposeNetwork, load_network
from imganalysis.segment._cellpose_stitch import stitch_planes
from imganalysis.segment.labels import relabel
from imganalysis.segment.limits import network_factor
from imganalysis.segment.pixels import as_float32, rescale, rescale_labels
from imganalysis.segment.registry import ModelFacts

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from imganalysis.methods import CellposeMethod

_OBLONG = 1.25  # pixels longer than wide by more than this change what a network sees
_SAMPLE = 2**24  # pixels of a plane that dark and bright are taken from


def cellpose_model(
    settings: CellposeMethod, say: Callable[[str], None] | None = None
) -> ModelFacts:
    """Say which weights the settings use, and download them if that is asked for and needed.

    Parameters
    ----------
    settings
        Of the method.
    say
        Takes what is to be said of a download; standard error by default.

    Returns
    -------
    ModelFacts
        ``name`` holds the version of Cellpose too, on which the masks depend as well.

    Raises
    ------
    MissingLibraryError, SettingsError, ModelError, OutputError
        As `imganalysis.segment._cellpose_network.load_network` says.
    """
    network = load_network(settings, say)
    return ModelFacts(f"{network.name} (cellpose {network.version})", network.sha256)


def segment_with_cellpose(
    image: NDArray[Any],
    spacing_um: tuple[float, ...],
    settings: CellposeMethod,
    threads: int = 1,
    *,
    between: tuple[float, float] | None = None,
) -> NDArray[np.uint32]:
    """Find nuclei with Cellpose.

    Parameters
    ----------
    image
        (Y, X) or (Z, Y, X), any scale of values. Pixels that are not finite count as dark.
    spacing_um
        Size of a pixel along each axis, um.
    settings
        Of the method.
    threads
        Not used: sums in torch may come out differently with more than one.
    between
        Values that become 0 and 1; those of the image's own percentiles if not given.

    Returns
    -------
    labels
        uint32, shape of ``image``, 0 = background, 1, 2, ... in raster order. All 0 where the
        image is flat, black or without a finite pixel.

    Raises
    ------
    SettingsError
        The diameter would change the image's scale absurdly; pixels are oblong; the model is
        unknown, or the device is not there.
    MissingLibraryError, ModelError, OutputError
        As `imganalysis.segment._cellpose_network.load_network` says.

    Notes
    -----
    The image is brought to the scale of the network, a stack also along Z; masks are made there
    and enlarged. A stack is seen plane by plane along all three axes (Stringer et al., Nat
    Methods 2021;18:100), or, with ``stitch_threshold``, along Z alone and then joined.
    """
    image = np.asarray(image)
    if image.ndim not in (2, 3) or len(spacing_um) != image.ndim:
        raise ValueError(f"expected (Y, X) or (Z, Y, X) with as many spacings, got {image.shape}")
    if image.ndim == 3 and image.shape[0] == 1:
        return segment_with_cellpose(image[0], spacing_um[1:], settings, threads, between=between)[
            None
        ]
    network = load_network(settings)
    pixel = _pixel(spacing_um)
    factor = network_factor(network.diameter_px, settings.nucleus_diameter_um / pixel)
    picture = _normalised(image, between or levels_of(image, settings.percentile))
    if picture is None:
        return np.zeros(image.shape, np.uint32)
    smallest = settings.smallest_nucleus_um / pixel * factor
    if image.ndim == 2:
        return relabel(_in_plane(picture, factor, network, settings, np.pi / 4 * smallest**2))
    if settings.stitch_threshold > 0:
        planes = (_in_plane(plane, factor, network, settings, 1) for plane in picture)
        labels = stitch_planes(planes, settings.stitch_threshold)
        voxel = float(np.prod(spacing_um))
        least = np.pi / 6 * settings.smallest_nucleus_um**3 / voxel
        return relabel(_without_small(labels, least))
    ratio = spacing_um[0] / pixel * factor
    volume = _in_volume(picture, factor, ratio, network, settings, np.pi / 6 * smallest**3)
    return relabel(volume)


def _pixel(spacing_um: tuple[float, ...]) -> float:
    dy, dx = spacing_um[-2:]
    if not min(spacing_um) > 0:
        raise SettingsError(f"pixel size {spacing_um} um: expected positive numbers")
    if max(dy, dx) > _OBLONG * min(dy, dx):
        raise SettingsError(
            f"pixels of {dy:g} x {dx:g} um: Cellpose expects them about as long as wide; "
            "method scikit-image takes any"
        )
    return float(np.sqrt(dy * dx))


def levels_of(image: Any, percentile: tuple[float, float]) -> tuple[float, float] | None:
    """Find what becomes 0 and 1; None where the image is flat.

    Where nuclei are so few that both percentiles are the same, darkest and brightest pixel take
    their place. Of a plane of more than 16 million pixels every second, third, ... row and column
    is looked at.
    """
    step = max(1, math.ceil(math.sqrt(math.prod(image.shape[-2:]) / _SAMPLE)))
    picture = as_float32(image[..., ::step, ::step])
    values = picture[np.isfinite(picture)]
    if not values.size:
        return None
    low, high = np.percentile(values, percentile)
    if high <= low:
        low, high = float(values.min()), float(values.max())
    return (float(low), float(high)) if high > low else None


def _normalised(
    image: NDArray[Any], between: tuple[float, float] | None
) -> NDArray[np.float32] | None:
    """Map dark to 0 and bright to 1; None where there is nothing to map."""
    if between is None:
        return None
    picture = np.array(as_float32(image))
    finite = np.isfinite(picture)
    if not finite.any():
        return None
    picture[~finite] = picture[finite].min()
    picture -= np.float32(between[0])
    picture /= np.float32(between[1] - between[0])
    return picture


def _in_plane(
    picture: NDArray[np.float32],
    factor: float,
    network: CellposeNetwork,
    settings: CellposeMethod,
    least: float,
) -> NDArray[np.int32]:
    """Labels (Y, X) of a normalised image; ``least`` in pixels at the network's scale."""
    scaled = rescale(picture, factor)
    masks = find_masks(scaled[None], network, settings, volume=False)[0]
    height, width = picture.shape
    return rescale_labels(_without_small(masks, least), (height, width))


def _in_volume(
    picture: NDArray[np.float32],
    factor: float,
    ratio: float,
    network: CellposeNetwork,
    settings: CellposeMethod,
    least: float,
) -> NDArray[np.int32]:
    """Labels (Z, Y, X) of a normalised stack; ``ratio`` is the change of scale along Z."""
    depth, height, width = picture.shape
    scaled = _resample_z(np.stack([rescale(plane, factor) for plane in picture]), ratio)
    masks = _without_small(find_masks(scaled, network, settings, volume=True), least)
    place = ((np.arange(depth) + 0.5) * len(masks) / depth).astype(np.intp)
    return np.stack([rescale_labels(masks[k], (height, width)) for k in place])


def _resample_z(stack: NDArray[np.float32], ratio: float) -> NDArray[np.float32]:
    """Change the number of planes, linearly between their centres."""
    depth = len(stack)
    planes = max(1, round(depth * ratio))
    if planes == depth:
        return stack
    if planes < depth:
        stack = ndi.gaussian_filter1d(stack, (depth / planes - 1) / 2, axis=0, mode="nearest")
    place = np.clip((np.arange(planes) + 0.5) * depth / planes - 0.5, 0, depth - 1)
    low = place.astype(np.intp)
    weight = (place - low).astype(np.float32)[:, None, None]
    above = stack[np.minimum(low + 1, depth - 1)]
    return np.asarray(stack[low] * (1 - weight) + above * weight, np.float32)


def _without_small(labels: NDArray[Any], least: float) -> NDArray[np.int32]:
    """Drop objects of fewer pixels than ``least``."""
    kept = np.bincount(labels.ravel()) >= least
    kept[0] = False
    return np.where(kept[labels], labels, 0).astype(np.int32)

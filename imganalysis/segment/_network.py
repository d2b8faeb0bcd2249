"""Nuclei by a network: at its scale, in windows, and back to the image's pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.errors import SettingsError
from imganalysis.segment.flows import FLOW_SCALE, flows_to_labels
from imganalysis.segment.labels import relabel
from imganalysis.segment.pixels import levels, normalise, rescale, rescale_labels
from imganalysis.segment.windows import predict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imganalysis.segment.onnx import OnnxModel

_SMALLEST = 0.25  # of the network's diameter
_STEPS = 6.0  # of the network's diameter: from the rim of a long nucleus to its centre, and more
_FACTORS = (0.02, 20.0)


def segment_with_network(
    image: NDArray[Any],
    model: OnnxModel,
    diameter_px: float,
    *,
    threshold: float = 0.0,
    max_error: float = 0.4,
    smallest_px: float | None = None,
) -> NDArray[np.uint32]:
    """Find nuclei with a network.

    Parameters
    ----------
    image
        (Y, X), any scale of values. Pixels that are not finite count as dark.
    model
        As `imganalysis.segment.onnx.load_onnx` gives it.
    diameter_px
        Of a typical nucleus in this image; it is brought to the network's.
    threshold, max_error
        As in `imganalysis.segment.flows.flows_to_labels`.
    smallest_px
        Diameter in this image of the smallest nucleus; a quarter of ``diameter_px`` if not given.

    Returns
    -------
    labels : (Y, X) uint32
        0 = background, 1, 2, ... in raster order. All 0 where the image is flat, black or without
        a finite pixel.

    Raises
    ------
    SettingsError
        The diameter would change the image's scale absurdly.

    Notes
    -----
    Masks are made at the network's scale and then enlarged: following flows at the image's own
    scale costs more than the network itself and finds the same nuclei.
    """
    if image.ndim != 2:
        raise ValueError(f"a network finds nuclei in (Y, X); got {image.ndim} axes")
    factor = model.diameter_px / diameter_px if diameter_px > 0 else np.inf
    if not _FACTORS[0] <= factor <= _FACTORS[1]:
        raise SettingsError(
            f"a nucleus of {diameter_px:g} px is to become one of {model.diameter_px:g} px: "
            "check the nucleus diameter and the pixel size"
        )
    empty = np.zeros(image.shape, np.uint32)
    picture = np.asarray(image, np.float32)
    finite = np.isfinite(picture)
    if not finite.any():
        return empty
    if not finite.all():
        picture = np.where(finite, picture, picture[finite].min())
    scaled = rescale(picture, factor)
    between = levels(scaled)
    if between is None:
        return empty
    out = predict(model.run, normalise(scaled, between), model.channels, multiple=model.multiple)
    smallest = _SMALLEST * model.diameter_px if smallest_px is None else smallest_px * factor
    found = flows_to_labels(
        out[:2] / np.float32(FLOW_SCALE),
        out[2],
        threshold=threshold,
        steps=round(_STEPS * model.diameter_px),
        max_error=max_error,
        min_size=max(1, round(np.pi / 4 * smallest**2)),
    )
    height, width = image.shape
    return relabel(rescale_labels(found, (height, width)))

"""Diameter of nuclei in an image of unknown scale, asked of the network itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.segment.diameter import estimate_diameter
from imganalysis.segment.flows import FLOW_SCALE, flow_errors, flows_to_labels
from imganalysis.segment.pixels import as_float32, as_input, levels, normalise, rescale
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from imganalysis.segment.onnx import OnnxModel

CANDIDATES = tuple(6.0 * 2.0 ** (k / 2) for k in range(12))
"""Diameters that are tried, pixels: from 6 to 271 in steps of a factor 1.4."""

_SIDE = 192  # of what is looked at, pixels at the network's scale
_LOOKS = 2  # at each scale
# Each flat around its value, chosen on images of BBBC038 that networks are trained on.
_MAX_ERROR = 0.4  # of flows: what is above is no nucleus
_USUAL_ERROR = 0.1  # of flows: the score falls by a factor e with each of this
_TOLERANCE = 0.3  # SD of the logarithm of what is found against what was tried
_SPECK = 0.4  # of the median diameter by area: smaller ones are not counted
_LEAST_SCORE = 1e-4  # noise has less
_NEAR = 1.3  # factor between what is found and what was tried, for the search to end
_PRIOR = 1.0  # SD of the logarithm of what is found against the estimate without a network
_LARGEST = 3e7  # pixels that an image may have at the network's scale


@dataclass(frozen=True)
class _Look:
    """What a network finds at one scale."""

    tried_px: float
    diameter_px: float = float("nan")  # of what was found, pixels of the image as the one tried
    error: float = float("inf")  # of its flows
    share: float = 0.0  # of what was looked at, that sound nuclei cover

    def score(self, plain: float) -> float:
        if not self.share:
            return 0.0
        like_tried = _bell(self.diameter_px / self.tried_px, _TOLERANCE)
        like_plain = _bell(self.diameter_px / plain, _PRIOR)
        return self.share * float(np.exp(-self.error / _USUAL_ERROR)) * like_tried * like_plain

    def plainly_right(self) -> bool:
        ratio = self.diameter_px / self.tried_px
        return self.error < _USUAL_ERROR and 1 / _NEAR < ratio < _NEAR


def diameter_by_network(image: NDArray[Any], model: OnnxModel) -> float:
    """Find the scale at which a network sees nuclei best.

    Parameters
    ----------
    image
        (Y, X), picture of a nuclear stain, bright on dark, any scale and offset.
    model
        The network.

    Returns
    -------
    float
        Diameter of a typical nucleus, pixels: the median, specks aside. NaN where nothing like
        a nucleus is seen at any scale.

    Notes
    -----
    The image is brought to the scale of the estimate without a network
    (`imganalysis.segment.diameter.estimate_diameter`), and the network looks at the parts with
    most contrast. Where it does not find what was tried, all `CANDIDATES` are. A network that was
    trained on nuclei of one size sees these best: the scale wins at which nuclei with consistent
    flows cover the largest share of what was looked at, are as large as was tried, and not
    altogether unlike the first estimate.
    """
    picture = as_float32(image)
    finite = np.isfinite(picture)
    if picture.ndim != 2:
        raise ValueError(
            f"a diameter is estimated from (Y, X), got {plural(picture.ndim, 'axis', 'axes')}"
        )
    if not finite.any():
        return float("nan")
    picture = np.where(finite, picture, picture[finite].min())
    plain = estimate_diameter(picture)
    best = _look(picture, plain, model)
    if not best.plainly_right():
        seen = [_look(picture, candidate, model) for candidate in CANDIDATES]
        best = max(seen, key=lambda look: look.score(plain))
        if best.score(plain) < _LEAST_SCORE or best.diameter_px > max(picture.shape):
            return float("nan")
    # Seen at their own scale, nuclei are measured best.
    again = _look(picture, best.diameter_px, model)
    return again.diameter_px if again.plainly_right() else best.diameter_px


def _bell(ratio: float, sd: float) -> float:
    """1 where the ratio is 1, less on either side of it; 1 where it is unknown."""
    return float(np.exp(-0.5 * np.square(np.log(ratio) / sd))) if ratio > 0 else 1.0


def _look(image: NDArray[np.float32], tried: float, model: OnnxModel) -> _Look:
    factor = model.diameter_px / tried
    # Written so that a diameter that is unknown ends here too.
    if not image.size * factor**2 <= _LARGEST or tried > 2 * max(image.shape):
        return _Look(tried)
    sizes: list[NDArray[np.int64]] = []
    errors: list[NDArray[np.float64]] = []
    pixels = 0
    for part in _parts(image, factor):
        height, width = part.shape
        window = np.zeros([-(-side // model.multiple) * model.multiple for side in part.shape])
        window[:height, :width] = part
        out = model.run(as_input(window.astype(np.float32), model.channels)[None])[0]
        out = out[:, :height, :width]
        flows = out[:2] / np.float32(FLOW_SCALE)
        labels = flows_to_labels(flows, out[2], max_error=0, min_size=10)
        sizes.append(np.bincount(labels.ravel())[1:])
        errors.append(flow_errors(labels, flows)[1:])
        pixels += part.size
    size = np.concatenate(sizes) if sizes else np.zeros(0, np.int64)
    if not size.size:
        return _Look(tried)
    error = np.concatenate(errors)
    ordered = np.sort(size)
    area = np.cumsum(ordered)
    by_area = ordered[np.searchsorted(area, area[-1] / 2)]
    middle = float(np.median(size[size >= _SPECK**2 * by_area]))
    return _Look(
        tried,
        float(2 * np.sqrt(middle / np.pi)) / factor,
        float(np.average(error, weights=size)),
        float(size[error <= _MAX_ERROR].sum() / pixels),
    )


def _parts(image: NDArray[np.float32], factor: float) -> Iterator[NDArray[np.float32]]:
    """Parts with most contrast, at another scale."""
    scaled = rescale(image, factor)
    between = levels(scaled)
    if between is None:
        return
    scaled = normalise(scaled, between)
    starts = [
        np.unique(np.linspace(0, max(0, size - _SIDE), -(-size // _SIDE)).astype(int))
        for size in scaled.shape
    ]
    parts = [scaled[y : y + _SIDE, x : x + _SIDE] for y in starts[0] for x in starts[1]]
    parts.sort(key=lambda part: -float(part.std()))  # stable: the same order every time
    yield from parts[:_LOOKS]

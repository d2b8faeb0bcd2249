"""Annotated images made ready for training, and the batches drawn from them."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage as ndi

from imganalysis.errors import SettingsError
from imganalysis.segment.augment import Example, draw_crop
from imganalysis.segment.flows import FLOW_SCALE, labels_to_flows
from imganalysis.segment.pixels import as_input, levels, normalise, rescale, rescale_labels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from imganalysis.segment.training_settings import TrainingSettings

FINER = 2.0
"""Examples are kept with as many pixels in one of the network's, if they have them."""

MOST_WEIGHT = 2.0
"""Of a pixel of a small nucleus: annotators do not agree on specks, and more finds too many."""

NEAR_PX = 2
"""From a pixel to each of two nuclei between which there is a gap."""


def make_example(
    image: NDArray[Any],
    labels: NDArray[Any],
    diameter_px: float,
    source: str = "",
    *,
    factor: float | None = None,
) -> Example | None:
    """Make an annotated image ready for training.

    Parameters
    ----------
    image
        (Y, X), finite, any scale of values.
    labels
        (Y, X) whole numbers, 0 = background.
    diameter_px
        What the median nucleus is brought to; an image without nuclei keeps its scale.
    source
        Where it is from.
    factor
        Change of scale, where it is known from the pixel size, in place of the median's.

    Returns
    -------
    Example or None
        At the scale it has, or at `FINER` times the network's if that is coarser. None if the
        image is flat and so shows nothing.
    """
    sizes = np.unique(labels[labels > 0], return_counts=True)[1]
    if factor is None and sizes.size:
        factor = diameter_px / float(np.median(2 * np.sqrt(sizes / np.pi)))
    factor = factor or 1.0
    between = levels(rescale(image, factor))
    if between is None:
        return None
    kept = min(1.0, FINER * factor)
    scaled = rescale(image, kept)
    numbered = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
    if labels.size and labels.min() > 0:
        numbered = numbered + 1
    height, width = scaled.shape
    return Example(
        normalise(scaled, between),
        rescale_labels(numbered, (height, width)),
        source,
        kept / factor,
    )


def draw_batch(
    examples: Sequence[Example],
    chances: NDArray[np.float64],
    settings: TrainingSettings,
    step: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Draw the crops of a step; they depend on the seed and the step only.

    Returns
    -------
    images : (N, C, Y, X) float32
    targets : (N, 3, Y, X) float32
        Flows times `FLOW_SCALE`, and 1 in nuclei.
    weights : (N, 1, Y, X) float32
        0 outside the image.
    """
    rng = np.random.default_rng([settings.seed, step])
    side = int(rng.choice(settings.crop_px))
    images, targets, weights = [], [], []
    for number in rng.choice(len(examples), settings.batch, p=chances):
        crop = draw_crop(examples[int(number)], side, settings.augmentation, rng)
        flows = labels_to_flows(crop.labels) * np.float32(FLOW_SCALE)
        images.append(as_input(crop.image, settings.network.channels))
        targets.append(np.concatenate([flows, (crop.labels > 0)[None].astype(np.float32)]))
        weights.append(pixel_weights(crop.labels, crop.known, settings)[None])
    return np.stack(images), np.stack(targets), np.stack(weights)


def pixel_weights(
    labels: NDArray[np.int32], known: NDArray[np.bool_], settings: TrainingSettings
) -> NDArray[np.float32]:
    """How much each pixel counts in the loss: more where a nucleus is soon missed.

    Parameters
    ----------
    labels, known
        (Y, X), of a crop.
    settings
        ``small_weight``, ``gap_weight`` and the diameter.

    Returns
    -------
    (Y, X) float32
        0 outside the image.
    """
    weights = known.astype(np.float32)
    if settings.small_weight:
        areas = np.bincount(labels.ravel())
        usual = np.pi / 4 * settings.network.diameter_px**2
        more = (usual / np.maximum(areas, 1)) ** settings.small_weight
        more[0] = 1.0
        weights *= np.clip(more, 1.0, MOST_WEIGHT).astype(np.float32)[labels]
    if settings.gap_weight > 1:
        side = 2 * NEAR_PX + 1
        high = ndi.maximum_filter(labels, side)
        low = ndi.minimum_filter(np.where(labels > 0, labels, np.iinfo(labels.dtype).max), side)
        weights[(high > 0) & (low < high)] *= np.float32(settings.gap_weight)
    return weights


def chances_of(
    examples: Sequence[Example], shares: Mapping[str, float] | None
) -> NDArray[np.float64]:
    """Chance of each example: its source's share, within it by the root of its nuclei."""
    if not examples:
        raise SettingsError("no annotated images to train on")
    sources = [example.source for example in examples]
    given = shares if shares is not None else dict.fromkeys(sources, 1.0)
    if missing := sorted(set(sources) - set(given)):
        raise SettingsError(f"no share is given for the source {missing[0]!r}")
    weight = np.array([math.sqrt(1.0 + int(e.labels.max(initial=0))) for e in examples])
    chances = np.zeros(len(examples))
    for source in sorted(set(sources)):
        these = np.array([s == source for s in sources])
        chances[these] = given[source] * weight[these] / weight[these].sum()
    if not chances.sum() > 0:
        raise SettingsError("the shares of all sources are 0: nothing to train on")
    return np.asarray(chances / chances.sum(), np.float64)


def data_hash(examples: Sequence[Example], chances: NDArray[np.float64]) -> str:
    """SHA-256 of what is drawn from: images, labels, sources and chances."""
    digest = hashlib.sha256(np.ascontiguousarray(chances).tobytes())
    for example in examples:
        digest.update(str((example.source, example.image.shape, example.finer)).encode())
        digest.update(np.ascontiguousarray(example.image).tobytes())
        digest.update(np.ascontiguousarray(example.labels).tobytes())
    return digest.hexdigest()

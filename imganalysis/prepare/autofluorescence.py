"""What glows by itself: in every channel at the same place, and not as a nucleus does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage as ndi

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

_SCALES_UM = (0.3, 0.6)  # sigma: grains and strands keep their height, single pixels do not
_AROUND_UM = 2.2  # sigma of what a place is compared with
_QUIET = 20.0  # percentile of light up to which a place tells the noise
_NOISE = 3.0  # standard deviations of the noise that each channel must be above
_UNUSUAL = 3.0  # robust standard deviations of the same channel, likewise
_NUCLEUS_UM = 0.8  # as far as the light of a nucleus reaches
_NUCLEAR = 0.4  # of a usual nucleus's light: what is brighter is a nucleus that was not outlined
_SMALLEST_UM2 = 0.3
_GAP_UM = 0.5  # narrower gaps between grains belong to them


def autofluorescence_mask(
    images: Mapping[str, NDArray[Any]],
    nuclear: str,
    nuclei: NDArray[np.integer[Any]],
    spacing_um: tuple[float, float],
) -> NDArray[np.bool_]:
    """Mark grains and strands that are brighter than their surroundings in all channels at once.

    Parameters
    ----------
    images
        marker -> (Y, X), every stained channel, background subtracted or not.
    nuclear
        Marker of the nuclear stain.
    nuclei
        (Y, X) label image, 0 = background.
    spacing_um
        (Y, X) size of a pixel.

    Returns
    -------
    mask
        (Y, X) bool; empty where there are fewer than two channels, since one cannot tell glow
        from stain.

    Notes
    -----
    Lipofuscin, collagen and red cells emit over the whole spectrum (Baschong, J Histochem
    Cytochem 2001;49:1565; Robertson, Sci Rep 2013), a dye does not. A pixel is marked where in
    each channel the picture, smoothed over a grain, is above its surroundings by three times
    what the pixel noise there leaves. What is excluded by the nuclei: they and their blurred
    edges, and what is about as bright as a nucleus in the nuclear stain. In the cytoplasm the
    nuclear stain shows next to nothing, so that it is the channel that decides: where a stain
    hides the glow of one channel the other channels must still show it.
    """
    if len(images) < 2 or nuclear not in images:
        return np.zeros(nuclei.shape, bool)
    inside = nuclei > 0
    level = _filled(images[nuclear])
    dark = float(np.percentile(level, 5))
    usual = float(np.median(level[inside])) - dark if inside.any() else np.inf
    nuclear_light = inside | (_smoothed(level, _SCALES_UM[0], spacing_um) - dark > _NUCLEAR * usual)
    allowed = ~nuclear_light
    if nuclear_light.any():
        allowed = ndi.distance_transform_edt(allowed, sampling=spacing_um) > _NUCLEUS_UM
    found = np.zeros(nuclei.shape, bool)
    if not allowed.any():
        return found
    weights = {
        scale: _smoothed(allowed.astype(np.float32), scale, spacing_um)
        for scale in (*_SCALES_UM, _AROUND_UM)
    }
    glow = [_Glow(image, allowed, weights, spacing_um) for image in images.values()]
    for scale in _SCALES_UM:
        together = allowed.copy()
        for channel in glow:
            together &= channel.stands_out(scale)
        found |= _large_enough(together, spacing_um)
    return _closed(found, spacing_um) & allowed


def _filled(image: NDArray[Any]) -> NDArray[np.float32]:
    values = np.asarray(image, np.float32)
    finite = np.isfinite(values)
    if finite.all():
        return values
    return np.where(finite, values, np.median(values[finite]) if finite.any() else 0)


def _smoothed(
    image: NDArray[np.float32], sigma_um: float, spacing_um: tuple[float, float]
) -> NDArray[np.float32]:
    sigma = [sigma_um / step for step in spacing_um]
    return np.asarray(ndi.gaussian_filter(image, sigma, mode="nearest", truncate=3.0))


class _Glow:
    """One channel: where it is above its surroundings by more than noise."""

    def __init__(
        self,
        image: NDArray[Any],
        allowed: NDArray[np.bool_],
        weights: Mapping[float, NDArray[np.float32]],
        spacing_um: tuple[float, float],
    ) -> None:
        self._values = _filled(image)
        self._spacing = spacing_um
        self._allowed, self._weights = allowed, weights
        self._around = self._level(_AROUND_UM)
        self._variance = _noise_variance(self._values, self._around)

    def _level(self, scale_um: float) -> NDArray[np.float32]:
        """Smoothed over what is no nucleus: beside one everything is dark in its stain."""
        weight = self._weights[scale_um]
        light = _smoothed(self._values * self._allowed, scale_um, self._spacing)
        return np.asarray(light / np.maximum(weight, 1e-3))

    def stands_out(self, scale_um: float) -> NDArray[np.bool_]:
        pixels = np.prod([max(scale_um / step, 0.3) for step in self._spacing])
        noise = np.sqrt(self._variance / (4 * np.pi * pixels))
        rise = self._level(scale_um) - self._around
        # Every cytoplasm holds a little of every dye: that much is usual.
        others = rise[self._allowed]
        usual = float(np.median(others))
        spread = 1.4826 * float(np.median(np.abs(others - usual)))
        return np.asarray(rise > np.maximum(_NOISE * noise, usual + _UNUSUAL * spread))


def _noise_variance(
    values: NDArray[np.float32], around: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Variance of the pixel noise: that of the quiet part, and in proportion with more light.

    Second differences along both axes see noise and hardly any structure (Immerkaer, Comput Vis
    Image Underst 1996;64:300); grains are structure as fine as noise, so that they are not asked
    where there may be grains.
    """
    down = 2 * values[1:-1] - values[:-2] - values[2:]
    both = (2 * down[:, 1:-1] - down[:, :-2] - down[:, 2:]) / 6
    light = around[1:-1, 1:-1]
    quiet = light <= np.percentile(light, _QUIET)
    least = float(np.mean(np.square(both[quiet])))
    dark = float(np.percentile(values, 0.1))
    usual = max(float(light[quiet].mean()) - dark, 1e-6)
    return np.asarray(least * np.maximum((around - dark) / usual, 1), np.float32)


def _large_enough(mask: NDArray[np.bool_], spacing_um: tuple[float, float]) -> NDArray[np.bool_]:
    parts, _ = ndi.label(mask)
    size = np.bincount(parts.ravel()) * float(np.prod(spacing_um))
    keep = size >= _SMALLEST_UM2
    keep[0] = False
    return np.asarray(keep[parts])


def _closed(mask: NDArray[np.bool_], spacing_um: tuple[float, float]) -> NDArray[np.bool_]:
    """Close gaps up to twice a distance."""
    if not mask.any():
        return mask
    wide = ndi.distance_transform_edt(~mask, sampling=spacing_um) <= _GAP_UM
    return np.asarray(ndi.distance_transform_edt(wide, sampling=spacing_um) > _GAP_UM) | mask

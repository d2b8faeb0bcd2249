"""What goes wrong: pigment in the light's way, folds, tilt, gain, channels out of place."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.simulate import optics
from imganalysis.simulate.numeric import (
    F32,
    FWHM_PER_SIGMA,
    bilinear,
    random_field,
    rounded,
    smooth,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from imganalysis.simulate.cells import Cell
    from imganalysis.simulate.defect_specs import DefectsSpec, PigmentSpec, TransmittedSpec
    from imganalysis.simulate.paint import Part
    from imganalysis.simulate.recipe import PanelSpec
    from imganalysis.simulate.section import Section

_STEP = 64.0  # photons and optical densities are rounded to 1/64
_DEFOCUS = 0.3  # um of blur per um that the focus is off, as wide an aperture does it
_BLOCKED = 0.2  # optical density from which a pixel counts as blocked in the truth


class Granules:
    """Pigment of a field of view: which cells hold it, and what it does to the light.

    Parameters
    ----------
    rng
        Of this step.
    spec
        Of the recipe.
    section
        Its grid.
    cells
        All cells, in the order in which they are rendered.
    """

    def __init__(
        self, rng: np.random.Generator, spec: PigmentSpec, section: Section, cells: list[Cell]
    ) -> None:
        self._spec, self._section = spec, section
        chance, grade = rng.random(len(cells)), rng.random(len(cells))
        low, high = spec.transmission
        may = [bool(c.nuclei) and (not spec.kinds or c.kind in spec.kinds) for c in cells]
        self.chosen: NDArray[np.bool_] = np.array(may, bool) & (chance < spec.share)
        self._density = [rounded(-math.log(low + (high - low) * float(g))) for g in grade]
        side = 2 * int(40.0 / section.pixel_um)
        sigma = spec.granule_um / FWHM_PER_SIGMA
        self._field = random_field(
            rng,
            (section.shape[0], side, side),
            (sigma / section.dz, sigma / section.pixel_um, sigma / section.pixel_um),
        )
        self._cut = np.float32(np.quantile(self._field, 1.0 - spec.fill))
        self._rng = rng
        self.grains: F32 = np.zeros(section.shape, np.float32)
        self.optical_density: F32 = np.zeros(section.shape[1:], np.float32)

    def fill(self, part: Part, cytoplasm: F32) -> None:
        """Put grains into the cytoplasm of one cell, (K, Y, X) in 0-1, if it holds any."""
        if not self.chosen[part.index]:
            return
        w = part.window
        side = self._field.shape[1]
        place = np.random.PCG64([part.index, 7]).random_raw(2)
        i, j = (int(v % np.uint64(side)) for v in place)
        rows = np.arange(i, i + w[1].stop - w[1].start) % side
        columns = np.arange(j, j + w[2].stop - w[2].start) % side
        field = self._field[w[0]][:, rows[:, None], columns[None, :]]
        grains = cytoplasm * np.clip((field - self._cut) * np.float32(4.0), 0.0, 1.0)
        self.grains[w] += grains
        per_voxel = self._density[part.index] * self._section.dz / self._spec.granule_um
        for plane in grains:  # in order: the sum over planes is exact this way
            self.optical_density[w[1:]] += plane * np.float32(per_voxel)

    @property
    def blocked(self) -> NDArray[np.bool_]:
        """(Y, X) where pigment takes a noticeable part of the light."""
        return self.optical_density > _BLOCKED

    def absorb(self, photons: F32, panel: PanelSpec, photon_scale: float) -> F32:
        """Dim what a panel's channels show, (C, Z, Y, X) photons, and let the grains glow."""
        out = np.empty_like(photons)
        for image, seen, channel in zip(out, photons, panel.channels, strict=True):
            glow = optics.blur(self.grains, self._section, channel)
            glow *= np.float32(self._spec.glow * channel.autofluorescence * photon_scale)
            image[...] = (seen + glow) * self._passing(channel.fwhm_xy_um)
        return _quantised(out)

    def transmitted(self, spec: TransmittedSpec, planes: int, photon_scale: float) -> F32:
        """(Z, Y, X) photons of the detector behind the section."""
        section = self._section
        sigma = spec.texture_um / FWHM_PER_SIGMA / 0.5
        bend = random_field(self._rng, (128, 128), (sigma, sigma))
        y, x = section.y.astype(float)[:, None], section.x.astype(float)[None, :]
        uneven = np.float32(1.0) + np.float32(spec.texture) * bilinear(bend, y / 0.5, x / 0.5)
        image = np.float32(spec.photons * photon_scale) * uneven * self._passing(spec.fwhm_um)
        return _quantised(np.repeat(image[None], planes, axis=0))

    def _passing(self, fwhm_um: float) -> F32:
        """(Y, X) share of the light that passes, as a point spread of a width sees it."""
        # Exponentials of scalars: those of arrays differ in the last bit between processors.
        table = [rounded(math.exp(-i / _STEP)) for i in range(1024)]
        steps = np.minimum(np.rint(self.optical_density * np.float32(_STEP)), 1023).astype(int)
        sigma = fwhm_um / FWHM_PER_SIGMA / self._section.pixel_um
        passing: F32 = smooth(np.array(table, np.float32)[steps], (sigma, sigma))
        return passing


def tilted(
    rng: np.random.Generator, section: Section, tilt_um: float, expose: Callable[..., F32]
) -> F32:
    """Expose a section whose focal plane lies off by -tilt at the left and +tilt at the right.

    Parameters
    ----------
    rng
        Handed to each exposure in the same state, and left as one of them leaves it.
    section
        In focus.
    tilt_um
        At the borders.
    expose
        Called with (rng, section), gives (C, Z, Y, X) photons.
    """
    if not tilt_um:
        return expose(rng, section)
    start = copy.deepcopy(rng)
    parts = []
    for way in (-1.0, 0.0, 1.0):
        planes = tuple(rounded(z + way * tilt_um) for z in section.planes_z)
        used = rng if way == 0.0 else copy.deepcopy(start)
        image = expose(used, dataclasses.replace(section, planes_z=planes))
        sigma = _DEFOCUS * abs(way) * tilt_um / section.pixel_um
        parts.append(smooth(image, (0.0, 0.0, sigma, sigma)))
    place = (np.arange(section.shape[2]) + 0.5) / section.shape[2] * 2.0 - 1.0
    left, right = np.maximum(-place, 0.0), np.maximum(place, 0.0)
    weights = [w.astype(np.float32) for w in (left, 1.0 - left - right, right)]
    out = np.zeros_like(parts[0])
    for weight, image in zip(weights, parts, strict=True):
        out += weight * image
    return _quantised(out)


def fold(
    rng: np.random.Generator, photons: F32, spec: DefectsSpec, pixel_um: float
) -> tuple[F32, NDArray[np.bool_]]:
    """Lay the tissue beside a strip over the strip, mirrored and out of focus.

    Returns
    -------
    photons : as given, (C, Z, Y, X), brighter in the strip
    folded : (Y, X) bool, the strip
    """
    upright, place = bool(rng.random() < 0.5), float(rng.random())
    folded = np.zeros(photons.shape[-2:], bool)
    if not spec.fold_share:
        return photons, folded
    turned = np.swapaxes(photons, 2, 3) if upright else photons
    n = turned.shape[2]
    wide = max(1, round(spec.fold_share * n))
    start = round((0.2 + 0.6 * place) * (n - wide))
    beside = start - wide if start >= wide else start + wide
    beside = min(max(beside, 0), n - wide)
    sigma = _DEFOCUS * spec.fold_defocus_um / pixel_um
    layer = smooth(turned[:, :, beside : beside + wide][:, :, ::-1], (0.0, 0.0, sigma, sigma))
    out = turned.copy()
    out[:, :, start : start + wide] += layer
    rows = slice(start, start + wide)
    folded[(slice(None), rows) if upright else rows] = True
    return _quantised(np.swapaxes(out, 2, 3) if upright else out), folded


def displace(rng: np.random.Generator, photons: F32, spec: DefectsSpec) -> F32:
    """Move each channel but the first by so many pixels, some way; exchange the first two."""
    ways = rng.integers(0, 4, size=len(photons))
    out = photons.copy()
    if spec.shift_px:
        for image, way in zip(out[1:], ways[1:], strict=True):
            axis, step = -2 + int(way) % 2, spec.shift_px * (1 if way < 2 else -1)
            n = image.shape[axis]
            places = np.clip(np.arange(n) - step, 0, n - 1)
            image[...] = np.take(image, places, axis=axis)
    if spec.swapped:
        out[[0, 1]] = out[[1, 0]]
    return out


def with_gain(panel: PanelSpec, gain: float) -> PanelSpec:
    """Set the detectors higher: full scale is reached with fewer photons."""
    channels = [
        c.model_copy(update={"full_scale_photons": c.full_scale_photons / gain})
        for c in panel.channels
    ]
    return panel.model_copy(update={"channels": tuple(channels)})


def transmitted_levels(
    rng: np.random.Generator, photons: F32, spec: TransmittedSpec, bits: int
) -> NDArray[np.unsignedinteger[Any]]:
    """(Z, Y, X) photons to grey levels, without an offset."""
    top = 2**bits - 1
    counts = rng.poisson(photons.astype(np.float64))
    value = np.clip(np.rint(counts * (top / spec.full_scale_photons)), 0, top)
    dtype: type[np.unsignedinteger[Any]] = np.uint8 if bits == 8 else np.uint16
    return np.asarray(value, dtype)


def _quantised(photons: F32) -> F32:
    out: F32 = (np.rint(photons * np.float32(_STEP)) / np.float32(_STEP)).astype(np.float32)
    return out

"""From dye to grey levels: point spread, bleed-through, photons, noise, digitiser."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from imganalysis.simulate.numeric import (
    F32,
    FWHM_PER_SIGMA,
    bilinear,
    random_field,
    rounded,
    smooth,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imganalysis.simulate.recipe import (
        ChannelSpec,
        DetectorSpec,
        PanelSpec,
        Recipe,
        ShadingSpec,
    )
    from imganalysis.simulate.render import Rendered
    from imganalysis.simulate.section import Section

_PHOTON_STEP = 64.0  # photons are rounded to 1/64 before noise is drawn


def expose(
    rng: np.random.Generator,
    recipe: Recipe,
    panel: PanelSpec,
    section: Section,
    rendered: Rendered,
    lumen: F32,
    stroma: F32,
    *,
    photon_scale: float = 1.0,
    bleed_scale: float = 1.0,
) -> F32:
    """Look at a stained section: expected photons per pixel.

    Parameters
    ----------
    rng
        Of this step.
    recipe, panel
        What to expose, and how.
    section
        Its slices and the microscope's planes.
    rendered
        Dye per voxel.
    lumen
        (K, Y, X) in 0-1, what is blood.
    stroma
        (Y, X) in 0-1, where there are collagen strands.
    photon_scale
        Multiplies all light.
    bleed_scale
        Multiplies the bleed-through between channels.

    Returns
    -------
    array
        (C, Z, Y, X) float32, multiples of 1/64.
    """
    dyes = [
        blur(rendered.dyes[channel.marker], section, channel) * np.float32(channel.peak_photons)
        for channel in panel.channels
    ]
    glow = _autofluorescence(rng, recipe, section, rendered, lumen, stroma)
    light = _shading(rng, recipe.shading, section)
    out = np.zeros((len(dyes), *dyes[0].shape), np.float32)
    for i, detector in enumerate(panel.channels):
        for j, dye in enumerate(dyes):
            share = panel.bleed[i][j] * (1.0 if i == j else bleed_scale)
            if share:
                out[i] += np.float32(share) * dye
        seen = blur(glow, section, detector)
        tissue = blur(section.tissue, section, detector)
        out[i] += np.float32(detector.autofluorescence) * seen
        out[i] += np.float32(detector.background_photons) * (
            np.float32(0.4) + np.float32(0.6) * tissue
        )
        out[i] *= light * np.float32(photon_scale)
    quantised: F32 = (np.rint(out * np.float32(_PHOTON_STEP)) / _PHOTON_STEP).astype(np.float32)
    return quantised


def blur(voxels: F32, section: Section, channel: ChannelSpec) -> F32:
    """Look at the slices through a Gaussian point spread function, from each plane.

    Parameters
    ----------
    voxels
        (K, Y, X).
    section
        Where the slices and planes lie.
    channel
        Full widths at half maximum of the point spread, um.

    Returns
    -------
    array
        (Z, Y, X) float32.
    """
    sigma_z = channel.fwhm_z_um / FWHM_PER_SIGMA
    sigma_px = channel.fwhm_xy_um / FWHM_PER_SIGMA / section.pixel_um
    planes = []
    for plane in section.planes_z:
        weights = [
            round(math.exp(-0.5 * ((float(z) - plane) / sigma_z) ** 2), 9) for z in section.z
        ]
        # Normalised over all depths, not over the section: near its face a plane is dimmer.
        total = sigma_z * math.sqrt(2.0 * math.pi) / section.dz
        image = np.zeros(voxels.shape[1:], np.float32)
        for weight, voxel_plane in zip(weights, voxels, strict=True):
            if weight > 1e-4:
                image += np.float32(rounded(weight / total)) * voxel_plane
        planes.append(smooth(image, (sigma_px, sigma_px)))
    seen: F32 = np.stack(planes)
    return seen


def digitise(
    rng: np.random.Generator, photons: F32, panel: PanelSpec, spec: DetectorSpec, bits: int
) -> NDArray[np.unsignedinteger[Any]]:
    """Photons to grey levels.

    Parameters
    ----------
    rng
        Of this step.
    photons
        (C, Z, Y, X), expected.
    panel
        Full scale of each channel.
    spec
        Noise and offset.
    bits
        8 gives uint8, 12 uint16.

    Notes
    -----
    A photomultiplier amplifies k photons with a spread of its own, which multiplies the variance
    of the counts by the excess noise factor F: here k is Poisson, and a normal of variance
    (F - 1) k stands for the spread of the gain.
    """
    top = 2**bits - 1
    unit = (top + 1) / 256.0  # offset and read noise are given in grey levels of 8 bits
    offset, read = spec.offset_grey * unit, spec.read_grey * unit / math.sqrt(spec.frame_average)
    dtype: type[np.unsignedinteger[Any]] = np.uint8 if bits == 8 else np.uint16
    out = np.empty(photons.shape, dtype)
    for channel, gray in zip(panel.channels, out, strict=True):
        index = panel.channels.index(channel)
        gain = (top - offset) / channel.full_scale_photons
        counts = rng.poisson(photons[index].astype(np.float64)).astype(np.float64)
        spread = np.sqrt((spec.excess_noise - 1.0) * gain**2 * counts + read**2)
        value = offset + gain * counts + spread * rng.standard_normal(counts.shape)
        gray[...] = np.clip(np.rint(value), 0, top)
    return out


def _autofluorescence(
    rng: np.random.Generator,
    recipe: Recipe,
    section: Section,
    rendered: Rendered,
    lumen: F32,
    stroma: F32,
) -> F32:
    """Photons per voxel in a channel of weight 1: strands between cells, blood, lipofuscin."""
    spec = recipe.autofluorescence
    strands = _strands(rng, section.shape[1:], section.pixel_um) * stroma
    between = np.maximum(np.float32(1.0) - rendered.bodies - lumen, 0.0) * section.tissue
    y, x = section.y.astype(float)[:, None], section.x.astype(float)[None, :]
    # Red cells, 7 um across, with plasma between them.
    crowd = random_field(rng, (96, 96), (1.3, 1.3))
    red = np.clip(np.float32(0.6) + np.float32(0.7) * bilinear(crowd, y / 2.0, x / 2.0), 0.0, 1.2)
    glow: F32 = np.float32(spec.strands) * strands * between
    glow += np.float32(spec.blood) * red * lumen * section.tissue
    glow += np.float32(spec.lipofuscin) * rendered.lipofuscin
    return glow


def _strands(rng: np.random.Generator, shape: tuple[int, ...], pixel_um: float) -> F32:
    """(Y, X) in 0-1: wavy bundles that run one way, about 2 um thick and 30 um long."""
    side = 256
    pattern = random_field(rng, (side, side), (1.1, 14.0))
    bend = random_field(rng, (64, 64), (6.0, 6.0))
    angle = float(rng.uniform(0.0, math.pi))
    c, s = rounded(math.cos(angle)), rounded(math.sin(angle))
    y = np.arange(shape[0])[:, None] * pixel_um
    x = np.arange(shape[1])[None, :] * pixel_um
    wave = 6.0 * bilinear(bend, y / 8.0, x / 8.0).astype(np.float64)
    across, along = c * y - s * x + wave, s * y + c * x
    value = bilinear(pattern, across / 0.9, along / 0.9)
    strands: F32 = np.clip(np.float32(0.6) * value, 0.0, 1.5)
    return strands


def _shading(rng: np.random.Generator, spec: ShadingSpec, section: Section) -> F32:
    """(Z, Y, X) factor: darker corners, the laser of the day, bleaching from plane to plane."""
    laser = rounded(1.0 + spec.laser_sd * float(rng.uniform(-1.0, 1.0)))
    _, height, width = section.shape
    y = (np.arange(height) + 0.5) / height * 2.0 - 1.0
    x = (np.arange(width) + 0.5) / width * 2.0 - 1.0
    corner = (y[:, None] ** 2 + x[None, :] ** 2) / 2.0
    flat = (laser * (1.0 - spec.vignetting * corner)).astype(np.float32)
    left = [(1.0 - spec.bleach_per_plane) ** k for k in range(len(section.planes_z))]
    return np.stack([flat * np.float32(rounded(k)) for k in left])

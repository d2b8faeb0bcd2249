"""Autofluorescence, pigment, folds, sharpness: on pictures whose every pixel is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from imganalysis.prepare.autofluorescence import autofluorescence_mask
from imganalysis.prepare.background import global_background
from imganalysis.prepare.folds import fold_mask
from imganalysis.prepare.pigment import pigment_mask
from imganalysis.prepare.sharpness import edge_sharpness

PX = (0.25, 0.25)
SIDE = 240
IDS = (1, 2, 3, 4)


def disc(y: float, x: float, radius_um: float) -> np.ndarray:
    yy, xx = np.mgrid[:SIDE, :SIDE] * PX[0]
    return np.hypot(yy - y, xx - x) < radius_um


@pytest.fixture
def nuclei() -> np.ndarray:
    labels = np.zeros((SIDE, SIDE), np.uint32)
    for label, (y, x) in enumerate(((15, 15), (15, 45), (45, 15), (45, 45)), start=1):
        labels[disc(y, x, 4)] = label
    return labels


def stained(nuclei: np.ndarray, grains: np.ndarray, where: tuple[str, ...]) -> dict:
    """Nuclei in D, cytoplasm in M and C, grains in the channels named; Poisson noise."""
    rng = np.random.default_rng(0)
    body = ndi.binary_dilation(nuclei > 0, iterations=12) & (nuclei == 0)
    clean = {"D": 60.0 * (nuclei > 0), "M": 20.0 * body, "C": 10.0 * body}
    out = {}
    for marker, image in clean.items():
        glow = 15.0 * grains * (marker in where)
        out[marker] = rng.poisson(ndi.gaussian_filter(image + glow, 0.6) + 4).astype(np.float32)
    return out


@pytest.fixture
def grains() -> np.ndarray:
    """Grains of 0.8 um, some in the cytoplasm of nucleus 1 and some between cells."""
    mask = np.zeros((SIDE, SIDE), bool)
    for y, x in ((15, 20.3), (20.3, 15), (15, 9.7), (9.7, 15), (30, 28), (30, 33), (33, 30)):
        mask |= disc(y, x, 0.4)
    return mask


def test_what_glows_in_every_channel_is_found_and_stain_is_not(nuclei, grains):
    seen = autofluorescence_mask(stained(nuclei, grains, ("D", "M", "C")), "D", nuclei, PX)
    assert (seen & grains).sum() > 0.7 * grains.sum()
    far = ndi.distance_transform_edt(~grains) * PX[0] > 1.0
    assert not (seen & far).any()
    assert not (seen & (nuclei > 0)).any()


@pytest.mark.parametrize("where", [(), ("M",), ("M", "C"), ("D", "M")])
def test_grains_of_some_channels_only_are_stain(nuclei, grains, where):
    seen = autofluorescence_mask(stained(nuclei, grains, where), "D", nuclei, PX)
    # Within a cell that is stained in the third channel nothing can contradict two of them.
    between = ndi.binary_dilation(nuclei > 0, iterations=14) == 0
    assert (grains & between).any()
    assert not seen[between if "D" in where else slice(None)].any()


def test_a_nucleus_that_was_not_outlined_does_not_glow(nuclei, grains):
    images = stained(nuclei, np.zeros_like(grains), ())
    images["C"] = images["C"] + 30.0 * (nuclei == 4)
    images["M"] = images["M"] + 30.0 * (nuclei == 4)
    missed = np.where(nuclei == 4, 0, nuclei)
    assert not autofluorescence_mask(images, "D", missed, PX).any()


def test_one_channel_cannot_tell(nuclei, grains):
    one = {"D": stained(nuclei, grains, ("D",))["D"]}
    assert not autofluorescence_mask(one, "D", nuclei, PX).any()


def test_nan_and_fields_without_nuclei_are_no_error(nuclei, grains):
    images = stained(nuclei, grains, ("D", "M", "C"))
    images["M"][:5] = np.nan
    seen = autofluorescence_mask(images, "D", nuclei, PX)
    assert not seen[:5].any()
    assert seen[100:].any()
    empty = autofluorescence_mask(images, "D", np.zeros_like(nuclei), PX)
    assert empty.shape == nuclei.shape


def test_pigment_is_dark_in_transmitted_light():
    rng = np.random.default_rng(1)
    spots = disc(20, 20, 0.5) | disc(40, 45, 1.0) | disc(10, 50, 3.0)
    yy = np.mgrid[:SIDE, :SIDE][0] / SIDE
    light = (150 + 40 * yy) * np.where(ndi.binary_dilation(spots), 0.4, 1.0)
    seen = pigment_mask(rng.poisson(light).astype(np.float32), PX, 0.8)
    assert (seen & spots).sum() > 0.95 * spots.sum()
    assert (seen & ~ndi.binary_dilation(spots, iterations=4)).sum() == 0
    # What lets more light through than asked for is no pigment.
    assert not pigment_mask(rng.poisson(light).astype(np.float32), PX, 0.3).any()


def test_no_light_is_no_pigment():
    assert not pigment_mask(np.zeros((SIDE, SIDE)), PX, 0.8).any()
    assert not pigment_mask(np.full((SIDE, SIDE), np.nan), PX, 0.8).any()


def tissue_picture(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    out = {}
    for marker in "DMC":
        grains = ndi.gaussian_filter(rng.standard_normal((SIDE, SIDE)), 1.5) * 8
        out[marker] = (20 + 25 * np.clip(grains, 0, None)).astype(np.float32)
    return out


def folded_picture(markers: str, *, blur_um: float, times: float = 1.0) -> tuple[dict, np.ndarray]:
    images, layer = tissue_picture(0), tissue_picture(1)
    strip = np.zeros((SIDE, SIDE), bool)
    strip[:, 80:160] = True
    for marker in markers:
        second = ndi.gaussian_filter(layer[marker], blur_um / PX[0])
        images[marker] = images[marker] + times * second * strip
    return {m: image + 5 for m, image in images.items()}, strip


def test_a_fold_is_bright_in_all_channels_and_blurred():
    images, strip = folded_picture("DMC", blur_um=2.0)
    whole = np.ones_like(strip)
    seen = fold_mask(images, whole, PX)
    assert (seen & strip).sum() > 0.5 * strip.sum()
    assert (seen & ~strip).sum() < 0.05 * strip.sum()
    half = whole.copy()
    half[:120] = False
    assert not fold_mask(images, half, PX)[:120].any()


def test_bright_in_one_channel_or_sharp_is_no_fold():
    whole = np.ones((SIDE, SIDE), bool)
    for markers in ("M", "DC"):
        assert not fold_mask(folded_picture(markers, blur_um=2.0, times=3)[0], whole, PX).any()
    images, strip = folded_picture("", blur_um=1.0)
    dense = {m: np.where(strip, (image - 5) * 2 + 5, image) for m, image in images.items()}
    assert not fold_mask(dense, whole, PX).any()
    assert not fold_mask(images, ~whole, PX).any()


@pytest.mark.parametrize("sigma_um", [0.4, 0.6, 0.8])
def test_sharpness_is_the_width_of_the_edge(nuclei, sigma_um):
    image = ndi.gaussian_filter(np.where(nuclei > 0, 50.0, 0.0), sigma_um / PX[0])
    sharp = edge_sharpness(image, nuclei, [1, 2, 3, 4, 9], PX)
    assert np.isnan(sharp[4])  # no such nucleus
    sharp = sharp[:4]
    # The slope of a blurred edge, averaged from -0.7 to 0.7 um after a further blur of 0.3 um.
    total = np.hypot(sigma_um, 0.3)
    z = np.linspace(-0.7, 0.7, 141)
    expected = (np.exp(-0.5 * (z / total) ** 2) / (total * np.sqrt(2 * np.pi))).mean()
    assert sharp == pytest.approx(expected, rel=0.2)
    softer = edge_sharpness(ndi.gaussian_filter(image, 2.0), nuclei, IDS, PX)
    assert (softer < sharp).all()
    # Gain and offset play no part.
    again = edge_sharpness(image * 7 + 100, nuclei, IDS, PX)
    assert again == pytest.approx(sharp, rel=1e-6)


def test_sharpness_is_not_that_of_noise(nuclei):
    rng = np.random.default_rng(3)
    image = ndi.gaussian_filter(np.where(nuclei > 0, 30.0, 0.0), 3.0)
    clean = edge_sharpness(image, nuclei, IDS, PX)
    noisy = edge_sharpness(rng.poisson(image + 3), nuclei, IDS, PX)
    assert noisy == pytest.approx(clean, rel=0.15)


def test_nothing_to_be_sharp_is_nan(nuclei):
    assert np.isnan(edge_sharpness(np.ones(nuclei.shape), nuclei, IDS, PX)).all()
    assert np.isnan(edge_sharpness(np.ones(nuclei.shape), np.ones_like(nuclei), IDS, PX)).all()
    assert np.isnan(edge_sharpness(np.ones(nuclei.shape), np.zeros_like(nuclei), IDS, PX)).all()


def test_the_global_background_is_the_level_between_cells(nuclei):
    rng = np.random.default_rng(4)
    image = rng.poisson(np.where(nuclei > 0, 80.0, 6.0)).astype(np.float32)
    assert global_background(image, PX) == pytest.approx(6.0, abs=1.0)
    both = np.stack([image, image + 10])
    assert global_background(both, (0.5, *PX)) == pytest.approx(6.0, abs=1.0)
    assert np.isnan(global_background(np.full((20, 20), np.nan), PX))

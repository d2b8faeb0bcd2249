import numpy as np
import pytest
from scipy import ndimage as ndi

from imganalysis.prepare.tissue import tissue_mask
from imganalysis.settings import Preparation

PX = 0.5  # um
SIDE = 480
PREPARATION = Preparation()


def textured(tissue: np.ndarray, seed: int = 0, photons: float = 30.0) -> np.ndarray:
    """Nuclei and cytoplasm where there is tissue, photon noise everywhere."""
    rng = np.random.default_rng(seed)
    nuclei = np.zeros(tissue.shape)
    at = rng.integers(0, SIDE, (700, 2))
    nuclei[at[:, 0], at[:, 1]] = 1
    nuclei = ndi.grey_dilation(nuclei, footprint=np.hypot(*np.mgrid[-8:9, -8:9]) < 8)
    fibres = abs(ndi.gaussian_filter(rng.normal(size=tissue.shape), 4))
    light = np.stack([photons * nuclei, photons * 0.2 * fibres / fibres.mean()]) * tissue
    light = ndi.gaussian_filter(light, (0, 1, 1)) + 2
    return rng.poisson(light) + rng.normal(5, 1, light.shape)


def distance_from_middle() -> np.ndarray:
    yy, xx = np.mgrid[:SIDE, :SIDE] * PX
    return np.hypot(yy - SIDE * PX / 2, xx - SIDE * PX / 2)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("photons", [30.0, 10.0])
def test_full_field_is_full(photons):
    full = np.ones((SIDE, SIDE), bool)
    assert tissue_mask(textured(full, photons=photons), PX, PREPARATION).mean() > 0.97


def test_full_field_of_dense_and_sparse_tissue_is_full():
    # Otsu alone would keep the bright half.
    full = np.ones((SIDE, SIDE), bool)
    image = textured(full)
    image[:, :, : SIDE // 2] = 5 + 0.4 * (image[:, :, : SIDE // 2] - 5)
    assert tissue_mask(image, PX, PREPARATION).mean() > 0.97


def test_half_a_field():
    half = np.zeros((SIDE, SIDE), bool)
    half[:, : SIDE // 2] = True
    found = tissue_mask(textured(half), PX, PREPARATION)
    assert overlap(found, half) > 0.9


def test_a_hole_stays_and_a_small_one_does_not():
    holed = distance_from_middle() > 40
    found = tissue_mask(textured(holed), PX, PREPARATION)
    assert overlap(found, holed) > 0.93
    assert not found[distance_from_middle() < 30].any()
    assert tissue_mask(textured(distance_from_middle() > 8), PX, PREPARATION).mean() > 0.99


def test_empty_field_is_empty():
    assert not tissue_mask(textured(np.zeros((SIDE, SIDE), bool)), PX, PREPARATION).any()


@pytest.mark.parametrize("level", [0.0, 9.0, np.nan])
def test_flat_black_or_broken_field_is_empty(level):
    found = tissue_mask(np.full((2, 64, 64), level), PX, PREPARATION)
    assert found.shape == (64, 64)
    assert not found.any()


def test_broken_pixels_and_a_dead_channel_do_no_harm():
    half = np.zeros((SIDE, SIDE), bool)
    half[: SIDE // 2] = True
    image = textured(half)
    image[0, 100:110, 100:110] = np.nan
    image = np.concatenate([image, np.full((1, SIDE, SIDE), np.nan)])
    found = tissue_mask(image, (PX, PX), PREPARATION)
    assert found.shape == (SIDE, SIDE)
    assert overlap(found, half) > 0.9

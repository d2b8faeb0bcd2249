import numpy as np
import pytest
from scipy import ndimage as ndi

from imganalysis.prepare.background import local_background

PX = 0.5  # um


def nest(size_px: int = 480, wide_um: float = 100.0) -> tuple[np.ndarray, np.ndarray]:
    """Rings of 100 around unstained nuclei, side by side in a disc; pixels of the rings."""
    yy, xx = np.mgrid[:size_px, :size_px] * PX
    middle = size_px * PX / 2
    inside = np.hypot(yy - middle, xx - middle) < wide_um / 2
    period = 12.0
    odd = np.floor(yy / period) % 2 * period / 2
    far = np.hypot(yy % period - period / 2, (xx + odd) % period - period / 2)
    ring = inside & (far > 3.5)
    return ring * 100.0, ring


def test_gradient_and_offset_are_removed():
    yy, xx = np.mgrid[:480, :480] * PX
    image = 20 + 0.05 * xx + 0.03 * yy
    rest = image - local_background(image, PX, 60.0)
    assert abs(rest).max() < 2.5
    assert np.ptp(image) > 18
    inner = rest[80:-80, 80:-80]
    assert abs(inner).max() < 0.5


def test_a_nest_wider_than_the_window_keeps_its_signal():
    clean, ring = nest()
    image = ndi.gaussian_filter(clean, 0.4) + 10
    rest = image - local_background(image, PX, 60.0)
    assert rest[ring].mean() > 0.9 * clean[ring].mean()
    # The control: a plain low-pass background takes much of it.
    plain = image - ndi.gaussian_filter(image, 60.0 / PX / 2)
    assert plain[ring].mean() < 0.8 * clean[ring].mean()


def test_noise_leaves_the_level_near_its_mean():
    rng = np.random.default_rng(0)
    image = rng.poisson(5, (400, 400)).astype(np.uint8)
    assert local_background(image, PX, 60.0) == pytest.approx(5, abs=1.0)


def test_one_size_per_axis_and_planes_one_by_one():
    image = np.random.default_rng(0).random((2, 60, 90))
    both = local_background(image, (1.0, 0.5, 0.3), 10.0)
    assert both.shape == image.shape
    assert both.dtype == np.float32
    np.testing.assert_array_equal(both[1], local_background(image[1], (0.5, 0.3), 10.0))


def test_broken_pixels_play_no_part():
    image = np.full((200, 200), 7.0)
    image[50:150, 50:150] = np.nan
    image[0, 0] = np.inf
    np.testing.assert_allclose(local_background(image, PX, 20.0), 7, rtol=1e-6)
    assert np.isnan(local_background(np.full((30, 30), np.nan), PX, 20.0)).all()


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (17, 16)])
def test_images_smaller_than_the_window(shape):
    np.testing.assert_allclose(local_background(np.full(shape, 4, np.uint8), PX, 60.0), 4)

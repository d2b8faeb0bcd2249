"""Shading, from fields whose tissue differs."""

import numpy as np
import pytest
from scipy import ndimage as ndi

from imganalysis.prepare.flatfield import field_grid, fit_shading, flatten, shading

BOWL = (1.0, 0.03, -0.05, -0.12)
LIMITS = {"min_fields": 8, "max_se": 0.03}


def field(seed: int, tissue: float = 0.05, level: float = 60.0, offset: float = 5.0) -> np.ndarray:
    """An unevenly lit field of tissue that varies by a share over 20 pixels."""
    rng = np.random.default_rng(seed)
    pattern = ndi.gaussian_filter(rng.normal(size=(120, 150)), 10, mode="wrap")
    light = shading(BOWL, pattern.shape) * (1 + tissue * pattern / pattern.std()) * level
    return offset + rng.poisson(np.clip(light, 0, None))


def test_the_bowl_is_found_and_divided_out():
    fields = [field(seed) for seed in range(10)]
    found, se, reason = fit_shading([field_grid(f) for f in fields], 5.0, 255.0, **LIMITS)
    assert reason == "" and 0 < se < 0.03
    true = shading(BOWL, (120, 150))
    assert np.ptp(true) > 0.25
    np.testing.assert_allclose(shading(found, (120, 150)), true / true.mean(), atol=0.035)
    even = np.mean([flatten(f, found, 5.0) for f in fields], axis=0)
    corner = even[:20, -20:].mean() / even[50:70, 65:85].mean()
    before = np.mean(fields, axis=0)
    assert abs(corner - 1) < 0.08 < abs(before[:20, -20:].mean() / before[50:70, 65:85].mean() - 1)
    assert even.mean() == pytest.approx(before.mean(), rel=0.01)


def test_the_offset_is_not_divided():
    image = np.full((40, 40), 5.0)
    np.testing.assert_allclose(flatten(image, BOWL, 5.0), 5.0)
    stack = np.stack([image, image + 10])
    assert flatten(stack, BOWL, 5.0).shape == stack.shape


def test_what_does_not_show_it_is_not_used():
    grids = [field_grid(field(seed)) for seed in range(10)]
    assert fit_shading(grids[:7], 5.0, 255.0, **LIMITS)[::2] == ((), "too_few_controls")
    dark = [field_grid(field(seed, level=3.0)) for seed in range(10)]
    assert fit_shading(dark, 5.0, 255.0, **LIMITS)[::2] == ((), "no_light")
    patchy = [field_grid(field(seed, tissue=0.8)) for seed in range(10)]
    assert fit_shading(patchy, 5.0, 255.0, **LIMITS)[::2] == ((), "uncertain")
    even = [np.full((12, 12), 60.0 + s) for s in range(10)]
    assert fit_shading(even, 5.0, 255.0, **LIMITS)[::2] == ((), "even")


def test_broken_pixels_play_no_part():
    image = field(1).astype(float)
    image[:30, :40] = np.nan
    grid = field_grid(image)
    assert np.isnan(grid[0, 0]) and np.isfinite(grid[-1, -1])
    stack = np.stack([field(1), field(1)])
    np.testing.assert_allclose(field_grid(stack), field_grid(field(1)))
    grids = [field_grid(image), *(field_grid(field(s)) for s in range(2, 11))]
    assert fit_shading(grids, 5.0, 255.0, **LIMITS)[2] == ""

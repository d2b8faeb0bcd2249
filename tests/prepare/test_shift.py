"""Channels that lie beside each other."""

import numpy as np
import pytest
from scipy import ndimage as ndi

from imganalysis.prepare.shift import agree, estimate_shift, move_back


def two(shift: tuple[float, float], seed: int = 1, light: float = 20.0, shared: bool = True):
    """The same tissue, or another one, seen by two detectors of which one lies beside."""
    rng = np.random.default_rng(seed)
    tissue = ndi.gaussian_filter(rng.normal(size=(160, 160)), 2.0)
    other = tissue if shared else ndi.gaussian_filter(rng.normal(size=(160, 160)), 2.0)
    tissue, other = (np.clip(t / t.std() + 1, 0, None) for t in (tissue, other))
    moved = ndi.shift(other, shift, order=3, mode="nearest")
    return rng.poisson(light * tissue), rng.poisson(0.2 * light * np.clip(moved, 0, None))


@pytest.mark.parametrize("shift", [(0, 0), (2, -1), (-3, 0), (1.4, 0.6)])
def test_a_shift_is_found_in_dim_light(shift):
    found, correlation = estimate_shift(*two(shift))
    assert found == pytest.approx(shift, abs=0.3)
    assert correlation > 0.1


@pytest.mark.parametrize("seed", range(6))
def test_other_tissue_has_none(seed):
    assert estimate_shift(*two((2, 1), seed, shared=False))[0] is None


def test_what_cannot_be_judged_has_none():
    one, other = two((9, 0))  # farther than is looked for
    assert estimate_shift(one, other)[0] is None
    assert estimate_shift(one, np.full(one.shape, 7))[0] is None
    assert estimate_shift(one[:40, :40], one[:40, :40])[0] is None


def test_controls_agree_or_nothing_is_moved():
    assert agree([(1.8, -1.2), None, (2.2, -0.9)]) == ((2, -1), pytest.approx(0.2), "")
    assert agree([(0.4, -0.4)])[::2] == ((0, 0), "none")
    assert agree([(2.0, 0.0), (-2.0, 0.0)])[::2] == ((0, 0), "uncertain")
    assert agree([None])[2] == "no_common_structure"
    assert agree([])[2] == "no_common_structure"


def test_a_channel_is_moved_back_and_its_border_is_not_made_up():
    image = np.arange(30.0).reshape(5, 6)
    beside = np.roll(image, (2, -1), (0, 1))
    back = move_back(beside, (2, -1))
    np.testing.assert_array_equal(back[:3, 1:], image[:3, 1:])
    assert np.isnan(back[3:]).all() and np.isnan(back[:, 0]).all()
    np.testing.assert_array_equal(move_back(image[None], (0, 0))[0], image)

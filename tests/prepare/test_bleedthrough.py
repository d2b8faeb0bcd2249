"""Bleed-through: read from single stain controls, and taken off."""

import numpy as np
import pytest
from scipy import ndimage as ndi

from imganalysis.errors import CalibrationError
from imganalysis.prepare import bleedthrough
from imganalysis.prepare.bleedthrough import check_mixing, dye_slopes, pool_slopes, unmix

S = np.array([[1, 0.03, 0], [0.12, 1, 0.02], [0, 0.05, 1]])
PIXEL = (0.5, 0.5)


def stained(rng: np.random.Generator, photons: float = 30.0, size: int = 200) -> np.ndarray:
    """Dye of cells of 6 um in a quarter of a field, photons per pixel."""
    field = ndi.gaussian_filter(rng.normal(size=(size, size)), 6)
    cells = field > np.quantile(field, 0.75)
    texture = 1 + ndi.gaussian_filter(rng.normal(size=cells.shape), 1.5) * 3
    return photons * ndi.gaussian_filter(cells * np.clip(texture, 0.2, 3), 0.8)


def scanned(rng: np.random.Generator, light: np.ndarray, offset: float = 5.0) -> np.ndarray:
    """Grey levels of photons, as whole numbers."""
    return np.clip(np.rint(offset + rng.poisson(light)), 0, 255).astype(np.uint8)


def control(seed: int, dye: int, **options: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    light = S[:, dye, None, None] * stained(rng, **options) + 1.5
    return scanned(rng, light)


def test_unmixing_of_the_specification():
    seen = S @ np.array([100.0, 20.0, 50.0])
    np.testing.assert_allclose(seen, [100.6, 33, 51])
    dyes = unmix(seen[:, None, None], S, np.zeros(3))
    np.testing.assert_allclose(dyes[:, 0, 0], [100, 20, 50], rtol=1e-12)
    with_offset = unmix(seen[:, None, None] + 5, S, np.full(3, 5.0))
    np.testing.assert_allclose(with_offset[:, 0, 0], [105, 25, 55], rtol=1e-12)


def test_means_over_pixels_stay_unbiased_below_zero():
    rng = np.random.default_rng(4)
    seen = rng.poisson(np.einsum("ij,jyx->iyx", S, np.full((3, 200, 200), [[[3.0]], [[0]], [[0]]])))
    dyes = unmix(seen, S, np.zeros(3))
    assert dyes[1].min() < 0
    assert dyes[1].mean() == pytest.approx(0, abs=0.02)


def test_a_broken_pixel_spoils_only_what_its_dye_reaches():
    pixels = np.ones((3, 4, 4))
    pixels[2, 0, 0] = np.nan
    lonely = np.array([[1, 0.1, 0], [0, 1, 0], [0, 0, 1.0]])
    out = unmix(pixels, lonely, np.zeros(3))
    assert np.isfinite(out[:2]).all() and np.isnan(out[2, 0, 0])


@pytest.mark.parametrize("dye", [0, 1, 2])
def test_shares_are_found_with_their_intervals(dye):
    slopes = [dye_slopes(control(seed, dye), dye, PIXEL) for seed in (1, 2)]
    for detector in range(3):
        if detector == dye:
            assert all(s[detector].value == 1 for s in slopes)
            continue
        found = pool_slopes([s[detector] for s in slopes])
        assert not found.reason
        assert found.value == pytest.approx(S[detector, dye], abs=0.003)
        assert 0.0002 < found.se < 0.004
        assert found.lo - 0.5 * found.se <= S[detector, dye] <= found.hi + 0.5 * found.se


def test_intervals_hold_the_truth_as_often_as_they_say():
    inside = 0
    for seed in range(30):
        found = pool_slopes([dye_slopes(control(seed, 0, size=120), 0, PIXEL)[1]])
        inside += found.lo <= S[1, 0] <= found.hi
    assert 25 <= inside <= 30


def test_noise_does_not_draw_the_share_to_zero(monkeypatch):
    """With few photons a line through the pixels themselves is half as steep."""
    rng = np.random.default_rng(3)
    light = S[:, 0, None, None] * stained(rng, photons=6.0, size=400) + 1.5
    pixels = scanned(rng, light)
    plain = np.polyfit(pixels[0].ravel().astype(float), pixels[1].ravel().astype(float), 1)[0]
    assert plain < 0.8 * S[1, 0]
    monkeypatch.setattr(bleedthrough, "APART", 4.0)
    found = pool_slopes([dye_slopes(pixels, 0, PIXEL)[1]])
    assert found.value == pytest.approx(S[1, 0], abs=2.5 * found.se)
    assert found.se < 0.01


def test_specks_that_glow_in_all_channels_do_not_move_it():
    rng = np.random.default_rng(5)
    light = S[:, 0, None, None] * stained(rng) + 1.5
    specks = ndi.binary_dilation(rng.random(light.shape[1:]) > 0.9995, iterations=2)
    light = light + specks * np.array([20.0, 40.0, 30.0])[:, None, None]
    found = pool_slopes([dye_slopes(scanned(rng, light), 0, PIXEL)[1]])
    assert found.value == pytest.approx(S[1, 0], abs=0.01)


def test_a_second_dye_in_a_control_is_noticed():
    rng = np.random.default_rng(6)
    light = S[:, 0, None, None] * stained(rng) + 1.5
    light[2] += stained(np.random.default_rng(60))
    found = dye_slopes(scanned(rng, light), 0, PIXEL)
    assert found[2].reason == "second_dye" and np.isnan(found[2].value)
    assert found[1].value == pytest.approx(S[1, 0], abs=0.01)


def test_what_says_nothing_says_so():
    rng = np.random.default_rng(7)
    noise = scanned(rng, np.full((3, 200, 200), 3.0))
    assert {s.reason for s in dye_slopes(noise, 0, PIXEL)} == {"no_signal"}
    black = np.zeros((3, 200, 200), np.uint8)
    assert {s.reason for s in dye_slopes(black, 0, PIXEL)} == {"no_signal"}
    assert {s.reason for s in dye_slopes(noise[:, :6, :6], 0, PIXEL)} == {"no_signal"}
    pixels = control(8, 0)
    cut = pixels.copy()
    cut[1] = np.where(cut[1] > 11, cut[1] - 11, 0)
    assert dye_slopes(cut, 0, PIXEL)[1].reason == "zero_clipped"
    swapped = dye_slopes(pixels[[1, 0, 2]], 0, PIXEL)
    assert swapped[1].reason == "brighter_elsewhere" and swapped[1].value > 5
    dark = dye_slopes(pixels[[2, 0, 1]], 0, PIXEL)
    assert [s.reason for s in dark] == ["no_signal", "brighter_elsewhere", "no_signal"]
    assert pool_slopes([s[1] for s in (swapped,)]).reason == "brighter_elsewhere"
    assert pool_slopes([]).reason == "no_signal"
    wide = [bleedthrough.Slope(v, (v, v + 0.3, v - 0.3, v), 1.0, 9) for v in (0.1, 0.2)]
    assert pool_slopes(wide).reason == "imprecise"


def test_clipped_pixels_play_no_part():
    rng = np.random.default_rng(9)
    light = S[:, 0, None, None] * stained(rng, photons=30) + 1.5
    clean = scanned(rng, light)
    top = 60  # of the dye's own detector
    pixels = np.minimum(clean, np.array([top, 255, 255], np.uint8)[:, None, None])
    clipped = pixels == np.array([top, 255, 255])[:, None, None]
    assert 0.005 < clipped[0].mean() < 0.2
    bent = dye_slopes(pixels, 0, PIXEL)[1].value
    right = dye_slopes(pixels, 0, PIXEL, clipped)[1].value
    truth = dye_slopes(clean, 0, PIXEL)[1].value
    assert abs(right - truth) < 0.006 < abs(bent - truth)


def test_several_planes_are_read_one_by_one():
    one, two = control(1, 0), control(2, 0)
    both = dye_slopes(np.stack([one, two], axis=1), 0, PIXEL)[1]
    assert both.n > 1.5 * dye_slopes(one, 0, PIXEL)[1].n
    assert both.value == pytest.approx(S[1, 0], abs=0.006)


def test_controls_that_differ_widen_the_interval():
    made = [dye_slopes(control(seed, 0), 0, PIXEL)[1] for seed in (1, 2, 3)]
    alike = pool_slopes(made)
    shifted = [
        bleedthrough.Slope(s.value + d, tuple(w + d for w in s.without), s.weight, s.n)
        for s, d in zip(made, (-0.03, 0.0, 0.03), strict=True)
    ]
    apart = pool_slopes(shifted)
    assert apart.se > 4 * alike.se


def test_dyes_that_no_filter_parts_are_refused():
    names = ["YO-PRO-1", "CD3", "CD56"]
    assert check_mixing(S, names, 10) == pytest.approx(np.linalg.cond(S))
    alike = np.array([[1, 0.0, 0.0], [0, 1, 0.97], [0, 0.95, 1]])
    with pytest.raises(CalibrationError, match=r"dyes of CD3 and CD56 .* at most 10") as error:
        check_mixing(alike, names, 10)
    assert error.value.reason == "calibration"
    assert "Check the `stain` of the single stain controls" in str(error.value)
    with pytest.raises(CalibrationError, match="Correct the shares that were given"):
        check_mixing(alike, names, 10, given=True)

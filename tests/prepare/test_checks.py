import numpy as np
import pytest

from imganalysis.errors import PixelDataError
from imganalysis.prepare.checks import (
    check_pixels,
    clip_level,
    clipped_pixels,
    picture_flags,
)
from imganalysis.prepare.focus import focus_score
from imganalysis.settings import Settings, parse_settings

SETTINGS = Settings()


def good(dtype: str = "uint8") -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.integers(1, 200, (2, 3, 32, 32)).astype(dtype)


def check(data: np.ndarray) -> list[str]:
    return check_pixels(data, ["stain", "marker"], SETTINGS)


def test_good_pixels_have_no_flags():
    assert check(good()) == []


def test_one_pixel_is_too_small():
    with pytest.raises(PixelDataError, match=r"1 x 1 pixels .* at least 16") as error:
        check(good()[..., :1, :1])
    assert error.value.reason == "too_small"


@pytest.mark.parametrize("level", [0, 17])
def test_flat_channel_is_named(level):
    data = good()
    data[1] = level
    with pytest.raises(PixelDataError, match=f"channel marker: every pixel is {level}") as error:
        check(data)
    assert error.value.reason == "black_channel"


def test_nearly_black_channel_is_named():
    data = good()
    data[0] = 0
    data[0, 0, 4, 4] = 9
    with pytest.raises(PixelDataError, match=r"channel stain: 99\.97 % of the pixels are 0"):
        check(data)
    wide = parse_settings({"preparation": {"max_black_fraction": 0.9999}})
    assert check_pixels(data, ["stain", "marker"], wide)


def test_a_channel_that_was_not_stained_may_be_black():
    data = good()
    data[1] = 0
    assert check_pixels(data, ["stain", "marker"], SETTINGS, allow_black=["marker"]) == [
        "zero_clipped"
    ]
    with pytest.raises(PixelDataError, match="channel marker"):
        check_pixels(data, ["stain", "marker"], SETTINGS, allow_black=["stain"])
    with pytest.raises(ValueError, match="no channel other"):
        check_pixels(data, ["stain", "marker"], SETTINGS, allow_black=["other"])


def test_channel_without_a_finite_pixel_is_named():
    data = good("float32")
    data[0] = np.nan
    with pytest.raises(PixelDataError, match="channel stain: no pixel is a finite number") as error:
        check(data)
    assert error.value.reason == "not_finite"


def test_some_broken_pixels_are_flagged():
    data = good("float32")
    data[0, 0, 2, 2] = np.nan
    data[1, 0, 2, 2] = -np.inf
    assert check(data) == ["not_finite"]


def test_saturation_and_cut_offset_are_flagged():
    data = good()
    data[0, :, :4] = 255
    assert check(data) == ["saturated"]
    data[1, :, :17] = 0
    assert check(data) == ["saturated", "zero_clipped"]
    for name, left in (("max_clipped", ["zero_clipped"]), ("max_zero", ["saturated"])):
        off = parse_settings({"artefacts": {name: 1}})
        assert check_pixels(data, ["stain", "marker"], off) == left


@pytest.mark.parametrize(
    ("dtype", "largest", "level"),
    [
        ("uint8", 200, 255),
        ("uint8", 255, 255),
        ("int8", 127, 127),
        ("uint16", 200, 255),
        ("uint16", 1023, 1023),
        ("uint16", 4000, 4095),
        ("uint16", 4095, 4095),
        ("uint16", 4096, 16383),
        ("uint16", 65535, 65535),
        ("int16", 32767, 32767),
        ("float32", 1, None),
    ],
)
def test_level_at_which_the_detector_clips(dtype, largest, level):
    data = np.zeros((1, 1, 4, 4), dtype)
    data[0, 0, 0, 0] = largest
    assert clip_level(data) == level


def test_clipped_pixels():
    data = np.zeros((1, 1, 4, 4), np.uint16)
    data[0, 0, 0, :2] = 4095, 4094
    mask = clipped_pixels(data, clip_level(data))
    assert mask is not None
    assert mask.sum() == 1
    assert clipped_pixels(data.astype(np.float32), None) is None


def test_focus_falls_with_blur_and_ignores_gain_and_offset():
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(2)
    sharp = gaussian_filter((rng.random((128, 128)) > 0.99).astype(float), 1.5)
    scores = [focus_score(gaussian_filter(sharp, s)) for s in (0.1, 1, 2, 4)]
    assert scores == sorted(scores, reverse=True)
    assert focus_score(sharp * 50 + 10) == pytest.approx(focus_score(sharp), rel=1e-6)
    assert np.isnan(focus_score(np.full((20, 20), 3.0)))
    assert np.isnan(focus_score(np.full((20, 20), np.nan)))
    sharp[3, 3] = np.nan
    assert np.isfinite(focus_score(sharp))


def clipped(share):
    picture = good("uint8")[0, 0]
    picture.flat[: round(share * picture.size)] = 255
    return picture


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("picture", "flags"),
    [
        (good()[0], ()),
        (np.zeros((9, 9), bool), ("flat",)),
        (np.zeros((40, 40), np.uint16), ("flat",)),
        (np.full((40, 40), 7, np.uint8), ("flat",)),
        (np.full((40, 40), 65535, np.uint16), ("flat", "saturated")),
        (np.eye(1, 5000, dtype=np.uint16), ("flat",)),
        (clipped(0.02), ("saturated",)),
        (clipped(0.005), ()),
        (np.full((5, 5), np.nan), ("flat", "not_finite")),
        (np.array([[1, 2, np.inf]]), ("not_finite",)),
        (good("float64")[0] * 1e300, ("flat", "not_finite")),
        (good("float32")[0], ()),
    ],
)
def test_what_speaks_against_finding_nuclei(picture, flags):
    assert picture_flags(picture, SETTINGS) == flags

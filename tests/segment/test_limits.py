"""How large nuclei may be in an image."""

from __future__ import annotations

import numpy as np
import pytest

from imganalysis.errors import SettingsError
from imganalysis.methods import CellposeMethod, Method, NetworkMethod, ScikitImageMethod
from imganalysis.segment import find_nuclei, nucleus_diameter

UM = 8.0
EVERY = [NetworkMethod(), ScikitImageMethod(), CellposeMethod()]
BUILT_IN = EVERY[:2]


def pixel(diameter_px: float) -> tuple[float, float]:
    """Size of a pixel at which a typical nucleus is so large."""
    return (UM / diameter_px, UM / diameter_px)


@pytest.mark.parametrize("method", EVERY, ids=lambda method: method.method)
@pytest.mark.parametrize(
    "image", [np.zeros((256, 300)), np.eye(300)[:256]], ids=["flat", "something"]
)
@pytest.mark.parametrize(
    ("diameter", "said"),
    [
        (1.2, r"nuclei of 8 um are 1.2 px across at 6.667 um per pixel, expected 2 px or more"),
        (400, r"are 400 px .* image is 256 x 300 px .* at most 384 px \(7.68 um\), 1.5 times"),
        (1e7, r"nuclei of 8 um are 1e\+07 px"),
    ],
)
def test_absurd_diameters_are_refused(
    method: Method, image: np.ndarray, diameter: float, said: str
) -> None:
    with pytest.raises(SettingsError, match=said + ".*check the nucleus diameter and the pixel"):
        find_nuclei(image, pixel(diameter), method)


@pytest.mark.parametrize("method", BUILT_IN, ids=lambda method: method.method)
@pytest.mark.parametrize("stack", [False, True], ids=["plane", "stack"])
def test_the_shorter_side_counts(method: Method, stack: bool) -> None:
    image = np.zeros((2, 20, 400) if stack else (20, 400))
    size = pixel(31)[:1] * image.ndim
    with pytest.raises(SettingsError, match=r"20 x 400 px .* at most 30 px"):
        find_nuclei(image, size, method)
    oblong = (*size[:-2], size[0], size[0] / 30)  # so that X is the shorter one in um
    with pytest.raises(SettingsError, match=r"at 0.2581 x 0.008602 um per pixel"):
        find_nuclei(image, oblong, method)


def one_nucleus(side: int, diameter: float) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    inside = np.hypot(y, x) < diameter / 2
    return np.random.default_rng(1).poisson(10 + 200 * inside)


@pytest.mark.parametrize("method", BUILT_IN, ids=lambda method: method.method)
@pytest.mark.parametrize("diameter", [30, 36, 39])
def test_a_nucleus_that_fills_its_crop_is_found(method: Method, diameter: float) -> None:
    image = one_nucleus(40, diameter)
    for given in (diameter, 59.9):  # also where a typical nucleus is larger than the crop
        found = find_nuclei(image, pixel(given), method)
        assert found.max() == 1
        assert np.count_nonzero(found) == pytest.approx(np.pi / 4 * diameter**2, rel=0.2)


@pytest.mark.parametrize("method", BUILT_IN, ids=lambda method: method.method)
def test_the_least_diameter_is_one_that_is_taken(method: Method) -> None:
    for diameter in (2, 8 / (8 / 2.0)):
        assert find_nuclei(np.zeros((30, 30)), pixel(diameter), method).shape == (30, 30)


@pytest.mark.parametrize("method", BUILT_IN, ids=lambda method: method.method)
def test_a_slope_of_brightness_has_no_diameter(method: Method) -> None:
    slope = np.indices((256, 256))[1] * 10
    assert np.isnan(nucleus_diameter(slope, method))

import numpy as np
import pytest
from scipy import ndimage as ndi

from imganalysis.methods import ScikitImageMethod
from imganalysis.segment import segment_nuclei

PX = 0.4  # um
METHOD = ScikitImageMethod()


def ellipse(shape, centre, axes):
    grid = np.mgrid[tuple(slice(n) for n in shape)]
    return sum(((g - c) / a) ** 2 for g, c, a in zip(grid, centre, axes, strict=True)) <= 1


def photograph(truth, rng, level=40.0, texture=0.25, levels=None):
    """Textured nuclei, blurred, with photon noise and an offset."""
    grain = ndi.gaussian_filter(rng.normal(size=truth.shape), 1.5)
    light = (truth > 0) * level * np.clip(1 + texture * grain / grain.std(), 0.2, None)
    if levels is not None:
        light = light * np.asarray(levels)[truth]
    return rng.poisson(ndi.gaussian_filter(light, 1.0) + 2) + rng.normal(5, 1, truth.shape)


def matched(truth, found):
    """Number of true nuclei found with an IoU over 0.5, and of nuclei found."""
    hits = 0
    for number in np.unique(truth[truth > 0]):
        own = truth == number
        for other in np.unique(found[own]):
            both = own & (found == other)
            if other and both.sum() / (own | (found == other)).sum() > 0.5:
                hits += 1
    return hits, int(found.max())


def grid_of_nuclei(rng, n=6, step=36, radius=(8, 12)):
    truth = np.zeros((n * step, n * step), int)
    for i in range(n * n):
        centre = np.array(divmod(i, n)) * step + step / 2 + rng.uniform(-4, 4, 2)
        truth[ellipse(truth.shape, centre, rng.uniform(*radius, 2))] = i + 1
    return truth


def test_textured_nuclei_are_found_whole():
    rng = np.random.default_rng(0)
    truth = grid_of_nuclei(rng)
    found = segment_nuclei(photograph(truth, rng, texture=0.25), (PX, PX), METHOD)
    assert found.dtype == np.uint32
    assert matched(truth, found) == (36, 36)
    area = np.bincount(found.ravel())[1:].sum() / (truth > 0).sum()
    assert area == pytest.approx(1, abs=0.1)


def test_few_large_nuclei_are_split():
    rng = np.random.default_rng(1)
    truth = grid_of_nuclei(rng, n=4, step=60, radius=(14, 18))  # 11 to 14 um across
    hits, found = matched(truth, segment_nuclei(photograph(truth, rng), (PX, PX), METHOD))
    assert hits >= 15
    assert found <= 19


def test_clusters_are_split():
    rng = np.random.default_rng(2)
    truth = np.zeros((120, 240), int)
    for i, (y, x) in enumerate([(40, 40), (40, 58), (56, 49), (60, 160), (60, 178)]):
        truth[ellipse(truth.shape, (y, x), (10, 10)) & (truth == 0)] = i + 1
    assert matched(truth, segment_nuclei(photograph(truth, rng), (PX, PX), METHOD)) == (5, 5)


def test_a_dim_nucleus_beside_bright_ones_is_found():
    rng = np.random.default_rng(3)
    truth = grid_of_nuclei(rng, n=3)
    image = photograph(truth, rng, level=100, levels=[0, 1, 1, 1, 1, 0.35, 1, 1, 1, 1])
    assert matched(truth, segment_nuclei(image, (PX, PX), METHOD)) == (9, 9)
    low = ScikitImageMethod(sensitivity=0.0)
    assert matched(truth, segment_nuclei(image, (PX, PX), low)) == (8, 8)


def test_a_cytoplasmic_halo_is_cut():
    rng = np.random.default_rng(4)
    truth = grid_of_nuclei(rng, n=3, step=50)
    halo = ndi.binary_dilation(truth > 0, iterations=7) & (truth == 0)
    image = photograph(truth, rng) + ndi.gaussian_filter(halo * 8.0, 1)
    found = segment_nuclei(image, (PX, PX), METHOD)
    assert matched(truth, found) == (9, 9)
    assert (found > 0).sum() < 1.2 * (truth > 0).sum()


def test_gain_offset_and_pixel_size_do_not_matter():
    rng = np.random.default_rng(5)
    truth = grid_of_nuclei(rng, n=3)
    image = photograph(truth, rng)
    found = segment_nuclei(image, (PX, PX), METHOD)
    np.testing.assert_array_equal(segment_nuclei(image * 64 + 1024, (PX, PX), METHOD), found)
    fine = np.kron(image, np.ones((2, 2)))
    twice = segment_nuclei(fine, (PX / 2, PX / 2), METHOD)
    assert matched(np.kron(found, np.ones((2, 2), int)), twice) == (9, 9)


def test_numbers_run_in_raster_order():
    rng = np.random.default_rng(6)
    found = segment_nuclei(photograph(grid_of_nuclei(rng, n=3), rng), (PX, PX), METHOD)
    numbers, first = np.unique(found, return_index=True)
    assert list(numbers) == list(range(10))
    assert list(first[1:]) == sorted(first[1:])


def test_debris_is_left_out():
    rng = np.random.default_rng(7)
    truth = grid_of_nuclei(rng, n=3)
    truth[ellipse(truth.shape, (36, 36), (3.5, 3.5)) & (truth == 0)] = 10  # 2.8 um
    image = photograph(truth, rng, level=80)
    assert segment_nuclei(image, (PX, PX), METHOD).max() == 10
    least = ScikitImageMethod(smallest_nucleus_um=4.0)
    assert segment_nuclei(image, (PX, PX), least).max() == 9


def test_a_stack_with_longer_steps_in_z():
    rng = np.random.default_rng(8)
    truth = np.zeros((16, 70, 100), int)
    for i, (z, y, x) in enumerate([(8, 20, 25), (7, 45, 40), (8, 30, 75), (8, 48, 75)]):
        truth[ellipse(truth.shape, (z, y, x), (4.5, 10, 10)) & (truth == 0)] = i + 1
    found = segment_nuclei(photograph(truth, rng), (0.9, PX, PX), METHOD)
    assert found.shape == truth.shape
    assert matched(truth, found) == (4, 4)


@pytest.mark.parametrize("shape", [(64, 64), (5, 40, 40), (1, 1), (2, 3)])
@pytest.mark.parametrize("level", [0.0, 12.0, np.nan, np.inf])
def test_flat_black_or_broken_images_have_no_nuclei(shape, level):
    found = segment_nuclei(np.full(shape, level), (0.5,) * len(shape), METHOD)
    assert found.shape == shape
    assert not found.any()


def test_noise_alone_has_no_nuclei():
    rng = np.random.default_rng(9)
    assert segment_nuclei(rng.normal(10, 1, (300, 300)), (PX, PX), METHOD).max() == 0
    assert segment_nuclei(rng.poisson(20, (300, 300)), (PX, PX), METHOD).max() == 0


def test_broken_pixels_are_bridged():
    rng = np.random.default_rng(10)
    truth = grid_of_nuclei(rng, n=3)
    image = photograph(truth, rng) + 1000
    whole = segment_nuclei(image, (PX, PX), METHOD)
    y, x = np.argwhere(truth == 5).mean(axis=0).astype(int)
    image[y : y + 4, x : x + 4] = np.nan
    image[y - 3, x] = np.inf
    found = segment_nuclei(image, (PX, PX), METHOD)
    assert matched(whole, found) == (9, 9)
    assert (found[y : y + 4, x : x + 4] > 0).all()


def test_wrong_axes_are_refused():
    with pytest.raises(ValueError, match="got 2 axes and 3 spacings"):
        segment_nuclei(np.zeros((5, 5)), (1, 1, 1), METHOD)
    with pytest.raises(ValueError, match="got 4 axes"):
        segment_nuclei(np.zeros((1, 2, 5, 5)), (1, 1, 1, 1), METHOD)


def test_a_saturated_image_is_not_one_nucleus():
    rng = np.random.default_rng(12)
    assert not segment_nuclei(np.full((200, 200), 255, np.uint8), (PX, PX), METHOD).any()
    glare = np.minimum(rng.normal(400, 60, (200, 200)), 255)
    assert not segment_nuclei(glare, (PX, PX), METHOD).any()


@pytest.mark.parametrize("factor", [3, 5])
def test_on_fine_pixels_outlines_are_smooth_and_in_one_piece(factor):
    rng = np.random.default_rng(13)
    shape = (60 * factor, 90 * factor)
    truth = np.zeros(shape, int)
    truth[ellipse(shape, (30 * factor, 30 * factor), (11 * factor, 9 * factor))] = 1
    truth[ellipse(shape, (30 * factor, 62 * factor), (9 * factor, 12 * factor))] = 2
    light = ndi.gaussian_filter((truth > 0) * 60.0, 1.0 * factor)
    found = segment_nuclei(rng.poisson(light + 3), (PX / factor,) * 2, METHOD)
    assert found.max() == 2
    for number in (1, 2):
        own, right = found == number, truth == number
        assert (own & right).sum() / (own | right).sum() > 0.9
        assert ndi.label(own)[1] == 1


def test_uneven_background_does_not_matter():
    rng = np.random.default_rng(14)
    truth = grid_of_nuclei(rng)
    image = photograph(truth, rng, level=60) + 40 * np.linspace(0, 1, truth.shape[1]) ** 2
    hits, found = matched(truth, segment_nuclei(image, (PX, PX), METHOD))
    assert hits == 36
    assert found <= 37


def test_more_objects_than_16_bits_can_number():
    rng = np.random.default_rng(15)
    nucleus = ellipse((9, 9), (4, 4), (3.2, 3.2)) * 50.0
    image = rng.poisson(np.tile(nucleus, (262, 262)) + 2)
    found = segment_nuclei(image, (1.2, 1.2), METHOD)
    assert found.max() == 262 * 262

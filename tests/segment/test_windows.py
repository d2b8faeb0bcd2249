"""Windows over an image of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import ndimage as ndi

from imganalysis.segment.pixels import rescale, rescale_labels
from imganalysis.segment.windows import (
    MARGIN,
    WINDOW,
    Look,
    Window,
    assemble,
    look,
    predict,
    window_grid,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from imganalysis.segment.pixels import Box

SHAPES = [(1, 1), (40, 300), (384, 384), (385, 384), (720, 721), (1000, 1301), (50, 9999)]


@pytest.mark.parametrize("shape", SHAPES)
def test_each_pixel_is_decided_once(shape: tuple[int, int]) -> None:
    times = np.zeros(shape, int)
    for w in window_grid(shape):
        y0, y1, x0, x1 = w.keep
        assert w.y <= y0 < y1 <= w.y + w.height
        assert w.x <= x0 < x1 <= w.x + w.width
        assert w.height % 16 == w.width % 16 == 0
        assert max(w.height, w.width) <= WINDOW
        # Context on each side that is not a side of the image.
        assert y0 == 0 or y0 - w.y >= MARGIN
        assert y1 == shape[0] or w.y + w.height - y1 >= MARGIN
        times[y0:y1, x0:x1] += 1
    assert (times == 1).all()


def smooth(batch: NDArray[np.float32]) -> NDArray[np.float32]:
    """In place of a network: each channel of the answer is the input, blurred."""
    blurred = ndi.uniform_filter(batch[:, 0], (0, 2 * MARGIN - 1, 2 * MARGIN - 1), mode="constant")
    return np.stack([blurred, 2 * blurred, batch[:, 1]], axis=1).astype(np.float32)


@pytest.mark.parametrize("shape", [(100, 90), (400, 900)])
def test_windows_answer_as_the_whole_would(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(1).random(shape, dtype=np.float32)
    out = predict(smooth, image, 2)
    whole = ndi.uniform_filter(image, 2 * MARGIN - 1, mode="constant")
    np.testing.assert_allclose(out[0], whole, atol=1e-5)
    np.testing.assert_allclose(out[1], 2 * whole, atol=1e-5)


def look_at(image: NDArray[np.float32]) -> Look:
    height, width = image.shape

    def ask(window: Window) -> NDArray[np.float32]:
        return look(smooth, lambda b: image[b[0] : b[1], b[2] : b[3]], window, 2, (height, width))

    return ask


@pytest.mark.parametrize("box", [(0, 500, 0, 800), (3, 4, 799, 800), (100, 402, 330, 620)])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_box_gets_what_the_whole_gets(box: Box, threads: int) -> None:
    image = np.random.default_rng(2).random((500, 800), dtype=np.float32)
    whole = predict(smooth, image, 2)
    part = assemble(look_at(image), window_grid((500, 800)), box, threads=threads)
    np.testing.assert_array_equal(part, whole[:, box[0] : box[1], box[2] : box[3]])


def test_only_windows_that_touch_the_box_are_asked() -> None:
    image = np.zeros((500, 800), np.float32)
    asked: list[Window] = []

    def ask(window: Window) -> NDArray[np.float32]:
        asked.append(window)
        return look_at(image)(window)

    grid = window_grid((500, 800))
    assemble(ask, grid, grid[0].keep)
    assert asked == grid[:1]


def test_windows_are_no_larger_than_they_need_be() -> None:
    sides = {(w.height, w.width) for w in window_grid((390, 500))}
    assert sides == {(224, 288)}


def test_labels_keep_their_place_and_size_at_another_scale() -> None:
    y, x = np.mgrid[:60, :80]
    labels = np.zeros((60, 80), np.int32)
    labels[np.hypot(y - 20, x - 25) < 10] = 70_000
    labels[np.hypot(y - 40, x - 60) < 7] = 2
    large = rescale_labels(labels, (150, 200))
    assert set(np.unique(large)) == {0, 2, 70_000}
    for number in (2, 70_000):
        assert (large == number).sum() == pytest.approx(6.25 * (labels == number).sum(), rel=0.05)
        before, after = (ndi.center_of_mass(a == number) for a in (labels, large))
        np.testing.assert_allclose(np.add(after, 0.5) / 2.5, np.add(before, 0.5), atol=0.2)
    back = rescale_labels(large, (60, 80))
    assert ((back > 0) != (labels > 0)).sum() < 30


def test_images_and_labels_stay_aligned_at_another_scale() -> None:
    labels = np.zeros((90, 90), np.int32)
    labels[30:60, 20:70] = 1
    for factor in (0.35, 0.8, 2.3):
        image = rescale(labels.astype(float), factor)
        scaled = rescale_labels(labels, (image.shape[0], image.shape[1]))
        both = ((image > 0.5) & (scaled == 1)).sum() / ((image > 0.5) | (scaled == 1)).sum()
        assert both > 0.95

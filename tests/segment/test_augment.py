"""Crops for training: image and labels stay together, everything from one generator."""

from __future__ import annotations

import numpy as np
import pytest

from imganalysis.segment.augment import Example, draw_crop
from imganalysis.segment.training_settings import Augmentation, TrainingSettings

CALM = Augmentation(
    scale=(0.7, 1.4), outside=0.5, gain=(1, 1), gamma=(1, 1), offset=(0, 0), nuclei=0,
    blur=0, haze=0, gradient=0, noise=0,
)  # fmt: skip


def example(size: tuple[int, int] = (150, 190)) -> Example:
    """Discs; the image is their mask."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[: size[0], : size[1]]
    labels = np.zeros(size, np.int32)
    for k in range(1, 30):
        cy, cx = rng.uniform(0, size[0]), rng.uniform(0, size[1])
        labels[(np.hypot(y - cy, x - cx) < 9) & (labels == 0)] = k
    return Example((labels > 0).astype(np.float32), labels)


@pytest.mark.parametrize("seed", range(12))
def test_image_and_labels_stay_aligned(seed: int) -> None:
    crop = draw_crop(example(), 112, CALM, np.random.default_rng(seed))
    bright, inside = (crop.image > 0.5) & crop.known, crop.labels > 0
    assert inside.sum() > 300
    assert (bright & inside).sum() / (bright | inside).sum() > 0.93


@pytest.mark.parametrize("seed", range(6))
def test_the_full_augmentation_leaves_nuclei_brighter_than_their_surroundings(seed: int) -> None:
    crop = draw_crop(example(), 112, Augmentation(), np.random.default_rng(seed))
    inside = crop.labels > 0
    assert crop.image[inside].mean() > crop.image[~inside & crop.known].mean() + 0.1
    assert np.isfinite(crop.image).all()
    assert (crop.image.dtype, crop.labels.dtype) == (np.float32, np.int32)


def test_the_same_generator_gives_the_same_crop_and_another_one_another() -> None:
    one, same, other = (
        draw_crop(example(), 96, Augmentation(), np.random.default_rng(s)) for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.image, same.image)
    np.testing.assert_array_equal(one.labels, same.labels)
    assert not np.array_equal(one.image, other.image)


def test_the_example_is_not_changed() -> None:
    source = example()
    image, labels = source.image.copy(), source.labels.copy()
    draw_crop(source, 96, Augmentation(), np.random.default_rng(1))
    np.testing.assert_array_equal(source.image, image)
    np.testing.assert_array_equal(source.labels, labels)


def test_outside_the_image_nothing_is_known_or_shown() -> None:
    small = example((40, 40))
    crop = draw_crop(small, 112, Augmentation(), np.random.default_rng(3))
    assert 0 < crop.known.mean() < 0.4
    assert not crop.image[~crop.known].any()
    assert not crop.labels[~crop.known].any()


def test_crops_within_the_image_show_image_only() -> None:
    inside = CALM.model_copy(update={"outside": 0.0, "scale": (1.0, 1.0)})
    large = example((400, 400))
    shares = [
        draw_crop(large, 96, inside, np.random.default_rng(s)).known.mean() for s in range(20)
    ]
    assert np.mean(shares) > 0.97  # a turned square may lose its corners


def test_scale_changes_the_size_of_nuclei() -> None:
    sizes = []
    for factor in (0.7, 1.4):
        fixed = CALM.model_copy(update={"scale": (factor, factor), "outside": 0.0})
        crop = draw_crop(example((300, 300)), 112, fixed, np.random.default_rng(5))
        counts = np.bincount(crop.labels.ravel())[1:]
        sizes.append(float(np.max(counts)))
    assert sizes[1] / sizes[0] == pytest.approx(4, rel=0.25)


def test_an_example_with_more_pixels_shows_the_same_nuclei() -> None:
    plain = example((300, 300))
    fine = Example(
        np.kron(plain.image, np.ones((2, 2), np.float32)),
        np.kron(plain.labels, np.ones((2, 2), np.int32)),
        finer=2.0,
    )
    inside = CALM.model_copy(update={"outside": 0.0})
    one, other = (
        draw_crop(e, 112, inside, np.random.default_rng(11)).labels for e in (plain, fine)
    )
    assert (one == other).mean() > 0.97


@pytest.mark.parametrize(
    "values",
    [
        {"augmentation": {"scale": (1.4, 0.7)}},
        {"augmentation": {"inversion": 0.5}},
        {"crop_px": (100,)},
        {"crop_px": (16,)},
        {"network": {"width": (16, 0)}},
        {"network": {"diameter_px": 0.1}},
    ],
)
def test_impossible_settings_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"range|permitted|multiple|greater"):
        TrainingSettings.model_validate(values)

"""Nuclei by a network that was trained on a toy for some seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from imganalysis.errors import SettingsError
from imganalysis.segment._network import segment_with_network
from imganalysis.segment.examples import make_example
from imganalysis.segment.onnx import OnnxModel, load_onnx, write_onnx
from imganalysis.segment.scores import count, overlap
from imganalysis.segment.training import train
from imganalysis.segment.training_settings import TrainingSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray


def discs(seed: int, size: int, diameter: float) -> tuple[NDArray[Any], NDArray[np.int32]]:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    labels = np.zeros((size, size), np.int32)
    image = np.full((size, size), 10.0)
    for k in range(1, round(0.25 * (size / diameter) ** 2) + 1):
        cy, cx = rng.uniform(0.6 * diameter, size - 0.6 * diameter, 2)
        inside = np.hypot(y - cy, x - cx) < diameter / 2
        if labels[inside].any():
            continue
        labels[inside] = k
        image[inside] = rng.uniform(80, 160)
    return rng.poisson(image).astype(np.uint16), labels


def f1(truth: NDArray[Any], found: NDArray[Any]) -> float:
    """At IoU 0.5."""
    value = count(overlap(truth, found)).f1()[0]
    assert value is not None
    return value


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> OnnxModel:
    folder = tmp_path_factory.mktemp("model")
    calm = {"blur": 0, "haze": 0, "gradient": 0, "noise": 0, "nuclei": 0, "scale": (0.9, 1.1)}
    settings = TrainingSettings.model_validate(
        {
            "network": {"width": (8, 16, 32)},
            "augmentation": calm,
            "steps": 160,
            "batch": 4,
            "crop_px": (64,),
            "learning_rate": 5e-3,
            "warmup_steps": 10,
            "average": 0.9,
        }
    )
    examples = [make_example(*discs(seed, 128, 17), 17.0) for seed in range(4)]
    train([e for e in examples if e], settings, folder, threads=1, about={"name": "toy"})
    write_onnx(folder / "weights.pt", folder / "model.onnx")
    return load_onnx(folder / "model.onnx", threads=1)


@pytest.mark.parametrize("diameter", [10, 17, 40])
def test_discs_of_any_size_are_found(model: OnnxModel, diameter: float) -> None:
    image, truth = discs(50, 300, diameter)
    found = segment_with_network(image, model, diameter)
    assert found.dtype == np.uint32
    assert f1(truth, found) > 0.9


def test_the_scale_of_values_does_not_matter(model: OnnxModel) -> None:
    image, _ = discs(51, 150, 17)
    one = segment_with_network(image, model, 17)
    assert one.max() > 5
    np.testing.assert_array_equal(one, segment_with_network(image * 16, model, 17))


@pytest.mark.parametrize("value", [0, 255, 7.5, np.nan, np.inf])
def test_an_image_without_contrast_has_no_nuclei(model: OnnxModel, value: float) -> None:
    assert not segment_with_network(np.full((64, 70), value), model, 17).any()


def test_pixels_that_are_no_numbers_do_no_harm(model: OnnxModel) -> None:
    image, truth = discs(52, 150, 17)
    holed = image.astype(np.float32)
    holed[::17, ::13] = np.nan
    assert f1(truth, segment_with_network(holed, model, 17)) > 0.8


@pytest.mark.parametrize("diameter", [0, -3, 1e-3, 1e6])
def test_absurd_diameters_are_refused(model: OnnxModel, diameter: float) -> None:
    with pytest.raises(SettingsError, match="nucleus diameter"):
        segment_with_network(np.zeros((20, 20)), model, diameter)

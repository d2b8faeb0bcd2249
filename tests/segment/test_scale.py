"""Diameter of nuclei by a network that was trained on discs for some seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from imganalysis.segment import scale
from imganalysis.segment.examples import make_example
from imganalysis.segment.onnx import OnnxModel, load_onnx, write_onnx
from imganalysis.segment.scale import diameter_by_network
from imganalysis.segment.training import train
from imganalysis.segment.training_settings import TrainingSettings

if TYPE_CHECKING:
    from numpy.typing import NDArray


def discs(seed: int, size: int, diameter: float) -> tuple[NDArray[Any], NDArray[np.int32]]:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    labels = np.zeros((size, size), np.int32)
    image = np.full((size, size), 10.0)
    for k in range(1, round(0.35 * (size / diameter) ** 2) + 1):
        cy, cx = rng.uniform(0.6 * diameter, size - 0.6 * diameter, 2)
        inside = np.hypot(y - cy, x - cx) < diameter / 2
        if labels[inside].any():
            continue
        labels[inside] = k
        image[inside] = rng.uniform(80, 160)
    return rng.poisson(image).astype(np.uint16), labels


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> OnnxModel:
    folder = tmp_path_factory.mktemp("model")
    calm = {"blur": 0, "haze": 0, "gradient": 0, "noise": 0, "nuclei": 0, "scale": (0.8, 1.25)}
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
    trained = train([e for e in examples if e], settings, folder, threads=1)
    write_onnx(trained.weights, folder / "toy.onnx")
    return load_onnx(folder / "toy.onnx", threads=1)


@pytest.mark.parametrize("diameter", [11, 17, 34, 70])
def test_discs_of_any_size(model: OnnxModel, diameter: int) -> None:
    image, _ = discs(diameter, 400, diameter)
    assert diameter_by_network(image, model) == pytest.approx(diameter, rel=0.25)


def test_a_wrong_first_guess_is_corrected(
    model: OnnxModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a picture whose tissue shines like one large nucleus."""
    monkeypatch.setattr(scale, "estimate_diameter", lambda image: 70.0)
    image, _ = discs(3, 400, 17)
    assert diameter_by_network(image, model) == pytest.approx(17, rel=0.25)


def test_nothing_to_go_by(model: OnnxModel) -> None:
    for image in (np.zeros((60, 70)), np.full((60, 70), 9.0), np.full((60, 70), np.nan)):
        assert np.isnan(diameter_by_network(image, model))
    with pytest.raises(ValueError, match="3 axes"):
        diameter_by_network(np.zeros((3, 60, 70)), model)


def test_holes_scale_and_offset_of_values_do_not_matter(model: OnnxModel) -> None:
    image, _ = discs(5, 300, 20)
    plain = diameter_by_network(image, model)
    assert diameter_by_network(image * 300.0 + 5000.0, model) == pytest.approx(plain, rel=1e-3)
    holed = image.astype(np.float32)
    holed[100:104, 100:104] = np.nan
    assert diameter_by_network(holed, model) == pytest.approx(plain, rel=0.1)

"""Nuclei by a network that was trained on a toy for some seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from imganalysis.errors import SettingsError
from imganalysis.segment._network import (
    find_parts,
    plan_network,
    segment_with_network,
)
from imganalysis.segment.examples import make_example
from imganalysis.segment.onnx import OnnxModel, load_onnx, write_onnx
from imganalysis.segment.pixels import levels, rescale
from imganalysis.segment.scores import count, overlap
from imganalysis.segment.training import train
from imganalysis.segment.training_settings import TrainingSettings

if TYPE_CHECKING:
    from pathlib import Path

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


@pytest.fixture(scope="module")
def field() -> NDArray[np.uint16]:
    """Larger than a window at the network's scale, of an odd size."""
    return discs(53, 777, 17)[0][:600]


@pytest.fixture(scope="module")
def plain(model: OnnxModel, field: NDArray[np.uint16]) -> NDArray[np.uint32]:
    return segment_with_network(field, model, 17)


@pytest.mark.parametrize(("diameter", "tile_px"), [(17.0, 100), (17.0, 401), (24.0, 187)])
def test_the_size_of_tiles_does_not_matter(
    model: OnnxModel, field: NDArray[np.uint16], diameter: float, tile_px: int
) -> None:
    at_once = segment_with_network(field, model, diameter)
    assert at_once.max() > 100
    in_tiles = segment_with_network(field, model, diameter, tile_px=tile_px)
    np.testing.assert_array_equal(in_tiles, at_once)


def test_the_number_of_threads_does_not_matter(
    model: OnnxModel, field: NDArray[np.uint16], plain: NDArray[np.uint32]
) -> None:
    several = segment_with_network(field, model, 17, threads=3, tile_px=300)
    np.testing.assert_array_equal(several, plain)


class Reader:
    """An image that is read part by part; the largest part is remembered."""

    def __init__(self, values: NDArray[Any]) -> None:
        self.values, self.shape, self.most = values, values.shape, 0

    def __getitem__(self, key: Any) -> NDArray[Any]:
        part = self.values[key]
        self.most = max(self.most, part.size)
        return part.copy()


def test_an_image_is_read_in_parts_no_larger_than_a_window(
    model: OnnxModel,
    field: NDArray[np.uint16],
    plain: NDArray[np.uint32],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("imganalysis.segment.brightness._STRIP", 50_000)
    reader = Reader(field)
    np.testing.assert_array_equal(segment_with_network(reader, model, 17, tile_px=200), plain)
    assert reader.most <= 384**2


def test_an_image_in_a_file_and_labels_in_another(
    model: OnnxModel, field: NDArray[np.uint16], plain: NDArray[np.uint32], tmp_path: Path
) -> None:
    field.tofile(tmp_path / "image")
    image = np.memmap(tmp_path / "image", np.uint16, "r", shape=field.shape)
    out = np.memmap(tmp_path / "labels", np.uint32, "w+", shape=field.shape)
    out[:] = 5
    assert segment_with_network(image, model, 17, tile_px=300, out=out) is out
    np.testing.assert_array_equal(out, plain)


@pytest.mark.parametrize("box", [(0, 120, 0, 90), (211, 402, 333, 600), (480, 600, 650, 777)])
def test_a_box_has_the_objects_of_the_whole(
    model: OnnxModel, field: NDArray[np.uint16], plain: NDArray[np.uint32], box: tuple[int, ...]
) -> None:
    find = find_parts(field, model, plan_network(field, model, 17))
    y0, y1, x0, x1 = box
    found = find((y0, y1, x0, x1))
    # What the side of the box does not cut, and what lies away from it.
    inner = (slice(40 if y0 else 0, None), slice(40 if x0 else 0, None))
    inner = tuple(
        slice(s.start, (b - a) if b == size else b - a - 40)
        for s, a, b, size in zip(inner, box[::2], box[1::2], field.shape, strict=True)
    )
    np.testing.assert_array_equal(found[inner] > 0, plain[y0:y1, x0:x1][inner] > 0)


@pytest.mark.parametrize("factor", [0.4, 1.0, 1.7])
def test_dark_and_bright_are_those_of_training(model: OnnxModel, factor: float) -> None:
    image = np.random.default_rng(3).gamma(2, 300, (400, 333)).astype(np.uint16)
    plan = plan_network(image, model, model.diameter_px / factor)
    assert plan.between == levels(rescale(image, factor))


@pytest.mark.parametrize("threads", [1, 3])
def test_of_a_large_image_a_sample_tells_dark_and_bright(
    model: OnnxModel, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    image = np.random.default_rng(4).gamma(2, 300, (700, 900)).astype(np.float32)
    exact = levels(rescale(image, 0.5))
    assert exact is not None
    monkeypatch.setattr("imganalysis.segment._network._SAMPLE", 40_000)
    sampled = plan_network(image, model, 2 * model.diameter_px).between
    assert sampled != exact
    assert sampled == pytest.approx(exact, rel=0.05)
    monkeypatch.setattr("imganalysis.segment.brightness._STRIP", 30_000)
    strips = plan_network(image, model, 2 * model.diameter_px, threads=threads).between
    assert strips == pytest.approx(sampled, rel=1e-6)
    monkeypatch.setattr("imganalysis.segment._network._SAMPLE", 2**22)
    assert plan_network(image, model, 2 * model.diameter_px).between == pytest.approx(exact)


@pytest.mark.parametrize("tile_px", [150, 600])
def test_a_part_without_numbers_does_not_spread(
    model: OnnxModel,
    field: NDArray[np.uint16],
    plain: NDArray[np.uint32],
    monkeypatch: pytest.MonkeyPatch,
    tile_px: int,
) -> None:
    monkeypatch.setattr("imganalysis.segment.brightness._STRIP", 50_000)
    holed = field.astype(np.float32)
    holed[:450, :450] = np.nan
    holed[500, 500] = np.inf
    found = segment_with_network(holed, model, 17, tile_px=tile_px)
    assert not found[:430, :430].any()
    assert plain[:, 480:].max() > 100
    assert f1(plain[:, 480:], found[:, 480:]) > 0.9


def test_stacks_are_refused(model: OnnxModel) -> None:
    with pytest.raises(ValueError, match="3 axes"):
        segment_with_network(np.zeros((3, 40, 40)), model, 17)

"""Networks as ONNX: the same answers, and files that are refused."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
import torch

from imganalysis.errors import ModelError
from imganalysis.segment.network import Architecture, Network, load_weights, run_network
from imganalysis.segment.network import save_weights as save
from imganalysis.segment.onnx import load_onnx, write_onnx

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random network whose normalisation has seen something."""
    path = tmp_path_factory.mktemp("onnx") / "weights.pt"
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = Network(Architecture(channels=2, width=(8, 12, 16)))
        for _ in range(5):
            network(torch.randn(4, 2, 32, 32) * 2 + 1)
    save(network, path, {"name": "toy", "diameter_px": 17.0, "licence": "none"})
    return path


@pytest.fixture(scope="module")
def exported(weights: Path) -> Path:
    path = weights.with_name("model.onnx")
    write_onnx(weights, path, half=False)
    return path


@pytest.mark.parametrize("shape", [(1, 2, 32, 48), (3, 2, 64, 64), (2, 2, 4, 4)])
def test_onnx_answers_as_torch_does(weights: Path, exported: Path, shape: tuple[int, ...]) -> None:
    batch = np.random.default_rng(1).random(shape, dtype=np.float32) * 2
    network, _ = load_weights(weights)
    model = load_onnx(exported, threads=1)
    expected = run_network(network, batch)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(model.run(batch), expected, atol=1e-4)


def test_half_the_size_and_nearly_the_same_answer(weights: Path, exported: Path) -> None:
    path = weights.with_name("half.onnx")
    write_onnx(weights, path)
    assert path.stat().st_size < 0.65 * exported.stat().st_size
    batch = np.random.default_rng(2).random((1, 2, 64, 64), dtype=np.float32)
    one, other = (load_onnx(p, threads=1).run(batch) for p in (path, exported))
    np.testing.assert_allclose(one, other, atol=0.02)
    assert not np.array_equal(one, other)


def test_a_black_window_has_an_answer(exported: Path) -> None:
    assert np.isfinite(
        load_onnx(exported, threads=1).run(np.zeros((1, 2, 32, 32), np.float32))
    ).all()


def test_the_same_weights_give_the_same_bytes(weights: Path, exported: Path) -> None:
    again = weights.with_name("again.onnx")
    write_onnx(weights, again, half=False)
    assert again.read_bytes() == exported.read_bytes()


def test_threads_do_not_change_the_answer(exported: Path) -> None:
    batch = np.random.default_rng(4).random((2, 2, 64, 64), dtype=np.float32)
    one, two = (load_onnx(exported, threads=n).run(batch) for n in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_the_file_says_what_it_is(exported: Path) -> None:
    model = load_onnx(exported, threads=1)
    assert (model.name, model.diameter_px, model.channels, model.multiple) == ("toy", 17, 2, 4)
    assert model.about["architecture"]["width"] == [8, 12, 16]
    assert model.about["licence"] == "none"
    assert len(model.sha256) == 64


def test_a_process_loads_a_file_once(exported: Path, tmp_path: Path) -> None:
    copy = shutil.copy(exported, tmp_path / "model.onnx")
    assert load_onnx(copy, threads=1) is load_onnx(copy, threads=1)


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "cut", "foreign", "format"])
def test_bad_files_are_refused_by_name(kind: str, exported: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("no network")
    elif kind == "cut":
        path.write_bytes(exported.read_bytes()[:3000])
    elif kind in ("foreign", "format"):
        model = onnx.load(exported)
        if kind == "foreign":
            del model.metadata_props[:]
        else:
            model.metadata_props[0].value = '{"format": "another"}'
        onnx.save(model, path)
    with pytest.raises(ModelError) as caught:
        load_onnx(path)
    assert str(path) in str(caught.value)

"""Networks as ONNX: the same answers, and files that are refused."""

from __future__ import annotations

import json
import re
import shutil
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import torch

from imganalysis.errors import MissingLibraryError, ModelError
from imganalysis.segment.network import Architecture, Network, load_weights, run_network
from imganalysis.segment.network import save_weights as save
from imganalysis.segment.onnx import OnnxModel, load_onnx, write_onnx

if TYPE_CHECKING:
    from collections.abc import Callable
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


def test_without_onnxruntime_another_method_is_named(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(exported.read_bytes() + b" ")  # of no earlier load
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingLibraryError, match=r"pip install onnxruntime.*scikit-image"):
        load_onnx(path)


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


def without_checksum(exported: Path, change: Callable[[onnx.ModelProto], None], to: Path) -> Path:
    """A file as earlier versions made it, changed."""
    model = onnx.load(exported)
    facts = json.loads(model.metadata_props[0].value)
    facts.pop("checksum", None)
    model.metadata_props[0].value = json.dumps({**facts, "format": "imganalysis onnx 1"})
    change(model)
    onnx.save(model, to)
    return to


def test_any_changed_byte_is_seen(exported: Path, tmp_path: Path) -> None:
    content = exported.read_bytes()
    digits = content.index(b'"checksum": "') + len(b'"checksum": "')
    entry = digits - 8  # within the name of the entry
    some = np.random.default_rng(5).integers(len(content), size=40).tolist()
    path = tmp_path / "changed.onnx"
    for place in (digits, entry, len(content) - 1, *some):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(ModelError, match=re.escape(str(path))):
            load_onnx(path)


def test_a_file_of_an_earlier_version_still_loads(exported: Path, tmp_path: Path) -> None:
    path = without_checksum(exported, lambda model: None, tmp_path / "earlier.onnx")
    batch = np.random.default_rng(6).random((1, 2, 32, 32), dtype=np.float32)
    earlier, now = (load_onnx(p, threads=1).run(batch) for p in (path, exported))
    np.testing.assert_array_equal(earlier, now)


def test_weights_that_are_no_numbers_are_refused(exported: Path, tmp_path: Path) -> None:
    def spoil(model: onnx.ModelProto) -> None:
        kernel = next(w for w in model.graph.initializer if len(w.dims) == 4)
        kernel.CopyFrom(
            onnx.numpy_helper.from_array(np.full(kernel.dims, np.nan, np.float32), kernel.name)
        )

    path = without_checksum(exported, spoil, tmp_path / "nan.onnx")
    with pytest.raises(ModelError, match=rf"{path}: .*not all finite"):
        load_onnx(path)


def foreign(
    inputs: list[tuple[str, int, list[int | str]]], outputs: list[tuple[str, int, list[int | str]]]
) -> Callable[[onnx.ModelProto], None]:
    """A graph that hands on its input, under the description of ours."""

    def put(model: onnx.ModelProto) -> None:
        value, node = onnx.helper.make_tensor_value_info, onnx.helper.make_node
        graph = onnx.helper.make_graph(
            [node("Identity", [inputs[0][0]], [outputs[0][0]])],
            "foreign",
            [value(*one) for one in inputs],
            [value(*one) for one in outputs],
        )
        model.graph.CopyFrom(graph)

    return put


PICTURE = ("image", 1, ["n", 2, "y", "x"])


@pytest.mark.parametrize(
    ("inputs", "outputs", "said"),
    [
        ([("data", *PICTURE[1:])], [("out", 1, ["n", 3, "y", "x"])], "found one from data"),
        ([PICTURE], [("out", 1, ["n", 2, "y", "x"])], r"to out tensor\(float\) \['n', 2,"),
        ([("image", 11, PICTURE[2])], [("out", 11, ["n", 3, "y", "x"])], r"tensor\(double\)"),
        ([("image", 1, ["n", 2])], [("out", 1, ["n", 3])], r"image tensor\(float\) \['n', 2\]"),
        ([PICTURE, ("more", 1, [1])], [("out", 1, ["n", 3, "y", "x"])], "more"),
        ([PICTURE], [("out", 1, ["n", 3, "y", "x"])], "None"),
    ],
    ids=["name", "channels", "type", "axes", "two", "in truth other"],
)
def test_a_foreign_graph_with_our_description_is_refused(
    inputs: Any, outputs: Any, said: str, exported: Path, tmp_path: Path
) -> None:
    path = without_checksum(exported, foreign(inputs, outputs), tmp_path / "foreign.onnx")
    with pytest.raises(ModelError, match=said) as caught:
        load_onnx(path)
    assert str(path) in str(caught.value)


class Says:
    """In place of a session of onnxruntime."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    def run(self, *_: object) -> list[object]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return [self.answer]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (np.zeros((1, 3, 4, 8)), "says .1, 3, 4, 8. of an image of .1, 2, 8, 8."),
        (np.full((1, 3, 8, 8), np.inf), "not all finite"),
        (RuntimeError("shapes do not fit\nat a place"), "cannot be run .shapes do not fit.;"),
    ],
)
def test_what_a_network_says_is_looked_at(answer: object, said: str) -> None:
    model = OnnxModel("toy", 17.0, 2, 4, "0" * 64, {}, Says(answer), "toy.onnx")
    with pytest.raises(ModelError, match=f"toy.onnx: .*{said}"):
        model.run(np.zeros((1, 2, 8, 8), np.float32))


def test_a_lack_of_memory_is_no_fault_of_the_file() -> None:
    model = OnnxModel("toy", 17.0, 2, 4, "0" * 64, {}, Says(RuntimeError("bad allocation")))
    with pytest.raises(MemoryError):
        model.run(np.zeros((1, 2, 8, 8), np.float32))

"""What is written: read back the same, the same bytes each time, complete or not at all."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imganalysis.errors import LabelsError, OutputError
from imganalysis.io import (
    list_series,
    read_labels,
    read_stack,
    write_labels,
    write_mask,
    write_stack,
)
from imganalysis.stack import PixelSize, Stack

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(3)
SIZE = PixelSize(0.5, 0.232, 0.231, origin="metadata")


def _stack(dtype: str = "uint16", shape: tuple[int, ...] = (3, 4, 20, 30)) -> Stack:
    if np.dtype(dtype).kind == "f":
        data = RNG.normal(size=shape).astype(dtype)
    else:
        data = RNG.integers(0, 120, shape).astype(dtype)
    return Stack(data, ('DNA <&> "x"', "Mélan µ", "c 3"), SIZE, scene="Field 1 – ü")


@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"]
)
def test_a_stack_comes_back(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "stack.ome.tif"
    stack = _stack(dtype)
    write_stack(path, stack)
    back = read_stack(path)
    assert back.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(back.numpy(), stack.data)
    assert back.channels == stack.channels
    assert back.pixel_size == SIZE
    assert (back.scene, back.flags) == (stack.scene, ())


@pytest.mark.parametrize("shape", [(1, 1, 20, 30), (3, 1, 20, 30), (1, 5, 20, 30), (4, 3, 1, 1)])
def test_shapes(tmp_path: Path, shape: tuple[int, int, int, int]) -> None:
    data = RNG.integers(0, 9, shape, dtype=np.uint8)
    write_stack(tmp_path / "a.ome.tif", Stack(data, tuple("abcd"[: shape[0]]), SIZE))
    back = read_stack(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(back.numpy(), data)
    # A single plane has no step between planes.
    assert back.pixel_size.as_tuple() == (0.5 if shape[1] > 1 else None, 0.232, 0.231)


def test_an_unknown_pixel_size_stays_unknown(tmp_path: Path) -> None:
    write_stack(tmp_path / "a.ome.tif", Stack(_stack().data, ("a", "b", "c")))
    assert read_stack(tmp_path / "a.ome.tif").pixel_size == PixelSize()


def test_one_micron_stays_known(tmp_path: Path) -> None:
    write_stack(tmp_path / "a.ome.tif", Stack(_stack().data, ("a", "b", "c"), PixelSize(1, 1, 1)))
    assert read_stack(tmp_path / "a.ome.tif").pixel_size.as_tuple() == (1.0, 1.0, 1.0)


def test_a_lazy_stack_gives_the_bytes_of_one_in_memory(tmp_path: Path) -> None:
    data = np.tile(RNG.integers(0, 900, (2, 3, 200, 300), dtype=np.uint16), (1, 1, 3, 3))
    write_stack(tmp_path / "a.ome.tif", Stack(data, ("a", "b"), SIZE, scene="s"))
    lazy = read_stack(tmp_path / "a.ome.tif")
    assert not isinstance(lazy.data, np.ndarray)
    write_stack(tmp_path / "b.ome.tif", lazy)
    np.testing.assert_array_equal(read_stack(tmp_path / "b.ome.tif").numpy(), data)
    assert (tmp_path / "a.ome.tif").read_bytes() == (tmp_path / "b.ome.tif").read_bytes()


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    stack = _stack()
    labels = RNG.integers(0, 99, (20, 30))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_stack(tmp_path / name / "s.ome.tif", stack)
        write_labels(tmp_path / name / "l.ome.tif", labels, SIZE)
        write_mask(tmp_path / name / "m.ome.tif", labels > 50, SIZE)
    for name in ("s", "l", "m"):
        first, second = (tmp_path / f / f"{name}.ome.tif" for f in "ab")
        assert first.read_bytes() == second.read_bytes()
        assert b"UUID" not in first.read_bytes()
        with tifffile.TiffFile(first) as tif:
            assert "DateTime" not in tif.pages[0].tags
    write_stack(tmp_path / "big.ome.tif", Stack(stack.data.astype(">u2"), stack.channels, SIZE,
                                                scene=stack.scene))  # fmt: skip
    assert (tmp_path / "big.ome.tif").read_bytes() == (tmp_path / "a/s.ome.tif").read_bytes()


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_labels_come_back(tmp_path: Path, data: st.DataObject) -> None:
    shape = data.draw(st.sampled_from([(7, 9), (1, 1), (3, 7, 9), (2, 1, 9), (3, 8, 8)]))
    dtype = data.draw(st.sampled_from(["uint8", "int16", "uint16", "int32", "uint32", "int64"]))
    top = min(np.iinfo(dtype).max, 2**32 - 1)
    values = st.integers(0, top)
    labels = np.array(
        data.draw(st.lists(values, min_size=int(np.prod(shape)), max_size=int(np.prod(shape)))),
        dtype=dtype,
    ).reshape(shape)
    before = labels.copy()
    path = tmp_path / "labels.ome.tif"
    write_labels(path, labels, SIZE)
    back = read_labels(path)
    assert back.dtype == np.uint32
    np.testing.assert_array_equal(back, labels)
    np.testing.assert_array_equal(labels, before)


def test_more_labels_than_16_bits_hold(tmp_path: Path) -> None:
    labels = np.array([[65535, 65536], [70000, 2**32 - 1]])
    write_labels(tmp_path / "l.ome.tif", labels, SIZE)
    np.testing.assert_array_equal(read_labels(tmp_path / "l.ome.tif"), labels)
    (series,) = list_series(tmp_path / "l.ome.tif")
    assert (series.dtype, series.channels) == ("uint32", ("labels",))
    assert series.pixel_size.as_tuple() == (None, 0.232, 0.231)


def test_masks(tmp_path: Path) -> None:
    mask = RNG.random((4, 20, 30)) > 0.5
    write_mask(tmp_path / "m.ome.tif", mask, SIZE)
    back = read_stack(tmp_path / "m.ome.tif")
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back.numpy()[0], mask)
    write_mask(tmp_path / "m.ome.tif", np.full((3, 3), 255, np.uint8), SIZE)
    assert read_stack(tmp_path / "m.ome.tif").numpy().max() == 255


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (np.zeros((3, 3)), "holds whole numbers, got float64"),
        (np.array([[1, -1]]), "has no negative number, got -1"),
        (np.array([[2**32]]), f"go up to {2**32 - 1}, got {2**32}"),
        (np.zeros(3, int), r"expected an image \(Y, X\) or \(Z, Y, X\)"),
        (np.zeros((0, 3), int), r"expected an image \(Y, X\)"),
        (np.zeros((1, 1, 3, 3), int), r"expected an image \(Y, X\)"),
    ],
)
def test_what_is_no_label_image(tmp_path: Path, labels: Any, match: str) -> None:
    with pytest.raises(LabelsError, match=match):
        write_labels(tmp_path / "l.ome.tif", labels, SIZE)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_mask(tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match="a mask is bool or uint8, got uint16"):
        write_mask(tmp_path / "m.ome.tif", np.zeros((3, 3), np.uint16), SIZE)


def test_what_ome_tiff_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no pixels of type complex64"):
        write_stack(tmp_path / "a.ome.tif", Stack(np.zeros((1, 1, 3, 3), "complex64"), ("a",)))


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot be written .*Check that the folder exists"):
        write_stack(tmp_path / "none" / "a.ome.tif", _stack())


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    write_stack(path, _stack())
    before = path.read_bytes()

    class Breaks:
        dtype, shape, ndim, nbytes = np.dtype("uint16"), (3, 4, 20, 30), 4, 14400

        def __getitem__(self, index: int) -> np.ndarray:
            if index == 2:
                raise OSError(28, "No space left on device")
            return np.zeros((4, 20, 30), np.uint16)

    with pytest.raises(OutputError, match="No space left on device"):
        write_stack(path, Stack(Breaks(), ("a", "b", "c")))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be replaced there")
def test_who_reads_the_old_file_reads_it_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    write_stack(path, _stack())
    before = path.read_bytes()
    with path.open("rb") as reader:
        write_labels(path, np.eye(3, dtype=int), SIZE)
        assert reader.read() == before
    assert path.read_bytes() != before


def test_any_name(tmp_path: Path) -> None:
    path = tmp_path / "Bïopsie 生検 3.ome.tif"
    write_labels(path, np.eye(3, dtype=int), SIZE)
    assert read_labels(path).sum() == 3

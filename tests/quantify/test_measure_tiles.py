"""The same bytes, however the work is divided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imganalysis.errors import LabelsError
from imganalysis.quantify import _by_tile, _rows
from imganalysis.quantify.measure import measure

if TYPE_CHECKING:
    import pandas as pd

MARKERS = list("abcde")
EVERYTHING: dict[str, Any] = {
    "statistics": ("mean", "sum", "sd", "min", "max", "median", "p90", "contrast",
                   "zero_fraction", "fraction_above", "saturated_fraction"),
    "thresholds": dict.fromkeys(MARKERS, 100.0),
    "solidity": True,
}  # fmt: skip


def scene(seed: int, shape: tuple[int, ...]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Round nuclei with rings and cells, one of them in parts that lie far apart."""
    rng = np.random.default_rng(seed)
    spots = rng.random((18, len(shape))) * shape
    grid = np.moveaxis(np.indices(shape), 0, -1)
    nucleus, cell = np.zeros(shape, np.uint32), np.zeros(shape, np.uint32)
    numbers = rng.choice(4_000_000 if seed % 2 else 60, len(spots), replace=False) + 1
    numbers[-1] = numbers[0]
    for number, spot in zip(numbers, spots, strict=True):
        far = np.linalg.norm((grid - spot) * ((2,) * (len(shape) - 2) + (1, 1)), axis=-1)
        cell[(far < 7) & (cell == 0)] = number
        nucleus[(far < 4) & (nucleus == 0) & (cell == number)] = number
    cell[~np.isin(cell, nucleus)] = 0
    ring = np.where(nucleus > 0, 0, cell)
    images = rng.normal(100, 30, (5, *shape)).astype(np.float32)
    images[3] = np.round(images[3])
    return {"nucleus": nucleus, "ring": ring, "cell": cell}, images


def same_bytes(one: pd.DataFrame, other: pd.DataFrame) -> None:
    assert list(one.columns) == list(other.columns)
    assert list(one.dtypes) == list(other.dtypes)
    for column in one.columns:
        assert one[column].to_numpy().tobytes() == other[column].to_numpy().tobytes(), column


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([((60, 70), (0.4, 0.3)), ((6, 30, 34), (1.0, 0.4, 0.4))]),
    st.integers(7, 80),
    st.integers(7, 80),
)
def test_tiles_change_no_byte(seed: int, grid: Any, high: int, wide: int) -> None:
    shape, spacing = grid
    labels, images = scene(seed, shape)
    clipped = images > 150
    whole = measure(labels, images, MARKERS, spacing, clipped=clipped, **EVERYTHING)
    assert len(whole) > 5
    chunks = ((3,) if len(shape) == 3 else ()) + (high, wide)
    lazy = {name: da.from_array(one, chunks) for name, one in labels.items()}
    pictures = da.from_array(images, (1, *chunks))
    masks = [da.from_array(one, chunks) for one in clipped]
    same_bytes(whole, measure(lazy, pictures, MARKERS, spacing, clipped=masks, **EVERYTHING))
    # Labels in memory, images on disk.
    same_bytes(whole, measure(labels, pictures, MARKERS, spacing, clipped=clipped, **EVERYTHING))


def test_threads_strips_and_layout_change_no_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, images = scene(1, (60, 70))
    clipped = images > 150

    def run(labels: Any = labels, images: Any = images, **options: Any) -> pd.DataFrame:
        return measure(labels, images, MARKERS, (0.4, 0.3), clipped=clipped, **EVERYTHING,
                       **options)  # fmt: skip

    first = run()
    for threads in (1, 2, 5):
        same_bytes(first, run(threads=threads))
    read_only = images.copy()
    read_only.setflags(write=False)
    turned = {name: np.asfortranarray(one) for name, one in labels.items()}
    same_bytes(first, run(labels=turned, images=read_only))
    same_bytes(first, run(images=[np.asfortranarray(one.astype(">f4")) for one in images]))
    same_bytes(first, run(labels={name: one.astype(np.int64) for name, one in labels.items()}))
    for pixels in (1, 150, 1000):
        monkeypatch.setattr(_rows, "STRIP", pixels)
        same_bytes(first, run())


def test_a_mean_does_not_depend_on_what_else_is_asked_for() -> None:
    labels, images = scene(2, (60, 70))
    means = measure(labels, images, MARKERS, (1, 1), statistics=("mean",))
    more = measure(labels, images, MARKERS, (1, 1), clipped=images > 150, **EVERYTHING)
    one = measure(labels, images[2:3], MARKERS[2:3], (1, 1), statistics=("mean",))
    same_bytes(means.filter(like="_mean"), more.filter(like="_mean"))
    same_bytes(one.filter(like="c_cell_mean"), means.filter(like="c_cell_mean"))


def test_a_tile_reads_no_more_than_its_objects_need(monkeypatch: pytest.MonkeyPatch) -> None:
    shape = (200, 200)
    yy, xx = np.indices(shape)
    nucleus = np.where((yy % 10 < 6) & (xx % 10 < 6), 1 + yy // 10 * 20 + xx // 10, 0)
    read = []
    before = _by_tile._blocks

    def blocks(arrays: Any, part: Any) -> list[np.ndarray]:
        result = before(arrays, part)
        read.append(max(result[0].shape))
        return result

    monkeypatch.setattr(_by_tile, "_blocks", blocks)
    labels = {"nucleus": da.from_array(nucleus, (45, 45))}
    images = da.from_array(np.ones((1, *shape)), (1, 45, 45))
    table = measure(labels, images, ["a"], (1, 1))
    assert len(table) == 400 and (table["area_um2"] == 36).all()
    assert max(read) <= 45 + 2 * 6


def test_far_numbers_and_near_ones_are_the_same_objects() -> None:
    """Above 2**31 too, where no table of all numbers fits."""
    labels, images = scene(4, (60, 70))
    ids = np.unique(labels["nucleus"])[1:]
    rng = np.random.default_rng(0)
    far = np.sort(rng.choice(2**32 - 2, ids.size - 3, replace=False) + 1)
    far = np.append(far, [2**31, 2**31 + 1, 2**32 - 1])
    far = np.unique(far)[: ids.size].astype(np.uint32)
    table = np.zeros(ids.max() + 1, np.uint32)
    table[ids] = far
    there = {name: table[one] for name, one in labels.items()}
    near = measure(labels, images, MARKERS, (1, 1), solidity=True)
    found = measure(there, images, MARKERS, (1, 1), solidity=True)
    assert found["label"].tolist() == far.tolist()
    same_bytes(near.drop(columns="label"), found.drop(columns="label"))


def test_tiles_find_strange_numbers_and_bad_ones() -> None:
    labels, images = scene(6, (60, 70))
    broken = {name: one.astype(np.int64) for name, one in labels.items()}
    broken["ring"][50, 60] = 77_777
    lazy = {name: da.from_array(one, (20, 20)) for name, one in broken.items()}
    with pytest.raises(LabelsError, match="ring: label 77777 belongs to no nucleus"):
        measure(lazy, images, MARKERS, (1, 1))
    broken["ring"][50, 60] = -3
    lazy["ring"] = da.from_array(broken["ring"], (20, 20))
    with pytest.raises(LabelsError, match="ring: smallest label -3"):
        measure(lazy, images, MARKERS, (1, 1))

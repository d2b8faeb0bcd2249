"""Objects found tile by tile are those found at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage as ndi

from imganalysis.errors import LabelsError, SettingsError
from imganalysis.mapped import release
from imganalysis.segment.labels import relabel
from imganalysis.segment.tiles import segment_in_tiles, tile_grid

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from imganalysis.segment.tiles import Box, FindPart


def blobs(seed: int, shape: tuple[int, ...], cover: float = 0.35) -> NDArray[np.bool_]:
    """Blobs of some pixels in width."""
    rng = np.random.default_rng(seed)
    smooth = ndi.gaussian_filter(rng.random(shape), 1.5)
    return np.asarray(smooth > np.quantile(smooth, 1 - cover))


def pieces(mask: NDArray[np.bool_]) -> FindPart:
    """Connected components, a method that is local."""

    def find(box: Box) -> NDArray[Any]:
        part = mask[..., box[0] : box[1], box[2] : box[3]]
        return np.asarray(ndi.label(part)[0])

    return find


def whole(mask: NDArray[np.bool_]) -> NDArray[np.uint32]:
    return relabel(ndi.label(mask)[0])


def widest(mask: NDArray[np.bool_]) -> int:
    """Height or width of the largest object."""
    boxes = ndi.find_objects(ndi.label(mask)[0])
    return max((s.stop - s.start for box in boxes for s in box[-2:]), default=1)


@pytest.mark.parametrize("shape", [(120, 170), (3, 120, 90)])
@pytest.mark.parametrize("tile_px", [200, 61, 40])
def test_tiles_give_what_the_whole_gives(shape: tuple[int, ...], tile_px: int) -> None:
    mask = blobs(1, shape, 0.2)
    overlap = widest(mask) + 1
    assert overlap <= 40
    found = segment_in_tiles(shape, pieces(mask), overlap_px=overlap, tile_px=tile_px)
    assert found.dtype == np.uint32
    assert found.max() > 20
    np.testing.assert_array_equal(found, whole(mask))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), tile=st.integers(1, 70), cover=st.floats(0.05, 0.25))
def test_any_size_of_tiles_gives_the_same(seed: int, tile: int, cover: float) -> None:
    mask = blobs(seed, (64, 53), cover)
    overlap = widest(mask) + 1
    found = segment_in_tiles(
        mask.shape, pieces(mask), overlap_px=overlap, tile_px=max(tile, overlap)
    )
    np.testing.assert_array_equal(found, whole(mask))


def test_without_overlap_objects_are_cut() -> None:
    """The control: what the overlap is for."""
    mask = blobs(1, (120, 170), 0.2)
    found = segment_in_tiles(mask.shape, pieces(mask), overlap_px=0, tile_px=40)
    assert found.max() > 1.2 * whole(mask).max()
    np.testing.assert_array_equal(found > 0, mask)


def test_an_image_of_one_tile_is_seen_once_and_whole() -> None:
    mask = blobs(3, (50, 61))
    boxes: list[Box] = []

    def find(box: Box) -> NDArray[Any]:
        boxes.append(box)
        return pieces(mask)(box)

    found = segment_in_tiles(mask.shape, find, overlap_px=9, tile_px=61)
    assert boxes == [(0, 50, 0, 61)]
    np.testing.assert_array_equal(found, whole(mask))


def test_more_objects_than_16_bit_can_tell() -> None:
    mask = np.zeros((700, 801), bool)
    mask[::2, ::2] = True
    found = segment_in_tiles(mask.shape, pieces(mask), overlap_px=2, tile_px=300)
    assert found.max() == mask.sum() == 350 * 401
    np.testing.assert_array_equal(found[mask], np.arange(1, mask.sum() + 1))


# Discs in two rows along the border of two tiles, and the same seen a pixel further to one side.
CENTRES = [(y, 50.0 + dx) for y in range(10, 95, 14) for dx in (-0.4, -0.1, 0.0, 0.4)]
SHAPE = (100, 100)


def discs(shift: float) -> NDArray[np.int32]:
    y, x = np.mgrid[:100, :100]
    labels = np.zeros(SHAPE, np.int32)
    for k, (cy, cx) in enumerate(CENTRES[::4] + [(y + 7, x - 12) for y, x in CENTRES[:20:4]], 1):
        labels[np.hypot(y - cy, x - cx - shift) < 4.3] = k
    return labels


def two_views(left: float, right: float) -> FindPart:
    """The left tile sees discs moved by ``left``, the right one by ``right``."""

    def find(box: Box) -> NDArray[Any]:
        seen = discs(left if box[2] == 0 else right)
        return seen[box[0] : box[1], box[2] : box[3]]

    return find


def in_two_views(left: float, right: float) -> NDArray[np.uint32]:
    found = segment_in_tiles(SHAPE, two_views(left, right), overlap_px=24, tile_px=50)
    return np.asarray(found)


@pytest.mark.parametrize(("left", "right"), [(-1, 1), (1, -1), (0, 1), (2, -1), (-1, 2)])
@pytest.mark.parametrize("upside_down", [False, True])
def test_what_two_tiles_see_differently_is_there_once(
    left: float, right: float, upside_down: bool
) -> None:
    views = two_views(left, right)

    def turned(box: Box) -> NDArray[Any]:
        return views((box[2], box[3], box[0], box[1])).T

    find = turned if upside_down else views
    found = segment_in_tiles(SHAPE, find, overlap_px=24, tile_px=50)
    sizes = np.bincount(found.ravel())[1:]
    assert sizes.size == discs(0).max()
    assert sizes.min() >= 0.7 * (discs(0) == 1).sum()


def test_without_tolerance_objects_on_a_border_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imganalysis.segment.tiles._TOLERANCE", 0.0)
    assert in_two_views(1, -1).max() < discs(0).max()


def test_without_a_look_at_what_is_there_objects_are_doubled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("imganalysis.segment.tiles._TAKEN", 1.0)
    assert in_two_views(-1, 1).max() > discs(0).max()


def test_pixels_that_have_an_object_keep_it() -> None:
    def find(box: Box) -> NDArray[Any]:
        labels = np.zeros((40, 100), np.int32)
        labels[10:30, 40:60] = box[2] == 0
        labels[10:30, 55:75] += 2 * (box[2] > 0)
        return labels[box[0] : box[1], box[2] : box[3]]

    found = segment_in_tiles((40, 100), find, overlap_px=30, tile_px=50)
    assert np.flatnonzero(found[20] == 1).tolist() == list(range(40, 60))
    assert np.flatnonzero(found[20] == 2).tolist() == list(range(60, 75))


@pytest.mark.parametrize("most", [2**32 - 1, 4000])
def test_the_numbers_of_a_tile_are_its_own(most: int) -> None:
    mask = blobs(4, (90, 90), 0.2)

    def find(box: Box) -> NDArray[Any]:
        part = pieces(mask)(box).astype(np.int64)
        return np.where(part > 0, most - 7 * part, 0)

    found = segment_in_tiles(mask.shape, find, overlap_px=widest(mask) + 1, tile_px=45)
    np.testing.assert_array_equal(found, whole(mask))


def test_a_tile_without_background() -> None:
    found = segment_in_tiles((20, 20), lambda _: np.full((20, 20), 2**31), overlap_px=5, tile_px=20)
    assert (found == 1).all()


@pytest.mark.parametrize(("shape", "tile_px"), [((50, 999), 100), ((1, 1), 7), ((2, 70, 40), 30)])
def test_each_pixel_is_decided_by_one_tile(shape: tuple[int, ...], tile_px: int) -> None:
    times = np.zeros(shape[-2:], int)
    for core, box in tile_grid(shape, tile_px=tile_px, overlap_px=5):
        times[core[0] : core[1], core[2] : core[3]] += 1
        assert max(core[1] - core[0], core[3] - core[2]) <= tile_px
        for side, (inner, outer, size) in enumerate(
            zip(core, box, np.repeat(shape[-2:], 2), strict=True)
        ):
            assert outer == (min(size, inner + 5) if side % 2 else max(0, inner - 5))
    assert (times == 1).all()


class Store:
    """An array on some disk: only slices go in and out, and their sizes are remembered."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.values = np.full(shape, 9, np.uint32)
        self.shape, self.dtype = shape, self.values.dtype
        self.most = 0

    def __getitem__(self, key: Any) -> NDArray[np.uint32]:
        part = self.values[key].copy()
        self.most = max(self.most, part.size)
        return part

    def __setitem__(self, key: Any, value: Any) -> None:
        self.most = max(self.most, self.values[key].size)
        self.values[key] = value


def test_labels_go_where_they_are_wanted_tile_by_tile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("imganalysis.mapped._STRIP", 2000)
    mask = blobs(5, (300, 280), 0.2)
    overlap = widest(mask) + 1
    store = Store(mask.shape)
    found = segment_in_tiles(mask.shape, pieces(mask), overlap_px=overlap, tile_px=70, out=store)
    assert found is store
    assert store.most <= (70 + 2 * overlap) ** 2
    np.testing.assert_array_equal(store.values, whole(mask))
    file = np.memmap(tmp_path / "labels", np.uint32, "w+", shape=mask.shape)
    segment_in_tiles(mask.shape, pieces(mask), overlap_px=overlap, tile_px=70, out=file)
    file.flush()
    written = np.fromfile(tmp_path / "labels", np.uint32).reshape(mask.shape)
    np.testing.assert_array_equal(written, whole(mask))


@pytest.mark.parametrize("mode", ["r+", "c"])
def test_pages_that_are_let_go_keep_what_was_written(tmp_path: Path, mode: Any) -> None:
    np.zeros(9000, np.uint8).tofile(tmp_path / "pages")
    array = np.memmap(tmp_path / "pages", np.uint8, mode)
    array[:] = 7
    release(array)
    assert (array == 7).all()


def test_progress_is_told_and_stop_is_asked() -> None:
    mask = blobs(6, (60, 60))
    told: list[tuple[str, int, int]] = []
    options = {"overlap_px": 10, "tile_px": 30}
    segment_in_tiles(mask.shape, pieces(mask), progress=lambda *t: told.append(t), **options)
    assert told == [("tiles", k, 4) for k in (1, 2, 3, 4)]
    answers = iter([False, False, True])
    with pytest.raises(InterruptedError, match="2 of 4"):
        segment_in_tiles(mask.shape, pieces(mask), stop=lambda: next(answers), **options)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((30, 31), int), "shape"),
        (np.zeros((30, 30)), "float64"),
        (np.full((30, 30), -1), "label -1"),
    ],
)
def test_what_is_no_label_image_of_the_tile_is_refused(given: NDArray[Any], message: str) -> None:
    with pytest.raises(LabelsError, match=message):
        segment_in_tiles((30, 30), lambda _: given, overlap_px=3, tile_px=30)


@pytest.mark.parametrize("out", [np.zeros((30, 31), np.uint32), np.zeros((30, 30), np.uint16)])
def test_labels_are_not_written_where_they_do_not_fit(out: NDArray[Any]) -> None:
    find = pieces(np.zeros((30, 30), bool))
    with pytest.raises(LabelsError, match=r"\(30, 30\) of uint32"):
        segment_in_tiles((30, 30), find, overlap_px=3, tile_px=30, out=out)


@pytest.mark.parametrize(("overlap_px", "tile_px"), [(5, 4), (-1, 4), (0, 0)])
def test_impossible_tiles_are_refused(overlap_px: int, tile_px: int) -> None:
    with pytest.raises(SettingsError, match="overlap"):
        tile_grid((30, 30), overlap_px=overlap_px, tile_px=tile_px)


@pytest.mark.parametrize("shape", [(30,), (0, 30), (1, 2, 3, 4)])
def test_tiles_are_cut_in_y_and_x(shape: tuple[int, ...]) -> None:
    with pytest.raises(LabelsError, match="Y, X"):
        tile_grid(shape, overlap_px=1, tile_px=4)

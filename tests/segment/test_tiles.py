"""Objects found tile by tile are those found at once."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage as ndi

from imganalysis.errors import LabelsError, SettingsError
from imganalysis.segment.labels import relabel
from imganalysis.segment.tiles import release, segment_in_tiles, tile_grid

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

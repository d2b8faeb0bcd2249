"""CZI and ND2 facts that no real file here shows: stood in for by what the libraries give."""

from __future__ import annotations

from types import SimpleNamespace as Some
from typing import Any

import pytest

from imganalysis.io._czi import _channel_names, _distance_um, _tiles
from imganalysis.io._facts import Facts, other_axes
from imganalysis.io._nd2 import _pixel_size
from imganalysis.io._xml import parse_xml


def _czi(*boxes: tuple[int, int, int, int, int]) -> Any:
    found = [(Some(m_index=m), Some(x=x, y=y, w=w, h=h)) for m, x, y, w, h in boxes]
    return Some(get_all_mosaic_tile_bounding_boxes=lambda **_: Some(items=lambda: found))


SIDES = {"Y": 100, "X": 100}


def test_tiles_of_a_czi() -> None:
    czi = _czi((0, 0, 0, 100, 100), (1, 90, 0, 100, 100))
    assert _tiles(czi, (0, 2), SIDES, None) == ({0: (0, 100, 0, 95), 1: (0, 100, 5, 100)}, True)


def test_tile_numbers_may_start_above_zero_and_be_missing() -> None:
    czi = _czi((3, 0, 0, 100, 100), (5, 90, 0, 100, 100))
    parts, known = _tiles(czi, (3, 6), SIDES, 1)
    assert (sorted(parts), known) == ([0, 2], True)


@pytest.mark.parametrize(
    "boxes",
    [
        [(0, 0, 0, 100, 100), (1, 0, 0, 100, 100)],  # one place
        [(0, 0, 0, 100, 100), (0, 9, 0, 100, 100), (1, 90, 0, 100, 100)],  # moves with time
        [(0, 0, 0, 100, 100), (1, 90, 0, 80, 100)],  # of another size
        [],
    ],
)
def test_tiles_whose_overlap_is_unknown(boxes: list[tuple[int, int, int, int, int]]) -> None:
    parts, known = _tiles(_czi(*boxes), (0, 2), SIDES, None)
    assert (parts, known) == ({0: None, 1: None}, False)


def test_distances_of_a_czi(tmp_path: Any) -> None:
    def meta(items: str) -> Any:
        text = f"<a><Metadata><Scaling><Items>{items}</Items></Scaling></Metadata></a>"
        return parse_xml(text, tmp_path)

    one = '<Distance Id="X"><Value>2E-07</Value></Distance>'
    assert _distance_um(meta(one), "X") == pytest.approx(0.2)
    assert _distance_um(meta(one), "Y") is None
    assert _distance_um(meta(one + one), "X") is None
    assert _distance_um(meta('<Distance Id="X"><Value/></Distance>'), "X") is None
    assert _channel_names(meta(""), 0) == ()


def _nd2(calibrated: tuple[bool, bool, bool]) -> Any:
    volume = Some(axesCalibrated=calibrated)
    return Some(
        voxel_size=lambda: Some(x=1.0, y=1.0, z=1.0),
        metadata=Some(channels=[Some(volume=volume)]),
    )


def test_an_nd2_that_was_never_calibrated_gives_one_and_is_not_believed() -> None:
    size, _ = _pixel_size(_nd2((False, False, False)), 5)
    assert size.as_tuple() == (None, None, None)
    assert size.note == "pixel size 1 x 1 is not calibrated"
    size, _ = _pixel_size(_nd2((True, True, False)), 5)
    assert size.as_tuple() == (None, 1.0, 1.0)
    size, _ = _pixel_size(_nd2((True, True, True)), 5)
    assert size.as_tuple() == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("axes", "shape", "word"),
    [
        ("TCZYX", (1, 2, 3, 4, 5), ""),
        ("VTCYX", (1, 1, 2, 4, 5), ""),
        ("VTCYX", (2, 1, 2, 4, 5), "axis_V"),
        ("TCZX", (1, 2, 3, 4), "no_plane"),
        ("CYXS", (2, 4, 5, 3), "axis_S"),
        ("CYXS", (1, 4, 5, 3), ""),
    ],
)
def test_axes_of_a_field(axes: str, shape: tuple[int, ...], word: str) -> None:
    assert other_axes(axes, shape) == word


def test_channels_without_names_are_numbered() -> None:
    facts = Facts("", "CYX", (3, 4, 5), "uint8", channels=("a", " "))
    assert facts.channel_names() == ("a", "channel 1", "channel 2")

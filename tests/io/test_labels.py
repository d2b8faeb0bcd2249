"""Label images that others made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from imganalysis.errors import LabelsError, UnreadableImageError
from imganalysis.io import read_labels

if TYPE_CHECKING:
    from pathlib import Path

LABELS = np.arange(12).reshape(3, 4)


def _write(path: Path, data: np.ndarray, **options: Any) -> Path:
    tifffile.imwrite(path, data, **{"photometric": "minisblack", **options})
    return path


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "uint32", "int64"])
def test_any_integer_type(tmp_path: Path, dtype: str) -> None:
    found = read_labels(_write(tmp_path / "l.tif", LABELS.astype(dtype)))
    assert found.dtype == np.uint32
    np.testing.assert_array_equal(found, LABELS)


def test_a_volume(tmp_path: Path) -> None:
    labels = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    np.testing.assert_array_equal(read_labels(_write(tmp_path / "l.tif", labels)), labels)
    np.testing.assert_array_equal(read_labels(tmp_path / "l.tif", 1), labels[1])


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (LABELS.astype("float32"), "holds whole numbers, got float32"),
        (LABELS > 3, "a mask of yes and no"),
        (LABELS.astype("int16") - 1, "has no negative number, got -1"),
        (LABELS.astype("uint64") + 2**32, "labels go up to"),
    ],
)
def test_pixels_that_are_no_labels(tmp_path: Path, data: np.ndarray, match: str) -> None:
    with pytest.raises(LabelsError, match=match) as caught:
        read_labels(_write(tmp_path / "l.tif", data))
    assert "l.tif" in str(caught.value)


def test_colour_and_channels_are_no_labels(tmp_path: Path) -> None:
    colour = np.zeros((5, 6, 3), np.uint8)
    with pytest.raises(LabelsError, match="found axes YXS"):
        read_labels(_write(tmp_path / "c.tif", colour, photometric="rgb"))
    channels = np.zeros((2, 5, 6), np.uint8)
    options = {"ome": True, "metadata": {"axes": "CYX"}}
    with pytest.raises(LabelsError, match=r"found axes CYX of sizes 2 x 5 x 6\. Name one"):
        read_labels(_write(tmp_path / "c.ome.tif", channels, **options))
    assert read_labels(tmp_path / "c.ome.tif", 1).shape == (5, 6)


def test_pages(tmp_path: Path) -> None:
    path = tmp_path / "pages.tif"
    with tifffile.TiffWriter(path) as tif:
        for i, name in enumerate(("Nucleus", "Cytoplasm")):
            tif.write(LABELS.astype("uint16") + i, metadata=None,
                      extratags=[(285, "s", 0, name, True)])  # fmt: skip
    np.testing.assert_array_equal(read_labels(path, "nucleus"), LABELS)
    np.testing.assert_array_equal(read_labels(path, "1"), LABELS + 1)
    with pytest.raises(LabelsError, match=r"show different things; say which: 0 Nucleus, 1 Cyto"):
        read_labels(path)
    with pytest.raises(LabelsError, match="no one page is named 'ring'; its page names are Nuc"):
        read_labels(path, "ring")
    with pytest.raises(LabelsError, match=r"page 2 asked for, it has 2 \(from 0\)"):
        read_labels(path, 2)


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImageError, match="no such file"):
        read_labels(tmp_path / "l.tif")
    (tmp_path / "l.czi").write_bytes(b"ZISRAWFILE")
    with pytest.raises(LabelsError, match="expected a label image as TIFF, found CZI"):
        read_labels(tmp_path / "l.czi")


@pytest.mark.realdata
def test_label_maps_of_vectra(testdata: Path) -> None:
    path = testdata / "multiplex-vectra/FIHC4_2_binary_seg_maps.tif"
    nuclei = read_labels(path, "Nucleus")
    assert (nuclei.shape, nuclei.dtype, nuclei.max()) == ((260, 348), np.uint32, 270)
    np.testing.assert_array_equal(nuclei, read_labels(path, 1))
    np.testing.assert_array_equal(nuclei, tifffile.imread(path, key=1))
    assert read_labels(path, "membrane").max() == 1
    with pytest.raises(LabelsError, match="say which: 0, 1 Nucleus, 2 Cytoplasm, 3 Membrane"):
        read_labels(path)


@pytest.mark.realdata
def test_label_images_of_other_programs(testdata: Path) -> None:
    path = sorted((testdata / "nuclei-3d-embryo/labels").rglob("*.tif"))[0]
    assert len(np.unique(read_labels(path))) == 9
    path = sorted((testdata / "nuclei-2d-dsb2018/masks").glob("*.tif"))[0]
    np.testing.assert_array_equal(read_labels(path), tifffile.imread(path))

"""Bad input: a clear message, never black pixels in place of what is missing."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from imganalysis.errors import ImageError, UnreadableImageError
from imganalysis.io import describe, file_hash, list_series, read_labels, read_stack
from imganalysis.io._xml import parse_xml

RNG = np.random.default_rng(1)
DATA = RNG.integers(0, 4000, (3, 4, 60, 70), dtype=np.uint16)


@pytest.fixture(params=[list_series, read_stack, describe], ids=lambda f: f.__name__)
def opener(request: pytest.FixtureRequest):  # type: ignore[no-untyped-def]
    return request.param


def test_no_such_file(opener, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UnreadableImageError, match=r"gone\.tif: no such file. Check the path"):
        opener(tmp_path / "gone.tif")


def test_empty_file(opener, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "empty.lif"
    path.touch()
    with pytest.raises(UnreadableImageError, match=r"empty\.lif: is empty \(0 bytes\)"):
        opener(path)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"biopsy,patient\n1,2\n", "no image"),
        (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
        (b"\xff\xd8\xff\xe0", "a JPEG picture"),
        (b"x", "no image"),
    ],
)
def test_not_an_image(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "image.tif"
    path.write_bytes(content)
    with pytest.raises(UnreadableImageError, match=f"expected a TIFF.*found {found}") as caught:
        read_stack(path)
    assert caught.value.reason == "unreadable"
    assert isinstance(caught.value, OSError | ImageError)


def test_a_folder(opener, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UnreadableImageError, match=r"is a folder; expected a TIFF.*OME-Zarr"):
        opener(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    path = tmp_path / "pipe.tif"
    os.mkfifo(path)
    with pytest.raises(UnreadableImageError, match="is no regular file"):
        read_stack(path)


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.tif"
    path.write_bytes(b"II*")

    def denied(*_: object, **__: object) -> None:  # as root, no file is out of reach
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(UnreadableImageError, match=r"cannot be opened \(Permission denied\)"):
        read_stack(path)


@pytest.mark.parametrize("head", [b"II*\x00", b"MM\x00*\x00\x00\x00\x08", b"ZISRAWFILE\x00\x00"])
def test_only_a_head(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "head.tif"
    path.write_bytes(head)
    with pytest.raises(UnreadableImageError, match=r"head\.tif: "):
        read_stack(path)


# Cut off

KINDS = {
    "plain": {"photometric": "minisblack"},
    "imagej": {"imagej": True, "metadata": {"axes": "ZCYX"}},
    "ome": {"ome": True, "photometric": "minisblack", "metadata": {"axes": "CZYX"}},
    "zlib": {"photometric": "minisblack", "compression": "zlib"},
    "big": {"photometric": "minisblack", "bigtiff": True, "compression": "zlib"},
    "pages": {"photometric": "minisblack", "metadata": None},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_cut_of_a_tiff_is_noticed(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "whole.tif"
    tifffile.imwrite(path, DATA, **KINDS[kind])
    whole = path.read_bytes()
    stack = read_stack(path)
    assert stack.numpy().size == DATA.size
    cut = tmp_path / "cut.tif"
    for share in (0.001, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97, 0.995):
        cut.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(UnreadableImageError, match=r"cut\.tif: .*[Cc]opy it again"):
            read_stack(cut).numpy()
    cut.write_bytes(whole[:-20])
    try:  # what is missing may be padding at the end: then the pixels must be whole
        np.testing.assert_array_equal(read_stack(cut).numpy(), stack.numpy())
    except UnreadableImageError as error:
        assert "cut off" in str(error)


def test_pages_cut_off_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "pages.tif"
    with tifffile.TiffWriter(path) as tif:
        for plane in DATA[0]:
            tif.write(plane, contiguous=False, metadata=None)
    with tifffile.TiffFile(path) as tif:
        third = tif.pages[2].offset
    path.write_bytes(path.read_bytes()[:third])
    with pytest.raises(UnreadableImageError, match="after page 2 another should follow"):
        list_series(path)


def test_damaged_pixels_are_found_when_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "damaged.tif"
    tifffile.imwrite(path, DATA, **KINDS["zlib"])
    with tifffile.TiffFile(path) as tif:
        offset = tif.pages[0].dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[offset : offset + 40] = bytes(40)
    path.write_bytes(content)
    stack = read_stack(path)
    with pytest.raises(UnreadableImageError, match=r"damaged\.tif: expected a TIFF image, but it"):
        stack.numpy()


def test_a_file_that_goes_away_before_its_pixels_are_read(tmp_path: Path) -> None:
    path = tmp_path / "away.tif"
    tifffile.imwrite(path, DATA, **KINDS["plain"])
    stack = read_stack(path)
    path.unlink()
    with pytest.raises(UnreadableImageError, match=r"away\.tif: "):
        stack.numpy()


@pytest.mark.realdata
@pytest.mark.parametrize(
    "name",
    [
        "lif/xz-example.lif",
        "lif/PR2729_frameOrderCombinedScanTypes.lif",
        "czi/DAPI_GFP.czi",
        "nd2/cluster.nd2",
        "ome-tiff/4D-series.ome.tif",
        "imagej-tiff/xyzc_16bit__dna_conf_wf.tif",
    ],
)
def test_cut_files_of_microscopes(testdata: Path, tmp_path: Path, name: str) -> None:
    whole = (testdata / "formats" / name).read_bytes()
    path = tmp_path / Path(name).name
    for share in (0.02, 0.4, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(UnreadableImageError, match="opy it again from its"):
            for series in list_series(path):
                read_stack(path, series.index, tile=series.tile, time=series.n_times - 1).numpy()


# Names


@pytest.mark.parametrize(
    "name",
    ["Bïopsie Müller 3 µm.tif", "生検 (1).tif", "a#b%20c&d.tif", "[1] {x} ~ $y.tif", "a.b.c.TIFF"],
)
def test_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "Ordner mit Leerzeichen ü"
    folder.mkdir()
    path = folder / name
    tifffile.imwrite(path, DATA, **KINDS["ome"])
    np.testing.assert_array_equal(read_stack(path).numpy(), DATA)
    assert list_series(path)[0].path == path
    assert len(file_hash(path)) == 64


def test_any_name_of_a_czi_and_lif(testdata: Path, tmp_path: Path) -> None:
    for name, suffix in (("czi/DAPI_GFP.czi", ".czi"), ("nd2/cluster.nd2", ".nd2")):
        path = tmp_path / f"Ünï cøde 生検 #1{suffix}"
        shutil.copyfile(testdata / "formats" / name, path)
        assert read_stack(path).numpy().any()


def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "a.tif", DATA, **KINDS["plain"])
    monkeypatch.chdir(tmp_path)
    assert read_stack(Path("a.tif")).numpy().shape[-2:] == (60, 70)


# What metadata may not do


def _ome(path: Path, change: tuple[str, str]) -> None:
    tifffile.imwrite(path, DATA, **KINDS["ome"])
    with tifffile.TiffFile(path) as tif:
        text = tif.pages[0].description
    assert change[0] in text
    text = text.replace(*change)
    tifffile.imwrite(
        path, DATA, photometric="minisblack", metadata=None, description=text.encode("utf-8")
    )


def test_a_document_type_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "entities.ome.tif"
    _ome(path, ("?><OME", '?><!DOCTYPE OME [<!ENTITY a SYSTEM "file:///etc/passwd">]><OME'))
    for read in (list_series, read_stack, read_labels):
        with pytest.raises(UnreadableImageError, match="declare a document type"):
            read(path)
    for text in ("<!doctype a><a/>", '<a><!ENTITY b "c"></a>', "< !DOCTYPE a>"[1:]):
        with pytest.raises(UnreadableImageError):
            parse_xml(text, path)


def test_damaged_ome_xml_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "damaged.ome.tif"
    _ome(path, ("<Pixels ", "<Pixels <"))
    with pytest.raises(UnreadableImageError, match=r"its XML metadata are damaged"):
        list_series(path)


@pytest.mark.parametrize("name", ["../../secret.tif", "/etc/passwd", "part2.ome.tif"])
def test_parts_in_other_files_are_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    tifffile.imwrite(tmp_path / "secret.tif", DATA, photometric="minisblack")
    tifffile.imwrite(folder / "part2.ome.tif", DATA, photometric="minisblack")
    path = folder / "part1.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tif:
        tif.write(DATA, photometric="minisblack", metadata={"axes": "CZYX"})
    with tifffile.TiffFile(path) as tif:
        text = tif.pages[0].description
    other = (
        f'<TiffData IFD="0" PlaneCount="12"><UUID FileName="{name}">'
        f"urn:uuid:00000000-0000-0000-0000-000000000001</UUID></TiffData>"
    )
    text, n = re.subn(r"<TiffData[^>]*?(/>|></TiffData>)", other, text)
    assert n == 1
    tifffile.imwrite(path, DATA, photometric="minisblack", metadata=None, description=text.encode())
    for read in (list_series, read_stack, read_labels):
        with pytest.raises(UnreadableImageError, match=r"is one part of an OME-TIFF of several"):
            read(path)


def test_a_renamed_ome_tiff_is_still_itself(testdata: Path, tmp_path: Path) -> None:
    # Bio-Formats writes the name of the file at its making.
    path = tmp_path / "renamed.ome.tif"
    shutil.copyfile(testdata / "formats/ome-tiff/multi-channel.ome.tif", path)
    assert read_stack(path).shape == (3, 1, 167, 439)


def test_binary_only_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary.ome.tif"
    text = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<BinaryOnly MetadataFile="set.companion.ome" UUID="urn:uuid:1"/></OME>'
    )
    tifffile.imwrite(path, DATA, photometric="minisblack", metadata=None, description=text)
    with pytest.raises(UnreadableImageError, match=r"another is 'set\.companion\.ome'"):
        list_series(path)

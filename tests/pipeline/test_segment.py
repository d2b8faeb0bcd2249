"""The command that writes label images."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

from imganalysis import __version__, mapped
from imganalysis.cli import app
from imganalysis.errors import ImganalysisError, OutputError
from imganalysis.io import read_labels, write_stack
from imganalysis.segment.models import MODELS
from imganalysis.segmenting import fields_of, segment_series, write_nuclei
from imganalysis.settings import Settings, parse_settings
from imganalysis.stack import PixelSize, Stack

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def write_zarr(path: Path, pixels: NDArray[Any]) -> None:
    """OME-Zarr 0.4 of channels in pieces that are smaller than a plane."""
    import zarr

    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("0", data=pixels, chunks=(1, 50, 40))
    axes = [{"name": "c", "type": "channel"}, *({"name": n, "type": "space"} for n in "yx")]
    scale = [{"type": "scale", "scale": [1.0, 0.5, 0.5]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]


CENTRES = [(30, 30), (30, 90), (90, 30), (90, 90), (60, 60)]


def write(path: Path, *, size: PixelSize | None = None, channels: int = 2, planes: int = 1) -> Path:
    """Five nuclei of 8 um in the last channel, nothing in the others."""
    y, x = np.mgrid[:120, :130]
    data = np.full((channels, planes, 120, 130), 20, np.uint16)
    for cy, cx in CENTRES:
        data[-1, :, np.hypot(y - cy, x - cx) < 8] = 900
    names = tuple(f"c{n}" for n in range(channels))
    write_stack(path, Stack(data, names, size or PixelSize(1.0, 0.5, 0.5), str(path)))
    return path


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["segment", *map(str, arguments)])
    if isinstance(result.exception, ImganalysisError):
        return 2, str(result.exception)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@pytest.mark.parametrize("channel", ["c1", "1"])
def test_label_images_of_the_named_channel(tmp_path: Path, channel: str) -> None:
    files = [write(tmp_path / f"{name}.ome.tif") for name in ("one", "two")]
    out = tmp_path / "out"
    options = ["--channel", channel, "--method", "scikit-image", "--threads", 1]
    status, said = run(*files, "--out", out, *options)
    assert status == 0 and f"{out / 'one.tif'}: 5 nuclei" in said
    labels = read_labels(out / "two.tif")
    assert labels.dtype == np.uint32 and labels.shape == (120, 130)
    assert sorted(labels[cy, cx] for cy, cx in CENTRES) == [1, 2, 3, 4, 5]
    status, said = run(files[0], "--out", out, *options)
    assert status == 2 and "--overwrite" in said
    assert run(files[0], "--out", out, *options, "--overwrite")[0] == 0


def test_one_bad_file_stops_no_other_one(tmp_path: Path) -> None:
    good = write(tmp_path / "good.ome.tif", channels=1)
    bad = tmp_path / "bad.tif"
    bad.write_bytes(b"no image")
    alone = write(tmp_path / "three.ome.tif", channels=3)
    status, said = run(bad, alone, good, "--out", tmp_path / "out", "--method", "scikit-image")
    assert status == 1 and "good.tif: 5 nuclei" in said
    assert "bad.tif" in said and "3 channels (c0, c1, c2)" in said
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.tif"]


def test_files_without_a_scale(tmp_path: Path) -> None:
    file = write(tmp_path / "a.ome.tif", size=PixelSize(), channels=1)
    options = ["--out", tmp_path / "out", "--method", "scikit-image"]
    status, said = run(file, *options)
    assert status == 1 and "--pixel-size" in said and "--diameter-px" in said
    assert "5 nuclei" in run(file, *options, "--diameter-px", 16)[1]
    assert "5 nuclei" in run(file, *options, "--pixel-size", "0.5,0.5", "--overwrite")[1]


def facts_in(path: Path) -> dict[str, str]:
    """What the annotation of a label image says."""
    with tifffile.TiffFile(path) as tif:
        root = ElementTree.fromstring(tif.pages.first.description)  # noqa: S314 - our own file
    space = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"
    assert root.find(f"{space}Image/{space}AnnotationRef") is not None
    return {m.attrib["K"]: m.text or "" for m in root.iter(f"{space}M")}


def test_a_label_image_says_how_it_was_made(tmp_path: Path) -> None:
    file = write(tmp_path / "a.ome.tif", channels=2)
    options = ["--channel", "c1", "--sensitivity", 0.6]
    assert run(file, "--out", tmp_path / "out", *options)[0] == 0
    said = facts_in(tmp_path / "out" / "a.tif")
    assert (said["segmentation"], said["model"]) == ("network", "nuclei")
    assert said["model_sha256"] == sha256((MODELS / "nuclei.onnx").read_bytes()).hexdigest()
    assert json.loads(said["settings"])["sensitivity"] == 0.6
    assert (said["version"], said["channel"]) == (__version__, "c1")
    assert (said["diameter_px"], said["diameter_from"]) == ("16", "pixel size")
    assert run(file, "--out", tmp_path / "again", *options)[0] == 0
    one, other = (tmp_path / name / "a.tif" for name in ("out", "again"))
    assert one.read_bytes() == other.read_bytes()


def test_the_diameter_is_estimated_where_that_is_asked_for(tmp_path: Path) -> None:
    blind = write(tmp_path / "blind.ome.tif", size=PixelSize(), channels=1)
    known = write(tmp_path / "known.ome.tif", channels=1)
    with tifffile.TiffFile(blind) as tif:
        pixels = (tif.asarray() // 4).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "png.png")
    Image.fromarray(np.zeros_like(pixels)).save(tmp_path / "flat.png")
    options = ["--out", tmp_path / "out", "--method", "scikit-image", "--overwrite"]
    assert run(tmp_path / "png.png", *options)[0] == 1
    files = [tmp_path / name for name in ("png.png", "flat.png")]
    status, said = run(blind, known, *files, *options, "--estimate-diameter")
    assert status == 0, said
    assert "blind.tif: 5 nuclei (estimated diameter 1" in said
    assert "png.tif: 5 nuclei (estimated diameter 1" in said
    assert "known.tif: 5 nuclei\n" in said and "flat.tif: 0 nuclei (flat, diameter_unknown)" in said
    found = facts_in(tmp_path / "out" / "png.tif")
    assert found["diameter_from"] == "estimated" and 12 < float(found["diameter_px"]) < 20
    with tifffile.TiffFile(tmp_path / "out" / "blind.tif") as tif:
        assert "PhysicalSize" not in tif.pages.first.description
    assert run(blind, *options, "--estimate-diameter", "--diameter-px", 16)[0] == 2


def test_a_png_takes_a_scale_from_the_options(tmp_path: Path) -> None:
    file = write(tmp_path / "a.ome.tif", channels=1)
    with tifffile.TiffFile(file) as tif:
        Image.fromarray((tif.asarray() // 4).astype(np.uint8)).save(tmp_path / "b.png")
    options = ["--out", tmp_path / "out", "--method", "scikit-image"]
    assert "5 nuclei" in run(tmp_path / "b.png", *options, "--pixel-size", "0.5,0.5")[1]


@pytest.mark.parametrize("method", ["scikit-image", "network"])
@pytest.mark.parametrize("kind", ["strips", "tiles", "plain", "zarr"])
def test_a_large_plane_gives_the_same_bytes_by_way_of_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, kind: str
) -> None:
    source = write(tmp_path / "a.ome.tif", channels=2)
    with tifffile.TiffFile(source) as tif:
        pixels, text = tif.asarray(), tif.pages.first.description
    if kind == "tiles":
        tifffile.imwrite(source, pixels, description=text, metadata=None, tile=(48, 32),
                         compression="zlib", photometric="minisblack")  # fmt: skip
    if kind == "plain":
        tifffile.imwrite(source, pixels, description=text, metadata=None, byteorder=">",
                         photometric="minisblack")  # fmt: skip
    if kind == "zarr":
        source = tmp_path / "a.ome.zarr"
        write_zarr(source, pixels)
    monkeypatch.setattr(mapped, "LARGE", 10_000)
    monkeypatch.setattr("imganalysis.segment.registry.LARGE", 10_000)
    monkeypatch.setattr("imganalysis.io._writing.LARGE", 10_000)
    (series,) = fields_of(source, Settings())
    chosen = parse_settings({"segmentation": {"method": method}}, source="test")
    how = {"channel": "1", "diameter_px": 16.0}
    whole = segment_series(series, chosen, chosen.segmentation, **how)
    by_file = segment_series(series, chosen, chosen.segmentation, **how, scratch=tmp_path)
    assert isinstance(by_file.labels, np.memmap) and not isinstance(whole.labels, np.memmap)
    assert by_file.count == whole.count == 5
    for name, found in (("whole.tif", whole), ("by_file.tif", by_file)):
        write_nuclei(tmp_path / name, found)
    written = (tmp_path / "by_file.tif").read_bytes()
    assert written == (tmp_path / "whole.tif").read_bytes()
    assert (read_labels(tmp_path / "by_file.tif") == whole.labels).all()


def test_the_command_leaves_nothing_of_a_large_plane_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped, "LARGE", 10_000)
    file = write(tmp_path / "a.ome.tif", channels=1)
    out = tmp_path / "out"
    assert "5 nuclei" in run(file, "--out", out, "--method", "scikit-image")[1]
    assert [path.name for path in out.iterdir()] == ["a.tif"]


def test_a_disk_without_room_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="GiB of disk"):
        mapped.new_mapped(tmp_path / "a", (2**26, 2**26), np.uint32)


def test_a_stack_of_a_section_is_projected_and_a_thick_one_is_not(tmp_path: Path) -> None:
    options = ["--out", tmp_path / "out", "--method", "scikit-image"]
    run(write(tmp_path / "thin.ome.tif", channels=1, planes=3), *options)
    assert read_labels(tmp_path / "out" / "thin.tif").shape == (120, 130)
    run(write(tmp_path / "thick.ome.tif", channels=1, planes=12), *options)
    assert read_labels(tmp_path / "out" / "thick.tif").shape == (12, 120, 130)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--method", "given"], "run --nuclei"),
        (["--method", "magic"], "unknown method 'magic'"),
        (["--method", "network", "--model", "nothing.onnx"], r"nothing\.onnx"),
    ],
)
def test_mistakes(tmp_path: Path, options: list[str], said: str) -> None:
    file = write(tmp_path / "a.ome.tif", channels=1)
    status, text = run(file, "--out", tmp_path / "out", *options)
    assert status == 2 and re.search(said, text)


def test_two_files_of_one_name_are_not_written_over_each_other(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    files = [write(tmp_path / folder / "a.ome.tif", channels=1) for folder in ("", "b")]
    status, said = run(*files, "--out", tmp_path / "out")
    assert status == 2 and "would both become" in said


def test_an_image_is_never_replaced_by_its_labels(tmp_path: Path) -> None:
    file = write(tmp_path / "a.tif", channels=1)
    other = write(tmp_path / "b.tif", channels=1)
    before = file.read_bytes()
    status, said = run(file, "--out", tmp_path, "--overwrite")
    assert status == 2 and "is an image to be segmented" in said
    (tmp_path / "c").mkdir()
    again = write(tmp_path / "c" / "b.tif", channels=1, planes=3)
    status, said = run(again, "--out", tmp_path, "--overwrite")
    assert status == 2 and "is no label image" in said
    assert file.read_bytes() == before and other.exists()


def test_an_image_that_the_method_refuses_stops_no_other_one(tmp_path: Path) -> None:
    oblong = write(tmp_path / "oblong.ome.tif", size=PixelSize(1.0, 0.5, 0.9), channels=1)
    good = write(tmp_path / "good.ome.tif", channels=1)
    status, said = run(oblong, good, "--out", tmp_path / "out", "--method", "network")
    assert status == 1 and "oblong.ome.tif" in said and "good.tif: 5 nuclei" in said


def test_a_diameter_in_pixels_goes_for_stacks_of_known_shape_too(tmp_path: Path) -> None:
    thick = write(tmp_path / "thick.ome.tif", channels=1, planes=12)
    options = ["--out", tmp_path / "out", "--method", "scikit-image", "--overwrite"]
    assert run(thick, *options)[0] == 0
    usual = read_labels(tmp_path / "out" / "thick.tif")
    status, said = run(thick, *options, "--diameter-px", 16)
    assert status == 0, said
    assert (read_labels(tmp_path / "out" / "thick.tif") == usual).all()
    status, said = run(thick, *options, "--diameter-px", 1000)
    assert status == 1 and "thick.ome.tif" in said
    blind = write(tmp_path / "blind.ome.tif", size=PixelSize(), channels=1, planes=3)
    status, said = run(blind, *options, "--diameter-px", 16)
    assert status == 0 and "z_step_unknown" in said


def test_what_contradicts_itself_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "a.ome.tif", channels=1)
    for options, said in (
        (["--nucleus-diameter", 8, "--diameter-px", 16], "give one of them"),
        (["--nucleus-diameter", 1.9], "is not below"),
        (["--device", "cuda"], "method network takes no --device; it is an option of cellpose"),
        (
            ["--method", "scikit-image", "--model", "nuclei"],
            "method scikit-image takes no --model; it is an option of network and cellpose",
        ),
        (["--method", "cellpose", "--sensitivity", 1], "method cellpose takes no --sensitivity"),
        (["--download"], "method network takes no --download"),
        (["--diameter-px", "inf"], "--diameter-px: expected the diameter of a typical nucleus"),
        (["--diameter-px", 1], "in pixels, 2 or more; found 1"),
        (["--diameter-px", "nan"], "found nan"),
    ):
        status, text = run(file, "--out", tmp_path / "out", *options)
        assert status == 2 and said in text


@pytest.mark.filterwarnings("error:.*cast:RuntimeWarning")
@pytest.mark.parametrize("method", ["network", "scikit-image"])
@pytest.mark.parametrize("planes", [1, 2])
def test_images_that_show_nothing_say_so(tmp_path: Path, method: str, planes: int) -> None:
    kinds = {
        "black": (np.zeros((60, 70), np.uint8), "flat"),
        "full": (np.full((60, 70), 65535, np.uint16), "flat, saturated"),
        "nan": (np.full((60, 70), np.nan, np.float32), "flat, not_finite"),
        "huge": (np.indices((60, 70))[1] * 1e300, "flat, not_finite"),
    }
    size = PixelSize(3.0, 0.5, 0.5)
    for name, (picture, _) in kinds.items():
        path = tmp_path / f"{name}.ome.tif"
        write_stack(path, Stack(np.stack([picture] * planes)[None], ("DAPI",), size, str(path)))
    files = [tmp_path / f"{name}.ome.tif" for name in kinds]
    status, said = run(*files, "--out", tmp_path / "out", "--method", method)
    assert status == 0
    for name, (_, flags) in kinds.items():
        assert f"{name}.tif: 0 nuclei ({flags}" in said

"""The command that writes label images."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from typer.testing import CliRunner

from imganalysis.cli import app
from imganalysis.errors import ImganalysisError
from imganalysis.io import read_labels, write_stack
from imganalysis.stack import PixelSize, Stack

if TYPE_CHECKING:
    from pathlib import Path

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
    status, said = run(thick, *options, "--diameter-px", 1)
    assert status == 1 and "thick.ome.tif" in said
    blind = write(tmp_path / "blind.ome.tif", size=PixelSize(), channels=1, planes=3)
    status, said = run(blind, *options, "--diameter-px", 16)
    assert status == 0 and "z_step_unknown" in said


def test_what_contradicts_itself_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "a.ome.tif", channels=1)
    for options, said in (
        (["--nucleus-diameter", 8, "--diameter-px", 16], "give one of them"),
        (["--nucleus-diameter", 1.9], "is not below"),
        (["--device", "cuda"], "device: unknown name"),
    ):
        status, text = run(file, "--out", tmp_path / "out", *options)
        assert status == 2 and said in text

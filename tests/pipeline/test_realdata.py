"""The command line on real images that nobody here made."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from imganalysis import tables as t
from imganalysis.cli import app
from imganalysis.errors import ImganalysisError

if TYPE_CHECKING:
    from pathlib import Path

PANELS = "examples/panels"


def run(*args: object) -> tuple[int, str]:
    """Run the command line in this process; give exit status and what was printed."""
    result = CliRunner().invoke(app, [str(a) for a in args])
    if isinstance(result.exception, ImganalysisError):
        return 2, str(result.exception)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def cells_of(out: Path) -> pd.DataFrame:
    return pd.concat(pd.read_parquet(p) for p in sorted((out / "cells").glob("*.parquet")))


def test_means_of_a_vectra_field(testdata: Path, tmp_path: Path, repository: Path) -> None:
    """Nuclei given, every area is identical and every mean the same to 0.0005."""
    folder = testdata / "multiplex-vectra"
    status, said = run(
        "run", folder / "FIHC4_2_component_data.tif", "--out", tmp_path / "r",
        "--panel", repository / PANELS / "vectra_component.yaml",
        "--nuclei", f"{folder / 'FIHC4_2_binary_seg_maps.tif'}:1",
    )  # fmt: skip
    assert status == 0, said
    ours = cells_of(tmp_path / "r").sort_values(t.LABEL).reset_index(drop=True)
    theirs = pd.read_csv(folder / "FIHC4_2_cell_seg_data.txt", sep="\t").sort_values("Cell ID")
    fields = pd.read_csv(tmp_path / "r" / "fields.csv").set_index("status").loc["analysed"]
    pixel_um2 = fields["pixel_size_y_um"] * fields["pixel_size_x_um"]
    assert len(ours) == len(theirs) == 270
    assert ours[t.LABEL].tolist() == theirs["Cell ID"].tolist()
    # The size of a pixel stands in the table with eight digits.
    areas = (ours[t.AREA] / pixel_um2).round(4).to_numpy()
    np.testing.assert_array_equal(areas, theirs["Nucleus Area (pixels)"])
    for dye in ("Alexa 594", "Cy3", "Cy5", "DAPI", "FITC"):
        column = f"Nucleus {dye} Mean (Normalized Counts, Total Weighting)"
        mine = ours[t.measure_column(dye.replace(" ", ""), "nucleus", "mean")]
        np.testing.assert_allclose(mine, theirs[column], atol=5.01e-4, rtol=0, err_msg=dye)


def test_a_vectra_field_with_our_own_nuclei(
    testdata: Path, tmp_path: Path, repository: Path
) -> None:
    status, said = run(
        "run", testdata / "multiplex-vectra" / "FIHC4_2_component_data.tif",
        "--out", tmp_path / "r", "--panel", repository / PANELS / "vectra_component.yaml",
    )  # fmt: skip
    assert status == 0, said
    fields = pd.read_csv(tmp_path / "r" / "fields.csv")
    assert sorted(fields["status"]) == ["analysed", "not_a_field"]
    assert fields.set_index("status").loc["not_a_field", "reason"] == "thumbnail"
    # The 270 that the file's own software outlined are groups in part: the picture shows more.
    assert 250 < len(cells_of(tmp_path / "r")) < 500
    assert len(list((tmp_path / "r" / "overlays").glob("*.png"))) == 1


def test_planes_that_are_channels(testdata: Path, tmp_path: Path, repository: Path) -> None:
    """Five channels read as Z: the error says what to do, and `axes` settles it."""
    image = testdata / "multiplex-codex" / "input.tiff"
    panel = (repository / PANELS / "codex_lymphoid.yaml").read_text(encoding="utf-8")
    mute = tmp_path / "mute.yaml"
    mute.write_text(panel.replace("axes: CYX", "axes:"), encoding="utf-8")
    size = ("--pixel-size", "0.377,0.377")
    status, _ = run("run", image, "--out", tmp_path / "no", "--panel", mute, *size)
    fields = pd.read_csv(tmp_path / "no" / "fields.csv")
    assert status == 1
    assert fields["reason"].tolist() == ["missing_channel"]
    assert "axes: CYX" in fields["message"][0] and "--axes CYX" in fields["message"][0]
    for name, extra, used in (("a", ("--axes", "CYX"), mute), ("b", (), None)):
        chosen = used or repository / PANELS / "codex_lymphoid.yaml"
        status, said = run("run", image, "--out", tmp_path / name, "--panel", chosen, *size, *extra)
        assert status == 0, said
    a, b = (cells_of(tmp_path / name) for name in "ab")
    assert len(a) > 300
    pd.testing.assert_frame_equal(a, b)


@pytest.fixture
def any_panel(tmp_path: Path) -> Path:
    """A panel that takes the first channel of any file for nuclei."""
    names = ["Green", "LED555", "DAPI", "Channel:0", "Ch1", "channel 0", "5-FAM/pH 9.0"]
    panel = {
        "name": "any",
        "match": {"files": ["*"]},
        "background": "none",
        "channels": [{"marker": "DNA", "role": "nuclei", "names": names}],
    }
    path = tmp_path / "any.yaml"
    path.write_text(yaml.safe_dump(panel), encoding="utf-8")
    return path


def test_every_format_ends_in_a_result_or_a_reason(
    testdata: Path, tmp_path: Path, any_panel: Path
) -> None:
    study = tmp_path / "study"
    for folder in ("lif", "czi", "nd2", "ome-tiff", "imagej-tiff"):
        shutil.copytree(
            testdata / "formats" / folder, study / folder,
            ignore=shutil.ignore_patterns("expected"),
        )  # fmt: skip
    status, said = run(
        "run", study, "--out", tmp_path / "r", "--panel", any_panel, "--workers", 1,
        "--guard-um", 0,
    )  # fmt: skip
    assert status == 1, said
    table = pd.read_csv(tmp_path / "r" / "fields.csv", keep_default_na=False)
    table["file"] = [name.rpartition("/")[2] for name in table["file"]]
    found = {
        name: sorted(set(zip(group["status"], group["reason"], strict=True)))
        for name, group in table.groupby("file")
    }
    assert found["xz-example.lif"] == [
        ("not_a_field", "scan_xz"), ("not_a_field", "scan_xzt"), ("not_a_field", "scan_xzy"),
    ]  # fmt: skip
    assert found["DAPI_GFP.czi"] == [("failed", "no_pixel_size")]
    assert found["xyc_8bit__cyto_nuclei.tif"] == [("failed", "no_pixel_size")]
    assert found["4D-series.ome.tif"] == [("failed", "no_pixel_size")]
    assert found["xyc_16bit__hela-cells.tif"] == [("failed", "qualitative_rgb")]
    assert found["CellDivision_T3_Z5_CH2_X240_Y170.czi"] == [("analysed", "")]
    tiles = table[table["file"].str.startswith("PR2729")]
    assert len(tiles) == 4 and (tiles["status"] == "analysed").all()
    assert tiles["flags"].str.contains("z_descending").all()
    assert (pd.to_numeric(tiles["pixel_size_z_um"]) > 0).all()
    message = table.set_index("file")["message"]
    assert "0.001" in message["xyc_8bit__cyto_nuclei.tif"]
    assert "rgb" in message["xyc_16bit__hela-cells.tif"].lower()
    unknown = table[table["reason"] == "no_pixel_size"]
    assert (unknown.filter(regex="_um$|_mm2$").drop(columns="section_um") == "").all(axis=None)


def test_rgb_is_read_when_asked_and_flagged(
    testdata: Path, tmp_path: Path, any_panel: Path
) -> None:
    image = testdata / "formats" / "imagej-tiff" / "xyc_16bit__hela-cells.tif"
    status, said = run("run", image, "--out", tmp_path / "r", "--panel", any_panel, "--allow-rgb")
    assert status == 0, said
    assert "rgb" in pd.read_csv(tmp_path / "r" / "fields.csv")["flags"][0]

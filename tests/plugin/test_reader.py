"""The napari plugin's manifest and reader; napari itself is not needed for either."""

from __future__ import annotations

import importlib
import subprocess
import sys
import warnings
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import napari_imganalysis
import numpy as np
import pytest
import tifffile
from napari_imganalysis._reader import get_reader, read_layers, read_results

from imganalysis.errors import ImganalysisError, NotAFieldError, UnreadableImageError
from imganalysis.io import list_series
from imganalysis.panel import load_panel
from imganalysis.report._composite import channel_rgb
from imganalysis.stack import IMAGE_SUFFIXES

MANIFEST = Path(napari_imganalysis.__file__).with_name("napari.yaml")


@pytest.fixture(scope="module")
def manifest() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # npe2's own use of pydantic warns at its import
        npe2 = importlib.import_module("npe2")
        return npe2.PluginManifest.from_file(MANIFEST)


def write_ome(path: Path, data: np.ndarray, axes: str, **metadata: Any) -> Path:
    tifffile.imwrite(
        path, data, ome=True, photometric="minisblack", metadata={"axes": axes} | metadata
    )
    return path


@pytest.fixture
def stack_file(tmp_path: Path) -> Path:
    data = np.arange(2 * 3 * 16 * 20, dtype=np.uint16).reshape(2, 3, 16, 20)
    return write_ome(
        tmp_path / "field.ome.tif",
        data,
        "CZYX",
        Channel={"Name": ["green", "red"]},
        PhysicalSizeX=0.25,
        PhysicalSizeY=0.3,
        PhysicalSizeZ=0.5,
        PhysicalSizeXUnit="µm",
        PhysicalSizeYUnit="µm",
        PhysicalSizeZUnit="µm",
    )


def test_the_manifest_names_functions_that_exist(manifest: Any) -> None:
    commands = {command.id: command for command in manifest.contributions.commands}
    used = [one.command for one in manifest.contributions.readers]
    used += [one.command for one in manifest.contributions.sample_data]
    for command in used:
        module, name = commands[command].python_name.split(":")
        assert callable(getattr(importlib.import_module(module), name))


def test_every_import_of_the_manifest_holds(
    manifest: Any, screen: None, napari_loaded: None
) -> None:
    manifest.validate_imports()


def test_no_widget_is_loaded_by_the_reader(repository: Path) -> None:
    code = (
        "import napari_imganalysis._reader, napari_imganalysis._session, sys\n"
        "print([m for m in ('qtpy', 'PyQt6', 'napari') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=repository
    )
    assert done.stdout.strip() == "[]"


def test_napari_finds_the_manifest_of_the_installed_package(manifest: Any) -> None:
    (found,) = (e for e in entry_points(group="napari.manifest") if e.name == manifest.name)
    assert found.value == f"{napari_imganalysis.__name__}:{MANIFEST.name}"


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_the_manifest_offers_the_reader_for_each_kind_of_file(manifest: Any, suffix: str) -> None:
    (reader,) = manifest.contributions.readers
    name = f"FIELD{suffix}"
    assert any(Path(name).match(pattern) for pattern in reader.filename_patterns)
    assert get_reader(name) is read_layers
    assert get_reader(name.upper()) is read_layers


def test_other_files_are_left_to_other_plugins() -> None:
    assert get_reader("cells.csv") is None
    assert get_reader(["field.lif", "photo.jpg"]) is None
    assert get_reader([]) is None
    assert get_reader(["a.lif", "b.czi"]) is read_layers


def test_a_folder_of_images_is_a_study_and_others_are_not(
    tmp_path: Path, sample_data: Path, stack_file: Path
) -> None:
    assert get_reader(str(sample_data)) is read_results
    assert get_reader([str(sample_data), str(sample_data)]) is None
    study = tmp_path / "study"
    (study / "notes").mkdir(parents=True)
    (study / "notes" / "photo.jpg").touch()
    assert get_reader(str(study)) is None
    assert get_reader(str(study / "notes")) is None
    (study / "week0").mkdir()
    (study / "week0" / "A apoptosis.TIF").symlink_to(stack_file)
    assert get_reader(str(study)) is read_results
    assert get_reader(str(study / "week0")) is read_results
    (tmp_path / "field.ome.zarr").mkdir()
    assert get_reader(str(tmp_path / "field.ome.zarr")) is read_layers
    layers = read_results(str(sample_data))
    assert [keywords["name"] for _, keywords, _ in layers] == ["TO-PRO-3", "MelanA", "casp3"]


def test_a_stack_is_split_by_channel_with_names_and_um(stack_file: Path) -> None:
    layers = read_layers(str(stack_file))
    assert [keywords["name"] for _, keywords, _ in layers] == ["green", "red"]
    expected = tifffile.imread(stack_file)
    for position, (data, keywords, kind) in enumerate(layers):
        assert kind == "image"
        assert keywords["scale"] == (0.5, 0.3, 0.25)
        assert keywords["units"] == ("um", "um", "um")
        assert data.dtype == np.uint16
        assert not isinstance(data, np.ndarray), "pixels wait until they are looked at"
        np.testing.assert_array_equal(np.asarray(data), expected[position])
        low, high = keywords["contrast_limits"]
        assert expected[position].min() <= low < high <= expected[position].max()
        facts = keywords["metadata"]["imganalysis"]
        assert facts["pixel_size_um"] == (0.5, 0.3, 0.25)
        assert Path(facts["file"]) == stack_file
    assert len({keywords["colormap"] for _, keywords, _ in layers}) == 2


def test_channels_are_named_and_coloured_by_the_panel_that_fits(sample_data: Path) -> None:
    layers = read_layers(str(sample_data / "P01-W1" / "P01-W1_infiltrate_1.ome.tif"))
    panel = load_panel("infiltrate")
    assert [keywords["name"] for _, keywords, _ in layers] == [c.marker for c in panel.channels]
    for channel, (_, keywords, _) in zip(panel.channels, layers, strict=True):
        first, last = keywords["colormap"]["colors"]
        assert first == (0, 0, 0)
        assert last == channel_rgb(channel.colour)


def test_a_single_plane_has_no_z(tmp_path: Path) -> None:
    path = write_ome(tmp_path / "plane.ome.tif", np.ones((2, 16, 20), np.uint8), "CYX")
    (data, keywords, _), _ = read_layers(str(path))
    assert data.shape == (16, 20)
    assert "scale" not in keywords
    assert "units" not in keywords


def test_an_unknown_step_between_planes_stays_in_pixels(tmp_path: Path) -> None:
    path = write_ome(
        tmp_path / "nostep.ome.tif",
        np.ones((1, 3, 16, 20), np.uint8),
        "CZYX",
        PhysicalSizeX=0.25,
        PhysicalSizeY=0.25,
    )
    ((_, keywords, _),) = read_layers(str(path))
    assert keywords["scale"] == (1.0, 0.25, 0.25)
    assert keywords["units"] == ("pixel", "um", "um")


def test_several_files_at_once_in_their_order(stack_file: Path, tmp_path: Path) -> None:
    other = write_ome(tmp_path / "other.ome.tif", np.ones((2, 16, 20), np.uint8), "CYX")
    layers = read_layers([str(other), str(stack_file)])
    files = [Path(keywords["metadata"]["imganalysis"]["file"]) for _, keywords, _ in layers]
    assert files == [other, other, stack_file, stack_file]


def test_a_thumbnail_beside_the_field_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "with_thumbnail.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(np.ones((2, 256, 320), np.uint8), photometric="minisblack")
        writer.write(np.ones((32, 40, 3), np.uint8), photometric="rgb")
    listed = list_series(path)
    assert [series.not_a_field for series in listed] == ["", "thumbnail"]
    layers = read_layers(str(path))
    assert len(layers) == 1
    assert layers[0][0].shape[-2:] == (256, 320)


def test_a_file_that_is_no_image_says_so(tmp_path: Path) -> None:
    path = tmp_path / "not.tif"
    path.write_bytes(b"no image")
    with pytest.raises(UnreadableImageError, match=r"not\.tif"):
        read_layers(str(path))


@pytest.mark.realdata
def test_every_field_of_a_file_has_layers_of_its_own_name(testdata: Path) -> None:
    path = testdata / "formats" / "lif" / "PR2729_frameOrderCombinedScanTypes.lif"
    layers = read_layers(str(path))
    names = [keywords["name"] for _, keywords, _ in layers]
    assert len(names) >= len(list_series(path)) > 1
    assert len(set(names)) == len(names), "layers of one file can be told apart"


@pytest.mark.realdata
def test_a_file_without_a_field_names_what_it_holds(testdata: Path) -> None:
    path = testdata / "formats" / "lif" / "xz-example.lif"
    reasons = {series.not_a_field for series in list_series(path)}
    assert "" not in reasons
    with pytest.raises(NotAFieldError) as caught:
        read_layers(str(path))
    assert isinstance(caught.value, ImganalysisError)
    assert all(reason in str(caught.value) for reason in reasons)
    assert "imganalysis info" in str(caught.value)

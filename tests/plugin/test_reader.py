"""The napari plugin's manifest and reader; napari itself is not needed for either."""

from __future__ import annotations

import importlib
import warnings
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import napari_imganalysis
import numpy as np
import pytest
import tifffile
from napari_imganalysis._reader import get_reader, read_layers

from imganalysis.errors import ImganalysisError, NotAFieldError, UnreadableImageError
from imganalysis.io import list_series
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


def test_the_manifest_is_valid_and_names_functions_that_exist(manifest: Any) -> None:
    manifest.validate_imports()
    commands = {command.id: command for command in manifest.contributions.commands}
    for reader in manifest.contributions.readers:
        module, name = commands[reader.command].python_name.split(":")
        assert callable(getattr(importlib.import_module(module), name))


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


def test_a_stack_is_split_by_channel_with_names_and_um(stack_file: Path) -> None:
    ((data, keywords, kind),) = read_layers(str(stack_file))
    assert kind == "image"
    assert keywords["channel_axis"] == 0
    assert keywords["name"] == ["green", "red"]
    assert keywords["scale"] == (0.5, 0.3, 0.25)
    assert keywords["units"] == ("um", "um", "um")
    assert data.dtype == np.uint16
    np.testing.assert_array_equal(np.asarray(data), tifffile.imread(stack_file))
    facts = keywords["metadata"]["imganalysis"]
    assert facts["pixel_size_um"] == (0.5, 0.3, 0.25)
    assert Path(facts["file"]) == stack_file


def test_a_single_plane_has_no_z(tmp_path: Path) -> None:
    path = write_ome(tmp_path / "plane.ome.tif", np.ones((2, 16, 20), np.uint8), "CYX")
    ((data, keywords, _),) = read_layers(str(path))
    assert data.shape == (2, 16, 20)
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
    assert files == [other, stack_file]


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
    assert len(layers) == len(list_series(path)) > 1
    names = [name for _, keywords, _ in layers for name in keywords["name"]]
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

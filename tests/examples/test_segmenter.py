"""The example of a package that adds a method: installed as a user does, used by its name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml

from imganalysis.errors import ImganalysisError, PixelDataError, SettingsError
from imganalysis.io import read_labels, write_stack
from imganalysis.methods import ScikitImageMethod
from imganalysis.segment import find_nuclei
from imganalysis.settings import parse_settings
from imganalysis.simulate import load_recipe, simulate_field
from imganalysis.stack import PixelSize, Stack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

METHOD, MODULE = "log-blobs", "imganalysis_log_blobs"
PX = 0.35  # um


@pytest.fixture(scope="module")
def installed(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the package in it, built and installed by pip without a network."""
    folder = tmp_path_factory.mktemp("installed")
    # A copy: a build must not leave files in the source.
    source = shutil.copytree(repository / "examples" / "segmenter", folder / "source")
    target = folder / "packages"
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation"]
    command += ["--no-index", "--disable-pip-version-check", "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


def run(packages: Path, *args: object) -> subprocess.CompletedProcess[str]:
    """Run the command line in a new process that sees the packages of a folder."""
    paths = [str(packages), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.run(
        [sys.executable, "-m", "imganalysis.cli", *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )


@pytest.fixture
def here(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process see the package too, through its entry point."""
    monkeypatch.syspath_prepend(str(installed))
    yield
    sys.modules.pop(MODULE, None)


def find(image: np.ndarray, spacing: tuple[float, ...], **settings: Any) -> np.ndarray:
    """Find nuclei by the method's name."""
    chosen = parse_settings({"segmentation": {"method": METHOD, **settings}}).segmentation
    return find_nuclei(image, spacing, chosen)  # type: ignore[arg-type]


def simulated(seed: int) -> Any:
    return simulate_field(
        load_recipe("melanoma"), "apoptosis", seed=seed, week=1,
        size_px=256, pixel_size_um=PX, planes=3, z_step_um=1.0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulated nuclei, the mean over the section, and their true outlines."""
    folder = tmp_path_factory.mktemp("annotated")
    (folder / "images").mkdir(), (folder / "masks").mkdir()
    field = simulated(1)
    recipe = load_recipe("melanoma")
    channels = recipe.panels["apoptosis"].channels
    nuclear = [recipe.markers[c.marker].pattern for c in channels].index("chromatin")
    image = field.stack.numpy([nuclear])[0].mean(axis=0).astype(np.float32)
    stack = Stack(image[None, None], ("nuclei",), PixelSize(None, PX, PX))
    write_stack(folder / "images" / "field.ome.tif", stack)
    tifffile.imwrite(folder / "masks" / "field.tif", field.labels)
    return folder


def test_it_finds_simulated_nuclei(installed: Path, annotated: Path, tmp_path: Path) -> None:
    done = run(
        installed, "evaluate", annotated / "images", annotated / "masks",
        "--method", METHOD, "--sensitivity", 0.6, "--json", tmp_path / "scores.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    scores = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert scores["n_true"] > 25
    assert scores["f1"]["0.5"] > 0.8
    assert scores["settings"]["method"] == METHOD
    assert scores["settings"]["sensitivity"] == 0.6
    assert scores["settings"]["largest_nucleus_um"] == 14
    assert scores["model"] is None


def test_its_name_and_settings_stand_in_the_results(installed: Path, tmp_path: Path) -> None:
    study = tmp_path / "study" / "P01_week1"
    study.mkdir(parents=True)
    for seed in (1, 2):
        write_stack(study / f"apoptosis {seed}.ome.tif", simulated(seed).stack)
    chosen = {"method": METHOD, "largest_nucleus_um": 12.5, "smallest_nucleus_um": 2.5}
    settings = tmp_path / "settings.yaml"
    settings.write_text(yaml.safe_dump({"segmentation": chosen}), encoding="utf-8")
    # Worker processes must know the method too: it comes by its name, not by an import. The record
    # of a run then repeats it, to the byte.
    one, two = tmp_path / "one", tmp_path / "two"
    for out, given, workers in ((one, settings, 2), (two, one / "run.json", 1)):
        done = run(
            installed, "run", study.parent, "--out", out, "--settings", given,
            "--workers", workers, "--no-overlays", "--guard-um", 2,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    fields = pd.read_csv(one / "fields.csv")
    assert list(fields["segmentation"]) == [METHOD] * 2
    assert fields["model"].isna().all() and (fields["n_objects"] > 10).all()
    record = json.loads((one / "run.json").read_text(encoding="utf-8"))
    saved = record["settings"]["segmentation"]
    assert chosen.items() <= saved.items() and saved["sensitivity"] == 0.5
    for name, count in zip(fields["field"], fields["n_objects"], strict=True):
        labels = f"labels/{name}.ome.tif"
        assert read_labels(one / labels).max() == count
        assert (one / labels).read_bytes() == (two / labels).read_bytes()
    assert (one / "fields.csv").read_bytes() == (two / "fields.csv").read_bytes()


def test_an_unknown_setting_is_refused_by_its_name(
    installed: Path, annotated: Path, tmp_path: Path
) -> None:
    path = tmp_path / "settings.yaml"
    text = yaml.safe_dump({"segmentation": {"method": METHOD, "larges_nucleus_um": 12}})
    path.write_text(text, encoding="utf-8")
    done = run(installed, "run", annotated, "--out", tmp_path / "out", "--settings", path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert str(path) in line and "segmentation.larges_nucleus_um" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": "x"}, r"segmentation\.model"),
        ({"sensitivity": 2}, r"segmentation\.sensitivity.*found 2"),
        ({"largest_nucleus_um": 5}, r"smallest < typical <= largest.*\(2\.0, 8\.0, 5\.0\) um"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        parse_settings({"segmentation": {"method": METHOD, **settings}})


def test_a_package_that_cannot_be_imported_gives_one_line(
    installed: Path, annotated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = shutil.copytree(installed, tmp_path / "broken")
    (broken / f"{MODULE}.py").write_text("import a_library_that_is_not_there\n", encoding="utf-8")
    done = run(broken, "evaluate", annotated, annotated, "--method", METHOD)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"method '{METHOD}' ({MODULE}:SEGMENTER) cannot be loaded" in line
    assert "No module named 'a_library_that_is_not_there'" in line
    # Who does not ask for it does not notice.
    monkeypatch.syspath_prepend(str(broken))
    chosen = parse_settings({"segmentation": {"method": "scikit-image"}}).segmentation
    assert type(chosen) is ScikitImageMethod


def balls(shape: tuple[int, ...], spacing: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Nuclei of 5 and 12 um on a lattice, noisy, and their outlines."""
    size = np.multiply(shape, spacing)
    step = 14.0
    grid = np.indices(shape) * np.reshape(spacing, (-1, *(1,) * len(shape)))
    truth = np.zeros(shape, np.uint32)
    for index in np.ndindex(*(int(s // step) for s in size)):
        centre = (np.array(index) + 0.5) * step
        radius = 2.5 if sum(index) % 2 else 6.0
        apart = np.square(grid - centre.reshape(-1, *(1,) * len(shape))).sum(axis=0)
        truth[apart <= radius**2] = truth.max() + 1
    rng = np.random.default_rng(0)
    return rng.poisson(np.where(truth, 60, 4)).astype(np.uint16), truth


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("shape", "spacing"), [((200, 160), (0.4, 0.4)), ((19, 90, 60), (1.5, 0.5, 0.5))]
)
def test_small_and_large_nuclei_are_found_at_their_size(
    shape: tuple[int, ...], spacing: tuple[float, ...]
) -> None:
    image, truth = balls(shape, spacing)
    found = find(image, spacing)
    assert found.dtype == np.uint32 and found.shape == shape
    assert found.max() == truth.max() > 5
    for number in range(1, int(truth.max()) + 1):
        own = truth == number
        (other,) = set(np.unique(found[own])) - {0}
        assert (own & (found == other)).sum() / (own | (found == other)).sum() > 0.7
    # Neither the scale of values nor the unit of length is built in.
    np.testing.assert_array_equal(find(image * np.float32(7) + 900, spacing), found)
    twice = tuple(2 * s for s in spacing)
    double = {"smallest_nucleus_um": 4, "nucleus_diameter_um": 16, "largest_nucleus_um": 28}
    np.testing.assert_array_equal(find(image, twice, **double), found)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "image",
    [
        np.full((60, 50), 7.0),
        np.random.default_rng(0).poisson(5, (200, 200)),
        np.random.default_rng(0).poisson(5, (8, 60, 60)),
        np.zeros((14, 15)),
    ],
    ids=["flat", "noise", "noise in 3-D", "small"],
)
def test_there_are_no_nuclei_in_nothing(image: np.ndarray) -> None:
    found = find(image, (0.4,) * image.ndim)
    assert found.shape == image.shape and found.max() == 0


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("image", "spacing", "error", "said"),
    [
        (np.zeros((9, 9)), (3.0, 3.0), SettingsError, "a nucleus of 8 um is 2.7 pixels"),
        (np.zeros((9, 40, 40)), (4.0, 0.3, 0.3), SettingsError, "4 um long; expected 3 or more"),
        (np.full((40, 40), np.nan), (0.3, 0.3), PixelDataError, "NaN or infinite"),
    ],
    ids=["coarse", "steps too long", "NaN"],
)
def test_what_it_cannot_do_is_refused(
    image: np.ndarray, spacing: tuple[float, ...], error: type[ImganalysisError], said: str
) -> None:
    with pytest.raises(error, match=f"method {METHOD}: .*{said}"):
        find(image, spacing)

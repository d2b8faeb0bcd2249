"""The networks that come with the package, and their cards."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image

from imganalysis.errors import SettingsError
from imganalysis.methods import NetworkMethod
from imganalysis.segment import find_nuclei, model_facts, nucleus_diameter
from imganalysis.segment.models import MODELS, TRAINS, model_path
from imganalysis.segment.network import load_weights, run_network
from imganalysis.segment.onnx import load_onnx
from imganalysis.segment.scores import Counts, count, overlap
from imganalysis.training_data import held_out

if TYPE_CHECKING:
    from pathlib import Path

NAMES = sorted(path.stem for path in MODELS.glob("*.onnx"))


def test_there_is_one_and_it_is_the_default() -> None:
    assert NAMES == ["nuclei"] and NetworkMethod().model == "nuclei"


@pytest.mark.parametrize("name", NAMES)
def test_the_card_is_of_this_file(name: str) -> None:
    card = (MODELS / f"{name}.md").read_text(encoding="utf-8")
    digest = sha256(model_path(name).read_bytes()).hexdigest()
    assert digest in card
    facts = model_facts(NetworkMethod(model=name))
    assert facts is not None and (facts.name, facts.sha256) == (name, digest)
    about = load_onnx(model_path(name), threads=1).about
    assert about["licence"] in card and "CC0" in card and "CC BY 4.0" in card
    assert about["step"] == about["steps"]
    assert re.search(rf"seeds [^.]*\b{about['seed']}\b", card)  # the last of several parts
    # A file of a user's disk would say where it lay.
    assert "/" not in str(about["data"]).replace("10.1038/", "")


@pytest.mark.parametrize("name", NAMES)
def test_what_trains_further_is_what_runs(name: str) -> None:
    network, _ = load_weights(model_path(name, TRAINS))
    image = np.random.default_rng(1).random((1, 2, 64, 80), np.float32)
    ours = load_onnx(model_path(name), threads=1).run(image)
    np.testing.assert_allclose(ours, run_network(network, image), atol=0.02)


def test_unknown_names_are_errors() -> None:
    with pytest.raises(SettingsError, match="unknown network 'nuclie'; expected nuclei, or"):
        model_path("nuclie")
    with pytest.raises(SettingsError, match=r"file \.pt"):
        model_path("nuclie", TRAINS)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((90, 100)),
        np.full((90, 100), 255, np.uint8),
        np.full((90, 100), np.nan),
        np.random.default_rng(0).poisson(20, (300, 300)),
    ],
    ids=["black", "saturated", "no numbers", "noise"],
)
def test_where_there_is_nothing_nothing_is_found(image: np.ndarray) -> None:
    assert find_nuclei(image, (0.23, 0.23), NetworkMethod()).max() == 0


def test_many_nuclei_are_all_there() -> None:
    y, x = np.mgrid[:64, :64]
    one = 30 + 200 * np.exp(-((((y - 32) ** 2 + (x - 32) ** 2) / 200.0) ** 4))
    image = np.tile(one, (4, 5)).astype(np.uint8)
    assert find_nuclei(image, (0.25, 0.25), NetworkMethod()).max() == 20


@pytest.mark.realdata
def test_all_nuclei_of_an_embryo(testdata: Path) -> None:
    """A real stack: 8 nuclei of about 20 px, planes 2.18 px apart."""
    folder = testdata / "nuclei-3d-embryo"
    image = tifffile.imread(folder / "images_raw" / "8_cell_stage.tif")
    truth = tifffile.imread(folder / "labels" / "8_cell_stage.tif").astype(np.uint32)
    found = find_nuclei(image, (0.4 * 2.18, 0.4, 0.4), NetworkMethod())
    assert count(overlap(truth, found)).f1()[0] == 1


@pytest.mark.realdata
def test_held_out_images_without_a_scale(testdata: Path) -> None:
    """A few images that took no part in training; their diameter is asked of the network."""
    folder = testdata / "nuclei-2d-dsb2018"
    images = [path for path in sorted((folder / "images").glob("*.png")) if held_out(path.stem)]
    total, method = Counts(), NetworkMethod()
    for path in images[:10]:
        image = np.asarray(Image.open(path))
        pixel = method.nucleus_diameter_um / nucleus_diameter(image, method)
        truth = tifffile.imread(folder / "masks" / f"{path.stem}.tif").astype(np.uint32)
        total += count(overlap(truth, find_nuclei(image, (pixel, pixel), method)))
    f1 = total.f1()[0]
    assert total.n_true > 100 and f1 is not None and f1 > 0.88

"""Nuclei by Cellpose 4, with a random network of its real architecture."""

from __future__ import annotations

import hashlib
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from imganalysis.errors import ModelError, SettingsError
from imganalysis.methods import CellposeMethod
from imganalysis.segment import find_nuclei, model_facts
from imganalysis.segment._cellpose import segment_with_cellpose
from imganalysis.segment._cellpose_network import import_cellpose, load_network
from imganalysis.segment.labels import relabel
from imganalysis.segment.network import Architecture, Network

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

PIXEL = (8 / 30, 8 / 30)  # um: at which nuclei of 8 um have the network's scale
VERSION = metadata.version("cellpose")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights; with a readout that says yes in places."""
    import_cellpose(VERSION)
    from cellpose import vit

    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = vit.CPSAM(dtype=torch.float32)
        network.out.weight.data.mul_(40)
    path = tmp_path_factory.mktemp("cellpose4") / "random"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture
def settings(weights: Path) -> CellposeMethod:
    return CellposeMethod(model=str(weights), smallest_nucleus_um=0.1, flow_threshold=0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path))
    return tmp_path


def image() -> NDArray[Any]:
    return np.random.default_rng(1).poisson(20, (120, 100)).astype(np.uint16)


def test_the_same_as_cellpose_itself(settings: CellposeMethod) -> None:
    from cellpose import models

    found = find_nuclei(image(), PIXEL, settings)
    assert found.dtype == np.uint32
    assert found.shape == (120, 100)
    assert found.max() > 3
    np.testing.assert_array_equal(found, relabel(found))
    own = models.CellposeModel(
        device=torch.device("cpu"), pretrained_model=settings.model, use_bfloat16=False
    )
    torch.set_num_threads(1)  # as in the adapter; a random network makes rounding visible
    with torch.sparse.check_sparse_tensor_invariants(enable=False):
        masks = own.eval(image(), diameter=30, min_size=-1, flow_threshold=0)[0]
    np.testing.assert_array_equal(found, relabel(masks))


@pytest.fixture
def shallow(settings: CellposeMethod) -> Iterator[CellposeMethod]:
    """The same network with one block of its 24: a stack has a tile for each row and column."""
    encoder = load_network(settings).module.encoder
    whole = encoder.blocks
    encoder.blocks = whole[:1]
    yield settings
    encoder.blocks = whole


def test_the_same_twice(shallow: CellposeMethod) -> None:
    found = [segment_with_cellpose(image(), PIXEL, shallow, threads) for threads in (1, 2)]
    np.testing.assert_array_equal(*found)


def test_stacks_in_both_ways(shallow: CellposeMethod) -> None:
    stack = np.stack([image()[:12, :14], image()[40:52, :14]])
    for stitch in (0.0, 0.25):
        both = shallow.model_copy(update={"stitch_threshold": stitch})
        found = segment_with_cellpose(stack, (0.3, *PIXEL), both)
        assert found.shape == stack.shape
        assert found.dtype == np.uint32


@pytest.mark.parametrize("value", [0, 7.5, np.nan])
def test_an_image_without_contrast_has_no_nuclei(settings: CellposeMethod, value: float) -> None:
    assert not segment_with_cellpose(np.full((64, 70), value), PIXEL, settings).any()


def test_the_facts_are_those_of_the_file(settings: CellposeMethod, weights: Path) -> None:
    facts = model_facts(settings)
    assert facts is not None
    assert facts.name == f"random (cellpose {VERSION})"
    assert facts.sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    network = load_network(settings)
    assert load_network(settings) is network
    assert network.diameter_px == 30


def test_a_name_is_a_file_in_cellposes_folder(folder: Path, weights: Path) -> None:
    with pytest.raises(ModelError, match="--download") as caught:
        model_facts(CellposeMethod())
    assert str(folder / "cpsam") in str(caught.value)
    assert "https://huggingface.co/mouseland/cellpose-sam/" in str(caught.value)
    (folder / "cpsam").symlink_to(weights)
    facts = model_facts(CellposeMethod())
    assert facts is not None
    assert facts.name.startswith("cpsam ")


@pytest.mark.parametrize("name", ["nuclei", "cyto3", "cpdino", "cpsam3"])
def test_an_unknown_name_is_no_other_model(name: str, folder: Path) -> None:
    with pytest.raises(SettingsError, match=rf"{name}.*{VERSION}.*cpsam"):
        model_facts(CellposeMethod(model=name))


@pytest.mark.parametrize(
    ("kind", "said"),
    [("cellpose 3", "Cellpose 3"), ("other", "another network"), ("part", "do not fit")],
)
def test_files_of_other_networks_are_refused(kind: str, said: str, tmp_path: Path) -> None:
    state = {
        "cellpose 3": Network(Architecture(width=(4, 6))).state_dict(),
        "other": {"fc.weight": torch.zeros(3, 3)},
        "part": {"W2": torch.zeros(192, 3, 8, 8)},
    }[kind]
    path = tmp_path / "bad"
    torch.save(state, path)
    with pytest.raises(ModelError, match=said) as caught:
        model_facts(CellposeMethod(model=str(path)))
    assert str(path) in str(caught.value)


def test_the_defaults_of_cellpose_are_known() -> None:
    from cellpose import models

    assert models._MODEL_URL == "https://huggingface.co/mouseland/cellpose-sam/resolve/main/"
    assert "cpsam" in models.MODEL_NAMES

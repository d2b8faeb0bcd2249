"""What the benchmarks of segmentation count, on pictures small enough to count by hand."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from imganalysis.segment.network import (
    Architecture,
    Network,
    load_weights,
    run_network,
    save_weights,
)
from imganalysis.segment.onnx import write_onnx
from imganalysis.simulate import load_recipe
from imganalysis.simulate.numeric import streams
from imganalysis.simulate.tissue import INFILTRATE, NEST, draw_pattern

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a file of the benchmarks, as it is when it is run."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


def square(labels: np.ndarray, number: int, y: int, x: int, side: int) -> None:
    labels[y : y + side, x : x + side] = number


@pytest.fixture
def dying() -> Any:
    """A living nucleus, a shrunken one, and a cell in two fragments."""
    labels = np.zeros((60, 60), np.uint32)
    square(labels, 1, 2, 2, 16)
    square(labels, 2, 2, 30, 12)
    square(labels, 3, 40, 10, 6)
    square(labels, 4, 40, 17, 6)
    cells = pd.DataFrame(
        {"cell_id": [1, 2, 3], "stage": [np.nan, 0.5, 0.9], "n_fragments": [1, 1, 3]}
    )
    objects = pd.DataFrame({"label": [1, 2, 3, 4], "cell_id": [1, 2, 3, 3]})
    return SimpleNamespace(labels=labels, cells=cells, objects=objects)


def hits(score: Any) -> tuple[int, int, int, int]:
    counts = score.counts
    return counts.hits[0], counts.false[0], counts.missed[0], score.near


def test_each_class_is_scored_by_itself(load: Any, dying: Any) -> None:
    scores = load("segmentation").by_class(dying, dying.labels)
    assert [hits(score) for score in scores.values()] == [(1, 0, 0, 0), (1, 0, 0, 0), (2, 0, 0, 2)]


def test_what_covers_a_fragment_is_no_false_nucleus_and_what_covers_none_is(
    load: Any, dying: Any
) -> None:
    found = np.zeros_like(dying.labels)
    square(found, 90_000, 2, 2, 16)
    square(found, 7, 50, 50, 5)  # nothing is there
    found[40:46, 10:23] = 3  # both fragments as one
    scores = load("segmentation").by_class(dying, found)
    assert [hits(score) for score in scores.values()] == [(1, 1, 0, 0), (0, 0, 1, 0), (0, 1, 2, 1)]


def test_a_fragment_is_not_found_by_a_nucleus_beside_it(load: Any, dying: Any) -> None:
    found = np.where(dying.labels == 1, 1, 0).astype(np.uint32)
    square(dying.labels, 3, 8, 8, 3)  # in the middle of the living nucleus
    dying.labels[40:46] = 0
    scores = load("segmentation").by_class(dying, found)
    assert hits(scores[load("segmentation").FRAGMENTS])[3] == 0


def test_centroids_are_paired_one_to_one(load: Any) -> None:
    true, found = np.zeros((20, 20), np.uint32), np.zeros((20, 20), np.uint32)
    true[5, 5], true[5, 8], found[5, 6] = 1, 2, 9
    near = load("segmentation").matched_near
    assert [near(true, found, most) for most in (0.5, 1.0, 2.0)] == [0, 1, 1]
    found[5, 9] = 4
    assert near(true, found, 1.0) == 2
    assert near(true, np.zeros_like(true), 5.0) == 0


@pytest.mark.parametrize("compartment", [NEST, INFILTRATE])
def test_one_compartment_takes_the_week(load: Any, compartment: str) -> None:
    recipe = load("_nuclei").only(load_recipe("melanoma"), 0, compartment)
    pattern = draw_pattern(streams(1, "pattern")["pattern"], recipe, recipe.weeks[0], (90, 90), 3)
    total = sum(map(len, pattern.squares.values()))
    assert len(pattern.squares[compartment]) >= 0.9 * total
    assert recipe.weeks[1] == load_recipe("melanoma").weeks[1]


def test_a_thick_section_holds_as_many_nuclei_in_a_volume(load: Any) -> None:
    module = load("segmentation_3d")
    before, after = load_recipe("melanoma"), module.thick(load_recipe("melanoma"))
    assert after.section.thickness_um == module.THICKNESS_UM
    more = [
        getattr(after.weeks[0], name).density_mm2 / getattr(before.weeks[0], name).density_mm2
        for name in ("nest", "infiltrate")
    ]
    # T cells of 6.5 um: (10 + 6.5 - 1.5) / (3 + 6.5 - 1.5) times the profiles; tumour cells less.
    assert more[1] == pytest.approx(15 / 8, rel=0.02)
    assert 1.5 < more[0] < more[1]


def test_weights_go_back_from_onnx_to_the_names_of_cellpose(load: Any, tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        network = Network(Architecture(channels=2, width=(8, 12, 16)))
        for _ in range(5):
            network(torch.randn(4, 2, 32, 32) * 2 + 1)
    save_weights(network, tmp_path / "weights.pt", {"name": "toy", "diameter_px": 17.0})
    write_onnx(tmp_path / "weights.pt", tmp_path / "model.onnx", half=False)
    state = load("_cellpose_eval").cellpose_state(tmp_path / "model.onnx", 17.0)
    assert state.pop("diam_mean") == state.pop("diam_labels") == 17
    network, _ = load_weights(tmp_path / "weights.pt")  # as it was stored, in 16 bit
    same = Network(Architecture(channels=2, width=(8, 12, 16)))
    same.load_state_dict(state)
    batch = np.random.default_rng(1).random((2, 2, 32, 32), dtype=np.float32)
    np.testing.assert_allclose(run_network(same, batch), run_network(network, batch), atol=1e-4)


def test_a_method_whose_network_is_not_there_says_so(load: Any, tmp_path: Path) -> None:
    *others, network = load("_nuclei").ways(str(tmp_path / "none.onnx"))
    assert not any(way.missing for way in others)
    assert network.missing.startswith("not measured: ") and "none.onnx" in network.missing


def test_constants_are_chosen_one_after_the_other(
    load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that helps alone but not beside a better one is left out, a second value too."""
    constants = load("segmentation_constants")
    worth = {"a": 0.04, "b": 0.03, "c": 0.02}

    listing = Path("training.csv")

    def score(changes: Any, images: Path) -> float:
        names = {name for name, _ in changes}
        assert images == listing
        return 0.7 + sum(worth[n] for n in names) - 0.05 * ({"a", "b"} <= names)

    monkeypatch.setattr(constants, "score", score)
    gains = {("c", 1.0): 0.72, ("a", 1.0): 0.74, ("a", 2.0): 0.735, ("b", 1.0): 0.73}
    kept, best = constants.chosen_on_training(gains, 0.7, listing)
    assert kept == (("a", 1.0), ("c", 1.0))
    assert best == pytest.approx(0.76)
    assert constants.chosen_on_training({}, 0.7, listing) == ((), 0.7)


def test_constants_are_there_and_put_back(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    constants = load("segmentation_constants")
    before = [constants.value_of(name) for name in constants.CONSTANTS]
    assert all(value > 0 for value in before)
    for name in constants.CONSTANTS:
        less, more = (constants.changed(name, f) for f in (constants.LESS, constants.MORE))
        assert less < constants.value_of(name) < more
    for name in constants.SHARES:
        assert constants.changed(name, constants.MORE) < 1

    def fails(*_: Any) -> None:
        assert constants.value_of("_skimage._EDGE") == 0.9
        raise FileNotFoundError

    monkeypatch.setattr(constants, "real_data", Path)
    monkeypatch.setattr(constants, "evaluate", fails)
    with pytest.raises(FileNotFoundError):
        constants.score((("_skimage._EDGE", 0.9),), Path("training.csv"))
    assert [constants.value_of(name) for name in constants.CONSTANTS] == before

"""What the benchmark of measuring compares is the same."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a file of the benchmarks, as it is when it is run."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


def test_the_peers_measure_what_is_measured_here(load: Any) -> None:
    ways = load("_measuring")
    wanted = load("quantify").SAME["regionprops_table"]
    labels, images = ways.make_field(128, 2, np.float32)
    ours = ways.ours({"nucleus": labels["nucleus"]}, images, **wanted)
    theirs = ways.by_regionprops(labels, images)
    names = {
        "area": "area_um2", "axis_major_length": "major_axis_um", "solidity": "solidity",
        "perimeter_crofton": "perimeter_um", "intensity_mean-1": "m1_nucleus_mean",
        "intensity_std-0": "m0_nucleus_sd", "intensity_max-1": "m1_nucleus_max",
    }  # fmt: skip
    assert len(ours) == 25
    for name, column in names.items():
        np.testing.assert_allclose(ours[column], theirs[name], rtol=2e-6, err_msg=name)
    *means, shape = ways.by_mcquant(labels, images)
    np.testing.assert_allclose(means[1]["intensity_mean"], ours["m1_nucleus_mean"], rtol=2e-6)
    np.testing.assert_allclose(shape["eccentricity"], ours["eccentricity"], rtol=1e-6)
    assert set(ways.MCQUANT) < set(ways.SHAPE)


def test_a_field_is_put_together_from_blocks_with_numbers_of_their_own(load: Any) -> None:
    ways = load("_measuring")
    labels, images = ways.make_field(2048, 1, np.uint16, 64)
    assert images.shape == (1, 2048, 2048)
    nucleus = labels["nucleus"]
    assert nucleus.max() == len(np.unique(nucleus)) - 1 == 4 * (1024 // 64) ** 2
    assert ((nucleus > 0) <= (labels["cell"] == nucleus)).all()
    assert not ((nucleus > 0) & (labels["ring"] > 0)).any()
    assert np.isin(labels["ring"], nucleus).all()
    part = nucleus[1024:, :1024]
    assert part[part > 0].min() > nucleus[:1024].max()


def test_the_figures_have_their_names(load: Any, tmp_path: Path) -> None:
    import json

    common = load("_common")
    target = tmp_path / "out.json"
    common.report("T", ["a"], [[1.0]], notes="", target=target, figures={"vs_copy": 5.5})
    read = json.loads(target.read_text(encoding="utf-8"))
    assert read["vs_copy"] == 5.5 and read["rows"] == [[1.0]]

"""Variants of the tissue: laid over a recipe, and without a trace where they are not asked for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from imganalysis import simulate
from imganalysis.errors import SettingsError
from imganalysis.simulate import load_recipe, simulate_field
from imganalysis.simulate.tissue import NEST

GRID = {"size_px": 256, "pixel_size_um": 0.465, "planes": 1}
VARIANTS = Path(simulate.__file__).parent / "variants"


@pytest.mark.parametrize("name", sorted(p.stem for p in VARIANTS.glob("*.yaml")))
def test_every_variant_is_a_valid_recipe_of_its_own(name: str) -> None:
    assert load_recipe(variants=(name,)) != load_recipe()


def test_an_unknown_variant_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match="no variant is called 'nope': take one of CD56_"):
        load_recipe(variants=("nope",))


def test_overrides_go_over_variants() -> None:
    over = {"tissue": {"turned": []}}
    assert load_recipe(overrides=over, variants=("melanophages",)).tissue.turned == ()


def test_macrophages_outside_the_nests_turn_and_nothing_moves() -> None:
    recipe = load_recipe(variants=("melanophages",))
    plain, other = (
        simulate_field(r, "apoptosis", seed=3, week=1, bleed_scale=0.0, keep_photons=True, **GRID)
        for r in (load_recipe(), recipe)
    )
    turned = other.cells["kind"] == "melanophage"
    assert 0 < turned.sum() < (plain.cells["kind"] == "macrophage").sum()
    assert set(plain.cells["kind"][turned]) == {"macrophage"}
    assert NEST not in set(other.cells["compartment"][turned])
    np.testing.assert_array_equal(plain.labels, other.labels)
    # Before the noise, the other channels' light is the same to the last bit.
    assert plain.photons is not None and other.photons is not None
    apart = (plain.photons != other.photons).any(axis=(1, 2, 3))
    assert apart.tolist() == [False, True, False]
    kept = ["MelanA_level", "casp3_level", "stage"]
    np.testing.assert_array_equal(plain.cells[~turned][kept], other.cells[~turned][kept])


def test_a_sheet_is_contiguous_and_of_the_share_it_should_be() -> None:
    recipe = load_recipe(variants=("CD56_melanoma",))
    tumour = []
    for seed in range(4):
        cells = simulate_field(recipe, "infiltrate", seed=seed, week=1, **GRID).cells
        tumour.append(cells[cells["kind"] == "tumour"])
        assert Counter(cells[cells["kind"] == "T"]["CD56_positive"]) == {
            False: (cells["kind"] == "T").sum()
        }
    positive = [t["CD56_positive"].astype(bool) for t in tumour]
    assert 0.4 < np.mean(np.concatenate(positive)) < 0.95
    same = []
    for cells, is_positive in zip(tumour, positive, strict=True):
        points = cells[["centroid_y_um", "centroid_x_um"]].to_numpy()
        apart = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
        np.fill_diagonal(apart, np.inf)
        nearest = apart.argmin(axis=1)
        same += (is_positive.to_numpy() == is_positive.to_numpy()[nearest]).tolist()
    share = np.mean(np.concatenate(positive))
    by_chance = share**2 + (1 - share) ** 2
    assert np.mean(same) > by_chance + 0.1

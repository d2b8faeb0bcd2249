"""A simulated field: its truth agrees with its pixels, and both with the recipe."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from imganalysis import simulate
from imganalysis.errors import SettingsError

if TYPE_CHECKING:
    from imganalysis.simulate import Recipe, SimulatedField

SEEDS = (11, 12, 13)


def around(field: SimulatedField, marker: str, recipe: Recipe, width_um: float) -> pd.Series:
    """For each cell, the mean grey level of a marker's channel within a distance of its nucleus."""
    channel = [c.marker for c in recipe.panels[field.panel].channels].index(marker)
    image = field.stack.numpy()[channel].mean(axis=0)
    free = field.labels == 0
    distance, near = ndimage.distance_transform_edt(free, return_indices=True)
    zone = field.labels[tuple(near)]
    zone[(distance * 0.465 > width_um) | (distance == 0)] = 0
    means = ndimage.mean(image, zone, field.cells["label"].to_numpy())
    return pd.Series(means, index=field.cells.index)


def within(field: SimulatedField, marker: str, recipe: Recipe) -> pd.Series:
    channel = [c.marker for c in recipe.panels[field.panel].channels].index(marker)
    image = field.stack.numpy()[channel].mean(axis=0)
    return pd.Series(
        ndimage.mean(image, field.labels, field.cells["label"].to_numpy()), index=field.cells.index
    )


@pytest.mark.parametrize(
    ("panel", "marker", "week", "width_um"),
    [
        ("apoptosis", "MelanA", 0, 2.0),
        ("apoptosis", "casp3", 1, 2.0),
        ("infiltrate", "CD3", 1, 1.0),
        ("infiltrate", "CD56", 1, 1.0),
        ("joint", "MelanA", 0, 2.0),
        ("joint", "CD3", 1, 1.0),
    ],
)
def test_cells_positive_in_truth_are_brighter(
    make, recipe: Recipe, panel: str, marker: str, week: int, width_um: float
) -> None:
    fields = [make(panel, seed, week=week) for seed in SEEDS]
    value = pd.concat([around(f, marker, recipe, width_um) for f in fields], ignore_index=True)
    cells = pd.concat([f.cells for f in fields], ignore_index=True)
    positive = cells[f"{marker}_positive"].astype(bool)
    assert positive.sum() >= 3
    offset = recipe.detector.offset_grey
    negative_median = value[~positive].median() - offset
    assert value[positive].median() - offset > 2 * negative_median


def test_nuclei_are_where_the_labels_say(make, recipe: Recipe) -> None:
    field = make("apoptosis", 11, week=0)
    image = field.stack.numpy()[0].mean(axis=0)
    inside, outside = image[field.labels > 0].mean(), np.median(image[field.labels == 0])
    offset = recipe.detector.offset_grey
    assert inside - offset > 8 * (outside - offset)


def test_density_of_profiles_is_the_recipe_s(recipe: Recipe) -> None:
    # One compartment fills the field, so that its density can be counted.
    for kind, density in (("tumour", 3000.0), ("T", 10000.0)):
        mix = {**dict.fromkeys(recipe.weeks[0].nest.mix, 0.0), kind: 1.0}
        full = {"area": 1.0, "density_mm2": density, "mix": mix}
        over = {"weeks": {0: {"nest": full, "capillaries": 0, "dying": {}}}}
        over["tissue"] = {"area_sd": 0.0}
        changed = simulate.load_recipe("melanoma", over)
        fields = [
            simulate.simulate_field(
                changed, "apoptosis", seed=s, size_px=256, pixel_size_um=0.465, planes=1
            )
            for s in SEEDS
        ]
        side = 256 * 0.465 - 16.0
        inside = [
            (f.cells["centroid_y_um"].between(8.0, 8.0 + side))
            & (f.cells["centroid_x_um"].between(8.0, 8.0 + side))
            for f in fields
        ]
        count = sum(int(i.sum()) for i in inside)
        assert count / (len(SEEDS) * side**2 * 1e-6) == pytest.approx(density, rel=0.2), kind


def test_diameters_are_the_recipe_s(make, recipe: Recipe) -> None:
    cells = pd.concat([make("apoptosis", s, week=0).cells for s in SEEDS])
    for kind in ("tumour", "T"):
        true = cells.loc[cells["kind"] == kind, "diameter_3d_um"]
        spec = recipe.cells[kind]
        # A larger nucleus meets the section more often.
        assert spec.diameter_um * 0.97 < true.mean() < spec.diameter_um * 1.12
        assert true.std() < 1.6 * spec.diameter_cv * spec.diameter_um
    profile = cells.loc[cells["kind"] == "tumour", "equivalent_diameter_um"]
    assert profile.max() < 20.0
    assert profile.median() < recipe.cells["tumour"].diameter_um


def test_the_section_cuts_caps_off_nuclei(make) -> None:
    cells = pd.concat([make("apoptosis", s, week=0).cells for s in SEEDS])
    assert 0.03 < cells["cap"].mean() < 0.25
    whole = cells["equivalent_diameter_um"] >= 0.9 * cells["diameter_3d_um"]
    assert 0.2 < whole.mean() < 0.9


def test_labels_overlap_nowhere_and_have_no_gap(make) -> None:
    field = make("apoptosis", 11, week=1)
    assert field.labels.dtype == np.uint32
    assert field.labels_3d.shape == field.stack.shape[1:]
    numbers = np.unique(field.labels)
    assert numbers.tolist() == list(range(int(numbers.max()) + 1))
    assert set(np.unique(field.labels_3d).tolist()) <= set(numbers.tolist())
    assert field.objects["label"].tolist() == numbers[1:].tolist()


def test_each_object_belongs_to_one_cell(make) -> None:
    fields = [make("apoptosis", s, week=1) for s in SEEDS]
    several = 0
    for field in fields:
        of_cells = [int(n) for text in field.cells["labels"] for n in text.split()]
        assert sorted(of_cells) == field.objects["label"].tolist()
        by_cell = field.objects.groupby("cell_id").size()
        assert by_cell.to_dict() == field.cells.set_index("cell_id")["n_objects"].to_dict()
        several += int((field.cells["n_objects"] > 1).sum())
    assert several >= 3


def test_only_late_cells_are_in_fragments_and_the_fragments_lie_close(make, recipe: Recipe) -> None:
    death = recipe.death
    for seed in SEEDS:
        field = make("apoptosis", seed, week=1)
        broken = field.cells[field.cells["n_objects"] > 1]
        assert (broken["stage"] >= death.fragment_from).all()
        assert (field.cells.loc[field.cells["stage"].isna(), "n_fragments"] <= 1).all()
        for cell_id in broken["cell_id"]:
            pieces = field.objects[field.objects["cell_id"] == cell_id]
            reach = (
                pieces[["centroid_y_um", "centroid_x_um"]].max()
                - pieces[["centroid_y_um", "centroid_x_um"]].min()
            )
            assert math.hypot(*reach) <= death.extent_um


def test_shrunken_nuclei_are_small_and_bright(make, recipe: Recipe) -> None:
    fields = [make("apoptosis", s, week=1) for s in SEEDS]
    cells = pd.concat([f.cells for f in fields], ignore_index=True)
    light = pd.concat([within(f, "TO-PRO-3", recipe) for f in fields], ignore_index=True)
    tumour = cells["kind"] == "tumour"
    shrunken = tumour & cells["stage"].between(0.3, 0.7)
    vital = tumour & cells["stage"].isna()
    size = cells["equivalent_diameter_um"]
    # No section of a shrunken nucleus is as wide as the nucleus was.
    assert (size / cells["diameter_3d_um"])[shrunken].max() < recipe.death.shrink[1] + 0.05
    assert (size / cells["diameter_3d_um"])[vital].max() > 0.95
    assert size[shrunken].median() < 0.85 * size[vital].median()
    assert light[shrunken].median() > 1.2 * light[vital].median()


def test_dying_cells_lose_the_lineage_marker_as_the_recipe_says(make, recipe: Recipe) -> None:
    cells = pd.concat([make("apoptosis", s, week=1).cells for s in SEEDS])
    tumour = cells[cells["kind"] == "tumour"]
    dying, vital = tumour[tumour["stage"].notna()], tumour[tumour["stage"].isna()]
    assert dying["MelanA_positive"].mean() < vital["MelanA_positive"].mean() - 0.2
    # Slope of the log level on the stage is -lambda.
    slope = np.polyfit(dying["stage"], np.log(dying["MelanA_level"].astype(float)), 1)[0]
    assert slope == pytest.approx(-recipe.cells["tumour"].expression["MelanA"].loss, abs=1.2)


def test_without_loss_dying_cells_keep_it() -> None:
    over = {"cells": {"tumour": {"expression": {"MelanA": {"loss": 0.0}}}}}
    field = simulate.simulate_field(
        simulate.load_recipe("melanoma", over), "apoptosis", seed=11, week=1, size_px=384,
        pixel_size_um=0.465, planes=1,
    )  # fmt: skip
    dying = field.cells[(field.cells["kind"] == "tumour") & field.cells["stage"].notna()]
    assert dying["MelanA_positive"].mean() > 0.75


@pytest.mark.parametrize("panel", ["apoptosis", "infiltrate"])
def test_a_control_has_nuclei_and_no_marker(make, recipe: Recipe, panel: str) -> None:
    sample = make(panel, 11, week=1)
    control = make(panel, 11, week=1, control="secondary_only")
    assert (control.labels == sample.labels).all(), "the tissue is the same"
    channels = recipe.panels[panel].channels
    offset = recipe.detector.offset_grey
    for channel in channels[1:]:
        width = 1.0 if panel == "infiltrate" else 2.0
        positive = control.cells[f"{channel.marker}_positive"].astype(bool)
        value = around(control, channel.marker, recipe, width) - offset
        stained = around(sample, channel.marker, recipe, width) - offset
        assert stained[positive].median() > 2.5 * value[positive].median()
        assert value[positive].median() < 1.8 * value[~positive].median()
    nuclei = control.stack.numpy()[0].mean(axis=0)
    assert nuclei[control.labels > 0].mean() > 5 * np.median(nuclei[control.labels == 0])


def test_what_week_four_leaves(make) -> None:
    fields = [make("apoptosis", s, week=4) for s in SEEDS]
    cells = pd.concat([f.cells for f in fields])
    assert not (cells["kind"] == "tumour").any()
    assert not cells["MelanA_positive"].any()
    assert sum(f.ghosts for f in fields) >= 1


def test_clusters_keep_to_the_capillaries(recipe: Recipe) -> None:
    cells = pd.concat(
        [
            simulate.simulate_field(
                recipe, "infiltrate", seed=s, week=1, size_px=512, pixel_size_um=0.465, planes=1
            ).cells
            for s in range(8)
        ]
    )
    clustered = recipe.tissue.capillary.clustered
    near = cells["vessel_distance_um"] <= 30.0
    share = near[cells["kind"] == clustered].mean()
    assert 0.5 < share <= 1.0
    assert share > near[cells["kind"] == "tumour"].mean() + 0.2


def test_compositions_are_the_recipe_s(make, recipe: Recipe) -> None:
    cells = pd.concat([make("infiltrate", s, week=1).cells for s in SEEDS], ignore_index=True)
    truth = simulate.count_truth(recipe, "infiltrate", cells)
    assert 82 < truth["pct_T"] < 97
    assert 0 < truth["pct_NK"] < 12
    total = truth["pct_T"] + truth["pct_NK"] + truth["pct_CD3CD56"]
    assert total == pytest.approx(100.0, abs=1e-4)


def test_more_light_means_less_noise(make) -> None:
    dim, bright = (make("apoptosis", 11, week=0, photon_scale=k, keep_photons=True) for k in (1, 3))
    assert np.allclose(bright.photons, 3 * dim.photons, atol=0.05)


@pytest.mark.parametrize(("bits", "dtype", "top"), [(8, "uint8", 255), (12, "uint16", 4095)])
def test_depth_of_the_digitiser(make, bits: int, dtype: str, top: int) -> None:
    field = make("apoptosis", 11, week=0, bits=bits)
    assert field.stack.dtype == dtype
    assert top / 4 < field.stack.numpy().max() <= top


def test_noise_has_the_variance_of_a_photomultiplier(make, recipe: Recipe) -> None:
    field = make("apoptosis", 11, week=0, bits=12, keep_photons=True)
    photons, grey = field.photons[0, 1], field.stack.numpy()[0, 1].astype(float)
    channel = recipe.panels["apoptosis"].channels[0]
    offset = recipe.detector.offset_grey * 16
    gain = (4095 - offset) / channel.full_scale_photons
    light = photons > 15
    residue = (grey - offset)[light] / gain - photons[light]
    assert residue.mean() == pytest.approx(0.0, abs=0.25)
    assert (residue**2 / photons[light]).mean() == pytest.approx(
        recipe.detector.excess_noise, rel=0.06
    )


def test_bleed_through_adds_the_share_of_the_matrix(make) -> None:
    with_it, without = (
        make("apoptosis", 11, week=0, bleed_scale=k, keep_photons=True) for k in (1.0, 0.0)
    )
    lineage = without.photons[1]
    bright = lineage > 20
    ratio = (with_it.photons - without.photons)[2][bright] / lineage[bright]
    # 6 % of the dye in the next channel, and a little of the nuclear dye.
    assert 0.05 < np.median(ratio) < 0.075
    assert np.array_equal(with_it.photons[1], without.photons[1])


def test_same_arguments_give_the_same_field(recipe: Recipe) -> None:
    options = {"seed": 5, "week": 1, "size_px": 200, "pixel_size_um": 0.465, "planes": 2}
    first, again = (simulate.simulate_field(recipe, "joint", **options) for _ in range(2))
    assert np.array_equal(first.stack.numpy(), again.stack.numpy())
    assert np.array_equal(first.labels_3d, again.labels_3d)
    pd.testing.assert_frame_equal(first.cells, again.cells)
    other = simulate.simulate_field(recipe, "joint", **{**options, "seed": 6})
    assert not np.array_equal(first.stack.numpy(), other.stack.numpy())


def test_the_tissue_does_not_depend_on_the_panel(make) -> None:
    one, other = make("apoptosis", 11, week=1), make("infiltrate", 11, week=1)
    assert np.array_equal(one.labels, other.labels)
    pd.testing.assert_frame_equal(one.cells, other.cells)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"panel": "tunel"}, "has panels apoptosis, infiltrate, joint, not 'tunel'"),
        ({"week": 3}, "has weeks 0, 1, 4, not 3"),
        (
            {"control": "isotype"},
            "expected control secondary_only or single_stain or unstained or none",
        ),
        ({"size_px": 3}, "size_px: .*got 3"),
    ],
)
def test_what_there_is_not_is_refused(recipe: Recipe, options: dict, message: str) -> None:
    arguments = {"panel": "apoptosis", "seed": 1, **options}
    with pytest.raises(SettingsError, match=message):
        simulate.simulate_field(recipe, **arguments)


def test_a_single_stain_control_shows_one_dye_and_what_it_leaks(make, recipe: Recipe) -> None:
    options = {"week": 1, "keep_photons": True, "bleed_scale": 1.0}
    bare = make("apoptosis", 11, control="unstained", **options)
    for own, channel in enumerate(recipe.panels["apoptosis"].channels):
        stain = channel.marker
        field = make("apoptosis", 11, control="single_stain", stain=stain, **options)
        dye = field.photons - bare.photons
        bright = dye[own] > 10
        assert bright.any()
        for i, row in enumerate(recipe.panels["apoptosis"].bleed):
            np.testing.assert_allclose(dye[i][bright] / dye[own][bright], row[own], atol=0.005)
        assert (field.labels == bare.labels).all(), "the tissue is the same"
    sample = make("apoptosis", 11, **options)
    assert sample.photons[0].mean() > 1.5 * bare.photons[0].mean()
    with pytest.raises(SettingsError, match=r"has a stain, one of TO-PRO-3, MelanA, casp3"):
        simulate.simulate_field(recipe, "apoptosis", seed=1, control="single_stain", stain="CD3")
    with pytest.raises(SettingsError, match="has a stain"):
        simulate.simulate_field(recipe, "apoptosis", seed=1, stain="casp3")

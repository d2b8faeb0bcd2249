"""What goes wrong on purpose: each defect does what it says, and none is on by default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from imganalysis import simulate
from imganalysis.errors import SettingsError

if TYPE_CHECKING:
    from imganalysis.simulate import Recipe, SimulatedField

SMALL = {"size_px": 160, "pixel_size_um": 0.465, "planes": 3, "z_step_um": 1.0, "week": 1}


def field(over: dict | None = None, panel: str = "apoptosis", **options: Any) -> SimulatedField:
    recipe = simulate.load_recipe("melanoma", over)
    return simulate.simulate_field(recipe, panel, seed=3, **{**SMALL, **options})


@pytest.fixture(scope="module")
def clean() -> SimulatedField:
    return field(keep_photons=True)


def test_nothing_is_wrong_by_default(recipe: Recipe, clean: SimulatedField) -> None:
    assert recipe.pigment.share == 0 and recipe.pigment.transmitted is None
    d = recipe.defects
    assert (d.fold_share, d.tilt_um, d.detector_gain, d.shift_px, d.swapped) == (0, 0, 1, 0, False)
    assert clean.defects == {}
    assert "pigmented" not in clean.cells


def test_pigment_dims_every_channel_in_its_cells_and_nowhere_else(clean: SimulatedField) -> None:
    pigment = {"share": 0.3, "kinds": ["T"], "glow": 0.0, "fill": 0.5}
    seen = field({"pigment": pigment}, keep_photons=True)
    np.testing.assert_array_equal(seen.labels, clean.labels)
    holds = seen.cells["pigmented"]
    assert 0 < holds.sum() < len(holds)
    assert set(seen.cells.loc[holds, "kind"]) == {"T"}
    blocked = seen.defects["pigment"]
    assert 0 < blocked.mean() < 0.5
    for with_, without in zip(seen.photons, clean.photons, strict=True):
        ratio = with_[:, blocked].sum() / without[:, blocked].sum()
        assert 0.1 < ratio < 0.8
        far = np.ones_like(blocked)
        rows, columns = np.nonzero(blocked)
        for y, x in zip(rows, columns, strict=True):
            far[max(0, y - 6) : y + 7, max(0, x - 6) : x + 7] = False
        # The optics are computed for the whole picture: the last bits know of every pixel.
        np.testing.assert_allclose(with_[:, far], without[:, far], atol=0.05)


def test_the_share_of_the_pigmented_is_the_recipe_s() -> None:
    seen = field({"pigment": {"share": 0.3}}, size_px=384)
    assert 0.2 < seen.cells["pigmented"].mean() < 0.4
    every = field({"pigment": {"share": 1.0}})
    assert every.cells["pigmented"].all()


def test_grains_glow_in_proportion_to_the_channel_s_autofluorescence(
    clean: SimulatedField,
) -> None:
    # Grains that let all the light through and glow.
    pigment = {"share": 1.0, "glow": 10.0, "transmission": [0.999, 1.0]}
    seen = field({"pigment": pigment}, keep_photons=True)
    added = [(a - b).sum() for a, b in zip(seen.photons, clean.photons, strict=True)]
    assert added[1] > 0
    assert added[2] / added[1] == pytest.approx(0.6, abs=0.05)
    assert added[0] / added[1] == pytest.approx(0.25, abs=0.05)


def test_transmitted_light_shows_the_pigment() -> None:
    light = {"name": "T-PMT"}
    seen = field({"pigment": {"share": 0.3, "fill": 0.5, "transmitted": light}})
    assert seen.stack.channels[-1] == "T-PMT"
    assert seen.stack.shape[0] == 4
    image = seen.stack.numpy()[-1].mean(axis=0)
    blocked = seen.defects["pigment"]
    assert image[blocked].mean() < 0.75 * np.median(image[~blocked])
    # Without any pigment there is no such channel: a recipe without defects is as it was.
    assert field({"pigment": {"transmitted": light}}).stack.shape[0] == 3


def test_a_fold_is_twice_as_bright_in_every_channel(clean: SimulatedField) -> None:
    seen = field({"defects": {"fold_share": 0.2}}, keep_photons=True)
    folded = seen.defects["folded"]
    assert folded.mean() == pytest.approx(0.2, abs=0.01)
    for with_, without in zip(seen.photons, clean.photons, strict=True):
        assert with_[:, folded].mean() > 1.3 * without[:, folded].mean()
        np.testing.assert_array_equal(with_[:, ~folded], without[:, ~folded])


def sharp(image: np.ndarray) -> float:
    return float(np.abs(np.diff(image, axis=0)).mean() / image.mean())


def test_a_tilt_takes_light_and_sharpness_at_the_sides(clean: SimulatedField) -> None:
    seen = field({"defects": {"tilt_um": 1.5}}, keep_photons=True)
    nuclei, before = (f.photons[0].mean(axis=0) for f in (seen, clean))
    middle, side = np.s_[:, 70:90], np.s_[:, :20]
    assert nuclei[middle].mean() == pytest.approx(before[middle].mean(), rel=0.1)
    assert nuclei[side].mean() < 0.9 * before[side].mean()
    assert sharp(nuclei[side]) < 0.9 * sharp(before[side])
    assert sharp(nuclei[side]) / sharp(before[side]) < sharp(nuclei[middle]) / sharp(before[middle])


def test_gain_clips(clean: SimulatedField) -> None:
    seen = field({"defects": {"detector_gain": 6.0}})
    assert (clean.stack.numpy() == 255).mean() < 0.01
    assert (seen.stack.numpy()[0] == 255).mean() > 0.02


def test_a_shift_moves_all_but_the_first_channel(clean: SimulatedField) -> None:
    seen = field({"defects": {"shift_px": 2}}, keep_photons=True)
    np.testing.assert_array_equal(seen.photons[0], clean.photons[0])
    inner = np.s_[:, 4:-4, 4:-4]
    for with_, without in zip(seen.photons[1:], clean.photons[1:], strict=True):
        moved = [np.roll(without, s, axis=a) for a in (1, 2) for s in (2, -2)]
        assert any(np.array_equal(with_[inner], m[inner]) for m in moved)
        assert not np.array_equal(with_[inner], without[inner])


def test_swapped_channels_keep_their_names(clean: SimulatedField) -> None:
    seen = field({"defects": {"swapped": True}}, keep_photons=True)
    assert seen.stack.channels == clean.stack.channels
    np.testing.assert_array_equal(seen.photons[[1, 0, 2]], clean.photons)


def test_the_same_seed_gives_the_same_defects() -> None:
    over = {
        "pigment": {"share": 0.3, "transmitted": {"name": "T"}},
        "defects": {"fold_share": 0.1, "tilt_um": 1.0, "shift_px": 1},
    }
    one, two = field(over), field(over)
    np.testing.assert_array_equal(one.stack.numpy(), two.stack.numpy())


def test_pigment_of_unknown_cells_is_refused() -> None:
    with pytest.raises(SettingsError, match="unknown cell: tumor"):
        simulate.load_recipe("melanoma", {"pigment": {"kinds": ["tumor"]}})

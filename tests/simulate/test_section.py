"""The section: as thick as the recipe says, with wavy faces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from imganalysis.simulate.numeric import streams
from imganalysis.simulate.section import Section, cut, draw_thickness

if TYPE_CHECKING:
    from imganalysis.simulate import Recipe


def made(recipe: Recipe, seed: int) -> Section:
    rng = streams(seed, "section")["section"]
    thickness = draw_thickness(rng, recipe.section)
    return cut(rng, recipe.section, recipe.field, (256, 256), thickness)


def test_the_tissue_is_as_thick_as_the_section(recipe: Recipe) -> None:
    drawn = []
    for seed in range(5):
        section = made(recipe, seed)
        path = section.tissue.sum(axis=0) * section.dz
        assert path.mean() == pytest.approx(section.thickness_um, rel=0.05)
        drawn.append(section.thickness_um)
    assert np.mean(drawn) == pytest.approx(recipe.section.thickness_um, abs=0.3)
    assert len(set(drawn)) == 5


def test_the_faces_are_wavy_within_their_limit(recipe: Recipe) -> None:
    section = made(recipe, 1)
    z = section.z[:, None, None]
    middle = (section.tissue * z).sum(axis=0) / section.tissue.sum(axis=0)
    assert np.ptp(middle) > 0.3
    assert np.abs(middle - section.thickness_um / 2).max() < recipe.section.waviness_um + 0.1


def test_planes_lie_around_the_middle(recipe: Recipe) -> None:
    section = made(recipe, 2)
    assert len(section.planes_z) == recipe.field.planes
    assert np.mean(section.planes_z) == pytest.approx(section.thickness_um / 2)
    assert np.diff(section.planes_z) == pytest.approx(recipe.field.z_step_um)
    assert section.z[section.plane_slices] == pytest.approx(section.planes_z, abs=1e-4)

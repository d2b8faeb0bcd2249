"""Simulated fields that several tests look at."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest

from imganalysis import simulate

if TYPE_CHECKING:
    from imganalysis.simulate import Recipe, SimulatedField

GRID = {"size_px": 384, "pixel_size_um": 0.465, "planes": 3, "z_step_um": 1.0}


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return simulate.load_recipe()


@pytest.fixture(scope="session")
def make(recipe: Recipe):
    """Simulate a field, once per set of arguments."""

    @cache
    def made(panel: str, seed: int, **options: object) -> SimulatedField:
        arguments = {**GRID, **options}
        return simulate.simulate_field(recipe, panel, seed=seed, **arguments)

    return made

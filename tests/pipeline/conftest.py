"""Small simulated studies, made once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from imganalysis.io import write_stack
from imganalysis.simulate import load_recipe, simulate_field

if TYPE_CHECKING:
    from pathlib import Path

OPTICS: dict[str, Any] = {
    "size_px": 320,
    "pixel_size_um": 0.465,
    "planes": 3,
    "z_step_um": 1.0,
    "bits": 8,
    "bleed_scale": 0.1,
}


def simulated(folder: Path, name: str, panel: str, seed: int, **options: Any) -> Path:
    """Write one simulated field and give its path."""
    field = simulate_field(load_recipe("melanoma"), panel, seed=seed, **{**OPTICS, **options})
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_stack(path, field.stack)
    return path


@pytest.fixture(scope="session")
def small_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One biopsy after a week, both panels, with controls; folders only, no manifest."""
    root = tmp_path_factory.mktemp("studies") / "Studie Müller & Söhne"
    for i in range(2):
        simulated(root, f"P01_week1/A apoptosis {i}.ome.tif", "apoptosis", 10 + i, week=1)
    simulated(root, "P01_week1/B infiltrate.ome.tif", "infiltrate", 20, week=1)
    for i in range(2):
        for panel in ("apoptosis", "infiltrate"):
            simulated(
                root,
                f"controls/secondary_only/{panel} {i}.ome.tif",
                panel,
                30 + i,
                week=1,
                control="secondary_only",
                size_px=480,
            )
    return root

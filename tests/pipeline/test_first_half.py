"""The first half on simulated fields and on arrays."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from imganalysis import tables as t
from imganalysis.errors import ChannelError, LabelsError, PixelSizeError
from imganalysis.first_half import measure_stack
from imganalysis.panel import load_panel
from imganalysis.settings import Measuring, Settings
from imganalysis.simulate import load_recipe, simulate_field
from imganalysis.stack import PixelSize, Stack

OPTICS = {"size_px": 400, "pixel_size_um": 0.465, "planes": 3, "z_step_um": 1.0, "bits": 8}


def nameless(stack: Stack, order: tuple[int, ...]) -> Stack:
    """The stack as a file without channel names gives it, channels in another order."""
    names = tuple(f"channel {i}" for i in range(len(order)))
    pixels = stack.numpy(order)
    return dataclasses.replace(stack, data=pixels, channels=names, source=Path("swapped.tif"))


@pytest.mark.parametrize("week", [0, 1])
def test_channels_of_the_other_panel_are_refused(week: int) -> None:
    """Panel B shown as panel A: the blue channel is a membrane, not nuclei."""
    field = simulate_field(load_recipe("melanoma"), "infiltrate", seed=week, week=week, **OPTICS)
    assert field.stack.channels == ("YO-PRO-1", "CD3", "CD56")
    swapped = nameless(field.stack, (1, 0, 2))
    with pytest.raises(ChannelError, match="does not look like nuclei") as caught:
        measure_stack(swapped, load_panel("apoptosis"))
    assert caught.value.reason == "nuclear_contrast"
    lenient = Settings(measuring=Measuring(check_nuclei=False))
    assert len(measure_stack(swapped, load_panel("apoptosis"), lenient).objects) > 0


@pytest.mark.parametrize("panel", ["apoptosis", "infiltrate", "joint"])
@pytest.mark.parametrize("control", [None, "secondary_only"])
def test_channels_in_order_are_accepted(panel: str, control: str | None) -> None:
    field = simulate_field(
        load_recipe("melanoma"), panel, seed=3, week=1, control=control, **OPTICS
    )
    seen = measure_stack(field.stack, load_panel(panel))
    assert "weak_nuclear_contrast" not in seen.flags
    assert 0.6 < len(seen.objects) / field.labels.max() < 1.4


def test_true_nuclei_give_true_areas() -> None:
    field = simulate_field(load_recipe("melanoma"), "apoptosis", seed=5, week=1, **OPTICS)
    seen = measure_stack(field.stack, load_panel("apoptosis"), nuclei=field.labels)
    assert seen.facts["segmentation"] == "given"
    assert seen.objects[t.LABEL].tolist() == list(np.unique(field.labels)[1:])
    areas = np.bincount(field.labels.ravel())[seen.objects[t.LABEL]] * 0.465**2
    np.testing.assert_allclose(seen.objects[t.AREA], areas)
    assert seen.grid.sum() == pytest.approx(seen.facts["tissue_mm2"] * 1e6)


def test_what_is_missing_is_said() -> None:
    field = simulate_field(load_recipe("melanoma"), "apoptosis", seed=5, week=1, **OPTICS)
    panel = load_panel("apoptosis")
    blind = dataclasses.replace(field.stack, pixel_size=PixelSize(note="0.001 um is no pixel"))
    with pytest.raises(PixelSizeError, match=r"unknown \(0.001 um is no pixel\).*--pixel-size"):
        measure_stack(blind, panel)
    with pytest.raises(LabelsError):
        measure_stack(field.stack, panel, nuclei=np.zeros((3, 3), int))


def test_a_thick_stack_is_left_in_three_dimensions() -> None:
    rng = np.random.default_rng(2)
    z, y, x = np.mgrid[:14, :120, :120]
    pixels = np.zeros((3, 14, 120, 120))
    for cy in range(20, 110, 26):
        for cx in range(20, 110, 26):
            ball = ((z - 7) * 1.0) ** 2 + ((y - cy) * 0.5) ** 2 + ((x - cx) * 0.5) ** 2 < 16
            pixels[0] += 80.0 * ball
    data = rng.poisson(pixels + 2).astype(np.uint8)
    names = ("TO-PRO-3", "Melan A", "Caspase-3")
    stack = Stack(data, names, PixelSize(1.0, 0.5, 0.5, "user"))
    seen = measure_stack(stack, load_panel("apoptosis"))
    assert seen.facts["projection"] == "3d" and seen.nuclei.ndim == 3
    assert len(seen.objects) == 16
    assert seen.objects[t.VOLUME].median() == pytest.approx(4 / 3 * np.pi * 64, rel=0.25)
    assert np.isnan(seen.facts["tissue_mm2"])
    with pytest.raises(PixelSizeError, match="the step between them must be known"):
        flat_step = dataclasses.replace(stack, pixel_size=PixelSize(None, 0.5, 0.5, "user"))
        settings = Settings.model_validate({"projection": {"method": "none"}})
        measure_stack(flat_step, load_panel("apoptosis"), settings)

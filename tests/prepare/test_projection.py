import numpy as np
import pytest

from imganalysis.errors import PixelSizeError
from imganalysis.prepare.projection import ProjectionChoice, any_plane, apply, project
from imganalysis.settings import Projection

AUTO = Projection()


def planes(*levels: float) -> np.ndarray:
    return np.stack([np.full((20, 20), level, np.uint16) for level in levels])


def test_single_plane_is_itself():
    choice = project(planes(7), None, 3.0, AUTO)
    assert (choice.kind, choice.z0, choice.z1, choice.flags) == ("plane", 0, 1, ())
    pixels = apply(planes(7)[np.newaxis], choice)
    assert pixels.dtype == np.float32
    assert pixels.shape == (1, 20, 20)
    assert (pixels == 7).all()


def test_section_is_the_mean_of_its_brightest_window():
    stack = planes(1, 2, 10, 20, 10, 5, 1)
    choice = project(stack, 1.0, 3.0, AUTO)
    assert (choice.kind, choice.z0, choice.z1, choice.flags) == ("mean", 2, 5, ())
    assert "planes 3 to 5 of 7" in choice.reason
    assert apply(stack[np.newaxis], choice)[0] == pytest.approx(40 / 3)


def test_mean_does_not_depend_on_the_number_of_planes_as_the_maximum_does():
    rng = np.random.default_rng(0)
    stacks = [rng.poisson(10, (1, n, 60, 60)).astype(np.uint16) for n in (6, 9, 12)]
    means = [apply(s, project(s[0], 0.5, 3.0, AUTO)).mean() for s in stacks]
    assert means == pytest.approx([10, 10, 10], abs=0.15)
    maxima = [s.max(axis=1).mean() for s in stacks]
    assert maxima[-1] - maxima[0] > 1


def test_equal_windows_take_the_first():
    assert project(planes(4, 4, 4, 4), 1.0, 2.0, AUTO).z0 == 0


def test_short_stack_is_flagged():
    choice = project(planes(1, 2, 3, 4, 5), 0.5, 3.0, AUTO)
    assert (choice.kind, choice.z0, choice.z1) == ("mean", 0, 5)
    assert choice.flags == ("short_stack",)
    assert "2.5 um" in choice.reason


def test_thick_stack_stays_in_3d():
    stack = planes(*range(16))
    choice = project(stack, 0.5, 3.0, AUTO)
    assert (choice.kind, choice.z0, choice.z1) == ("3d", 0, 16)
    assert apply(stack[np.newaxis], choice).shape == (1, 16, 20, 20)
    assert project(stack[:15], 0.5, 3.0, AUTO).kind == "mean"


def test_method_overrules():
    assert project(planes(*range(30)), 1.0, 3.0, Projection(method="mean")).kind == "mean"
    assert project(planes(1, 2), 1.0, 3.0, Projection(method="none")).kind == "3d"


def test_unknown_step_means_all_planes_and_says_so():
    choice = project(planes(1, 3), None, 3.0, AUTO)
    assert (choice.kind, choice.z1, choice.flags) == ("mean", 2, ("z_step_unknown",))
    with pytest.raises(PixelSizeError, match="--pixel-size Z,Y,X"):
        project(planes(1, 3), None, 3.0, Projection(method="none"))


def test_broken_pixels_stay_broken_and_do_not_choose_the_window():
    stack = np.stack([np.full((20, 20), v) for v in (1.0, 5.0, 1.0)])
    stack[0, 3, 4] = np.inf
    stack[1, 5, 6] = np.nan
    choice = project(stack, 1.0, 1.0, AUTO)
    assert choice.z0 == 1
    pixels = apply(stack[np.newaxis], ProjectionChoice("mean", 0, 2, ""))
    assert sorted(zip(*np.nonzero(np.isnan(pixels[0])), strict=True)) == [(3, 4), (5, 6)]


def test_clipped_in_any_plane_that_was_used():
    mask = np.zeros((1, 3, 4, 4), bool)
    mask[0, 0, 1, 1] = mask[0, 2, 2, 2] = True
    flat = any_plane(mask, ProjectionChoice("mean", 0, 2, ""))
    assert flat.sum() == 1
    assert flat[0, 1, 1]
    assert any_plane(mask, ProjectionChoice("3d", 0, 3, "")).shape == mask.shape

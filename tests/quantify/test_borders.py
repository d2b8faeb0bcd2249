"""Borders by an object's pixels, on objects of any shape, and stacks by their planes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter, label

from imganalysis import tables as t
from imganalysis.quantify.borders import at_border, guard_of
from imganalysis.quantify.frame import evaluate, guard_mask
from imganalysis.quantify.measure import measure
from imganalysis.settings import Measuring
from imganalysis.settings_counting import Counting

UNBIASED = Counting(frame="unbiased")


def box(shape: tuple[int, int], y0: int, x0: int, y1: int, x1: int) -> np.ndarray:
    frame = np.zeros(shape, bool)
    frame[y0:y1, x0:x1] = True
    return frame


def counted(nuclei: np.ndarray, frame: np.ndarray) -> set[int]:
    table = at_border(nuclei, frame, UNBIASED)
    assert table is not None
    ids = np.unique(nuclei[nuclei > 0])
    return set(ids[(table[t.IN_FRAME] & ~table[t.ON_BORDER]).to_numpy()].tolist())


def test_each_side_of_the_unbiased_frame() -> None:
    shape, frame = (60, 60), box((60, 60), 20, 20, 40, 40)
    strokes = {
        "top": (slice(15, 25), slice(28, 30), True),
        "right": (slice(28, 30), slice(35, 45), True),
        "bottom": (slice(35, 45), slice(28, 30), False),
        "left": (slice(28, 30), slice(15, 25), False),
        "inside": (slice(25, 30), slice(25, 30), True),
        "outside": (slice(2, 6), slice(2, 6), False),
    }
    for side, (rows, columns, expected) in strokes.items():
        nuclei = np.zeros(shape, np.uint32)
        nuclei[rows, columns] = 1
        assert counted(nuclei, frame) == ({1} if expected else set()), side
    # Round the upper left corner without touching the left side: the extension excludes it.
    around = np.zeros(shape, np.uint32)
    around[10:12, 10:30], around[10:22, 28:30], around[10:50, 10:12] = 1, 1, 1
    assert counted(around, frame) == set()
    # Out at the right, and down along the right side's extension, but not over it.
    beside = np.zeros(shape, np.uint32)
    beside[28:30, 38:46], beside[28:50, 44:46] = 1, 1
    assert counted(beside, frame) == {1}
    beside[48:50, 36:46] = 1  # over it
    assert counted(beside, frame) == set()


@pytest.mark.parametrize("seed", range(3))
def test_frames_side_by_side_count_every_object_once(seed: int) -> None:
    """Long, bent and large objects too; by the centroid or by pixels kept they would not be."""
    rng = np.random.default_rng(seed)
    noise = gaussian_filter(rng.standard_normal((300, 300)), (2, 5))
    section = np.where(noise > 0.8 * noise.std(), 1, 0)
    section[:40] = section[-40:] = 0
    section[:, :40] = section[:, -40:] = 0
    section, n = label(section, np.ones((3, 3)))
    seen: list[int] = []
    for y in range(20, 280, 52):
        for x in range(20, 280, 65):
            seen += counted(section, box(section.shape, y, x, y + 52, x + 65))
    assert sorted(seen) == list(range(1, n + 1))
    assert n > 50


def test_cleared_borders_lose_large_objects_more_often() -> None:
    rng = np.random.default_rng(3)
    lost = {}
    for radius in (6, 14):
        y, x = np.mgrid[:160, :160]
        gone = total = 0
        for _ in range(60):
            cy, cx = rng.uniform(-20, 180, 2)
            nuclei = (((y - cy) ** 2 + (x - cx) ** 2) < radius**2).astype(np.uint32)
            if 0 <= cy < 160 and 0 <= cx < 160:  # what belongs to the field
                border = at_border(
                    nuclei, np.ones((160, 160), bool), Counting(frame="clear_border")
                )
                total += 1
                gone += bool(border[t.ON_BORDER].any())
        lost[radius] = gone / total
    assert 0 < lost[6] < 0.6 * lost[14]


def test_the_centroid_needs_no_pixels_and_cleared_borders_no_guard() -> None:
    nuclei = np.ones((8, 8), np.uint32)
    assert at_border(nuclei, nuclei > 0, Counting()) is None
    assert guard_of(8.0, Counting()) == guard_of(8.0, UNBIASED) == 8.0
    assert guard_of(8.0, Counting(frame="clear_border")) == 0.0
    empty = at_border(np.zeros((8, 8), np.uint32), nuclei > 0, UNBIASED)
    assert empty is not None and len(empty) == 0


def test_words_of_the_exclusion() -> None:
    nuclei = np.zeros((60, 60), np.uint32)
    nuclei[15:25, 28:36], nuclei[35:45, 28:36], nuclei[2:6, 2:6] = 1, 2, 3
    frame = box((60, 60), 20, 20, 40, 40)
    objects = measure({"nucleus": nuclei}, np.ones((1, 60, 60)), ["a"], (1.0, 1.0))
    found = evaluate(
        objects, np.ones((60, 60), bool), frame, (1.0, 1.0), Measuring(),
        border=at_border(nuclei, frame, UNBIASED),
    )  # fmt: skip
    assert found[t.EXCLUSION].tolist() == ["", "on_border", "outside_frame"]


def balls(
    rng: np.random.Generator, shape: tuple[int, int, int], radius: int, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Balls that do not touch, some cut by the border, in voxels of 1 um; labels and centres."""
    side = np.arange(-radius - 1, radius + 2)
    ball = sum(np.square(g) for g in np.meshgrid(side, side, side, indexing="ij")) < radius**2
    block = np.zeros([size + 2 * side.size for size in shape], np.uint32)
    centres = np.zeros((0, 3), int)
    while len(centres) < n:
        centre = rng.integers(0, shape)
        if (
            len(centres) == 0
            or np.square(centres - centre).sum(axis=1).min() > (2 * radius + 2) ** 2
        ):
            centres = np.vstack([centres, centre])
            corner = centre + side.size + side[0]
            view = block[tuple(slice(c, c + side.size) for c in corner)]
            view[ball] = len(centres)
    inner = tuple(slice(side.size, side.size + size) for size in shape)
    return block[inner], centres


def test_stacks_count_each_object_once() -> None:
    """The number in the volume, from stacks that cut it, to 5 %; sums of planes are far off."""
    rng = np.random.default_rng(1)
    truth = found = whole = per_plane = 0
    for _ in range(8):
        block, centres = balls(rng, (80, 80, 80), 4, 320)
        for z in (12, 31, 50):
            stack = block[z : z + 20]
            frame = guard_mask((80, 80), (1.0, 1.0), 8.0)
            objects = measure({"nucleus": stack}, np.ones((1, *stack.shape)), ["a"], (1.0,) * 3)
            tissue = np.ones((80, 80), bool)
            for rule in ("disector", "whole"):
                border = at_border(stack, frame, Counting(stack=rule))
                result = evaluate(objects, tissue, frame, (1.0,) * 3, Measuring(), border=border)
                if rule == "disector":
                    assert set(result[t.EXCLUSION]) >= {"", "on_first_plane"}
                    found += int(result[t.EVALUABLE].sum())
                else:
                    whole += int(result[t.EVALUABLE].sum())
            truth += int((frame[centres[:, 1], centres[:, 2]] & _within(centres[:, 0], z)).sum())
            for plane in stack:
                flat = label(plane > 0)[0] * frame
                per_plane += np.unique(flat[flat > 0]).size
    assert truth > 900
    assert found == pytest.approx(truth, rel=0.05)
    assert whole > 1.15 * truth
    assert per_plane > 3 * truth


def _within(z: np.ndarray, first: int) -> np.ndarray:
    """In the 19 um under the first of 20 planes."""
    return (z > first) & (z <= first + 19)


@pytest.mark.parametrize("wanted", ["slices", "sum", "per_slice"])
def test_sums_of_planes_are_refused(wanted: str) -> None:
    with pytest.raises(ValueError, match="a nucleus stands in many planes"):
        Counting(stack=wanted)


def test_what_the_last_plane_cuts_is_not_too_small() -> None:
    table = pd.DataFrame(
        {t.DIAMETER: [2.0, 2.0], t.SATURATED: 0.0, t.IN_FRAME: True, t.IN_TISSUE: True,
         t.ON_FIRST: False, t.ON_LAST: [True, False], t.Y: 5.0, t.X: 5.0}
    )  # fmt: skip
    from imganalysis.quantify.frame import judge

    assert judge(table, Measuring())[t.EXCLUSION].tolist() == ["", "too_small"]

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.spatial import cKDTree
from skimage.measure import label
from skimage.segmentation import clear_border

from imganalysis import tables as t
from imganalysis.errors import PixelDataError, TableError
from imganalysis.quantify.frame import PRECEDENCE, evaluate, guard_mask
from imganalysis.quantify.measure import measure
from imganalysis.settings import Measuring

PX = 0.5  # um


def test_frame_is_what_the_guard_leaves():
    frame = guard_mask((100, 80), (0.5, 1.0), 8.0)
    assert frame.sum() == (100 - 32) * (80 - 16)
    assert frame[16:84, 8:72].all()
    assert guard_mask((100, 80), (0.5, 1.0), 0.0).all()


def test_part_of_a_tile():
    frame = guard_mask((100, 100), (1.0, 1.0), 8.0, counted=(0, 60, 4, 100))
    assert frame.sum() == 52 * 84
    assert frame[8:60, 8:92].all()
    assert guard_mask((100, 100), (1.0, 1.0), 8.0, counted=(20, 60, 30, 70)).sum() == 1600


def test_a_guard_that_leaves_nothing_says_so():
    with pytest.raises(PixelDataError, match=r"the field is 15 x 40 um .* takes 8 um") as error:
        guard_mask((30, 80), (PX, PX), 8.0)
    assert error.value.reason == "smaller_than_guard"
    assert guard_mask((33, 80), (PX, PX), 8.0).any()


def objects(**columns) -> pd.DataFrame:
    n = len(next(iter(columns.values())))
    usual = {t.Y: 25.0, t.X: 25.0, t.DIAMETER: 8.0, t.SATURATED: 0.0, "a_ring_mean": 1.0}
    return pd.DataFrame({name: columns.get(name, [value] * n) for name, value in usual.items()})


LEFT_OUT = np.zeros((100, 100), bool)
LEFT_OUT[:, :24] = LEFT_OUT[:, 80:] = True


def judged(table: pd.DataFrame, **options) -> pd.DataFrame:
    tissue = np.ones((100, 100), bool)
    tissue[:, 60:] = False
    frame = guard_mask((100, 100), (PX, PX), 8.0)
    return evaluate(table, tissue, frame, (PX, PX), Measuring(), **options)


def test_each_exclusion():
    table = objects(
        **{
            t.X: [25, 5, 10, 35, 25, 25, 25],
            t.DIAMETER: [8, 8, 8, 8, 2.9, 8, 8],
            t.SATURATED: [0.02, 0, 0, 0, 0, 0.021, 0],
            "a_ring_mean": [1, 1, 1, 1, 1, 1, np.nan],
        }
    )
    before = table.copy()
    result = judged(table, needed=["a_ring_mean"], left_out=LEFT_OUT)
    words = ["outside_frame", "annotated_out", "outside_tissue", "too_small", "saturated"]
    assert result[t.EXCLUSION].tolist() == ["", *words, "not_measurable"]
    assert result[t.EVALUABLE].tolist() == [True] + [False] * 6
    pd.testing.assert_frame_equal(table, before)
    assert set(PRECEDENCE) == set(t.EXCLUSIONS)


def test_the_first_reason_counts():
    everything = {t.X: [49.0], t.DIAMETER: [1.0], t.SATURATED: [1.0], "a_ring_mean": [np.nan]}
    border = {t.ON_BORDER: [True], t.ON_FIRST: [True]}
    mended = {
        "outside_frame": {t.X: [41.0]}, "annotated_out": {t.X: [35.0]},
        "outside_tissue": {t.X: [25.0]}, "too_small": {t.DIAMETER: [8.0]},
        "saturated": {t.SATURATED: [0.0]}, "not_measurable": {"a_ring_mean": [1.0]},
    }  # fmt: skip
    also = {word: np.array([True]) for word in ("folded", "pigment", "out_of_focus")}
    on = {"on_border": t.ON_BORDER, "on_first_plane": t.ON_FIRST}
    *words, last = PRECEDENCE
    assert last == "engulfed_debris"  # needs the cells' calls
    for word in [*words, ""]:
        found = judged(
            objects(**everything),
            needed=["a_ring_mean"],
            border=pd.DataFrame(border),
            left_out=LEFT_OUT,
            excluded=also,
        )
        assert found[t.EXCLUSION].tolist() == [word]
        everything |= mended.get(word, {})
        also.pop(word, None)
        if word in on:
            border[on[word]] = [False]


def test_unknown_saturation_excludes_nothing():
    assert judged(objects(**{t.SATURATED: [np.nan]}))[t.EVALUABLE].tolist() == [True]


def test_caps_stay_in_the_count():
    result = judged(objects(**{t.DIAMETER: [8, 8, 8, 3.9, 4.1, 1.0]}))
    assert result[t.CAP].tolist() == [False, False, False, True, False, True]
    assert result[t.EVALUABLE].tolist() == [True, True, True, True, True, False]


def test_no_objects_and_a_missing_column():
    empty = measure({"nucleus": np.zeros((100, 100), int)}, np.ones((1, 100, 100)), ["a"], (PX, PX))
    result = judged(empty)
    assert len(result) == 0
    assert result[t.EVALUABLE].dtype == bool
    with pytest.raises(TableError, match=r"missing column.*a_ring_mean"):
        judged(empty, needed=["a_ring_mean"])


@pytest.mark.parametrize("offset", [0, 1, 37, 1001])
def test_half_pixels_fall_the_same_way_in_every_tile(offset):
    # Two tiles that meet at a column; a centroid half a pixel before it is counted once.
    step = 0.497
    here = np.ones((50, 2000), bool)
    here[:, offset + 20 :] = False
    table = objects(**{t.X: [(offset + 19.5) * step], t.Y: [10.0]})
    for frame, expected in ((here, False), (~here, True)):
        found = evaluate(table, np.ones_like(here), frame, (step, step), Measuring())
        assert found[t.EVALUABLE].tolist() == [expected]


def discs(rng, side_um: float, radius_um: float, per_mm2: float) -> np.ndarray:
    """Centres of discs that do not touch, um."""
    wanted = int(per_mm2 * side_um**2 / 1e6)
    points = rng.uniform(0, side_um, (6 * wanted, 2))
    keep = np.ones(len(points), bool)
    for i, j in sorted(cKDTree(points).query_pairs(2 * radius_um + 2)):
        if keep[i]:
            keep[j] = False
    return points[keep][:wanted]


@cache
def overlapping(radius_um: float) -> tuple[float, float, float]:
    """Count discs in fields of 238 um, overlapping by two guards, over one large section.

    Gives the count inside the guard frames, that of all objects, and that with borders cleared,
    each over the true number; the latter two over the field's own share of the area.
    """
    rng = np.random.default_rng(0)
    guard, size = 8.0, 476
    step = size - 2 * round(guard / PX)
    n = 4
    side = n * step + 2 * round(guard / PX)
    centres = discs(rng, side * PX, radius_um, 3000)
    yy, xx = np.mgrid[:side, :side] * PX
    distance, nearest = cKDTree(centres).query(
        np.column_stack([yy.ravel(), xx.ravel()]), distance_upper_bound=radius_um
    )
    section = np.where(np.isfinite(distance), nearest + 1, 0).reshape(side, side)
    inner = (centres > guard) & (centres < side * PX - guard)
    truth = int(inner.all(axis=1).sum())
    assert truth > 1000
    framed = kept = cleared = 0
    for i in range(n):
        for j in range(n):
            window = slice(i * step, i * step + size), slice(j * step, j * step + size)
            field = label(section[window] > 0)
            table = measure({"nucleus": field}, np.ones((1, size, size)), ["a"], (PX, PX))
            frame = guard_mask(field.shape, (PX, PX), guard)
            result = evaluate(table, np.ones_like(frame), frame, (PX, PX), Measuring())
            framed += int(result[t.EVALUABLE].sum())
            share = (step / size) ** 2
            kept += len(table) * share
            cleared += (np.unique(clear_border(field)).size - 1) * share
    return framed / truth, kept / truth, cleared / truth


@pytest.mark.parametrize("radius_um", [3.25, 5.0])
def test_fields_that_overlap_count_each_cell_once(radius_um):
    framed, kept, cleared = overlapping(radius_um)
    assert framed == pytest.approx(1, rel=0.02)
    assert kept > 1.02
    assert cleared < 0.98


def test_without_the_frame_larger_cells_are_miscounted_more():
    """By discs of 10 and of 6.5 um, in sections of their own.

    A border cuts cells in a strip as wide as they are: both controls are off by about twice the
    diameter over the field's side, one up and one down, and the guard frame is not.
    """
    (framed, kept, cleared), (framed_small, kept_small, cleared_small) = map(
        overlapping, (5.0, 3.25)
    )
    assert kept - kept_small > 0.01
    assert cleared_small - cleared > 0.01
    assert abs(framed - framed_small) < 0.01

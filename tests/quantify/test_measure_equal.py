"""Measuring gives what scikit-image and scipy give, for every kind of label and pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage as ndi
from skimage.measure import regionprops_table

from imganalysis.quantify import _totals
from imganalysis.quantify.measure import measure
from imganalysis.tables import measure_column

LABEL_TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", ">u2")
PIXEL_TYPES = (*LABEL_TYPES, "bool", "float16", "float32", "float64", ">f4")
KINDS = ("noise", "blobs", "holes", "single", "lines", "full")
SHAPES = {
    (24, 31): (1.0, 1.0),
    (17, 40): (0.23, 0.23),
    (30, 22): (0.5, 0.23),
    (1, 9): (1.0, 2.0),
    (5, 9, 11): (2.0, 0.5, 0.4),
    (7, 12, 6): (1.0, 1.0, 1.0),
}


def draw_labels(rng: np.random.Generator, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers from 1 on; not every number need occur."""
    if kind == "noise":  # many parts each, all touching
        labels = rng.integers(0, 7, shape)
    elif kind == "single":
        labels = np.zeros(shape, int)
        flat = rng.choice(labels.size, min(9, labels.size // 2), replace=False)
        labels.flat[flat] = np.arange(1, flat.size + 1)
    elif kind == "full":
        labels = np.ones(shape, int)
    elif kind == "lines":
        labels = np.zeros(shape, int)
        labels[..., ::3, 1:] = 1 + np.arange(labels[..., ::3, 1:].shape[-2])[:, np.newaxis]
    else:  # pieces of the plane (space) around random points
        points = rng.random((5, len(shape))) * shape
        grid = np.moveaxis(np.indices(shape), 0, -1)[..., np.newaxis, :]
        far = np.linalg.norm(grid - points, axis=-1)
        labels = np.where(far.min(axis=-1) < 9, far.argmin(axis=-1) + 1, 0)
        if kind == "holes":
            labels[rng.random(shape) < 0.2] = 0
    return labels


def draw_pixels(rng: np.random.Generator, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """Use all of the type's range."""
    dtype = np.dtype(kind)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind == "f":
        return rng.normal(100, 30, shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype.newbyteorder("="), endpoint=True).astype(
        dtype
    )


fields = st.tuples(
    st.integers(0, 10**6), st.sampled_from(KINDS), st.sampled_from(list(SHAPES.items()))
)


@settings(max_examples=80, deadline=None)
@given(fields, st.sampled_from(LABEL_TYPES))
def test_geometry_equals_regionprops(field: Any, label_type: str) -> None:
    seed, kind, (shape, spacing) = field
    labels = draw_labels(np.random.default_rng(seed), kind, shape)
    flat = len(shape) == 2
    # In space scikit-image has no hull of an object that is flat.
    hull = flat or kind in ("blobs", "noise", "full")
    ours = measure(
        {"nucleus": labels.astype(label_type)}, np.ones((1, *shape)), ["a"], spacing, solidity=hull
    )
    names = {
        "label": "label",
        "area": "area_um2" if flat else "volume_um3",
        "equivalent_diameter_area": "equivalent_diameter_um",
        "axis_major_length": "major_axis_um",
        "axis_minor_length": "minor_axis_um",
        "extent": "extent",
    }
    axes = "yx" if flat else "zyx"
    names |= {f"centroid-{i}": f"centroid_{axis}_um" for i, axis in enumerate(axes)}
    if hull:
        names["solidity"] = "solidity"
    if flat:
        names |= {"eccentricity": "eccentricity", "orientation": "orientation_deg"}
    if flat and spacing[0] == spacing[1]:
        names["perimeter_crofton"] = "perimeter_um"
    wanted = {name.rpartition("-")[0] or name for name in names} | {"bbox"}
    theirs = pd.DataFrame(regionprops_table(labels, properties=sorted(wanted), spacing=spacing))
    if flat:
        theirs["orientation"] = np.degrees(theirs["orientation"])
        # Of a circle nobody knows the direction, and of a line 90 degrees are -90.
        turned = np.abs(theirs["orientation"] - ours["orientation_deg"]) % 180
        round_ = theirs["axis_major_length"] - theirs["axis_minor_length"] < 1e-6
        assert (round_ | (turned < 1e-6) | (turned > 180 - 1e-6)).all()
        del names["orientation"]
    for name, column in names.items():
        # An axis of length 0 comes out of roundings of either.
        np.testing.assert_allclose(
            ours[column], theirs[name], rtol=1e-6, atol=2e-7 * max(shape), err_msg=name
        )
    for i, axis in enumerate(axes):
        low, high = theirs[f"bbox-{i}"], theirs[f"bbox-{i + len(axes)}"]
        np.testing.assert_allclose(ours[f"box_{axis}0_um"], (low - 0.5) * spacing[i], rtol=1e-12)
        np.testing.assert_allclose(ours[f"box_{axis}1_um"], (high - 0.5) * spacing[i], rtol=1e-12)


@settings(max_examples=80, deadline=None)
@given(fields, st.sampled_from(PIXEL_TYPES), st.sampled_from(PIXEL_TYPES))
def test_intensities_equal_ndimage(field: Any, first: str, second: str) -> None:
    seed, kind, (shape, spacing) = field
    rng = np.random.default_rng(seed)
    labels = draw_labels(rng, kind, shape)
    ring = np.where(np.isin(np.roll(labels, 2, axis=-1), labels), np.roll(labels, 2, axis=-1), 0)
    # Three of one type, then another: channels are added up in groups.
    types = [first] * 3 + [second] * 2
    images = [draw_pixels(rng, kind, shape) for kind in types]
    markers = list("abcde")
    names = ("mean", "sum", "sd", "min", "max", "median", "p10", "p95", "zero_fraction")
    ours = measure(
        {"nucleus": labels, "ring": ring, "cell": labels}, images, markers, spacing,
        statistics=names,
    )  # fmt: skip
    ids = ours["label"].to_numpy()
    np.testing.assert_array_equal(ids, np.unique(labels[labels > 0]))
    for marker, image in zip(markers, images, strict=True):
        values = image.astype(np.float64)
        for compartment, own in (("nucleus", labels), ("ring", ring), ("cell", labels)):
            full = np.isin(ids, own)
            some = ids[full]
            if not some.size:
                continue
            expected = {
                "mean": ndi.mean(values, own, some),
                "sum": ndi.sum_labels(values, own, some),
                "sd": _each(np.std, values, own, some),
                "min": ndi.minimum(values, own, some),
                "max": ndi.maximum(values, own, some),
                "median": ndi.median(values, own, some),
                "p10": _each(lambda v: np.percentile(v, 10), values, own, some),
                "p95": _each(lambda v: np.percentile(v, 95), values, own, some),
                "zero_fraction": _each(lambda v: (v == 0).mean(), values, own, some),
            }
            for name, theirs in expected.items():
                mine = ours[measure_column(marker, compartment, name)].to_numpy()
                assert np.isnan(mine[~full]).all()
                # A sum in which large numbers cancel is right to the size of these.
                size = np.abs(values).max() * (values.size if name == "sum" else 1)
                np.testing.assert_allclose(
                    mine[full], theirs, rtol=1e-6, atol=1e-12 * size,
                    err_msg=f"{marker} {compartment} {name}",
                )  # fmt: skip


def _each(function: Any, values: np.ndarray, labels: np.ndarray, ids: np.ndarray) -> Any:
    return ndi.labeled_comprehension(values, labels, ids, function, float, np.nan)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64", "int64"])
def test_sums_do_not_overflow(dtype: str) -> None:
    top = np.iinfo(dtype).max
    image = np.full((300, 300), top, dtype)
    one = measure({"nucleus": np.ones((300, 300), int)}, [image], ["a"], (1, 1),
                  statistics=("sum", "mean", "sd", "max")).iloc[0]  # fmt: skip
    assert one["a_nucleus_sum"] == pytest.approx(90000 * int(top), rel=1e-12)
    assert one["a_nucleus_mean"] == pytest.approx(float(top), rel=1e-12)
    assert one["a_nucleus_sd"] == 0
    assert one["a_nucleus_max"] == float(top)


@pytest.mark.parametrize(
    ("dtype", "offset", "spread"), [("float64", 1e9, 1e-2), ("float64", -1e12, 1.0),
                                    ("float32", 1e6, 3.0), ("uint16", 60000, 5)]
)  # fmt: skip
def test_the_sd_far_from_zero_is_stable(dtype: str, offset: float, spread: float) -> None:
    rng = np.random.default_rng(3)
    image = (offset + spread * rng.standard_normal((200, 200))).astype(dtype)
    labels = np.ones((200, 200), int)
    labels[:, 90:] = 2
    # The first pixel, from which differences are taken, is an outlier.
    image[0, 0] = 0
    ours = measure({"nucleus": labels}, [image], ["a"], (1, 1))
    for row, own in enumerate((image[:, :90], image[:, 90:])):
        expected = own.astype(np.float64)
        assert ours["a_nucleus_sd"][row] == pytest.approx(expected.std(), rel=1e-6)
        assert ours["a_nucleus_mean"][row] == pytest.approx(expected.mean(), rel=1e-12)


@pytest.mark.parametrize("shape", [(40, 50), (4, 30, 20)])
@pytest.mark.parametrize("step", [0.2, 0.5, 1.3])
def test_contrast_is_of_pixels_half_a_micrometre_apart(shape: tuple[int, ...], step: float) -> None:
    rng = np.random.default_rng(4)
    labels = draw_labels(rng, "holes", shape)
    image = rng.normal(50, 9, shape)
    spacing = (2.0,) * (len(shape) - 2) + (step, 2 * step)
    ours = measure(
        {"nucleus": labels}, [image], ["a"], spacing, extra=[("a", "nucleus", "contrast")]
    )
    lags = tuple(max(1, int(0.5 / own + 0.5)) for own in spacing[-2:])
    squares: dict[int, list[float]] = {int(i): [] for i in ours["label"]}
    for axis, lag in zip((-2, -1), lags, strict=True):
        here = np.moveaxis(labels, axis, 0)[:-lag], np.moveaxis(image, axis, 0)[:-lag]
        there = np.moveaxis(labels, axis, 0)[lag:], np.moveaxis(image, axis, 0)[lag:]
        same = here[0] == there[0]
        for i, own in squares.items():
            own += list(np.square(here[1] - there[1])[same & (here[0] == i)])
    expected = [np.sqrt(np.mean(own) / 2) if own else np.nan for own in squares.values()]
    assert len(expected) >= 3 and np.isfinite(expected).all()
    np.testing.assert_allclose(ours["a_nucleus_contrast"], expected, rtol=1e-9)


def test_contrast_tells_fine_grain_from_coarse() -> None:
    rng = np.random.default_rng(5)
    fine = rng.normal(0, 10, (100, 100))
    coarse = ndi.gaussian_filter(fine, 6)
    coarse *= fine.std() / coarse.std()
    ours = measure({"nucleus": np.ones((100, 100), int)}, [fine, coarse], ["f", "c"], (0.5, 0.5),
                   statistics=("sd", "contrast")).iloc[0]  # fmt: skip
    assert ours["f_nucleus_contrast"] == pytest.approx(ours["f_nucleus_sd"], rel=0.03)
    assert ours["c_nucleus_contrast"] < 0.2 * ours["c_nucleus_sd"]
    one = measure({"nucleus": np.ones((1, 1), int)}, [fine[:1, :1]], ["a"], (0.5, 0.5),
                  statistics=("contrast",))  # fmt: skip
    assert one["a_nucleus_contrast"].isna().all()  # one pixel has no contrast, not 0


def test_fractions_are_of_each_compartment() -> None:
    nuclei = np.array([[1, 1, 2, 0, 0]])
    ring = np.array([[0, 0, 0, 1, 1]])
    images = np.array([[[0.0, 5, 9, 5, 5]], [[1.0, 0, 0, 0, 7]]])
    clipped = images >= 9
    table = measure(
        {"nucleus": nuclei, "ring": ring}, images, ["a", "b"], (1, 1), clipped=clipped,
        statistics=("fraction_above", "zero_fraction", "saturated_fraction"),
        thresholds={"a": 4.0, "b": 6.0},
    )  # fmt: skip
    assert table["a_nucleus_fraction_above"].tolist() == [0.5, 1]
    assert table["b_ring_fraction_above"].tolist()[0] == 0.5
    assert table["a_nucleus_zero_fraction"].tolist() == [0.5, 0]
    assert table["b_nucleus_zero_fraction"].tolist() == [0.5, 1]
    assert table["a_nucleus_saturated_fraction"].tolist() == [0, 1]
    assert table["a_ring_saturated_fraction"].tolist()[0] == 0
    assert table.filter(like="ring_").drop(columns="ring_area_um2").iloc[1].isna().all()
    assert table["saturated_fraction"].tolist() == [0, 1]


def test_what_costs_a_pass_is_done_only_if_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.ones((8, 8), np.uint32)
    passes = []
    before = _totals.runs_of
    monkeypatch.setattr(_totals, "runs_of", lambda *a: passes.append(1) or before(*a))

    def counted(**options: Any) -> int:
        passes.clear()
        measure({"nucleus": labels, "cell": labels}, np.ones((2, 8, 8)), ["a", "b"], (1, 1),
                **options)  # fmt: skip
        return len(passes)

    free = ("mean", "sum", "sd", "min", "max", "zero_fraction")
    assert counted(statistics=free, clipped=np.ones((2, 8, 8), bool)) == 1
    assert counted(solidity=True) == 2
    assert counted(extra=[("a", "nucleus", "p90"), ("a", "nucleus", "p95")]) == 2
    assert counted(extra=[("a", "nucleus", "median"), ("b", "cell", "contrast")]) == 3

import warnings

import numpy as np
import pandas as pd
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import perimeter_crofton, regionprops, regionprops_table

from imganalysis.errors import LabelsError
from imganalysis.quantify.measure import measure
from imganalysis.tables import measure_column


def random_field(seed: int, shape=(24, 31), n=6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    numbers = np.concatenate([[0], rng.choice(90000, n, replace=False) + 1])
    labels = rng.choice(numbers, shape).astype(np.uint32)
    labels[: shape[0] // 2] = 0
    labels[0, 0] = numbers[1]
    return labels, rng.normal(100, 30, (2, *shape)).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from(
        [((24, 31), (1.0, 1.0)), ((24, 31), (0.5, 0.23)), ((4, 9, 11), (2.0, 0.5, 0.4))]
    ),
)
def test_equal_to_scikit_image(seed, grid):
    shape, spacing = grid
    labels, images = random_field(seed, shape)
    found = measure({"nucleus": labels}, images, ["a", "b"], spacing)
    expected = pd.DataFrame(
        regionprops_table(
            labels,
            np.moveaxis(images.astype(np.float64), 0, -1),
            properties=("label", "area", "centroid", "equivalent_diameter_area", "intensity_mean"),
            spacing=spacing,
        )
    )
    flat = len(shape) == 2
    names = {
        "label": "label",
        "area": "area_um2" if flat else "volume_um3",
        "equivalent_diameter_area": "equivalent_diameter_um",
        "intensity_mean-0": "a_nucleus_mean",
        "intensity_mean-1": "b_nucleus_mean",
    }
    axes = ["y", "x"] if flat else ["z", "y", "x"]
    names |= {f"centroid-{i}": f"centroid_{axis}_um" for i, axis in enumerate(axes)}
    for theirs, ours in names.items():
        np.testing.assert_allclose(found[ours], expected[theirs], rtol=1e-9, err_msg=ours)
    unused = ["volume_um3", "centroid_z_um"] if flat else ["area_um2", "perimeter_um"]
    assert found[unused].isna().all(axis=None)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_statistics_equal_numpy(seed):
    labels, images = random_field(seed)
    ring = np.roll(labels, 3, axis=1)
    names = ("mean", "sd", "sum", "median", "p5", "p90", "p95", "fraction_above")
    found = measure(
        {"nucleus": labels, "ring": ring},
        images,
        ["a", "b"],
        (1.0, 1.0),
        statistics=names,
        thresholds={"a": 100.0, "b": 80.0},
    )
    for i, (marker, level) in enumerate((("a", 100.0), ("b", 80.0))):
        for compartment, image in (("nucleus", labels), ("ring", ring)):
            for _, row in found.iterrows():
                pixels = images[i][image == row["label"]].astype(np.float64)
                expected = {
                    "mean": pixels.mean(),
                    "sd": pixels.std(),
                    "sum": pixels.sum(),
                    "median": np.median(pixels),
                    "p5": np.percentile(pixels, 5),
                    "p90": np.percentile(pixels, 90),
                    "p95": np.percentile(pixels, 95),
                    "fraction_above": (pixels > level).mean(),
                }
                got = {s: row[measure_column(marker, compartment, s)] for s in names}
                assert got == pytest.approx(expected, rel=1e-9)


def disc(radius: float, shape=(80, 80), centre=(40.0, 40.0), stretch=1.0) -> np.ndarray:
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    inside = np.hypot((yy - centre[0]) / stretch, xx - centre[1]) <= radius
    return inside.astype(np.uint32)


def one(labels: np.ndarray, spacing=(1.0, 1.0), **options) -> pd.Series:
    table = measure({"nucleus": labels}, np.ones((1, *labels.shape)), ["a"], spacing, **options)
    assert len(table) == 1
    return table.iloc[0]


def test_shape_of_a_disc_and_of_an_ellipse():
    row = one(disc(20), (0.5, 0.5), solidity=True)
    assert row["equivalent_diameter_um"] == pytest.approx(20, rel=0.02)
    assert row["perimeter_um"] == pytest.approx(np.pi * 20, rel=0.03)
    assert row["aspect_ratio"] == pytest.approx(1, abs=0.01)
    assert row["solidity"] == pytest.approx(1, abs=0.05)
    assert one(disc(16, stretch=2.0))["aspect_ratio"] == pytest.approx(2, rel=0.02)
    # The same disc, seen with pixels that are not square.
    row = one(disc(16, stretch=2.0), (0.5, 1.0))
    assert row["aspect_ratio"] == pytest.approx(1, abs=0.02)
    assert row["perimeter_um"] == pytest.approx(np.pi * 32, rel=0.03)


def test_perimeter_and_solidity_equal_scikit_image():
    labels = disc(20, stretch=1.6)
    labels[30:50, 40:] = 0
    row = one(labels, solidity=True)
    assert row["perimeter_um"] == pytest.approx(perimeter_crofton(labels, directions=4), rel=1e-9)
    assert row["solidity"] == pytest.approx(regionprops(labels)[0].solidity)


def test_objects_that_touch_have_their_own_perimeters():
    labels = disc(10, centre=(40.0, 25.0))
    labels[disc(10, centre=(40.0, 46.0)) > 0] = 2
    both = measure({"nucleus": labels}, np.ones((1, 80, 80)), ["a"], (1, 1))
    assert both["perimeter_um"].to_numpy() == pytest.approx(2 * np.pi * 10, rel=0.05)


def test_a_single_pixel_and_a_line():
    labels = np.zeros((9, 9), int)
    labels[4, 4] = 1
    labels[6, 1:8] = 2
    table = measure({"nucleus": labels}, np.ones((1, 9, 9)), ["a"], (1, 1), solidity=True)
    assert table["aspect_ratio"].tolist() == pytest.approx([1, 7])
    assert table["a_nucleus_sd"].tolist() == [0, 0]
    assert table["solidity"].tolist() == [1, 1]


def test_ring_without_pixels_is_empty_never_zero():
    nuclei = np.array([[1, 1, 2], [0, 0, 2]])
    ring = np.array([[0, 0, 0], [1, 1, 0]])
    image = np.array([[[9.0, 9, 5], [3, 3, 5]]])
    table = measure({"nucleus": nuclei, "ring": ring, "cell": nuclei + ring}, image, ["a"], (2, 2))
    assert table["a_ring_mean"].iloc[0] == 3
    assert np.isnan(table["a_ring_mean"].iloc[1])
    assert np.isnan(table["a_ring_sd"].iloc[1])
    assert table["ring_area_um2"].tolist() == [8, 0]
    assert table["cell_area_um2"].tolist() == [16, 8]
    assert table["a_max_mean"].iloc[0] == 9
    assert table["a_max_mean"].iloc[1] == 5  # no ring: the nucleus, not half a measurement


def test_max_is_unknown_where_a_pixel_is_broken():
    nuclei = np.array([[1, 2, 3, 0, 0, 0]])
    ring = np.array([[0, 0, 0, 0, 1, 2]])
    image = np.array([[[9.0, np.nan, np.nan, 0, np.inf, 5]]])
    table = measure({"nucleus": nuclei, "ring": ring}, image, ["a"], (1, 1))
    assert table["a_max_mean"].isna().all()


def test_max_is_the_greater_of_nucleus_and_ring():
    nuclei = np.array([[1, 0, 2, 0]])
    ring = np.array([[0, 1, 0, 2]])
    image = np.array([[[1.0, 5, 7, 2]]])
    labels = {"nucleus": nuclei, "ring": ring}
    table = measure(labels, image, ["a"], (1, 1), extra=[("a", "max", "p90")])
    assert table["a_max_mean"].tolist() == [5, 7]
    assert table["a_max_p90"].tolist() == [5, 7]
    assert "a_max_mean" not in measure({"nucleus": nuclei}, image, ["a"], (1, 1))


def test_extra_statistics_are_added_once():
    labels, images = random_field(0)
    table = measure(
        {"nucleus": labels}, images, ["a", "b"], (1, 1), extra=[("b", "nucleus", "p95")] * 2
    )
    measured = [c for c in table.columns if c.startswith(("a_", "b_"))]
    assert sorted(measured) == [
        "a_nucleus_mean", "a_nucleus_sd", "b_nucleus_mean", "b_nucleus_p95", "b_nucleus_sd",
    ]  # fmt: skip


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_broken_pixel_breaks_its_object_only(value):
    nuclei = np.array([[1, 1, 2, 2]])
    image = np.array([[[1.0, value, 3, 4]]])
    names = ("mean", "sd", "median", "sum")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = measure({"nucleus": nuclei}, image, ["a"], (1, 1), statistics=names)
    columns = [measure_column("a", "nucleus", s) for s in names]
    assert table.loc[0, columns].isna().all()
    assert table.loc[1, columns].tolist() == [3.5, 0.5, 3.5, 7]


def test_clipped_share_is_of_the_worst_channel():
    nuclei = np.array([[1, 1, 1, 1, 2]])
    clipped = np.array([[[True, False, False, False, False]], [[True, True, False, False, False]]])
    images = np.ones((2, 1, 5))
    table = measure({"nucleus": nuclei}, images, ["a", "b"], (1, 1), clipped=clipped)
    assert table["saturated_fraction"].tolist() == [0.5, 0]
    table = measure({"nucleus": nuclei}, images, ["a", "b"], (1, 1))
    assert table["saturated_fraction"].isna().all()


def test_no_nuclei_give_an_empty_table_with_every_column():
    empty = np.zeros((8, 8), np.uint32)
    images = np.ones((1, 8, 8))
    labels = {"nucleus": empty, "ring": empty, "cell": empty}
    statistics = ("mean", "sd", "median")
    table = measure(labels, images, ["a"], (1, 1), statistics=statistics, clipped=images > 2)
    full = measure(dict.fromkeys(labels, empty + 1), images, ["a"], (1, 1), statistics=statistics)
    assert len(table) == 0
    assert list(table.columns) == list(full.columns)
    assert list(table.dtypes) == list(full.dtypes)


def test_large_sums_are_exact():
    labels = np.ones((400, 400), np.uint32)
    image = np.full((1, 400, 400), 65535, np.uint16)
    image[0, 0, 0] = 65534
    assert one(labels).label == 1
    table = measure({"nucleus": labels}, image, ["a"], (1, 1), statistics=("sum",))
    assert table["a_nucleus_sum"].iloc[0] == 160000 * 65535 - 1


def test_labels_are_not_changed_and_must_fit():
    labels, images = random_field(1)
    before = labels.copy()
    measure({"nucleus": labels, "cell": labels}, images, ["a", "b"], (1, 1))
    np.testing.assert_array_equal(labels, before)
    strange = labels.copy()
    strange[0, 1] = 4_000_000_000
    with pytest.raises(LabelsError, match="cell: label 4000000000 belongs to no nucleus"):
        measure({"nucleus": labels, "cell": strange}, images, ["a", "b"], (1, 1))
    with pytest.raises(LabelsError, match=r"ring: shape \(24, 30\)"):
        measure({"nucleus": labels, "ring": labels[:, :30]}, images, ["a", "b"], (1, 1))
    with pytest.raises(ValueError, match=r"images: expected the shape \(3, 24, 31\)"):
        measure({"nucleus": labels}, images, ["a", "b", "c"], (1, 1))
    with pytest.raises(ValueError, match="unknown statistic 'mode'"):
        measure({"nucleus": labels}, images, ["a", "b"], (1, 1), statistics=("mode",))
    with pytest.raises(ValueError, match="fraction_above of a needs a threshold"):
        measure({"nucleus": labels}, images, ["a", "b"], (1, 1), statistics=("fraction_above",))
    with pytest.raises(ValueError, match="nothing to measure a in ring from"):
        measure({"nucleus": labels}, images, ["a", "b"], (1, 1), extra=[("a", "ring", "mean")])


@pytest.mark.realdata
def test_areas_and_means_of_another_program(testdata):
    """The label map of a commercial program gives the areas and means of its own table."""
    folder = testdata / "multiplex-vectra"
    channels = ["Alexa 594", "Cy3", "Cy5", "DAPI", "FITC"]
    path = folder / "FIHC4_2_component_data.tif"
    images = np.stack([tifffile.imread(path, key=i) for i in range(5)])
    nuclei = tifffile.imread(folder / "FIHC4_2_binary_seg_maps.tif", key=1)
    theirs = pd.read_csv(folder / "FIHC4_2_cell_seg_data.txt", sep="\t").set_index("Cell ID")
    ours = measure({"nucleus": nuclei}, images, channels, (0.497, 0.497)).set_index("label")
    assert len(ours) == 270
    assert sorted(ours.index) == sorted(theirs.index)
    theirs = theirs.loc[ours.index]
    pixels = ours["area_um2"] / 0.497**2
    np.testing.assert_allclose(pixels, theirs["Nucleus Area (pixels)"], rtol=1e-9)
    for channel in channels:
        table = theirs[f"Nucleus {channel} Mean (Normalized Counts, Total Weighting)"]
        difference = ours[measure_column(channel, "nucleus", "mean")] - table.astype(float)
        assert difference.abs().max() <= 0.0005

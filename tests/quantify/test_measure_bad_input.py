"""What cannot be measured ends in a clear error or in nothing, never in 0."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
import pytest

from imganalysis.errors import LabelsError
from imganalysis.quantify.frame import evaluate
from imganalysis.quantify.measure import measure
from imganalysis.settings import Measuring

NUCLEI = np.array([[1, 1, 0, 2], [1, 1, 0, 2]], np.uint32)
IMAGE = np.array([[1.0, 2, 9, 3], [1, 2, 9, 3]], np.float32)


def run(nuclei: Any = NUCLEI, images: Any = (IMAGE,), markers: Any = ("a",), **options: Any) -> Any:
    return measure({"nucleus": nuclei}, images, markers, (1.0, 1.0), **options)


@pytest.mark.parametrize("lazy", [False, True], ids=["numpy", "dask"])
@pytest.mark.parametrize(
    ("nuclei", "said"),
    [
        (NUCLEI.astype(np.float32), "nucleus: pixels of type float32, expected whole numbers"),
        (NUCLEI > 0, "nucleus: a mask of yes and no"),
        (np.where(NUCLEI == 2, -2, NUCLEI.astype(np.int64)), "nucleus: smallest label -2"),
        (np.where(NUCLEI == 2, -2, NUCLEI.astype(np.int8)), "nucleus: smallest label -2"),
        (np.where(NUCLEI == 2, 2**32, NUCLEI.astype(np.int64)), "largest label 4294967296"),
        (np.where(NUCLEI == 2, 2**63, NUCLEI.astype(np.uint64)), "largest label 922337203685477"),
    ],
    ids=["float", "mask", "negative", "negative int8", "2**32", "2**63"],
)  # fmt: skip
def test_no_labels_are_refused(nuclei: np.ndarray, said: str, lazy: bool) -> None:
    with pytest.raises(LabelsError, match=said.replace("*", r"\*")):
        run(da.from_array(nuclei, (1, 2)) if lazy else nuclei)


@pytest.mark.parametrize("lazy", [False, True], ids=["numpy", "dask"])
@pytest.mark.parametrize("dtype", [np.uint32, np.int64, np.uint64])
@pytest.mark.parametrize("number", [2**31 - 1, 2**31, 2**32 - 1])
def test_large_numbers_are_measured(number: int, dtype: type, lazy: bool) -> None:
    nuclei = np.where(NUCLEI == 2, number, NUCLEI.astype(dtype)).astype(dtype)
    table = run(da.from_array(nuclei, (1, 2)) if lazy else nuclei)
    assert table["label"].tolist() == [1, number]
    assert table["a_nucleus_mean"].tolist() == [1.5, 3]


def test_arrays_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match=r"images: b has the shape \(2, 3\), but the labels have"):
        run(images=[IMAGE, IMAGE[:, :3]], markers=["a", "b"])
    with pytest.raises(ValueError, match="images: expected one for each of 2 markers, got 1"):
        run(markers=["a", "b"])
    with pytest.raises(ValueError, match="a is of type complex64, expected real numbers"):
        run(images=[IMAGE.astype(np.complex64)])
    with pytest.raises(ValueError, match=r"clipped: expected the shape \(1, 2, 4\)"):
        run(clipped=IMAGE > 2)
    with pytest.raises(ValueError, match="clipped: a is of type float32"):
        run(clipped=[IMAGE])
    with pytest.raises(ValueError, match="each must have a name of its own; got a, a"):
        run(images=[IMAGE, IMAGE], markers=["a", "a"])
    with pytest.raises(LabelsError, match=r"cell: shape \(2, 3\), but the nuclei have \(2, 4\)"):
        measure({"nucleus": NUCLEI, "cell": NUCLEI[:, :3]}, [IMAGE], ["a"], (1, 1))
    with pytest.raises(ValueError, match="expected nucleus and, if there are any, ring and cell"):
        measure({"cell": NUCLEI}, [IMAGE], ["a"], (1, 1))
    with pytest.raises(ValueError, match="expected nucleus and, if there are any, ring and cell"):
        measure({"nucleus": NUCLEI, "membrane": NUCLEI}, [IMAGE], ["a"], (1, 1))
    for spacing in ((1.0, 0.0), (1.0, float("nan")), (-1.0, 1.0)):
        with pytest.raises(ValueError, match="in um and greater than 0"):
            measure({"nucleus": NUCLEI}, [IMAGE], ["a"], spacing)
    wrong: Any
    for wrong in (1.0, ("1", "1"), None, np.float64(0.5), (1.0, None), "11"):
        with pytest.raises(ValueError, match="spacing_um: expected one number in um for each axis"):
            measure({"nucleus": NUCLEI}, [IMAGE], ["a"], wrong)
    assert len(measure({"nucleus": NUCLEI}, [IMAGE], ["a"], tuple(np.ones(2, np.float32))))
    with pytest.raises(ValueError, match="labels have 2 or 3 axes"):
        measure({"nucleus": NUCLEI[0]}, [IMAGE[0]], ["a"], (1.0,))


def test_statistics_that_cannot_be_taken_are_refused() -> None:
    for name in ("mode", "p101", "p9.5", "p-1", "p", "p²"):
        with pytest.raises(ValueError, match="unknown statistic"):
            run(statistics=(name,))
    with pytest.raises(ValueError, match="saturated_fraction of a needs the clipped pixels"):
        run(statistics=("saturated_fraction",))
    wrong: Any
    for wrong in (np.nan, np.inf, -np.inf, "1", None):
        with pytest.raises(ValueError, match="fraction_above of a: its threshold is a finite"):
            run(statistics=("fraction_above",), thresholds={"a": wrong})
    with pytest.raises(ValueError, match="nothing to measure a in max from"):
        run(extra=[("a", "max", "mean")])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_cell_of_nan_has_no_statistic_and_a_reason(value: float) -> None:
    image = np.where(NUCLEI == 2, value, IMAGE)
    names = ("mean", "sum", "sd", "min", "max", "median", "p5", "contrast", "zero_fraction",
             "fraction_above", "saturated_fraction")  # fmt: skip
    table = run(images=[image, IMAGE], markers=["a", "b"], statistics=names,
                thresholds={"a": 1.0, "b": 1.0}, clipped=np.zeros((2, 2, 4), bool))  # fmt: skip
    assert len(names) == len(table.filter(regex="^a_").columns)
    assert table.filter(regex="^a_").iloc[1].isna().all()
    assert table.filter(regex="^a_").iloc[0].notna().all()
    assert table.filter(regex="^b_").notna().all(axis=None)
    inside = np.ones((2, 4), bool)
    judged = evaluate(table, inside, inside, (1, 1), Measuring(guard_um=0, min_diameter_um=0),
                      ["a_nucleus_mean"])  # fmt: skip
    assert judged["exclusion"].tolist() == ["", "not_measurable"]


@pytest.mark.parametrize("shape", [(2, 4), (0, 4), (3, 2, 4)])
@pytest.mark.parametrize("lazy", [False, True], ids=["numpy", "dask"])
def test_no_objects_give_no_rows_and_every_column(shape: tuple[int, ...], lazy: bool) -> None:
    spacing = (1.0,) * len(shape)
    options: dict[str, Any] = {
        "statistics": ("mean", "sd", "p90", "contrast", "zero_fraction"), "solidity": True,
    }  # fmt: skip
    none = np.zeros(shape, np.uint32)
    images = np.ones((2, *shape), np.float32)
    given = da.from_array(none, none.shape) if lazy else none
    table = measure({"nucleus": given, "ring": none}, images, ["a", "b"], spacing, **options)
    one = np.ones((4,) * len(shape), np.uint32)
    full = measure({"nucleus": one, "ring": one}, np.ones((2, *one.shape)), ["a", "b"], spacing,
                   **options)  # fmt: skip
    assert len(table) == 0
    assert list(table.columns) == list(full.columns)
    assert list(table.dtypes) == list(full.dtypes)

import numpy as np
import pytest

from imganalysis.errors import LabelsError
from imganalysis.segment import check_labels, label_ids, relabel, touching_border


def test_labels_keep_their_numbers_and_become_uint32():
    given = np.array([[0, 70000], [3, 65536]], np.int64)
    checked = check_labels(given, (2, 2))
    assert checked.dtype == np.uint32
    np.testing.assert_array_equal(checked, given)
    assert given.dtype == np.int64
    np.testing.assert_array_equal(label_ids(checked), [3, 65536, 70000])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((2, 2)), r"nuclei.tif: pixels of type float64, expected whole numbers"),
        (np.zeros((2, 2), bool), r"nuclei.tif: a mask of yes and no"),
        (np.array([[0, -1], [0, 0]]), r"smallest label -1"),
        (np.zeros((2, 3), int), r"shape \(2, 3\), but the field has \(2, 2\)"),
        (np.array([[0, 2**32], [0, 0]]), r"largest label 4294967296"),
    ],
)
def test_what_is_no_label_image_is_refused(labels, message):
    with pytest.raises(LabelsError, match=message):
        check_labels(labels, (2, 2), source="nuclei.tif")


def test_relabel_counts_in_raster_order():
    given = np.array([[0, 9, 9], [4, 0, 9], [4, 0, 70000]])
    np.testing.assert_array_equal(relabel(given), [[0, 1, 1], [2, 0, 1], [2, 0, 3]])
    assert relabel(given).dtype == np.uint32
    assert not relabel(np.zeros((3, 3), int)).any()


def test_touching_border_looks_at_y_and_x_only():
    flat = np.zeros((6, 6), np.uint32)
    flat[0, 2], flat[3, 3], flat[4, 5], flat[2, 0] = 5, 6, 7, 8
    np.testing.assert_array_equal(touching_border(flat), [5, 7, 8])
    stack = np.zeros((3, 6, 6), np.uint32)
    stack[0, 3, 3], stack[1, 5, 3] = 1, 2
    np.testing.assert_array_equal(touching_border(stack), [2])

"""Labels to flows and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import ndimage as ndi

from imganalysis.segment.flows import flows_to_labels, labels_to_flows, tidy

if TYPE_CHECKING:
    from numpy.typing import NDArray


def ious(truth: NDArray[np.int32], found: NDArray[np.int32]) -> NDArray[np.float64]:
    """For each true object its best overlap with one that was found."""
    n, m = int(truth.max()) + 1, int(found.max()) + 1
    both = np.bincount((truth.astype(np.int64) * m + found).ravel(), minlength=n * m)
    both = both.reshape(n, m)
    union = both.sum(1)[:, None] + both.sum(0)[None] - both
    return (both / union)[1:, 1:].max(axis=1, initial=0)


def logit(labels: NDArray[np.int32]) -> NDArray[np.float32]:
    return np.where(labels > 0, 5, -5).astype(np.float32)


def blobs(seed: int, n: int = 14, size: int = 160) -> NDArray[np.int32]:
    """Ellipses with dents, each in one piece, many of them touching."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    labels = np.zeros((size, size), np.int32)
    for k in range(1, n + 1):
        cy, cx = rng.uniform(10, size - 10, 2)
        angle = np.arctan2(y - cy, x - cx) + rng.uniform(0, 6)
        radius = rng.uniform(6, 12) * (1 + 0.15 * np.cos(2 * angle) + 0.05 * np.cos(3 * angle))
        labels[(np.hypot(y - cy, x - cx) < radius) & (labels == 0)] = k
    return tidy(labels, 40)


@pytest.mark.parametrize("seed", range(5))
def test_blobs_come_back(seed: int) -> None:
    labels = blobs(seed)
    found = flows_to_labels(labels_to_flows(labels), logit(labels))
    assert len(np.unique(labels)) == len(np.unique(found))
    assert ious(labels, found).min() > 0.9


def test_touching_nuclei_come_back_apart() -> None:
    y, x = np.mgrid[:60, :80]
    labels = np.zeros((60, 80), np.int32)
    for k, centre in enumerate([(20, 20), (20, 36), (34, 28), (34, 44)], 1):
        labels[(np.hypot(y - centre[0], x - centre[1]) < 9.5) & (labels == 0)] = k
    _, n = ndi.label(labels > 0)
    assert n == 1, "the nuclei of this test touch"
    found = flows_to_labels(labels_to_flows(labels), logit(labels))
    assert found.max() == 4
    assert ious(labels, found).min() > 0.95


@pytest.mark.parametrize("seed", range(3))
def test_noise_on_the_flows_does_no_harm(seed: int) -> None:
    labels = blobs(seed)
    noise = np.random.default_rng(seed).normal(0, 0.3, (2, *labels.shape)).astype(np.float32)
    found = flows_to_labels(labels_to_flows(labels) + noise, logit(labels))
    assert ious(labels, found).min() > 0.8


def test_flows_have_length_one_inside_and_none_outside() -> None:
    labels = blobs(1)
    length = np.hypot(*labels_to_flows(labels))
    assert not length[labels == 0].any()
    inside = length[labels > 0]
    assert np.mean(np.abs(inside - 1) < 1e-5) > 0.98  # a centre of symmetry may have none
    assert ((inside < 1e-5) | (np.abs(inside - 1) < 1e-5)).all()


def test_flows_lead_to_the_centre() -> None:
    y, x = np.mgrid[:41, :41]
    labels = (np.hypot(y - 20, x - 20) < 15).astype(np.int32)
    flow_y, flow_x = labels_to_flows(labels)
    out = np.hypot(y - 20, x - 20)
    towards = -(flow_y * (y - 20) + flow_x * (x - 20)) / np.maximum(out, 1)
    assert towards[(labels > 0) & (out > 1)].min() > 0.9


def test_the_flows_of_a_nucleus_do_not_depend_on_its_number_or_neighbours() -> None:
    labels = blobs(2)
    other = np.where(labels > 0, 100_000 - 7 * labels, 0)
    np.testing.assert_array_equal(labels_to_flows(labels), labels_to_flows(other))
    one = np.where(labels == 3, 1, 0)
    np.testing.assert_array_equal(
        labels_to_flows(one)[:, labels == 3], labels_to_flows(labels)[:, labels == 3]
    )


def test_turned_labels_have_turned_flows() -> None:
    labels = blobs(3)
    flow_y, flow_x = labels_to_flows(labels)
    turned = labels_to_flows(np.ascontiguousarray(labels.T))
    # Sums in another order: the last digits may differ, and ties of the centre as well.
    assert np.mean(np.abs(turned - np.stack([flow_x.T, flow_y.T])) < 1e-3) > 0.99


def test_flows_that_no_shape_explains_are_dropped() -> None:
    labels = blobs(4)
    flows = labels_to_flows(labels)
    wrong = labels == labels.max()
    flows[:, wrong] = np.stack([np.full(wrong.sum(), 0.6), np.full(wrong.sum(), 0.8)])
    kept = flows_to_labels(flows, logit(labels))
    all_of_them = flows_to_labels(flows, logit(labels), max_error=0)
    assert not kept[wrong].any()
    assert all_of_them[wrong].any()


def test_holes_are_filled_and_specks_dropped() -> None:
    labels = np.zeros((40, 40), np.int32)
    labels[5:20, 5:20] = 1
    labels[30:32, 30:32] = 2
    score = logit(labels)
    score[11:13, 11:13] = -5
    found = flows_to_labels(labels_to_flows(labels), score, min_size=12)
    assert found.max() == 1
    assert found[11:13, 11:13].all()
    assert not found[30:32, 30:32].any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2), (30, 30)])
def test_nothing_inside_gives_nothing(shape: tuple[int, int]) -> None:
    none = np.zeros(shape, np.int32)
    assert not labels_to_flows(none).any()
    assert not flows_to_labels(np.zeros((2, *shape), np.float32), logit(none)).any()


@pytest.mark.parametrize("shape", [(1, 30), (30, 1), (12, 12)])
def test_an_image_full_of_one_nucleus_gives_one(shape: tuple[int, int]) -> None:
    full = np.ones(shape, np.int32)
    found = flows_to_labels(labels_to_flows(full), logit(full))
    np.testing.assert_array_equal(found, full)

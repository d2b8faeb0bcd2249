"""Scores of label images, against a slow and independent way of computing them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.metrics import contingency_table

from imganalysis.errors import LabelsError
from imganalysis.segment.scores import (
    THRESHOLDS,
    Counts,
    count,
    overlap,
    size_tertiles,
)

# Exact: 11 of 20 pixels are an IoU of 0.55, in whichever way it is divided.
EXACT = {t: Fraction(f"{t:g}") for t in THRESHOLDS}


def objects(labels: np.ndarray) -> list[set[int]]:
    """Pixels of each object, one by one."""
    flat = labels.ravel().tolist()
    return [{i for i, v in enumerate(flat) if v == n} for n in sorted(set(flat) - {0})]


def most_pairs(near: list[list[bool]]) -> int:
    """Most pairs one to one, by trying every partner of every object."""
    if not near:
        return 0
    first, rest = near[0], near[1:]
    best = most_pairs(rest)
    for column, yes in enumerate(first):
        if yes:
            left = [[y and c != column for c, y in enumerate(row)] for row in rest]
            best = max(best, 1 + most_pairs(left))
    return best


def slow_counts(true: np.ndarray, found: np.ndarray) -> Counts:
    ours, theirs = objects(true), objects(found)
    hits = []
    for threshold in THRESHOLDS:
        limit = EXACT[threshold]
        near = [[Fraction(len(a & b), len(a | b)) >= limit for b in theirs] for a in ours]
        hits.append(most_pairs(near))
    cover = [[Fraction(len(a & b), len(a)) > Fraction(1, 5) for b in theirs] for a in ours]
    return Counts(
        THRESHOLDS,
        tuple(hits),
        tuple(len(theirs) - h for h in hits),
        tuple(len(ours) - h for h in hits),
        sum(sum(row) > 1 for row in cover),
        sum(sum(column) > 1 for column in zip(*cover, strict=True)),
    )


small = arrays(np.uint8, (5, 6), elements=st.integers(0, 4))


@given(small, small)
def test_counts_are_those_of_the_slow_way(true: np.ndarray, found: np.ndarray) -> None:
    assert count(overlap(true, found)) == slow_counts(true, found)


@given(small, st.lists(st.tuples(st.integers(0, 29), st.integers(0, 4)), max_size=6))
def test_counts_of_labels_that_nearly_agree(
    true: np.ndarray, changes: list[tuple[int, int]]
) -> None:
    found = true.copy()
    for place, value in changes:
        found.flat[place] = value
    assert count(overlap(true, found)) == slow_counts(true, found)


@given(small, small)
def test_overlap_is_the_contingency_table(true: np.ndarray, found: np.ndarray) -> None:
    table = contingency_table(true.astype(int), found.astype(int)).toarray()
    pairs = overlap(true, found)
    shared = {
        (int(pairs.true_ids[i]), int(pairs.found_ids[j])): int(n)
        for (i, j), n in zip(pairs.pairs, pairs.shared, strict=True)
    }
    inner = np.argwhere(table[1:, 1:]) + 1
    assert shared == {(int(i), int(j)): int(table[i, j]) for i, j in inner}
    assert pairs.true_size.tolist() == [int((true == i).sum()) for i in pairs.true_ids]


@given(small, small)
def test_numbers_of_objects_do_not_matter(true: np.ndarray, found: np.ndarray) -> None:
    expected = count(overlap(true, found))
    gaps = np.array([0, 7, 3, 2**31, 2**63 + 5], np.uint64)
    assert count(overlap(gaps[true], gaps[::-1][4 - found])) == expected
    swapped = np.array([0, 4, 3, 2, 1], np.int32)
    assert count(overlap(swapped[true], found.astype(np.int64))) == expected


@given(small, small)
def test_classes_of_size_add_up(true: np.ndarray, found: np.ndarray) -> None:
    pairs = overlap(true, found)
    classes = size_tertiles([pairs])
    parts = [count(pairs, sizes=limits) for limits in classes.values()]
    assert sum(parts, Counts()) == (count(pairs) if classes else Counts())


def squares(*corners: tuple[int, int], side: int = 10) -> np.ndarray:
    labels = np.zeros((60, 60), np.uint16)
    for number, (y, x) in enumerate(corners, 1):
        labels[y : y + side, x : x + side] = number
    return labels


def test_nothing_to_find_and_nothing_found() -> None:
    empty, two = squares(), squares((0, 0), (30, 30))
    nothing = count(overlap(empty, empty))
    assert nothing == Counts()
    assert nothing.ap() == nothing.f1() == (None,) * len(THRESHOLDS)
    assert nothing.as_dict()["count_error"] is None
    missed = count(overlap(two, empty))
    assert (missed.n_true, missed.n_found, missed.ap()[0], missed.f1()[0]) == (2, 0, 0.0, 0.0)
    assert missed.precision()[0] is None and missed.recall()[0] == 0.0
    assert missed.count_error() == -1.0 and missed.merge_rate() is None
    extra = count(overlap(empty, two))
    assert (extra.n_true, extra.n_found, extra.ap()[0]) == (0, 2, 0.0)
    assert extra.recall()[0] is None and extra.precision()[0] == 0.0
    assert extra.split_rate() is None


def test_a_class_of_size_without_any_object_has_no_score() -> None:
    true, found = squares((0, 0), (30, 30)), squares((0, 0), (30, 30), side=13)
    pairs = overlap(true, found)  # IoU 0.59: at higher ones what is found goes by its own size
    classes = {name: count(pairs, sizes=s) for name, s in size_tertiles([pairs]).items()}
    large = classes["large"]
    assert (large.n_true, large.n_found, large.false[-1]) == (0, 0, 2)
    assert large.ap() == large.f1() == (None,) * len(THRESHOLDS)
    assert classes["small"].ap()[0] == 1.0 and classes["small"].ap()[-1] == 0.0


def test_an_image_without_pixels() -> None:
    none = np.zeros((0, 4), np.uint8)
    assert count(overlap(none, none)) == Counts()


def test_rates_by_hand() -> None:
    # Four true squares: one found exactly, one in two halves, one missed, one beside a stray.
    true = squares((0, 0), (0, 30), (30, 0), (30, 30))
    found = squares((0, 0), (30, 30), (50, 50))
    found[0:10, 30:35], found[0:10, 35:40] = 10, 20
    found[40:43, 30:40] = 2  # the fourth is found 3 rows too long: IoU 10 / 13 = 0.77
    pooled = count(overlap(true, found))
    # At 0.5 one half is a hit, as its IoU is 0.5 exactly; the other is one too many.
    assert pooled.hits == (3, 2, 2, 2, 2, 2, 1, 1, 1)
    assert pooled.false == (2, 3, 3, 3, 3, 3, 4, 4, 4)
    assert pooled.missed == (1, 2, 2, 2, 2, 2, 3, 3, 3)
    scores = pooled.as_dict()
    assert scores["ap"]["0.5"] == 3 / 6 and scores["f1"]["0.5"] == 6 / 9
    assert scores["ap"]["0.9"] == 1 / 8
    assert (scores["precision"], scores["recall"]) == (3 / 5, 3 / 4)
    assert (scores["split_rate"], scores["merge_rate"]) == (1 / 4, 0.0)
    assert scores["count_error"] == 1 / 4


def test_a_merge_is_a_found_object_over_two_true_ones() -> None:
    true = squares((0, 0), (0, 10), (30, 30))
    found = np.zeros_like(true)
    found[0:10, 0:20] = 1
    found[30:40, 30:40] = 2
    pooled = count(overlap(true, found))
    assert (pooled.merges, pooled.splits) == (1, 0)
    assert pooled.merge_rate() == 1 / 2
    # A fifth of the second one is not enough, a little more is.
    found[0:10, 12:20] = 0
    assert count(overlap(true, found)).merges == 0
    found[0:1, 12:13] = 1
    assert count(overlap(true, found)).merges == 1


def test_objects_that_compete_at_half_are_paired_one_to_one() -> None:
    # Both true objects reach half with the first found one, only the second with the other.
    true = np.array([[1, 1, 1, 2, 2, 2, 0, 0]], np.uint8)
    pairs = overlap(np.array([[1, 2]]), np.array([[1, 1]]))
    assert count(pairs).hits[0] == 1 and count(pairs).missed[0] == 1
    low = overlap(true, np.array([[1, 1, 1, 1, 1, 2, 0, 0]], np.uint8))
    assert len(low.matches(0.3)) == 2  # the greedy way too
    greedy_trap = overlap(
        np.array([[1, 1, 1, 1, 2, 2, 2, 0]], np.uint8),
        np.array([[1, 1, 2, 2, 2, 2, 0, 0]], np.uint8),
    )
    # IoU: 1-1 2/4, 1-2 2/6, 2-2 2/5.
    assert greedy_trap.matches(0.3).tolist() == [[0, 0], [1, 1]]


def test_more_objects_than_16_bits_can_number() -> None:
    n = 70_000
    true = np.arange(1, 2 * n + 1, dtype=np.uint32).reshape(-1, 400)
    found = true.copy()
    found[0, :5] = 0
    pooled = count(overlap(true, found))
    assert (pooled.n_true, pooled.n_found, pooled.hits[0]) == (2 * n, 2 * n - 5, 2 * n - 5)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.uint32, np.int64, np.uint64])
def test_every_integer_type(kind: type[np.integer]) -> None:
    labels = squares((0, 0), (30, 30)).astype(kind)
    top = np.iinfo(kind).max
    labels[labels == 2] = top
    pairs = overlap(labels, squares((0, 0), (30, 30)))
    assert pairs.true_ids.tolist() == [1, top]
    assert count(pairs).hits == (2,) * len(THRESHOLDS)


def test_three_axes() -> None:
    true = np.stack([squares((0, 0)), squares((0, 0))])
    found = true.copy()
    found[1] = 0
    assert count(overlap(true, found)).hits[:2] == (1, 0)


def test_what_lies_in_the_ignored_part_is_left_out() -> None:
    true, found = squares((0, 0), (30, 30)), squares((0, 2), (40, 0), (30, 32))
    ignore = np.zeros(true.shape, bool)
    ignore[25:, :] = True
    pooled = count(overlap(true, found, ignore=ignore))
    assert (pooled.n_true, pooled.n_found, pooled.hits[0]) == (1, 1, 1)
    # Half of an object and no more: it counts, and whole.
    ignore[:] = False
    ignore[0:5, 0:10] = True
    halved = overlap(squares((0, 0)), squares((0, 0)), ignore=ignore)
    assert halved.true_size.tolist() == [100]
    ignore[5, 0] = True
    assert overlap(squares((0, 0)), squares((0, 0)), ignore=ignore).true_size.size == 0


@pytest.mark.parametrize(
    ("true", "found", "said"),
    [
        (squares(), squares()[:, 1:], "shape"),
        (squares().astype(float), squares(), "true labels of type float64"),
        (squares(), squares() > 0, "found labels of type bool"),
        (squares(), squares().astype(int) - 1, "smallest of the found labels is -1"),
    ],
)
def test_what_is_no_pair_of_label_images_is_refused(
    true: np.ndarray, found: np.ndarray, said: str
) -> None:
    with pytest.raises(LabelsError, match=said):
        overlap(true, found)


def test_a_mask_to_ignore_that_does_not_fit_is_refused() -> None:
    for mask in (np.zeros((60, 60), np.uint8), np.zeros((60, 59), bool)):
        with pytest.raises(LabelsError, match="ignore"):
            overlap(squares(), squares(), ignore=mask)


def test_tertiles_by_hand() -> None:
    true, found = np.zeros((40, 90), np.uint8), np.zeros((40, 90), np.uint8)
    for number, side in enumerate((2, 4, 6, 8, 10, 12)):
        true[:side, number * 15 : number * 15 + side] = number + 1
    found[true > 2] = true[true > 2]  # the smallest two are missed
    found[30:39, 0:9] = 99  # 81 pixels where there is nothing: large by its own size
    pairs = overlap(true, found)
    limits = size_tertiles([pairs])
    recalls = {name: count(pairs, sizes=one).recall()[0] for name, one in limits.items()}
    assert recalls == {"small": 0.0, "medium": 1.0, "large": 1.0}
    assert [count(pairs, sizes=one).false[0] for one in limits.values()] == [0, 0, 1]
    assert size_tertiles([]) == {}


def test_what_was_found_goes_with_the_true_one_whatever_its_own_size() -> None:
    true = squares((0, 0), (30, 30))
    found = true.astype(np.uint8)
    found[10:13, 0:10] = 1  # 130 pixels for the 100 of the true one
    pairs = overlap(true, found)
    below, above = (count(pairs, sizes=limits) for limits in ((0, 110), (110, np.inf)))
    assert (below.hits[0], below.false[0], below.missed[0]) == (2, 0, 0)
    assert (above.hits[0], above.false[0], above.missed[0]) == (0, 0, 0)
    assert above.false[-1] == 1  # no longer a hit there, it goes by its own size


def test_counts_pool_by_sums() -> None:
    one = count(overlap(squares((0, 0)), squares((0, 0))))
    other = count(overlap(squares((0, 0), (30, 30), (0, 30)), squares()))
    assert (one + other).recall()[0] == 1 / 4  # the mean of the images would be 1/2
    with pytest.raises(ValueError, match="cannot be pooled"):
        one + count(overlap(squares(), squares()), (0.5,))

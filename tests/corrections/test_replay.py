"""Edits on label images: what they do, what they leave alone, and when they are lost."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imganalysis import __version__, words
from imganalysis.corrections import (
    CLASS,
    DELETE,
    DRAW,
    MERGE,
    SPLIT,
    Cell,
    Edit,
    apply_corrections,
    seal,
)  # fmt: skip

SPACING = (0.5, 0.5)


def cell(label: int, x: float, y: float, **more: Any) -> dict[str, Any]:
    return {"label": label, "x": x, "y": y, **more}


ONE, TWO, THREE, NINE = cell(1, 5, 5), cell(2, 10, 5), cell(3, 5, 17.5), cell(9, 32.5, 22.5)
CUT = [[8.75, 10.0], [8.75, 25.0]]
SQUARE = [[32.0, 2.0], [38.0, 2.0], [38.0, 8.0], [32.0, 8.0]]


def edit(kind: str, what: dict[str, Any], **more: Any) -> Edit:
    """A sealed edit by anna in field F."""
    base = Edit(kind, "F", what, user="anna", time="2026-01-01T00:00:00+00:00",
                input="abc", version=__version__)  # fmt: skip
    return seal(dataclasses.replace(base, **more))


def replay(labels: np.ndarray, *edits: Edit, **options: Any) -> Any:
    return apply_corrections(labels, edits, SPACING, **options)


def test_a_deleted_nucleus_is_background_and_no_other_pixel_changes(labels: np.ndarray) -> None:
    before = labels.copy()
    found = replay(labels, edit(DELETE, {"cell": TWO})).labels
    assert (labels == before).all(), "the labels that were given are not changed"
    assert (found[before == 2] == 0).all()
    assert (found[before != 2] == before[before != 2]).all()


def test_merged_nuclei_get_the_number_of_the_first(labels: np.ndarray) -> None:
    found = replay(labels, edit(MERGE, {"cells": [TWO, ONE]}))
    assert (found.labels[(labels == 1) | (labels == 2)] == 2).all()
    assert found.made == {2: "merged"}


@pytest.mark.parametrize(
    "how", [{"line": CUT}, {"markers": [[5.0, 17.5], [12.5, 17.5]]}], ids=["line", "markers"]
)
def test_a_dumbbell_is_split_at_its_waist(labels: np.ndarray, how: dict[str, Any]) -> None:
    found = replay(labels, edit(SPLIT, {"cell": THREE, **how})).labels
    left, right = labels[30:40, 5:15] == 3, labels[30:40, 20:30] == 3
    assert left.all() and right.all()
    ids = {int(found[35, 6]), int(found[35, 28])}
    assert ids == {3, 10}
    assert len(np.unique(found[30:40, 5:15])) == len(np.unique(found[30:40, 20:30])) == 1
    assert ((found > 0) == (labels > 0)).all(), "no pixel is lost under the line"


def test_the_largest_part_keeps_the_number(labels: np.ndarray) -> None:
    off = edit(SPLIT, {"cell": ONE, "line": [[3.6, 0.0], [3.6, 10.0]]})
    found = replay(labels, off).labels
    assert (found == 1).sum() > (found == 10).sum() > 0
    assert found[10, 14] == 1


def test_a_drawn_nucleus_takes_background_only_and_the_next_number(labels: np.ndarray) -> None:
    over = [[10.0, 2.0], [16.0, 2.0], [16.0, 8.0], [10.0, 8.0]]
    found = replay(labels, edit(DRAW, {"polygon": over})).labels
    assert (found[labels > 0] == labels[labels > 0]).all()
    inside = np.zeros_like(labels, bool)
    inside[4:16, 20:32] = True  # pixels whose middle lies between 2 and 8 um, 10 and 16 um
    assert ((found == 10) == (inside & (labels == 0))).all()


def test_numbers_written_in_the_log_are_used_unless_they_are_taken(labels: np.ndarray) -> None:
    drawn = edit(DRAW, {"polygon": SQUARE}, after={"new": [50]})
    assert replay(labels, drawn).labels.max() == 50
    taken = edit(DRAW, {"polygon": SQUARE}, after={"new": [9]})
    found = replay(labels, taken).labels
    assert found.max() == 10 and (found == 9).sum() == (labels == 9).sum()


def test_numbers_do_not_depend_on_edits_that_were_undone(labels: np.ndarray) -> None:
    split = edit(SPLIT, {"cell": THREE, "line": CUT}, after={"new": [10]})
    drawn = edit(DRAW, {"polygon": SQUARE}, after={"new": [11]})
    named = edit(CLASS, {"cell": cell(11, 35, 5)}, after={"class": "T"})
    both, one = replay(labels, split, drawn, named), replay(labels, drawn, named)
    assert not both.lost and not one.lost
    assert list(one.classes) == [11]


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (edit(DELETE, {"cell": cell(4, 5, 5)}), "no_such_label"),
        (edit(DELETE, {"cell": cell(1, 32.5, 22.5)}), "not_at_point"),
        (edit(DELETE, {"cell": cell(1, 20, 20)}), "not_at_point"),
        (edit(DELETE, {"cell": cell(1, 400, 5)}), "outside"),
        (edit(DELETE, {"cell": cell(1, -0.1, 5)}), "outside"),
        (edit(DELETE, {"cell": cell(1, 5, 5, area_um2=80.0)}), "other_size"),
        (edit(SPLIT, {"cell": THREE, "line": [[0, 0], [3, 0]]}), "not_divided"),
        (edit(SPLIT, {"cell": THREE, "line": [[0, 17.5], [5, 17.5]]}), "not_divided"),
        (edit(SPLIT, {"cell": THREE, "markers": [[5, 17.5], [40, 1]]}), "not_divided"),
        (edit(DRAW, {"polygon": [[x + 100, y] for x, y in SQUARE]}), "outside"),
        (edit(DRAW, {"polygon": [[3, 3], [7, 3], [7, 7], [3, 7]]}), "covered"),
        (edit(CLASS, {"cell": ONE}, after={"class": "B"}), "unknown_class"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_lost_with_the_reason_and_changes_nothing(
    labels: np.ndarray, wrong: Edit, word: str
) -> None:
    fits = edit(DELETE, {"cell": NINE})
    found = replay(labels, wrong, fits, classes=("T", "NK"))
    assert [o.lost for o in found.outcomes] == [word, ""]
    assert found.outcomes[0].message.startswith(words.LOST[word])
    assert (found.labels == replay(labels, fits).labels).all()
    assert not found.classes


def test_a_re_segmented_field_loses_edits_instead_of_moving_them(labels: np.ndarray) -> None:
    other = np.where(labels > 0, labels + 1, 0).astype(np.uint32)
    edits = [edit(DELETE, {"cell": ONE}), edit(CLASS, {"cell": NINE}, after={"class": "T"})]
    found = apply_corrections(other, edits, SPACING)
    assert len(found.lost) == 2
    assert (found.labels == other).all()


def test_a_class_goes_with_its_nucleus_and_the_last_word_holds(labels: np.ndarray) -> None:
    first = edit(CLASS, {"cell": ONE}, after={"class": "T"})
    second = edit(CLASS, {"cell": ONE}, after={"class": "NK"}, why="again")
    assert replay(labels, first, second).classes == {1: second}
    assert replay(labels, first, edit(DELETE, {"cell": ONE})).classes == {}
    gone = edit(MERGE, {"cells": [TWO, ONE]})
    assert replay(labels, first, gone).classes == {}


def test_going_on_from_a_replay_is_the_same_as_from_the_start(labels: np.ndarray) -> None:
    edits = [
        edit(SPLIT, {"cell": THREE, "line": CUT}, after={"new": [10]}),
        edit(CLASS, {"cell": ONE}, after={"class": "T"}),
        edit(MERGE, {"cells": [ONE, TWO]}),
        edit(DELETE, {"cell": NINE}),
    ]
    whole = replay(labels, *edits)
    step = replay(labels)
    for one in edits:
        step = apply_corrections(step.labels, [one], SPACING, earlier=step)
    assert (step.labels == whole.labels).all()
    assert (step.made, step.classes, step.outcomes) == (whole.made, whole.classes, whole.outcomes)


def test_a_stack_is_split_through_all_planes_and_not_drawn_in() -> None:
    deep = np.zeros((3, 20, 40), np.uint32)
    deep[:, 5:15, 5:35] = 7
    at = dataclasses.asdict(Cell(7, 10.0, 5.0, z=1.5))
    spacing = (1.0, 0.5, 0.5)
    cut = edit(SPLIT, {"cell": {k: v for k, v in at.items() if v is not None},
                       "line": [[10.0, 0.0], [10.0, 9.0]]})  # fmt: skip
    found = apply_corrections(deep, [cut], spacing)
    assert not found.lost
    assert all((found.labels[z] == found.labels[0]).all() for z in range(3))
    assert set(np.unique(found.labels)) == {0, 7, 8}
    drawn = apply_corrections(deep, [edit(DRAW, {"polygon": SQUARE})], spacing)
    assert [o.lost for o in drawn.outcomes] == ["not_a_plane"]
    flat = apply_corrections(deep, [edit(DELETE, {"cell": cell(7, 10, 5)})], spacing)
    assert [o.lost for o in flat.outcomes] == ["not_at_point"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=6), st.integers(0, 2**16))
def test_nuclei_that_no_edit_names_keep_number_and_pixels(kinds: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = np.zeros((40, 40), np.uint32)
    for number in range(1, 9):
        y, x = rng.integers(0, 34, 2)
        image[y : y + 6, x : x + 6] = number * 3
    edits, named = [], set()
    for kind in kinds:
        y, x = (float(v) for v in rng.uniform(0, 20, 2))
        label = int(image[int(y / 0.5), int(x / 0.5)]) or 3
        what = cell(label, x, y)
        named.add(label)
        if kind == 0:
            edits.append(edit(DELETE, {"cell": what}))
        elif kind == 1:
            edits.append(edit(SPLIT, {"cell": what, "line": rng.uniform(0, 20, (2, 2)).tolist()}))
        elif kind == 2:
            edits.append(edit(DRAW, {"polygon": rng.uniform(0, 20, (4, 2)).tolist()}))
        elif kind == 3:
            place = np.argwhere(image == 6)
            if label != 6 and len(place):
                other = cell(6, place[0][1] * 0.5 + 0.1, place[0][0] * 0.5 + 0.1)
                edits.append(edit(MERGE, {"cells": [what, other]}))
                named.add(6)
        elif kind == 4:
            marks = rng.uniform(0, 20, (2, 2)).tolist()
            edits.append(edit(SPLIT, {"cell": what, "markers": marks}))
    one, two = (apply_corrections(image, edits, SPACING) for _ in range(2))
    assert one.labels.tobytes() == two.labels.tobytes()
    for label in set(np.unique(image).tolist()) - named - {0}:
        assert ((one.labels == label) == (image == label)).all()
    new = set(np.unique(one.labels).tolist()) - set(np.unique(image).tolist())
    assert all(n > image.max() for n in new)

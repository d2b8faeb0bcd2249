"""Counting blind without a window: which fields, in which order, and what is kept of the clicks."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from napari_imganalysis import _counting as c

from imganalysis import tables as t
from imganalysis.cohort.cell_tables import read_clicks
from imganalysis.errors import OutputError, StudyError, TableError
from imganalysis.panel import load_panel

if TYPE_CHECKING:
    from pathlib import Path

PANEL = load_panel("apoptosis")
VITAL, DYING = PANEL.classes[:2]


def opened(per_biopsy: int = 10, biopsies: int = 3) -> Any:
    """What is opened, as far as counting looks at it."""
    rows: list[dict[str, str]] = []
    for b in range(biopsies):
        for f in range(per_biopsy):
            rows.append({"field": f"B{b}_{f:02}", "biopsy": f"B{b}", "role": "sample",
                         "panel": "apoptosis", "status": "analysed"})  # fmt: skip
    like = {"biopsy": "B0", "role": "sample", "panel": "apoptosis", "status": "analysed"}
    rows.append({**like, "field": "broken", "status": "failed"})
    rows.append({**like, "field": "other", "panel": "infiltrate"})
    rows.append({**like, "field": "control", "role": "secondary_only", "status": "control"})
    names = tuple(row["field"] for row in rows)
    return SimpleNamespace(fields=pd.DataFrame(rows), root="/study", names=names,
                           panels={"apoptosis": PANEL})  # fmt: skip


def test_each_field_has_the_same_chance_and_the_steps_are_even() -> None:
    hits: Counter[int] = Counter()
    rng = np.random.default_rng(1)
    for _ in range(4000):
        found = c.systematic(10, 4, rng)
        assert len(set(found)) == 4
        assert set(np.diff(found)) <= {2, 3}
        hits.update(found)
    # 1600 expected of each; 31 is the standard deviation.
    assert all(abs(hits[i] - 1600) < 5 * 31 for i in range(10))
    assert (
        c.systematic(3, 0, rng) == c.systematic(3, 3, rng) == c.systematic(3, 9, rng) == [0, 1, 2]
    )


def test_fields_are_drawn_of_every_biopsy_in_a_seeded_random_order() -> None:
    first = c.begin(opened(), PANEL, " Dr. Ann ", seed=7, per_biopsy=4)
    assert Counter(name[:2] for name in first.order) == {"B0": 4, "B1": 4, "B2": 4}
    assert not {"broken", "other", "control"} & set(first.order)
    assert list(first.order) != sorted(first.order)
    assert first.order == c.begin(opened(), PANEL, "Bob", seed=7, per_biopsy=4).order
    assert first.order != c.begin(opened(), PANEL, "Bob", seed=8, per_biopsy=4).order
    assert (first.seed, first.reader, first.classes) == (7, "Dr. Ann", PANEL.classes)
    for reader, what, said in (("", opened(), "name"), ("Ann", opened(0), "no field")):
        with pytest.raises(StudyError, match=said):
            c.begin(what, PANEL, reader, seed=1)


def test_contradictions_are_no_class_and_looks_differ() -> None:
    joint = load_panel("joint")
    assert "conflict" in joint.classes
    assert "conflict" not in c.classes_of(joint)
    looks = [c.look_of(kind, c.classes_of(joint)) for kind in c.classes_of(joint)]
    assert len(set(looks)) == len(looks) > 9
    assert len({colour for colour, _ in looks[:9]}) == len({s for _, s in looks[:9]}) == 9


def test_marks_are_added_given_another_class_and_taken_away() -> None:
    reading = c.begin(opened(2, 1), PANEL, "Ann", seed=1)
    name = reading.order[0]
    one = reading.marked(name, c.Mark(10.0, 20.0, VITAL)).marked(name, c.Mark(30.0, 20.0, VITAL))
    assert one.counts(name)[VITAL] == 2
    # So near that agree would take both for one cell.
    changed = one.marked(name, c.Mark(10.5, 21.0, DYING))
    assert changed.counts(name) == {**dict.fromkeys(PANEL.classes, 0), VITAL: 1, DYING: 1,
                                    t.UNRESOLVED: 0}  # fmt: skip
    assert changed.marks[name][0] == c.Mark(10.0, 20.0, DYING), "the place stays"
    assert changed.without(name, 11.0, 20.0, 3.0).counts(name)[DYING] == 0
    assert changed.without(name, 15.0, 20.0, 3.0) is changed
    done = changed.finish(name)
    assert done.open_fields == reading.order[1:]
    assert done.marked(name, c.Mark(1, 1, VITAL)).open_fields == reading.order, "open again"


def test_the_table_is_what_agree_reads_and_holds_done_fields_only(tmp_path: Path) -> None:
    reading = c.begin(opened(2, 1), PANEL, "Ann", seed=1)
    first, second = reading.order
    reading = reading.marked(first, c.Mark(10.25, 20.5, VITAL)).finish(first)
    reading = reading.marked(second, c.Mark(1.0, 2.0, t.UNRESOLVED))
    path = c.reading_path(tmp_path, "Ann", "apoptosis")
    c.save(path, reading)
    table = reading.table()
    assert set(table.columns) <= set(t.READER_CELL_COLUMNS)
    read = read_clicks([path.with_suffix(".csv")])
    assert read[["field", "y_um", "x_um", "class", "reader"]].to_numpy().tolist() == [
        [first, 10.25, 20.5, VITAL, "Ann"]
    ]
    assert c.load(path) == reading


def test_a_second_reading_is_of_a_fifth_and_another_reader_for_agree() -> None:
    first = c.begin(opened(), PANEL, "Ann", seed=1)
    with pytest.raises(StudyError, match="of the 30 fields of the first reading 30 to do"):
        c.begin_again(first, seed=2)
    for name in first.order[1:]:
        first = first.marked(name, c.Mark(1.0, 1.0, VITAL)).finish(name)
    first = first.leave_out(first.order[0], "its image is not there")
    again = c.begin_again(first, seed=2)
    assert len(again.order) == 6
    assert set(again.order) <= set(first.order[1:])
    assert not again.marks and not again.done
    assert (again.name, again.number, again.seed) == ("Ann (2)", 2, 2)
    assert again.first_finished == first.finished != ""
    assert 0 <= c.days_since(first.finished) < 1


def test_a_name_makes_no_path(tmp_path: Path) -> None:
    path = c.reading_path(tmp_path, "../Dr. Ann/ü", "apoptosis")
    assert path.parent == tmp_path
    assert path.name == "Dr._Ann_ü_apoptosis_1.json"


def test_a_damaged_reading_or_one_of_another_study_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    reading = c.begin(opened(2, 1), PANEL, "Ann", seed=1)
    c.save(path, reading)
    c.check_fits(c.load(path), opened(2, 1), path)
    with pytest.raises(StudyError, match=r"of its 2 fields the study that is open lacks 2"):
        c.check_fits(reading, SimpleNamespace(names=(), panels={}), path)  # type: ignore[arg-type]
    other = dataclasses.replace(reading, classes=("a",))
    with pytest.raises(StudyError, match="its classes"):
        c.check_fits(other, opened(2, 1), path)
    content = json.loads(path.read_text())
    for wrong in ("", "[]", "{}", json.dumps({**content, "format": "1"}),
                  json.dumps({**content, "marks": {"f": [{"y_um": "a"}]}}),
                  json.dumps({**content, "more": 1})):  # fmt: skip
        path.write_text(wrong)
        with pytest.raises(TableError, match="no reading that can be gone on with"):
            c.load(path)
    with pytest.raises(OutputError):
        c.save(path / "below.json", reading)

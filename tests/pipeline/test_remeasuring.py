"""Edits measured in place are, byte for byte, what measuring the whole field gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imganalysis import tables as t
from imganalysis._windows import present, touched
from imganalysis.errors import LabelsError, PixelSizeError
from imganalysis.first_half import measure_stack
from imganalysis.panel import load_panel
from imganalysis.remeasuring import LiveField
from imganalysis.settings import Settings, parse_settings
from imganalysis.simulate import load_recipe, simulate_field
from imganalysis.stack import PixelSize, Stack

if TYPE_CHECKING:
    import pandas as pd

    from imganalysis.first_half import Measured
    from imganalysis.remeasuring import Remeasured
    from imganalysis.simulate import SimulatedField

SIZE = 160


def simulated(panel: str) -> SimulatedField:
    return simulate_field(
        load_recipe("melanoma"), panel, seed=5, week=1, size_px=SIZE, pixel_size_um=0.3,
        planes=1, z_step_um=1.0, bits=8,
    )  # fmt: skip


@pytest.fixture(scope="module")
def joint() -> SimulatedField:
    """Every marker; rings of two widths."""
    return simulated("joint")


def assert_same_bytes(one: pd.DataFrame, two: pd.DataFrame) -> None:
    assert list(one.columns) == list(two.columns)
    assert len(one) == len(two)
    for name in one.columns:
        a, b = one[name], two[name]
        assert a.dtype == b.dtype, name
        if a.dtype.kind in "ifb":
            assert a.to_numpy().tobytes() == b.to_numpy().tobytes(), name
        else:
            assert a.equals(b), name


def assert_same(live: Remeasured, whole: Measured) -> None:
    assert live.behind == ()
    assert_same_bytes(live.objects, whole.objects)
    assert_same_bytes(live.contacts, whole.contacts)
    assert (live.grid == whole.grid).all()
    assert (live.cells == whole.cells).all()
    assert live.space.frame_um == whole.space.frame_um  # type: ignore[union-attr]
    assert live.signs.frame_um == whole.signs.frame_um
    for mine, theirs in (
        (live.signs.pairs, whole.signs.pairs),
        (live.signs.ghosts, whole.signs.ghosts),
    ):
        assert (mine is None) == (theirs is None)
        if mine is not None and theirs is not None:
            assert_same_bytes(mine, theirs)


def changed(labels: np.ndarray, kind: int, a: float, b: float) -> np.ndarray:
    """One edit: delete, split, draw, merge with any other, or give another number."""
    new, ids = labels.copy(), present(labels)
    y, x = int(a * (SIZE - 1)), int(b * (SIZE - 1))
    if not ids.size or kind == 2:
        place = new[max(0, y - 7) : y + 7, max(0, x - 9) : x + 9]
        place[place == 0] = ids.max(initial=0) + 1
        return new
    one, two = int(ids[int(a * (ids.size - 1))]), int(ids[int(b * (ids.size - 1))])
    if kind == 0:
        new[new == one] = 0
    elif kind == 1:
        rows, columns = np.nonzero(new == one)
        right = columns > np.median(columns)
        new[rows[right], columns[right]] = ids.max() + 1
    elif kind == 3:
        new[new == two] = one
    else:
        new[new == one] = ids.max() + 7
    return new


EDITS = st.lists(
    st.tuples(st.integers(0, 4), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=3
)


@settings(
    max_examples=4, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(EDITS)
def test_edits_anywhere_give_the_bytes_of_the_whole_field(
    joint: SimulatedField, edits: list[tuple[int, float, float]]
) -> None:
    panel, wanted = load_panel("joint"), Settings()
    labels = joint.labels
    live = LiveField(joint.stack, panel, wanted, labels)
    for edit in edits:
        labels = changed(labels, *edit)
        live.update(labels)
    assert_same(live.now, measure_stack(joint.stack, panel, wanted, nuclei=labels))


@pytest.mark.parametrize(
    ("panel", "values"),
    [
        ("apoptosis", {}),
        ("infiltrate", {"neighbours": {"gap_um": 0.0}}),
        ("apoptosis", {"counting": {"frame": "unbiased"}}),
        ("apoptosis", {"measuring": {"expansion_um": 1.0}, "preparation": {"background": "none"}}),
        ("apoptosis", {"artefacts": {"autofluorescence": False, "min_sharpness": 0.3}}),
    ],
)  # fmt: skip
def test_panels_and_settings_of_all_kinds(panel: str, values: dict[str, Any]) -> None:
    field, own = simulated(panel), load_panel(panel)
    wanted = parse_settings(values)
    live = LiveField(field.stack, own, wanted, field.labels)
    assert_same(live.now, measure_stack(field.stack, own, wanted, nuclei=field.labels))
    labels = field.labels
    for edit in ((1, 0.5, 0.5), (0, 0.3, 0.1), (2, 0.02, 0.5), (3, 0.41, 0.4)):
        labels = changed(labels, *edit)
        live.update(labels)
    assert_same(live.now, measure_stack(field.stack, own, wanted, nuclei=labels))


def test_outlines_are_minded(joint: SimulatedField) -> None:
    panel, wanted = load_panel("joint"), Settings()
    masks = {}
    for number, kind in enumerate(("exclude", "vessel", "pigment", "tumour")):
        masks[kind] = np.zeros((SIZE, SIZE), bool)
        masks[kind][20 + 30 * number : 40 + 30 * number, 30:110] = True
    live = LiveField(joint.stack, panel, wanted, joint.labels, drawn=masks)
    labels = changed(joint.labels, 1, 0.6, 0.5)
    live.update(labels)
    whole = measure_stack(joint.stack, panel, wanted, nuclei=labels, drawn=masks)
    assert_same(live.now, whole)


def test_in_a_hurry_only_what_is_said_is_behind(joint: SimulatedField) -> None:
    panel, wanted = load_panel("joint"), Settings()
    live = LiveField(joint.stack, panel, wanted, joint.labels)
    labels = changed(changed(joint.labels, 1, 0.2, 0.9), 0, 0.7, 0.1)
    quick = live.update(labels, hurry=True)
    whole = measure_stack(joint.stack, panel, wanted, nuclei=labels)
    assert set(quick.behind) == {t.AF_SHARE, t.AF_AFFECTED, t.CELL_ID, t.FRAGMENTS}
    told = [name for name in quick.objects if name not in quick.behind]
    assert_same_bytes(quick.objects[told], whole.objects[told])
    assert_same(live.finish(), whole)


def test_an_edit_is_taken_back_to_the_bytes_of_before(joint: SimulatedField) -> None:
    live = LiveField(joint.stack, load_panel("joint"), Settings(), joint.labels)
    before = live.now
    live.update(changed(joint.labels, 1, 0.5, 0.5))
    live.update(joint.labels)
    assert_same_bytes(live.now.objects, before.objects)
    assert_same_bytes(live.now.contacts, before.contacts)


def test_the_first_and_the_last_nucleus_come_and_go(joint: SimulatedField) -> None:
    panel, wanted = load_panel("joint"), Settings()
    none = np.zeros_like(joint.labels)
    live = LiveField(joint.stack, panel, wanted, none)
    assert_same(live.now, measure_stack(joint.stack, panel, wanted, nuclei=none))
    one = changed(none, 2, 0.5, 0.5)
    live.update(one)
    assert_same(live.now, measure_stack(joint.stack, panel, wanted, nuclei=one))
    live.update(none)
    assert_same(live.now, measure_stack(joint.stack, panel, wanted, nuclei=none))


def test_one_edit_measures_few_objects_again(
    joint: SimulatedField, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imganalysis import compartments

    counted: list[int] = []
    real = compartments.measure

    def measure(labels: Any, *rest: Any, **more: Any) -> Any:
        counted.append(len(np.unique(labels["nucleus"])) - 1)
        return real(labels, *rest, **more)

    monkeypatch.setattr(compartments, "measure", measure)
    live = LiveField(joint.stack, load_panel("joint"), Settings(), joint.labels)
    live.update(changed(joint.labels, 1, 0.5, 0.5))
    assert counted[0] == len(live.now.objects) - 1
    assert 2 <= counted[1] < 0.5 * counted[0]


def test_labels_of_another_field_and_an_unknown_scale_are_refused(joint: SimulatedField) -> None:
    live = LiveField(joint.stack, load_panel("joint"), Settings(), joint.labels)
    with pytest.raises(LabelsError, match="but the field has"):
        live.update(joint.labels[:-1])
    bare = Stack(joint.stack.data, joint.stack.channels, PixelSize())
    with pytest.raises(PixelSizeError, match="unknown"):
        LiveField(bare, load_panel("joint"), Settings(), joint.labels)


def test_the_window_holds_every_nucleus_that_changes_whole() -> None:
    old = np.zeros((30, 40), np.uint32)
    old[5:10, 5:30] = 3
    new = old.copy()
    new[5:10, 20:30] = 9
    named, box = touched(old, new)  # type: ignore[misc]
    assert named.tolist() == [3, 9]
    assert box == ((5, 10), (5, 30))
    assert touched(old, old.copy()) is None


def test_a_nucleus_that_stands_alone_is_taken_away_without_a_look_at_the_field(
    joint: SimulatedField, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel, wanted = load_panel("joint"), Settings()
    far = joint.labels.copy()
    far[:, 50:] = 0
    alone, last = far.copy(), int(joint.labels.max()) + 1
    alone[120:136, 130:146] = last
    live = LiveField(joint.stack, panel, wanted, alone)

    def looked(*_: Any) -> Any:
        raise AssertionError("no edge of a nucleus that is left has changed")

    monkeypatch.setattr("imganalysis.remeasuring.edge_parts", looked)
    live.update(far)
    monkeypatch.undo()
    assert_same(live.now, measure_stack(joint.stack, panel, wanted, nuclei=far))

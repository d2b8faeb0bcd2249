"""Which fragments are one cell, and what is said of that cell."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from skimage.draw import disk

from imganalysis import tables as t
from imganalysis.quantify.fragments import fragment_pairs
from imganalysis.quantify.frame import frame_box, guard_mask, judge
from imganalysis.quantify.measure import measure
from imganalysis.quantify.merging import (
    hull_diameter,
    join_fragments,
    merged_cells,
    number_cells,
)
from imganalysis.settings import Measuring
from imganalysis.settings_counting import Counting

PX = (0.25, 0.25)
GATE = 20.0


def draw(
    nuclei: list[tuple[float, float, float]], blobs: list[tuple[float, float, float]]
) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Discs (y, x, radius; um) as nuclei, and as places where the death marker is bright."""
    labels, death = np.zeros((160, 160), np.uint32), np.full((160, 160), 2.0, np.float32)
    for y, x, radius in blobs:
        death[disk((y / PX[0], x / PX[0]), radius / PX[0])] = 60.0
    for number, (y, x, radius) in enumerate(nuclei, start=1):
        labels[disk((y / PX[0], x / PX[0]), radius / PX[0])] = number
    objects = measure({"nucleus": labels}, np.ones((1, 160, 160)), ["dna"], PX)
    return labels, death, objects


def cells_of(nuclei: list, blobs: list, gate: float = GATE, **rules: float) -> int:
    labels, death, objects = draw(nuclei, blobs)
    counting = Counting(**rules)
    pairs = fragment_pairs(labels, death, objects, "dna_nucleus_mean", PX, counting)
    groups = join_fragments(pairs, gate, objects, counting)
    return int(number_cells(objects, groups)[t.CELL_ID].nunique())


FOUR = [(20, 17, 1.4), (20, 21.2, 1.2), (17, 19.5, 1.0), (23.4, 19.5, 1.1)]
BLOB = (20, 19.5, 5.5)


def test_four_pieces_in_one_blob_are_one_cell() -> None:
    assert cells_of(FOUR, [BLOB]) == 1
    assert cells_of(FOUR, []) == 4  # nothing dies
    assert cells_of(FOUR, [BLOB], gate=61.0) == 4


def test_two_abutting_intact_nuclei_are_two() -> None:
    whole = [(20, 15, 3.0), (20, 21, 3.0)]  # 28 um2 each
    assert cells_of(whole, [(20, 18, 6.0)]) == 2
    small = [(20, 16, 2.0), (20, 20, 2.0)]  # 12.6 um2 each, the control
    assert cells_of(small, [(20, 18, 6.0)]) == 1


def test_fragments_of_two_blobs_are_two_cells() -> None:
    left, right = [(20, 10, 1.2), (20, 13, 1.2)], [(20, 16.4, 1.2), (20, 19.4, 1.2)]
    apart = [(20, 11.5, 2.6), (20, 17.9, 2.6)]
    assert cells_of([*left, *right], apart) == 2
    assert cells_of([*left, *right], [(20, 14.7, 5.9)]) == 1


def test_one_component_is_one_cell_once_it_holds_fragments() -> None:
    """The third piece lies too far to be told from a cell by itself."""
    three = [(20, 16, 1.2), (20, 19, 1.2), (20, 24, 1.2)]
    assert cells_of(three, [(20, 19.5, 6.0)]) == 1
    assert cells_of([three[0], three[2]], [(20, 19.5, 6.0)]) == 2


def test_a_component_larger_than_a_cell_joins_nothing() -> None:
    assert cells_of(FOUR, [(20, 19.5, 10.0)]) == 4
    assert cells_of(FOUR, [(20, 19.5, 10.0)], fragment_cell_um2=400.0) == 1


def test_a_chain_is_no_wider_than_a_cell() -> None:
    chain = [(20, 6 + 3.5 * i, 1.2) for i in range(8)]
    labels, death, objects = draw(chain, [(y, x, 2.2) for y, x, _ in chain])
    counting = Counting(fragment_hull_um=8.0)
    pairs = fragment_pairs(labels, death, objects, "dna_nucleus_mean", PX, counting)
    groups = join_fragments(pairs, GATE, objects, counting)
    assert len(groups) > 1
    table = objects.set_index(t.LABEL)
    assert all(hull_diameter(table.loc[group]) <= 8.0 for group in groups)


def test_the_hull_of_all_is_no_wider_than_a_cell() -> None:
    """Each two of a triangle lie close enough; all three make a hull of 6 um."""
    three = [(20, 17.9, 1.2), (20, 22.1, 1.2), (23.64, 20, 1.2)]
    blob = [(21, 20, 5.5)]
    assert cells_of(three, blob) == 1
    assert cells_of(three, blob, fragment_hull_um=5.0) == 2


def pair(a: int, b: int, **values: float) -> dict[str, float]:
    usual = {
        t.DIAMETER_A: 3.0, t.DIAMETER_B: 3.0, t.GAP: 1.0, t.HULL: 6.0, t.UNION_SOLIDITY: 0.7,
        t.DNA: 1.0, t.BRIDGE: 50.0, t.COMPONENT: 8.0,
    }  # fmt: skip
    return {t.LABEL_A: a, t.LABEL_B: b, **usual, **values}


@pytest.mark.parametrize(
    ("values", "joined"),
    [
        ({}, True),
        ({t.BRIDGE: GATE}, True),
        ({t.BRIDGE: GATE - 0.01}, False),
        ({t.GAP: 2.0}, True),
        ({t.GAP: 2.01}, False),
        ({t.HULL: 12.01}, False),
        ({t.UNION_SOLIDITY: 0.9}, False),
        ({t.UNION_SOLIDITY: 0.9, t.DNA: 1.31}, True),
        ({t.UNION_SOLIDITY: 0.9, t.DNA: np.nan}, False),
    ],
)
def test_each_rule_decides(values: dict[str, float], joined: bool) -> None:
    objects = pd.DataFrame({t.LABEL: [1, 2], t.Y: 0.0, t.X: [0.0, 4.0], t.DIAMETER: 3.0})
    groups = join_fragments(pd.DataFrame([pair(1, 2, **values)]), GATE, objects, Counting())
    assert groups == ([[1, 2]] if joined else [])


def test_order_of_the_rows_changes_nothing() -> None:
    rng = np.random.default_rng(4)
    n = 9
    objects = pd.DataFrame(
        {t.LABEL: np.arange(1, n + 1), t.Y: rng.uniform(0, 12, n), t.X: rng.uniform(0, 12, n),
         t.DIAMETER: 3.0}
    )  # fmt: skip
    rows = [
        pair(a, b, **{t.BRIDGE: float(rng.choice([30.0, 40.0])), t.GAP: float(rng.uniform(0, 4))})
        for a in range(1, n) for b in range(a + 1, n + 1) if rng.random() < 0.6
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    expected = join_fragments(table, GATE, objects, Counting())
    assert expected
    for seed in range(5):
        shuffled = table.sample(frac=1, random_state=seed)
        assert join_fragments(shuffled, GATE, objects, Counting()) == expected


def test_a_merged_cell_is_measured_as_its_pixels_are() -> None:
    """Merged from the fragments' rows, against one object of all their pixels."""
    rng = np.random.default_rng(1)
    nuclei, _, _ = draw(FOUR, [])
    ring = np.zeros_like(nuclei)
    for number, (y, x, radius) in enumerate(FOUR, start=1):
        ring[disk((y / PX[0], x / PX[0]), (radius + 0.4) / PX[0])] = number
    ring[nuclei > 0] = 0
    cell = np.where(nuclei > 0, nuclei, ring)
    image = rng.gamma(2.0, 10.0, (1, *nuclei.shape))
    parts = {"nucleus": nuclei, "ring": ring, "cell": cell}
    extra = [("m", c, s) for c in parts for s in ("sum", "median")]
    found = measure(parts, image, ["m"], PX, extra=extra, solidity=True)
    one = {name: (labels > 0).astype(np.uint32) for name, labels in parts.items()}
    whole = measure(one, image, ["m"], PX, extra=extra, solidity=True).iloc[0]
    found[t.IN_FRAME] = found[t.IN_TISSUE] = True
    merged = merged_cells(number_cells(found, [[1, 2, 3, 4]]), ["m"], (0.0, 0.0, 40.0, 40.0))
    assert len(merged) == 1
    row = merged.iloc[0]
    assert row[t.LABEL] == row[t.CELL_ID] == 1 and row[t.FRAGMENTS] == 4
    exact = [t.Y, t.X, t.AREA, t.DIAMETER, t.RING_AREA, t.CELL_AREA]
    exact += [t.measure_column("m", c, s) for c in parts for s in ("mean", "sd", "sum")]
    exact.append("m_max_mean")
    for column in exact:
        assert row[column] == pytest.approx(whole[column]), column
    assert row[t.ASPECT] == pytest.approx(whole[t.ASPECT], rel=0.03)
    assert row[t.SOLIDITY] == pytest.approx(whole[t.SOLIDITY], rel=0.1)
    assert row["m_nucleus_median"] == pytest.approx(whole["m_nucleus_median"], rel=0.1)


def test_fragments_too_small_to_count_make_a_cell_that_counts() -> None:
    table = pd.DataFrame(
        {t.LABEL: [1, 2, 3], t.Y: [20.0, 22.5, 4.0], t.X: 20.0, t.AREA: 5.0, t.DIAMETER: 2.52,
         t.SATURATED: 0.0, t.IN_FRAME: True, t.IN_TISSUE: True, "m_nucleus_mean": [1.0, 3.0, 5.0]}
    )  # fmt: skip
    rules = Measuring()
    alone = judge(table, rules)
    assert alone[t.EXCLUSION].tolist() == ["too_small"] * 3
    box = (0.0, 0.0, 40.0, 40.0)
    merged = judge(merged_cells(number_cells(alone, [[1, 2]]), ["m"], box), rules)
    assert merged[t.EXCLUSION].tolist() == ["", "too_small"]
    assert merged["m_nucleus_mean"].tolist() == [2.0, 5.0]
    unknown = table.assign(m_nucleus_mean=[np.nan, 3.0, 5.0])
    broken = merged_cells(number_cells(unknown, [[1, 2]]), ["m"], box)
    words = judge(broken.assign(**{t.DIAMETER: 8.0}), rules, ["m_nucleus_mean"])[t.EXCLUSION]
    assert words.tolist() == ["not_measurable", ""]


def test_the_merged_centroid_decides_about_the_frame() -> None:
    """In the box exactly where the pixel that holds it is in the mask."""
    step = (0.497, 0.311)
    frame = guard_mask((100, 120), step, 8.0)
    box = frame_box(frame, step)
    rng = np.random.default_rng(0)
    places = [(16.5, 40.0), (15.5, 40.0), (50.0, 93.45), (50.0, 93.5), (50.0, 94.5)]
    places += rng.uniform(0, [100, 120], (400, 2)).tolist()
    for y, x in places:
        py, px = int(np.floor(y + 0.5 + 1e-6)), int(np.floor(x + 0.5 + 1e-6))
        inside = bool(frame[min(py, 99), min(px, 119)])
        cy, cx = y * step[0], x * step[1]
        assert (box[0] <= cy < box[2] and box[1] <= cx < box[3]) == inside, (y, x)
    table = pd.DataFrame(
        {t.LABEL: [1, 2], t.Y: [20.0, 20.0], t.X: [7.0, 10.0], t.DIAMETER: [2.0, 3.0],
         t.IN_FRAME: [False, True]}
    )  # fmt: skip
    merged = merged_cells(number_cells(table, [[1, 2]]), [], box)
    assert merged[t.X].iat[0] == pytest.approx((7 * 4 + 10 * 9) / 13)
    assert merged[t.IN_FRAME].tolist() == [True]
    # By pixels, what reaches an excluding line with one fragment is out as a whole.
    edge = table.assign(**{t.ON_BORDER: [True, False]})
    assert merged_cells(number_cells(edge, [[1, 2]]), [], None)[t.ON_BORDER].tolist() == [True]

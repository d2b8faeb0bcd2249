"""Nuclei that somebody else outlined: their numbers come back, whatever they are."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import tifffile

from imganalysis import tables as t
from imganalysis.errors import LabelsError
from imganalysis.first_half import Measured, measure_stack
from imganalysis.io import read_labels, write_labels, write_stack
from imganalysis.methods import GivenLabels
from imganalysis.opening import open_study
from imganalysis.panel import load_panel
from imganalysis.pipeline import run_study
from imganalysis.remeasuring import LiveField
from imganalysis.settings import Settings
from imganalysis.simulate import SimulatedField, load_recipe, simulate_field

if TYPE_CHECKING:
    from pathlib import Path

FAR = 2**24
"""A table by number of this length is seen in memory, and harms no machine."""


@pytest.fixture(scope="module")
def field() -> SimulatedField:
    return simulate_field(
        load_recipe("melanoma"), "apoptosis", seed=5, week=1, size_px=200, pixel_size_um=0.465,
        planes=1, z_step_um=1.0, bits=8,
    )  # fmt: skip


def renumbered(labels: np.ndarray, largest: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels far apart, in the same order, and the number of each old one."""
    ids = np.unique(labels)
    new = np.zeros(int(ids[-1]) + 1, np.int64)
    new[ids[1:]] = np.linspace(7, largest, ids.size - 1).astype(np.int64)
    return new[labels].astype(np.uint32), new


def measured(field: SimulatedField, labels: np.ndarray) -> tuple[Measured, int]:
    """The field, and the most memory that was held, bytes."""
    tracemalloc.start()
    seen = measure_stack(field.stack, load_panel("apoptosis"), nuclei=labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return seen, peak


def with_numbers(table: pd.DataFrame | None, new: np.ndarray) -> pd.DataFrame | None:
    if table is None:
        return None
    named = [c for c in table if c in (t.LABEL, t.LABEL_A, t.LABEL_B, "neighbour", "cell")]
    return table.assign(**{name: new[table[name]] for name in named})


def test_numbers_far_apart_take_no_memory_and_come_back(field: SimulatedField) -> None:
    measured(field, field.labels)  # compiles
    plain, before = measured(field, field.labels)
    told = {n: str(v) for n, v in plain.facts.items()}  # NaN equals NaN
    for largest in (FAR, 2**31, 2**32 - 1):
        labels, new = renumbered(field.labels, largest)
        seen, peak = measured(field, labels)
        assert peak < before + FAR  # a byte for each number would be more
        assert (seen.nuclei == labels).all()
        assert (seen.cells == new[plain.cells]).all()
        assert {n: str(v) for n, v in seen.facts.items()} == told
        for mine, theirs in (
            (seen.objects, plain.objects),
            (seen.contacts, plain.contacts),
            (seen.signs.pairs, plain.signs.pairs),
        ):
            assert theirs is not None
            assert len(theirs)
            pd.testing.assert_frame_equal(mine, with_numbers(theirs, new), check_dtype=False)
    assert seen.objects[t.SHARPNESS].notna().any()


def test_a_field_whose_numbers_are_far_apart_is_corrected(field: SimulatedField) -> None:
    peaks = []
    for largest in (1000, FAR, 2**31):
        labels, _ = renumbered(field.labels, largest)
        tracemalloc.start()
        live = LiveField(field.stack, load_panel("apoptosis"), Settings(), labels)
        labels = np.where(labels == live.now.objects[t.LABEL][3], 0, labels)
        now = live.update(labels)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert peaks[-1] < peaks[0] + FAR
        pd.testing.assert_frame_equal(now.objects, measured(field, labels)[0].objects)


def test_a_run_gives_the_numbers_of_the_label_image(field: SimulatedField, tmp_path: Path) -> None:
    study = tmp_path / "study"
    (study / "P1").mkdir(parents=True)
    write_stack(study / "P1" / "A.ome.tif", field.stack)
    tables = {}
    for name, largest in (("few", None), ("far", FAR), ("further", 2**31)):
        labels, new = field.labels, np.arange(int(field.labels.max()) + 1)
        if largest is not None:
            labels, new = renumbered(field.labels, largest)
        path, out = tmp_path / f"{name}.tif", tmp_path / name
        write_labels(path, labels, field.stack.pixel_size)
        settings = Settings(segmentation=GivenLabels(path=str(path)))
        tracemalloc.start()
        result = run_study(open_study(study, panels=["apoptosis"]), out, settings, workers=1)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert result.fields["status"].tolist() == ["analysed"]
        (cells,) = (out / "cells").glob("*.parquet")
        (kept,) = (out / "labels").glob("*.tif")
        (picture,) = (out / "overlays").glob("*.png")
        assert (read_labels(kept) == labels).all()
        tables[name] = pd.read_parquet(cells), picture.read_bytes(), peak
        assert tables[name][0][t.LABEL].tolist() == new[tables["few"][0][t.LABEL]].tolist()
        assert tables[name][1] == tables["few"][1]
        assert peak < tables["few"][2] + FAR


@pytest.mark.parametrize(
    ("number", "dtype", "words"),
    [
        (1, bool, "a mask of yes and no"),
        (1, np.uint8, r"one number, 1, in \d+ separate pieces"),
        (255, np.uint8, r"one number, 255, in \d+ separate pieces"),
    ],
)
def test_a_mask_is_not_one_nucleus(
    field: SimulatedField, tmp_path: Path, number: int, dtype: type, words: str
) -> None:
    study = tmp_path / "study"
    (study / "P1").mkdir(parents=True)
    write_stack(study / "P1" / "A.ome.tif", field.stack)
    mask = ((field.labels > 0) * number).astype(dtype)
    with pytest.raises(LabelsError, match=words):
        measure_stack(field.stack, load_panel("apoptosis"), nuclei=mask)
    path = tmp_path / "mask.tif"
    tifffile.imwrite(path, mask, photometric="minisblack")
    settings = Settings(segmentation=GivenLabels(path=str(path)))
    result = run_study(
        open_study(study, panels=["apoptosis"]), tmp_path / "out", settings, workers=1
    )
    assert result.fields["reason"].tolist() == ["labels"]
    message = result.fields["message"][0]
    assert "mask.tif" in message
    assert "Number" in message or "number its objects" in message


def test_one_nucleus_alone_is_no_mask(field: SimulatedField) -> None:
    one = np.where(field.labels == 3, 255, 0)
    seen = measure_stack(field.stack, load_panel("apoptosis"), nuclei=one)
    assert seen.objects[t.LABEL].tolist() == [255]

"""A trial at the level of tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from imganalysis import tables as t
from imganalysis.panel import load_panel
from imganalysis.simulate.trial import (
    CONTROL_ROLE,
    DYING,
    OTHER,
    TRUE_KIND,
    VITAL,
    Trial,
    mean_share,
    simulate_trial,
)

A = load_panel("apoptosis")


def test_the_same_seed_gives_the_same_cells() -> None:
    trial = Trial(patients=3)
    one, other = (simulate_trial(trial, A, seed=4) for _ in range(2))
    pd.testing.assert_frame_equal(one.cells, other.cells)
    third = simulate_trial(trial, A, seed=5)
    assert len(third.cells) != len(one.cells) or not third.cells.equals(one.cells)


def test_who_is_in_it() -> None:
    trial = Trial()
    found = simulate_trial(trial, A, seed=0)
    fields = found.fields.set_index(t.FIELD)
    samples = fields[fields[t.ROLE] == "sample"]
    assert samples["patient"].nunique() == 24 and samples[t.BIOPSY].nunique() == 72
    assert (samples.groupby(t.BIOPSY).size() == 5).all()
    assert (fields[t.ROLE] == CONTROL_ROLE).sum() == 9
    gone = found.expected[found.expected.isna()]
    assert list(gone.index) == ["P00w4"]
    biopsy = found.cells[t.FIELD].map(fields[t.BIOPSY])
    assert set(found.cells.loc[biopsy == "P00w4", TRUE_KIND]) == {OTHER}
    controls = found.cells[found.cells[t.FIELD].map(fields[t.ROLE]) == CONTROL_ROLE]
    assert set(controls[TRUE_KIND]) == {OTHER} and len(controls) == 9 * 250


def test_levels_are_those_of_the_kinds() -> None:
    found = simulate_trial(Trial(patients=60, weeks=(1,), share=(0.4,)), A, seed=2)
    death = found.cells.groupby(TRUE_KIND)["casp3_max_mean"].median()
    assert death[DYING] / death[VITAL] == pytest.approx(9, rel=0.03)
    assert death[OTHER] / death[VITAL] == pytest.approx(1, rel=0.03)
    lineage = found.cells.groupby(TRUE_KIND)["MelanA_ring_mean"].median()
    assert lineage[VITAL] / lineage[OTHER] == pytest.approx(8.8, rel=0.05)
    assert lineage[OTHER] < lineage[DYING] < lineage[VITAL] / 2


def test_the_expected_value_is_the_mean_over_many_fields() -> None:
    trial = Trial(patients=1, weeks=(1,), share=(0.4,), without_tumour=(), fields=4000, low=0.2)
    found = simulate_trial(trial, A, seed=3)
    n = found.cells[TRUE_KIND].value_counts()
    vital = n[VITAL] * (1 - trial.low)  # truly faint cells are not in the denominator
    assert n[DYING] / (n[DYING] + vital) == pytest.approx(found.expected.iloc[0], abs=0.004)


def test_mean_share_of_a_logistic_normal() -> None:
    z = np.random.default_rng(0).normal(size=400_000)
    expected = (1 / (1 + np.exp(-(-1.2 + 0.8 * z)))).mean()
    assert mean_share(np.array(-1.2), 0.8) == pytest.approx(expected, abs=1e-3)
    assert mean_share(np.array(0.0), 0.5) == pytest.approx(0.5)

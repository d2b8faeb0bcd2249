"""Classes by hand in the second half: counted, and kept when gates are moved."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from imganalysis import __version__
from imganalysis import tables as t
from imganalysis.corrections import CLASS, Edit
from imganalysis.panel import load_panel
from imganalysis.second_half import Judged, judge
from imganalysis.settings import Settings

A = load_panel("apoptosis")
N = 400


def objects(rng: np.random.Generator, name: str, role: str, death: float) -> pd.DataFrame:
    """Lineage positive cells, a share of which die, with levels around the gate."""
    base: dict[str, Any] = {
        t.FIELD: name, t.BIOPSY: "P01", t.ROLE: role, t.PANEL: A.name, t.BATCH: "B",
        t.ACQUISITION: "A", t.LABEL: np.arange(1, N + 1), t.Y: rng.uniform(10, 230, N),
        t.X: rng.uniform(10, 230, N), t.DIAMETER: np.full(N, 9.5), t.ASPECT: np.full(N, 1.1),
        t.CAP: False, t.EVALUABLE: True, t.EXCLUSION: "",
    }  # fmt: skip
    for marker, share in (("MelanA", 1.0 if role == "sample" else 0.0), ("casp3", death)):
        level = np.where(rng.random(N) < share, np.log(30.0), np.log(10.0))
        values = np.exp(rng.normal(level, 0.4))
        for part in ("nucleus", "ring", "max"):
            base[t.measure_column(marker, part, "mean")] = values
            base[t.measure_column(marker, part, "sd")] = values * 0.2
    return pd.DataFrame(base)


def judged(corrected: dict[str, dict[int, Edit]] | None) -> Judged:
    rng = np.random.default_rng(3)
    tables = {name: objects(rng, name, role, death) for name, role, death in (
        ("s", "sample", 0.4), ("c1", "secondary_only", 0.0), ("c2", "secondary_only", 0.0),
    )}  # fmt: skip
    columns = [t.FIELD, t.BIOPSY, t.ROLE, t.PANEL, t.BATCH, t.ACQUISITION]
    fields = pd.concat([table[columns].iloc[:1] for table in tables.values()], ignore_index=True)
    grids = {name: np.full((60, 60), 16.0) for name in tables}
    return judge(tables, fields, grids, {A.name: A}, Settings(), corrected=corrected, version="x")


def by_hand(label: int, to: str) -> Edit:
    what = {"cell": {"label": label, "x": 1.0, "y": 1.0}}
    return Edit(CLASS, "s", what, {}, {"class": to}, "", "anna", version=__version__)


def test_a_class_by_hand_stays_when_a_gate_moves() -> None:
    plain = judged(None)
    low, high = (end.loc["s"] for end in plain.counts.scaled["casp3"])
    assert low["tumour_apoptotic"] > high["tumour_apoptotic"], "the gate moves what rules say"
    edits = {
        n: by_hand(n, "tumour_vital" if n % 2 else "tumour_apoptotic") for n in range(1, N + 1)
    }
    found = judged({"s": edits, "c1": {}, "c2": {}})
    called = found.counts.called.loc["s"]
    assert (called["tumour_vital"], called["tumour_apoptotic"]) == (N / 2, N / 2)
    for marker in ("casp3", "MelanA"):
        for end in found.counts.scaled[marker]:
            assert end.loc["s"].equals(called), marker
    assert (found.counts.bounds["apoptotic_fraction"].loc["s"] == 0).all(), "nothing is open"
    assert (found.tables["s"][t.PHENOTYPE_RULES] == plain.tables["s"][t.PHENOTYPE]).all()


def test_one_class_by_hand_moves_one_count() -> None:
    plain = judged(None)
    vital = plain.tables["s"].query("phenotype == 'tumour_vital'")[t.LABEL].iloc[0]
    found = judged({"s": {int(vital): by_hand(int(vital), "tumour_apoptotic")}})
    moved = found.counts.called.loc["s"] - plain.counts.called.loc["s"]
    assert moved[moved != 0].to_dict() == {"tumour_vital": -1, "tumour_apoptotic": 1}
    assert found.gates == plain.gates
    same = [c for c in plain.tables["s"] if c not in ("phenotype", "why")]
    pd.testing.assert_frame_equal(found.tables["s"][same], plain.tables["s"][same])

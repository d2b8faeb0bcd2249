"""Loss of a marker in dying cells: hidden by bleed-through, seen once it is taken off.

True nuclei are given. Cells are chosen in two ways. First over cells that are known FROM THE TRUTH
to be of the tumour, which nobody knows of a biopsy: the lymphocytes in a nest have neither marker
by their lineage, so that over all nuclei of a nest the truth itself is below 1 without any loss.
These tests show what bleed-through and its correction do to the association of two measured
markers. Then by calls, gates and classes alone, as `imganalysis cohort` chooses them: these show
how far that is off.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from imganalysis import tables as t
from imganalysis.cohort.loss import countable, loss_markers
from imganalysis.first_half import Measured, measure_stack
from imganalysis.panel import load_panel
from imganalysis.prepare.bleedthrough import dye_slopes, pool_slopes
from imganalysis.prepare.calibration import Calibration, Share
from imganalysis.quantify.association import Association, loss_odds_ratio, rank_correlation
from imganalysis.second_half import judge
from imganalysis.settings import Settings
from imganalysis.simulate import SimulatedField, load_recipe, simulate_field

GRID: dict[str, Any] = {
    "size_px": 320, "pixel_size_um": 0.465, "planes": 2, "z_step_um": 1.5, "bits": 8, "week": 1,
    "patient_logit": 0.0, "field_logit": 0.0,
}  # fmt: skip
NAMES = ("TO-PRO-3", "MelanA", "casp3")
LINEAGE, DEATH = "MelanA_ring_mean", "casp3_max_mean"
BLEED = [[1.0, 0.0, 0.02], [0.0, 1.0, 0.0], [0.005, 0.08, 1.0]]
N_FIELDS, N_CONTROLS = 8, 4
PANEL = load_panel("apoptosis")


@cache
def recipe(loss: float, dying_t: float | None = None) -> Any:
    """Every `dying_t`-th T cell dies; as the recipe has it if not given."""
    over: dict[str, Any] = {
        "panels": {"apoptosis": {"bleed": BLEED}},
        "cells": {"tumour": {"expression": {"MelanA": {"loss": loss}}}},
    }
    if dying_t is not None:
        over["weeks"] = {1: {"dying": {"T": dying_t}}}
    return load_recipe("melanoma", over)


@cache
def calibration() -> Calibration:
    """As two single stain controls of each dye give it."""
    shares = []
    for own, dye in enumerate(NAMES):
        fields = [
            simulate_field(
                recipe(0.0), "apoptosis", seed=700 + 10 * k + own, control="single_stain",
                stain=dye, **GRID,
            )
            for k in range(2)
        ]  # fmt: skip
        slopes = [dye_slopes(f.stack.numpy().mean(axis=1), own, (0.465, 0.465)) for f in fields]
        for i, detector in enumerate(NAMES):
            if i != own:
                share = max(0.0, pool_slopes([s[i] for s in slopes]).value)
                shares.append(Share(detector=detector, dye=dye, share=share))
    return Calibration(shares=tuple(shares), offsets=dict.fromkeys(NAMES, 5.5))


@cache
def simulated(
    loss: float, seed: int, control: str | None = None, dying_t: float | None = None
) -> SimulatedField:
    return simulate_field(recipe(loss, dying_t), "apoptosis", seed=seed, control=control, **GRID)


@cache
def seen(
    loss: float, seed: int, control: str | None, corrected: bool, dying_t: float | None = None
) -> Measured:
    field = simulated(loss, seed, control, dying_t)
    return measure_stack(
        field.stack, PANEL, nuclei=field.labels, calibration=calibration() if corrected else None
    )


def measured(loss: float, seed: int, control: str | None, corrected: bool) -> pd.DataFrame:
    field, cells = simulated(loss, seed, control), seen(loss, seed, control, corrected).objects
    cells = cells.copy()
    kinds = {
        int(label): (row["kind"], row["compartment"], row["MelanA_positive"], row["casp3_positive"])
        for row in field.cells.to_dict("records")
        for label in row["labels"].split()
    }
    names = ["kind", "compartment", "true_lineage", "true_death"]
    cells[names] = [kinds[int(label)] for label in cells["label"]]
    return cells[cells["evaluable"]].assign(field=seed)


@cache
def gates(corrected: bool) -> tuple[float, float]:
    """99th percentile of the cells of secondary-only controls, as by default."""
    controls = [measured(0.0, 800 + k, "secondary_only", corrected) for k in range(N_CONTROLS)]
    cells = pd.concat(controls)
    return tuple(float(np.percentile(cells[c], 99)) for c in (LINEAGE, DEATH))  # type: ignore[return-value]


@cache
def tumour(loss: float, corrected: bool) -> pd.DataFrame:
    cells = pd.concat([measured(loss, 900 + k, None, corrected) for k in range(N_FIELDS)])
    return cells[cells["kind"] == "tumour"]


def odds_of_loss(cells: pd.DataFrame, corrected: bool) -> Association:
    lineage, death = gates(corrected)
    return loss_odds_ratio(cells[DEATH] > death, cells[LINEAGE] > lineage, cells["field"])


def correlation(cells: pd.DataFrame) -> Association:
    return rank_correlation(cells[LINEAGE], cells[DEATH], cells["field"])


def test_the_bleed_through_is_known_from_the_controls() -> None:
    shares = {(s.detector, s.dye): s.share for s in calibration().shares}
    assert shares["casp3", "MelanA"] == pytest.approx(0.08, abs=0.003)


def test_without_loss_bleed_through_feigns_that_dying_cells_keep_the_marker() -> None:
    """Over cells of the tumour by the truth."""
    raw, unmixed = tumour(0.0, False), tumour(0.0, True)
    assert odds_of_loss(raw, False).value < 0.5
    assert correlation(raw).lo > 0.1
    seen = odds_of_loss(unmixed, True)
    assert seen.lo <= 1 <= seen.hi
    even = correlation(unmixed)
    assert even.lo <= 0 <= even.hi


def test_a_loss_is_seen_only_once_bleed_through_is_taken_off() -> None:
    """Over cells of the tumour by the truth."""
    raw, unmixed = tumour(3.0, False), tumour(3.0, True)
    assert odds_of_loss(raw, False).lo < 1
    seen = odds_of_loss(unmixed, True)
    assert seen.lo > 1 and seen.value > 2
    assert correlation(unmixed).hi < -0.1 < correlation(raw).hi


def test_over_all_nuclei_of_a_nest_the_truth_itself_is_below_one() -> None:
    fields = [simulated(0.0, 900 + k) for k in range(N_FIELDS)]
    cells = pd.concat([f.cells.assign(field=f.seed) for f in fields])
    nest = cells[cells["compartment"] == "nest"]
    one_kind = nest[nest["kind"] == "tumour"]

    def odds(table: pd.DataFrame) -> Association:
        return loss_odds_ratio(table["casp3_positive"], table["MelanA_positive"], table["field"])

    assert odds(nest).hi < 1
    assert odds(one_kind).lo <= 1 <= odds(one_kind).hi


@cache
def chosen(loss: float, corrected: bool, dying_t: float | None = None) -> pd.DataFrame:
    """Cells that `imganalysis cohort` takes, by gates from the controls, calls and classes."""
    fields = [("secondary_only", None, 800 + k) for k in range(N_CONTROLS)]
    fields += [("sample", dying_t, 900 + k) for k in range(N_FIELDS)]
    found, places = {}, []
    for role, share, seed in fields:
        control = None if role == "sample" else role
        one = seen(loss if control is None else 0.0, seed, control, corrected, share)
        place = {
            t.FIELD: f"{role}{seed}", t.BIOPSY: "" if control else "P", "section": "1",
            t.ROLE: role, t.PANEL: PANEL.name, t.BATCH: "B", t.ACQUISITION: "A",
        }  # fmt: skip
        cells = pd.concat([pd.DataFrame(place, one.objects.index), one.objects], axis=1)
        places.append(place)
        found[place[t.FIELD]] = (one, cells)
    one_each = {name: one for name, (one, _) in found.items()}
    judged = judge(
        {name: cells for name, (_, cells) in found.items()},
        pd.DataFrame(places),
        {name: one.grid for name, one in one_each.items()},
        {PANEL.name: PANEL},
        Settings(),
        signs={name: one.signs for name, one in one_each.items()},
        spaces={name: one.space for name, one in one_each.items() if one.space is not None},
        contacts={name: one.contacts for name, one in one_each.items()},
    )
    markers = loss_markers(PANEL)
    assert markers is not None and all(g.method == "control_percentile" for g in judged.gates)
    return pd.concat([countable(table, markers) for table in judged.tables.values()])


def by_calls(cells: pd.DataFrame) -> Association:
    return loss_odds_ratio(cells["state"], cells["kept"], cells["field"])


def ranks_by_calls(cells: pd.DataFrame) -> Association:
    return rank_correlation(cells["kept_level"], cells["state_level"], cells["field"])


def test_by_calls_a_loss_raises_the_ratio_but_it_is_too_low() -> None:
    """Without a loss it lies below 1, and with one below what the same cells' truth gives."""
    none, loss = by_calls(chosen(0.0, True)), by_calls(chosen(3.0, True))
    assert none.hi < 1
    assert loss.value > 2 * none.value
    assert loss.value < odds_of_loss(tumour(3.0, True), True).value
    assert by_calls(chosen(3.0, False)).value < loss.value, "bleed-through hides it"
    assert ranks_by_calls(chosen(3.0, True)).value < ranks_by_calls(chosen(0.0, True)).value


def test_by_calls_many_dying_lymphocytes_feign_a_loss() -> None:
    """So the ratio is no lower bound, and no p may stand beside it."""
    none, half = by_calls(chosen(0.0, True)), by_calls(chosen(0.0, True, 0.5))
    assert none.hi < 1 and half.value > 1.2

"""What neighbours and look-alikes do to the calls: simulated fields with their true nuclei."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from imganalysis import tables as t
from imganalysis.classify import evaluate_contexts
from imganalysis.classify.phenotypes import classify_cells
from imganalysis.first_half import measure_stack
from imganalysis.guarding import values_alone
from imganalysis.panel import load_panel
from imganalysis.second_half import judge
from imganalysis.settings import Settings
from imganalysis.simulate import load_recipe, simulate_field

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imganalysis.first_half import Measured
    from imganalysis.panel import FractionOf
    from imganalysis.simulate import SimulatedField

GRID: dict[str, Any] = {"size_px": 480, "pixel_size_um": 0.465, "planes": 3, "z_step_um": 1.0}
SEEDS = range(7100, 7105)
MANY = (*range(7400, 7405), *range(7410, 7415), *range(7420, 7425), *range(7430, 7435))
CONTROLS = (7200, 7201)


@cache
def seen(
    panel: str, seed: int, variants: tuple[str, ...] = (), control: str | None = None
) -> tuple[SimulatedField, Measured]:
    """Simulate a field, its channels scanned in turn, and measure its true nuclei."""
    field = simulate_field(
        load_recipe(variants=variants), panel, seed=seed, week=0 if control else 1,
        control=control, bleed_scale=0.1, patient_logit=0.0, field_logit=0.0, **GRID,
    )  # fmt: skip
    return field, measure_stack(field.stack, load_panel(panel), nuclei=field.labels)


@cache
def cells_of(
    panel: str, variants: tuple[str, ...] = (), guard: bool = True, seeds: Sequence[int] = SEEDS
) -> pd.DataFrame:
    """Counted cells of some fields with calls, classes, and what is true of them."""
    fields = {f"s{seed}": seen(panel, seed, variants) for seed in seeds}
    fields |= {f"c{seed}": seen(panel, seed, (), "secondary_only") for seed in CONTROLS}
    rows, objects = [], {}
    for name, (field, found) in fields.items():
        place = {t.FIELD: name, t.BIOPSY: "P", t.SECTION: "S", t.PANEL: panel, t.BATCH: "B"}
        place |= {t.ACQUISITION: "A", t.ROLE: field.control or "sample"}
        rows.append(place)
        owner = field.objects.set_index(t.LABEL)[t.CELL_ID]
        truth = field.cells.set_index(t.CELL_ID).add_prefix("true_")
        table = found.objects.assign(**place, true_cell=found.objects[t.LABEL].map(owner))
        objects[name] = table.join(truth, on="true_cell")
    settings = Settings.model_validate({"neighbours": {"guard": guard}})
    judged = judge(
        objects,
        pd.DataFrame(rows),
        {name: found.grid for name, (_, found) in fields.items()},
        {panel: load_panel(panel)},
        settings,
        contacts={name: found.contacts for name, (_, found) in fields.items()},
    )
    return judged.cells[judged.cells[t.EVALUABLE].astype(bool)]


def fraction(cells: pd.DataFrame, panel: str, name: str, variant: str = "") -> float:
    """A fraction of the panel over the given cells."""
    whole: FractionOf = next(f for f in load_panel(panel).fractions if f.name == name)
    part = whole.variants[variant] if variant else whole
    counts = cells[t.PHENOTYPE].value_counts()

    def n(classes: Sequence[str]) -> int:
        return int(counts.reindex(list(classes), fill_value=0).sum())

    return n(part.numerator) / n(part.denominator)


def false_calls(cells: pd.DataFrame, marker: str) -> tuple[int, int]:
    """Positive calls of cells that hold none of a marker, and of cells that hold enough."""
    called = cells[t.call_column(marker)] == t.POSITIVE
    none = called & (cells[f"true_{marker}_level"] == 0)
    return int(none.sum()), int((called & cells[f"true_{marker}_positive"].astype(bool)).sum())


@pytest.mark.parametrize(("marker", "share"), [("MelanA", 0.2), ("casp3", 0.3)])
def test_a_neighbours_light_is_no_longer_a_call(marker: str, share: float) -> None:
    """False calls beside positive cells, seen or not, become fewer; no true one is lost."""
    false, true = false_calls(cells_of("apoptosis", guard=False), marker)
    fewer, kept = false_calls(cells_of("apoptosis"), marker)
    assert false >= 10
    assert fewer <= share * false
    assert kept >= 0.99 * true
    guarded = cells_of("apoptosis")
    free = guarded[t.measure_column(marker, "ring", t.FREE)]
    assert free.notna().any() and free.isna().any()


@pytest.mark.parametrize("marker", ["CD3", "CD56"])
def test_lymphocytes_side_by_side_keep_their_calls(marker: str) -> None:
    _, true = false_calls(cells_of("infiltrate", guard=False), marker)
    _, kept = false_calls(cells_of("infiltrate"), marker)
    assert kept >= 0.97 * true > 0


def test_light_on_one_side_counts_only_of_markers_that_may_lie_there() -> None:
    """The ring's dimmer half goes before the ring; a bright nucleus speaks for itself."""
    column = t.measure_column
    cells = pd.DataFrame(
        {
            column(marker, part, "mean"): [9.0, 9.0, 9.0]
            for marker in ("MelanA", "casp3", "CD3")
            for part in ("ring", "max")
        }
    )
    for marker in ("MelanA", "casp3", "CD3"):
        cells[column(marker, "nucleus", "mean")] = [1.0, 8.0, 1.0]
        cells[column(marker, "ring", t.DIM_HALF)] = [2.0, 2.0, float("nan")]
        cells[column(marker, "ring", t.FREE)] = [float("nan"), float("nan"), 4.0]
    alone = values_alone(cells, load_panel("apoptosis"))
    assert alone["MelanA_ring_mean"].tolist() == [2.0, 2.0, 4.0]
    assert alone["casp3_max_mean"].tolist() == [2.0, 8.0, 4.0]
    assert values_alone(cells, load_panel("joint"))["CD3_ring_mean"].tolist() == [9.0, 9.0, 4.0]


@pytest.fixture(scope="module")
def sheets() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Twenty fields, and the same with CD56 on most of the melanoma; one NK cell is 0.1 %."""
    plain, more = (cells_of("infiltrate", v, seeds=MANY) for v in ((), ("CD56_melanoma",)))
    return plain, more


def test_t14_sheets_of_cd56_positive_melanoma_are_no_lymphocytes(
    sheets: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    plain, more = sheets
    true = more["true_group_infiltrate"] == "CD56_nonlymphoid"
    found = more[true][t.PHENOTYPE].value_counts(normalize=True)
    assert true.sum() > 500
    assert found.idxmax() == "CD56_nonlymphoid" and found["CD56_nonlymphoid"] > 0.8
    before, after = (fraction(cells, "infiltrate", "pct_NK") for cells in sheets)
    assert abs(100 * (after - before)) < 0.5
    # Not by calling fewer of all: what is called NK is NK, and those there were are still found.
    was, called = (cells[cells[t.PHENOTYPE] == "NK"]["true_kind"] == "NK" for cells in sheets)
    assert called.mean() > 0.75
    assert called.sum() > 0.8 * was.sum() > 40
    # Without the rules for small cuts and wide bodies they double, and those there were stay.
    alone = [without_cuts(cells) for cells in sheets]
    assert fraction(alone[1], "infiltrate", "pct_NK") > 1.5 * before
    n = [(cells[t.PHENOTYPE] == "NK").sum() for cells in (plain, alone[0])]
    assert n[0] > 0.85 * n[1]


def without_cuts(cells: pd.DataFrame) -> pd.DataFrame:
    """The same cells, classified without a look at small cuts and wide bodies."""
    panel = load_panel("infiltrate")
    sheet = panel.contexts["CD56_sheet"].model_copy(update={"cut_um": None, "min_spread": None})
    panel = panel.model_copy(update={"contexts": {**panel.contexts, "CD56_sheet": sheet}})
    contexts = evaluate_contexts(cells, panel)
    again = cells.assign(**{name: contexts[name] for name in contexts})
    return again.assign(**{t.PHENOTYPE: classify_cells(again, panel).phenotype})


def test_t15_melanophages_are_counted_and_the_fraction_stays() -> None:
    plain = cells_of("apoptosis")
    more = cells_of("apoptosis", ("melanophages",))
    true = more["true_kind"] == "melanophage"
    found = more[true & (more["MelanA_call"] == t.POSITIVE)][t.PHENOTYPE]
    assert len(found) >= 5
    assert (found == "melanophage_suspect").mean() > 0.7
    tumour = more["true_group_apoptosis"] == "tumour_vital"
    assert (more[tumour][t.PHENOTYPE] == "melanophage_suspect").mean() < 0.01
    for variant in ("", "strict"):
        change = fraction(more, "apoptosis", "apoptotic_fraction", variant) - fraction(
            plain, "apoptosis", "apoptotic_fraction", variant
        )
        assert abs(change) < 0.01


@pytest.mark.parametrize("panel", ["apoptosis", "joint"])
def test_t16_dying_lymphocytes_are_no_dying_tumour_cells(panel: str) -> None:
    cells = cells_of(panel, ("dying_lymphocytes",))
    dying = (cells["true_kind"] == "T") & cells["true_casp3_positive"].astype(bool)
    assert dying.sum() >= 10

    def inflation(variant: str = "") -> float:
        whole = fraction(cells, panel, "apoptotic_fraction", variant)
        return 100 * (whole - fraction(cells[~dying], panel, "apoptotic_fraction", variant))

    if panel == "joint":  # CD3 tells them
        assert inflation() == inflation("inclusive") == 0
    else:
        assert inflation() <= 2
        assert inflation("inclusive") > max(0, inflation())

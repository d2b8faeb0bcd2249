"""The second half: from one row per object to counts per field. No pixel is touched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from imganalysis import tables as t
from imganalysis.blanking import with_blanks
from imganalysis.classify.calls import call_numbers
from imganalysis.classify.contexts import evaluate_contexts
from imganalysis.classify.gates import ungated_markers
from imganalysis.classify.learned import classify_with
from imganalysis.classify.phenotypes import Classified, classify_cells
from imganalysis.classify.recall import recall_cells
from imganalysis.classify.region import panel_regions
from imganalysis.classify.scopes import evaluable
from imganalysis.classify.soft import positive_probabilities
from imganalysis.corrections import GIVEN, NOTE, give_classes, rules_column, with_given
from imganalysis.counted import Part
from imganalysis.counting import count_cells, tally_exclusions, without_negatives
from imganalysis.death import (
    Signs,
    exclude_debris,
    field_numbers,
    merge_fields,
    spread,
    spread_fields,
)
from imganalysis.gating import GATE_CONTROLS, study_gates, together
from imganalysis.guarding import free_rings, guarded_calls, values_alone
from imganalysis.quantify.merging import number_cells
from imganalysis.quantify.regions import outlined, region_areas, with_regions
from imganalysis.records import place_of, placed
from imganalysis.study import SAMPLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from imganalysis.classify.gates import Gate
    from imganalysis.classify.learned import Learned
    from imganalysis.corrections import Edit
    from imganalysis.death import Merged
    from imganalysis.panel import Panel
    from imganalysis.quantify.summary import Counts
    from imganalysis.quantify.window import FieldSpace
    from imganalysis.settings import Settings
    from imganalysis.study import Field


@dataclass(frozen=True)
class Judged:
    """Cells with their calls and classes, and the counts that follow.

    Parameters
    ----------
    cells
        One row per cell of every sample field, all panels.
    tables
        Field -> one row per object, with its own panel's columns only.
    counts
        Evaluable cells per field and class.
    excluded
        Objects per field and reason of exclusion, of controls too.
    region_mm2
        Field -> counted area of each region, where it can be had.
    gates
        The gates that were used.
    no_negatives
        (biopsy, marker) pairs whose cells show no negative population.
    numbers
        Field -> name -> number: objects, cells, ghosts.
    unmerged
        Fields whose fragments could not be told from cells.
    parts
        The counted cells of each panel, ready to be called by other gates.
    """

    cells: pd.DataFrame
    tables: dict[str, pd.DataFrame]
    counts: Counts
    excluded: pd.DataFrame
    region_mm2: dict[str, dict[str, float]]
    gates: tuple[Gate, ...]
    no_negatives: frozenset[tuple[str, str]]
    numbers: dict[str, dict[str, float]]
    unmerged: frozenset[str]
    parts: tuple[Part, ...] = ()


def judge(
    objects: Mapping[str, pd.DataFrame],
    fields: pd.DataFrame,
    grids: Mapping[str, NDArray[Any]],
    panels: Mapping[str, Panel],
    settings: Settings,
    gates: Sequence[Gate] | None = None,
    scopes: Sequence[tuple[str, str, str]] = (),
    signs: Mapping[str, Signs] | None = None,
    spaces: Mapping[str, FieldSpace] | None = None,
    contacts: Mapping[str, pd.DataFrame] | None = None,
    classifier: Learned | None = None,
    corrected: Mapping[str, Mapping[int, Edit]] | None = None,
    **stamp: Any,
) -> Judged:
    """Set gates, call markers, merge fragments, classify cells and count them.

    Parameters
    ----------
    objects
        Field -> one row per object, with the columns of `fields`; samples and controls.
    fields
        One row per analysed field, also of those without an object: ``field``, ``biopsy``,
        ``role``, ``panel``, ``batch``, ``acquisition``.
    grids
        Field -> counted tissue in um2 on the coarse grid.
    panels
        By name.
    settings
        Of the run.
    gates
        Gates that somebody set; they go before those of the controls.
    scopes
        (panel, batch, acquisition) of fields that were not analysed: a gate for them is no
        mistake.
    signs
        Field -> possible fragments, and ghosts.
    spaces
        Field -> what distances in it need to know, outlined tumours among it.
    contacts
        Field -> its contacts, where calls are guarded against neighbours.
    classifier
        Gives classes after the rules, to the cells of its panel.
    corrected
        Field -> label -> the edit by which a person gave its class; None without a log.
    stamp
        For the gates' record: hashes, user, time, version.
    """
    role = fields[t.ROLE]
    controls = together(objects, fields[role.isin(GATE_CONTROLS)])
    places = fields[role == SAMPLE].reset_index(drop=True)
    names = pd.Index(places[t.FIELD])
    drawn = outlined(spaces or {})
    of_panel = {name: places[places[t.PANEL] == name] for name in panels}
    pieces = {name: together(objects, mine) for name, mine in of_panel.items()}
    used = study_gates(
        controls, pieces, places, panels, settings.gating, drawn, gates, scopes, **stamp
    )
    controls = evaluable(controls).reset_index(drop=True)
    merged = merge_fields(objects, places, panels, used, signs or {}, contacts or {}, settings)
    sample = set(names)
    _give_corrected(merged, objects, {n: e for n, e in (corrected or {}).items() if n in sample})
    parts, unmerged = [], []
    for name, panel in panels.items():
        if not of_panel[name].empty:
            part, alone = _judge_panel(
                number_cells(pieces.pop(name), ()), of_panel[name], panel, used, grids,
                spaces or {}, merged, contacts or {}, settings, classifier,
            )  # fmt: skip
            parts.append(part)
            unmerged.append(alone)
    parts = [with_blanks(part, controls, classifier) for part in parts]
    cells = [part.cells for part in parts]
    controlled = [table for name, table in objects.items() if name not in sample]
    tables: dict[str, pd.DataFrame] = {}
    numbers: dict[str, dict[str, float]] = {}
    for part in parts:
        tables |= spread_fields(part.cells, objects, merged)
        numbers |= field_numbers(part.cells, part.fields, part.panel, merged)
    return Judged(
        pd.concat(cells, ignore_index=True) if cells else together(objects, places),
        {name: _without_remarks(table) for name, table in tables.items()},
        count_cells(parts, names, panels, settings.gating, unmerged),
        tally_exclusions([*cells, *controlled], pd.Index(fields[t.FIELD])),
        {name: area for part in parts for name, area in part.region_mm2.items()},
        used,
        frozenset(
            pair for part in parts for pair in without_negatives(part.cells, controls, part.panel)
        ),
        numbers,
        merged.open,
        tuple(parts),
    )


def _with_fields(cells: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Put tables of some fields in the place of these fields' rows, which stand together."""
    parts, start = [], 0
    for name, first, end in t.field_runs(cells):
        if name in tables:
            parts += [cells.iloc[start:first], tables[name]]
            start = end
    parts.append(cells.iloc[start:])
    some = [part for part in parts if len(part)]
    return pd.concat(some, ignore_index=True) if start else cells


def _without_remarks(table: pd.DataFrame) -> pd.DataFrame:
    """Leave out what a person said of classes: `phenotype` and `why` have it."""
    return table.drop(columns=[GIVEN, NOTE]) if GIVEN in table.columns else table


def _give_corrected(
    merged: Merged,
    objects: Mapping[str, pd.DataFrame],
    corrected: Mapping[str, Mapping[int, Edit]],
) -> None:
    """Give the classes that a person gave, to cells and to the objects that they are made of."""
    for name, given in corrected.items():
        own = merged.objects.get(name, number_cells(objects[name], ()))
        merged.objects[name], merged.cells[name] = give_classes(
            own, merged.cells.get(name, own), given
        )


def _judge_panel(
    objects: pd.DataFrame,
    fields: pd.DataFrame,
    panel: Panel,
    gates: Sequence[Gate],
    grids: Mapping[str, NDArray[Any]],
    spaces: Mapping[str, FieldSpace],
    merged: Merged,
    contacts: Mapping[str, pd.DataFrame],
    settings: Settings,
    classifier: Learned | None,
) -> tuple[Part, Part]:
    """Judge the cells of one panel; gives them, and the same with every fragment for a cell."""
    own = {name: grids[name] for name in fields[t.FIELD]}
    drawn = outlined({name: spaces.get(name) for name in own})
    cells = _with_fields(objects, merged.cells)
    table, result, regions = _classified(
        cells, panel, gates, own | drawn, merged.contacts, settings, classifier, fields
    )
    margin = settings.space.margin_um
    region_mm2 = {
        name: region_areas(mask, grids[name], margin, spaces.get(name))
        for name, mask in regions.items()
    }
    table = with_regions(table, regions, spaces, margin)
    part = counted_part(table, result, fields, panel, gates, region_mm2, settings)
    if len(objects) == len(cells):
        return part, part
    alone, result, _ = _classified(
        _with_fields(objects, merged.objects), panel, gates, regions, contacts, settings,
        classifier, fields,
    )  # fmt: skip
    return part, counted_part(alone, result, fields, panel, gates, {}, settings)


def counted_part(
    table: pd.DataFrame,
    result: Classified,
    fields: pd.DataFrame,
    panel: Panel,
    gates: Sequence[Gate],
    region_mm2: dict[str, dict[str, float]],
    settings: Settings,
) -> Part:
    """Make the cells of one panel, with calls, contexts and classes, ready to be called again."""
    counted, band = _counted(table, panel), settings.gating.indeterminate_band
    mask = table[t.EVALUABLE].to_numpy(dtype=bool)
    given = None if result.given is None else (result.given[mask], result.possible[mask])
    recall = recall_cells(counted, panel, gates, band, values_alone(counted, panel), given)
    return Part(panel, fields, table, counted, recall, region_mm2)


def _counted(table: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """Take the evaluable cells, with the columns that decide what they count for."""
    wanted = [t.FIELD, t.BIOPSY, t.BATCH, t.ACQUISITION, t.CAP, t.PHENOTYPE, t.RING_AREA]
    wanted += [t.context_column(name) for name in panel.contexts]
    for channel in panel.gated:
        name = channel.marker
        wanted += [*channel.columns, t.call_column(name), t.probability_column(name)]
        wanted += [t.measure_column(name, "ring", part) for part in (t.FREE, t.DIM_HALF)]
        parts = [m.statistic for m in channel.measures if m.compartment == "max"]
        parts += ["mean"]
        wanted += [t.measure_column(name, c, s) for s in parts for c in ("nucleus", "ring")]
    mine = table[[name for name in dict.fromkeys(wanted) if name in table.columns]]
    return mine[table[t.EVALUABLE].to_numpy(dtype=bool)]


def _classified(
    cells: pd.DataFrame,
    panel: Panel,
    gates: Sequence[Gate],
    grids: Mapping[str, NDArray[Any]],
    contacts: Mapping[str, pd.DataFrame],
    settings: Settings,
    classifier: Learned | None,
    fields: pd.DataFrame,
    traces: Mapping[str, NDArray[np.float64]] | None = None,
) -> tuple[pd.DataFrame, Classified, dict[str, NDArray[np.bool_]]]:
    """Call and classify cells; gives them with their classes, and the regions used.

    `grids` are the fields' grids of areas, or the regions themselves where these are known.
    """
    cells = cells.reset_index(drop=True)
    band = settings.gating.indeterminate_band
    calls = call_numbers(cells, panel, gates, band)
    if settings.neighbours.guard:
        free = free_rings(cells, calls, contacts, panel, settings.neighbours)
        cells = pd.concat([cells, free], axis=1)
    soft = positive_probabilities(cells, panel, gates)
    words = guarded_calls(cells, panel, gates, band, calls)
    called = pd.concat([cells, words, soft], axis=1)
    known = {name: grid for name, grid in grids.items() if grid.dtype == bool}
    asked = {name: grid for name, grid in grids.items() if name not in known}
    regions = _regions(called, panel, asked, fields, gates) | known
    contexts = evaluate_contexts(called, panel, regions, t.GRID_UM, traces)
    table = exclude_debris(pd.concat([called, contexts], axis=1), panel, settings.counting)
    result = classify_with(table, panel, classifier)
    by_rules = result if classifier is None else classify_cells(table, panel, reasons=False)
    result = with_given(table, result, panel)
    table[t.PHENOTYPE], table[t.WHY] = result.phenotype, result.why
    table = table.assign(**rules_column(table, by_rules))
    if classifier is not None and classifier.panel == panel.name:
        table[t.PHENOTYPE_RULES] = by_rules.phenotype
    return table, result, regions


def _regions(
    cells: pd.DataFrame,
    panel: Panel,
    grids: Mapping[str, NDArray[Any]],
    fields: pd.DataFrame,
    gates: Sequence[Gate],
) -> dict[str, NDArray[np.bool_]]:
    """Field -> grid of the panel's region, where it can be had."""
    if panel.region is None or not grids:
        return {}
    lacking, markers = ungated_markers(panel, fields, gates), panel.region.positive
    gated = {name for name in grids if any((name, m) not in lacking for m in markers)}
    return panel_regions(cells, panel.region, {name: g.shape for name, g in grids.items()}, gated)


def judge_field(
    where: Field,
    objects: pd.DataFrame,
    panel: Panel,
    gates: Sequence[Gate],
    settings: Settings,
    *,
    grid: NDArray[Any],
    signs: Signs,
    space: FieldSpace,
    contacts: pd.DataFrame,
    given: Mapping[int, Edit] | None = None,
    traces: Mapping[str, NDArray[np.float64]] | None = None,
) -> pd.DataFrame:
    """Call, merge and classify the objects of one field, by gates that are set.

    Parameters
    ----------
    where
        The field.
    objects
        One row per object, as the first half gives them.
    panel, settings
        Of the run.
    gates
        All that its markers need; the ladder is not climbed.
    grid, signs, space, contacts
        Of the first half.
    given
        Label -> the edit by which a person gave its class; None without a log.
    traces
        Of `imganalysis.classify.contexts.trace_values`, of the cells of all other fields of its
        panel, batch and acquisition: without them some contexts are told by this field alone.

    Returns
    -------
    DataFrame
        One row per object, what `judge` gives of this field with the same gates.
    """
    name, table = where.name, placed(where, objects)
    if where.role != SAMPLE:
        return number_cells(table, ()).assign(**{t.PHENOTYPE: ""})
    fields, spaces = pd.DataFrame([place_of(where)]), {name: space}
    merged = merge_fields(
        {name: table}, fields, {panel.name: panel}, gates, {name: signs}, {name: contacts},
        settings,
    )  # fmt: skip
    pieces = merged.objects.get(name, number_cells(table, ()))
    cells = merged.cells.get(name, pieces)
    if given is not None:
        pieces, cells = give_classes(pieces, cells, given)
    drawn = outlined(spaces)
    found, _, regions = _classified(
        cells, panel, gates, {name: grid} | drawn, merged.contacts, settings, None, fields, traces
    )
    found = with_regions(found, regions, spaces, settings.space.margin_um)
    return spread(pieces, found).drop(columns=[GIVEN, NOTE], errors="ignore")

"""Dying cells in both halves: fragments and ghosts are seen in the pixels, and judged later."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from imganalysis import tables as t
from imganalysis.classify.calls import NEGATIVE_CODE, call_codes
from imganalysis.classify.gates import select_gate
from imganalysis.quantify.fragments import disc_diameter, fragment_pairs
from imganalysis.quantify.frame import judge as judge_cells
from imganalysis.quantify.ghosts import count_ghosts, find_ghosts
from imganalysis.quantify.merging import join_fragments, merged_cells, merged_contacts, number_cells

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from imganalysis.classify.gates import Gate
    from imganalysis.panel import Panel
    from imganalysis.records import FieldResult
    from imganalysis.settings import Settings
    from imganalysis.settings_counting import Counting

UNMERGED = "fragments_unmerged"
"""Flag of a field in which fragments cannot be told."""

KEPT = ("folded", "pigment", "out_of_focus")
"""Exclusions that the pixels told; a cell has that of its largest object."""

DEBRIS = "engulfed_debris"
"""Exclusion of condensed bodies beside a macrophage."""


@dataclass(frozen=True)
class Signs:
    """What the second half needs of a field's pixels to tell fragments and ghosts.

    Parameters
    ----------
    frame_um
        (y0, x0, y1, x1) um, between which a counted centroid lies; None where objects are
        counted by their pixels.
    pairs
        Of possible fragments, `imganalysis.tables.PAIR_COLUMNS`; None without a death marker.
    ghosts
        As `imganalysis.quantify.ghosts.find_ghosts` gives them; None without a death marker, of
        stacks left in 3-D, and where `can_tell_ghosts` says no.
    """

    frame_um: tuple[float, float, float, float] | None = None
    pairs: pd.DataFrame | None = None
    ghosts: pd.DataFrame | None = None


NO_SIGNS = Signs()
"""Of a field in which there was nothing to see."""


def see_signs(
    labels: tuple[NDArray[np.uint32], NDArray[np.uint32]],
    images: Mapping[str, NDArray[np.float32]],
    masks: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    objects: pd.DataFrame,
    panel: Panel,
    spacing: tuple[float, ...],
    frame_um: tuple[float, float, float, float],
    settings: Counting,
) -> Signs:
    """Look for pairs of fragments, and for ghosts, in the pixels of a field.

    Parameters
    ----------
    labels
        Nuclei and cells.
    images
        Marker -> picture, background subtracted.
    masks
        (Y, X) tissue and frame.
    objects
        One row per nucleus.
    panel
        Its death marker; without one there is nothing to see.
    spacing
        ([Z,] Y, X) um.
    frame_um
        As in `Signs`.
    settings
        Sizes.
    """
    box = frame_um if settings.frame != "unbiased" else None
    marker = panel.death_marker
    if marker is None:
        return Signs(box)
    nuclei, cells = labels
    dna = t.measure_column(panel.nuclei.marker, "nucleus", "mean")
    pairs = fragment_pairs(nuclei, images[marker], objects, dna, spacing, settings)
    if nuclei.ndim == 3 or not can_tell_ghosts(objects, masks[0] & masks[1]):
        return Signs(box, pairs)
    shown = {name: images[name] for name in ghost_markers(panel)}
    flat = (spacing[-2], spacing[-1])
    return Signs(box, pairs, find_ghosts(nuclei, cells, shown, *masks, flat, settings))


def can_tell_ghosts(objects: pd.DataFrame, counted: NDArray[np.bool_]) -> bool:
    """Whether there is tissue to look at, and nuclei that tell ghosts from cells."""
    return not objects.empty and bool(counted.any())


def ghost_markers(panel: Panel) -> list[str]:
    """Markers that a ghost may show: those that make the panel's region, and the death marker."""
    region = panel.region.positive if panel.region is not None else ()
    death = (panel.death_marker,) if panel.death_marker is not None else ()
    return list(dict.fromkeys((*region, *death)))


@dataclass(frozen=True)
class Merged:
    """The fragments of a study put together.

    Parameters
    ----------
    objects
        Field with fragments -> one row per object, with ``cell_id`` and ``n_fragments``. In
        fields that are not here every object is a cell.
    cells
        The same fields -> one row per cell.
    contacts
        Field -> contacts of the cells.
    open
        Fields whose death marker has no gate.
    ghosts
        Field -> number and area in mm2 of its ghosts.
    """

    objects: dict[str, pd.DataFrame]
    cells: dict[str, pd.DataFrame]
    contacts: dict[str, pd.DataFrame]
    open: frozenset[str]
    ghosts: dict[str, tuple[float, float]]


def merge_fields(
    objects: Mapping[str, pd.DataFrame],
    fields: pd.DataFrame,
    panels: Mapping[str, Panel],
    gates: Sequence[Gate],
    signs: Mapping[str, Signs],
    contacts: Mapping[str, pd.DataFrame],
    settings: Settings,
) -> Merged:
    """Put the fragments of each field's dying cells together, and count its ghosts.

    Parameters
    ----------
    objects
        Field -> one row per object.
    fields
        One row per field: ``field``, ``panel``, ``batch``, ``acquisition``.
    panels
        By name.
    gates
        Those of the study.
    signs
        Field -> what was seen; a field that is not here has neither fragments nor ghosts.
    contacts
        Field -> contacts of its objects.
    settings
        Of the run.
    """
    numbered, cells, ghosts, open_ = {}, {}, {}, set()
    touching = dict(contacts)
    for name, own, batch, acquisition in fields[
        [t.FIELD, t.PANEL, t.BATCH, t.ACQUISITION]
    ].itertuples(index=False):
        panel, seen, table = panels[own], signs.get(name, NO_SIGNS), objects[name]
        place = {"batch": str(batch), "acquisition": str(acquisition)}
        groups: list[list[int]] = []
        if panel.death_marker is not None and settings.counting.merge_fragments:
            gate = level_gate(gates, panel, panel.death_marker, **place)
            if gate is None:
                open_.add(name)
            elif seen.pairs is not None:
                groups = join_fragments(seen.pairs, gate, table, settings.counting)
        if groups:
            numbered[name] = number_cells(table, groups)
            markers = [channel.marker for channel in panel.channels]
            needed = [column for channel in panel.gated for column in channel.columns]
            merged = merged_cells(numbered[name], markers, seen.frame_um)
            kept = {word: (merged[t.EXCLUSION] == word).to_numpy(bool) for word in KEPT}
            cells[name] = judge_cells(merged, settings.measuring, needed, kept)
            if name in touching:
                touching[name] = merged_contacts(touching[name], numbered[name])
        if seen.ghosts is not None:
            levels = {m: level_gate(gates, panel, m, **place) for m in ghost_markers(panel)}
            ghosts[name] = count_ghosts(seen.ghosts, levels)
    return Merged(numbered, cells, touching, frozenset(open_), ghosts)


def level_gate(
    gates: Sequence[Gate], panel: Panel, marker: str, *, batch: str, acquisition: str
) -> float | None:
    """Gate of a marker as a grey level, which pixels can be held against; None without one."""
    for measure in panel.channel(marker).measures:
        if measure.statistic == "sum":  # of a whole compartment: no grey level
            continue
        column = t.measure_column(marker, measure.compartment, measure.statistic)
        gate = select_gate(
            gates, marker, column, panel=panel.name, batch=batch, acquisition=acquisition
        )
        if gate is not None and gate.value is not None:
            return gate.value
    return None


def exclude_debris(cells: pd.DataFrame, panel: Panel, settings: Counting) -> pd.DataFrame:
    """Exclude condensed bodies that a macrophage-like cell has likely engulfed.

    Parameters
    ----------
    cells
        Of all fields of a panel, with calls and contexts.
    panel
        Its ``lonely_granular`` contexts say which cells look like macrophages; without one
        nothing is excluded.
    settings
        What is small, and what is condensed.

    Returns
    -------
    cells
        A copy; excluded are counted cells no larger than a fragment, negative for the death
        marker, condensed, and within one nuclear diameter of a macrophage-like cell, from
        centre to centre.
    """
    names = [name for name, c in panel.contexts.items() if c.kind == "lonely_granular"]
    if panel.death_marker is None or not names or cells.empty:
        return cells
    dna = t.measure_column(panel.nuclei.marker, "nucleus", "mean")
    if dna not in cells.columns:
        return cells
    likely = np.zeros(len(cells), bool)
    for name in names:
        likely |= cells[t.context_column(name)].fillna(False).to_numpy(bool)
    if not likely.any():
        return cells
    diameter = cells[t.DIAMETER].to_numpy(np.float64)
    small = diameter < disc_diameter(settings.fragment_um2)
    stain = cells[dna].to_numpy(np.float64)
    body = small & ~likely & cells[t.EVALUABLE].to_numpy(bool)
    body &= call_codes(cells, panel.death_marker) == NEGATIVE_CODE
    places = cells[[t.Y, t.X]].to_numpy(np.float64)
    found = np.zeros(len(cells), bool)
    for found_rows in cells.groupby(t.FIELD, sort=False).indices.values():
        rows = np.asarray(found_rows, np.intp)
        eaters, bodies = rows[likely[rows]], rows[body[rows]]
        whole = stain[rows[~small[rows]]]
        if not eaters.size or not bodies.size or not whole.size:
            continue
        bodies = bodies[stain[bodies] > settings.fragment_dna * float(np.nanmedian(whole))]
        tree = cKDTree(places[bodies])
        for eater in eaters:
            found[bodies[tree.query_ball_point(places[eater], diameter[eater])]] = True
    changed = cells.copy()
    changed.loc[found, t.EVALUABLE] = False
    changed.loc[found, t.EXCLUSION] = DEBRIS
    return changed


def spread(objects: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Give every object what was found of its cell: whether it counts, calls, class.

    Parameters
    ----------
    objects
        Of one field, with ``cell_id``.
    cells
        The field's cells, with further columns.

    Returns
    -------
    objects
        Place, shape and intensities are those of each object, all else its cell's.
    """
    own = [c for c in cells.columns if c not in objects.columns]
    shared = [t.CAP, t.EVALUABLE, t.EXCLUSION, t.IN_FRAME, t.IN_TISSUE, t.ON_BORDER, *own]
    rows = pd.Index(cells[t.CELL_ID]).get_indexer(pd.Index(objects[t.CELL_ID]))
    found = cells[[c for c in shared if c in cells.columns]].iloc[rows].reset_index(drop=True)
    kept = objects.reset_index(drop=True)
    return kept.assign(**{name: found[name] for name in found.columns})


def spread_fields(
    cells: pd.DataFrame, objects: Mapping[str, pd.DataFrame], merged: Merged
) -> dict[str, pd.DataFrame]:
    """Do what `spread` does for the cells of many fields, those of each standing together.

    Parameters
    ----------
    cells
        Of one panel, with further columns.
    objects
        Field -> one row per object, without ``cell_id``.
    merged
        The fields with fragments.
    """
    columns, types = cells.columns.tolist(), cells.dtypes.tolist()
    found = {}
    for name, start, stop in t.field_runs(cells):
        own, table = objects[name], cells.iloc[start:stop].reset_index(drop=True)
        first = [*own.columns, t.CELL_ID, t.FRAGMENTS]
        if name in merged.objects:
            found[name] = spread(merged.objects[name], table)
        elif columns[: len(first)] == first and types[: len(first) - 2] == own.dtypes.tolist():
            found[name] = table  # every object is a cell, with further columns
        else:
            found[name] = spread(number_cells(own, ()), table)
    return found


def field_numbers(
    cells: pd.DataFrame, fields: pd.DataFrame, panel: Panel, merged: Merged
) -> dict[str, dict[str, float]]:
    """Field -> objects, cells and ghosts, for ``fields.csv``.

    Parameters
    ----------
    cells
        Of one panel, with classes.
    fields
        Its fields, also those without a cell.
    panel
        Its death marker and classes.
    merged
        As `merge_fields` gives it.
    """
    names = pd.Index(fields[t.FIELD])
    code = names.get_indexer(pd.Index(cells[t.FIELD])) if len(cells) else np.zeros(0, np.intp)

    def count(some: NDArray[np.bool_], weights: NDArray[np.float64] | None = None) -> list[Any]:
        own = None if weights is None else weights[some]
        return list(np.bincount(code[some], own, minlength=len(names)).tolist())

    counted = cells[t.EVALUABLE].to_numpy(bool)
    dying = counted
    if counted.any():
        classes = [p.name for p in panel.phenotypes if p.apoptotic]
        dying = counted & cells[t.PHENOTYPE].isin(classes).to_numpy(bool)
    pieces = cells[t.FRAGMENTS].to_numpy(np.float64) if len(cells) else np.zeros(0)
    columns = [count(np.ones(len(cells), bool)), count(counted), count(dying), count(dying, pieces)]
    out: dict[str, dict[str, float]] = {}
    for name, n_cells, n_evaluable, n_dying, n_pieces in zip(names, *columns, strict=True):
        row = out[name] = {"n_cells": n_cells, "n_evaluable": n_evaluable}
        if panel.death_marker is not None and name not in merged.open:
            row["n_apoptotic"] = n_dying
            row["fragments_per_apoptotic"] = n_pieces / n_dying if n_dying else np.nan
        if name in merged.ghosts:
            row["ghost_n"], row["ghost_area_mm2"] = merged.ghosts[name]
    return out


def with_numbers(
    results: Sequence[FieldResult],
    numbers: Mapping[str, dict[str, float]],
    open_: frozenset[str],
) -> list[FieldResult]:
    """Add to the first half's results what the second half counted, field by field."""
    out = []
    for result in results:
        name = result.field.name
        flags = (*result.flags, UNMERGED) if name in open_ else result.flags
        facts = {**result.facts, **numbers.get(name, {})}
        out.append(dataclasses.replace(result, facts=facts, flags=flags))
    return out

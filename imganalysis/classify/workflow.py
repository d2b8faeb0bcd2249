"""Hierarchical phenotype workflows in scimap's form, as a flat phenotype table.

A workflow is a CSV: the parent, the phenotype, and one column per marker with ``pos``, ``neg``,
``anypos``, ``anyneg``, ``allpos`` or ``allneg``. scimap scores each phenotype under a parent by the
scaled intensities and takes the best; a phenotype table knows calls alone. So every combination
of calls is followed through the hierarchy with all labels that scimap could give there: where it
is one label, that is the class; where the intensities decide, the class names all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from imganalysis import tables as t
from imganalysis.classify._workflow_scores import Rule, group_labels
from imganalysis.errors import TableError
from imganalysis.panel_check import MAX_VARIABLES
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

CALL_WORDS = ("pos", "neg", "anypos", "anyneg", "allpos", "allneg")
"""What a marker's column may say."""

REST = "-rest"
"""Ends the name of what no phenotype under a parent takes."""

LIKELY = "likely-"
"""Begins the label of a cell that fails one of several markers of its phenotype."""

UNKNOWN = "Unknown"
"""Label of cells that no phenotype takes."""


@dataclass(frozen=True)
class Workflow:
    """Phenotypes under their parents, in the order of the file.

    Parameters
    ----------
    groups
        Parent -> its phenotypes. All cells go through the first.
    markers
        That it asks for, in the order of its columns.
    """

    groups: Mapping[str, tuple[Rule, ...]]
    markers: tuple[str, ...]


@dataclass(frozen=True)
class FlatRow:
    """A row of the flat table: calls, and every label that they may mean."""

    when: dict[str, bool]
    labels: tuple[str, ...]


def read_workflow(path: Path) -> Workflow:
    """Read a workflow.

    Parameters
    ----------
    path
        CSV; its first two columns are parent and phenotype, whatever they are called.

    Raises
    ------
    TableError
        Not a table of that form; an unknown word; a phenotype twice under a parent, or without
        a marker; a parent that no earlier row gives.
    """
    table = t.read_csv(path, dtype=str, keep_default_na=False)
    if table.shape[1] < 3:
        raise TableError(
            f"{path}: expected the columns parent, phenotype and one per marker; found "
            f"{', '.join(map(str, table.columns))}"
        )
    if table.empty:
        raise TableError(f"{path}: no phenotype in it")
    markers = [str(name).strip() for name in table.columns[2:]]
    groups: dict[str, list[Rule]] = {}
    for number, line in enumerate(table.itertuples(index=False, name=None), start=2):
        parent, name, *words = (str(value).strip() for value in line)
        place = f"{path}: line {number}"
        if not any((parent, name, *words)):
            continue
        if not parent or not name:
            raise TableError(f"{place}: a row needs a parent and a phenotype")
        if REST in name:
            raise TableError(
                f"{place}: {name!r}: scimap takes names with {REST!r} for cells without a "
                "phenotype and deletes them; give it another name"
            )
        if any(rule.name == name for rule in groups.get(parent, ())):
            raise TableError(
                f"{place}: {name!r} stands twice under {parent!r}; scimap reads the first only"
            )
        groups.setdefault(parent, []).append(_rule(name, markers, words, place))
    _check_parents(groups, path)
    used = {marker for rules in groups.values() for rule in rules for marker in rule.markers}
    return Workflow(
        {parent: tuple(rules) for parent, rules in groups.items()},
        tuple(marker for marker in markers if marker in used),
    )


def _rule(name: str, markers: Sequence[str], words: Sequence[str], place: str) -> Rule:
    asked: dict[str, list[str]] = {word: [] for word in CALL_WORDS}
    for marker, word in zip(markers, words, strict=True):
        if not word:
            continue
        if word not in asked:
            raise TableError(
                f"{place}, column {marker}: {word!r} is none of {', '.join(CALL_WORDS)}; scimap "
                "would pass over it"
            )
        asked[word].append(marker)
    if not any(asked.values()):
        raise TableError(f"{place}: {name!r} asks for no marker")
    return Rule(name, **{word: tuple(found) for word, found in asked.items()})


def _check_parents(groups: Mapping[str, Sequence[Rule]], path: Path) -> None:
    given: set[str] = set()
    for i, (parent, rules) in enumerate(groups.items()):
        if i and parent not in given:
            raise TableError(
                f"{path}: the parent {parent!r} is no phenotype of a parent that stands further "
                "up, so that scimap would give it no cell; correct its name or move its rows down"
            )
        given |= {f"{parent}{REST}"}
        given |= {word for rule in rules for word in (rule.name, f"{LIKELY}{rule.name}")}


def possible_labels(
    workflow: Workflow,
    calls: Mapping[str, bool],
    *,
    binary: bool = False,
    known: dict[tuple[object, ...], list[str]] | None = None,
) -> tuple[str, ...]:
    """Find every label that scimap may give cells with these calls, in the workflow's order.

    Each parent is judged by itself: where a marker stands under a parent and its child, a label
    may be named that no intensities give. None that they give is left out.

    Parameters
    ----------
    workflow
        From `read_workflow`.
    calls
        Marker -> whether it is positive (scaled intensity of at least 0.5).
    binary
        Whether the intensities are 0 and 1 and no more; there is one label then.
    known
        What was found for a parent and the calls that it asks for, kept from call to call.
    """
    known = {} if known is None else known
    # A way through the hierarchy: the labels so far, and the last that is a phenotype.
    ways: dict[tuple[frozenset[str], str], None] = {(frozenset(), UNKNOWN): None}
    for i, (parent, rules) in enumerate(workflow.groups.items()):
        found: list[str] | None = None
        after: dict[tuple[frozenset[str], str], None] = {}
        for labels, last in ways:
            if i and parent not in labels:
                after[(labels, last)] = None
                continue
            if found is None:
                asked = sorted({marker for rule in rules for marker in rule.markers})
                key = (parent, binary, *(calls[marker] for marker in asked))
                if key not in known:
                    known[key] = group_labels(
                        rules, calls, f"{parent}{REST}", LIKELY, binary=binary
                    )
                found = known[key]
            for label in found:
                after[(labels | {label}, last if label.endswith(REST) else label)] = None
        ways = after
    order = [*(r.name for rules in workflow.groups.values() for r in rules)]
    order += [f"{LIKELY}{name}" for name in order]
    ends = {last for _, last in ways}
    return tuple(label for label in dict.fromkeys([*order, UNKNOWN]) if label in ends)


def flatten(workflow: Workflow, *, binary: bool = False) -> tuple[FlatRow, ...]:
    """Turn a workflow into rows of which exactly one holds for each combination of calls.

    `binary` is that of `possible_labels`.

    Raises
    ------
    TableError
        More markers than a phenotype table may ask for.
    """
    markers = workflow.markers
    if len(markers) > MAX_VARIABLES:
        raise TableError(
            f"the workflow asks for {plural(len(markers), 'marker')} ({', '.join(markers)}); a "
            f"phenotype table holds at most {MAX_VARIABLES}. Leave out rows of phenotypes that "
            "are not needed, or make two panels"
        )
    states = list(product((False, True), repeat=len(markers)))
    known: dict[tuple[object, ...], list[str]] = {}
    labels = {
        state: possible_labels(
            workflow, dict(zip(markers, state, strict=True)), binary=binary, known=known
        )
        for state in states
    }
    return tuple(_rows(states, labels, {}, markers))


def _rows(
    states: list[tuple[bool, ...]],
    labels: Mapping[tuple[bool, ...], tuple[str, ...]],
    when: dict[str, bool],
    markers: Sequence[str],
) -> list[FlatRow]:
    """Split the states marker by marker until each part has one outcome."""
    outcomes = {labels[state] for state in states}
    if len(outcomes) == 1:
        return [FlatRow(dict(when), outcomes.pop())]
    best: tuple[int, int] | None = None
    for i, marker in enumerate(markers):
        if marker not in when:
            halves = [{labels[s] for s in states if s[i] == side} for side in (True, False)]
            n = len(halves[0]) + len(halves[1])
            if best is None or n < best[0]:
                best = (n, i)
    if best is None:  # all markers are fixed, so there is one state and one outcome
        raise AssertionError("unreachable")
    i = best[1]
    rows = []
    for side in (True, False):
        part = [s for s in states if s[i] == side]
        rows += _rows(part, labels, {**when, markers[i]: side}, markers)
    return rows

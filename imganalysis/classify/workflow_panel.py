"""A panel whose phenotype table is that of a workflow in scimap's form."""

from __future__ import annotations

import re
from itertools import cycle
from typing import TYPE_CHECKING

from imganalysis import tables as t
from imganalysis.classify.workflow import UNKNOWN, flatten
from imganalysis.errors import TableError
from imganalysis.panel import DEFAULT_MEASURES, Phenotype, check_panel
from imganalysis.panel_match import own_names, plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from imganalysis.classify.workflow import FlatRow, Workflow
    from imganalysis.panel import Panel

COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#332288",
    "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499",
)  # fmt: skip
OPEN_COLOUR = "#999999"
"""Of classes that leave open which phenotype it is."""

JOIN = "_or_"
"""Between the names of phenotypes that calls alone cannot tell apart."""


def workflow_panel(
    workflow: Workflow, panel: Panel, name: str, *, binary: bool = False, source: str = ""
) -> Panel:
    """Give a panel the phenotype table of a workflow.

    Parameters
    ----------
    workflow
        From `read_workflow`.
    panel
        Its channels are kept; its contexts, phenotypes and fractions, which speak of other
        classes, are not.
    name
        Of the new panel.
    binary
        Whether to follow scimap on a table of 0 and 1. Else a combination of calls in which the
        intensities decide is a class of its own, named after all that it may be.
    source
        Of the workflow, for messages.

    Raises
    ------
    TableError
        The panel lacks a marker, two columns or two phenotypes come to one name, or there are
        more markers than a table holds.
    PanelError
        `name` is no name of a panel.
    """
    from pydantic import ValidationError

    from imganalysis.errors import PanelError
    from imganalysis.settings import explain

    where = f"{source}: " if source else ""
    channels = _channels(workflow, panel, where)
    try:
        rows = flatten(workflow, binary=binary)
    except TableError as error:
        raise TableError(where + error.message) from None
    names = _names(rows, where)
    colours = cycle(COLOURS)
    colour = {
        labels: OPEN_COLOUR if len(labels) > 1 else next(colours)
        for labels in dict.fromkeys(sorted((row.labels for row in rows), key=len))
    }
    table = tuple(
        Phenotype(
            name=JOIN.join(names[label] for label in row.labels),
            when={channels[m]: "pos" if yes else "neg" for m, yes in row.when.items()},
            colour=colour[row.labels],
        )
        for row in rows
    )
    values = {
        **panel.model_dump(),
        "name": name,
        "title": f"{panel.title} (phenotypes of a workflow)".strip(),
        "phenotypes": [row.model_dump() for row in table],
        "contexts": {},
        "fractions": [],
        "conflicts": panel.conflict_pairs or None,
    }
    try:
        new = type(panel).model_validate(values)
    except ValidationError as error:
        raise PanelError(f"{where}{explain(error)}") from None
    check_panel(new, source=source)
    return new


def open_states(panel: Panel, workflow_rows: Sequence[FlatRow]) -> dict[str, list[str]]:
    """Find the calls of a workflow's panel that leave it open which phenotype it is.

    Parameters
    ----------
    panel
        From `workflow_panel`.
    workflow_rows
        From `flatten`, of the same workflow.

    Returns
    -------
    dict
        Class -> combinations of calls, such as ``CD3+ CD56-``, a marker that does not matter left
        out: of classes that may be several phenotypes, then of the one that is none.
    """
    found: dict[str, list[str]] = {}
    none: dict[str, list[str]] = {}
    for row, phenotype in zip(workflow_rows, panel.phenotypes, strict=True):
        if len(row.labels) > 1 or row.labels == (UNKNOWN,):
            calls = (
                f"{marker}{'+' if c == 'pos' else '-'}" for marker, c in phenotype.when.items()
            )
            group = found if len(row.labels) > 1 else none
            group.setdefault(phenotype.name, []).append(" ".join(calls) or "any calls")
    return found | none


def write_panel(path: Path, panel: Panel, heading: Sequence[str] = ()) -> None:
    """Write a panel file that `load_panel` reads, whole or not at all.

    Parameters
    ----------
    path
        YAML.
    panel
        What it shall hold.
    heading
        Lines of comment at its top.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    import yaml

    content = panel.model_dump(mode="json", exclude_defaults=True)
    for entry, channel in zip(content["channels"], panel.channels, strict=True):
        # Those of the role need not be said; others are said in full.
        entry.pop("measures", None)
        if channel.measures != DEFAULT_MEASURES.get(channel.role, ()):
            entry["measures"] = [m.model_dump(mode="json") for m in channel.measures]
    body = yaml.safe_dump(
        content, sort_keys=False, allow_unicode=True, width=100, default_flow_style=None
    )
    text = "".join(f"# {line}\n" for line in heading) + body

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8", newline="\n")

    t.write_atomic(path, write)


def _channels(workflow: Workflow, panel: Panel, where: str) -> Mapping[str, str]:
    """Marker of the workflow -> marker of the panel."""
    found: dict[str, str] = {}
    missing = []
    for marker in workflow.markers:
        mine = [c.marker for c in panel.gated if plain(marker) in own_names(c)]
        if not mine:
            missing.append(marker)
        elif mine[0] in found.values():
            raise TableError(f"{where}two columns speak of {mine[0]}, {marker} among them")
        else:
            found[marker] = mine[0]
    if missing:
        known = ", ".join(c.marker for c in panel.gated) or "none"
        raise TableError(
            f"{where}the panel {panel.name} calls no marker {', '.join(missing)} (it has {known}); "
            "what is not measured is never taken for negative: take a panel that has them, or "
            "leave these columns out"
        )
    return found


def _names(rows: Sequence[FlatRow], where: str) -> dict[str, str]:
    """Label -> name of a class, in the letters that a panel allows."""
    labels = dict.fromkeys(label for row in rows for label in row.labels)
    names: dict[str, str] = {}
    for label in labels:
        name = re.sub(r"[^A-Za-z0-9+_.-]+", "_", label).strip("_")
        if not name[:1].isalpha():
            name = f"class_{name}"
        if name in names.values():
            twin = next(other for other, n in names.items() if n == name)
            raise TableError(
                f"{where}{twin!r} and {label!r} would both be the class {name}; rename one"
            )
        names[label] = name
    return names

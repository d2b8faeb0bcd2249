"""Edits: what a person did to a field, one record each, and the line that keeps it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from imganalysis.errors import CorrectionsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CLASS, DELETE, MERGE, SPLIT, DRAW = (
    "class_changed", "nucleus_deleted", "nuclei_merged", "nucleus_split", "nucleus_drawn",
)  # fmt: skip
OUTLINE, REMOVE = "region_outlined", "region_removed"
REVIEW, UNDO, REDO = "reviewed", "undo", "redo"

NUCLEAR = (DELETE, MERGE, SPLIT, DRAW)
"""Kinds that change label images."""
REGIONAL = (OUTLINE, REMOVE)
"""Kinds that change a file of outlines."""
APPLIED = (CLASS, *NUCLEAR)
"""Kinds that are replayed."""
KINDS = (*APPLIED, *REGIONAL, REVIEW, UNDO, REDO)

REVIEWED, TO_LOOK_AT, OPEN = "reviewed", "to_look_at", "open"
STATES = (REVIEWED, TO_LOOK_AT, OPEN)
"""States of review; a field that nobody judged is open."""

_KEYS = (
    "id", "time", "user", "field", "input", "kind", "what", "before", "after", "why", "version",
)  # fmt: skip

Point = tuple[float, float]
"""x and y, um from the upper left corner of the image."""


@dataclass(frozen=True)
class Cell:
    """A nucleus, by its number and a point inside it, so that both can be held against labels.

    Parameters
    ----------
    label
        Number in the label image.
    x, y
        A point inside it, um from the upper left corner of the image.
    area_um2
        Of its profile (volume in um3 in a stack left in 3-D) when the edit was made; None where
        nobody looked.
    z
        um from the upper side of the first plane; stacks left in 3-D only.
    """

    label: int
    x: float
    y: float
    area_um2: float | None = None
    z: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values, without what is not known."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Edit:
    """One line of the log.

    Parameters
    ----------
    kind
        One of `KINDS`.
    field
        Name of the field.
    what
        On what: ``cell``, ``cells``, ``line``, ``markers``, ``polygon``, ``region``, ``edit``.
    before, after
        Class, labels, review state or hash of the file of outlines.
    why
        The person's reason.
    user, time, version
        Who, when (UTC), with which version.
    input
        SHA-256 of the field's image file.
    id
        First 16 hexadecimal digits of the SHA-256 of all else.
    """

    kind: str
    field: str
    what: dict[str, Any] = dataclasses.field(default_factory=dict)
    before: dict[str, Any] = dataclasses.field(default_factory=dict)
    after: dict[str, Any] = dataclasses.field(default_factory=dict)
    why: str = ""
    user: str = ""
    time: str = ""
    input: str = ""
    version: str = ""
    id: str = ""

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The nuclei that it names, in their order."""
        named = self.what.get("cells", [self.what["cell"]] if "cell" in self.what else [])
        return tuple(Cell(**one) for one in named)

    @property
    def new_labels(self) -> tuple[int, ...]:
        """Numbers that it gave to new nuclei."""
        return tuple(self.after.get("new", ()))


def seal(edit: Edit) -> Edit:
    """Give an edit its id."""
    values = asdict(edit) | {"id": ""}
    return Edit(**(values | {"id": _digest(values)}))


def _digest(values: dict[str, Any]) -> str:
    rest = {name: values[name] for name in _KEYS if name != "id"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def to_line(edit: Edit) -> bytes:
    """Write the line of a log, with its end."""
    values = asdict(edit)
    # ASCII alone: a line cut anywhere is then no line, and no odd name breaks it in two.
    text = json.dumps({name: values[name] for name in _KEYS}, allow_nan=False)
    return text.encode("ascii") + b"\n"


def from_line(line: bytes, where: str) -> Edit:
    """Read a line.

    Raises
    ------
    CorrectionsError
        Not JSON, a key too many or too few, a value of a wrong kind, or a line that was changed
        after it was written.
    """
    try:
        values = json.loads(line.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise CorrectionsError(f"{where}: not a line of corrections ({error})") from None
    if not isinstance(values, dict) or set(values) != set(_KEYS):
        found = ", ".join(map(str, values)) if isinstance(values, dict) else type(values).__name__
        raise CorrectionsError(f"{where}: expected the keys {', '.join(_KEYS)}; found {found}")
    for name in _KEYS:
        kind = dict if name in ("what", "before", "after") else str
        if not isinstance(values[name], kind):
            raise CorrectionsError(f"{where}: {name}: expected {kind.__name__}, "
                                   f"found {values[name]!r}")  # fmt: skip
    edit = Edit(**values)
    if edit.kind not in KINDS:
        raise CorrectionsError(
            f"{where}: unknown kind {edit.kind!r}; expected one of {', '.join(KINDS)}"
        )
    if edit.id != _digest(values):
        raise CorrectionsError(
            f"{where}: was changed after it was written (its id does not fit); a line of the log "
            "is never changed: put back the line as it was, and undo it in the viewer"
        )
    check_edit(edit, where)
    return edit


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def check_edit(edit: Edit, where: str) -> None:
    """Check what an edit says by itself, without its field.

    Raises
    ------
    CorrectionsError
        Says what is missing or wrong, and where.
    """
    what = edit.what
    try:
        if edit.kind in (CLASS, DELETE, SPLIT):
            _one(what, "cell")
        if edit.kind == CLASS and not isinstance(edit.after.get("class"), str):
            raise ValueError("after: expected a class")
        if edit.kind == MERGE:
            cells = what.get("cells")
            if not isinstance(cells, list) or len(cells) < 2:
                raise ValueError("cells: expected two or more")
            labels = [_cell(one).label for one in cells]
            if len(set(labels)) < len(labels):
                raise ValueError("cells: one is named twice")
        if edit.kind == SPLIT:
            named = [name for name in ("line", "markers") if name in what]
            if len(named) != 1:
                raise ValueError("expected a line or markers")
            check_points(what[named[0]], 2, named[0])
        if edit.kind in (DRAW, *REGIONAL):
            check_points(what.get("polygon"), 3, "polygon")
        if edit.kind in REGIONAL and not isinstance(what.get("region"), str):
            raise ValueError("region: expected tumour, vessel, pigment or exclude")
        if edit.kind == REVIEW and edit.after.get("state") not in STATES:
            raise ValueError(f"after: expected a state of {', '.join(STATES)}")
        if edit.kind in (UNDO, REDO) and not isinstance(what.get("edit"), str):
            raise ValueError("edit: expected the id of another line")
        new = edit.after.get("new", [])
        if not isinstance(new, list) or not all(_label(one) for one in new):
            raise ValueError("after: new: expected numbers of nuclei")
    except (ValueError, TypeError) as error:
        raise CorrectionsError(f"{where}: {edit.kind}: {error}") from None


def check_points(points: Any, least: int, name: str) -> None:
    """Check a list of [x, y]; raises ValueError."""
    fine = isinstance(points, list | tuple) and all(
        isinstance(p, list | tuple) and len(p) == 2 and all(map(_number, p)) for p in points
    )
    if not fine or len({tuple(p) for p in points}) < least:
        raise ValueError(f"{name}: expected {least} or more different points [x, y] in um")


def points_of(points: Iterable[Sequence[float]]) -> list[list[float]]:
    """Points as a line keeps them: to a tenth of a nanometre, so that no machine differs."""
    return [[round(float(x), 4), round(float(y), 4)] for x, y in points]


def _one(what: dict[str, Any], name: str) -> Cell:
    if name not in what:
        raise ValueError(f"{name}: expected a label and a point inside it")
    return _cell(what[name])


def _cell(values: Any) -> Cell:
    known = {"label", "x", "y", "area_um2", "z"}
    if not isinstance(values, dict) or not {"label", "x", "y"} <= set(values) <= known:
        raise ValueError("cell: expected label, x, y and, where known, area_um2 and z")
    if not _label(values["label"]):
        raise ValueError(f"cell: label: expected a number from 1, found {values['label']!r}")
    for name in set(values) - {"label"}:
        if not _number(values[name]):
            raise ValueError(f"cell: {name}: expected a number, found {values[name]!r}")
    return Cell(**values)


def _label(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**32


def _number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e9 and math.isfinite(value)

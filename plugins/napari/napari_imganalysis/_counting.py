"""Counting blind: which fields in which order, a reader's marks, and the table of them. No window.

A reading is kept in a file of its own, written anew and whole after every click, so that nothing
is lost when the computer stops; beside it stands the table that ``imganalysis agree`` reads.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from imganalysis import tables as t
from imganalysis.cohort.matching import DISTANCE_UM
from imganalysis.errors import StudyError, TableError
from imganalysis.results import now, write_json
from imganalysis.study import SAMPLE
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from imganalysis.panel import Panel
    from napari_imganalysis._results import Opened

FORMAT = "imganalysis blind counting 1"
KEYS = tuple("123456789")
CANNOT_TELL_KEY = "0"
AGAIN_SHARE = 0.2
"""Share of the fields that is read a second time."""
WASHOUT_DAYS = 14
"""Days after which a reader no longer knows a field, as is usual."""
COLOURS = (
    "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#999999",
    "#ffffff",
)  # fmt: skip
"""Told apart by colour-blind eyes (Okabe and Ito 2008), with grey and white."""
SYMBOLS = (
    "ring", "square", "triangle_up", "diamond", "star", "cross", "x", "triangle_down", "hbar",
)  # fmt: skip
UNRESOLVED_LOOK = ("#ffffff", "vbar")


@dataclass(frozen=True)
class Mark:
    """A cell that the reader clicked.

    Parameters
    ----------
    y_um, x_um
        From the middle of the uppermost and leftmost pixel.
    kind
        Class, or unresolved.
    """

    y_um: float
    x_um: float
    kind: str


@dataclass(frozen=True)
class Reading:
    """One reader's reading of some fields, as its file has it.

    Parameters
    ----------
    reader
        Name.
    number
        1 for the first reading, 2 for the second.
    panel
        Name of the panel; classes are those of its phenotypes.
    classes
        In the order of their keys.
    seed
        That fields and order were drawn with.
    per_biopsy
        Fields wanted of each biopsy; 0 for all.
    order
        Fields in the order in which they are shown.
    study
        Folder of the study, for a person.
    marks
        Field -> marks in it.
    done
        Field -> when it was finished.
    left_out
        Field -> why it could not be shown.
    started, first_finished
        When this reading began; of a second reading, when the first one ended.
    """

    reader: str
    number: int
    panel: str
    classes: tuple[str, ...]
    seed: int
    per_biopsy: int
    order: tuple[str, ...]
    study: str
    marks: Mapping[str, tuple[Mark, ...]] = field(default_factory=dict)
    done: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    started: str = ""
    first_finished: str = ""

    @property
    def name(self) -> str:
        """Name under which `imganalysis agree` takes it for a reader of its own."""
        return self.reader if self.number == 1 else f"{self.reader} ({self.number})"

    @property
    def open_fields(self) -> tuple[str, ...]:
        """Fields still to read, in order."""
        return tuple(f for f in self.order if f not in self.done and f not in self.left_out)

    @property
    def finished(self) -> str:
        """When the last field was finished; empty before that."""
        return "" if self.open_fields else max(self.done.values(), default="")

    def counts(self, name: str) -> dict[str, int]:
        """Class -> marks of a field."""
        kinds = [mark.kind for mark in self.marks.get(name, ())]
        return {kind: kinds.count(kind) for kind in (*self.classes, t.UNRESOLVED)}

    def with_marks(self, name: str, marks: Sequence[Mark]) -> Reading:
        """Take other marks of a field; a field that was done is open again."""
        done = {other: when for other, when in self.done.items() if other != name}
        return replace(self, marks={**self.marks, name: tuple(marks)}, done=done)

    def marked(self, name: str, mark: Mark) -> Reading:
        """Add a mark; one so near that both would mean one cell is given the new class."""
        marks = list(self.marks.get(name, ()))
        at = nearest(marks, mark.y_um, mark.x_um, DISTANCE_UM)
        if at is None:
            marks.append(mark)
        else:
            marks[at] = replace(marks[at], kind=mark.kind)
        return self.with_marks(name, marks)

    def without(self, name: str, y_um: float, x_um: float, reach_um: float) -> Reading:
        """Take away the mark nearest to a place, if one is near."""
        marks = list(self.marks.get(name, ()))
        at = nearest(marks, y_um, x_um, reach_um)
        return self if at is None else self.with_marks(name, marks[:at] + marks[at + 1 :])

    def finish(self, name: str) -> Reading:
        """Call a field done."""
        return replace(self, done={**self.done, name: now()})

    def leave_out(self, name: str, why: str) -> Reading:
        """Note that a field could not be shown."""
        return replace(self, left_out={**self.left_out, name: why})

    def table(self) -> pd.DataFrame:
        """Give the marks of fields that are done; columns of `tables.READER_CELL_COLUMNS`."""
        rows = [
            (name, mark.x_um, mark.y_um, mark.kind, self.name)
            for name in sorted(self.done)
            for mark in self.marks.get(name, ())
        ]
        return pd.DataFrame(rows, columns=[t.FIELD, t.CLICK_X, t.CLICK_Y, t.CLASS, t.READER])


def nearest(marks: Sequence[Mark], y_um: float, x_um: float, reach_um: float) -> int | None:
    """Position of the mark nearest to a place; None where none is within reach."""
    far = [float(np.hypot(mark.y_um - y_um, mark.x_um - x_um)) for mark in marks]
    best = int(np.argmin(far)) if far else 0
    return best if far and far[best] <= reach_um else None


def look_of(kind: str, classes: Sequence[str]) -> tuple[str, str]:
    """Colour and symbol of a class: no two of the first nine share either."""
    if kind not in classes:
        return UNRESOLVED_LOOK
    at = classes.index(kind)
    turn = at // len(COLOURS)  # from the tenth on, each colour has another symbol
    return COLOURS[at % len(COLOURS)], SYMBOLS[(at + turn) % len(SYMBOLS)]


# Which fields


def classes_of(panel: Panel) -> tuple[str, ...]:
    """Classes that a reader can give: those of the phenotype table, without contradictions."""
    rows = [row.name for row in panel.phenotypes if row.role != "conflict"]
    return tuple(dict.fromkeys(rows))


def systematic(n: int, wanted: int, rng: np.random.Generator) -> list[int]:
    """Choose `wanted` of `n` by a random start and even steps: each has the same chance.

    Notes
    -----
    Systematic uniform random sampling (Gundersen and Jensen, J Microsc 1987;147:229).
    """
    if wanted <= 0 or wanted >= n:
        return list(range(n))
    step = n / wanted
    start = rng.random() * step
    return [min(n - 1, int(start + i * step)) for i in range(wanted)]


def countable(opened: Opened, panel: str) -> dict[str, list[str]]:
    """Biopsy -> its fields of a panel that can be counted, in the table's order."""
    found: dict[str, list[str]] = {}
    for row in opened.fields.to_dict("records"):
        bad = row["status"] not in ("analysed", "not analysed")
        if row["role"] == SAMPLE and row["panel"] == panel and not bad:
            found.setdefault(str(row["biopsy"]), []).append(str(row["field"]))
    return found


def begin(opened: Opened, panel: Panel, reader: str, *, seed: int, per_biopsy: int = 0) -> Reading:
    """Draw fields and their order for a first reading.

    Parameters
    ----------
    opened
        What is opened.
    panel
        Whose fields are counted.
    reader
        Name of the person.
    seed
        Same seed, same fields in the same order.
    per_biopsy
        Fields of each biopsy; 0 for all.

    Raises
    ------
    StudyError
        No name, no class, or no field that can be counted.
    """
    if not reader.strip():
        raise StudyError("type the reader's name first: it stands in the table")
    if not classes_of(panel):
        raise StudyError(f"the panel {panel.name} has no phenotype table, so no class to count")
    groups = countable(opened, panel.name)
    rng = np.random.default_rng(seed)
    drawn = [names[i] for names in groups.values() for i in systematic(len(names), per_biopsy, rng)]
    if not drawn:
        raise StudyError(f"{opened.root}: no field of the panel {panel.name} can be counted")
    order = tuple(drawn[i] for i in rng.permutation(len(drawn)))
    return Reading(reader.strip(), 1, panel.name, classes_of(panel), seed, per_biopsy, order,
                   str(opened.root), started=now())  # fmt: skip


def begin_again(first: Reading, *, seed: int, share: float = AGAIN_SHARE) -> Reading:
    """Draw a part of a reading to be read once more, in another order.

    Raises
    ------
    StudyError
        The first reading is not finished.
    """
    if first.open_fields:
        raise StudyError(
            f"of the {plural(len(first.order), 'field')} of the first reading "
            f"{len(first.open_fields)} to do; the second reading comes after it"
        )
    read = [name for name in first.order if name in first.done]
    rng = np.random.default_rng(seed)
    chosen = systematic(len(read), max(1, round(share * len(read))), rng)
    order = tuple(read[chosen[i]] for i in rng.permutation(len(chosen)))
    return replace(first, number=first.number + 1, seed=seed, order=order, marks={}, done={},
                   left_out={}, started=now(), first_finished=first.finished)  # fmt: skip


def days_since(when: str) -> float:
    """Days since a time that `results.now` gave."""
    passed = datetime.fromisoformat(now()) - datetime.fromisoformat(when)
    return passed.total_seconds() / 86_400


# Its file


def reading_path(folder: Path, reader: str, panel: str, number: int = 1) -> Path:
    """File of a reading; its name tells reader and panel, and nothing of biopsies."""
    stem = re.sub(r"[^\w.-]+", "_", f"{reader.strip()}_{panel}_{number}").strip("._")
    return folder / f"{stem}.json"


def save(path: Path, reading: Reading) -> None:
    """Write a reading and, beside it, its table; each whole or not at all.

    Raises
    ------
    OutputError
        The folder cannot be written; the files before stay.
    """
    write_json(path, {"format": FORMAT, **asdict(reading)})
    t.write_csv(path.with_suffix(".csv"), reading.table())


def load(path: Path) -> Reading:
    """Read a reading.

    Raises
    ------
    TableError
        It is none, or damaged.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            raise ValueError("another format")
        content["marks"] = {
            str(name): tuple(
                Mark(float(m["y_um"]), float(m["x_um"]), str(m["kind"])) for m in marks
            )
            for name, marks in content["marks"].items()
        }
        for key in ("classes", "order"):
            content[key] = tuple(map(str, content[key]))
        return Reading(**content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TableError(
            f"{path}: no reading that can be gone on with ({type(error).__name__}: {error}); move "
            "it away to begin anew"
        ) from None


def check_fits(reading: Reading, opened: Opened, path: Path) -> None:
    """Check that a reading is of the study that is opened.

    Raises
    ------
    StudyError
        Its fields, or its classes, are not those of the study.
    """
    lost = [name for name in reading.order if name not in opened.names]
    panel = opened.panels.get(reading.panel)
    if lost:
        raise StudyError(
            f"{path}: of its {plural(len(reading.order), 'field')} the study that is open lacks "
            f"{len(lost)}; it was begun on {reading.study}. Open that, or choose another folder"
        )
    if panel is None or classes_of(panel) != reading.classes:
        raise StudyError(
            f"{path}: its classes ({', '.join(reading.classes)}) are not those of the panel "
            f"{reading.panel} now; choose another folder to begin anew"
        )

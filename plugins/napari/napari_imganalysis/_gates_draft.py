"""Gates that were moved and not saved, on the disk so that a crash loses none. No window."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from imganalysis.classify.gates import Gate
from imganalysis.classify.gates_file import change_gate
from imganalysis.errors import OutputError
from imganalysis.io import file_hash
from imganalysis.results import now, user_name, write_json
from imganalysis.run_file import RUN

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

KEY = ("marker", "panel", "batch", "acquisition", "column")


def draft_path(folder: Path) -> Path:
    """File in a folder of results that keeps what one person moved; others have their own."""
    user = re.sub(r"[^\w.-]+", "_", user_name())
    return folder / f".gates_moved_{user}.json"


def keep_draft(folder: Path, gates: Sequence[Gate], moved: Sequence[int]) -> None:
    """Write down the gates that are moved; without any, the file goes.

    Where the folder cannot be written nothing is kept: saving the gates will say so.

    Parameters
    ----------
    folder
        Of the results.
    gates
        As they are.
    moved
        Positions of those that are not saved.
    """
    path = draft_path(folder)
    with suppress(OSError, OutputError):
        if moved:
            values = [{**_key(gates[i]), "value": gates[i].value} for i in moved]
            run = file_hash(folder / RUN)
            write_json(path, {"run": run, "time": now(), "gates": values})
        else:
            path.unlink(missing_ok=True)


def take_draft(folder: Path, gates: Sequence[Gate]) -> tuple[tuple[Gate, ...], str]:
    """Move gates as they were when napari ended.

    Parameters
    ----------
    folder
        Of the results; what was moved on an earlier run in the folder is passed over.
    gates
        As they are saved.

    Returns
    -------
    The gates, and since when; an empty text where nothing was kept.
    """
    path, found = draft_path(folder), list(gates)
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["run"] != file_hash(folder / RUN):
            return tuple(gates), ""
        values = {tuple(str(one[name]) for name in KEY): one["value"] for one in kept["gates"]}
        for i, gate in enumerate(gates):
            value = values.get(tuple(_key(gate).values()))
            if value is not None and value != gate.value:
                found[i] = change_gate(
                    gate, Gate(marker=gate.marker, value=float(value), method="manual")
                )
        return tuple(found), str(kept["time"]) if found != list(gates) else ""
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return tuple(gates), ""  # a help only: the gates that are saved are not touched


def _key(gate: Gate) -> dict[str, str]:
    return {name: str(getattr(gate, name)) for name in KEY}

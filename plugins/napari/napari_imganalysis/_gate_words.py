"""What the Gates widget says in words. No window."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from imganalysis import tables as t
from imganalysis.words import plural
from napari_imganalysis._study_rows import explained

if TYPE_CHECKING:
    from imganalysis.classify.gates import Gate
    from napari_imganalysis._gates_model import GatesModel

METHODS = {
    "control_percentile": "percentile of the controls",
    "reference": "reference cells",
    "mixture": "mixture of the samples",
    "manual": "set by hand",
    "file": "from a file",
}


def reach_text(samples: float, controls: float) -> str:
    """Say how many cells reach a gate."""
    parts = [
        f"<b>{value:.2g} %</b> of the {name}"
        for name, value in (("samples", samples), ("controls", controls))
        if not math.isnan(value)
    ]
    return f"Reached by {' and '.join(parts)}" if parts else "No gate: every call is indeterminate"


def change_text(model: GatesModel) -> str:
    """Say what of the run's gates and classes is another now."""
    if not model.by_hand:
        return "All gates are those of the run"
    cells = model.n_changed
    moved = plural(len(model.by_hand), "gate")
    left = len(model.moved)
    saved = "all saved" if not left else f"{left} <b>not saved</b>"
    return f"{moved} other than in the run ({saved}): {plural(cells, 'cell')} of another class"


def gate_text(model: GatesModel, i: int) -> tuple[str, str]:
    """Say where a gate comes from; gives the text, and more of it for a tooltip."""
    run, now = model.run[i], model.gates[i]
    if run.value is None:
        why = t.GATE_REASONS.get(run.reason, "")
        text = f"Run: no gate, {escape(run.reason)}" + (f" ({escape(why)})" if why else "")
    else:
        text = f"Run: <b>{run.value:.4g}</b>, {METHODS.get(run.method, run.method)}"
        text += f" ({plural(run.n, 'cell')})" if run.n else ""
    text += "".join(f" &nbsp;&#9873;&nbsp;{escape(flag)}" for flag in run.flags)
    lines = [escape(explained(flag)) for flag in run.flags]
    for verdict in run.alternatives:
        said = f"{verdict.value:.4g}" if verdict.value is not None else "no gate"
        reason = f", {verdict.reason}: {t.GATE_REASONS.get(verdict.reason, '')}"
        lines.append(
            f"{METHODS.get(verdict.rung, verdict.rung)}: {said}"
            + (escape(reason) if verdict.reason else "")
        )
    saved = model.saved[i]
    if saved.value != run.value and saved.value is not None:
        text += f"<br>Saved: <b>{saved.value:.4g}</b>{_by(saved)}"
    lines += [
        f"before: {'no gate' if one.value is None else f'{one.value:.4g}'}, {one.method}"
        + (f", {escape(one.user)} {escape(one.time)}" if one.user else "")
        + (f": {escape(one.note)}" if one.note else "")
        for one in now.previous
    ]
    return text, "<br>".join(lines)


def _by(gate: Gate) -> str:
    return f" by {escape(gate.user)}, {escape(gate.time[:10])}: {escape(gate.note)}"


def hint_text(model: GatesModel | None, opened: bool) -> str:
    """Say what moving a gate does not do."""
    if model is None:
        if opened:
            return "Gates are moved on results of a run of this version; there are none here."
        return "Open a folder of results in the Study widget."
    return (
        "Held while gates move: the tumour region, contexts, merged fragments, what is left out "
        "beside brighter neighbours. A run with <b>--gates</b> works everything out anew."
    )

"""The card of a classifier, in Markdown: what it was trained on, how well it does, its limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imganalysis.classify.learned import Learned

VERDICTS = {
    "better": "On held-out patients it was right more often than the rules.",
    "not_shown": "On held-out patients it was not shown to be right more often than the rules.",
    "worse": "On held-out patients it was right less often than the rules; a run refuses it.",
}
FEW_RIGHT = 0.5
"""Where the rules are right in fewer of the corrected cells, likely only mistakes were."""


def card_text(model: Learned, name: str) -> str:
    """Write a card.

    Parameters
    ----------
    model
        With the card's facts.
    name
        Of its file.
    """
    card = model.card
    tested = card["held_out"]
    lines = [
        f"# Classifier {name}",
        "",
        f"Cells of the panel `{model.panel}`. For research only. Hash `{model.content_hash}`.",
        "",
        VERDICTS[model.verdict],
        "",
        "## What it was trained on",
        "",
        *_table(
            ("class", "cells", "patients", "cells of each patient"),
            [
                (
                    f"`{label}`",
                    sum(own.values()),
                    len(own),
                    ", ".join(f"{who} {n}" for who, n in own.items()),
                )
                for label, own in card["cells"].items()
            ],
        ),
        "",
        "Left out: "
        + (", ".join(f"{n} {why}" for why, n in card["left_out"].items()) or "nothing")
        + ".",
        "",
        f"Fields: {', '.join(card['results']['fields'])}.",
        "Batch and acquisition: " + "; ".join(f"{b}, {a}" for b, a in model.places) + ".",
        "",
        "## What it looks at",
        "",
        "asinh(value / scale), standardised. A cell outside a range is left to the rules.",
        "",
        *_table(
            ("column", "from", "to", "scale"),
            [(f"`{f.column}`", _n(f.low), _n(f.high), _n(f.scale)) for f in model.features],
        ),
        "",
        f"Method: {card['method']}. A cell whose likeliest class is under "
        f"{model.min_probability:g} is unresolved.",
        "",
        *score_lines(tested, "## How well it does on patients that it has not seen"),
        "",
        "## Limits",
        "",
        *[f"- {text}" for text in limits(model)],
        "",
        "## Versions",
        "",
        f"imganalysis {card['imganalysis']}, "
        + ", ".join(f"{lib} {v}" for lib, v in card["libraries"].items())
        + f"; seed {card['seed']}; corrections {card['corrections_sha256'][:16]}; panel "
        f"{card['panel_hash']}.",
        "",
    ]
    return "\n".join(lines)


def score_lines(tested: dict[str, Any], heading: str) -> list[str]:
    """Scores as Markdown, from `imganalysis.classify._learned_scores.scores`."""
    cal = tested["calibration"]
    gain, decided = tested["difference"], tested["difference_decided"]
    return [
        heading,
        "",
        f"{plural(tested['n_cells'], 'cell')} of {plural(tested['n_patients'], 'patient')}; the "
        f"model judges {_percent(tested['coverage'])} of them, the others are left to the rules. "
        f"The rules agree with the reader in {_percent(tested['rules_agree'])}; they leave "
        f"{_percent(tested['rules_unresolved'])} unresolved, with the model "
        f"{_percent(tested['model_unresolved'])}.",
        "",
        *_table(
            ("class", "cells", "patients", "F1 rules", "F1 with the model",
             "difference, mean of patients"),
            [
                (
                    f"`{c['class']}`", c["n_cells"], c["n_patients"], _n(c["f1_rules"]),
                    _n(c["f1_model"]), _interval(c["difference_by_patient"]),
                )
                for c in tested["classes"]
            ],
        ),
        "",
        "Right of all corrected cells, by patient:",
        "",
        *_table(
            ("patient", "cells", "rules", "with the model", "only the rules right",
             "only the model right"),
            [
                (
                    p["patient"], p["n_cells"], _percent(p["rules_right"]),
                    _percent(p["model_right"]), p["only_rules_right"], p["only_model_right"],
                )
                for p in tested["patients"]
            ],
        ),
        "",
        f"Difference of the share right, mean of the patients: {_interval(gain)}"
        + (f", p = {gain['p']:.3g} (exact, patients as units)" if gain["p"] is not None else "")
        + f". Of the cells that the rules resolve: {_interval(decided)}.",
        "",
        "Calibration"
        + (
            f" of {plural(cal['n'], 'cell')}: Brier {_n(cal['brier'])}, expected calibration error "
            f"{_n(cal['ece'])}"
            + (f" ({_n(cal['ece_lo'])} to {_n(cal['ece_hi'])}, patients drawn anew)"
               if cal["ece_lo"] is not None else "")
            + "."
            if cal["n"]
            else ": the model judges no cell."
        ),
        "",
        *_table(
            ("probability", "cells", "mean probability", "share right"),
            [
                (
                    f"{row['from']:.1f}-{row['to']:.1f}", row["n"], _n(row["mean_probability"]),
                    _n(row["share_right"]),
                )
                for row in cal["table"]
            ],
        ),
    ]  # fmt: skip


def limits(model: Learned) -> list[str]:
    """Say what speaks against a classifier."""
    tested = model.card["held_out"]
    found = [
        "Intensities depend on staining batch and acquisition. Elsewhere than named above a run is "
        "flagged `classifier_elsewhere`; check the classifier there first.",
        "Contexts (`is_...`) rest on the gates of the run: with other gates they may change.",
        "Probabilities hold for cells like those corrected. Corrections of chosen cells are no "
        "random sample of a biopsy.",
        f"Of {plural(tested['n_patients'], 'patient')}; with few, intervals by patient are wide "
        "and rough.",
    ]
    if tested["rules_agree"] is not None and tested["rules_agree"] < FEW_RIGHT:
        found.insert(
            0,
            f"The rules agree with the reader in {_percent(tested['rules_agree'])} of the cells: "
            "likely only mistakes were corrected. Then any model looks better than the rules, and "
            "the comparison says nothing. Confirm cells that are right too, best all cells of a "
            "field.",
        )
    absent = [c["class"] for c in tested["classes"] if c["n_patients"] < 3]
    if absent:
        found.append(f"Of fewer than three patients: {', '.join(absent)}.")
    return found


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    if not rows:
        return []
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    return lines + ["| " + " | ".join(str(value) for value in row) + " |" for row in rows]


def _interval(found: dict[str, Any]) -> str:
    if found["mean"] is None:
        return "-"
    if found["lo"] is None:
        why = "one patient" if found["n_patients"] == 1 else "all patients alike"
        return f"{found['mean']:+.3f} ({why}, no interval)"
    return f"{found['mean']:+.3f} ({found['lo']:+.3f} to {found['hi']:+.3f})"


def _n(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"

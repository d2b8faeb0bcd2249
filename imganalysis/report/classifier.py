"""A classifier's scores on the terminal."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from imganalysis.study import clean_text
from imganalysis.words import plural


def print_classifier(found: dict[str, Any], dropped: dict[str, int]) -> None:
    """Print how a classifier does beside the rules.

    Parameters
    ----------
    found
        From `imganalysis.classify._learned_scores.scores`.
    dropped
        Why corrections are left out -> how many.
    """
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(
        f"{plural(found['n_cells'], 'corrected cell')} of "
        f"{plural(found['n_patients'], 'patient')}; the model judges "
        f"{_percent(found['coverage'])}, the rest is left to the rules. Unresolved: "
        f"{_percent(found['rules_unresolved'])} by the rules, "
        f"{_percent(found['model_unresolved'])} with the model.",
        highlight=False,
    )
    if dropped:
        said = ", ".join(f"{n} {why}" for why, n in dropped.items())
        console.print(f"Left out: {said}.", highlight=False)
    table = Table("class", "cells", "patients", "F1 rules", "F1 model", "difference by patient")
    table.columns[0].no_wrap = True
    for own in found["classes"]:
        table.add_row(
            clean_text(own["class"]), str(own["n_cells"]), str(own["n_patients"]),
            _number(own["f1_rules"]), _number(own["f1_model"]),
            _interval(own["difference_by_patient"]),
        )  # fmt: skip
    console.print(table)
    table = Table("patient", "cells", "right: rules", "model", "only rules right", "only model")
    for own in found["patients"]:
        table.add_row(
            clean_text(own["patient"]), str(own["n_cells"]), _percent(own["rules_right"]),
            _percent(own["model_right"]), str(own["only_rules_right"]),
            str(own["only_model_right"]),
        )  # fmt: skip
    console.print(table)
    gain, calibration = found["difference"], found["calibration"]
    text = f"Model less rules, share right, mean of patients: {_interval(gain)}"
    if gain["p"] is not None:
        text += f"; p = {gain['p']:.3g} (patients as units)"
    text += f". Of cells that the rules resolve: {_interval(found['difference_decided'])}"
    console.print(text, highlight=False, soft_wrap=True)
    if calibration["n"]:
        text = f"Calibration: Brier {calibration['brier']:.3f}, ECE {calibration['ece']:.3f}"
        if calibration["ece_lo"] is not None:
            text += f" ({calibration['ece_lo']:.3f} to {calibration['ece_hi']:.3f})"
        console.print(text, highlight=False)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _interval(found: dict[str, Any]) -> str:
    if found["mean"] is None:
        return "-"
    if found["lo"] is None:
        return f"{found['mean']:+.2f}"
    return f"{found['mean']:+.2f} ({found['lo']:+.2f} to {found['hi']:+.2f})"

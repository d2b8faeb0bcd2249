"""What `imganalysis evaluate` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imganalysis.report.terminal import _console, _table
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN = ("n_true", "n_found", "precision", "recall", "split_rate", "merge_rate", "count_error")


def print_scores(scores: dict[str, Any], problems: Sequence[tuple[str, str, str]]) -> None:
    """Print pooled scores, by size, and what could not be evaluated.

    Parameters
    ----------
    scores
        As written to JSON: of all, with ``by_size``.
    problems
        (image, what, message).
    """
    console = _console()
    lines = {"all": scores, **scores["by_size"]}
    thresholds = [iou for iou in scores["ap"] if iou in ("0.5", "0.7", "0.9")]
    names = [f"{score.upper()}@{iou}" for score in ("ap", "f1") for iou in thresholds]
    rows = [
        [
            name,
            *(_shown(line[column]) for column in _SHOWN),
            *(_shown(line[score][iou]) for score in ("ap", "f1") for iou in thresholds),
        ]
        for name, line in lines.items()
    ]
    console.print(_table(("nuclei", *_SHOWN, *names), rows))
    if problems:
        console.print(_table(("image", "not evaluated", "why"), problems))
    speed = scores["mpx_per_s"]
    said = plural(scores["n_images"], "image") + (f", {speed:.3g} Mpx/s" if speed else "")
    console.print(said, soft_wrap=True)


def _shown(value: float | int | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.3f}"

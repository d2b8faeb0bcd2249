"""The commands `imganalysis classifier ...`, and the option of a run that takes their file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

classifier_app = typer.Typer(
    help="A learned class: train a model on corrected cells, compare it with the rules. Off "
    "unless a run is given it.",
    no_args_is_help=True,
)

ClassifierOption = Annotated[
    Path | None,
    typer.Option(
        help="Classifier of `imganalysis classifier train`, used after the rules; without it the "
        "rules alone decide."
    ),
]
ResultsArgument = Annotated[Path, typer.Argument(help="Folder of results of a run.")]
CorrectionsArgument = Annotated[
    Path,
    typer.Argument(
        metavar="CORRECTIONS.csv",
        help="Columns field, label (or cell_id), class, and if wanted reader and time.",
    ),
]


@classifier_app.command("train")
def classifier_train(
    results: ResultsArgument,
    corrections: CorrectionsArgument,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.json", help="File to write.")],
    panel: Annotated[
        str | None, typer.Option(help="Panel, where the corrections are of several.")
    ] = None,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(metavar="CLASS", help="Class that stays with the rules; may be repeated."),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the file and its card.")] = False,
) -> None:
    """Train a classifier on corrected cells, tested on patients that it has not seen.

    Writes the classifier, and beside it its card (the same name with .md).

    Example:  imganalysis classifier train my_results corrections.csv --out my_model.json

    What to correct, and what the card says: docs/classifier.md
    """
    from imganalysis.classify.learned import write_classifier
    from imganalysis.errors import OutputError, SettingsError
    from imganalysis.learning import train_classifier, write_card

    if out.suffix != ".json":
        raise SettingsError(f"--out {out}: a classifier is a .json file")
    card = out.with_suffix(".md")
    for path in (out, card):
        if path.exists() and not overwrite:
            raise OutputError(f"{path}: is there already; give --overwrite to replace it")
    model = train_classifier(results, corrections, panel=panel, leave_out=leave_out or ())
    write_classifier(out, model)
    write_card(card, model, out.name)
    _print(model.card["held_out"], model.card["left_out"])
    from imganalysis.classify._learned_card import VERDICTS, limits

    typer.echo(VERDICTS[model.verdict])
    typer.echo(f"Mind: {limits(model)[0]}")
    typer.echo(f"{out}: written; its card: {card}")
    if model.verdict != "worse":
        typer.echo(f"Use it: imganalysis run STUDY --out RESULTS --classifier {out}")


@classifier_app.command("check")
def classifier_check(
    classifier: Annotated[Path, typer.Argument(metavar="FILE.json", help="The classifier.")],
    results: ResultsArgument,
    corrections: CorrectionsArgument,
) -> None:
    """Compare a classifier with the rules on corrected cells of patients new to it."""
    from imganalysis.classify.learned import read_classifier
    from imganalysis.learning import check_on

    found, dropped = check_on(read_classifier(classifier), str(classifier), results, corrections)
    _print(found, dropped)


def _print(found: dict[str, Any], dropped: dict[str, int]) -> None:
    from imganalysis.report.classifier import print_classifier

    print_classifier(found, dropped)

"""The command `imganalysis train`."""

from __future__ import annotations

import os
import time
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from imganalysis.errors import MissingLibraryError, OutputError, SettingsError
from imganalysis.words import plural


def train(
    recipe: Annotated[Path, typer.Argument(help="Training recipe, a YAML file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for checkpoint and weights.")],
    data: Annotated[
        Path | None,
        typer.Option(help="Folder that the recipe's relative paths start from; its own if none."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint.")] = False,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Stop after so long; --resume goes on.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Processor cores to use.")] = 2,
    device: Annotated[str, typer.Option(metavar="cpu|cuda|mps", help="Where to train.")] = "cpu",
    start: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Weights to begin with, to fine-tune them: nuclei, which comes with the package, "
            "or a weights.pt.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an earlier training in --out.")] = False,
) -> None:
    """Train a network that outlines nuclei, on your own annotated images or a given recipe.

    OUT gets NAME.onnx (the network, for --model of the other commands), checkpoint.pt, weights.pt
    and log.csv. Stopped or killed, it goes on with --resume and ends with the same weights as if
    it had never been stopped.
    """
    # Read once, when torch loads: threads that wait for each other sleep. Where other programs
    # take turns on the same cores, spinning ones make a step ten times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        import onnx  # noqa: F401 - found missing now, not after hours
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingLibraryError(
            f"training needs torch and onnx ({error}): pip install 'imganalysis[train]'"
        ) from None
    from imganalysis.report.terminal import Progress
    from imganalysis.segment.beginning import CHECKPOINT, settings_for
    from imganalysis.segment.device import torch_device
    from imganalysis.segment.models import TRAINS, model_path
    from imganalysis.segment.onnx import write_onnx
    from imganalysis.segment.training import train as train_network
    from imganalysis.training_data import about_weights, load_examples, read_recipe

    chosen = read_recipe(recipe)
    torch_device(device)
    if (out / CHECKPOINT).exists() and not (resume or overwrite):
        raise OutputError(
            f"{out}: holds a training already; go on with --resume, or replace it with --overwrite"
        )
    root = data or recipe.parent
    if resume and start is not None:
        raise SettingsError(
            "--start begins a training anew, --resume goes on with one; give one of them"
        )
    first = None
    if start is not None or chosen.start is not None:
        first = model_path(start or str(chosen.start), TRAINS)
        first = first if start is not None or first.is_absolute() else root / first
    # What cannot be begun with is found now, not after the images are read and simulated.
    first = None if resume else first
    settings, warnings = settings_for(chosen.training, out, start=first, resume=resume)
    chosen = chosen.model_copy(update={"training": settings})
    _warn(*warnings)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: cannot be made ({error.strerror})") from None
    # The limit holds for reading and simulating too.
    end = None if minutes is None else time.monotonic() + 60 * minutes
    said: list[str] = []
    with Progress() as progress:
        examples = load_examples(chosen, root, progress, keep=out, say=said.append)
    _warn(*said)
    with Progress() as progress:
        trained = train_network(
            examples,
            chosen.training,
            out,
            shares={name: source.share for name, source in chosen.sources.items()},
            about=about_weights(chosen),
            start=first,
            resume=resume,
            threads=threads,
            device=device,
            stop=None if end is None else (lambda: time.monotonic() > end),
            progress=progress,
        )
    network = out / f"{chosen.name}.onnx"
    write_onnx(trained.weights, network)
    state = "finished" if trained.finished else "stopped; go on with --resume"
    typer.echo(
        f"{network}: {trained.step} of {plural(chosen.training.steps, 'step')}, "
        f"loss {trained.loss:.4f}; {state}"
    )


def _warn(*warnings: str) -> None:
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)

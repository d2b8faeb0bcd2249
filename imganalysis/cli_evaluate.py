"""The command `imganalysis evaluate`."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - read by typer
from typing import Annotated

import typer

from imganalysis.cli_options import (
    DeviceOption,
    DiameterOption,
    DownloadOption,
    MethodOption,
    ModelOption,
    PixelSizeOption,
    SensitivityOption,
    check_diameter_px,
    method_values,
    parse_pixel_size,
)
from imganalysis.errors import SettingsError


def evaluate(
    images: Annotated[Path, typer.Argument(help="Folder of images of a nuclear stain, or one.")],
    masks: Annotated[
        Path,
        typer.Argument(
            help="Folder of label images named like the images (suffix aside), or one, or a CSV "
            "with the columns image and mask."
        ),
    ],
    method: MethodOption = None,
    model: ModelOption = None,
    nucleus_diameter: DiameterOption = None,
    diameter_px: Annotated[
        float | None,
        typer.Option(
            metavar="PX",
            callback=check_diameter_px,
            help="The same in pixels, for images without a scale. Without either it is estimated "
            "there, image by image.",
        ),
    ] = None,
    sensitivity: SensitivityOption = None,
    device: DeviceOption = None,
    download: DownloadOption = False,
    pixel_size: PixelSizeOption = None,
    threads: Annotated[int, typer.Option(min=1, help="Processor cores to use.")] = 1,
    limit: Annotated[
        int | None, typer.Option(metavar="N", help="The first N images by name only.")
    ] = None,
    json_: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the scores as JSON.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a row per image.")] = None,
) -> None:
    """Score a segmentation on images whose nuclei people have outlined.

    Exit status: 0 all images evaluated; 1 some failed (listed with the reason); 2 a mistake in
    what was asked for.
    """
    if nucleus_diameter is not None and diameter_px is not None:
        raise SettingsError("--nucleus-diameter and --diameter-px say the same; give one of them")
    from imganalysis.evaluating import Scale, write_scores
    from imganalysis.evaluating import evaluate as evaluate_images
    from imganalysis.methods import GivenLabels
    from imganalysis.report.scores import print_scores
    from imganalysis.report.terminal import Progress
    from imganalysis.segment import model_facts
    from imganalysis.settings import parse_settings
    from imganalysis.stack import PixelSize
    from imganalysis.tables import write_csv

    chosen = parse_settings(
        {
            "segmentation": method_values(
                method, model, nucleus_diameter, sensitivity, device, download
            ),
            "reading": {"pixel_size": parse_pixel_size(pixel_size)},
        },
        source="options",
    )
    segmentation = chosen.segmentation
    if isinstance(segmentation, GivenLabels):
        raise SettingsError("--method given: there is nothing to evaluate; name another method")
    model_facts(segmentation)  # what is missing is found missing before any image is read
    size = chosen.reading.pixel_size
    with Progress() as progress:
        result = evaluate_images(
            images,
            masks,
            segmentation,
            scale=Scale(
                None if size is None else PixelSize(*size, origin="user"),
                diameter_px,
                estimate=nucleus_diameter is None,
            ),
            limit=limit,
            threads=threads,
            progress=progress,
        )
    if result.unpaired:
        typer.echo(f"without a partner, left out: {', '.join(result.unpaired)}", err=True)
    failed = result.table[result.table["reason"] != ""]
    problems = list(failed[["image", "reason", "message"]].itertuples(index=False, name=None))
    print_scores(result.scores(), problems)
    if csv is not None:
        write_csv(csv, result.table)
    if json_ is not None:
        write_scores(json_, result, segmentation)
    if result.n_failed:
        raise typer.Exit(1)

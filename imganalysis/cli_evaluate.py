"""The command `imganalysis evaluate`."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - read by typer
from typing import TYPE_CHECKING, Annotated, cast

import typer

from imganalysis.errors import SettingsError

if TYPE_CHECKING:
    from imganalysis.methods import ScikitImageMethod

METHODS = ("scikit-image",)


def evaluate(
    images: Annotated[Path, typer.Argument(help="Folder of images of a nuclear stain, or one.")],
    masks: Annotated[
        Path,
        typer.Argument(
            help="Folder of label images named like the images (suffix aside), or one, or a CSV "
            "with the columns image and mask."
        ),
    ],
    method: Annotated[
        str, typer.Option(metavar="|".join(METHODS), help="How nuclei are found.")
    ] = METHODS[0],
    nucleus_diameter: Annotated[
        float | None, typer.Option(metavar="UM", help="Diameter of a typical nucleus, um.")
    ] = None,
    diameter_px: Annotated[
        float | None,
        typer.Option(
            metavar="PX",
            help="The same in pixels, for images without a scale. Without either it is estimated "
            "there, image by image.",
        ),
    ] = None,
    sensitivity: Annotated[
        float | None, typer.Option(help="0 finds bright nuclei only, 1 the dimmest too.")
    ] = None,
    pixel_size: Annotated[
        str | None,
        typer.Option(metavar="[Z,]Y,X", help="Pixel size in um; overrides what the files say."),
    ] = None,
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
    if method not in METHODS:
        raise SettingsError(f"--method: expected {' or '.join(METHODS)}, found {method!r}")
    if nucleus_diameter is not None and diameter_px is not None:
        raise SettingsError("--nucleus-diameter and --diameter-px say the same; give one of them")
    from imganalysis.evaluating import Scale, write_scores
    from imganalysis.evaluating import evaluate as evaluate_images
    from imganalysis.report.scores import print_scores
    from imganalysis.report.terminal import Progress
    from imganalysis.settings import parse_settings
    from imganalysis.stack import PixelSize
    from imganalysis.tables import write_csv

    given = {"nucleus_diameter_um": nucleus_diameter, "sensitivity": sensitivity}
    chosen = parse_settings(
        {
            "segmentation": {
                "method": method,
                **{name: value for name, value in given.items() if value is not None},
            },
            "reading": {"pixel_size": parse_pixel_size(pixel_size)},
        },
        source="options",
    )
    segmentation = cast("ScikitImageMethod", chosen.segmentation)  # as `method` is one of METHODS
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
            progress=progress,
        )
    if csv is not None:
        write_csv(csv, result.table)
    if json_ is not None:
        write_scores(json_, result, segmentation)
    if result.unpaired:
        typer.echo(f"without a partner, left out: {', '.join(result.unpaired)}", err=True)
    failed = result.table[result.table["reason"] != ""]
    problems = list(failed[["image", "reason", "message"]].itertuples(index=False, name=None))
    print_scores(result.scores(), problems)
    if result.n_failed:
        raise typer.Exit(1)


def parse_pixel_size(text: str | None) -> tuple[float | None, float, float] | None:
    """Read an option [Z,]Y,X, sizes of a pixel in um.

    Raises
    ------
    SettingsError
        Not two or three numbers.
    """
    if text is None:
        return None
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) == 2:
        return (None, values[0], values[1])
    if len(values) == 3:
        return (values[0], values[1], values[2])
    raise SettingsError(
        f"--pixel-size: expected Y,X or Z,Y,X in um, e.g. 0.23,0.23 or 0.5,0.23,0.23; "
        f"found {text!r}"
    )

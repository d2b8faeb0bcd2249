"""The command `imganalysis segment`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from imganalysis.errors import ImageError, LabelsError, OutputError, SettingsError
from imganalysis.words import plural

if TYPE_CHECKING:
    from imganalysis.methods import Method
    from imganalysis.settings import Settings
    from imganalysis.stack import Series


def segment(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Image files.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the label images.")],
    channel: Annotated[
        str | None,
        typer.Option(metavar="NAME|NUMBER", help="Channel of the nuclei; numbers from 0."),
    ] = None,
    method: MethodOption = None,
    model: ModelOption = None,
    nucleus_diameter: DiameterOption = None,
    diameter_px: Annotated[
        float | None,
        typer.Option(
            metavar="PX",
            callback=check_diameter_px,
            help="The same in pixels, for files that do not say their scale.",
        ),
    ] = None,
    estimate_diameter: Annotated[
        bool,
        typer.Option(
            "--estimate-diameter",
            help="Estimate it image by image where a file does not say its scale, as "
            "imganalysis evaluate does.",
        ),
    ] = False,
    sensitivity: SensitivityOption = None,
    device: DeviceOption = None,
    download: DownloadOption = False,
    pixel_size: PixelSizeOption = None,
    axes: Annotated[
        str | None,
        typer.Option(metavar="AXES", help="Order of the axes of TIFF files that do not say it."),
    ] = None,
    time: Annotated[int, typer.Option(help="Time point of time series, from 0.")] = 0,
    allow_rgb: Annotated[bool, typer.Option(help="Read RGB images.")] = False,
    section_um: Annotated[
        float | None, typer.Option(help="Thickness of the section, um; 3 by default.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processor cores to use; all by default.")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace label images of these names.")] = False,
) -> None:
    """Find nuclei in one channel of image files, and write label images.

    Each series of each file becomes OUT/NAME.tif: 32-bit labels, 0 = background, which open in
    napari, QuPath and Fiji. They can be corrected there and given to `imganalysis run --nuclei`.
    A plane of more than 16 million pixels is analysed in tiles, through files in OUT, so that it
    may be larger than memory.

    Exit status: 0 all segmented; 1 some failed (listed with the reason); 2 a mistake in what was
    asked for.
    """
    from imganalysis.engine import default_workers
    from imganalysis.methods import GivenLabels
    from imganalysis.report.terminal import Progress
    from imganalysis.segment import model_facts
    from imganalysis.settings import parse_settings

    if nucleus_diameter is not None and diameter_px is not None:
        raise SettingsError("--nucleus-diameter and --diameter-px say the same; give one of them")
    if estimate_diameter and (nucleus_diameter is not None or diameter_px is not None):
        raise SettingsError("--estimate-diameter: the diameter is given; leave one of them out")
    settings = parse_settings(
        {
            "segmentation": method_values(
                method, model, nucleus_diameter, sensitivity, device, download
            ),
            "reading": {
                "pixel_size": parse_pixel_size(pixel_size),
                "axes": axes,
                "time": time,
                "allow_rgb": allow_rgb,
            },
            **({} if section_um is None else {"projection": {"section_um": section_um}}),
        },
        source="options",
    )
    chosen = settings.segmentation
    if isinstance(chosen, GivenLabels):
        raise SettingsError("--method given: there is nothing to segment; name another method")
    model_facts(chosen)  # what is missing is found missing before any file is read
    targets, problems = _targets(files, out, settings, overwrite=overwrite)
    _make(out)
    done: list[str] = []
    with Progress() as progress:
        for number, (target, series) in enumerate(targets.items(), start=1):
            try:
                done.append(
                    _one(
                        target,
                        series,
                        settings,
                        chosen,
                        channel=channel,
                        diameter_px=diameter_px,
                        estimate=estimate_diameter,
                        threads=threads or default_workers(),
                    )
                )
            except (ImageError, LabelsError, SettingsError) as error:
                named = str(series.path) in error.message
                problems.append(error.message if named else f"{series.path}: {error.message}")
            except MemoryError:
                problems.append(f"{series.path}: out of memory")
            progress("Images", number, len(targets))
    for line in done:
        typer.echo(line)
    for line in problems:
        typer.echo(f"failed: {line}", err=True)
    if problems:
        raise typer.Exit(1)


def _one(target: Path, series: Series, settings: Settings, method: Method, **how: Any) -> str:
    """Write one label image, and say what is in it."""
    from tempfile import TemporaryDirectory

    from imganalysis.segmenting import segment_series, write_nuclei

    # Beside the result: a folder for temporary files may itself be in memory.
    with TemporaryDirectory(prefix=".segment-", dir=target.parent) as scratch:
        found = segment_series(series, settings, method, scratch=Path(scratch), **how)
        write_nuclei(target, found)
        notes = list(found.flags)
        if found.diameter_from == "estimated" and math.isfinite(found.diameter_px):
            notes.insert(0, f"estimated diameter {found.diameter_px:.1f} px")
        said = f" ({', '.join(notes)})" if notes else ""
        return f"{target}: {plural(found.count, 'nucleus', 'nuclei')}{said}"


def _targets(
    files: list[Path], out: Path, settings: Settings, *, overwrite: bool
) -> tuple[dict[Path, Series], list[str]]:
    """Say which label image each series becomes, and which files cannot be read.

    Raises
    ------
    SettingsError, OutputError
        Two would become one, or something would be lost.
    """
    from imganalysis.segmenting import fields_of, is_label_image

    inputs = {path.resolve() for path in files}
    targets: dict[Path, Series] = {}
    problems: list[str] = []
    for path in files:
        try:
            fields = fields_of(path, settings)
        except ImageError as error:
            problems.append(error.message)
            continue
        for series in fields:
            target = out / f"{_name(series, alone=len(fields) == 1)}.tif"
            if target in targets:
                raise SettingsError(
                    f"{path} and {targets[target].path} would both become {target}; "
                    "segment them into different folders"
                )
            if target.resolve() in inputs:
                raise OutputError(
                    f"{target}: is an image to be segmented; take another folder for --out"
                )
            if target.exists() and not is_label_image(target):
                raise OutputError(
                    f"{target}: is there already and is no label image; take another folder"
                )
            if target.exists() and not overwrite:
                raise OutputError(f"{target}: is there already; replace it with --overwrite")
            targets[target] = series
    return targets, problems


def _name(series: Series, *, alone: bool) -> str:
    """Name of the label image: of the file, and of the series where it has several."""
    from imganalysis.stack import IMAGE_SUFFIXES, series_name

    name = series.path.name
    ending = next((s for s in IMAGE_SUFFIXES if name.lower().endswith(s)), series.path.suffix)
    stem = name[: len(name) - len(ending)]
    return stem if alone else series_name(stem, series.index, series.tile)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror})") from None

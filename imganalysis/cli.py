"""The command line: parse, call, print."""

from __future__ import annotations

import operator
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from imganalysis.cli_agree import agree
from imganalysis.cli_classifier import ClassifierOption, classifier_app
from imganalysis.cli_cohort import cohort
from imganalysis.cli_evaluate import evaluate
from imganalysis.cli_gate import gate
from imganalysis.cli_options import (
    CorrectionsOption,
    DeviceOption,
    DiameterOption,
    DownloadOption,
    MethodOption,
    ModelOption,
    PixelSizeOption,
    SensitivityOption,
    method_values,
    over_file,
    parse_pixel_size,
)
from imganalysis.cli_panel import panel_app
from imganalysis.cli_power import power
from imganalysis.cli_segment import segment
from imganalysis.cli_train import train
from imganalysis.errors import ImageError, ImganalysisError, SettingsError
from imganalysis.words import plural

app = typer.Typer(
    name="imganalysis",
    help="Count dying tumour cells, and the lymphocytes around them, in confocal stacks of "
    "biopsies. Research use only.\n\n"
    "A first look:  imganalysis demo --out demo_results\n\n"
    "Your own data:  imganalysis init FOLDER  writes a list of your images to correct, then  "
    "imganalysis run FOLDER --out RESULTS",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(panel_app, name="panel")
app.add_typer(classifier_app, name="classifier")
for _command in (segment, evaluate, train, gate, cohort, agree, power):
    app.command()(_command)

PanelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--panel",
        "-p",
        metavar="NAME|FILE",
        help="Panel to use: a built-in name or a YAML file; may be repeated. "
        "All built-in panels by default; which one a file belongs to is told by its "
        "file, series or channel names, or by the manifest.",
    ),
]
AxesOption = Annotated[
    str | None,
    typer.Option(
        metavar="AXES", help="Order of the axes of TIFF files that do not say it, e.g. CYX."
    ),
]
ReaderOption = Annotated[
    str, typer.Option("--reader", metavar="auto|bioio|aicsimageio", help="Library that reads.")
]


def _version(wanted: bool) -> None:
    if wanted:
        from imganalysis import __version__

        typer.echo(f"imganalysis {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print and stop.")
    ] = False,
) -> None:
    pass


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Study folder: one folder per biopsy.")],
    panel: PanelOption = None,
    axes: AxesOption = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing manifest.csv.")] = False,
    reader: ReaderOption = "auto",
) -> None:
    """Write FOLDER/manifest.csv, a list of all images, for you to correct in a spreadsheet.

    Guessed from folder and file names: biopsy, patient, week, panel, and which images are
    controls (those in controls/ROLE/). Correct it; `imganalysis run` then follows it.
    """
    from imganalysis.opening import open_study
    from imganalysis.study import write_manifest

    study = open_study(
        folder,
        panels=panel,
        settings=_settings({"axes": axes, "backend": reader}),
        use_manifest=not overwrite,
    )
    target = folder / "manifest.csv"
    write_manifest(study, target, overwrite=overwrite)
    typer.echo(
        f"{target}: {plural(len(study.fields), 'field')} of "
        f"{plural(len(study.biopsies), 'biopsy')}. "
        "Correct it, then: imganalysis run " + str(folder) + " --out RESULTS"
    )


@app.command()
def info(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Image files.")],
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    axes: AxesOption = None,
    reader: ReaderOption = "auto",
) -> None:
    """List every series of image files: name, axes, size, channels, pixel size.

    A series that is no field of view in X and Y is listed with the reason.
    """
    import json

    from imganalysis.io import describe
    from imganalysis.report.terminal import print_series

    settings = _settings({"axes": axes, "backend": reader}).reading
    found: list[dict[str, Any]] = []
    failed = False
    for path in files:
        if not path.exists():
            raise SettingsError(f"{path}: no such file")
        try:
            series = describe(path, axes=settings.axes, backend=settings.backend)
        except ImageError as error:
            failed = True
            found.append({"file": str(path), "error": error.message, "reason": error.reason})
        else:
            found.append({"file": str(path), "series": series})
    if json_:
        typer.echo(json.dumps(found if len(found) > 1 else found[0], indent=1, ensure_ascii=False))
    else:
        print_series(found)
    if failed:
        raise typer.Exit(1)


@app.command()
def run(
    study: Annotated[
        Path, typer.Argument(help="Study folder (with or without manifest.csv), or one image.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")],
    panel: PanelOption = None,
    gates: Annotated[
        Path | None, typer.Option(help="Gates file, or scimap's CSV; else the ladder sets them.")
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="Calibration file, e.g. of an earlier run.")
    ] = None,
    classifier: ClassifierOption = None,
    corrections: CorrectionsOption = None,
    settings: Annotated[
        Path | None, typer.Option(help="Settings file (YAML), e.g. from an earlier run.json.")
    ] = None,
    pixel_size: PixelSizeOption = None,
    axes: AxesOption = None,
    time: Annotated[int | None, typer.Option(help="Time point of time series, from 0.")] = None,
    allow_rgb: Annotated[bool, typer.Option(help="Read RGB images; flagged.")] = False,
    section_um: Annotated[float | None, typer.Option(help="Thickness of the sections, um.")] = None,
    guard_um: Annotated[
        float | None,
        typer.Option(help="Strip along the border in which nothing is counted, um."),
    ] = None,
    nuclei: Annotated[
        str | None,
        typer.Option(
            metavar="FILE[:PAGE]|FOLDER",
            help="Nuclei from label images of yours: a file, or a folder with one per field.",
        ),
    ] = None,
    method: MethodOption = None,
    model: ModelOption = None,
    nucleus_diameter: DiameterOption = None,
    sensitivity: SensitivityOption = None,
    device: DeviceOption = None,
    download: DownloadOption = False,
    background: Annotated[
        str | None, typer.Option(metavar="panel|local|global|none", help="Background subtraction.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes; all processors by default.")
    ] = None,
    overlays: Annotated[bool, typer.Option(help="Draw overlays and qc/.")] = True,
    cells_csv: Annotated[bool, typer.Option(help="Write cells/ as CSV too.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace earlier results in the folder.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Print what would be done, and stop.")] = False,
    reader: ReaderOption = "auto",
) -> None:
    """Analyse a study: biopsies.csv, fields.csv, cells/, labels/, overlays/ and more in --out.

    Exit status: 0 all fields analysed; 1 some failed or have no pixel size (listed with the
    reason); 2 a mistake in what was asked for.
    """
    chosen = _settings(
        {
            "axes": axes,
            "time": time,
            "allow_rgb": allow_rgb or None,
            "backend": None if reader == "auto" else reader,
            "pixel_size": parse_pixel_size(pixel_size),
        },
        file=settings,
        projection={"section_um": section_um},
        preparation={"background": background},
        measuring={"guard_um": guard_um},
        segmentation=method_values(
            method, model, nucleus_diameter, sensitivity, device, download, over=True
        ),
        nuclei=nuclei,
        output={
            "overlays": None if overlays else False,
            "quality": None if overlays else False,
            "cells_csv": cells_csv or None,
        },
    )
    files = {
        "gates_file": gates,
        "calibration_file": calibration,
        "classifier_file": classifier,
        "corrections_file": corrections,
    }
    _run(study, out, chosen, panel, workers, overwrite, dry_run, files)


def _run(
    study: Path,
    out: Path,
    settings: Any,
    panel: list[str] | None,
    workers: int | None,
    overwrite: bool,
    dry_run: bool,
    files: dict[str, Path | None],
) -> None:
    from imganalysis.correcting import lost_edits
    from imganalysis.gate_review import outside_values, review_gates
    from imganalysis.given import check_run
    from imganalysis.opening import open_study
    from imganalysis.outline_files import left_out_of
    from imganalysis.pipeline import run_study
    from imganalysis.quantify.summary import fraction_names
    from imganalysis.report.summary import bleedthrough_note, gates_note
    from imganalysis.report.terminal import Progress, print_plan, print_results

    opened = open_study(study, panels=panel, settings=settings)
    for note in opened.notes:
        typer.echo(f"imganalysis: {note}", err=True)
    if dry_run:
        check_run(opened, out, settings, **files, overwrite=overwrite)
        print_plan(opened, settings, out)
        return
    try:
        with Progress() as progress:
            result = run_study(
                opened, out, settings, **files,
                workers=workers, overwrite=overwrite, progress=progress, stop=None,
            )  # fmt: skip
    except KeyboardInterrupt:
        typer.echo("imganalysis: stopped; nothing was written", err=True)
        raise typer.Exit(130) from None
    names = [(f.name, f.percent) for f in fraction_names(opened.panels.values())]
    listed = result.fields[result.fields["reason"] != ""]
    problems = list(listed[["field", "reason", "message"]].itertuples(index=False, name=None))
    problems += [*left_out_of(result.fields), *lost_edits(result.corrections)]
    notes = filter(None, (gates_note(result.gates), bleedthrough_note(result.fields)))
    print_results(result.biopsies, problems, names, out, "\n".join(notes))
    if files.get("gates_file"):
        by_person = [gate for gate in result.gates if gate.method in ("file", "manual")]
        for said in outside_values(review_gates(out), by_person):
            typer.echo(f"imganalysis: warning: {said}", err=True)
    if result.n_failed:
        raise typer.Exit(1)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path(
        "demo_results"
    ),
    data: Annotated[
        Path | None, typer.Option(help="Sample study; found or simulated by default.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace earlier results.")] = False,
) -> None:
    """Analyse the sample study: three simulated biopsies, before, after one and four weeks."""
    from imganalysis.opening import sample_study
    from imganalysis.settings import Settings

    _run(sample_study(data, out), out, Settings(), None, workers, overwrite, False, {})


@app.command()
def simulate(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the study.")],
    recipe: Annotated[str, typer.Option(help="Built-in name or a YAML file.")] = "melanoma",
    plan: Annotated[
        str, typer.Option(help="Which biopsies and fields; see the recipe.")
    ] = "sample",
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 2003,
    overwrite: Annotated[bool, typer.Option(help="Write into a folder that is not empty.")] = False,
) -> None:
    """Make a study of simulated confocal stacks with known truth (truth/)."""
    from imganalysis.opening import simulate_to
    from imganalysis.report.terminal import Progress

    with Progress() as progress:
        simulate_to(
            out, recipe=recipe, plan=plan, seed=seed, overwrite=overwrite, progress=progress
        )
    typer.echo(f"{out}: written. Analyse it: imganalysis run {out} --out RESULTS")


def _settings(
    reading: dict[str, Any],
    *,
    file: Path | None = None,
    nuclei: str | None = None,
    **groups: dict[str, Any],
) -> Any:
    """Put what the command line says on top of a settings file, or of the defaults."""
    from imganalysis.settings import parse_settings, read_settings

    values = read_settings(file) if file else {}
    # A group without anything under its name is read as None.
    values = {group: {} if found is None else found for group, found in values.items()}
    for group, found in values.items():
        if not isinstance(found, dict):
            raise SettingsError(f"{file}: {group}: expected names and values, found {found!r}")
    for group, options in {"reading": reading, **groups}.items():
        given = {name: value for name, value in options.items() if value is not None}
        if given:
            merge = over_file if group == "segmentation" else operator.or_
            values[group] = merge(values.get(group, {}), given)
    if nuclei is not None:
        from imganalysis.reading import split_page

        if values.get("segmentation"):
            raise SettingsError(
                "--nuclei gives the nuclei; --method, --model, --nucleus-diameter, --sensitivity "
                "and a segmentation in the settings file would be without effect: leave one out"
            )
        path, page = split_page(nuclei)
        values["segmentation"] = {"method": "given", "path": path, "page": page}
    return parse_settings(values, source=str(file) if file else "options")


def main() -> None:
    """Run the command line; a user's mistake is one line and exit status 2."""
    try:
        app()
    except ImganalysisError as error:
        typer.echo(f"imganalysis: {error}", err=True)
        sys.exit(1 if isinstance(error, ImageError) else 2)
    except KeyboardInterrupt:
        typer.echo("imganalysis: stopped", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()

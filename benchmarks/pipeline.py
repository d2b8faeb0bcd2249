"""Seconds per field of `imganalysis run` on the sample study, beside a bare measurement.

The peer reads the same files, averages their planes, and measures the same nuclei with
scikit-image's `regionprops_table`: the least that any analysis must do.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
from _common import ROOT, best_seconds, options, report
from skimage.measure import regionprops_table

import imganalysis as ia

STUDY = ROOT / "sample_data"
PROPERTIES = (
    "label",
    "centroid",
    "area",
    "axis_major_length",
    "axis_minor_length",
    "perimeter",
    "intensity_mean",
)


def part_of_study(folder: Path) -> Path:
    """Copy two fields of one biopsy and a control of their panel, as a study of its own."""
    manifest = pd.read_csv(STUDY / "manifest.csv")
    samples = manifest[manifest["role"] == "sample"]
    biopsy, panel = samples.iloc[len(samples) // 2][["biopsy", "panel"]]
    mine = samples[(samples["biopsy"] == biopsy) & (samples["panel"] == panel)]
    controls = manifest[(manifest["role"] != "sample") & (manifest["panel"] == panel)]
    part = pd.concat([mine.head(2), controls.head(1)])
    for path in part["path"]:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(STUDY / path, target)
    part.to_csv(folder / "manifest.csv", index=False)
    return folder


def run(study: Path, out: Path, *extra: str) -> None:
    """Analyse a study by the command line."""
    command = [sys.executable, "-m", "imganalysis.cli", "run", str(study), "--out", str(out)]
    done = subprocess.run([*command, "--overwrite", *extra], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"imganalysis run ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def analysed_fields(out: Path) -> pd.DataFrame:
    """Rows of fields.csv that were measured, controls among them."""
    fields = pd.read_csv(out / "fields.csv")
    return fields[fields["status"].isin(["analysed", "control"])]


def bare_measurement(study: Path, out: Path, fields: pd.DataFrame) -> int:
    """Read, average, and measure the nuclei that the run outlined; number of nuclei."""
    count = 0
    for _, field in fields.iterrows():
        stack = tifffile.imread(study / field["file"])
        mean = stack.mean(axis=1, dtype=np.float32)
        labels = tifffile.imread(out / "labels" / f"{field['field']}.ome.tif")
        table = regionprops_table(
            labels.astype(np.int64), np.moveaxis(mean, 0, -1), properties=PROPERTIES
        )
        count += len(table["label"])
    return count


def first_half(study: Path) -> None:
    """Read, prepare, segment and measure every field in this process; write nothing."""
    opened = ia.open_study(study)
    for field in opened.fields:
        found = ia.analyse_field(ia.Task(field, opened.panels[field.panel], ia.Settings()))
        if found.reason:
            sys.exit(found.message)


def main() -> None:
    """Time both and report."""
    chosen = options(__doc__)
    repeats = 1 if chosen.quick else 3
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "results"
        study = part_of_study(Path(folder) / "study") if chosen.quick else STUDY
        ways = {"imganalysis run, 1 process": ["--no-overlays", "--workers", "1"]}
        if not chosen.quick:
            ways["imganalysis run, all processors"] = ["--no-overlays"]
            ways["imganalysis run, all processors, overlays"] = []
        seconds = {
            name: best_seconds(lambda extra=extra: run(study, out, *extra), repeats=repeats)
            for name, extra in ways.items()
        }
        fields = analysed_fields(out)
        nuclei = bare_measurement(study, out, fields)
        first_half(study)  # compiles
        seconds["first half alone, compiled before"] = best_seconds(
            lambda: first_half(study), repeats=repeats
        )
        bare = best_seconds(lambda: bare_measurement(study, out, fields), repeats=3)
    shapes = f"{len(fields)} fields of the sample study, {nuclei} nuclei"
    rows = [["tifffile and regionprops_table", bare, bare / len(fields), 1.0]]
    rows += [[name, s, s / len(fields), s / bare] for name, s in seconds.items()]
    report(
        "Pipeline",
        ["way", "seconds", "seconds per field", "ratio to the bare measurement"],
        rows,
        notes=f"{shapes}; best of {repeats}. A run begins with starting Python and ends with all "
        "tables, labels and masks written; the bare measurement reads the same stacks and "
        "measures the same nuclei once, neither ring nor cell, and segments nothing.",
        target=chosen.json,
    )


if __name__ == "__main__":
    main()

"""The command line on small studies: what it writes, what it says, how it ends."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from imganalysis import tables as t
from imganalysis.cohort.power_inputs import read_inputs
from imganalysis.io import read_labels, write_stack
from imganalysis.stack import PixelSize, Stack


def run(*args: object) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does."""
    return subprocess.run(
        [sys.executable, "-m", "imganalysis.cli", *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def files(folder: Path) -> dict[str, bytes]:
    """All files that must not depend on time, user or workers."""
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.suffix in (".csv", ".parquet", ".tif", ".png")
    }


@pytest.fixture(scope="module")
def results(small_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the small study, computed once."""
    out = tmp_path_factory.mktemp("results") / "Ergebnisse 1"
    done = run("run", small_study, "--out", out, "--cells-csv", "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert "P01_week1" in done.stdout
    assert "Bleed-through was not corrected in 3 of 3 fields" in done.stdout
    assert "Traceback" not in done.stderr
    return out


def test_every_result_is_there(results: Path) -> None:
    for name in ("biopsies.csv", "fields.csv", "exclusions.csv", "results.xlsx", "gates.json"):
        assert (results / name).is_file(), name
    fields = pd.read_csv(results / "fields.csv")
    assert len(fields) == 7
    for name in fields["field"]:
        assert (results / "cells" / f"{name}.parquet").is_file()
        assert (results / "cells" / f"{name}.csv").is_file()
        assert (results / "overlays" / f"{name}.png").is_file()
        assert (results / "qc" / f"{name}.png").is_file()
        labels = read_labels(results / "labels" / f"{name}.ome.tif")
        cells = pd.read_parquet(results / "cells" / f"{name}.parquet")
        assert labels.dtype == np.uint32
        assert sorted(cells[t.LABEL]) == list(np.unique(labels)[1:])
    record = json.loads((results / "run.json").read_text(encoding="utf-8"))
    assert record["overlays_not_drawn"] == []
    assert set(record["inputs"]) == set(fields["field"])


def test_power_starts_from_the_cells_that_the_fraction_is_made_of(results: Path) -> None:
    row = pd.read_csv(results / "biopsies.csv").iloc[0]
    fields = pd.read_csv(results / "fields.csv")
    for fraction in ("apoptotic_fraction", "pct_T"):
        found = read_inputs(results, fraction=fraction)
        scale = 100 if fraction.startswith("pct_") else 1
        ((share, n),) = found.shares.values()
        assert n == 1 and share.value * scale == pytest.approx(row[fraction])
    assert fields["n_denominator_apoptotic_fraction"].sum() == row["n_tumour"]
    other = fields["panel"] == "infiltrate"
    assert fields.loc[other, "n_denominator_apoptotic_fraction"].isna().all()


def test_one_row_per_biopsy_with_its_numbers(results: Path) -> None:
    biopsies = pd.read_csv(results / "biopsies.csv")
    row = biopsies.iloc[0]
    assert len(biopsies) == 1
    assert row["week"] == 1 and row["n_fields"] == 3 and row["n_fields_failed"] == 0
    assert 0.2 < row["apoptotic_fraction"] < 0.7
    assert row["apoptotic_fraction_lo"] < row["apoptotic_fraction"] < row["apoptotic_fraction_hi"]
    order = ["apoptotic_fraction_strict", "apoptotic_fraction", "apoptotic_fraction_inclusive"]
    assert list(row[order]) == sorted(row[order])
    assert row["pct_T"] + row["pct_NK"] + row["pct_CD3CD56"] == pytest.approx(100)
    assert row["pct_T"] > 70
    assert row["apoptotic_fraction_gate_casp3_low"] > row["apoptotic_fraction_gate_casp3_high"]


def test_controls_set_gates_and_are_never_counted(results: Path) -> None:
    fields = pd.read_csv(results / "fields.csv")
    controls = fields[fields["role"] == "secondary_only"]
    assert (controls["status"] == "control").all() and len(controls) == 4
    assert controls["n_class_T"].isna().all()
    gates = json.loads((results / "gates.json").read_text(encoding="utf-8"))["gates"]
    assert {g["marker"] for g in gates} == {"MelanA", "casp3", "CD3", "CD56"}
    assert all(g["method"] == "control_percentile" and g["n"] >= 200 for g in gates)


def test_every_column_is_documented(results: Path) -> None:
    cells = pd.concat(pd.read_parquet(p) for p in sorted((results / "cells").glob("*.parquet")))
    for name in ("fields.csv", "biopsies.csv"):
        table = pd.read_csv(results / name, keep_default_na=False, dtype=str)
        words = {word for text in table["flags"] for word in text.split(";") if word}
        assert {word.rpartition(":")[2] for word in words} <= set(t.FLAGS)
    built = ("_nucleus_", "_ring_", "_cell_", "_max_", "_call", "is_", "_dominance", "_probability")
    plain = [c for c in cells.columns if not any(part in c for part in built)]
    assert set(plain) <= set(t.CELL_COLUMNS)
    assert set(cells[t.EXCLUSION]) <= {"", *t.EXCLUSIONS}


def test_same_bytes_for_any_number_of_workers(
    small_study: Path, results: Path, tmp_path: Path
) -> None:
    done = run("run", small_study, "--out", tmp_path / "r", "--cells-csv", "--workers", 1)
    assert done.returncode == 0, done.stderr
    again, first = files(tmp_path / "r"), files(results)
    assert list(again) == list(first)
    assert [name for name in first if first[name] != again[name]] == []


def test_manifest_gives_the_same_result(small_study: Path, results: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    shutil.copytree(small_study, study)
    made = run("init", study)
    assert made.returncode == 0, made.stderr
    assert run("init", study).returncode == 2, "an existing manifest is not replaced unasked"
    table = pd.read_csv(study / "manifest.csv", dtype=str)
    table["responder"] = "yes"
    table.to_csv(study / "manifest.csv", index=False)
    done = run("run", study, "--out", tmp_path / "r", "--no-overlays")
    assert done.returncode == 0, done.stderr
    ours, theirs = (pd.read_csv(p / "biopsies.csv") for p in (tmp_path / "r", results))
    assert ours.pop("responder").tolist() == ["yes"]
    pd.testing.assert_frame_equal(ours, theirs)


def test_gates_from_a_file_go_first(small_study: Path, tmp_path: Path) -> None:
    gates = tmp_path / "my gates.json"
    gates.write_text(json.dumps({"gates": [{"marker": "casp3", "value": 1e6}]}))
    done = run("run", small_study, "--out", tmp_path / "r", "--gates", gates, "--no-overlays")
    assert done.returncode == 0, done.stderr
    warned = [line for line in done.stderr.splitlines() if "warning" in line]
    assert len(warned) == 1 and "the gate of casp3 at 1e+06 lies above all" in warned[0]
    assert "batch -, acquisition -" in warned[0]
    assert pd.read_csv(tmp_path / "r" / "biopsies.csv")["apoptotic_fraction"][0] == 0
    written = json.loads((tmp_path / "r" / "gates.json").read_text())["gates"]
    mine = next(g for g in written if g["marker"] == "casp3")
    assert mine["value"] == 1e6 and mine["previous"][0]["method"] == "control_percentile"
    gates.write_text(json.dumps({"gates": [{"marker": "nothing", "value": 1}]}))
    wrong = run("run", small_study, "--out", tmp_path / "x", "--gates", gates)
    assert wrong.returncode == 2 and "unknown marker nothing" in wrong.stderr
    assert not (tmp_path / "x").exists()


def test_without_controls_nothing_is_guessed(small_study: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    shutil.copytree(small_study, study, ignore=shutil.ignore_patterns("controls"))
    done = run("run", study, "--out", tmp_path / "r", "--no-overlays")
    assert done.returncode == 0, done.stderr
    row = pd.read_csv(tmp_path / "r" / "biopsies.csv").iloc[0]
    assert np.isnan(row["apoptotic_fraction"]) and np.isnan(row["pct_T"])
    assert "apoptotic_fraction: ungated" in row["reason"] and "pct_T: ungated" in row["reason"]
    gates = json.loads((tmp_path / "r" / "gates.json").read_text())["gates"]
    assert all(g["method"] == "none" and g["reason"] == "no_control" for g in gates)


def test_dry_run_writes_nothing(small_study: Path, tmp_path: Path) -> None:
    done = run("run", small_study, "--out", tmp_path / "r", "--dry-run")
    assert done.returncode == 0 and "analyse" in done.stdout
    assert not (tmp_path / "r").exists()


def test_results_are_not_overwritten_unasked(
    small_study: Path, results: Path, tmp_path: Path
) -> None:
    before = files(results)
    done = run("run", small_study, "--out", results)
    assert done.returncode == 2 and "--overwrite" in done.stderr
    assert files(results) == before
    (tmp_path / "file").write_text("")
    wrong = run("run", small_study, "--out", tmp_path / "file" / "r")
    assert wrong.returncode == 2 and "cannot be written" in wrong.stderr


@pytest.fixture
def field_of_discs() -> Stack:
    """Nuclei and one marker, names and scale as a user's file would have them."""
    rng = np.random.default_rng(0)
    yy, xx = np.mgrid[:200, :200]
    pixels = np.zeros((3, 1, 200, 200), np.float32)
    for y in range(20, 190, 32):
        for x in range(20, 190, 32):
            pixels[0, 0] += 80.0 * (((yy - y) ** 2 + (xx - x) ** 2) < 80)
            pixels[1, 0] += 60.0 * (((yy - y) ** 2 + (xx - x) ** 2) < 200)
    pixels = rng.poisson(pixels + 2).astype(np.uint8)
    return Stack(pixels, ("TO-PRO-3", "Melan A", "Caspase-3"), PixelSize(None, 0.5, 0.5, "user"))


def without_scale(path: Path, stack: Stack) -> None:
    """Write a TIFF that says nothing of its pixel size."""
    tifffile.imwrite(
        path, stack.numpy()[:, 0], imagej=True, metadata={"axes": "CYX", "Labels": stack.channels}
    )


def test_no_pixel_size_no_um(tmp_path: Path, field_of_discs: Stack) -> None:
    study = tmp_path / "study"
    (study / "P01").mkdir(parents=True)
    without_scale(study / "P01" / "a.tif", field_of_discs)
    done = run("run", study, "--out", tmp_path / "r", "--panel", "apoptosis")
    assert done.returncode == 1, done.stderr
    fields = pd.read_csv(tmp_path / "r" / "fields.csv")
    assert fields["reason"].tolist() == ["no_pixel_size"]
    assert "--pixel-size" in fields["message"][0]
    numbers = fields.filter(regex="_um|_mm2").drop(columns="section_um")
    assert numbers.isna().all(axis=None)
    biopsies = pd.read_csv(tmp_path / "r" / "biopsies.csv")
    assert biopsies.filter(regex="_mm2").isna().all(axis=None)
    assert "fields_failed" in biopsies["reason"][0]
    given = run(
        "run", study, "--out", tmp_path / "s", "--panel", "apoptosis", "--pixel-size", "0.5,0.5"
    )
    assert given.returncode == 0, given.stderr
    fields = pd.read_csv(tmp_path / "s" / "fields.csv")
    assert fields["pixel_size_y_um"].tolist() == [0.5]
    assert fields["pixel_size_origin"].tolist() == ["user"]


@pytest.mark.parametrize("text", ["0.5", "a,b", "0.5,0.5,0.5,0.5", "0,0", "100,100", "nan,1"])
def test_impossible_pixel_sizes(text: str, small_study: Path, tmp_path: Path) -> None:
    done = run("run", small_study, "--out", tmp_path / "r", "--pixel-size", text)
    assert done.returncode == 2
    assert "pixel" in done.stderr and "Traceback" not in done.stderr


def test_one_bad_file_never_stops_a_batch(tmp_path: Path, field_of_discs: Stack) -> None:
    folder = tmp_path / "study" / "P01"
    folder.mkdir(parents=True)
    write_stack(folder / "good.ome.tif", field_of_discs)
    whole = (folder / "good.ome.tif").read_bytes()
    (folder / "truncated.ome.tif").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.tif").write_bytes(b"")
    (folder / "text.tif").write_text("this is no image")
    pixels = field_of_discs.numpy()
    size, names = field_of_discs.pixel_size, field_of_discs.channels
    black = pixels.copy()
    black[2] = 0
    write_stack(folder / "black.ome.tif", Stack(black, names, size))
    broken = pixels.astype(np.float32)
    broken[1] = np.nan
    write_stack(folder / "nan.ome.tif", Stack(broken, names, size))
    write_stack(folder / "missing.ome.tif", Stack(pixels[:2], names[:2], size))
    write_stack(folder / "tiny.ome.tif", Stack(pixels[..., :1, :1], names, size))
    spots = pixels.astype(np.float32)
    spots[1, 0, 100:104, 100:104] = np.inf
    write_stack(folder / "inf.ome.tif", Stack(spots, names, size))
    rng = np.random.default_rng(1)
    noise = rng.poisson(2, pixels.shape).astype(np.uint8)
    write_stack(folder / "no nuclei.ome.tif", Stack(noise, names, size))
    done = run(
        "run", tmp_path / "study", "--out", tmp_path / "r", "--panel", "apoptosis", "--no-overlays"
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    fields = pd.read_csv(tmp_path / "r" / "fields.csv", keep_default_na=False)
    found = {Path(f).name: (s, r) for f, s, r in fields[["file", "status", "reason"]].to_numpy()}
    assert found == {
        "good.ome.tif": ("analysed", ""),
        "truncated.ome.tif": ("failed", "unreadable"),
        "empty.tif": ("failed", "unreadable"),
        "text.tif": ("failed", "unreadable"),
        "black.ome.tif": ("failed", "black_channel"),
        "nan.ome.tif": ("failed", "not_finite"),
        "missing.ome.tif": ("failed", "missing_channel"),
        "tiny.ome.tif": ("failed", "too_small"),
        "inf.ome.tif": ("analysed", ""),
        "no nuclei.ome.tif": ("analysed", ""),
    }
    message = fields.set_index(fields["file"].map(lambda f: Path(f).name))["message"]
    for name, words in {
        "truncated.ome.tif": "truncated.ome.tif",
        "empty.tif": "empty",
        "text.tif": "text.tif",
        "black.ome.tif": "casp3",
        "nan.ome.tif": "MelanA",
        "missing.ome.tif": "casp3",
        "tiny.ome.tif": "1 x 1",
    }.items():
        assert words in message[name], (name, message[name])
    flags = fields.set_index(fields["file"].map(lambda f: Path(f).name))["flags"]
    assert "no_nuclei" in flags["no nuclei.ome.tif"] and "not_finite" in flags["inf.ome.tif"]


def test_wrong_panel_is_told(tmp_path: Path, field_of_discs: Stack) -> None:
    folder = tmp_path / "study" / "P01"
    folder.mkdir(parents=True)
    write_stack(folder / "a.ome.tif", field_of_discs)
    done = run("run", tmp_path / "study", "--out", tmp_path / "r", "--panel", "infiltrate")
    assert done.returncode == 1
    assert "infiltrate" in done.stdout
    fields = pd.read_csv(tmp_path / "r" / "fields.csv")
    assert fields["reason"].tolist() == ["missing_channel"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("run", "nowhere", "--out", "r"), "no such folder or file"),
        (("info", "nowhere.tif"), "no such file"),
        (("panel", "show", "nothing"), "nothing"),
        (("run", ".", "--out", "r", "--settings", "nowhere.yaml"), "cannot be read"),
        (("run", ".", "--out", "r", "--background", "all"), "background"),
    ],
)
def test_mistakes_are_one_line(args: tuple[str, ...], words: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "imganalysis.cli", *args],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 2
    assert words in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_panels_are_listed_shown_and_checked(tmp_path: Path) -> None:
    listed = run("panel", "list").stdout
    assert {line.split()[0] for line in listed.splitlines()} == {"apoptosis", "infiltrate", "joint"}
    shown = run("panel", "show", "apoptosis").stdout
    (tmp_path / "mine.yaml").write_text(shown, encoding="utf-8")
    assert "sound" in run("panel", "check", tmp_path / "mine.yaml").stdout
    clash = shown.replace("fluorophore: Cy2", "fluorophore: Cy5")
    (tmp_path / "clash.yaml").write_text(clash, encoding="utf-8")
    refused = run("panel", "check", tmp_path / "clash.yaml")
    assert refused.returncode == 2 and "cannot be told apart" in refused.stderr


def test_info_lists_series(small_study: Path) -> None:
    path = next(small_study.glob("P01_week1/*.tif"))
    plain = run("info", path)
    assert plain.returncode == 0 and "0.465" in plain.stdout
    content = json.loads(run("info", path, "--json").stdout)
    assert content["series"][0]["pixel_size_um"] == [1.0, 0.465, 0.465]

"""`imganalysis evaluate`: real annotated images, made ones with known scores, and bad input."""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

from imganalysis import __version__
from imganalysis.cli import app
from imganalysis.errors import ImganalysisError, SettingsError
from imganalysis.evaluating import Evaluation, Scale, evaluate
from imganalysis.io import write_stack
from imganalysis.methods import ScikitImageMethod
from imganalysis.segment.models import MODELS
from imganalysis.stack import PixelSize, Stack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

METHOD = ScikitImageMethod()


def nuclei(diameter: int = 16, size: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Discs on a lattice, and their labels."""
    y, x = np.mgrid[:size, :size]
    labels = np.zeros((size, size), np.uint16)
    step = 2 * diameter
    for cy in range(diameter, size - diameter // 2, step):
        for cx in range(diameter, size - diameter // 2, step):
            inside = (y - cy) ** 2 + (x - cx) ** 2 <= (diameter / 2) ** 2
            labels[inside] = labels.max() + 1
    noise = np.random.default_rng(0).poisson(10, labels.shape)
    return ((labels > 0) * 100 + noise).astype(np.uint8), labels


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Three annotated images: PNG, TIFF, and one of nothing."""
    images, masks = tmp_path / "images", tmp_path / "masks"
    images.mkdir(), masks.mkdir()
    image, labels = nuclei()
    Image.fromarray(image).save(images / "a.png")
    tifffile.imwrite(masks / "a.tif", labels)
    tifffile.imwrite(images / "b.TIF", np.kron(image, np.ones((2, 2), np.uint8)))
    Image.fromarray(np.kron(labels, np.ones((2, 2), np.uint16))).save(masks / "b.png")
    Image.fromarray(np.full((90, 80), 7, np.uint8)).save(images / "c.png")
    tifffile.imwrite(masks / "c.tif", np.zeros((90, 80), np.uint8))
    return images, masks


def run(*arguments: object) -> tuple[int, str, str]:
    """Exit status, what was printed, and the error in words."""
    done = CliRunner().invoke(app, ["evaluate", *map(str, arguments)])
    if done.exception and not isinstance(done.exception, SystemExit | ImganalysisError):
        raise done.exception
    error = str(done.exception) if isinstance(done.exception, ImganalysisError) else ""
    return done.exit_code, done.stdout, error


def test_images_without_a_scale(folders: tuple[Path, Path], tmp_path: Path) -> None:
    target, listing = tmp_path / "out" / "scores.json", tmp_path / "out" / "images.csv"
    status, said, _ = run(*folders, "--json", target, "--csv", listing)
    assert status == 0
    scores = json.loads(target.read_text(encoding="utf-8"))
    n = int(nuclei()[1].max())
    assert scores["n_true"] == scores["n_found"] == 2 * n
    assert scores["ap"]["0.5"] == scores["f1"]["0.5"] == scores["ap"]["0.7"] == 1.0
    assert scores["precision"] == scores["recall"] == 1.0
    assert scores["split_rate"] == scores["merge_rate"] == scores["count_error"] == 0.0
    assert scores["mpx_per_s"] > 0 and scores["n_images"] == 3 and scores["n_failed"] == 0
    assert list(scores["by_size"]) == ["small", "medium", "large"]
    assert scores["settings"]["method"] == "network" and scores["model"]["name"] == "nuclei"
    assert "3 images" in said and "1.000" in said
    table = pd.read_csv(listing)
    assert list(table["image"]) == ["a.png", "b.TIF", "c.png"]
    assert list(table["diameter_from"]) == ["estimated"] * 3
    digest = sha256((MODELS / "nuclei.onnx").read_bytes()).hexdigest()
    assert set(table["segmentation"]) == {"network"} and set(table["model"]) == {"nuclei"}
    assert set(table["model_sha256"]) == {digest} and set(table["version"]) == {__version__}
    assert json.loads(table["settings"][0])["method"] == "network"
    assert table["diameter_px"][:2].to_numpy() == pytest.approx([16, 32], rel=0.3)
    assert np.isnan(table["diameter_px"][2])
    assert list(table["flags"].fillna("")) == ["", "", "flat"]
    assert table["n_found"][2] == 0 and np.isnan(table["ap_0.5"][2])


def test_the_table_is_the_same_every_time(folders: tuple[Path, Path], tmp_path: Path) -> None:
    for name in ("one.csv", "two.csv"):
        assert run(*folders, "--csv", tmp_path / name)[0] == 0
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()


class Spy:
    """Finds nothing, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def __call__(self, image: Any, spacing: Any, settings: Any, threads: int) -> np.ndarray:
        self.asked.append((image.shape, spacing, settings.nucleus_diameter_um))
        return np.zeros(image.shape, np.uint32)


def with_stack(folder: Path, size: PixelSize, planes: int = 1, channels: int = 1) -> Path:
    image, labels = nuclei()
    data = np.broadcast_to(image, (channels, planes, *image.shape))
    names = tuple(f"c{i}" for i in range(channels))
    (folder / "images").mkdir(parents=True)
    write_stack(folder / "images" / "s.ome.tif", Stack(np.array(data), names, size))
    (folder / "masks").mkdir()
    full = np.broadcast_to(labels, (planes, *labels.shape))
    mask = full if planes > 1 else labels
    tifffile.imwrite(folder / "masks" / "s.tif", mask, photometric="minisblack")
    return folder


def asked(folder: Path, **options: Any) -> tuple[tuple[Any, ...], Evaluation]:
    spy = Spy()
    scale = Scale(**options)
    result = evaluate(folder / "images", folder / "masks", METHOD, scale=scale, find=spy)
    assert result.n_failed == 0, result.table["message"].tolist()
    return spy.asked[-1], result


def test_the_pixel_size_of_a_file_is_used(tmp_path: Path) -> None:
    folder = with_stack(tmp_path, PixelSize(None, 0.5, 0.25))
    (_, spacing, diameter), result = asked(folder)
    assert spacing == pytest.approx((0.5, 0.25)) and diameter == 8.0
    assert list(result.table["diameter_from"]) == ["pixel size"]
    (_, spacing, _), _ = asked(folder, pixel_size=PixelSize(None, 0.1, 0.2, origin="user"))
    assert spacing == pytest.approx((0.1, 0.2))


def test_a_diameter_in_pixels_sets_the_scale_and_keeps_the_shape_of_pixels(tmp_path: Path) -> None:
    folder = with_stack(tmp_path, PixelSize(None, 0.5, 0.25))
    (_, spacing, diameter), result = asked(folder, diameter_px=16.0)
    assert diameter / spacing[1] == pytest.approx(16) and spacing[0] / spacing[1] == 2
    assert list(result.table["diameter_from"]) == ["given"]
    assert list(result.table["diameter_px"]) == [16.0]


def test_stacks(tmp_path: Path) -> None:
    folder = with_stack(tmp_path, PixelSize(1.0, 0.5, 0.5), planes=4)
    (shape, spacing, _), result = asked(folder)
    assert shape == (4, 128, 128) and spacing == pytest.approx((1.0, 0.5, 0.5))
    assert result.pixels == 4 * 128 * 128
    flat = with_stack(tmp_path / "other", PixelSize(), planes=4)
    failed = evaluate(flat / "images", flat / "masks", METHOD, find=Spy())
    assert list(failed.table["reason"]) == ["no_pixel_size"]
    assert "Z,Y,X" in failed.table["message"][0]


def test_several_channels_are_refused(tmp_path: Path) -> None:
    folder = with_stack(tmp_path, PixelSize(None, 0.5, 0.5), channels=2)
    failed = evaluate(folder / "images", folder / "masks", METHOD)
    assert failed.n_failed == 1 and "2 channels (c0, c1)" in failed.table["message"][0]


def test_a_diameter_in_um_needs_a_pixel_size(folders: tuple[Path, Path]) -> None:
    status, said, _ = run(*folders, "--nucleus-diameter", 8)
    assert status == 1 and "no_pixel_size" in said
    status, said, _ = run(*folders, "--nucleus-diameter", 8, "--pixel-size", "0.5,0.5")
    assert status == 0
    assert run(*folders, "--diameter-px", 16)[0] == 0


def test_a_csv_pairs_what_is_named_differently(folders: tuple[Path, Path]) -> None:
    images, masks = folders
    (masks / "a.tif").rename(masks / "outlined by hand.tif")
    listing = masks.parent / "pairs.csv"
    listing.write_text("mask,image\nmasks/outlined by hand.tif,a.png\n", encoding="utf-8")
    result = evaluate(images, listing, METHOD)
    assert list(result.table["mask"]) == ["outlined by hand.tif"]
    assert result.pooled.f1()[0] == 1.0


def test_one_image_and_its_mask(folders: tuple[Path, Path]) -> None:
    images, masks = folders
    assert evaluate(images / "a.png", masks / "a.tif", METHOD).pooled.f1()[0] == 1.0


def test_an_image_that_fails_is_listed_and_the_others_are_scored(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    images, masks = folders
    tifffile.imwrite(masks / "a.tif", np.zeros((128, 127), np.uint8))
    (images / "c.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (images / "alone.png").write_bytes((images / "b.TIF").read_bytes())
    target, listing = tmp_path / "scores.json", tmp_path / "images.csv"
    status, said, _ = run(*folders, "--json", target, "--csv", listing)
    assert status == 1
    table = pd.read_csv(listing, keep_default_na=False)
    assert list(table["reason"]) == ["labels", "", "unreadable"]
    assert "a.tif" in table["message"][0] and "(128, 127)" in table["message"][0]
    scores = json.loads(target.read_text(encoding="utf-8"))
    assert (scores["n_images"], scores["n_failed"]) == (1, 2)
    assert scores["n_true"] == int(nuclei()[1].max())
    assert scores["unpaired"] == ["alone.png"]
    assert "not evaluated" in said


def test_a_mask_of_foreground_is_no_label_image(folders: tuple[Path, Path]) -> None:
    images, masks = folders
    tifffile.imwrite(masks / "a.tif", ((nuclei()[1] > 0) * 255).astype(np.uint8))
    result = evaluate(images, masks, METHOD, limit=1)
    assert len(result.table) == 1
    assert "Number them first" in result.table["message"][0]


def _no_pair(images: Path, masks: Path) -> None:
    for path in sorted(masks.iterdir()):
        path.rename(path.with_stem(path.stem + "_mask"))


def _empty(images: Path, masks: Path) -> None:
    shutil.rmtree(images)
    images.mkdir()


def _twice(images: Path, masks: Path) -> None:
    shutil.copy(images / "b.TIF", images / "a.tif")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_no_pair, r"a\.png, b\.TIF and 1 more.*a_mask\.tif.*found no pair"),
        (_empty, "empty.*found no pair"),
        (_twice, r"a\.png and a\.tif have one name"),
        (lambda images, masks: shutil.rmtree(masks), "masks: no such file"),
    ],
    ids=["no pair", "no image", "two of a name", "no masks"],
)
def test_what_cannot_be_paired(
    folders: tuple[Path, Path], spoil: Callable[[Path, Path], None], said: str
) -> None:
    spoil(*folders)
    with pytest.raises(SettingsError, match=said):
        evaluate(*folders, METHOD)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("image,label\na.png,masks/a.tif\n", "missing column"),
        ("image,mask\n", "lists no image"),
        ("image,mask\na.png,masks/none.tif\n", "none.tif is not there"),
    ],
)
def test_a_csv_that_pairs_nothing(folders: tuple[Path, Path], text: str, said: str) -> None:
    listing = folders[0].parent / "pairs.csv"
    listing.write_text(text, encoding="utf-8")
    with pytest.raises(ImganalysisError, match=said):
        evaluate(folders[0], listing, METHOD)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--method", "magic"], "unknown method 'magic'; expected one of network, scikit-image"),
        (["--nucleus-diameter", "8", "--diameter-px", "9"], "give one of them"),
        (["--nucleus-diameter", "-1"], "nucleus_diameter_um"),
        (["--diameter-px", "0"], "--diameter-px: expected the diameter"),
        (["--diameter-px", "nan"], "2 or more; found nan"),
        (["--method", "scikit-image", "--device", "cpu"], "scikit-image takes no --device"),
        (["--limit", "0"], "limit"),
        (["--pixel-size", "1"], "expected Y,X or Z,Y,X"),
        (["--pixel-size", "900,900"], "pixel sizes of a microscope"),
    ],
)
def test_options_that_ask_for_the_impossible(
    folders: tuple[Path, Path], options: list[str], said: str
) -> None:
    _, _, error = run(*folders, *options)
    assert said in error


def test_every_score_and_column_is_explained(folders: tuple[Path, Path], repository: Path) -> None:
    result = evaluate(*folders, METHOD, limit=1)
    text = (repository / "docs" / "segmentation.md").read_text(encoding="utf-8")
    names = {name.partition("_0.")[0] for name in result.table.columns} | set(result.scores())
    for name in names - {"n_images", "n_failed"}:
        assert f"`{name}`" in text, name


@pytest.mark.realdata
def test_real_images(testdata: Path, tmp_path: Path) -> None:
    folder = testdata / "nuclei-2d-dsb2018"
    index = pd.read_csv(folder / "index.csv")
    some = index[(index["height"] <= 360) & (index["n_nuclei"] > 5)].iloc[::60].head(6)
    (tmp_path / "images").mkdir()
    for name in some["id"]:
        shutil.copy(folder / "images" / f"{name}.png", tmp_path / "images")
    target, listing = tmp_path / "scores.json", tmp_path / "images.csv"
    status, _, _ = run(tmp_path / "images", folder / "masks", "--json", target, "--csv", listing)
    scores = json.loads(target.read_text(encoding="utf-8"))
    assert (status, scores["n_images"]) == (0, 6)
    assert scores["n_true"] == some["n_nuclei"].sum()
    assert 0.75 < scores["f1"]["0.5"] <= 1
    assert list(scores["ap"].values()) == sorted(scores["ap"].values(), reverse=True)
    table = pd.read_csv(listing)
    true = 2 * np.sqrt(some["median_area_px"].to_numpy() / np.pi)
    assert (np.abs(np.log(table["diameter_px"] / true)) < np.log(1.6)).all()
    assert table["n_true"].tolist() == some["n_nuclei"].tolist()


def test_clipped_images_and_those_without_numbers_are_flagged(tmp_path: Path) -> None:
    image, labels = nuclei()
    clipped = np.where(labels > 0, 255, image).astype(np.uint8)
    holed = np.where(labels == 1, np.nan, image).astype(np.float32)
    pictures = {"clipped": clipped, "holed": holed, "none": np.full_like(holed, np.nan)}
    for name, picture in pictures.items():
        for kind, pixels in (("images", picture), ("masks", labels)):
            (tmp_path / kind).mkdir(exist_ok=True)
            tifffile.imwrite(tmp_path / kind / f"{name}.tif", pixels)
    result = evaluate(tmp_path / "images", tmp_path / "masks", METHOD, scale=Scale(diameter_px=16))
    assert list(result.table["flags"]) == ["saturated", "not_finite", "flat;not_finite"]


def test_a_tiny_image_is_evaluated_and_one_smaller_than_a_nucleus_says_so(tmp_path: Path) -> None:
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
        for side in (3, 12):
            picture = np.indices((side, side))[1].astype(np.uint8)
            tifffile.imwrite(tmp_path / kind / f"{side}.tif", picture)
    result = evaluate(tmp_path / "images", tmp_path / "masks", METHOD, scale=Scale(diameter_px=10))
    assert list(result.table["reason"]) == ["", "settings"]
    assert "the image is 3 x 3 px" in result.table["message"][1]

"""What is trained on, and the command that trains."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from imganalysis.cli import app
from imganalysis.errors import (
    ImganalysisError,
    LabelsError,
    ModelError,
    OutputError,
    SettingsError,
)
from imganalysis.io import write_labels as write_labels_with_size
from imganalysis.segment.network import load_weights
from imganalysis.segment.onnx import load_onnx
from imganalysis.stack import PixelSize
from imganalysis.training_data import held_out, image_id, load_examples, read_recipe

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

TINY: dict[str, Any] = {
    "network": {"width": [4, 8]},
    "steps": 4,
    "batch": 2,
    "crop_px": [32],
    "warmup_steps": 1,
}


def write_labels(path: Path, labels: NDArray[np.uint32]) -> None:
    write_labels_with_size(path, labels, PixelSize())


def picture(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:80, :90]
    labels = np.zeros((80, 90), np.uint32)
    for k in range(1, 9):
        cy, cx = rng.uniform(0, 80), rng.uniform(0, 90)
        labels[(np.hypot(y - cy, x - cx) < 8) & (labels == 0)] = k
    return (20 + 150 * (labels > 0)).astype(np.uint8), labels


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Twenty annotated images and a recipe that trains on them."""
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for seed in range(20):
        image, labels = picture(seed)
        Image.fromarray(image).save(tmp_path / "images" / f"image{seed}.png")
        write_labels(tmp_path / "masks" / f"image{seed}.tif", labels)
    write_recipe(tmp_path)
    return tmp_path


def write_recipe(folder: Path, **changes: Any) -> Path:
    values = {
        "name": "toy",
        "training": TINY,
        "sources": {"mine": {"images": "images", "masks": "masks", "credit": "nobody's"}},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({**values, **changes}), encoding="utf-8")
    return path


def call(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["train", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_the_command_trains_stops_and_goes_on(study: Path) -> None:
    recipe, out = study / "recipe.yaml", study / "out"
    said = call(recipe, "--out", out, "--threads", 1, "--minutes", 0)
    assert "1 of 4 steps" in said
    assert "--resume" in said
    said = call(recipe, "--out", out, "--threads", 1, "--resume")
    assert "4 of 4 steps" in said
    call(recipe, "--out", study / "whole", "--threads", 1)
    (one, about), (other, _) = (
        load_weights(study / name / "weights.pt") for name in ("out", "whole")
    )
    assert (about["name"], about["data"]) == ("toy", {"mine": "nobody's"})
    for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        assert a.equal(b)


def test_an_earlier_training_is_not_overwritten_by_mistake(study: Path) -> None:
    call(study / "recipe.yaml", "--out", study / "out", "--threads", 1)
    with pytest.raises(OutputError, match="--resume"):
        call(study / "recipe.yaml", "--out", study / "out")
    call(study / "recipe.yaml", "--out", study / "out", "--threads", 1, "--overwrite")


def test_fine_tuning_begins_with_given_weights(study: Path) -> None:
    call(study / "recipe.yaml", "--out", study / "out", "--threads", 1)
    slow = {**TINY, "steps": 1, "learning_rate": 1e-12, "warmup_steps": 0, "weight_decay": 0}
    recipe = write_recipe(study, training=slow)
    call(recipe, "--out", study / "fine", "--start", study / "out" / "weights.pt", "--threads", 1)
    (one, _), (other, _) = (load_weights(study / n / "weights.pt") for n in ("out", "fine"))
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert a.allclose(b, atol=1e-6)


def test_fine_tuning_keeps_the_scale_the_credit_and_the_origin_of_its_start(study: Path) -> None:
    wide = {**TINY, "network": {"width": [4, 8], "diameter_px": 22}}
    call(write_recipe(study, training=wide), "--out", study / "out", "--threads", 1)
    first = study / "out" / "weights.pt"
    short = {k: v for k, v in TINY.items() if k != "network"}
    said = {"mine": {"images": "images", "masks": "masks", "credit": "ours"}}
    tuned = write_recipe(study, training=short, name="tuned", sources=said)
    options = ["--out", study / "tuned", "--threads", 1]
    assert "warning" not in call(tuned, *options, "--start", first, "--minutes", 0)
    assert "4 of 4" in call(tuned, *options, "--resume")
    network, about = load_weights(study / "tuned" / "weights.pt")
    assert (network.architecture.width, about["diameter_px"]) == ((4, 8), 22)
    digest = sha256(first.read_bytes()).hexdigest()
    assert (about["start"]["name"], about["start"]["sha256"]) == ("toy", digest)
    assert about["data"] == {"toy/mine": "nobody's", "mine": "ours"}
    model = load_onnx(study / "tuned" / "tuned.onnx", threads=1)
    assert model.about["data"] == about["data"]


def test_another_scale_than_that_of_the_start_is_told_of(study: Path) -> None:
    wide = {**TINY, "network": {"width": [4, 8], "diameter_px": 22}}
    call(write_recipe(study, training=wide), "--out", study / "out", "--threads", 1)
    narrow = {**TINY, "network": {"width": [4, 8], "diameter_px": 17}}
    start = ["--start", study / "out" / "weights.pt", "--threads", 1]
    said = call(write_recipe(study, training=narrow), "--out", study / "other", *start)
    assert "warning" in said and "22 px across" in said and "diameter_px 17" in said


def test_what_cannot_be_begun_with_is_found_before_any_image_is_read(study: Path) -> None:
    call(study / "recipe.yaml", "--out", study / "out", "--threads", 1)
    options = ["--data", study / "elsewhere", "--out", study / "new"]
    with pytest.raises(ModelError, match="no such file"):
        call(study / "recipe.yaml", *options, "--start", study / "none.pt")
    with pytest.raises(ModelError, match="no training to go on with"):
        call(study / "recipe.yaml", *options, "--resume")
    other = write_recipe(study, training={**TINY, "network": {"width": [4, 17]}})
    with pytest.raises(ModelError, match="the recipe asks for"):
        call(other, *options, "--start", study / "out" / "weights.pt")
    with pytest.raises(ModelError, match="other settings"):
        call(other, *options[:2], "--out", study / "out", "--resume")
    assert not (study / "new").exists()


@pytest.mark.parametrize(
    ("device", "said"),
    [("tpu", "expected cpu"), ("mps", "no Apple GPU"), ("cuda:63", "CUDA device")],
)
def test_a_device_that_is_not_there_is_refused(study: Path, device: str, said: str) -> None:
    import torch

    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("this computer has one")
    with pytest.raises(SettingsError, match=said):
        call(study / "recipe.yaml", "--out", study / "out", "--device", device)


def test_flat_images_and_empty_masks_are_named(study: Path) -> None:
    kept = [k for k in range(20) if not held_out(f"image{k}")]
    flat = Image.fromarray(np.full((80, 90), 7, np.uint8))
    flat.save(study / "images" / f"image{kept[0]}.png")
    write_labels(study / "masks" / f"image{kept[1]}.tif", np.zeros((80, 90), np.uint32))
    said = call(study / "recipe.yaml", "--out", study / "out", "--threads", 1)
    assert f"1 of {len(kept)} images left out, as flat: image{kept[0]}.png" in said
    assert f"1 of {len(kept)} masks without a nucleus: image{kept[1]}.png" in said
    for k in range(20):
        flat.save(study / "images" / f"image{k}.png")
    with pytest.raises(
        SettingsError, match=r"no annotated images to train on; source 'mine'.*flat"
    ):
        call(study / "recipe.yaml", "--out", study / "none")


def test_one_image_in_five_is_held_out(study: Path) -> None:
    names = [f"image{seed}" for seed in range(20)]
    kept = [name for name in names if not held_out(name)]
    assert 10 < len(kept) < 20
    examples = load_examples(read_recipe(study / "recipe.yaml"), study)
    assert len(examples) == len(kept)
    whole = {"images": "images", "masks": "masks", "hold_out": False}
    assert len(load_examples(read_recipe(write_recipe(study, sources={"a": whole})), study)) == 20


def test_the_split_is_by_the_hash_of_the_name() -> None:
    # The published digest of "abc" (FIPS 180-4). A number's remainder by 5 is that of the sum of
    # its hexadecimal digits, because 16 leaves 1.
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert held_out("abc") == (sum(int(digit, 16) for digit in digest) % 5 == 0)
    assert 0.17 < np.mean([held_out(f"id{k}") for k in range(2000)]) < 0.23


def test_simulated_fields_and_layouts_are_examples(tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    layout = np.kron(np.arange(1, 26).reshape(5, 5), np.ones((30, 30))).astype(np.uint32)
    for k in range(3):
        write_labels(tmp_path / "cells" / f"cells{k}.tif", layout)
    sources = {
        "fields": {"kind": "simulated", "fields": 2, "size_px": 128},
        "layouts": {"kind": "layouts", "labels": "cells", "fields": 1, "hold_out": False},
    }
    recipe = read_recipe(write_recipe(tmp_path, sources=sources))
    examples = load_examples(recipe, tmp_path, keep=tmp_path)
    assert [e.source for e in examples] == ["fields"] * 4 + ["layouts"] * 2
    for example in examples:
        assert example.labels.any()
        inside = example.labels > 0
        assert example.image[inside].mean() > 1.5 * example.image[~inside].mean()
    again = load_examples(recipe, tmp_path, keep=tmp_path)
    (kept,) = tmp_path.glob("fields-*.npz")
    kept.write_bytes(b"damaged")
    anew = load_examples(recipe, tmp_path, keep=tmp_path)
    for one, two, three in zip(examples, again, anew, strict=True):
        np.testing.assert_array_equal(one.image, two.image)
        np.testing.assert_array_equal(one.image, three.image)
        np.testing.assert_array_equal(one.labels, two.labels)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sources": {}}, "sources"),
        ({"sources": {"a": {"kind": "guess"}}}, "kind"),
        ({"name": "a b"}, "name"),
        ({"training": {**TINY, "steps": 0}}, "steps"),
        ({"trianing": {}}, "trianing"),
    ],
)
def test_a_wrong_recipe_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    path = write_recipe(tmp_path, **changes)
    with pytest.raises(SettingsError, match=said):
        read_recipe(path)


def test_images_that_cannot_be_trained_on_are_named(study: Path) -> None:
    recipe = read_recipe(study / "recipe.yaml")
    with pytest.raises(SettingsError, match="--data"):
        load_examples(recipe, study / "elsewhere")
    kept = next(k for k in range(20) if not held_out(f"image{k}"))
    image, mask = study / "images" / f"image{kept}.png", study / "masks" / f"image{kept}.tif"
    write_labels(mask, np.ones((5, 5), np.uint32))
    with pytest.raises(LabelsError, match=mask.name):
        load_examples(recipe, study)
    mask.unlink()
    with pytest.raises(SettingsError, match=f"{image.name} has no partner"):
        load_examples(recipe, study)
    write_labels(mask, picture(kept)[1])
    image.write_bytes(image.read_bytes()[:100])
    with pytest.raises(ImganalysisError, match=image.name):
        load_examples(recipe, study)


@pytest.mark.realdata
def test_the_split_of_the_annotated_nuclei(testdata: Path) -> None:
    folder = testdata / "nuclei-2d-dsb2018"
    names = [image_id(path) for path in (folder / "images").iterdir()]
    assert len(names) == 427
    assert sum(map(held_out, names)) == 97


def test_the_recipe_of_the_package_is_valid(repository: Path) -> None:
    recipe = read_recipe(repository / "recipes" / "nuclei.yaml")
    assert recipe.training.network.width == (16, 32, 64, 128)
    assert all(source.credit for source in recipe.sources.values())


def test_the_network_that_it_writes_finds_nuclei_by_the_same_command_line(study: Path) -> None:
    """What `train` gives is what ``--model`` takes."""
    recipe, out = study / "recipe.yaml", study / "out"
    said = call(recipe, "--out", out, "--threads", 1)
    network = out / "toy.onnx"
    assert str(network) in said
    folders = [study / "images", study / "masks"]
    options = ["--method", "network", "--model", network, "--limit", "2", "--json", out / "s.json"]
    result = CliRunner().invoke(app, ["evaluate", *map(str, [*folders, *options])])
    assert result.exit_code == 0, result.output
    model = json.loads((out / "s.json").read_text())["model"]
    assert model == {"name": "toy", "sha256": sha256(network.read_bytes()).hexdigest()}

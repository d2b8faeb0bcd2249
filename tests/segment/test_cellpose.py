"""Nuclei by Cellpose 3, with small networks that the tests make themselves."""

from __future__ import annotations

import functools
import hashlib
import http.server
import pickle
import shutil
import threading
import zipfile
from importlib import metadata, util
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from imganalysis.errors import MissingLibraryError, ModelError, SettingsError
from imganalysis.methods import CellposeMethod
from imganalysis.segment import _cellpose_files as files
from imganalysis.segment import find_nuclei, model_facts
from imganalysis.segment._cellpose import cellpose_model, segment_with_cellpose
from imganalysis.segment._cellpose_network import import_cellpose, load_network
from imganalysis.segment.examples import make_example
from imganalysis.segment.labels import relabel
from imganalysis.segment.network import Architecture, Network, load_weights, save_weights
from imganalysis.segment.scores import count, overlap
from imganalysis.segment.training import train
from imganalysis.segment.training_settings import TrainingSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

DIAMETER_UM = 8.0
DIAMETER_PX = 17.0  # of the network
PIXEL = (DIAMETER_UM / DIAMETER_PX,) * 2  # um: at which an image has the network's scale
FIRST = "downsample.down.res_down_0."

needs_cellpose3 = pytest.mark.usefixtures("cellpose3")


def discs(seed: int, size: int, diameter: float) -> tuple[NDArray[Any], NDArray[np.int32]]:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    labels = np.zeros((size, size), np.int32)
    image = np.full((size, size), 10.0)
    for k in range(1, round(0.25 * (size / diameter) ** 2) + 1):
        cy, cx = rng.uniform(0.6 * diameter, size - 0.6 * diameter, 2)
        inside = np.hypot(y - cy, x - cx) < diameter / 2
        if not labels[inside].any():
            labels[inside] = k
            image[inside] = rng.uniform(80, 160)
    return rng.poisson(image).astype(np.uint16), labels


def balls(seed: int, step: int) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Stack of balls of the network's diameter, every ``step``-th plane of it."""
    rng = np.random.default_rng(seed)
    z, y, x = np.mgrid[:36, :70, :80]
    labels = np.zeros(z.shape, np.int32)
    image = np.full(z.shape, 10.0)
    for k in range(1, 40):
        cz, cy, cx = rng.uniform((9, 10, 10), (27, 60, 70))
        inside = (z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 < (DIAMETER_PX / 2) ** 2
        if not labels[inside].any():
            labels[inside] = k
            image[inside] = rng.uniform(80, 160)
    return rng.poisson(image).astype(np.uint16)[::step], labels[::step]


def f1(truth: NDArray[Any], found: NDArray[Any]) -> float:
    """At IoU 0.5."""
    value = count(overlap(truth, found)).f1()[0]
    assert value is not None
    return value


def pixel_of(diameter: float) -> tuple[float, float]:
    return (DIAMETER_UM / diameter, DIAMETER_UM / diameter)


def as_cellpose(state: dict[str, torch.Tensor], diameter: float) -> dict[str, torch.Tensor]:
    """Weights for one channel as Cellpose 3 has them: for two, of which the second is not seen."""
    found = {}
    for name, value in state.items():
        found[name] = value.clone()
        norm = name.startswith((FIRST + "proj.0.", FIRST + "conv.conv_0.0."))
        if norm and value.ndim == 1:
            rest = torch.ones(1) if name.endswith(("weight", "running_var")) else torch.zeros(1)
            found[name] = torch.cat([value, rest])
        elif name in (FIRST + "proj.1.weight", FIRST + "conv.conv_0.2.weight"):
            found[name] = torch.cat([value, torch.zeros_like(value)], 1)
    size = torch.tensor([diameter])
    return {**found, "diam_mean": size, "diam_labels": size.clone()}


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    """Some tests use Cellpose itself, whose import warns."""
    if util.find_spec("cellpose") is not None:
        import_cellpose(metadata.version("cellpose"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights in a file of Cellpose 3, far narrower than its own, that know discs."""
    folder = tmp_path_factory.mktemp("trained")
    calm = {"blur": 0, "haze": 0, "gradient": 0, "noise": 0, "nuclei": 0, "scale": (0.9, 1.1)}
    settings = TrainingSettings.model_validate(
        {
            "network": {"width": (8, 16, 32), "channels": 1},
            "augmentation": calm,
            "steps": 160,
            "batch": 4,
            "crop_px": (64,),
            "learning_rate": 5e-3,
            "warmup_steps": 10,
            "average": 0.9,
        }
    )
    examples = [make_example(*discs(seed, 128, DIAMETER_PX), DIAMETER_PX) for seed in range(4)]
    train([e for e in examples if e], settings, folder, threads=1, about={"name": "discs"})
    network, _ = load_weights(folder / "weights.pt")
    torch.save(as_cellpose(network.state_dict(), DIAMETER_PX), folder / "discs")
    return folder / "discs"


@pytest.fixture
def settings(trained: Path) -> CellposeMethod:
    return CellposeMethod(model=str(trained), nucleus_diameter_um=DIAMETER_UM)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of Cellpose's own weights, empty."""
    monkeypatch.setenv("CELLPOSE_LOCAL_MODELS_PATH", str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def small_state(width: tuple[int, ...] = (4, 6), channels: int = 1) -> dict[str, torch.Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return Network(Architecture(channels=channels, width=width)).state_dict()


# Where Cellpose is missing.


def absent(_: str) -> str:
    raise metadata.PackageNotFoundError("cellpose")


@pytest.mark.parametrize("version", [None, "2.2.3", "3.0.11", "5.0.0"])
def test_a_missing_or_foreign_cellpose_is_an_error_with_the_install_line(
    version: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "version", (lambda _: version) if version else absent)
    settings = CellposeMethod()
    for call in (
        lambda: find_nuclei(np.zeros((20, 20)), PIXEL, settings),
        lambda: model_facts(settings),
    ):
        with pytest.raises(MissingLibraryError) as caught:
            call()
        text = str(caught.value)
        assert "pip install 'imganalysis[cellpose]'" in text
        assert "pip install 'imganalysis[cellpose4]'" in text
        assert "scikit-image" in text
        assert version is None or version in text


@pytest.mark.parametrize(("text", "major"), [("3.1.1", 3), ("3.1.1.3", 3), ("4.2.1.1", 4)])
def test_the_version_is_read_from_the_package(
    text: str, major: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "version", lambda _: text)
    assert files.installed_version() == files.Version(text, major)


# Nuclei.


@needs_cellpose3
@pytest.mark.parametrize("diameter", [10, 17, 40])
def test_discs_of_any_size_are_found(settings: CellposeMethod, diameter: float) -> None:
    image, truth = discs(50, 300, diameter)
    before = image.copy()
    found = find_nuclei(image, pixel_of(diameter), settings)
    assert found.dtype == np.uint32
    assert found.shape == image.shape
    assert f1(truth, found) > 0.9
    np.testing.assert_array_equal(found, relabel(found))
    np.testing.assert_array_equal(image, before)


@needs_cellpose3
def test_the_same_as_cellpose_itself_at_the_scale_of_the_network(settings: CellposeMethod) -> None:
    from cellpose import models

    image, _ = discs(51, 400, DIAMETER_PX)
    own = models.CellposeModel(device=torch.device("cpu"), mkldnn=False, diam_mean=DIAMETER_PX)
    own.net = load_network(settings).module
    with torch.sparse.check_sparse_tensor_invariants(enable=False):
        masks = own.eval(image, channels=[0, 0], diameter=DIAMETER_PX, min_size=-1)[0]
    nearly_all = settings.model_copy(update={"smallest_nucleus_um": 0.1})
    found = segment_with_cellpose(image, PIXEL, nearly_all)
    assert found.max() > 50
    np.testing.assert_array_equal(found, relabel(masks))


@needs_cellpose3
def test_a_network_of_cellposes_own_width_is_built_as_cellpose_builds_it(tmp_path: Path) -> None:
    from cellpose import core, models
    from cellpose.resnet_torch import CPnet

    path = tmp_path / "wide"
    with torch.random.fork_rng():
        torch.manual_seed(2)
        CPnet([2, 32, 64, 128, 256], 3, sz=3, diam_mean=21.0).save_model(path)
    own = models.CellposeModel(device=torch.device("cpu"), pretrained_model=str(path), mkldnn=False)
    ours = load_network(CellposeMethod(model=str(path)))
    assert ours.diameter_px == own.diam_mean == 21
    image = np.random.default_rng(1).random((1, 64, 80, 2), np.float32)
    expected, _ = core.run_net(own.net, image)
    assert np.abs(expected).max() > 0.01
    np.testing.assert_array_equal(core.run_net(ours.module, image)[0], expected)


@needs_cellpose3
def test_what_others_do_to_cellposes_defaults_changes_nothing(
    settings: CellposeMethod, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cellpose import models

    image, _ = discs(52, 150, DIAMETER_PX)
    before = segment_with_cellpose(image, PIXEL, settings)
    assert before.any()
    changed = {**models.normalize_default, "invert": True, "lowhigh": (0, 1), "normalize": False}
    monkeypatch.setattr(models, "normalize_default", changed)
    np.testing.assert_array_equal(segment_with_cellpose(image, PIXEL, settings), before)


@needs_cellpose3
def test_threads_do_not_change_the_labels_nor_does_a_call_change_the_threads(
    settings: CellposeMethod,
) -> None:
    image, _ = discs(53, 300, DIAMETER_PX)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(segment_with_cellpose(image, PIXEL, settings, threads))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert found[0].any()
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


@needs_cellpose3
def test_the_scale_of_values_does_not_matter(settings: CellposeMethod) -> None:
    image, _ = discs(54, 150, DIAMETER_PX)
    one = segment_with_cellpose(image, PIXEL, settings)
    assert one.max() > 5
    for other in (image * 16, image.astype(np.float32) * 2.0**-16):
        np.testing.assert_array_equal(segment_with_cellpose(other, PIXEL, settings), one)


@needs_cellpose3
def test_percentiles_and_thresholds_are_used(settings: CellposeMethod) -> None:
    image, _ = discs(55, 150, DIAMETER_PX)
    area = [
        np.count_nonzero(segment_with_cellpose(image, PIXEL, settings.model_copy(update=change)))
        for change in (
            {},
            {"cellprob_threshold": 4.0},
            {"cellprob_threshold": -4.0},
            {"percentile": (1.0, 60.0)},
        )
    ]
    assert area[1] < area[0] < area[2]
    assert area[3] != area[0]
    strict = settings.model_copy(update={"flow_threshold": 1e-6})
    assert not segment_with_cellpose(image, PIXEL, strict).any()


@needs_cellpose3
def test_few_nuclei_in_a_dark_field_are_found(settings: CellposeMethod) -> None:
    image = np.zeros((300, 300), np.uint16)
    y, x = np.mgrid[:300, :300]
    image[np.hypot(y - 150, x - 140) < DIAMETER_PX / 2] = 1000  # 0.25 % of the field
    assert segment_with_cellpose(image, PIXEL, settings).max() == 1


@needs_cellpose3
@pytest.mark.parametrize("shape", [(64, 70), (5, 64, 70)])
@pytest.mark.parametrize("value", [0, 255, 7.5, np.nan, np.inf])
def test_an_image_without_contrast_has_no_nuclei(
    settings: CellposeMethod, shape: tuple[int, ...], value: float
) -> None:
    found = segment_with_cellpose(np.full(shape, value), PIXEL[:1] * len(shape), settings)
    assert found.shape == shape
    assert found.dtype == np.uint32
    assert not found.any()


@needs_cellpose3
def test_pixels_that_are_no_numbers_do_no_harm(settings: CellposeMethod) -> None:
    image, truth = discs(56, 150, DIAMETER_PX)
    holed = image.astype(np.float32)
    holed[::17, ::13] = np.nan
    holed[::19, ::11] = np.inf
    assert f1(truth, segment_with_cellpose(holed, PIXEL, settings)) > 0.8


@needs_cellpose3
@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (3, 40), (2, 50, 3), (1, 30, 30), (3, 1, 60)])
@pytest.mark.parametrize("stitch", [0.0, 0.25])
def test_tiny_images_do_not_crash(
    settings: CellposeMethod, shape: tuple[int, ...], stitch: float
) -> None:
    image = np.random.default_rng(3).random(shape)
    settings = settings.model_copy(update={"stitch_threshold": stitch})
    assert segment_with_cellpose(image, (0.4,) * len(shape), settings).shape == shape


@needs_cellpose3
@pytest.mark.parametrize("pixel", [1e-4, 1e3])
def test_absurd_diameters_are_refused(settings: CellposeMethod, pixel: float) -> None:
    with pytest.raises(SettingsError, match="nucleus diameter"):
        segment_with_cellpose(np.zeros((20, 20)), (pixel, pixel), settings)


@needs_cellpose3
@pytest.mark.parametrize("spacing", [(0.2, 0.4), (0.0, 0.0)])
def test_pixels_that_are_not_square_are_refused(
    settings: CellposeMethod, spacing: tuple[float, float]
) -> None:
    with pytest.raises(SettingsError, match="um"):
        segment_with_cellpose(np.zeros((20, 20)), spacing, settings)


# Stacks.


@needs_cellpose3
@pytest.mark.parametrize("step", [1, 3])
def test_balls_are_found_whole_whatever_the_distance_of_planes(
    settings: CellposeMethod, step: int
) -> None:
    image, truth = balls(1, step)
    found = segment_with_cellpose(image, (PIXEL[0] * step, *PIXEL), settings)
    assert found.shape == image.shape
    assert len(np.unique(truth)) > 7
    assert f1(truth, found) == 1
    np.testing.assert_array_equal(found, relabel(found))


@needs_cellpose3
def test_stacks_at_another_scale(settings: CellposeMethod) -> None:
    image, truth = balls(2, 1)
    large = (image.repeat(2, 1).repeat(2, 2), truth.repeat(2, 1).repeat(2, 2))
    spacing = (PIXEL[0], PIXEL[0] / 2, PIXEL[1] / 2)
    assert f1(large[1], segment_with_cellpose(large[0], spacing, settings)) > 0.95


@needs_cellpose3
def test_planes_are_stitched(settings: CellposeMethod) -> None:
    image, truth = balls(1, 1)
    spacing = (PIXEL[0], *PIXEL)
    stitching = settings.model_copy(update={"stitch_threshold": 0.25})
    found = segment_with_cellpose(image, spacing, stitching)
    assert f1(truth, found) > 0.9
    plane = segment_with_cellpose(image[18:19], spacing, stitching)
    assert plane.shape == (1, *image.shape[1:])
    np.testing.assert_array_equal(plane[0], segment_with_cellpose(image[18], PIXEL, settings))


# What Cellpose makes of flows.


def flows_of(labels: NDArray[Any], bad: tuple[int, ...] = ()) -> NDArray[np.float32]:
    """What a network answers that knows the labels: (1, Y, X, 3)."""
    from imganalysis.segment.flows import FLOW_SCALE, labels_to_flows

    flows = labels_to_flows(labels) * FLOW_SCALE
    flows[:, np.isin(labels, bad)] *= 0.2  # right direction, wrong length
    return np.stack([*flows, np.where(labels > 0, 5.0, -5.0)], axis=-1)[None].astype(np.float32)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[NDArray[np.float32]], None]:
    """Let the network give an answer of the test's."""

    def put(out: NDArray[np.float32]) -> None:
        from cellpose import core

        monkeypatch.setattr(core, "run_net", lambda *_, **__: (out, None))

    return put


@needs_cellpose3
def test_more_than_65535_nuclei_are_all_there(
    settings: CellposeMethod, answers: Callable[[NDArray[np.float32]], None]
) -> None:
    side = 258
    one = np.zeros((6, 6), np.int32)
    one[:5, :5] = 1
    labels = np.tile(one, (side, side)) * np.kron(
        np.arange(1, side**2 + 1).reshape(side, side), np.ones((6, 6), np.int32)
    )
    answers(flows_of(labels.astype(np.int32)))
    image = labels.astype(np.float32)
    smaller = settings.model_copy(update={"smallest_nucleus_um": 0.5})
    found = segment_with_cellpose(image, PIXEL, smaller)
    assert found.max() == side**2 > 65535
    np.testing.assert_array_equal(found, relabel(labels))


@needs_cellpose3
def test_small_objects_go_and_no_others(
    settings: CellposeMethod, answers: Callable[[NDArray[np.float32]], None]
) -> None:
    labels = np.zeros((100, 100), np.int32)
    for k in range(4):
        for j in range(4):
            size = 4 if (k, j) == (2, 2) else 15 + k
            labels[25 * k : 25 * k + size, 25 * j : 25 * j + size] = 4 * k + j + 1
    answers(flows_of(labels, bad=(1, 6)))
    image = labels.astype(np.float32)
    for smallest, gone in ((2.0, (1, 6)), (2.5, (1, 6, 11))):  # 4 x 4 px are 2.1 um across
        settings = settings.model_copy(update={"smallest_nucleus_um": smallest})
        found = segment_with_cellpose(image, PIXEL, settings)
        expected = np.where(np.isin(labels, gone), 0, labels)
        np.testing.assert_array_equal(found, relabel(expected))


# Which file.


@needs_cellpose3
def test_a_name_is_a_file_in_cellposes_folder(folder: Path, trained: Path) -> None:
    with pytest.raises(ModelError) as caught:
        cellpose_model(CellposeMethod())
    text = str(caught.value)
    path = folder / "nucleitorch_0"
    assert str(path) in text
    assert "--download" in text
    assert "https://www.cellpose.org/models/nucleitorch_0" in text
    assert "non-commercial" in text
    shutil.copy(trained, path)
    facts = cellpose_model(CellposeMethod())
    assert facts.sha256 == hashlib.sha256(trained.read_bytes()).hexdigest()
    assert facts.name == f"nuclei (cellpose {metadata.version('cellpose')})"
    assert load_network(CellposeMethod()).diameter_px == 17
    shutil.copy(trained, folder / "cyto3")
    assert model_facts(CellposeMethod(model="cyto3")).sha256 == facts.sha256


@needs_cellpose3
def test_the_diameter_is_that_of_the_network(folder: Path, trained: Path, tmp_path: Path) -> None:
    own = {**torch.load(trained, weights_only=True), "diam_mean": torch.tensor([21.0])}
    for path in (folder / "nucleitorch_0", folder / "cyto3", tmp_path / "nuclei"):
        torch.save(own, path)
    found = [
        load_network(CellposeMethod(model=model)).diameter_px
        for model in ("nuclei", "cyto3", str(tmp_path / "nuclei"))
    ]
    assert found == [17, 30, 21]


@needs_cellpose3
@pytest.mark.parametrize("name", ["nucleus", "cpsam", "transformer_cp3", "Nuclei"])
def test_an_unknown_name_is_no_other_model(name: str, folder: Path, trained: Path) -> None:
    for known in ("nucleitorch_0", "cyto3", name):
        shutil.copy(trained, folder / known)
    with pytest.raises(SettingsError) as caught:
        cellpose_model(CellposeMethod(model=name))
    assert name in str(caught.value)
    assert "nuclei, " in str(caught.value)
    assert metadata.version("cellpose") in str(caught.value)


@needs_cellpose3
@pytest.mark.parametrize("name", ["sub/nuclei", "model.pth"])
def test_a_file_that_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    for model in (name, str(tmp_path / name)):
        with pytest.raises(ModelError, match="no such file") as caught:
            cellpose_model(CellposeMethod(model=model))
        assert model in str(caught.value)


@needs_cellpose3
def test_a_process_loads_a_file_once_and_a_new_one_anew(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "copy"
    shutil.copy(trained, path)
    settings = CellposeMethod(model=str(path))
    first = load_network(settings)
    assert load_network(settings) is first
    changed = torch.load(path, weights_only=True)
    changed["diam_mean"] = torch.tensor([34.0])
    torch.save(changed, path)
    assert load_network(settings).diameter_px == 34
    assert load_network(settings).sha256 != first.sha256


class Harmful:
    """Pickled, it would leave a file behind when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, (f"open({str(self.path)!r}, 'w').close()",))


def bad_content(kind: str, tmp_path: Path) -> Any:
    state = small_state()
    first = FIRST + "conv.conv_0.2.weight"
    if kind == "pickle":
        return {**state, "extra": Harmful(tmp_path / "ran")}
    if kind == "list":
        return list(state.values())
    if kind == "values":
        return {**state, "epoch": 3}
    if kind == "other network":
        return {"fc.weight": torch.zeros(3, 3)}
    if kind == "cellpose 4":
        return {**state, "W2": torch.zeros(1)}
    if kind == "three channels":
        return {name: v.repeat(1, 3, 1, 1) if name == first else v for name, v in state.items()}
    if kind == "a weight is missing":
        return {name: v for name, v in state.items() if name != "output.2.bias"}
    if kind == "wrong size":
        return {**state, "output.2.weight": torch.zeros(2, 4, 1, 1)}
    if kind == "nan":
        return {**state, first: torch.full_like(state[first], torch.nan)}
    assert kind == "diameter"
    return {**state, "diam_mean": torch.tensor([0.0])}


@needs_cellpose3
@pytest.mark.filterwarnings("error::UserWarning:torch")
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("empty", "damaged"),
        ("text", "not a file of torch"),
        ("cut", "damaged"),
        ("changed", "does not fit its checksum"),
        ("archive", "an archive that torch did not write"),
        ("program", "refused: it holds a program"),
        ("plain pickle", "refused: expected weights of Cellpose, found a pickle"),
        ("pickle", "refused: it holds more than tensors and plain values. Loading"),
        ("old pickle", "refused: it holds more than tensors and plain values, or is damaged."),
        ("list", "found others"),
        ("values", "found others"),
        ("other network", "architecture of Cellpose 3"),
        ("cellpose 4", "of Cellpose 4"),
        ("three channels", "3 channels"),
        ("a weight is missing", "output.2.bias"),
        ("wrong size", "output.2.weight"),
        ("nan", "not all finite"),
        ("diameter", "0 px wide"),
    ],
)
def test_bad_files_are_refused_by_name(kind: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "bad"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("no network")
    elif kind == "plain pickle":
        path.write_bytes(pickle.dumps(Harmful(tmp_path / "ran")))
    elif kind == "changed":
        torch.save(small_state(), path)
        content = bytearray(path.read_bytes())
        content[content.index(small_state()["output.2.bias"].numpy().tobytes())] ^= 1
        path.write_bytes(content)
    elif kind == "archive":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("weights/a", "b")
    elif kind == "program":
        torch.jit.save(torch.jit.script(torch.nn.ReLU()), str(path))  # type: ignore[no-untyped-call]
    elif kind == "old pickle":
        content = bad_content("pickle", tmp_path)
        torch.save(content, path, _use_new_zipfile_serialization=False)
    elif kind == "cut":
        torch.save(small_state(), path)
        path.write_bytes(path.read_bytes()[:3000])
    else:
        torch.save(bad_content(kind, tmp_path), path)
    for call in (cellpose_model, lambda s: segment_with_cellpose(np.eye(30), PIXEL, s)):
        with pytest.raises(ModelError) as caught:
            call(CellposeMethod(model=str(path)))
        assert str(path) in str(caught.value)
        assert said in str(caught.value)
        assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


@needs_cellpose3
def test_files_from_before_torch_wrote_archives_are_read(tmp_path: Path) -> None:
    torch.save(small_state(), tmp_path / "old", _use_new_zipfile_serialization=False)
    assert load_network(CellposeMethod(model=str(tmp_path / "old"))).channels == 1


@needs_cellpose3
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("stack", [False, True])
def test_weights_that_give_no_numbers_are_refused(tmp_path: Path, stack: bool) -> None:
    path = tmp_path / "large"
    state = small_state()
    torch.save({name: v * 1e30 if v.ndim == 4 else v for name, v in state.items()}, path)
    image = np.stack([np.eye(30)] * 3) if stack else np.eye(30)
    with pytest.raises(ModelError, match=f"{path}: what the network says is not all finite"):
        segment_with_cellpose(image, PIXEL[:1] * image.ndim, CellposeMethod(model=str(path)))


@needs_cellpose3
def test_networks_of_this_package_are_sent_to_their_own_method(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    save_weights(Network(Architecture(width=(4, 6))), path, {"name": "ours"})
    with pytest.raises(ModelError, match=r"imganalysis train.*method network.*\.onnx") as caught:
        cellpose_model(CellposeMethod(model=str(path)))
    assert str(path) in str(caught.value)


@needs_cellpose3
def test_one_channel_and_no_diameter_in_the_file_do(tmp_path: Path) -> None:
    torch.save(small_state((4, 6, 8)), tmp_path / "one")
    network = load_network(CellposeMethod(model=str(tmp_path / "one")))
    assert (network.channels, network.diameter_px) == (1, 30)
    torch.save({f"module.{k}": v for k, v in small_state((4, 6)).items()}, tmp_path / "parallel")
    assert load_network(CellposeMethod(model=str(tmp_path / "parallel"))).channels == 1


@needs_cellpose3
@pytest.mark.parametrize("device", ["cuda:63", "mps"])
def test_a_device_that_is_not_there_is_refused(trained: Path, device: str) -> None:
    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("this computer has one")
    with pytest.raises(SettingsError, match=device):
        cellpose_model(CellposeMethod(model=str(trained), device=device))


# Downloads, from a server of the test's.


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass

    def copyfile(self, source: Any, outputfile: Any) -> None:
        content = source.read()
        half = "half" in self.path
        outputfile.write(content[: len(content) // 2] if half else content)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Folder that is served in place of the official weights."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    root = tmp_path / "served"
    root.mkdir()
    handler = functools.partial(Quiet, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as service:
        thread = threading.Thread(target=service.serve_forever)
        thread.start()
        monkeypatch.setitem(files._URL, 3, f"http://127.0.0.1:{service.server_port}/")
        yield root
        service.shutdown()
        thread.join()


@needs_cellpose3
def test_weights_are_downloaded_when_asked_for(
    server: Path, folder: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    large = {**torch.load(trained, weights_only=True), "rest": torch.zeros(700_000)}
    torch.save(large, server / "nucleitorch_0")
    with pytest.raises(ModelError, match="--download"):
        cellpose_model(CellposeMethod())
    assert not list(folder.iterdir())
    settings = CellposeMethod(download=True)
    facts = cellpose_model(settings)
    said = capsys.readouterr().err
    assert "3 MB" in said
    assert "non-commercial" in said
    assert str(folder / "nucleitorch_0") in said
    served = server / "nucleitorch_0"
    assert facts.sha256 == hashlib.sha256(served.read_bytes()).hexdigest()
    assert [path.name for path in folder.iterdir()] == ["nucleitorch_0"]
    served.unlink()
    assert cellpose_model(settings) == facts
    assert not capsys.readouterr().err


@needs_cellpose3
def test_what_is_said_can_be_shown_elsewhere(server: Path, folder: Path, trained: Path) -> None:
    shutil.copy(trained, server / "cyto3")
    said: list[str] = []
    cellpose_model(CellposeMethod(model="cyto3", download=True), said.append)
    assert len(said) == 1


@needs_cellpose3
@pytest.mark.parametrize(
    ("name", "said"),
    [("cyto3", "file of torch"), ("half", "broke off"), ("missing", "404"), ("offline", "method")],
)
def test_a_failed_download_leaves_nothing(
    name: str,
    said: str,
    server: Path,
    folder: Path,
    trained: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from cellpose import models

    monkeypatch.setattr(models, "MODEL_NAMES", [*models.MODEL_NAMES, "half", "missing", "offline"])
    (server / "cyto3").write_text("<HTML>please log in</HTML>")
    shutil.copy(trained, server / "half")
    if name == "offline":
        monkeypatch.setitem(files._URL, 3, "http://127.0.0.1:9/")
    with pytest.raises(ModelError, match=said) as caught:
        cellpose_model(CellposeMethod(model=name, download=True), lambda _: None)
    assert "127.0.0.1" in str(caught.value)
    assert not list(folder.iterdir())

"""Methods by name, those of other packages among them."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest

from imganalysis import methods
from imganalysis.errors import LabelsError, SettingsError
from imganalysis.methods import GivenLabels, Method, NetworkMethod, ScikitImageMethod
from imganalysis.segment import ModelFacts, Segmenter, find_nuclei, model_facts, registry
from imganalysis.segment._skimage import segment_nuclei
from imganalysis.settings import Settings, parse_settings

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = np.zeros((40, 50), np.uint16)
IMAGE[10:20, 10:20] = 900


class ThresholdMethod(Method):
    method: Literal["threshold"] = "threshold"
    level: float = 100.0


def threshold(
    image: np.ndarray, spacing: tuple[float, ...], settings: Any, threads: int
) -> np.ndarray:
    return (image > settings.level) * np.int64(7)


GOOD = Segmenter(ThresholdMethod, threshold, lambda settings: ModelFacts("seven", "ab" * 32))
NO_LABELS = Segmenter(ThresholdMethod, lambda image, *_: image + 0.5)
OTHER_SHAPE = Segmenter(ThresholdMethod, lambda image, *_: np.zeros((3, 3), int))
NO_SEGMENTER = ThresholdMethod  # has no settings
NO_FIND = type("Odd", (), {"settings": ThresholdMethod})()


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let a package add the method ``threshold``, as an object of this file."""

    def add(value: str, name: str = "threshold") -> None:
        entry = metadata.EntryPoint(name, value, methods.ENTRY_POINTS)

        def entries(*, group: str) -> list[metadata.EntryPoint]:
            assert group == "imganalysis.segmenters"
            return [entry]

        monkeypatch.setattr(metadata, "entry_points", entries)
        monkeypatch.setattr(
            metadata.EntryPoint,
            "load",
            lambda self: globals()[self.attr] if self.attr in globals() else _fail(self.attr),
        )

    return add


def _fail(name: str) -> None:
    raise ImportError(f"no {name}")


def test_a_built_in_method_is_called_by_its_settings() -> None:
    settings = ScikitImageMethod()
    found = find_nuclei(IMAGE, (0.5, 0.5), settings)
    assert np.array_equal(found, segment_nuclei(IMAGE, (0.5, 0.5), settings)) and found.max() == 1
    assert model_facts(settings) is None


def test_a_method_of_another_package(added: Any) -> None:
    added("there:GOOD")
    settings = parse_settings({"segmentation": {"method": "threshold", "level": 500}})
    chosen = settings.segmentation
    assert isinstance(chosen, ThresholdMethod) and chosen.level == 500
    found = find_nuclei(IMAGE, (0.5, 0.5), chosen)
    # Whatever ids it gives, those of the result are 1, 2, ...
    assert found.dtype == np.uint32 and set(np.unique(found)) == {0, 1}
    assert model_facts(chosen) == ModelFacts("seven", "ab" * 32)
    # Its own settings are saved with the results, and read again.
    saved = settings.model_dump(mode="json")
    assert saved["segmentation"]["level"] == 500
    assert parse_settings(saved) == settings
    assert Settings(segmentation=chosen) == settings


def test_its_settings_are_checked(added: Any) -> None:
    added("there:GOOD")
    with pytest.raises(SettingsError, match=r"level.*'low'") as caught:
        parse_settings({"segmentation": {"method": "threshold", "level": "low"}})
    assert "added" not in str(caught.value)
    with pytest.raises(SettingsError, match=r"unknown method 'treshold'.*given, threshold"):
        parse_settings({"segmentation": {"method": "treshold"}})


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("NOWHERE", "cannot be loaded: ImportError: no NOWHERE"),
        ("NO_SEGMENTER", "is no segmenter"),
    ],
)
def test_a_package_that_gives_no_segmenter(added: Any, value: str, said: str) -> None:
    added(f"there:{value}")
    with pytest.raises(SettingsError, match=said):
        parse_settings({"segmentation": {"method": "threshold"}})


@pytest.mark.parametrize(
    ("value", "error", "said"),
    [
        ("NO_LABELS", LabelsError, "method 'threshold'"),
        ("OTHER_SHAPE", LabelsError, "method 'threshold'.*40, 50"),
        ("NO_FIND", SettingsError, "names Odd, expected an"),
        ("NOWHERE", SettingsError, "cannot be loaded"),
    ],
)
def test_what_a_method_gives_is_checked(
    added: Any, value: str, error: type[Exception], said: str
) -> None:
    added(f"there:{value}")
    with pytest.raises(error, match=said):
        find_nuclei(IMAGE, (0.5, 0.5), ThresholdMethod())


@pytest.mark.parametrize("into_a_file", [False, True])
def test_a_large_image_is_analysed_in_tiles(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, into_a_file: bool
) -> None:
    rng = np.random.default_rng(4)
    image = np.zeros((300, 340), np.uint16)
    for y, x in zip(rng.integers(0, 290, 60), rng.integers(0, 330, 60), strict=True):
        image[y : y + 9, x : x + 9] = 900
    settings = ScikitImageMethod(nucleus_diameter_um=4)
    whole = find_nuclei(image, (0.5, 0.5), settings)
    assert whole.max() > 20
    monkeypatch.setattr(registry, "LARGE", 100)
    monkeypatch.setattr(registry, "_TILE", 100)
    seen: list[tuple[str, int, int]] = []
    out = np.memmap(tmp_path / "labels", np.uint32, "w+", shape=image.shape)
    found = find_nuclei(
        image,
        (0.5, 0.5),
        settings,
        out=out if into_a_file else None,
        progress=lambda *told: seen.append(told),
    )
    assert seen[-1] == ("tiles", 12, 12)
    assert (found is out) == into_a_file
    # Alike but for the pixels of an object or two whose surroundings a tile does not show.
    assert found.dtype == np.uint32 and found.max() == np.unique(found).size - 1
    assert np.mean((found > 0) == (whole > 0)) > 0.999
    assert abs(int(found.max()) - int(whole.max())) <= 1


def test_an_image_needs_one_spacing_per_axis() -> None:
    with pytest.raises(ValueError, match="one spacing per axis"):
        find_nuclei(IMAGE, (0.5, 0.5, 0.5), ScikitImageMethod())


def test_a_built_in_name_cannot_be_taken(added: Any) -> None:
    added("there:GOOD", name="scikit-image")
    assert methods.added_methods() == {}
    chosen = parse_settings({"segmentation": {"method": "scikit-image"}}).segmentation
    assert type(chosen) is ScikitImageMethod


def test_given_labels_find_nothing() -> None:
    with pytest.raises(SettingsError, match="give the nuclei themselves"):
        find_nuclei(IMAGE, (0.5, 0.5), GivenLabels(path="x.tif"))  # type: ignore[arg-type]


def test_an_unknown_network_is_an_error_and_never_another_one() -> None:
    with pytest.raises(SettingsError, match="unknown network 'nuclej'"):
        find_nuclei(IMAGE, (0.5, 0.5), NetworkMethod(model="nuclej"))

"""The form of a run's settings: made from the models, without a window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

pytest.importorskip("napari_imganalysis._form", reason="the plugin's folder is not on the path")

from napari_imganalysis._form import Form, group_help, items_of, matches, method_names

from imganalysis.errors import OutputError, SettingsError
from imganalysis.methods import BUILT_IN
from imganalysis.results import write_json
from imganalysis.settings import Settings, parse_settings, read_settings

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import BaseModel


def leaves(model: type[BaseModel], place: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Places of all settings, found by dumping the defaults."""

    def walk(values: object, place: tuple[str, ...]) -> set[tuple[str, ...]]:
        if isinstance(values, dict) and values:
            return set().union(*(walk(v, (*place, k)) for k, v in values.items()))
        return {place}

    return walk(model().model_dump(), place)


def test_every_setting_stands_in_the_form_once_with_what_its_model_says() -> None:
    items = items_of()
    places = [item.place for item in items]
    assert len(set(places)) == len(places)
    assert set(places) == leaves(Settings) - {("segmentation", "method")}
    guard = next(item for item in items if item.place == ("measuring", "guard_um"))
    said = type(Settings().measuring).model_fields["guard_um"]
    assert (guard.title, guard.help, guard.unit) == (
        said.title,
        said.description,
        "\N{MICRO SIGN}m",
    )
    assert float(guard.default) == said.default
    hole = next(item for item in items if item.place[-1] == "tissue_hole_um2")
    assert hole.unit == "\N{MICRO SIGN}m\N{SUPERSCRIPT TWO}"
    for item in items:
        assert item.title and group_help(item.group)
    assert set(BUILT_IN) <= set(method_names())


@pytest.mark.parametrize("method", list(BUILT_IN))
def test_the_text_of_each_default_is_read_as_the_default(method: str) -> None:
    form = Form()
    form.choose(method)
    if method == "given":
        form.set(("segmentation", "path"), "labels")
    base = form.settings()
    for item in form.items:
        if item.default:
            form._texts[item.place] = item.default
    assert form.settings() == base


def test_only_what_differs_is_saved_and_is_read_as_the_command_line_reads_it(
    tmp_path: Path,
) -> None:
    form = Form()
    form.save(tmp_path / "none.yaml")
    assert yaml.safe_load((tmp_path / "none.yaml").read_text()) == {}
    form.choose("cellpose")
    form.set(("segmentation", "percentile"), "2, 98")
    form.set(("segmentation", "flow_threshold"), "0.4")  # the default
    form.set(("gating", "ladder", "rungs"), "mixture")
    form.set(("gating", "sensitivity_factors"), "0.7, 1.4")
    form.set(("space", "pairs"), "[]")
    form.set(("space", "annotation_unit"), "pixel")
    form.set(("reading", "pixel_size"), "null, 0.2, 0.25")
    form.set(("counting", "nuclear_um"), "{tumour_vital: 8.5}")
    form.set(("counting", "nuclear_um_origin"), "2004")
    form.set(("output", "overlays"), "no")
    assert form.changed() == 10
    assert form.changed(("gating",)) == 2
    assert not form.mistakes()
    form.save(tmp_path / "a.yaml")
    saved = read_settings(tmp_path / "a.yaml")
    assert saved == {
        "segmentation": {"method": "cellpose", "percentile": [2, 98]},
        "reading": {"pixel_size": [None, 0.2, 0.25]},
        "counting": {"nuclear_um": {"tumour_vital": 8.5}, "nuclear_um_origin": "2004"},
        "gating": {"sensitivity_factors": [0.7, 1.4], "ladder": {"rungs": ["mixture"]}},
        "space": {"annotation_unit": "pixel", "pairs": []},
        "output": {"overlays": False},
    }
    settings = parse_settings(saved)
    assert settings == form.settings()
    # From the file, and from the record of a run with these settings.
    write_json(tmp_path / "run.json", {"settings": settings.model_dump(mode="json")})
    for name in ("a.yaml", "run.json"):
        again = Form()
        again.load(tmp_path / name)
        assert again.settings() == settings
        assert again.changed() == 10
        assert again.method == "cellpose"


def test_what_was_set_of_a_method_comes_back_with_it() -> None:
    form = Form()
    form.set(("segmentation", "sensitivity"), "0.8")
    form.choose("given")
    assert form.mistakes() == {("segmentation", "path"): "Field required"}
    assert form.text(("segmentation", "sensitivity")) == ""
    form.choose("network")
    assert form.values() == {"segmentation": {"sensitivity": 0.8}}
    with pytest.raises(SettingsError, match="unknown method 'magic'"):
        form.choose("magic")
    assert form.method == "network"


@pytest.mark.parametrize(
    ("place", "text", "said"),
    [
        (("measuring", "guard_um"), "-3", "greater than or equal to 0"),
        (("measuring", "guard_um"), "0,5", "valid number"),
        (("gating", "sensitivity_factors"), "0.8", ""),
        (("gating", "sensitivity_factors"), "[0.8", ""),
        (("space", "permutations"), "3", "greater than or equal to 19"),
        (("segmentation", "smallest_nucleus_um"), "9", "is not below"),
        (("counting", "nuclear_um"), "{a: 8}", "needs nuclear_um_origin"),
        (("gating", "ladder", "guards", "weight"), "0.9, 0.1", "the smaller goes first"),
    ],
)
def test_a_mistake_is_told_where_it_is(place: tuple[str, ...], text: str, said: str) -> None:
    form = Form()
    form.set(place, text)
    wrong = form.mistakes()
    ((where, why),) = wrong.items()
    assert place[: len(where)] == where
    assert said in why
    with pytest.raises(SettingsError, match=place[0]):
        form.settings()


def test_a_wrong_file_names_the_key_and_changes_nothing(tmp_path: Path) -> None:
    form = Form()
    form.set(("measuring", "guard_um"), "5")
    path = tmp_path / "s.yaml"
    path.write_text("measuring: {gaurd_um: 3}\n")
    with pytest.raises(SettingsError, match=r"s\.yaml: measuring\.gaurd_um: unknown name"):
        form.load(path)
    assert form.text(("measuring", "guard_um")) == "5"
    form.set(("measuring", "guard_um"), "nothing")
    with pytest.raises(SettingsError, match="guard_um"):
        form.save(tmp_path / "out.yaml")
    assert not (tmp_path / "out.yaml").exists()
    form.set(("measuring", "guard_um"), "")
    path.write_text("")
    with pytest.raises(OutputError):
        form.save(path / "below.yaml")


def test_the_search_finds_by_name_help_and_unit() -> None:
    items = items_of()

    def found(words: str) -> set[str]:
        return {item.place[-1] for item in items if matches(item, words)}

    assert found("guard frame strip") == set()
    assert found("measuring guard") == {"guard_um"}
    assert "tissue_hole_um2" in found("smaller gaps count")
    assert found("nothing of the kind") == set()
    assert found("") == {item.place[-1] for item in items}

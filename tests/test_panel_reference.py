"""Which cells a panel may take for negative, and which it may not."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from imganalysis.errors import PanelError
from imganalysis.panel import Panel, builtin_panels, load_panel


def joint() -> dict[str, Any]:
    return yaml.safe_load(builtin_panels()["joint"].read_text(encoding="utf-8"))


def loaded(tmp_path, content: dict[str, Any]) -> Panel:
    path = tmp_path / "panel.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return load_panel(path)


def with_reference(marker: str, reference: Any, base: dict[str, Any] | None = None):
    content = copy.deepcopy(base or joint())
    for channel in content["channels"]:
        channel.pop("reference", None)
        if channel["marker"] == marker:
            channel["reference"] = reference
    return content


def test_the_built_in_panels_name_t_cells_for_melan_a_and_nothing_else() -> None:
    named = {
        (name, c.marker): c.reference.positive_for
        for name in builtin_panels()
        for c in load_panel(name).channels
        if c.reference is not None
    }
    assert named == {("joint", "MelanA"): ("CD3",)}


@pytest.mark.parametrize("name", ["CD56", "NCAM1", "ncam-1"])
def test_t_cells_are_no_reference_for_cd56_whatever_the_panel_says(tmp_path, name: str) -> None:
    plain = {
        "name": "own",
        "conflicts": [["CD3", name]],
        "channels": [
            {"marker": "DNA", "role": "nuclei"}, {"marker": "CD3"},
            {"marker": name, "reference": {"positive_for": ["CD3"]}},
        ],
    }  # fmt: skip
    with pytest.raises(
        PanelError, match=r"cells positive for CD3 are no reference for .*: activat"
    ):
        loaded(tmp_path, plain)


@pytest.mark.parametrize(
    ("marker", "reference", "message"),
    [
        ("CD56", {"positive_for": ["CD3"]}, "are no reference for CD56: activated T cells"),
        ("MelanA", {"positive_for": ["CD56"]}, "three in ten melanomas"),
        ("MelanA", {"positive_for": ["casp3"]}, "the class tumour_apoptotic is positive for both"),
        ("casp3", {"positive_for": ["CD3"]}, "only a lineage marker .* has the role state"),
        ("casp3", {"outside_region": True}, "only a lineage marker"),
        ("MelanA", {"positive_for": ["CD8"]}, "CD8 is no marker that this panel calls"),
        ("MelanA", {"positive_for": ["MelanA"]}, "put beside itself"),
    ],
)
def test_what_may_be_positive_is_refused_at_load(tmp_path, marker, reference, message) -> None:
    with pytest.raises(PanelError, match=message) as caught:
        loaded(tmp_path, with_reference(marker, reference))
    assert f"channels.{marker}.reference" in str(caught.value)


def test_two_markers_have_to_exclude_each_other(tmp_path) -> None:
    plain = {
        "name": "own",
        "channels": [
            {"marker": "DNA", "role": "nuclei"}, {"marker": "panCK"},
            {"marker": "CD20", "reference": {"positive_for": ["panCK"]}},
        ],
    }  # fmt: skip
    with pytest.raises(PanelError, match="put them into `conflicts`"):
        loaded(tmp_path, plain)
    panel = loaded(tmp_path, plain | {"conflicts": [["CD20", "panCK"]]})
    assert panel.channel("CD20").reference is not None


def test_a_region_is_a_reference_for_a_lineage(tmp_path) -> None:
    panel = loaded(tmp_path, with_reference("MelanA", {"outside_region": True}))
    reference = panel.channel("MelanA").reference
    assert reference is not None and reference.distance_um == 25


@pytest.mark.parametrize("wrong", [{}, {"positive_for": ["CD3"], "outside_region": True}])
def test_exactly_one_kind_is_given(wrong) -> None:
    with pytest.raises(ValidationError, match="either positive_for"):
        Panel.model_validate(with_reference("MelanA", wrong))

"""Panel files: read, checked, and found in image files."""

from __future__ import annotations

import copy
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import yaml

from imganalysis.errors import ChannelError, PanelError, SpectralClashError
from imganalysis.panel import (
    Channel,
    FractionOf,
    Lonely,
    Lymphoid,
    Match,
    Measure,
    Panel,
    Phenotype,
    Region,
    Shape,
    Sheet,
    Variant,
    builtin_panels,
    check_panel,
    check_together,
    choose_panel,
    load_panel,
    markers_needed,
    match_channels,
    panel_notes,
    panel_path,
)
from imganalysis.panel_check import known_dyes, rule_table

ROOT = Path(__file__).parents[1]

SMALL = {
    "name": "small",
    "channels": [
        {"marker": "DNA", "role": "nuclei", "fluorophore": "DAPI", "index": 0},
        {"marker": "A", "fluorophore": "FITC", "names": ["alpha"], "index": 1},
        {"marker": "B", "role": "state", "fluorophore": "Cy5", "index": 2},
    ],
    "contexts": {"small": {"kind": "shape", "max_diameter_um": 8}},
    "phenotypes": [
        {"name": "a", "when": {"A": "pos"}, "unless": {"small": True}},
        {"name": "tiny", "when": {"A": "pos"}, "context": {"small": True}},
        {"name": "none", "when": {"A": "neg"}},
    ],
    "fractions": [
        {"name": "share", "numerator": ["a"], "denominator": ["a", "none"], "count": "n_all"}
    ],
}


def written(folder: Path, change=None, text: str | None = None) -> Path:
    content = copy.deepcopy(SMALL)
    if change:
        change(content)
    path = folder / "small.yaml"
    path.write_text(text if text is not None else yaml.safe_dump(content), encoding="utf-8")
    return path


# --- reading ------------------------------------------------------------------------------------


def test_builtin_panels_load():
    assert list(builtin_panels()) == ["apoptosis", "infiltrate", "joint"]
    for name in builtin_panels():
        panel = load_panel(name)
        assert panel.name == name == panel_path(name).stem
        assert not panel_notes(panel)


def test_examples_load():
    paths = sorted((ROOT / "examples" / "panels").glob("*.yaml"))
    assert [p.stem for p in paths] == ["codex_lymphoid", "vectra_component"]
    for path in paths:
        assert load_panel(path).phenotypes


def test_classes_can_be_seen_on_the_dark():
    """Outlines lie on fluorescence: a colour has twice the light of black, as WCAG counts it."""
    examples = sorted((ROOT / "examples" / "panels").glob("*.yaml"))
    for panel in [load_panel(name) for name in (*builtin_panels(), *examples)]:
        for row in panel.phenotypes:
            rgb = np.array([int(row.colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
            linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
            light = float(linear @ [0.2126, 0.7152, 0.0722])
            assert (light + 0.05) / 0.05 >= 2, f"{panel.name}: {row.name}"


def test_a_file_goes_before_a_builtin_of_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path).rename("joint")
    assert load_panel("joint").name == "small"


def test_measures_follow_the_role():
    panel = Panel.model_validate(SMALL)
    assert panel.channel("DNA").measures == ()
    assert panel.channel("A").measures == (Measure(compartment="ring", statistic="mean"),)
    assert panel.channel("B").measures == (Measure(compartment="max", statistic="mean"),)
    own = Channel(marker="X", measures=(Measure(compartment="nucleus"),))
    assert own.measures == (Measure(compartment="nucleus", statistic="mean"),)
    assert panel.nuclei.marker == "DNA"
    assert [c.marker for c in panel.gated] == ["A", "B"]


def test_unknown_name_lists_the_builtin_ones():
    with pytest.raises(PanelError, match=r"no_such: no such panel file.*apoptosis, infiltrate, jo"):
        load_panel("no_such")


def test_a_key_twice_is_refused_with_its_line(tmp_path):
    path = written(tmp_path, text="name: small\nring_um: 1\nring_um: 2\n")
    with pytest.raises(PanelError, match=r"small\.yaml: line 3: the key 'ring_um' stands twice"):
        load_panel(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", r"small\.yaml: line \d+, column \d+: not YAML"),
        ("- a\n- b\n", "a panel file holds names and values"),
        ("", "a panel file holds names and values"),
        ("name: small\nchannels: []\nringum: 2\n", "ringum: unknown name"),
        ("name: small\n? [a, b]\n: 3\n", r"small\.yaml: line 2: a key is one word"),
        ("name: small\n? {a: b}\n: 3\n", r"small\.yaml: line 2: a key is one word"),
        ("name: small\n3: 4\n", r"small\.yaml: .*"),
        ("name: small\ntitle: 2020-13-45\n", r"small\.yaml: a value cannot be read"),
    ],
)
def test_unreadable_files_say_where(tmp_path, text, message):
    with pytest.raises(PanelError, match=message):
        load_panel(written(tmp_path, text=text))


def test_not_text(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(PanelError, match="cannot be read as UTF-8 text"):
        load_panel(path)


# --- lints --------------------------------------------------------------------------------------


def _set(place: list, value):
    def change(content):
        target = content
        for key in place[:-1]:
            target = target[key]
        target[place[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set(["channels", 1, "role"], "nuclei"), r"exactly one channel .*found 2 \(DNA, A\)"),
        (_set(["channels", 0, "role"], "ignore"), "exactly one channel .*found 0"),
        (_set(["channels", 2, "marker"], "a"), "the marker a stands 2 times"),
        (_set(["channels", 2, "names"], ["AL-pha"]), "the name 'alpha' stands for A and B"),
        (_set(["channels", 2, "index"], 1), "two channels have the same index"),
        (_set(["channels", 0, "measures"], [{}]), "DNA.measures: only channels with the role"),
        (_set(["channels", 1, "colour"], "#12"), "colour: String should match"),
        (_set(["phenotypes", 0, "when"], {"Z": "pos"}), r"phenotypes\[0\] \(a\)\.when: Z is no"),
        (_set(["phenotypes", 0, "when"], {"DNA": "neg"}), "what is not measured is never taken"),
        (_set(["phenotypes", 0, "unless"], {"huge": True}), "unknown context huge"),
        (_set(["phenotypes", 2, "name"], "unresolved"), "the name is kept for cells"),
        (_set(["contexts", "A"], {"kind": "in_region"}), "contexts.A: a marker has this name"),
        (_set(["contexts", "s"], {"kind": "shape"}), "a shape needs a diameter or an aspect"),
        (
            _set(["contexts", "s"], {"kind": "sheet", "positive": "A", "shape": "nope"}),
            "contexts.s.shape: nope is no context of kind 'shape'",
        ),
        (
            _set(["contexts", "s"], {"kind": "sheet", "positive": "Z", "shape": "small"}),
            "contexts.s: Z is no marker",
        ),
        (_set(["region"], {"positive": ["Z"]}), "region.positive: Z is no marker"),
        (_set(["region"], {"positive": []}), "region.positive: name at least one marker"),
        (_set(["contexts", "r"], {"kind": "in_region"}), r"contexts\.r: .*'in_region' needs the"),
        (
            _set(["contexts", "r"], {"kind": "lonely_granular", "positive": "A"}),
            r"contexts\.r: .*'lonely_granular' needs the panel's `region`",
        ),
        (_set(["fractions", 0, "name"], "n_all"), "count: the column n_all holds something else"),
        (_set(["fractions", 0, "count"], "n_fields"), "the column n_fields holds something else"),
        (_set(["name"], "failed"), "the column n_fields_failed would stand 2 times"),
        (_set(["fractions", 0, "count"], "share_hi"), "the column share_hi holds something else"),
        (_set(["fractions", 0, "name"], "reason"), "the column reason would stand 2 times"),
        (_set(["death_marker"], "DNA"), "death_marker: DNA is no marker"),
        (_set(["fractions", 0, "numerator"], ["b"]), "fractions.share: unknown class b"),
        (_set(["fractions", 0, "numerator"], ["tiny"]), "tiny counted above the line but not"),
        (_set(["axes"], "CYY"), "axes"),
        (_set(["background"], "rolling"), "background"),
        (_set(["channels", 1, "measures"], [{"statistic": "fraction_above"}]), "statistic: Input"),
    ],
)
def test_lints_say_what_is_wrong_and_where(tmp_path, change, message):
    path = written(tmp_path, change)
    with pytest.raises(PanelError, match=message) as caught:
        load_panel(path)
    assert str(path) in str(caught.value)


def fraction(name: str, **values) -> dict:
    return copy.deepcopy(SMALL["fractions"][0]) | {"name": name} | values


ALONE = {"numerator": ["a"], "denominator": ["a"]}


@pytest.mark.parametrize(
    "variant",
    ["lo", "hi", "naive_lo", "naive_hi", "bound_lo", "bound_hi", "uncapped", "gate", "total_lo",
     "total_hi", "gate_A_low"],
)  # fmt: skip
def test_variants_leave_the_fraction_its_columns(tmp_path, variant):
    change = _set(["fractions", 0, "variants"], {variant: ALONE})
    with pytest.raises(
        PanelError, match=rf"share\.variants\.{variant}: the column share_{variant} "
    ):
        load_panel(written(tmp_path, change))
    change = _set(["fractions", 0, "variants"], {"low": ALONE})
    assert list(load_panel(written(tmp_path, change)).fractions[0].variants) == ["low"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (fraction("share"), "the column share would stand 2 times"),
        (fraction("share_lo"), "the column share_lo would stand 2 times"),
        (fraction("n_all", count="n_other"), "the column n_all holds something else"),
        (fraction("other", count="share"), "the column share holds something else"),
        (fraction("other", denominator=["a"]), "n_all counts another denominator already"),
        (fraction("other", endpoint=True), "at most one is the endpoint"),
    ],
)
def test_fractions_share_no_column(tmp_path, more, message):
    def change(content):
        content["fractions"][0]["endpoint"] = "endpoint" in more
        content["fractions"].append(more)

    with pytest.raises(PanelError, match=message):
        load_panel(written(tmp_path, change))


def with_fractions(name: str, *fractions: dict) -> Panel:
    return Panel.model_validate(SMALL | {"name": name, "fractions": fractions})


def test_panels_of_one_study_agree_on_their_fractions():
    check_together(load_panel(name) for name in builtin_panels())
    first = with_fractions("one", fraction("share", endpoint=True, variants={"v": ALONE}))
    check_together([first, with_fractions("two", fraction("other", denominator=["a"]))])
    for change, message in (
        ({"percent": True}, "the fraction share differently: `percent` is false .* and true"),
        ({"endpoint": False}, "`endpoint` is true in the one and false"),
        ({"count": "n"}, "`count` is n_all in the one and n in"),
        ({"variants": {}}, "`variants` is v in the one and none"),
        ({"variants": {"v": ALONE, "w": ALONE}}, "`variants` is v in the one and v, w in"),
        ({"name": "other"}, r"different endpoints \(share and other\)"),
        ({"name": "share_v", "endpoint": False}, "one, two together: .*share_v would stand 2"),
    ):
        values = {"endpoint": True, "variants": {"v": ALONE}} | change
        second = with_fractions("two", fraction(**({"name": "share"} | values)))
        check_panel(second)
        with pytest.raises(PanelError, match=message) as caught:
            check_together([first, second])
        assert "two" in str(caught.value)


def test_classes_need_the_markers_of_their_contexts():
    panel = load_panel("joint")
    assert markers_needed(panel, ["T"]) == {"MelanA", "casp3", "CD3", "CD56"}
    assert markers_needed(panel, ["no such class"]) == set()
    content = copy.deepcopy(SMALL) | {
        "channels": [{"marker": "DNA", "role": "nuclei"}, *({"marker": m} for m in "ABCD")],
        "region": {"positive": ["B", "C"]},
        "contexts": {
            "tiny": {"kind": "shape", "max_diameter_um": 8},
            "here": {"kind": "in_region"},
            "lone": {"kind": "lonely_granular", "positive": "D"},
            "sheet": {"kind": "sheet", "positive": "B", "negative": ["D"], "shape": "tiny"},
            "kin": {
                "kind": "lymphoid", "shape": "tiny", "no_trace_of": "C",
                "neighbours_negative": ["D"],
            },
        },
    }  # fmt: skip
    for context, markers in (
        ("tiny", ""), ("here", "BC"), ("lone", "BCD"), ("sheet", "BD"), ("kin", "CD"),
    ):  # fmt: skip
        for key in ("context", "unless"):
            row = {"name": "it", "when": {"A": "pos", "B": "any"}, key: {context: True}}
            made = Panel.model_validate(content | {"phenotypes": [row], "fractions": []})
            assert markers_needed(made, ["it"]) == {"A", *markers}, (context, key)


def test_rows_of_one_class_mean_the_same(tmp_path):
    def change(content):
        content["phenotypes"][2] |= {"name": "a", "role": "tumour"}

    with pytest.raises(PanelError, match="rows of one class have one role"):
        load_panel(written(tmp_path, change))


def test_an_overlap_names_both_rows_and_the_state(tmp_path):
    path = written(tmp_path, _set(["phenotypes", 0, "unless"], {}))
    message = r"rows 0 \(a\) and 1 \(tiny\) both apply to: A positive, small yes"
    with pytest.raises(PanelError, match=message):
        load_panel(path)


def test_a_gap_names_the_first_state_without_a_row(tmp_path):
    path = written(tmp_path, _set(["phenotypes", 1, "when"], {"A": "pos", "B": "pos"}))
    with pytest.raises(PanelError, match="no row applies to: A positive, B negative, small yes"):
        load_panel(path)


def test_too_many_names_in_one_table():
    content = copy.deepcopy(SMALL)
    names = [f"M{i}" for i in range(13)]
    content["channels"] = [{"marker": "DNA", "role": "nuclei"}] + [{"marker": n} for n in names]
    content["contexts"], content["fractions"] = {}, []
    content["phenotypes"] = [{"name": "all", "when": dict.fromkeys(names, "pos")}]
    with pytest.raises(PanelError, match="names 13 markers and contexts; at most 12"):
        check_panel(Panel.model_validate(content))


def test_rule_table_agrees_with_reading_the_rows():
    for name in builtin_panels():
        panel = load_panel(name)
        table = rule_table(panel)
        axes = (*table.markers, *table.contexts)
        for state in product((0, 1), repeat=len(axes)):
            value = dict(zip(axes, state, strict=True))
            hits = []
            for i, row in enumerate(panel.phenotypes):
                wanted = {m: int(c == "pos") for m, c in row.when.items() if c != "any"}
                wanted |= {c: int(v) for c, v in row.context.items()}
                applies = all(value[k] == v for k, v in wanted.items())
                spared = row.unless and all(value[k] == int(v) for k, v in row.unless.items())
                if applies and not spared:
                    hits.append(i)
            assert len(hits) == 1, (name, value)
            assert np.flatnonzero(table.applies[state]).tolist() == hits


# --- dyes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"), [("YO-PRO-1", "Cy2"), ("topro 3", "Cy5"), ("FITC", "alexa_488")]
)
def test_dyes_that_clash_are_refused_before_any_pixel(tmp_path, first, second):
    def change(content):
        content["channels"][0]["fluorophore"] = first
        content["channels"][1]["fluorophore"] = second
        content["channels"][2]["fluorophore"] = "Cy3"

    path = written(tmp_path, change)
    with pytest.raises(SpectralClashError, match=r"small\.yaml.*cannot be told apart") as caught:
        load_panel(path)
    assert first in str(caught.value)
    assert second in str(caught.value)


def test_dyes_of_different_cycles_do_not_meet(tmp_path):
    def change(content):
        content["channels"][2] |= {"fluorophore": "FITC", "cycle": 2}

    assert load_panel(written(tmp_path, change)).channel("B").cycle == 2


def test_peaks_given_go_before_the_known_ones(tmp_path):
    def change(content):
        content["channels"][2] |= {"excitation_nm": 500, "emission_nm": 525}

    with pytest.raises(SpectralClashError, match="5 nm and their emission peaks 6 nm"):
        load_panel(written(tmp_path, change))


def test_both_peaks_must_be_near_for_a_clash(tmp_path):
    def change(content):
        content["channels"][2] |= {"excitation_nm": 495, "emission_nm": 534}

    load_panel(written(tmp_path, change))


def test_an_unknown_dye_is_noted(tmp_path):
    panel = load_panel(written(tmp_path, _set(["channels", 2, "fluorophore"], "Zyx-9")))
    (note,) = panel_notes(panel)
    assert note.startswith("B: the peaks of Zyx-9 are not known")
    assert "cannot be checked" in note


def test_known_dyes_have_the_published_peaks():
    dyes = known_dyes()
    assert dyes["cy2"] == (492, 510)
    assert dyes["cy3"] == (550, 570)
    assert dyes["cy5"] == (650, 670)
    assert dyes["yopro1"] == dyes["yopro"] == (491, 509)
    assert dyes["topro3"] == (642, 661)
    assert all(em > ex for ex, em in dyes.values())


# --- channels -----------------------------------------------------------------------------------


def small() -> Panel:
    return Panel.model_validate(SMALL)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["B", "DNA", "A"], [1, 2, 0]),
        (["cy_5", "d.a.p.i", "Al Pha"], [1, 2, 0]),
        (["x", "A", "y", "b", "dna"], [4, 1, 3]),
        # The marker's name goes before the dye's: here FITC is somebody else's.
        (["FITC", "alpha", "DAPI", "Cy5"], [2, 1, 3]),
        (["Channel:0", "Channel:1", "Channel:2"], [0, 1, 2]),
        (["", "", "", ""], [0, 1, 2]),
        (["C1", "C2", "C3"], [0, 1, 2]),
        (["Channel:0:0", "Channel:0:1", "Channel:0:2"], [0, 1, 2]),
    ],
)
def test_channels_are_found(names, expected):
    found = match_channels(small(), names)
    assert list(found) == ["DNA", "A", "B"]
    assert list(found.values()) == expected


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["DAPI", "FITC"], r"no channel for B \(Cy5\); the file has 2 channels: 'DAPI', 'FITC'\."),
        # One name that says something, and the index is no longer trusted.
        (["C1", "C2", "DNA"], "no channel for A"),
        (["red", "green", "blue"], "no channel for DNA"),
        (["Channel:0", "Channel:1"], r"no channel for B \(Cy5\); the file has 2 channels"),
        (["DNA", "A", "alpha", "B"], r"2 channels of the file answer to A: 'A' \(channel 1\)"),
    ],
)
def test_channels_that_are_missing_or_twice(names, message):
    with pytest.raises(ChannelError, match=message):
        match_channels(small(), names)


def test_the_panels_are_not_taken_for_each_other():
    apoptosis, infiltrate = load_panel("apoptosis"), load_panel("infiltrate")
    with pytest.raises(ChannelError, match=r"no channel for TO-PRO-3 .*MelanA .*casp3 "):
        match_channels(apoptosis, ["YO-PRO-1", "CD3", "CD56"])
    with pytest.raises(ChannelError, match=r"no channel for YO-PRO-1 .*CD3 .*CD56 "):
        match_channels(infiltrate, ["TO-PRO-3", "Melan A", "Caspase-3"])
    # By colour, the nuclei are another channel: green in one, blue in the other.
    colours = ["red", "green", "blue"]
    assert match_channels(apoptosis, colours) == {"TO-PRO-3": 2, "MelanA": 1, "casp3": 0}
    assert match_channels(infiltrate, colours) == {"YO-PRO-1": 1, "CD3": 2, "CD56": 0}


def test_planes_that_are_channels_suggest_axes():
    with pytest.raises(ChannelError, match=r"1 channel: 'Channel:0' and 5 planes in Z.*--axes CYX"):
        match_channels(small(), ["Channel:0"], n_planes=5)
    with pytest.raises(ChannelError, match="--axes CYX"):
        match_channels(small(), ["tissue"], n_planes=3)
    with pytest.raises(ChannelError) as caught:
        match_channels(small(), ["tissue"], n_planes=2)
    assert "axes" not in str(caught.value)


def test_without_index_generic_names_are_an_error():
    panel = small()
    channels = tuple(c.model_copy(update={"index": None}) for c in panel.channels)
    with pytest.raises(ChannelError, match="which tell nothing: give each channel's `index`"):
        match_channels(panel.model_copy(update={"channels": channels}), ["C1", "C2", "C3"])


def test_one_channel_for_two_markers():
    panel = small()
    channels = (*panel.channels[:2], panel.channels[2].model_copy(update={"names": ("FITC",)}))
    with pytest.raises(ChannelError, match="'FITC' answers to A and to B"):
        match_channels(panel.model_copy(update={"channels": channels}), ["DAPI", "FITC"])


def test_ignored_channels_are_not_looked_for():
    panel = small()
    extra = Channel(marker="AF", role="ignore")
    with_extra = panel.model_copy(update={"channels": (*panel.channels, extra)})
    assert list(match_channels(with_extra, ["DNA", "A", "B"])) == ["DNA", "A", "B"]


# --- which panel --------------------------------------------------------------------------------


def matching(name: str, **match: list[str]) -> Panel:
    return Panel.model_validate({**SMALL, "name": name, "match": match})


def test_a_panel_is_chosen_by_its_patterns():
    one = matching("one", files=["*_A_*"])
    two = matching("two", series=["B*"])
    three = matching("three", channels=["CD3*", "*56"])
    panels = [one, two, three]
    assert choose_panel(panels, "p1_a_1.tif").name == "one"
    assert choose_panel(panels, "x/p_A_q/f.tif").name == "one"
    assert choose_panel(panels, "f.tif", "b1").name == "two"
    assert choose_panel(panels, "f.tif", "", ["x", "cd3-Cy5", "CD56"]).name == "three"
    with pytest.raises(PanelError, match=r"several panels fit \(one, two\)"):
        choose_panel(panels, "p_A_1.tif", "B2")
    with pytest.raises(PanelError, match=r"f\.tif: none of the panels one, two, three fits"):
        choose_panel(panels, "f.tif", "", ["CD3"])


def test_builtin_panels_are_told_apart_by_channel_names():
    panels = [load_panel(name) for name in builtin_panels()]

    def chosen(*channels: str) -> str:
        return choose_panel(panels, "f.lif", "", channels).name

    assert chosen("TO-PRO-3", "Melan A", "Caspase-3") == "apoptosis"
    assert chosen("YOPRO1", "CD3", "CD56") == "infiltrate"
    assert chosen("DAPI", "MART-1", "cleaved caspase-3", "CD3", "NCAM") == "joint"
    # Nuclei under a common name: the panel that accounts for most channels.
    assert chosen("nuclei", "Melan A", "Caspase-3", "CD3", "CD56") == "joint"
    with pytest.raises(PanelError, match=r"several panels fit \(apoptosis, infiltrate\)"):
        chosen("red", "green", "blue")
    with pytest.raises(PanelError, match="none of the panels apoptosis, infiltrate, joint fits"):
        chosen("C1", "C2", "C3")


def test_a_single_panel_without_match_fits_everything():
    assert choose_panel([small()], "f.tif", "", ["C1"]).name == "small"
    with pytest.raises(PanelError, match="none of the panels one fits"):
        choose_panel([matching("one", files=["g*"])], "f.tif")


# --- documentation ------------------------------------------------------------------------------


def test_the_documented_panel_is_sound(tmp_path):
    text = (ROOT / "docs" / "panels.md").read_text(encoding="utf-8")
    path = tmp_path / "my_panel.yaml"
    path.write_text(text.split("```yaml\n")[1].split("```")[0], encoding="utf-8")
    panel = load_panel(path)
    assert not panel_notes(panel)
    # The message that the page shows is the one that comes.
    rows = tuple(row for row in panel.phenotypes if row.name != "CD8_other")
    with pytest.raises(PanelError) as caught:
        check_panel(panel.model_copy(update={"phenotypes": rows}), source="my_panel.yaml")
    assert str(caught.value) in text


def test_every_key_is_documented():
    text = (ROOT / "docs" / "panels.md").read_text(encoding="utf-8")
    models = [Panel, Channel, Match, Measure, Region, Phenotype, FractionOf, Variant]
    for model in [*models, Shape, Lymphoid, Sheet, Lonely]:
        for key in model.model_fields:
            assert f"`{key}`" in text, f"{model.__name__}.{key}"

"""The quality sheet: what is drawn where, looked at in the pixels."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from imganalysis import tables as t
from imganalysis.prepare.calibration import State
from imganalysis.quality import STATES, captions, legend, notes
from imganalysis.report import _canvas
from imganalysis.report.qc import COLOURS, GAP, MARGIN, TISSUE, TITLE, draw_quality

SIDE = 500
TOP = MARGIN + TITLE + 10 + 28  # of the first row of pictures
STEP = 28 + SIDE + 2 * 24 + 10
YELLOW = (240, 228, 66)


@pytest.fixture
def sheet():
    y, x = np.mgrid[:SIDE, :SIDE]
    glow = np.zeros((SIDE, SIDE), bool)
    glow[100:150, 100:150] = True
    tissue = np.ones((SIDE, SIDE), bool)
    tissue[:, 400:] = False
    return {
        "images": {
            "M": (x / SIDE).astype(np.float32),
            "N": (y / SIDE).astype(np.float32),
            "O": np.ones((SIDE, SIDE), np.float32),
        },
        "colours": {"M": "green", "N": "#0000ff"},
        "captions": {"M": "background 5 (local), subtracted"},
        "masks": {"autofluorescence": glow, "folds": np.zeros_like(glow)},
        "tissue": tissue,
        "frame": np.pad(np.ones((SIDE - 40, SIDE - 40), bool), 20),
        "legend": {"tissue": "tissue 1 mm²", "autofluorescence": "glow", "folds": "folds: none"},
        "notes": ["10 of 12 nuclei counted"],
        "pixel_um": 0.5,
        "title": "B1_f",
    }


@pytest.fixture
def texts(monkeypatch):
    found = []
    original = _canvas.Canvas.text

    def text(self, y, x, text, *args, **kwargs):
        found.append(text)
        original(self, y, x, text, *args, **kwargs)

    monkeypatch.setattr(_canvas.Canvas, "text", text)
    return found


def draw(tmp_path, sheet, name="q.png", **more):
    path = tmp_path / "Ordner mit Ümlaut" / name
    draw_quality(path, **{**sheet, **more})
    return path, (imread(path) * 255).round().astype(int)[..., :3]


def panel(pixels, row, column):
    y, x = TOP + row * STEP, MARGIN + column * (SIDE + GAP)
    return pixels[y : y + SIDE, x : x + SIDE]


def test_channels_are_grey_and_masks_in_their_colours(tmp_path, sheet):
    _, pixels = draw(tmp_path, sheet)
    first, marked = panel(pixels, 0, 0), panel(pixels, 1, 1)
    assert (first[:400, :400, 0] == first[:400, :400, 2]).all()
    assert first[200, 390].mean() > first[200, 20].mean() + 100
    assert (marked[100, 100:150] == YELLOW).all()  # its edge
    plain, inside = marked[200, 120], marked[120, 120]
    assert (inside[:2] > plain[:2] + 60).all()
    assert (marked[250, 399] == TISSUE).all()
    frame = (marked[20, 20:480] == 255).all(axis=1)
    assert 0.3 < frame.mean() < 0.7  # dashed


def test_every_colour_is_told_from_the_others():
    seen = {name: np.array(bytearray.fromhex(colour[1:])) for name, colour in COLOURS.items()}
    names = list(seen)
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            assert np.abs(seen[a].astype(int) - seen[b]).max() > 80


def test_texts_stand_as_they_are(tmp_path, sheet, texts):
    draw(tmp_path, sheet, title=r"$x^2$ \n", notes=["$a$", "b"])
    assert texts[0] == r"$x^2$ \n"
    assert "$a$" in texts
    for text in ("M", "N", "O", "background 5 (local), subtracted", "folds: none", "glow"):
        assert text in texts
    assert any(text.startswith("shown ") for text in texts)
    assert sum("m" in text and text[0].isdigit() for text in texts) >= 4  # scale bars


def test_a_mask_of_one_pixel_is_seen_in_a_large_field(tmp_path, sheet):
    large = {
        key: {m: np.kron(a, np.ones((4, 4), a.dtype)) for m, a in sheet[key].items()}
        for key in ("images", "masks")
    }
    dot = np.zeros((4 * SIDE, 4 * SIDE), bool)
    dot[1000, 1200] = True
    large["masks"] = {"clipped": dot}
    big = {k: np.kron(sheet[k], np.ones((4, 4), bool)) for k in ("tissue", "frame")}
    _, with_dot = draw(tmp_path, {**sheet, **large, **big})
    assert with_dot.shape[1] < 1300
    large["masks"] = {"clipped": np.zeros_like(dot)}
    _, without = draw(tmp_path, {**sheet, **large, **big})
    assert (with_dot != without).any(axis=2).sum() >= 1


def test_same_input_same_bytes(tmp_path, sheet):
    one, two = (draw(tmp_path, sheet, name)[0].read_bytes() for name in ("a.png", "b.png"))
    assert one == two


def test_wrong_shapes_and_unknown_masks_are_refused(tmp_path, sheet):
    with pytest.raises(ValueError, match="frame: shape"):
        draw(tmp_path, sheet, frame=np.ones((3, 3), bool))
    with pytest.raises(ValueError, match="no colour for the masks dust"):
        draw(tmp_path, sheet, masks={"dust": sheet["tissue"]})


def test_captions_say_what_was_subtracted_and_what_is_clipped():
    facts = {"background": "local", "background_levels": "M=5.1;N=7", "saturated_channels": "N"}
    assert captions(["M", "N", "light"], facts) == {
        "M": "background 5.1 (local), subtracted",
        "N": "background 7 (local), subtracted; CLIPPED",
        "light": "",
    }
    assert captions(["M"], {"background": "none"}) == {"M": "no background subtracted"}


def test_the_legend_says_what_was_not_looked_for():
    facts = {
        "tissue_mm2": 0.05, "frame_mm2": 0.06, "tissue_all_mm2": 0.08,
        "autofluorescence_mm2": 0.002, "folds_mm2": 0.0, "clipped_mm2": 4e-5, "pigment_mm2": None,
    }  # fmt: skip
    said = legend(facts)
    assert said["autofluorescence"] == "autofluorescence 0.002 mm² (2.5 % of the tissue)"
    assert said["folds"] == "folds: none"
    assert said["pigment"] == "pigment: not looked for"
    assert said["clipped"] == "clipped pixels 40 µm² (0.05 % of the tissue)"
    assert said["tissue"] == "tissue in the frame 0.05 mm²"


def test_the_notes_count():
    cells = pd.DataFrame(
        {t.EVALUABLE: [True, False, False], t.EXCLUSION: ["", "pigment", "outside_frame"]}
    )
    lines = notes({"sharpness_per_um": 0.61, "n_af_affected": 1}, cells, ("folds", "pigment"))
    assert lines[0] == "1 of 3 nuclei counted; not: outside_frame 1, pigment 1"
    assert "0.61 per µm" in lines[1]
    assert "1 counted cell on autofluorescence" in lines[1]
    assert lines[2] == "flags: folds, pigment"
    assert notes({}, cells, ())[-1] == "flags: none"
    assert not any("bleed-through" in line for line in notes({}, cells, ()))


def test_the_notes_say_what_was_done_about_the_microscope():
    cells = pd.DataFrame({t.EVALUABLE: [True], t.EXCLUSION: [""]})
    done = {"bleedthrough": "given", "flatfield": "not_done", "channel_shift": "no_control"}
    assert notes(done, cells, ())[-2] == (
        "bleed-through corrected (given); shading left in (not seen in the controls); "
        "shift left in (no control)"
    )
    for state in get_args(State):
        said = notes({"bleedthrough": state}, cells, ())[-2]
        assert said == f"bleed-through {STATES[state]}"

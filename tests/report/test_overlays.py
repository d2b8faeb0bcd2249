"""Overlays: what is drawn where, looked at in the pixels."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from imganalysis.errors import OutputError
from imganalysis.report import _canvas
from imganalysis.report._canvas import encode_png, fitted, printable, text_width
from imganalysis.report._composite import channel_rgb, composite, display_range
from imganalysis.report._outlines import draw_links, draw_mask_edge, draw_nuclei, inner_edge
from imganalysis.report._sheet import MARGIN, round_length
from imganalysis.report.overlays import draw_overlay

TOP = 14 + 24 + 14  # of the pictures on the sheet
SIDE = 800
ORANGE, CYAN = (255, 128, 0), (0, 255, 255)


@pytest.fixture
def field():
    """Three square nuclei: two evaluable, the third not; one pixel is one pixel of the sheet."""
    labels = np.zeros((SIDE, SIDE), np.uint32)
    for label, x in ((1, 100), (70000, 300), (9, 500)):
        labels[100:160, x : x + 60] = label
    y, x = np.mgrid[:SIDE, :SIDE]
    return {
        "images": {"M": (x / SIDE).astype(np.float32), "N": (y / SIDE).astype(np.float32)},
        "colours": {"M": "green", "N": "#0000ff"},
        "labels": labels,
        "cells": pd.DataFrame(
            {
                "label": [1, 70000, 9],
                "phenotype": ["good", "bad", "good"],
                "evaluable": [True, True, False],
            }
        ),
        "class_colours": {"good": "#ff8000", "bad": "#00ffff"},
        "pixel_um": 0.5,
        "title": "B1_f",
    }


@pytest.fixture
def texts(monkeypatch):
    """Collect every text that is put on a sheet."""
    found = []
    original = _canvas.Canvas.text

    def text(self, y, x, text, *args, **kwargs):
        found.append(text)
        original(self, y, x, text, *args, **kwargs)

    monkeypatch.setattr(_canvas.Canvas, "text", text)
    return found


def draw(tmp_path, field, **more):
    path = tmp_path / "Ordner mit Ümlaut 的" / "o v.png"
    draw_overlay(path, **{**field, **more})
    return (imread(path) * 255).round().astype(int)[..., :3]


def right(sheet):
    """The outlined picture."""
    x = MARGIN + SIDE + 12
    return sheet[TOP : TOP + SIDE, x : x + SIDE]


def left(sheet):
    return sheet[TOP : TOP + SIDE, MARGIN : MARGIN + SIDE]


def test_outlines_have_the_colours_of_the_classes(tmp_path, field):
    sheet = draw(tmp_path, field)
    outlined, plain = right(sheet), left(sheet)
    for x, colour in ((100, ORANGE), (300, CYAN)):
        for row in (100, 101, 158, 159):
            assert (outlined[row, x : x + 60] == colour).all()
        assert (outlined[100:160, x : x + 2] == colour).all()
        assert (outlined[130, x - 1] == 0).all()  # parted from the stain by a dark line
        assert (outlined[103:157, x + 3 : x + 57] == plain[103:157, x + 3 : x + 57]).all()
    assert (outlined[300:600] == plain[300:600]).all()


def test_what_is_not_evaluable_is_thin_grey_and_dashed(tmp_path, field):
    sheet = draw(tmp_path, field)
    edge, under = right(sheet)[100, 500:560], left(sheet)[100, 500:560]
    grey = (edge == 165).all(axis=1)
    assert 20 <= grey.sum() <= 40
    assert (edge[~grey] == under[~grey]).all()
    assert (right(sheet)[101, 502:558] == left(sheet)[101, 502:558]).all()


def test_legend_counts_evaluable_cells_in_the_order_of_the_panel(tmp_path, field, texts):
    field["cells"].loc[3] = [10, "unresolved", True]
    field["labels"][700:720, 700:720] = 10
    draw(tmp_path, field)
    assert texts[0] == "B1_f"
    assert [text for text in texts if ":" in text] == [
        "good: 1",
        "bad: 1",
        "unresolved: 1",
        "not evaluable: 1",
    ]
    assert "guard frame" not in texts


def test_fragments_of_one_cell_are_counted_once(tmp_path, field, texts):
    cells = pd.DataFrame(
        {"label": [1, 70000, 9], "phenotype": "good", "evaluable": True, "cell_id": [1, 1, 2]}
    )
    draw(tmp_path, {**field, "cells": cells})
    assert "good: 2" in texts


def test_fragments_of_one_cell_are_joined_by_a_line() -> None:
    labels = np.zeros((20, 40), np.uint32)
    labels[8:11, 5:8], labels[8:11, 25:28], labels[15:18, 30:33] = 1, 2, 3
    colours = np.array([[0, 0, 0], [9, 8, 7], [1, 1, 1], [2, 2, 2]], np.uint8)
    picture = np.zeros((20, 40, 3), np.uint8)
    draw_links(picture, labels, [[1, 2], [7, 3]], colours)
    assert (picture[9, 6:27] == [9, 8, 7]).all()
    picture[9, 6:27] = 0
    assert not picture.any()  # nothing else; a label that is not there joins nothing


def test_the_picture_shows_which_fragments_are_one_cell(tmp_path, field):
    table = {"label": [1, 70000, 9], "phenotype": "good", "evaluable": True}
    apart = draw(tmp_path, {**field, "cells": pd.DataFrame(table)})
    one = draw(tmp_path, {**field, "cells": pd.DataFrame({**table, "cell_id": [1, 1, 2]})})
    changed = (right(apart) != right(one)).any(axis=-1)
    assert 0 < changed.sum() < 1000


def test_a_nucleus_without_a_row_is_drawn_as_not_evaluable(tmp_path, field, texts):
    draw(tmp_path, {**field, "cells": field["cells"].iloc[:1]})
    assert "not evaluable: 2" in texts


def test_a_class_without_a_colour_is_white(tmp_path, field):
    sheet = draw(tmp_path, {**field, "class_colours": {}})
    assert (right(sheet)[100, 100:160] == 255).all()


def test_dark_outlines_are_parted_by_white(tmp_path, field):
    sheet = draw(tmp_path, {**field, "class_colours": {"bad": "black", "good": "#ff8000"}})
    assert (right(sheet)[130, 300] == 0).all()
    assert (right(sheet)[130, 299] == 255).all()


@pytest.mark.parametrize(("um", "text", "pixels"), [(0.5, "50 µm", 100), (0.03, "5 µm", 167)])
def test_scale_bar(tmp_path, field, texts, um, text, pixels):
    sheet = draw(tmp_path, {**field, "pixel_um": um})
    assert texts.count(text) == 2
    for picture in (left(sheet), right(sheet)):
        bar = (picture[SIDE - 17] == 255).all(axis=1)
        assert bar.sum() == pixels
        assert np.flatnonzero(bar).max() < SIDE - 8


def test_scale_bar_of_an_enlarged_field_is_longer(tmp_path, field, texts):
    small = {
        **field,
        "labels": field["labels"][::4, ::4],
        "images": {m: image[::4, ::4] for m, image in field["images"].items()},
    }
    sheet = draw(tmp_path, small)
    assert sheet.shape[1] == 2 * SIDE + 12 + 2 * MARGIN
    assert "20 µm" in texts
    assert (left(sheet)[SIDE - 17] == 255).all(axis=1).sum() == 160  # 20 um / (0.5 um / 4)


def test_no_scale_bar_without_a_pixel_size(tmp_path, field, texts):
    sheet = draw(tmp_path, {**field, "pixel_um": None})
    assert texts.count("no scale: pixel size unknown") == 2
    assert not any("µm" in text for text in texts)
    assert not (left(sheet)[SIDE - 17] == 255).all(axis=1).any()


def test_channels_are_shown_in_their_colours(tmp_path, field, texts):
    picture = left(draw(tmp_path, field))
    assert picture[2, -2, 1] > 250  # green grows to the right
    assert picture[2, -2, 2] < 5
    assert picture[-200, 2, 2] > 200  # blue grows downwards
    assert picture[2, 2].max() < 5
    assert "M (0.0139–0.998)" in texts


def test_given_ranges_are_used(tmp_path, field, texts):
    sheet = draw(tmp_path, {**field, "ranges": {"M": (0, 1000)}})
    assert left(sheet)[: SIDE - 60, :, 1].max() < 80  # only the white in the blue is left
    assert "M (0–1e+03)" in texts


def test_frame_and_tissue_are_drawn(tmp_path, field, texts):
    frame = np.zeros((SIDE, SIDE), bool)
    frame[50:-50, 50:-50] = True
    tissue = np.zeros((SIDE, SIDE), bool)
    tissue[:, 400:] = True
    picture = right(draw(tmp_path, {**field, "frame": frame, "tissue": tissue}))
    white = (picture[50, 50:-50] == 255).all(axis=1)
    assert 300 < white.sum() < 400
    edge = (picture[:, 400] == (205, 190, 120)).all(axis=1)
    assert 350 < edge.sum() < 450
    assert {"guard frame", "edge of tissue"} <= set(texts)
    # The border of the picture is no border of the tissue.
    assert not (picture[:40, -1] == (205, 190, 120)).all(axis=1).any()


def test_one_picture(tmp_path, field):
    sheet = draw(tmp_path, {**field, "side_by_side": False})
    assert sheet.shape[1] == SIDE + 2 * MARGIN
    assert (sheet[TOP + 100, MARGIN + 100 : MARGIN + 160] == ORANGE).all()


def test_names_are_drawn_as_they_are(tmp_path, field, texts):
    field["images"] = {r"$\frac$ [bold]": field["images"]["M"]}
    title = "$x^{ 的\n" + "very long " * 100
    field["cells"]["phenotype"] = "$_{"
    sheet = draw(tmp_path, {**field, "title": title})  # a warning would be an error
    assert sheet.shape[1] == 2 * SIDE + 12 + 2 * MARGIN
    assert texts[0].startswith("$x^{")
    assert "…" in texts[0]
    assert printable("a\tb的\u0308$") == "a b□\u0308$"


def test_texts_that_fit_are_not_cut():
    assert fitted("short", 20, 500) == "short"
    cut = fitted("0123456789" * 10, 20, 200)
    assert text_width(cut, 20) <= 200
    assert cut.startswith("012")
    assert cut.endswith("789")


def test_same_input_same_bytes_and_nothing_but_pixels(tmp_path, field):
    for name in ("a.png", "b.png"):
        draw_overlay(tmp_path / name, **field)
    data = (tmp_path / "a.png").read_bytes()
    assert data == (tmp_path / "b.png").read_bytes()
    assert not any(word in data for word in (b"tEXt", b"iTXt", b"tIME", b"atplotlib"))
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["a.png", "b.png"]


def test_settings_of_the_user_s_matplotlib_do_not_matter(tmp_path, field):
    import matplotlib as mpl

    draw_overlay(tmp_path / "a.png", **field)
    with mpl.rc_context({"text.antialiased": False, "font.size": 40, "savefig.dpi": 30}):
        draw_overlay(tmp_path / "b.png", **field)
        assert mpl.rcParams["font.size"] == 40
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_field_is_not_changed(tmp_path, field):
    before = {m: image.copy() for m, image in field["images"].items()}
    labels = field["labels"].copy()
    draw(tmp_path, field)
    assert all((before[m] == image).all() for m, image in field["images"].items())
    assert (labels == field["labels"]).all()


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_empty_fields(tmp_path, field, texts, value):
    images = {m: np.full((SIDE, SIDE), value, np.float32) for m in field["images"]}
    labels = np.zeros((SIDE, SIDE), np.uint32)
    sheet = draw(tmp_path, {**field, "images": images, "labels": labels})
    assert "no nuclei" in texts
    assert left(sheet)[: SIDE - 60].max() == 0


def test_pixels_that_are_no_numbers(tmp_path, field):
    field["images"]["M"][500:510, :5] = np.nan
    field["images"]["M"][500:510, 5:10] = np.inf
    picture = left(draw(tmp_path, field))
    assert picture[505, 2, 1] < picture[505, 7, 1] == 255


def test_a_single_pixel(tmp_path, field):
    labels = np.ones((1, 1), np.uint32)
    images = {"M": np.ones((1, 1), np.float32)}
    sheet = draw(tmp_path, {**field, "images": images, "labels": labels})
    assert sheet.size > 0


def test_other_sizes_are_refused(tmp_path, field):
    with pytest.raises(ValueError, match=r"N: shape \(3, 3\), expected \(Y, X\) \(800, 800\)"):
        draw(tmp_path, {**field, "images": {**field["images"], "N": np.zeros((3, 3))}})
    with pytest.raises(ValueError, match="frame: shape"):
        draw(tmp_path, {**field, "frame": np.ones((2, 2), bool)})
    thick = np.zeros((2, SIDE, SIDE), np.uint32)
    with pytest.raises(ValueError, match="M: shape"):
        draw(tmp_path, {**field, "labels": thick})
    with pytest.raises(ValueError, match="no images"):
        draw(tmp_path, {**field, "images": {}})


def test_a_folder_that_cannot_be_made(tmp_path, field):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        draw_overlay(tmp_path / "file" / "o.png", **field)


def test_noise_alone_stays_dark_and_a_stain_does_not():
    rng = np.random.default_rng(1)
    noise = rng.poisson(6, (300, 300)).astype(np.float32)
    low, high = display_range(noise)
    assert composite({"M": noise}, {}, {"M": (low, high)}).mean() < 20
    stretched = tuple(np.percentile(noise, (1, 99.8)))
    assert composite({"M": noise}, {}, {"M": stretched}).mean() > 60  # what is prevented
    stained = noise.copy()
    stained[100:130, 100:130] += 200
    shown = composite({"M": stained}, {}, {"M": display_range(stained)})
    assert shown[100:130, 100:130].min() > 200


def test_ranges_are_never_empty():
    assert display_range(np.full((4, 4), 7.0)) == (7.0, 8.0)
    assert display_range(np.full((4, 4), np.nan)) == (0.0, 1.0)
    one = np.zeros((50, 50))
    one[3, 3] = 5
    assert display_range(one) == (0.0, 5.0)


def test_colours_of_channels_are_bright():
    assert channel_rgb("green") == pytest.approx((0, 1, 0))
    r, g, b = channel_rgb("blue")
    assert b == 1
    assert 0 < r == g < 0.5
    assert channel_rgb("white") == (1, 1, 1)


def test_png_is_what_others_read():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (7, 5, 3), dtype=np.uint8)
    read = imread(io.BytesIO(encode_png(pixels)))
    assert ((read * 255).round() == pixels).all()


def test_touching_nuclei_have_a_line_each():
    labels = np.array([[1, 1, 1, 2, 2, 2]] * 3)
    assert inner_edge(labels).tolist() == [[False, False, True, True, False, False]] * 3
    picture = np.zeros((3, 6, 3), np.uint8)
    colours = np.array([(0, 0, 0), ORANGE, CYAN], np.uint8)
    draw_nuclei(picture, labels, colours, np.array([False, True, True]), width=1)
    assert tuple(picture[1, 2]) == ORANGE
    assert tuple(picture[1, 3]) == CYAN


def test_edge_of_a_mask_can_be_dashed():
    picture = np.zeros((40, 40, 3), np.uint8)
    mask = np.zeros((40, 40), bool)
    mask[20:] = True
    draw_mask_edge(picture, mask, ORANGE, dash=5)
    row = picture[20, :, 0] > 0
    assert row.sum() == 20
    assert np.diff(np.flatnonzero(np.diff(row.astype(int)))).tolist() == [5] * 6


@pytest.mark.parametrize(
    ("um", "expected"), [(1, 1), (1.99, 1), (2, 2), (99, 50), (100, 100), (0.3, 0.2), (7, 5)]
)
def test_round_length(um, expected):
    assert round_length(um) == pytest.approx(expected)

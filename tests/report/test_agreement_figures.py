"""Figures of agreement hold what they say."""

from __future__ import annotations

import matplotlib.image
import numpy as np
import pytest

from imganalysis.report.agreement import PairPanel, draw_bland_altman

NONE = (float("nan"),) * 3


@pytest.mark.parametrize("panels", [1, 3])
def test_the_caption_lies_within_the_figure(tmp_path, panels):
    """With one reader the figure is narrow; both ends of the line were cut off."""
    first, second = np.array([3.0, 50.0]), np.array([2.3, 45.4])
    one = PairPanel("Ann", "imganalysis", first, second, NONE, NONE, NONE, (np.nan, np.nan))
    draw_bland_altman(tmp_path / "figure.png", [one] * panels)
    drawn = matplotlib.image.imread(tmp_path / "figure.png")[..., :3].min(axis=2)
    assert drawn[:, :3].min() == 1 and drawn[:, -3:].min() == 1

"""Labels with four nuclei."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def labels() -> np.ndarray:
    """(60, 80) with nuclei 1, 2 (side by side), 3 (a dumbbell) and 9 (alone)."""
    image = np.zeros((60, 80), np.uint32)
    image[5:15, 5:15], image[5:15, 15:25] = 1, 2
    image[30:40, 5:15], image[33:37, 15:20], image[30:40, 20:30] = 3, 3, 3
    image[40:50, 60:70] = 9
    return image

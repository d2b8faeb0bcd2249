"""Where torch computes: a device that this computer has."""

from __future__ import annotations

import re
from typing import Any

from imganalysis.errors import SettingsError
from imganalysis.methods import DEVICE
from imganalysis.words import plural


def torch_device(name: str) -> Any:
    """Give the ``torch.device`` of a name.

    Parameters
    ----------
    name
        ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Raises
    ------
    SettingsError
        Another name, or a device that this computer lacks.
    """
    if not re.search(DEVICE, name):
        raise SettingsError(f"device {name!r}: expected cpu, cuda, cuda:N or mps")
    import torch

    device = torch.device(name)
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise SettingsError(
                f"device {name!r}: this computer has {plural(count, 'CUDA device')}; use cpu"
            )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise SettingsError(f"device {name!r}: this computer has no Apple GPU; use cpu")
    return device

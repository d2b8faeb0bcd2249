"""Networks of Cellpose 3 and 4 from their files, each loaded once in a process."""

from __future__ import annotations

import logging
import math
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from imganalysis.errors import MissingLibraryError, ModelError
from imganalysis.segment._cellpose_files import (
    find_model,
    installed_version,
    model_folder,
    model_names,
    read_state,
    sha256_of,
    stamp,
)
from imganalysis.segment.device import torch_device
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from imganalysis.methods import CellposeMethod

_DIAMETER = 30.0  # px: of every model of Cellpose without one of its own
_NUCLEI_DIAMETER = 17.0  # px: of its model nuclei
_NUCLEI_FILE = "nucleitorch_0"
_DIAMETERS = ("diam_mean", "diam_labels")  # weights that older files lack
_STYLE = 256  # values: what Cellpose's tiling expects of a network beside its flows
_TILE = {3: 224, 4: 256}  # px: sides that the networks were trained on
_FIRST = "downsample.down.res_down_{}.conv.conv_0.2.weight"
_OUTPUTS = 3


@dataclass(frozen=True)
class CellposeNetwork:
    """A network of Cellpose, ready to use.

    Parameters
    ----------
    name
        Built-in name, or name of the file.
    sha256
        Of the file.
    version
        Of Cellpose.
    diameter_px
        Of the nuclei that it was trained on.
    channels
        It takes; nuclei go into the first one, the others are 0.
    tile_px
        Side of the tiles it sees.
    device
        Where it runs, a ``torch.device``.
    module
        A ``torch.nn.Module``.
    path
        Of the file.
    """

    name: str
    sha256: str
    version: str
    diameter_px: float
    channels: int
    tile_px: int
    device: Any
    module: Any
    path: Path


def load_network(
    settings: CellposeMethod, say: Callable[[str], None] | None = None
) -> CellposeNetwork:
    """Load the network of the settings; a process loads each file once for each device.

    Parameters
    ----------
    settings
        Which model, on which device, and whether it may be downloaded.
    say
        Takes what is to be said of a download; standard error by default.

    Raises
    ------
    MissingLibraryError
        Cellpose is not installed, cannot be imported, or is of another version.
    SettingsError
        Unknown model; a device that this computer lacks.
    ModelError, OutputError
        The file is missing, damaged, foreign, or cannot be downloaded.
    """
    version = installed_version()
    import_cellpose(version.text)
    device = torch_device(settings.device)
    name, path = find_model(settings, version, say)
    digest = sha256_of(path)
    return _load(name, path, stamp(path), digest, version.text, version.major, device)


@lru_cache(maxsize=1)
def import_cellpose(version: str) -> None:
    """Import Cellpose, without what it and torch say of themselves.

    Raises
    ------
    MissingLibraryError
        It cannot be imported.
    """
    # Cellpose warns of optional parts at its import and of every plane without nuclei.
    logging.getLogger("cellpose").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # Cellpose 3 imports parts of torch that warn of their age; it is not run with them.
            warnings.simplefilter("ignore", DeprecationWarning)
            import cellpose.core
            import cellpose.models  # noqa: F401
    except Exception as error:  # libraries that do not fit each other raise anything
        raise MissingLibraryError(
            f"cellpose {version} is installed but cannot be imported ({type(error).__name__}: "
            f"{error}); install it anew: pip install --force-reinstall cellpose=={version}"
        ) from error


@lru_cache(maxsize=2)
def _load(
    name: str,
    path: Path,
    _: tuple[int, int, int],
    digest: str,
    version: str,
    major: int,
    device: Any,
) -> CellposeNetwork:
    state = read_state(path)
    if ("W2" in state) != (major == 4):
        found = "Cellpose 3" if _FIRST.format(0) in state else "another network"
        raise ModelError(
            f"{path}: expected weights of Cellpose {major}, as {version} is installed; found those "
            f"of {'Cellpose 4' if major == 3 else found}"
        )
    module, channels = _cellpose3(state, path) if major == 3 else _cellpose4(state, path, device)
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return CellposeNetwork(
        name=name,
        sha256=digest,
        version=version,
        diameter_px=_diameter(name, path, state, major),
        channels=channels,
        tile_px=_TILE[major],
        device=device,
        module=module.to(device).eval(),
        path=path,
    )


def _diameter(name: str, path: Path, state: dict[str, Any], major: int) -> float:
    if major == 3 and path.name == _NUCLEI_FILE:
        return _NUCLEI_DIAMETER
    # As Cellpose 3 does, whatever its own files say.
    official = major == 3 and path.parent == model_folder() and name in model_names()
    if official or "diam_mean" not in state:
        return _DIAMETER
    value = float(state["diam_mean"].flatten()[0])
    if not 5 <= value <= 200:
        raise ModelError(f"{path}: says that its nuclei are {value:g} px wide, expected 5 to 200")
    return value


def _cellpose3(state: dict[str, Any], path: Path) -> tuple[Any, int]:
    """Build the residual U-Net as wide as the file says."""
    import torch
    from cellpose.resnet_torch import CPnet

    shapes: list[Any] = []
    while (first := state.get(_FIRST.format(len(shapes)))) is not None and first.ndim == 4:
        shapes.append(first.shape)
    if not shapes:
        raise ModelError(f"{path}: no network in the architecture of Cellpose 3")
    channels = int(shapes[0][1])
    if channels > 2:
        raise ModelError(
            f"{path}: takes {plural(channels, 'channel')}; expected 1 or 2, of which one is dark"
        )
    width = [int(shape[0]) for shape in shapes]
    with torch.device("meta"):
        module = CPnet([channels, *width], _OUTPUTS, sz=int(shapes[0][2]))
    _fill(module, state, path)
    module.register_forward_hook(_style_of_full_width)
    return module, channels


def _cellpose4(state: dict[str, Any], path: Path, device: Any) -> tuple[Any, int]:
    """Build the transformer with an encoder as in SAM."""
    import torch
    from cellpose import vit

    # 16 bit where it is faster, as Cellpose has it; CPUs as a rule emulate it.
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    if "encoder.cls_token" in state:
        raise ModelError(f"{path}: a network on DINOv3, which is not supported; use cpsam")
    with torch.device("meta"):
        module = vit.CPSAM(dtype=torch.float32)
    _fill(module, state, path)
    module.dtype = dtype
    return module, 1


def _fill(module: Any, state: dict[str, Any], path: Path) -> None:
    """Put weights into a network without any; what the file has beside them is left out."""
    import torch

    wanted = {name: value.shape for name, value in module.state_dict().items()}
    filled = {name: value for name, value in state.items() if name in wanted}
    for name in _DIAMETERS:
        filled.setdefault(name, torch.full((1,), math.nan))
    wrong = sorted(k for k in wanted if k not in filled or filled[k].shape != wanted[k])
    if wrong:
        raise ModelError(
            f"{path}: its weights do not fit a network of Cellpose: {len(wrong)} of {len(wanted)} "
            f"are missing or of another size, the first is {wrong[0]}"
        )
    for name, value in filled.items():
        if name not in _DIAMETERS and not bool(torch.isfinite(value).all()):
            raise ModelError(f"{path}: its weights are not all finite ({name})")
    module.load_state_dict(filled, assign=True)


def _style_of_full_width(module: Any, _: Any, out: Any) -> Any:
    """Fill the style vector of a narrow network, which nothing looks at, with zeros."""
    from torch.nn.functional import pad

    flows, style, *more = out
    return (flows, pad(style[:, :_STYLE], (0, max(0, _STYLE - style.shape[1]))), *more)

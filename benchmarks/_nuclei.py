"""What the benchmarks of segmentation share: methods, simulated fields, a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from _common import ROOT
from scipy import ndimage as ndi
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

from imganalysis.errors import ImganalysisError
from imganalysis.methods import Method, NetworkMethod, ScikitImageMethod
from imganalysis.segment import find_nuclei, model_facts
from imganalysis.simulate import simulate_field
from imganalysis.training_data import held_out, image_id

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from imganalysis.simulate import Recipe, SimulatedField

PIXEL_UM = 0.232
BBBC038 = "nuclei-2d-dsb2018"
PLAIN, CLASSICAL, NETWORK = "Gaussian, Otsu, watershed", "scikit-image", "network"
NESTS, DENSE = "nests", "dense infiltrate"


@dataclass(frozen=True)
class Way:
    """A method with its settings, the default ones.

    Parameters
    ----------
    name
        In the tables.
    settings
        Of the method.
    find
        (image, spacing in um, settings, threads) to labels.
    missing
        Why it cannot be used here; empty if it can.
    """

    name: str
    settings: Method
    find: Callable[..., NDArray[np.uint32]] = find_nuclei
    missing: str = ""

    def __call__(
        self, image: NDArray[Any], spacing: tuple[float, ...], threads: int = 1
    ) -> NDArray[np.uint32]:
        """Find nuclei."""
        return self.find(image, spacing, self.settings, threads)


def real_data(name: str) -> Path:
    """Find a folder of real images; without it the benchmark ends here."""
    data = Path(os.environ.get("IMGANALYSIS_TESTDATA", ROOT.parent / "shared" / "data"))
    if not (data / name).is_dir():
        sys.exit(f"no {data / name}: name the folder of the real images in IMGANALYSIS_TESTDATA")
    return data / name


def real_images(folder: Path, listing: Path, *, held: bool = True, most: int | None = None) -> int:
    """List the images of `BBBC038` that are held out, or the others, as pairs; their number."""
    paths = sorted(p for p in (folder / "images").glob("*.png") if held_out(image_id(p)) == held)
    rows = [f"{path.name},{(folder / 'masks' / path.stem).resolve()}.tif" for path in paths[:most]]
    listing.write_text("\n".join(["image,mask", *rows]) + "\n", encoding="utf-8")
    return len(rows)


def plain(
    image: NDArray[Any], spacing: tuple[float, ...], settings: Method, threads: int = 1
) -> NDArray[np.uint32]:
    """Find nuclei by a Gaussian of one pixel, Otsu, and watershed of the distance."""
    smooth = ndi.gaussian_filter(image.astype(np.float32), 1)
    if smooth.max() == smooth.min():
        return np.zeros(image.shape, np.uint32)
    mask = smooth > threshold_otsu(smooth)
    distance = ndi.distance_transform_edt(mask)
    apart = max(1, round(0.3 * settings.nucleus_diameter_um / spacing[-1]))
    peaks = peak_local_max(distance, min_distance=apart, labels=mask.astype(int))
    seeds = np.zeros(image.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return watershed(-distance, seeds, mask=mask).astype(np.uint32)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--model``."""
    parser.add_argument(
        "--model",
        default=NetworkMethod().model,
        metavar="FILE",
        help="network to use in place of the one that comes with the package, .onnx",
    )


def ways(model: str) -> list[Way]:
    """List the methods to compare, the plain one first, and what is missing of them."""
    found = []
    for way in unchecked_ways(model):
        try:
            model_facts(way.settings)
        except ImganalysisError as error:
            way = replace(way, missing=f"not measured: {error.message}")
        found.append(way)
    return found


def unchecked_ways(model: str) -> list[Way]:
    """List the methods, without a look at what they need."""
    return [
        Way(PLAIN, ScikitImageMethod(), plain),
        Way(CLASSICAL, ScikitImageMethod()),
        Way(NETWORK, NetworkMethod(model=model)),
    ]


def only(recipe: Recipe, week: int, compartment: str) -> Recipe:
    """Give a week's tissue to one compartment, ``nest`` or ``infiltrate``.

    What is left beside it is at most 2 % of the area, stroma.
    """
    spec = recipe.weeks[week]
    areas = {
        name: getattr(spec, name).model_copy(update={"area": float(name == compartment)})
        for name in ("nest", "infiltrate")
    }
    return recipe.model_copy(
        update={"weeks": {**recipe.weeks, week: spec.model_copy(update=areas)}}
    )


def picture(recipe: Recipe, field: SimulatedField) -> NDArray[np.float32]:
    """Nuclear stain of a field, mean over the planes, (Y, X)."""
    return volume(recipe, field).mean(axis=0, dtype=np.float32)


def volume(recipe: Recipe, field: SimulatedField) -> NDArray[Any]:
    """Nuclear stain of a field, (Z, Y, X)."""
    channels = recipe.panels[field.panel].channels
    patterns = [recipe.markers[channel.marker].pattern for channel in channels]
    stain: NDArray[Any] = field.stack.numpy([patterns.index("chromatin")])[0]
    return stain


def simulated(recipe: Recipe, kind: str, *, seed: int, size: int, **grid: Any) -> SimulatedField:
    """Simulate nests (week 0), or dense infiltrate (week 0), at `PIXEL_UM`."""
    panel, compartment = {
        NESTS: ("apoptosis", "nest"),
        DENSE: ("infiltrate", "infiltrate"),
    }[kind]
    return simulate_field(
        only(recipe, 0, compartment),
        panel,
        seed=seed,
        week=0,
        size_px=size,
        pixel_size_um=PIXEL_UM,
        **grid,
    )


def peak_mib() -> float:
    """Largest memory that this process has had, MiB."""
    status = Path("/proc/self/status")
    if status.is_file():  # Linux: what getrusage says there begins with the parent's
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    import resource  # Windows has none

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)


def in_process(script: str, arguments: Sequence[str], *, threads: int) -> dict[str, Any]:
    """Run a benchmark's own file in a fresh process on some cores, and read its answer.

    Parameters
    ----------
    script
        The file; it writes JSON into the file that its last argument names.
    arguments
        Before that one.
    threads
        Cores, and threads of every library.

    Raises
    ------
    subprocess.CalledProcessError
        It failed.
    """
    limits = ("OMP", "OPENBLAS", "MKL", "NUMBA", "VECLIB_MAXIMUM")
    environment = os.environ | {f"{name}_NUM_THREADS": str(threads) for name in limits}
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        subprocess.run(
            [sys.executable, script, *arguments, str(answer)], check=True, env=environment
        )
        read: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        return read


def stay_on(cores: int) -> None:
    """Keep this process to some cores, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])

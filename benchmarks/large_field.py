"""A field too large for memory, segmented by tiles: speed, peak memory, and nuclei found.

The field is one simulated field and its mirror images, so the number of its nuclei is known. Image
and labels lie in files that are mapped into memory; each method runs in a process of its own.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from _common import options, report
from _nuclei import (
    CLASSICAL,
    NESTS,
    NETWORK,
    PIXEL_UM,
    PLAIN,
    add_model,
    in_process,
    peak_mib,
    picture,
    simulated,
    stay_on,
    unchecked_ways,
    ways,
)

from imganalysis.segment import find_nuclei
from imganalysis.segment.labels import touching_border
from imganalysis.simulate import load_recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray

FIELD = "field"  # in place of a method: makes the field
WIDTH = 20_000
SEED = 57_000
THREADS = 2
GREY = 16  # levels of 16 bit for one of the field's 8 bits
LIMIT_GIB = 3.0
IMAGE, LABELS = "image.npy", "labels.npy"


def make_field(folder: Path, height: int, side: int) -> dict[str, Any]:
    """Write a field of uint16, and a file for its labels; the number of nuclei it shows.

    Each tile is the mirror image of its neighbours, so that a nucleus at a seam is one with its
    mirror image.
    """
    recipe = load_recipe("melanoma")
    field = simulated(recipe, NESTS, seed=SEED, size=side, planes=5)
    tile = np.round(picture(recipe, field) * GREY).astype(np.uint16)
    pair = np.concatenate([tile, tile[:, ::-1]], axis=1)
    band = np.tile(pair, (1, -(-WIDTH // (2 * side))))[:, :WIDTH]
    image = np.lib.format.open_memmap(
        folder / IMAGE, mode="w+", dtype=np.uint16, shape=(height, WIDTH)
    )
    for number, y in enumerate(range(0, height, side)):
        image[y : y + side] = band[:: -1 if number % 2 else 1][: height - y]
    image.flush()
    np.lib.format.open_memmap(folder / LABELS, mode="w+", dtype=np.uint32, shape=image.shape)
    each = int(field.labels.max()) - len(touching_border(field.labels)) / 2
    return {"nuclei": round(each * image.size / tile.size)}


def measure(name: str, model: str, folder: Path) -> dict[str, Any]:
    """Segment the field with one method in this process."""
    stay_on(THREADS)
    way = next(way for way in unchecked_ways(model) if way.name == name)
    image: NDArray[np.uint16] = np.load(folder / IMAGE, mmap_mode="r")
    labels: NDArray[np.uint32] = np.load(folder / LABELS, mmap_mode="r+")
    start = time.perf_counter()
    find_nuclei(image, (PIXEL_UM, PIXEL_UM), way.settings, THREADS, out=labels)
    seconds = time.perf_counter() - start
    peak = peak_mib()
    return {"seconds": seconds, "mib": peak, "found": highest(labels)}


def highest(labels: NDArray[np.uint32]) -> int:
    """Count the objects, whose labels are consecutive."""
    return max(int(labels[y : y + 256].max()) for y in range(0, len(labels), 256))


def child(arguments: list[str]) -> None:
    """Do what `in_process` asks for, and write the answer."""
    name, model, height, side, folder, answer = arguments
    if name == FIELD:
        result = make_field(Path(folder), int(height), int(side))
    else:
        result = measure(name, model, Path(folder))
    Path(answer).write_text(json.dumps(result), encoding="utf-8")


def main() -> None:
    """Segment the field with every method that finds nuclei, and report."""
    chosen = options(__doc__, add_model)
    height, side = (1_000, 500) if chosen.quick else (WIDTH, 1_000)
    rows: list[list[Any]] = []
    with tempfile.TemporaryDirectory() as folder:

        def run(name: str) -> dict[str, Any]:
            arguments = [name, chosen.model, str(height), str(side), folder]
            return in_process(__file__, arguments, threads=THREADS)

        field = run(FIELD)
        for way in ways(chosen.model):
            if way.name == PLAIN:
                continue
            if way.missing:
                rows.append([way.name, *[""] * 4, way.missing])
                continue
            one = run(way.name)
            rows.append(
                [
                    way.name,
                    one["seconds"],
                    height * WIDTH / 1e6 / one["seconds"],
                    one["mib"] / 1024,
                    one["found"] / field["nuclei"] - 1,
                    f"under {LIMIT_GIB:g} GiB",
                ]
            )
    short = " Quick: a strip of the field that is asked for." if chosen.quick else ""
    report(
        f"A field of {WIDTH} x {height} px",
        ["method", "seconds", "Mpx/s", "peak memory, GiB", "count error", "asked for"],
        rows,
        notes=f"uint16, {height * WIDTH * 2 / 2**30:.2f} GiB, one simulated field of nests of "
        f"{side} px and its mirror images, {field['nuclei']} nuclei. "
        f"{THREADS} cores, by tiles, from file to file. Memory is all that the process holds, "
        f"libraries included.{short}",
        target=chosen.json,
    )


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in (FIELD, CLASSICAL, NETWORK):
        child(sys.argv[1:])
    else:
        main()

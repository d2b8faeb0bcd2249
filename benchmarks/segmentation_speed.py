"""Megapixels per second and memory of every method, on one core and on two, warm.

Each method runs in a process of its own that is kept to so many cores. Beside them Cellpose 3's
own `CellposeModel.eval` with the weights of the same network, where Cellpose 3 is installed.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from _cellpose_eval import cellpose_eval, cellpose_missing
from _common import best_seconds, options, report
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

from imganalysis.segment.scores import count, overlap
from imganalysis.simulate import load_recipe

CELLPOSE = "Cellpose 3 eval, same network"
FIELD = "field"  # in place of a method: simulates what the methods look at
THREADS = (1, 2)
SEED = 54_000

# Method, threads -> what is aimed at.
ASKED = {
    (CLASSICAL, 1): "2 times the plain way",
    (CLASSICAL, 2): "4 Mpx/s, 2 times the plain way",
    (NETWORK, 1): "time and memory of Cellpose 3 eval or less",
    (NETWORK, 2): "1.5 Mpx/s, time and memory of Cellpose 3 eval or less",
}


def make_field(folder: Path, size: int) -> dict[str, Any]:
    """Simulate a field into a folder."""
    recipe = load_recipe("melanoma")
    field = simulated(recipe, NESTS, seed=SEED, size=size, planes=5)
    np.save(folder / "image.npy", picture(recipe, field))
    np.save(folder / "labels.npy", field.labels)
    return {"nuclei": int(field.labels.max())}


def measure(name: str, model: str, threads: int, repeats: int, folder: Path) -> dict[str, Any]:
    """Run one method in this process; seconds, memory beyond the imports, and its F1."""
    stay_on(threads)
    known = {way.name: way for way in unchecked_ways(model)}
    import_all(name)
    image, true = np.load(folder / "image.npy"), np.load(folder / "labels.npy")
    before = peak_mib()
    if name == CELLPOSE:
        find: Any = cellpose_eval(known[NETWORK].settings, PIXEL_UM, threads)  # type: ignore[arg-type]
    else:

        def find(image: Any) -> Any:
            return known[name](image, (PIXEL_UM, PIXEL_UM), threads)

    found = find(image)
    seconds = best_seconds(lambda: find(image), repeats=repeats)
    memory = peak_mib() - before
    return {
        "seconds": seconds,
        "mib": memory,
        "f1": count(overlap(true, found)).f1()[0],
    }


def import_all(name: str) -> None:
    """Import what a method imports when it is called, so that its memory is not the method's."""
    if name in (NETWORK, CELLPOSE):
        import onnxruntime  # noqa: F401
    if name == CELLPOSE:
        import cellpose.models  # noqa: F401
        import onnx  # noqa: F401


def child(arguments: list[str]) -> None:
    """Do what `in_process` asks for, and write the answer."""
    name, model, threads, repeats, folder, answer = arguments
    if name == FIELD:
        result = make_field(Path(folder), int(repeats))
    else:
        result = measure(name, model, int(threads), int(repeats), Path(folder))
    Path(answer).write_text(json.dumps(result), encoding="utf-8")


def main() -> None:
    """Measure every method on the same field, and report."""
    chosen = options(__doc__, add_model)
    size, repeats = (768, 1) if chosen.quick else (2048, 3)
    missing = {way.name: way.missing for way in ways(chosen.model)}
    missing[CELLPOSE] = cellpose_missing(missing[NETWORK])
    results: dict[tuple[str, int], dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:

        def run(name: str, threads: int, number: int) -> dict[str, Any]:
            arguments = [name, chosen.model, str(threads), str(number), folder]
            return in_process(__file__, arguments, threads=threads)

        field = run(FIELD, max(THREADS), size)
        for threads in THREADS:
            for name in missing:
                if not missing[name]:
                    results[name, threads] = run(name, threads, repeats)
    mpx = size**2 / 1e6
    rows: list[list[Any]] = []
    for name in missing:
        for threads in THREADS:
            asked = ASKED.get((name, threads), "")
            if missing[name]:
                rows.append([name, threads, *[""] * 6, missing[name]])
                continue
            one = results[name, threads]
            rows.append(
                [
                    name,
                    threads,
                    mpx / one["seconds"],
                    results[PLAIN, threads]["seconds"] / one["seconds"],
                    ratio(results, name, threads, "seconds"),
                    one["mib"],
                    ratio(results, name, threads, "mib"),
                    one["f1"],
                    asked,
                ]
            )
    report(
        "Speed and memory of segmentation",
        ["method", "cores", "Mpx/s", "speed over the plain way", "time over Cellpose 3 eval",
         "memory, MiB", "memory over Cellpose 3 eval", "F1@0.5", "asked for"],
        rows,
        notes=f"One simulated field of nests, {size} x {size} px at {PIXEL_UM} um, "
        f"{field['nuclei']} nuclei, in memory; best of {repeats} after a first run. Each method in "
        "a fresh process kept to so many cores. Memory: the process's peak beyond what it had "
        "with its libraries and the field, compilation included. Cellpose 3: "
        "`CellposeModel.eval` with its defaults, the same weights, the same diameter and "
        "smallest nucleus.",
        target=chosen.json,
    )  # fmt: skip


def ratio(
    results: dict[tuple[str, int], dict[str, Any]], name: str, threads: int, what: str
) -> float | str:
    """Divide a method's seconds or memory by Cellpose's, where they were measured."""
    other = results.get((CELLPOSE, threads))
    return "" if other is None else float(results[name, threads][what] / other[what])


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in (FIELD, PLAIN, CLASSICAL, NETWORK, CELLPOSE):
        child(sys.argv[1:])
    else:
        main()

"""Measuring nuclei, rings and cells: beside scikit-image, mcquant, cp_measure and a plain copy.

Peers measure the nuclei alone, since they know no other compartment; each is compared with the
same columns here, on the same arrays, in one run.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from _common import best_seconds as best_of
from _common import options, report
from _measuring import (
    CP_COLUMNS,
    CP_INSTALL,
    PITCH,
    by_cp_measure,
    by_mcquant,
    by_regionprops,
    has_cp_measure,
    make_field,
    ours,
)
from _nuclei import in_process, peak_mib

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

CHANNELS = 4
SIDE, QUICK_SIDE, LARGEST = 4096, 1024, 20480
LEAST = 2048  # a smaller field would fit into the processor's cache
CHILD = "peak"
MEANS: dict[str, Any] = {"statistics": ("mean",)}
SAME: dict[str, dict[str, Any]] = {
    "regionprops_table": {"statistics": ("mean", "sd", "min", "max"), "solidity": True},
    "cp_measure": {"statistics": CP_COLUMNS, "solidity": True},
    "mcquant": {"statistics": ("mean",), "solidity": True},
}
"""What is asked for here to have the columns of a peer."""

PEERS = {
    "regionprops_table": (by_regionprops, 30.0),
    "cp_measure": (by_cp_measure, 5.0),
    "mcquant": (by_mcquant, 5.0),
}


def best_seconds(call: Callable[[], object], *, repeats: int) -> float:
    """Shortest processor time of several runs; all that is compared runs in one thread."""
    return best_of(call, repeats=repeats, clock=time.process_time)


def add_side(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--side``."""
    parser.add_argument(
        "--side", type=int, metavar="N", help=f"pixels, 1024 times a power of 2; usually {SIDE}"
    )


def against_peers(side: int, repeats: int) -> tuple[list[list[Any]], dict[str, Any]]:
    """Seconds of each peer and of the same columns here."""
    labels, images = make_field(side, CHANNELS, np.float32)
    nucleus = {"nucleus": labels["nucleus"]}
    small, few = make_field(256, CHANNELS, np.float32)
    rows, figures = [], {}
    for name, (peer, aim) in PEERS.items():
        wanted = f"at least {aim:g} times faster"
        if name == "cp_measure" and not has_cp_measure():
            rows.append([name, "", "", "", CP_INSTALL])
            figures[f"vs_{name}"] = None
            continue
        peer(small, few)  # compiles
        ours({"nucleus": small["nucleus"]}, few, **SAME[name])
        own = best_seconds(lambda name=name: ours(nucleus, images, **SAME[name]), repeats=repeats)
        theirs = best_seconds(lambda peer=peer: peer(labels, images), repeats=1)
        again = best_seconds(lambda name=name: ours(nucleus, images, **SAME[name]), repeats=repeats)
        ratio = theirs / min(own, again)
        figures[f"vs_{name}"] = ratio
        rows.append([f"the columns of {name}", min(own, again), theirs, ratio, wanted])
    return rows, figures


def against_copy(side: int, repeats: int) -> tuple[list[list[Any]], dict[str, Any]]:
    """Means in three compartments, as multiples of a copy of the pixels."""
    rows, figures = [], {}
    for dtype, key in ((np.float32, "vs_copy"), (np.uint16, "vs_copy_uint16")):
        labels, images = make_field(side, CHANNELS, dtype)
        target = np.zeros_like(images)
        ours(labels, images, **MEANS)  # compiles
        own, copy, sd = [], [], []
        for _ in range(repeats):  # in turn, so that what else goes on meets both
            copy.append(best_seconds(lambda t=target, i=images: np.copyto(t, i), repeats=3))
            own.append(best_seconds(lambda a=labels, i=images: ours(a, i, **MEANS), repeats=1))
        sd.append(best_seconds(lambda a=labels, i=images: ours(a, i), repeats=repeats))
        figures[key] = min(own) / min(copy)
        name = f"means, three compartments, {np.dtype(dtype).name}"
        rows.append([name, min(own), min(copy), figures[key], "at most 8 times the copy"])
        rows.append(
            [f"means and SDs, the same, {np.dtype(dtype).name}", min(sd), min(copy),
             min(sd) / min(copy), ""]
        )  # fmt: skip
    return rows, figures


def growth(sides: list[int], repeats: int) -> tuple[list[list[Any]], dict[str, Any]]:
    """Nanoseconds per pixel and channel: by pixels, by cells, in space, by tile."""
    rows: list[list[Any]] = []
    figures: dict[str, Any] = {"ns_per_pixel": {}, "ns_per_pixel_by_cells": {}}

    def one(name: str, labels: Any, images: Any, pixels: int, first: float | None) -> float:
        seconds = best_seconds(lambda: ours(labels, images, **MEANS), repeats=repeats)
        each = seconds / pixels / CHANNELS * 1e9
        rows.append([name, seconds, each, 1.0 if first is None else each / first, ""])
        return each

    first = None
    for side in sides:
        if side >= LARGEST and _free_gib() < 14:
            rows.append([f"{side**2 / 1e6:.0f} Mpx", "", "", "", "needs 14 GiB of free memory"])
            continue
        labels, images = make_field(side, CHANNELS, np.uint16)
        cells = int(labels["nucleus"].max())
        name = f"{side**2 / 1e6:.1f} Mpx, {cells} cells"
        each = one(name, labels, images, side**2, first)
        first = first or each
        figures["ns_per_pixel"][str(side**2)] = each
        del labels, images
    side = sides[0]
    first = None
    for pitch in (48, 24, 16, 12):
        labels, images = make_field(side, CHANNELS, np.uint16, pitch)
        cells = int(labels["nucleus"].max())
        each = one(f"{side**2 / 1e6:.1f} Mpx, {cells} cells", labels, images, side**2, first)
        first = first or each
        figures["ns_per_pixel_by_cells"][str(cells)] = each
    labels, images = make_field(side, CHANNELS, np.uint16)
    flat = one("a plane, again", labels, images, side**2, None)
    deep = {name: np.stack([label] * 8) for name, label in labels.items()}
    stack = np.stack([images] * 8, axis=1)
    figures["voxel_over_pixel"] = (
        one("8 such planes, in 3-D", deep, stack, 8 * side**2, flat) / flat
    )
    lazy = {name: da.from_array(label, (512, 512)) for name, label in labels.items()}
    tiles = one("the plane, by dask tiles of 512 px", lazy, da.from_array(images, (1, 512, 512)),
                side**2, flat)  # fmt: skip
    figures["tiles_over_whole"] = tiles / flat
    return rows, figures


def _free_gib() -> float:
    facts = Path("/proc/meminfo")
    if not facts.is_file():
        return 0.0
    line = next(x for x in facts.read_text().splitlines() if x.startswith("MemAvailable"))
    return int(line.split()[1]) / 2**20


def peak(side: int) -> dict[str, Any]:
    """Largest memory beyond the input, as a share of it, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        labels, images = make_field(side, CHANNELS, np.float32)
        np.save(Path(folder) / "images.npy", images)
        for name, label in labels.items():
            np.save(Path(folder) / f"{name}.npy", label)
        del labels, images
        return in_process(__file__, [CHILD, folder], threads=1)


def child(folder: Path, answer: Path) -> None:
    """Measure in this process, and write its peak memory."""
    labels, images = make_field(256, CHANNELS, np.float32)
    for wanted in (MEANS, {}):
        ours(labels, images, **wanted)  # compiles
    labels = {name: np.load(folder / f"{name}.npy") for name in labels}
    images = np.load(folder / "images.npy")
    size = (images.nbytes + sum(label.nbytes for label in labels.values())) / 2**20
    found = {}
    for name, wanted in (("means", MEANS), ("means and SDs", {})):
        before = peak_mib()
        ours(labels, images, **wanted)
        found[name] = (peak_mib() - before) / size
    answer.write_text(json.dumps(found), encoding="utf-8")


def main() -> None:
    """Measure, and report."""
    chosen = options(__doc__, add_side)
    side = chosen.side or (QUICK_SIDE if chosen.quick else SIDE)
    repeats = 3 if chosen.quick else 5
    large = max(side, LEAST)
    sides = [LEAST, 2 * LEAST] if chosen.quick else [LEAST, SIDE, 2 * SIDE]
    if not (chosen.quick or chosen.side):
        sides.append(LARGEST)
    peers, figures = against_peers(side, repeats)
    copies, more = against_copy(large, 2 * repeats)
    figures |= more
    grown, more = growth(sides, repeats)
    figures |= more
    memory = peak(large)
    figures["peak_over_input"] = memory["means"]
    rows = [*peers, *copies]
    rows += [[name, own, f"{each:.3g} ns" if each else "", ratio, aim]
             for name, own, each, ratio, aim in grown]  # fmt: skip
    rows += [
        [f"peak memory beyond the input, {name}", "", "", share, "at most 0.2 of it"]
        for name, share in memory.items()
    ]
    report(
        "Measuring",
        ["what", "seconds", "peer, copy, or time per pixel and channel", "ratio", "asked for"],
        rows,
        notes=f"{side} x {side} px, {CHANNELS} channels, {_cells(side)} cells; against the "
        f"copy {max(side, LEAST)} px, so that it does not fit into the cache. "
        f"Processor seconds, best of {repeats}, one thread. Peers measure the nuclei alone, once "
        "each. cp_measure with its numba parts; it adds columns that cannot be switched off "
        "(median absolute deviation, centre of mass, radii). mcquant's way: regionprops_table "
        "once per channel for the means and once for the shape. Copy: `np.copyto` of the same "
        "pixels into a buffer already touched; the means read three label images besides.",
        target=chosen.json,
        figures=figures,
    )


def _cells(side: int) -> int:
    small = min(side, 1024)
    return (small // PITCH) ** 2 * (side // small) ** 2


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] == CHILD:
        child(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()

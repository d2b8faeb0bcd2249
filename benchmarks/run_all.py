"""Run every benchmark and write RESULTS.md beside them, with the machine and the versions."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from _common import ROOT, markdown

FOLDER = Path(__file__).resolve().parent
LIBRARIES = (
    "imganalysis", "numpy", "scipy", "scikit-image", "pandas", "numba", "bioio", "onnxruntime",
    "torch", "cellpose",
)  # fmt: skip


def benchmarks() -> list[Path]:
    """Every benchmark, by name."""
    return sorted(
        path
        for path in FOLDER.glob("*.py")
        if not path.name.startswith("_") and path.name != Path(__file__).name
    )


def reason_to_skip(path: Path) -> str:
    """Say why a benchmark cannot be run here; empty where it can."""
    if not path.stem.startswith("plugin") or not sys.platform.startswith("linux"):
        return ""
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return ""
    return "no screen: run it under xvfb-run, as make bench does where it is installed"


def processor() -> str:
    """Model of the processor."""
    facts = Path("/proc/cpuinfo")
    if facts.is_file():
        for line in facts.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def versions() -> str:
    """Versions of what is installed of `LIBRARIES`."""
    found = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:  # an extra
            found.append(f"no {name}")
    return ", ".join(found)


def cores() -> int:
    """Processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        return os.cpu_count() or 1


def run_one(path: Path, *, quick: bool) -> str:
    """Markdown of one benchmark's results.

    Raises
    ------
    subprocess.SubprocessError
        It failed.
    OSError
        It wrote no table.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "result.json"
        command = [sys.executable, str(path), "--json", str(target)]
        subprocess.run(
            [*command, *(["--quick"] if quick else [])],
            check=True,
            cwd=ROOT,
        )
        return markdown(json.loads(target.read_text(encoding="utf-8")))


def main() -> int:
    """Run all, write the file; 1 if a benchmark failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="each in under 50 s")
    parser.add_argument("--out", type=Path, default=FOLDER / "RESULTS.md", metavar="FILE")
    options = parser.parse_args()
    command = "make bench QUICK=1" if options.quick else "make bench"
    parts = [
        "# Benchmarks\n",
        f"Written by `{command}`" + (" (each once, briefly)" if options.quick else "") + ".\n",
        f"- processor: {processor()}, {cores()} cores\n- system: {platform.platform()}\n"
        f"- Python {platform.python_version()}, {versions()}\n",
    ]
    failed = []
    for path in benchmarks():
        if reason := reason_to_skip(path):
            print(f"{path.stem}: skipped, {reason}")
            parts.append(f"## {path.stem}\n\nNot run: {reason}.\n")
            continue
        try:
            parts.append(run_one(path, quick=options.quick))
        except (subprocess.SubprocessError, OSError) as error:
            failed.append(path.stem)
            print(error, file=sys.stderr)
            parts.append(f"## {path.stem}\n\nFailed.\n")
    options.out.write_text("\n".join(parts), encoding="utf-8")
    print(f"{options.out}: written" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

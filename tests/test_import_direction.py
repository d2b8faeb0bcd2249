"""Who imports whom, read from the source: an arrow imports only to its right.

``cli, napari_imganalysis -> pipeline -> {report, cohort} -> {engine, study, corrections} ->
{segment, quantify, classify, prepare, simulate} -> {tables, panel, settings, stack} -> errors``,
and ``io`` beside them. An import inside a function or under ``TYPE_CHECKING`` counts too.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "imganalysis"
PLUGIN = ROOT / "plugins" / "napari" / "napari_imganalysis"

GROUND = frozenset(
    "tables label_places words panel panel_check panel_contexts panel_fractions panel_match "
    "panel_reference "
    "settings settings_artefacts settings_base settings_calibration settings_counting "
    "settings_gating settings_neighbours settings_space methods stack mapped tables_biopsies "
    "tables_cohort run_file".split()
)
STEPS = frozenset({"segment", "quantify", "classify", "prepare", "simulate"})
AROUND = frozenset({"engine", "study", "corrections"})
SHOWN = frozenset({"report", "cohort"})
PIPELINE = frozenset(
    "pipeline records opening reading preparing artefacts quality first_half second_half guarding "
    "counting death field_table pictures results training_data annotated annotations evaluating "
    "segmenting calibrate calibration_file calibration_parts control_fields counted doubts "
    "gating gate_review gate_changes moving held blanking corrected_cells learning "
    "outline_files correcting correction_session correction_state corrected_training outlining "
    "remeasuring remeasured regiving compartments _windows cohorting cohort_results agreeing "
    "powering given positive_controls".split()
)
READING = frozenset({"io"})

BELOW_STEPS = GROUND | {"errors"}
BELOW_SHOWN = BELOW_STEPS | STEPS | AROUND
BELOW_PIPELINE = BELOW_SHOWN | SHOWN | READING
BELOW_CLI = BELOW_PIPELINE | PIPELINE
# Of the command line, one file each.
COMMANDS = frozenset(
    "cli_train cli_evaluate cli_options cli_segment cli_gate cli_panel cli_classifier "
    "cli_cohort cli_agree cli_power".split()
)

# What each part of the package may import, itself aside. A new part is entered here.
MAY_IMPORT: dict[str, frozenset[str]] = {
    "errors": frozenset(),
    **dict.fromkeys(GROUND, BELOW_STEPS),
    **dict.fromkeys(READING, frozenset({"errors", "stack", "settings", "mapped"})),
    **dict.fromkeys(STEPS, BELOW_STEPS),
    **dict.fromkeys(AROUND, BELOW_STEPS | STEPS),
    "cohort": BELOW_SHOWN,
    "report": BELOW_SHOWN | READING,
    **dict.fromkeys(PIPELINE, BELOW_CLI),
    **dict.fromkeys(COMMANDS, BELOW_CLI | COMMANDS),
    "cli": BELOW_CLI | COMMANDS,
    "napari_imganalysis": BELOW_CLI,
}

# Libraries that only some parts may import.
SCREENS = "napari npe2 qtpy PyQt5 PyQt6 PySide2 PySide6 magicgui superqt vispy".split()
IMAGE_FILES = (
    "bioio bioio_base bioio_czi bioio_lif bioio_nd2 bioio_ome_tiff bioio_ome_zarr bioio_tifffile "
    "aicsimageio tifffile liffile czifile nd2 imageio zarr ome_types skimage.io"
).split()
ONLY_IN: dict[str, frozenset[str]] = {
    **dict.fromkeys(("matplotlib", "rich"), frozenset({"report"})),
    **dict.fromkeys(("typer",), COMMANDS | {"cli"}),
    **dict.fromkeys(SCREENS, frozenset({"napari_imganalysis"})),
    **dict.fromkeys(IMAGE_FILES, READING),
}


class Found(NamedTuple):
    """An import: who, what (dotted), and where it stands."""

    importer: str
    imported: str
    place: str


def part_of(dotted: str) -> str:
    """``imganalysis.io.tiff`` is of part ``io``; the plugin is one part."""
    names = dotted.split(".")
    if names[0] == "napari_imganalysis":
        return names[0]
    return names[1] if len(names) > 1 else ""


def imports_of(source: str, module: str, *, is_package: bool = False) -> list[Found]:
    """Every import of a module: at its top, in functions, for types, by ``import_module``."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    found = []
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            # `from package import x`: x may be a module of it.
            names = [f"{origin}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and node.args:
            function = node.func
            called = getattr(function, "attr", getattr(function, "id", ""))
            first = node.args[0]
            if called in {"import_module", "__import__"} and isinstance(first, ast.Constant):
                names = [str(first.value)]
        found += [Found(module, name, f"line {getattr(node, 'lineno', 0)}") for name in names]
    return found


def complaint(found: Found) -> str:
    """Why an import is forbidden, or empty."""
    importer = part_of(found.importer)
    said = f"{found.importer} {found.place}: imports {found.imported}, "
    for library, parts in ONLY_IN.items():
        if f"{found.imported}.".startswith(f"{library}.") and importer not in parts:
            return said + f"which only {', '.join(sorted(parts))} may"
    if found.imported.split(".")[0] not in {"imganalysis", "napari_imganalysis"}:
        return ""
    if importer not in MAY_IMPORT:
        return f"{found.importer}: part {importer!r} has no place in MAY_IMPORT"
    imported = part_of(found.imported)
    if imported in {"", "__version__", importer}:
        return ""
    if imported not in MAY_IMPORT:
        return said + "a name of the public API; import it from the module that holds it"
    if imported not in MAY_IMPORT[importer]:
        return said + f"but {importer} may import only {sorted(MAY_IMPORT[importer])}"
    return ""


def modules() -> dict[str, Path]:
    """Dotted names and files of both import packages."""
    found = {}
    for folder in (PACKAGE, PLUGIN):
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder.parent).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@pytest.mark.parametrize("module", [name for name in modules() if name != "imganalysis"])
def test_a_module_imports_only_to_its_right(module: str) -> None:
    path = modules()[module]
    found = imports_of(
        path.read_text(encoding="utf-8"), module, is_package=path.name == "__init__.py"
    )
    complaints = [text for text in map(complaint, found) if text]
    assert not complaints, "\n".join(complaints)


def test_every_part_has_its_place() -> None:
    parts = {part_of(name) for name in modules()} - {""}
    assert parts <= set(MAY_IMPORT), f"enter in MAY_IMPORT: {sorted(parts - set(MAY_IMPORT))}"


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("imganalysis.segment.cells", "import imganalysis.quantify"),
        ("imganalysis.segment.cells", "from imganalysis import quantify"),
        ("imganalysis.segment.cells", "from ..quantify import rows"),
        ("imganalysis.quantify.rows", "from imganalysis.io import read_stack"),
        ("imganalysis.quantify.rows", "def f():\n    from imganalysis.classify import gates"),
        (
            "imganalysis.classify.gates",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import imganalysis.prepare.x",
        ),
        ("imganalysis.prepare.focus", "import matplotlib.pyplot as plt"),
        ("imganalysis.prepare.focus", "from qtpy import QtCore"),
        ("imganalysis.classify.gates", "def f():\n    import napari"),
        ("imganalysis.simulate.render", "import importlib\nimportlib.import_module('tifffile')"),
        ("imganalysis.study", "from skimage.io import imread"),
        ("imganalysis.io.labels", "from imganalysis.tables import write_atomic"),
        ("imganalysis.errors", "from imganalysis.stack import Stack"),
        ("imganalysis.report.html", "from imganalysis.pipeline import run_study"),
        ("imganalysis.pipeline", "from imganalysis.cli import app"),
        ("imganalysis.pipeline", "import napari_imganalysis"),
        ("imganalysis.segment.cells", "from imganalysis import Stack"),
        ("imganalysis.novelty", "from imganalysis.stack import Stack"),
    ],
)
def test_a_forbidden_import_is_caught(module: str, source: str) -> None:
    assert any(complaint(found) for found in imports_of(source, module))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("imganalysis.segment.cells", "from ._skimage import seeds"),
        ("imganalysis.segment.cells", "from imganalysis.stack import Stack"),
        ("imganalysis.segment.cells", "from skimage.segmentation import watershed"),
        ("imganalysis.report.overlay", "import matplotlib"),
        ("imganalysis.results", "from imganalysis import __version__"),
        ("napari_imganalysis._reader", "from imganalysis.io import read_stack"),
    ],
)
def test_an_allowed_import_is_not_caught(module: str, source: str) -> None:
    assert not any(complaint(found) for found in imports_of(source, module))


def test_relative_imports_are_resolved_from_packages_too() -> None:
    inside = imports_of("from . import rows", "imganalysis.quantify", is_package=True)
    above = imports_of("from .. import io", "imganalysis.quantify", is_package=True)
    assert [found.imported for found in inside + above] == [
        "imganalysis.quantify.rows",
        "imganalysis.io",
    ]


@pytest.mark.parametrize("module", list(modules()))
def test_no_module_is_over_400_lines(module: str) -> None:
    lines = len(modules()[module].read_text(encoding="utf-8").splitlines())
    assert lines <= 400, f"{module} has {lines} lines: cut it in two"

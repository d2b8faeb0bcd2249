"""The package as a whole: light to import, errors as drawn, names as promised, one wheel."""

from __future__ import annotations

import ast
import builtins
import inspect
import pickle
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import get_args

import pytest
import yaml

import imganalysis
from imganalysis import errors
from imganalysis.errors import ImganalysisError
from imganalysis.panel import Phenotype

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

HEAVY = (
    "numpy pandas scipy skimage sklearn statsmodels torch cellpose dask distributed matplotlib "
    "bioio aicsimageio tifffile zarr numba pyarrow openpyxl qtpy napari"
).split()

ERRORS = [
    value
    for _, value in inspect.getmembers(errors, inspect.isclass)
    if issubclass(value, ImganalysisError)
]


def heavy_modules_after(code: str) -> set[str]:
    """Heavy libraries that a fresh Python holds after running the code."""
    tail = "\nimport sys; print('\\n' + ' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code + tail], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert "imganalysis" in loaded
    return loaded & set(HEAVY)


HELP = """
import sys
sys.argv = ["imganalysis", *{arguments!r}]
from imganalysis.cli import main
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert heavy_modules_after("import imganalysis") == set()


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    assert heavy_modules_after(HELP.format(arguments=arguments)) == set()


def test_the_check_for_heavy_modules_sees_one() -> None:
    assert heavy_modules_after("import imganalysis, numpy") == {"numpy"}


@pytest.mark.parametrize("error", ERRORS)
def test_each_error_is_a_builtin_error_too_with_a_docstring_and_a_word(
    error: type[ImganalysisError],
) -> None:
    if error is not ImganalysisError:
        others = set(error.__mro__) - {Exception, BaseException, object}
        assert any(getattr(builtins, base.__name__, None) is base for base in others)
    assert error.__doc__
    assert re.fullmatch(r"[a-z0-9_]+", error.reason)
    assert issubclass(error, ImganalysisError)


def test_each_error_has_a_word_of_its_own() -> None:
    words = [error.reason for error in ERRORS]
    assert len(set(words)) == len(words)


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    drawn: dict[str, tuple[str, str]] = {}
    above = {0: "ImganalysisError"}
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(
            r"^ +(?P<bars>[│├└─ ]*)(?P<name>[A-Z]\w+Error)(?: \((?P<builtin>\w+)\))?", line
        )
        if match is None or match["name"] == "ImganalysisError":
            continue
        depth = len(match["bars"]) // 4
        above[depth] = match["name"]
        drawn[match["name"]] = (above[depth - 1], match["builtin"] or "")
    built: dict[str, tuple[str, str]] = {}
    for error in ERRORS:
        if error is ImganalysisError:
            continue
        own = [base.__name__ for base in error.__bases__ if not issubclass(base, ImganalysisError)]
        built[error.__name__] = (error.__bases__[0].__name__, ", ".join(own))
    assert drawn == built


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_crosses_process_borders_with_its_reason(error: type[ImganalysisError]) -> None:
    for before in (error("what, where, what to do"), error("the same", reason="another_word")):
        after = pickle.loads(pickle.dumps(before))  # noqa: S301
        assert type(after) is error
        assert (str(after), after.reason) == (str(before), before.reason)


# What the package promises. A name is taken away in a new major version only, and after a warning.
EXPORTS = [
    "ImganalysisError",
    "Measured",
    "Panel",
    "PixelSize",
    "Series",
    "Settings",
    "Stack",
    "Task",
    "analyse_field",
    "analyse_study",
    "list_series",
    "load_panel",
    "measure_stack",
    "open_study",
    "read_labels",
    "read_stack",
    "run_study",
    "write_labels",
    "write_stack",
]


def test_the_public_names_are_those_promised() -> None:
    assert imganalysis.__all__ == EXPORTS
    assert set(EXPORTS) <= set(dir(imganalysis))


@pytest.mark.parametrize("name", EXPORTS)
def test_each_public_name_is_there_with_a_docstring(name: str) -> None:
    assert getattr(imganalysis, name).__doc__


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'novelty'"):
        imganalysis.novelty  # noqa: B018


def test_the_version_stands_in_one_release() -> None:
    version = PYPROJECT["project"]["version"]
    assert imganalysis.__version__ == version
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[(.+?)\]", changes, flags=re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert headings[1:2] in ([], [version])


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Names in a wheel built from the source."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_the_wheel_holds_both_packages_and_what_they_read(wheel: list[str]) -> None:
    data = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "imganalysis").rglob("*")
        if path.suffix in {".yaml", ".csv", ".onnx", ".pt", ".md"} or path.name == "py.typed"
    ]
    assert any(name.startswith("imganalysis/panels/") for name in data)
    assert "imganalysis/models/nuclei.onnx" in data
    plugin = ["napari_imganalysis/napari.yaml", "napari_imganalysis/py.typed"]
    wanted = {*data, *plugin, "imganalysis/__init__.py", "napari_imganalysis/__init__.py"}
    assert wanted <= set(wheel)
    assert any(name.endswith("dist-info/licenses/LICENSE") for name in wheel)


def test_the_wheel_holds_nothing_else(wheel: list[str]) -> None:
    tops = {name.split("/")[0] for name in wheel}
    info = f"imganalysis-{imganalysis.__version__}.dist-info"
    assert tops == {"imganalysis", "napari_imganalysis", info}
    assert not [name for name in wheel if "test" in name or name.endswith((".tif", ".parquet"))]


# Words of every panel, not of one: colours, the nuclear channel's common names, and letters
# that also name an axis or a type.
EVERY_PANEL = {"red", "green", "blue", "yellow", "nuclei", "nucleus", "nuclear", "DNA", "T"}


def panel_words() -> set[str]:
    """Markers with their other names, classes and fractions of the built-in panels."""
    words: set[str] = set()
    for path in sorted((ROOT / "imganalysis" / "panels").glob("*.yaml")):
        panel = yaml.safe_load(path.read_text(encoding="utf-8"))
        for channel in panel["channels"]:
            words |= {channel["marker"], *channel.get("names", [])}
        words |= {row["name"] for row in panel["phenotypes"]}
        words |= {row["name"] for row in panel["fractions"]}
    roles = get_args(Phenotype.model_fields["role"].annotation)
    return words - EVERY_PANEL - set(roles)


def words_pattern(words: set[str]) -> re.Pattern[str]:
    """Any of the words, whole, in whatever case and however its parts are joined."""
    parts = [r"[-_ /]?".join(map(re.escape, re.split(r"[-_ /]", word))) for word in words]
    longest_first = sorted(parts, key=lambda part: (-len(part), part))
    return re.compile(rf"(?<![a-z0-9])(?:{'|'.join(longest_first)})(?![a-z0-9])", re.IGNORECASE)


def code_words(source: str) -> list[tuple[int, str]]:
    """Names and texts of a module with their lines; docstrings and comments may give examples."""
    tree = ast.parse(source)
    # A text that is a statement of its own documents what it stands under or after.
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in docstrings:
                found.append((node.lineno, node.value))
            continue
        for attribute in ("id", "attr", "arg", "name", "asname"):
            value = getattr(node, attribute, None)
            if isinstance(value, str):
                found.append((getattr(node, "lineno", 0), value))
    return found


@pytest.mark.parametrize(
    "path",
    [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "imganalysis").rglob("*.py"))],
)
def test_no_marker_and_no_class_is_named_in_code(path: str) -> None:
    pattern = words_pattern(panel_words())
    source = (ROOT / path).read_text(encoding="utf-8")
    hits = [f"{path}:{line}: {text!r}" for line, text in code_words(source) if pattern.search(text)]
    assert not hits, "belongs into a panel or recipe file:\n" + "\n".join(hits)


@pytest.mark.parametrize(
    "source",
    [
        "cd3_gate = 1",
        "x = 'CD56_ring_mean'",
        "def melan_a(): pass",
        "f(Caspase_3=1)",
        "table.pct_nk",
        "x = f'{y} tumour vital'",
        "class NK: pass",
    ],
)
def test_a_marker_or_class_in_code_is_caught(source: str) -> None:
    pattern = words_pattern(panel_words())
    assert any(pattern.search(text) for _, text in code_words(source))


@pytest.mark.parametrize(
    "source",
    ['"""CD3, for example."""', "x = 1  # as for CD3", "x = 'TCZYX'", "pink = 1", "red = 'tumour'"],
)
def test_an_example_in_a_docstring_or_a_common_word_is_none(source: str) -> None:
    pattern = words_pattern(panel_words())
    assert not any(pattern.search(text) for _, text in code_words(source))

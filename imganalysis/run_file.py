"""The record of a run, ``run.json``, by which results are known; who reads results starts here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from imganalysis import __version__
from imganalysis.errors import StudyError
from imganalysis.panel import Panel
from imganalysis.settings import Settings, explain

if TYPE_CHECKING:
    from pathlib import Path

RUN = "run.json"
"""Its name in a folder of results."""
OUR_KEY = "imganalysis"
"""Its key by which results are known for ours: the version that made them."""

Model = TypeVar("Model", bound=BaseModel)


def read_run(folder: Path) -> dict[str, Any]:
    """Read the record of the run that made a folder of results.

    Raises
    ------
    StudyError
        The folder holds no results of this package.
    """
    try:
        record = json.loads((folder / RUN).read_text(encoding="utf-8"))
        why = "" if isinstance(record, dict) and OUR_KEY in record else f"not written by {OUR_KEY}"
    except FileNotFoundError:
        why = "not there"
    except (OSError, ValueError) as error:
        why = f"cannot be read, {getattr(error, 'strerror', None) or error}"
    if why:
        raise StudyError(
            f"{folder}: holds no results of imganalysis run ({RUN}: {why}); name the folder that "
            f"was given to --out. A study is analysed first: imganalysis run {folder} --out RESULTS"
        )
    return dict(record)


def run_panels(folder: Path, record: dict[str, Any]) -> dict[str, Panel]:
    """Read the panels that a folder of results was made with, by name.

    Parameters
    ----------
    folder
        Of the results.
    record
        Of the run, as `read_run` gives it.

    Raises
    ------
    StudyError
        They are not those of this version.
    """
    panels = record.get("panels")
    if not isinstance(panels, dict):
        raise StudyError(_unlike(folder, record, "panels: none"))
    return {
        name: _checked(Panel, content, f"panels.{name}", folder, record)
        for name, content in panels.items()
    }


def run_settings(folder: Path, record: dict[str, Any]) -> Settings:
    """Read the settings that a folder of results was made with.

    Parameters
    ----------
    folder, record
        As for `run_panels`, whose errors are raised.
    """
    return _checked(Settings, record.get("settings"), "settings", folder, record)


def read_panels(folder: Path) -> dict[str, Panel]:
    """Read the panels alone; see `run_panels`.

    Raises
    ------
    StudyError
        The folder holds no results, or those of a version with other panels.
    """
    return run_panels(folder, read_run(folder))


def _checked(
    model: type[Model], content: Any, key: str, folder: Path, record: dict[str, Any]
) -> Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise StudyError(_unlike(folder, record, f"{key}: {explain(error)}")) from None


def _unlike(folder: Path, record: dict[str, Any], what: str) -> str:
    made_by = record[OUR_KEY]
    if made_by == __version__:
        return f"{folder / RUN}: not as the run wrote it ({what}). Run the analysis again"
    return (
        f"{folder}: made by imganalysis {made_by}, this is {__version__}, which cannot read it "
        f"({RUN}: {what}). Run the analysis again, or open it with version {made_by}"
    )

"""Reading the recipes and plans of this package, or those of a user."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from imganalysis.errors import SettingsError
from imganalysis.simulate.plan import Plan
from imganalysis.simulate.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

M = TypeVar("M", bound=BaseModel)


def load_recipe(
    name_or_path: str | Path = "melanoma",
    overrides: Mapping[str, Any] | None = None,
    *,
    variants: Sequence[str | Path] = (),
) -> Recipe:
    """Read a recipe.

    Parameters
    ----------
    name_or_path
        Name of a recipe of this package, or a YAML file.
    overrides
        Nested mapping laid over the file's, e.g. ``{"section": {"thickness_um": 5.0}}``.
    variants
        Names of variants of this package, or YAML files, that hold such mappings; each is laid
        over those before it, and `overrides` over all.

    Returns
    -------
    Recipe
        Frozen.

    Raises
    ------
    SettingsError
        No such recipe, or it is not valid.
    """
    over: dict[str, Any] = {}
    for variant in variants:
        over = _merge(over, _read(_find("variant", variant)))
    return _load(Recipe, "recipe", name_or_path, _merge(over, overrides or {}))


def load_plan(name_or_path: str | Path = "sample") -> Plan:
    """Read the plan of a study: which biopsies, panels, fields and controls it has.

    Parameters
    ----------
    name_or_path
        Name of a plan of this package, or a YAML file.

    Raises
    ------
    SettingsError
        No such plan, or it is not valid.
    """
    return _load(Plan, "plan", name_or_path, {})


def _load(model: type[M], what: str, name_or_path: str | Path, over: Mapping[str, Any]) -> M:
    path = _find(what, name_or_path)
    data = _merge(_read(path), over)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc'])) or what}: {e['msg']}" for e in error.errors()]
        raise SettingsError(f"{path}: not a valid {what}:\n  " + "\n  ".join(lines)) from None


def _find(what: str, name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
        raise SettingsError(f"expected a {what} file, found none at {path}: check the path")
    folder = Path(__file__).parent / f"{what}s"
    built_in = folder / f"{name_or_path}.yaml"
    if built_in.is_file():
        return built_in
    names = ", ".join(sorted(p.stem for p in folder.glob("*.yaml")))
    raise SettingsError(
        f"no {what} is called {str(name_or_path)!r}: take one of {names}, or give a .yaml file"
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: expected YAML, found: {error}") from None
    if not isinstance(data, dict):
        raise SettingsError(f"{path}: expected a mapping of names, found {type(data).__name__}")
    return data


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = _merge(old, value) if both else value  # type: ignore[arg-type]
    return merged

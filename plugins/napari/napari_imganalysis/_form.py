"""A form for the settings of a run, made from their models. No window here.

Nothing is said of a setting here: its title, description, default and limits are those of the
model. A value is kept as the text that a person typed; an empty text is the default.
"""

from __future__ import annotations

import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from imganalysis.errors import OutputError, SettingsError
from imganalysis.methods import BUILT_IN, DEFAULT, added_methods, load_added
from imganalysis.settings import Settings, parse_settings, read_settings
from imganalysis.tables import write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Kind = Literal["flag", "choice", "number", "text", "yaml"]
"""Yes or no; one of several; a number, or a text where it is none; a text; lists and mappings."""

Place = tuple[str, ...]
"""Names of the groups and of the setting, as in a settings file."""

SEGMENTATION, METHOD = "segmentation", "method"
YES, NO = "yes", "no"
UNITS = {"_um": "\N{MICRO SIGN}m", "_um2": "\N{MICRO SIGN}m\N{SUPERSCRIPT TWO}"}
"""End of a setting's name -> its unit."""


@dataclass(frozen=True)
class Item:
    """One setting as the form shows it.

    Parameters
    ----------
    place
        Where it stands in a settings file.
    title, help, unit
        For people.
    default
        As text; empty where there is none.
    choices
        Texts to choose from; empty for a setting that is typed.
    kind
        How its text is read, see `Kind`.
    required
        Whether it has no default.
    """

    place: Place
    title: str
    help: str
    unit: str
    default: str
    choices: tuple[str, ...] = ()
    kind: Kind = "yaml"
    required: bool = False

    @property
    def group(self) -> Place:
        """Groups that it stands in."""
        return self.place[:-1]


def group_title(group: Place) -> str:
    """Name of a group for people."""
    return " \N{RIGHT-POINTING ANGLE BRACKET} ".join(
        one.replace("_", " ").capitalize() for one in group
    )


def group_help(group: Place, method: str = DEFAULT) -> str:
    """Say what a group is about: the first line of its model's docstring."""
    model: type[BaseModel] = Settings
    for name in group:
        if (model, name) == (Settings, SEGMENTATION):
            model = method_model(method)
        else:
            model = _nested(model.model_fields[name].annotation) or model
    return (model.__doc__ or "").strip().splitlines()[0]


def method_names() -> tuple[str, ...]:
    """Methods that find nuclei: the package's own and those that others add."""
    return (*BUILT_IN, *added_methods())


def method_model(name: str) -> type[BaseModel]:
    """Model of the settings of a method.

    Raises
    ------
    SettingsError
        There is no such method, or it cannot be loaded.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    try:
        found: type[BaseModel] = load_added(name).settings
    except ValueError as error:
        raise SettingsError(str(error)) from None
    return found


def items_of(method: str = DEFAULT) -> tuple[Item, ...]:
    """Every setting of a run, with those of one method that finds nuclei."""
    return tuple(_walk(Settings, (), method))


def _walk(model: type[BaseModel], place: Place, method: str) -> Iterator[Item]:
    nested: list[tuple[Place, type[BaseModel]]] = []
    for name, found in model.model_fields.items():
        here = (*place, name)
        if here == (SEGMENTATION,):
            nested.append((here, method_model(method)))
        elif (inner := _nested(found.annotation)) is not None:
            nested.append((here, inner))
        elif not (place == (SEGMENTATION,) and name == METHOD):
            yield _item(here, found)
    for here, inner in nested:
        yield from _walk(inner, here, method)


def _nested(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return None


def _item(place: Place, found: Any) -> Item:
    name = place[-1]
    kind, choices = _kind(found.annotation)
    default = ""
    if not found.is_required():
        default = shown(_plain(found.get_default(call_default_factory=True)))
    unit = next((u for end, u in UNITS.items() if name.endswith(end)), "")
    title = found.title or name.replace("_", " ").capitalize()
    return Item(
        place, title, found.description or "", unit, default, choices, kind, found.is_required()
    )


def _kind(annotation: Any) -> tuple[Kind, tuple[str, ...]]:
    """How the text of a value is read, and what it may be chosen from."""
    while hasattr(annotation, "__metadata__"):
        annotation = get_args(annotation)[0]
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        inner = [one for one in get_args(annotation) if one is not type(None)]
        if len(inner) == 1:
            return _kind(inner[0])
        return ("number" if set(inner) <= {str, int, float} else "yaml"), ()
    if origin is Literal:
        return "choice", tuple(map(str, get_args(annotation)))
    if annotation is bool:
        return "flag", (YES, NO)
    if annotation in (int, float):
        return "number", ()
    return ("text" if annotation is str else "yaml"), ()


def _plain(value: Any) -> Any:
    """Turn tuples into lists, as YAML and JSON have them."""
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return value


def shown(value: Any) -> str:
    """Text of a value, such that `Form` reads the same value from it."""
    if value is None or value == {}:
        return ""
    if isinstance(value, bool):
        return YES if value else NO
    if isinstance(value, list | dict):
        text: str = yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()
        flat = isinstance(value, list) and not any(isinstance(v, list | dict) for v in value)
        return text[1:-1] if flat and value else text
    return str(value)


class Form:
    """What a person has set; everything else is the default."""

    def __init__(self) -> None:
        self.method = DEFAULT
        self._texts: dict[Place, str] = {}
        self._by_method: dict[str, dict[Place, str]] = {}
        self.items = items_of()

    def choose(self, method: str) -> None:
        """Take another method that finds nuclei; what was set of the one before is kept by.

        Raises
        ------
        SettingsError
            It cannot be loaded.
        """
        items = items_of(method)
        mine = {place: text for place, text in self._texts.items() if place[0] == SEGMENTATION}
        self._by_method[self.method] = mine
        for place in mine:
            del self._texts[place]
        self._texts |= self._by_method.get(method, {})
        self.method, self.items = method, items

    def text(self, place: Place) -> str:
        """Give what was typed for a setting; empty for the default."""
        return self._texts.get(place, "")

    def set(self, place: Place, text: str) -> None:
        """Type a text for a setting; an empty one for the default."""
        item = next(one for one in self.items if one.place == place)
        text = text.strip()
        if text in ("", item.default):
            self._texts.pop(place, None)
        else:
            self._texts[place] = text

    def reset(self) -> None:
        """Take every default."""
        self.__init__()  # type: ignore[misc]

    def changed(self, group: Place = ()) -> int:
        """Count the settings of a group, and of groups in it, that are not the default."""
        n = sum(place[: len(group)] == group for place in self._texts)
        return n + (self.method != DEFAULT and group in ((), (SEGMENTATION,)))

    def values(self) -> dict[str, Any]:
        """Nested names and values of what was set, as a settings file has them."""
        values: dict[str, Any] = {}
        if self.method != DEFAULT:
            values[SEGMENTATION] = {METHOD: self.method}
        for item in self.items:
            if item.place in self._texts:
                group = values
                for name in item.group:
                    group = group.setdefault(name, {})
                group[item.place[-1]] = _value(item, self._texts[item.place])
        return values

    def settings(self) -> Settings:
        """Give the settings of the run.

        Raises
        ------
        SettingsError
            A value is none that it may have.
        """
        return parse_settings(self.values(), source="the form")

    def mistakes(self) -> dict[Place, str]:
        """Tell what is wrong, by the setting, or the group where several together are wrong."""
        try:
            Settings.model_validate(self.values())
        except ValidationError as error:
            return {_place(one["loc"], self.items): _said(one) for one in error.errors()}
        return {}

    def load(self, path: Path) -> None:
        """Take the settings of a file: YAML, or the run.json of a run.

        Raises
        ------
        SettingsError
            It cannot be read, or names a setting or value that there is not; the form stays.
        """
        self.take(parse_settings(read_settings(path), source=str(path)))

    def take(self, settings: Settings) -> None:
        """Take settings."""
        fresh = Form()
        fresh.choose(str(settings.segmentation.method))
        dumped = settings.model_dump(mode="json")
        for item in fresh.items:
            value: Any = dumped
            for name in item.place:
                value = value[name]
            fresh.set(item.place, shown(value))
        self.__dict__.update(fresh.__dict__)

    def save(self, path: Path, *, replace: bool = True) -> None:
        """Write a settings file with what is not the default.

        Parameters
        ----------
        path
            Of the file.
        replace
            Whether a file with other settings may be replaced.

        Raises
        ------
        SettingsError
            A value is none that it may have; nothing is written.
        OutputError
            The file cannot be written, or holds something else and must stay.
        """
        self.settings()
        text = yaml.safe_dump(self.values(), sort_keys=False, allow_unicode=True)
        if not replace and path.exists() and path.read_bytes() != text.encode():
            raise OutputError(
                f"{path}: there already with other settings, which are not replaced; move it "
                "away, or choose another folder for the results"
            )
        write_atomic(path, lambda temporary: _write(temporary, text))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _value(item: Item, text: str) -> Any:
    if item.kind == "flag":
        return text == YES if text in (YES, NO) else text
    if item.kind == "number":
        return _number(text)
    if item.kind in ("text", "choice"):
        return text
    try:
        found = yaml.safe_load(text)
        return yaml.safe_load(f"[{text}]") if isinstance(found, str) else found
    except yaml.YAMLError:
        return text  # refused by the model, with its name


def _number(text: str) -> Any:
    """Give a number where the text is one, so that a settings file has no quotes about it."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _place(loc: tuple[int | str, ...], items: tuple[Item, ...]) -> Place:
    """Find the setting, or else the group, that an error of pydantic is about."""
    names = [str(part) for part in loc]
    if names[:1] == [SEGMENTATION] and len(names) > 1:
        del names[1]  # the method
    known = {item.place for item in items} | {item.group for item in items}
    for end in range(len(names), 0, -1):
        if tuple(names[:end]) in known:
            return tuple(names[:end])
    return ()


def _said(error: Any) -> str:
    text = str(error["msg"]).removeprefix("Value error, ")
    return f"{text}; found {error['input']!r}" if isinstance(error.get("input"), str) else text


def matches(item: Item, words: str) -> bool:
    """Whether every word stands in what is said of a setting."""
    said = " ".join((item.title, item.help, *item.place, item.unit)).casefold()
    return all(word in said for word in words.casefold().split())

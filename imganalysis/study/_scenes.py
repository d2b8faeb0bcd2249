"""How a manifest names one series of a file."""

from __future__ import annotations

from imganalysis.study._manifest import FORMULA


def select_scene(names: dict[int, str], wanted: str) -> int | str:
    """Find the series that a manifest's ``scene`` means.

    Parameters
    ----------
    names
        Number of each series of the file, from 0, and its name.
    wanted
        A name, a number, or ``#`` and a number.

    Returns
    -------
    int or str
        Number of the series, or what is wrong.
    """
    shown = ", ".join(f"{number} {name!r}" for number, name in names.items())
    by_name = [number for number, name in names.items() if name == wanted]
    digits = wanted.removeprefix("#")
    by_number = [int(digits)] if digits.isdecimal() and int(digits) in names else []
    if wanted.startswith("#") and by_number:
        return by_number[0]
    both = sorted({*by_name, *by_number})
    if len(both) == 1:
        return both[0]
    if both:
        return f"{wanted!r} means several series; give #NUMBER of one of {shown}"
    return f"no series {wanted!r} in the file; expected one of {shown}"


def scene_text(names: dict[int, str], number: int) -> str:
    """Name a series so that `select_scene` finds it again, by its name where that is enough."""
    name = names[number]
    clean = name == name.strip() and name[:1] not in ("", "'", *FORMULA) and name.isprintable()
    return name if clean and select_scene(names, name) == number else f"#{number}"

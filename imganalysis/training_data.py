"""What a network is trained on: annotated images of a user, and simulated fields."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Discriminator, Field, Tag, ValidationError

from imganalysis import __version__
from imganalysis.annotated import pairs_of, read_annotated
from imganalysis.errors import ImageError, OutputError, SettingsError
from imganalysis.segment.training_settings import TrainingSettings
from imganalysis.settings import explain, fingerprint, read_settings
from imganalysis.settings_base import Model, NotNegative, Positive
from imganalysis.stack import IMAGE_SUFFIXES
from imganalysis.words import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from imganalysis.segment.augment import Example
    from imganalysis.simulate import Recipe as Tissue
    from imganalysis.simulate import SimulatedField

    Progress = Callable[[str, int, int], None]
    Say = Callable[[str], None]

_HELD_OUT = 5  # one image in this many
_NAMED = 5  # files that a message names


class FolderSource(Model):
    """Images and label images of the same names in two folders."""

    kind: Literal["folder"] = "folder"
    images: str = Field(description="folder of grey images of one plane, PNG or TIFF")
    masks: str = Field(description="folder of label images, TIFF, named like the images")
    share: NotNegative = Field(1.0, description="of the crops, against the other sources")
    hold_out: bool = Field(True, description="keep one image in five from the training")
    credit: str = Field("", description="whose data it is, and under which licence")


class SimulatedSource(Model):
    """Simulated fields of a tissue recipe, every panel and week in turn."""

    kind: Literal["simulated"] = "simulated"
    recipe: str = "melanoma"
    fields: int = Field(24, ge=1, le=2000)
    size_px: int = Field(512, ge=64, le=4096)
    pixel_size_um: Positive = 0.232
    nucleus_diameter_um: Positive = Field(8.0, description="that is brought to diameter_px")
    photon_scales: tuple[Positive, ...] = Field((1.0,), min_length=1, description="in turn")
    seed: int = Field(41_000, ge=0)
    share: NotNegative = 1.0
    credit: str = ""


class LayoutSource(Model):
    """Simulated stain on the outlines of real cells."""

    kind: Literal["layouts"] = "layouts"
    labels: str = Field(description="folder of label images of cells")
    recipe: str = "melanoma"
    fields: int = Field(24, ge=1, le=2000)
    pixel_size_um: Positive = 0.4
    nucleus_diameter_um: Positive = 8.0
    photon_scales: tuple[Positive, ...] = Field((1.0,), min_length=1, description="in turn")
    seed: int = Field(42_000, ge=0)
    share: NotNegative = 1.0
    hold_out: bool = True
    credit: str = ""


def _kind(value: Any) -> Any:
    return value.get("kind", "folder") if isinstance(value, dict) else value.kind


Source = Annotated[
    Annotated[FolderSource, Tag("folder")]
    | Annotated[SimulatedSource, Tag("simulated")]
    | Annotated[LayoutSource, Tag("layouts")],
    Discriminator(_kind),
]


class TrainingRecipe(Model):
    """A training with all that it needs: what is learnt, from what, and under which name."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    description: str = ""
    licence: str = Field("", description="of the weights")
    training: TrainingSettings = TrainingSettings()
    sources: dict[str, Source] = Field(min_length=1)
    start: str | None = Field(None, description="weights to begin with")


def image_id(path: Path) -> str:
    """Name of an image without its suffix."""
    ending = next(
        (s for s in (*IMAGE_SUFFIXES, ".png") if path.name.lower().endswith(s)), path.suffix
    )
    return path.name.removesuffix(path.name[len(path.name) - len(ending) :])


def held_out(image_id: str) -> bool:
    """Whether an image is never trained on: the SHA-256 of its name is a multiple of 5."""
    return int(hashlib.sha256(image_id.encode()).hexdigest(), 16) % _HELD_OUT == 0


def read_recipe(path: Path) -> TrainingRecipe:
    """Read a training recipe.

    Raises
    ------
    SettingsError
        Not there, no YAML, an unknown name or a value that is out of range.
    """
    try:
        return TrainingRecipe.model_validate(read_settings(path))
    except ValidationError as error:
        raise SettingsError(f"{path}: {explain(error)}") from None


def load_examples(
    recipe: TrainingRecipe,
    root: Path,
    progress: Progress | None = None,
    *,
    keep: Path | None = None,
    say: Say | None = None,
) -> list[Example]:
    """Read or simulate all that a recipe trains on.

    Parameters
    ----------
    recipe
        Which sources.
    root
        Folder that relative paths of the recipe start from.
    progress
        Called with (word, done, total).
    keep
        Folder in which simulated fields are kept, and found again by a training that goes on.
    say
        Takes what a user should know: images that are left out, masks without a nucleus.

    Raises
    ------
    SettingsError
        A folder is missing or holds no pairs, or no image of any source shows anything.
    ImageError, LabelsError
        An image or its labels cannot be read, or do not fit each other.
    """
    from imganalysis.segment.examples import make_example

    diameter = recipe.training.network.diameter_px
    told, tell = progress or (lambda *_: None), say or (lambda _: None)
    problems: list[str] = []
    found: list[Example] = []
    for name, source in recipe.sources.items():
        if isinstance(source, FolderSource):
            found += _from_folder(source, root, name, diameter, told, problems)
        else:
            factor = diameter * source.pixel_size_um / source.nucleus_diameter_um
            mark = fingerprint(source, diameter, __version__)
            kept = None if keep is None else keep / f"{name}-{mark}.npz"
            made = _kept(kept, name)
            if made is None:
                made = []
                for image, labels in _simulated(source, root, name, told):
                    made += _some(make_example(image, labels, diameter, name, factor=factor))
                _keep(made, kept)
            found += made
    if not found:
        raise SettingsError("; ".join(["no annotated images to train on", *problems]))
    for problem in problems:
        tell(problem)
    return found


def _from_folder(
    source: FolderSource,
    root: Path,
    name: str,
    diameter_px: float,
    told: Progress,
    problems: list[str],
) -> list[Example]:
    from imganalysis.segment.examples import make_example

    found: list[Example] = []
    flat, empty, n = [], [], 0
    for path, image, labels in _pairs(source, root, name, told):
        n += 1
        example = make_example(image, labels, diameter_px, name)
        if example is None:
            flat.append(path.name)
            continue
        found.append(example)
        if not labels.any():
            empty.append(path.name)
    where = f"source {name!r}: "
    if n == 0:
        problems.append(f"{where}every image is held out (hold_out: false trains on all)")
    if flat:
        problems.append(
            f"{where}{len(flat)} of {plural(n, 'image')} left out, as flat: {_named(flat)}"
        )
    if empty:
        problems.append(
            f"{where}{len(empty)} of {plural(n, 'mask')} without a nucleus: {_named(empty)}; "
            "the network learns that these images show none"
        )
    return found


def _named(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _kept(path: Path | None, source: str) -> list[Example] | None:
    """Fields that were simulated before; None if there are none, or they cannot be read."""
    from zipfile import BadZipFile

    from imganalysis.segment.augment import Example

    if path is None or not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            return [
                Example(stored[f"image{i}"], stored[f"labels{i}"], source, float(finer))
                for i, finer in enumerate(stored["finer"])
            ]
    except (OSError, ValueError, KeyError, BadZipFile):
        return None  # made again from the recipe: the same


def _keep(examples: list[Example], path: Path | None) -> None:
    if path is None:
        return
    arrays: dict[str, NDArray[Any]] = {f"image{i}": e.image for i, e in enumerate(examples)}
    arrays |= {f"labels{i}": e.labels for i, e in enumerate(examples)}
    arrays["finer"] = np.array([e.finer for e in examples])
    temporary = path.with_suffix(".tmp.npz")
    try:
        np.savez(temporary, **arrays)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        temporary.unlink(missing_ok=True)


def _some(example: Example | None) -> list[Example]:
    return [] if example is None else [example]


def _pairs(
    source: FolderSource, root: Path, name: str, told: Progress
) -> Iterator[tuple[Path, NDArray[Any], NDArray[np.uint32]]]:
    images, masks = root / source.images, root / source.masks
    for folder in (images, masks):
        if not folder.is_dir():
            raise SettingsError(f"{folder}: no such folder; relative paths start at --data")
    pairs, alone = pairs_of(images, masks)
    if alone:
        raise SettingsError(f"{images}, {masks}: {alone[0]} has no partner of the same name")
    kept = [pair for pair in pairs if not (source.hold_out and held_out(image_id(pair[0])))]
    for done, pair in enumerate(kept, 1):
        image, labels, _ = read_annotated(*pair)
        if image.ndim != 2:
            raise ImageError(f"{pair[0]}: expected one plane (Y, X), found {image.shape}")
        if not np.isfinite(image).all():
            raise ImageError(f"{pair[0]}: has pixels that are no numbers")
        yield pair[0], image, labels
        told(name, done, len(kept))


def _simulated(
    source: SimulatedSource | LayoutSource, root: Path, name: str, told: Progress
) -> Iterator[tuple[NDArray[Any], NDArray[np.uint32]]]:
    """Two pictures of each field: the mean over its planes, and one plane."""
    from imganalysis.simulate import load_recipe, simulate_field, simulate_on_layout

    tissue = load_recipe(source.recipe)
    kinds = [(panel, week) for week in tissue.weeks for panel in tissue.panels]
    layouts = _layouts(source, root) if isinstance(source, LayoutSource) else []
    for number in range(source.fields):
        panel, week = kinds[number % len(kinds)]
        photons = source.photon_scales[number % len(source.photon_scales)]
        seed = source.seed + number
        if isinstance(source, LayoutSource):
            layout = layouts[number % len(layouts)]
            field = simulate_on_layout(
                tissue, panel, layout, source.pixel_size_um,
                seed=seed, week=week, photon_scale=photons,
            )  # fmt: skip
        else:
            field = simulate_field(
                tissue, panel, seed=seed, week=week, size_px=source.size_px,
                pixel_size_um=source.pixel_size_um, photon_scale=photons,
            )  # fmt: skip
        yield from _pictures(tissue, field, seed)
        told(name, number + 1, source.fields)


def _pictures(
    tissue: Tissue, field: SimulatedField, seed: int
) -> Iterator[tuple[NDArray[Any], NDArray[np.uint32]]]:
    channels = tissue.panels[field.panel].channels
    nuclear = next(
        i for i, c in enumerate(channels) if tissue.markers[c.marker].pattern == "chromatin"
    )
    planes = field.stack.numpy([nuclear])[0].astype(np.float32)
    yield planes.mean(axis=0), field.labels
    z = int(np.random.default_rng(seed).integers(len(planes)))
    yield planes[z], field.labels_3d[z]


def _layouts(source: LayoutSource, root: Path) -> Sequence[NDArray[np.uint32]]:
    from imganalysis.io import read_labels

    folder = root / source.labels
    if not folder.is_dir():
        raise SettingsError(f"{folder}: no such folder; relative paths start at --data")
    files = [
        path
        for path in sorted(folder.iterdir())
        if path.name.endswith((".tif", ".tiff"))
        and not (source.hold_out and held_out(image_id(path)))
    ]
    if not files:
        raise SettingsError(f"{folder}: no label images")
    # Evenly through the folder, so that few fields still show many specimens.
    count = min(source.fields, len(files))
    chosen = [files[i * len(files) // count] for i in range(count)]
    return [read_labels(path) for path in chosen]


def about_weights(recipe: TrainingRecipe) -> dict[str, Any]:
    """Say what a file of weights tells of itself: plain values only."""
    return {
        "name": recipe.name,
        "description": recipe.description,
        "licence": recipe.licence,
        "data": {name: source.credit for name, source in recipe.sources.items()},
        "recipe": recipe.model_dump(mode="json"),
    }

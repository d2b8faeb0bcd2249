"""Training on a toy, stopping and going on, and files that are refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from imganalysis.errors import ModelError, SettingsError
from imganalysis.segment.examples import make_example, pixel_weights
from imganalysis.segment.flows import FLOW_SCALE, flows_to_labels
from imganalysis.segment.network import load_weights, run_network
from imganalysis.segment.training import rate_at, train
from imganalysis.segment.training_settings import TrainingSettings
from imganalysis.segment.windows import predict

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from imganalysis.segment.augment import Example

SMALL: dict[str, Any] = {
    "network": {"width": (4, 8)},
    "steps": 6,
    "batch": 2,
    "crop_px": (32, 48),
    "warmup_steps": 2,
}
NONE = {"blur": 0, "haze": 0, "gradient": 0, "noise": 0, "nuclei": 0, "outside": 0}


def toy(seed: int = 1, size: int = 96, n: int = 14) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Discs of some brightness on a dim, noisy ground; some of them touch."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    labels = np.zeros((size, size), np.int32)
    image = np.full((size, size), 10.0)
    for k in range(1, n + 1):
        cy, cx = rng.uniform(0, size, 2)
        inside = (np.hypot(y - cy, x - cx) < 8.5) & (labels == 0)
        labels[inside] = k
        image[inside] = rng.uniform(80, 160)
    return rng.poisson(image).astype(np.uint16), labels


def examples() -> list[Example]:
    made = [make_example(*toy(seed), 17.0) for seed in (1, 2, 3)]
    return [one for one in made if one is not None]


def settings(**changes: Any) -> TrainingSettings:
    return TrainingSettings.model_validate({**SMALL, **changes})


def stop_after(n: int) -> Callable[[], bool]:
    left = iter(range(n))
    return lambda: next(left) == n - 1


def states(folder: Path) -> dict[str, Any]:
    content = torch.load(folder / "checkpoint.pt", weights_only=True)
    return {**content["state"], **{f"mean.{k}": v for k, v in content["mean"].items()}}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that ran through."""
    folder = tmp_path_factory.mktemp("trained")
    assert train(examples(), settings(), folder, threads=1).finished
    return folder


def test_a_few_images_are_learnt(tmp_path: Path) -> None:
    chosen = TrainingSettings.model_validate(
        {
            "network": {"width": (8, 16, 32)},
            "augmentation": {**NONE, "scale": (0.9, 1.1)},
            "steps": 160,
            "batch": 4,
            "crop_px": (64,),
            "learning_rate": 5e-3,
            "warmup_steps": 10,
            "average": 0.9,
        }
    )
    trained = train(examples(), chosen, tmp_path, threads=1)
    network, about = load_weights(trained.weights)
    assert (about["diameter_px"], about["step"]) == (17.0, 160)
    for example in examples():
        out = predict(lambda batch: run_network(network, batch), example.image, 2)
        found = flows_to_labels(out[:2] / np.float32(FLOW_SCALE), out[2])
        n, m = example.labels.max() + 1, found.max() + 1
        both = np.bincount((example.labels * m + found).ravel(), minlength=n * m).reshape(n, m)
        iou = both / (both.sum(1)[:, None] + both.sum(0)[None] - both)
        large = np.bincount(example.labels.ravel())[1:] > 60
        assert (iou[1:, 1:].max(axis=1)[large] > 0.5).mean() > 0.85


def test_going_on_equals_never_having_stopped(done: Path, tmp_path: Path) -> None:
    part = train(examples(), settings(), tmp_path, threads=1, stop=stop_after(3))
    assert (part.step, part.finished) == (3, False)
    rest = train(examples(), settings(), tmp_path, threads=1, resume=True)
    assert (rest.step, rest.finished) == (6, True)
    whole, parts = states(done), states(tmp_path)
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        assert torch.equal(value, parts[name]), name


def test_the_seed_decides(done: Path, tmp_path: Path) -> None:
    train(examples(), settings(seed=4), tmp_path, threads=1)
    one, other = states(done), states(tmp_path)
    assert any(not torch.equal(value, other[name]) for name, value in one.items())


def test_the_log_has_each_step_once(tmp_path: Path) -> None:
    chosen = settings(steps=45)
    train(examples(), chosen, tmp_path, threads=1, stop=stop_after(25))
    # As if it had been killed after more steps than the checkpoint has.
    with (tmp_path / "log.csv").open("a") as file:
        file.write("40,1.0,1e-3,0.1\n")
    train(examples(), chosen, tmp_path, threads=1, resume=True)
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["step", "20", "40", "45"]


def test_weights_to_begin_with_are_taken(done: Path, tmp_path: Path) -> None:
    again = settings(steps=1, learning_rate=1e-12, warmup_steps=0, weight_decay=0)
    train(examples(), again, tmp_path, threads=1, start=done / "weights.pt")
    first, _ = load_weights(done / "weights.pt")
    second, _ = load_weights(tmp_path / "weights.pt")
    for (name, one), other in zip(first.named_parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(one, other, msg=name)


def test_a_wider_network_begins_with_what_a_narrower_one_learned(
    done: Path, tmp_path: Path
) -> None:
    chosen = settings(
        network={"width": (6, 16)}, steps=1, learning_rate=1e-12, warmup_steps=0, weight_decay=0
    )
    train(examples(), chosen, tmp_path, threads=1, start=done / "weights.pt")
    narrow, _ = load_weights(done / "weights.pt")
    wide, _ = load_weights(tmp_path / "weights.pt")
    assert wide.architecture.width == (6, 16)
    image = np.random.default_rng(1).random((1, 2, 32, 32), np.float32)
    before = run_network(narrow, image)
    # Kernels are stored in 16 bit, and the step moved the means of the normalisation.
    assert np.abs(run_network(wide, image) - before).max() < 0.05 < 0.2 * np.abs(before).max()


def test_small_nuclei_and_gaps_may_weigh_more() -> None:
    labels = np.zeros((60, 60), np.int32)
    labels[5:22, 5:22], labels[5:22, 24:41], labels[40:44, 40:44] = 1, 2, 3
    known = np.ones(labels.shape, bool)
    known[:, 58:] = False
    plain = pixel_weights(labels, known, settings())
    np.testing.assert_array_equal(plain, known)
    more = pixel_weights(labels, known, settings(small_weight=0.25, gap_weight=3))
    assert more[0, 0] == more[52, 52] == 1  # ground
    assert more[12, 12] == 1  # a usual nucleus, larger than 17 px across
    assert more[42, 42] == pytest.approx((np.pi / 4 * 17**2 / 16) ** 0.25)
    most = pixel_weights(labels, known, settings(small_weight=1))
    assert most[42, 42] == 2
    assert more[12, 22] == more[12, 23] == 3  # between two
    assert more[12, 21] == more[12, 24] == 1  # 3 px from the other
    assert (more[:, 58:] == 0).all()


def test_weights_of_another_width_are_refused(done: Path, tmp_path: Path) -> None:
    wide = settings(network={"width": (4, 17)})
    with pytest.raises(ModelError, match="the recipe asks for"):
        train(examples(), wide, tmp_path, start=done / "weights.pt")


def test_a_checkpoint_of_another_training_is_refused(done: Path) -> None:
    with pytest.raises(ModelError, match="other settings"):
        train(examples(), settings(seed=5), done, resume=True)
    with pytest.raises(ModelError, match="other data"):
        train(examples()[:2], settings(), done, resume=True)


def test_going_on_needs_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        train(examples(), settings(), tmp_path, resume=True)


def test_training_on_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no annotated images"):
        train([], settings(), tmp_path)
    with pytest.raises(SettingsError, match="share"):
        train(examples(), settings(), tmp_path, shares={"another": 1.0})


def test_torch_gets_its_threads_back(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    train(examples(), settings(steps=1), tmp_path, threads=1)
    assert torch.get_num_threads() == before


def test_the_rate_rises_and_falls() -> None:
    chosen = settings(steps=100, warmup_steps=10, learning_rate=1.0, final_rate=0.1)
    rates = [rate_at(step, chosen) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0) == rates[10]
    assert np.all(np.diff(rates[10:]) < 0)
    assert rates[100] == pytest.approx(0.1)


@pytest.mark.parametrize(("larger", "finer"), [(1, 1.0), (2, 2.0), (3, 2.0)])
def test_an_example_keeps_more_than_the_network_sees(larger: int, finer: float) -> None:
    image, labels = (np.kron(a, np.ones((larger, larger), a.dtype)) for a in toy(size=200))
    one = make_example(image, labels, 17.0)
    assert one is not None
    sizes = np.bincount(one.labels.ravel())[1:]
    assert one.finer == pytest.approx(finer, rel=0.1)
    assert np.median(2 * np.sqrt(sizes / np.pi)) == pytest.approx(17 * one.finer, rel=0.03)
    assert 0.5 < one.image[one.labels > 0].mean() < 1.2
    assert make_example(np.full((40, 40), 7), np.zeros((40, 40), int), 17.0) is None


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("never-made"),))


def broken(kind: str, whole: Path, path: Path) -> None:
    content = torch.load(whole, weights_only=True)
    if kind == "cut":
        path.write_bytes(whole.read_bytes()[:-2000])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("no weights at all")
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(Evil()))
    elif kind == "code":
        torch.save({**content, "extra": Evil()}, path)
    elif kind == "foreign":
        torch.save(content["state"], path)
    elif kind == "width":
        torch.save({**content, "architecture": {"channels": 2, "width": (4, 9)}}, path)
    elif kind == "absurd":
        torch.save({**content, "architecture": {"channels": 2, "width": (10**9, 1)}}, path)
    elif kind == "nan":
        state = {name: value.clone() for name, value in content["state"].items()}
        next(iter(state.values()))[:] = float("nan")
        torch.save({**content, "state": state}, path)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("cut", "damaged"),
        ("empty", "no network weights"),
        ("text", "no network weights: not a file of torch"),
        ("pickle", "refused"),
        ("code", "refused"),
        ("foreign", "expected a file with the mark"),
        ("width", "do not fit"),
        ("absurd", "architecture"),
        ("nan", "not all finite"),
        ("missing", "no such file"),
    ],
)
def test_bad_weights_are_refused_by_name(
    kind: str, said: str, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "bad.pt"
    broken(kind, done / "weights.pt", path)
    with pytest.raises(ModelError, match=said) as caught:
        load_weights(path)
    assert str(path) in str(caught.value)
    assert not Path("never-made").exists()

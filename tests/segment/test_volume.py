"""Nuclei of stacks, by a network that is right about every plane it sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import ndimage as ndi

from imganalysis.errors import ImageError, SettingsError
from imganalysis.methods import NetworkMethod
from imganalysis.segment import find_nuclei
from imganalysis.segment._network import segment_with_network
from imganalysis.segment._volume_flows import follow_to_labels, rescale_volume_labels
from imganalysis.segment._volume_memory import MOST, memory_needed, tile_side
from imganalysis.segment._volume_planes import stitch
from imganalysis.segment._volume_views import errors_in_views, rescale_depth, views
from imganalysis.segment.flows import FLOW_SCALE, labels_to_flows
from imganalysis.segment.onnx import OnnxModel
from imganalysis.segment.pixels import needed
from imganalysis.segment.scores import count, overlap
from imganalysis.segment.volume import segment_volume

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIAMETER = 17.0


class BrightPatches:
    """In place of onnxruntime: bright patches of a plane are nuclei, with the flows they have."""

    def run(self, outputs: None, feeds: dict[str, NDArray[np.float32]]) -> list[Any]:
        """Answer as a network does."""
        out = np.zeros((len(feeds["image"]), 3, *feeds["image"].shape[2:]), np.float32)
        for answer, (plane, *_) in zip(out, feeds["image"], strict=True):
            patches, _ = ndi.label(plane > 0.5)
            answer[:2] = FLOW_SCALE * labels_to_flows(patches)
            answer[2] = np.where(patches > 0, 5, -5)
        return [out]


MODEL = OnnxModel("patches", DIAMETER, 1, 8, "0" * 64, {}, BrightPatches())


def balls(
    shape: tuple[int, int, int], centres: list[tuple[float, float, float]], diameter: float
) -> NDArray[np.int32]:
    """Balls, all lengths but the shape in units of X; ``shape[0]`` planes are 1 apart."""
    grid = np.indices(shape, float)
    labels = np.zeros(shape, np.int32)
    for k, centre in enumerate(centres, 1):
        away = sum((axis - at) ** 2 for axis, at in zip(grid, centre, strict=True))
        labels[(away < diameter**2 / 4) & (labels == 0)] = k
    return labels


APART = [(20.0, 20.0, 20.0), (45.0, 22.0, 22.0), (25.0, 50.0, 30.0), (44.0, 52.0, 70.0)]
"""Centres of balls that do not touch, the second nearly under the first."""


def seen(labels: NDArray[Any], level: float = 200.0) -> NDArray[np.float32]:
    return np.where(labels > 0, level, 10).astype(np.float32)


def f1(truth: NDArray[Any], found: NDArray[Any]) -> float:
    """At IoU 0.5."""
    value = count(overlap(truth, found)).f1()[0]
    assert value is not None
    return value


@pytest.mark.parametrize("step", [1, 2, 4, 8])
def test_balls_are_found_whatever_the_distance_of_the_planes(step: int) -> None:
    truth = balls((64, 72, 90), APART, DIAMETER)[::step]
    found = segment_volume(seen(truth), MODEL, DIAMETER, step)
    assert found.dtype == np.uint32
    assert found.shape == truth.shape
    assert f1(truth, found) == 1
    assert np.isin(overlap(truth, found).iou() > 0.7, True).all()


@pytest.mark.parametrize("diameter", [10, 30])
def test_balls_of_any_size_are_found(diameter: float) -> None:
    factor = diameter / DIAMETER
    centres = [(z * factor, y * factor, x * factor) for z, y, x in APART]
    sides = [round(factor * side) for side in (64, 72, 90)]
    truth = balls((sides[0], sides[1], sides[2]), centres, diameter)[::2]
    assert f1(truth, segment_volume(seen(truth), MODEL, diameter, 2)) == 1


def test_numbers_are_in_raster_order() -> None:
    truth = balls((64, 72, 90), APART, DIAMETER)
    found = segment_volume(seen(truth), MODEL, DIAMETER, 1)
    first = [int(np.flatnonzero(found.ravel() == k)[0]) for k in range(1, 5)]
    assert first == sorted(first)
    assert found.max() == 4


@pytest.mark.parametrize("planes", [slice(0, 64), slice(18, 22)], ids=["views", "planes"])
def test_threads_change_nothing(planes: slice) -> None:
    image = seen(balls((64, 72, 90), APART, DIAMETER)[planes])
    image += np.random.default_rng(0).normal(0, 20, image.shape).astype(np.float32)
    one = segment_volume(image, MODEL, DIAMETER, 1, threads=1)
    assert one.max() >= 2
    np.testing.assert_array_equal(one, segment_volume(image, MODEL, DIAMETER, 1, threads=3))


@pytest.mark.parametrize("planes", [1, 2, 4])
def test_a_thin_stack_has_one_number_for_a_nucleus_in_all_planes(planes: int) -> None:
    truth = balls((64, 72, 90), APART, DIAMETER)[20 : 20 + planes]
    found = segment_volume(seen(truth), MODEL, DIAMETER, 1)
    assert f1(truth, found) == 1


def test_planes_far_apart_show_different_nuclei() -> None:
    truth = np.zeros((3, 60, 60), np.int32)
    truth[0, 10:27, 10:27] = 1
    truth[1, 34:51, 34:51] = 2
    truth[2, 10:27, 10:27] = 3
    found = segment_volume(seen(truth), MODEL, DIAMETER, 14)
    assert f1(truth, found) == 1
    assert found.max() == 3


@pytest.mark.parametrize(
    ("planes", "step", "sides"),
    [(6, 1, True), (5, 1, False), (3, 11, True), (3, 13, False), (2, 10, False)],
)
def test_views_from_the_side_are_taken_where_they_show_something(
    planes: int, step: float, sides: bool
) -> None:
    heights = set()

    class Watched(BrightPatches):
        def run(self, outputs: None, feeds: dict[str, NDArray[np.float32]]) -> list[Any]:
            heights.add(feeds["image"].shape[2])
            return super().run(outputs, feeds)

    model = OnnxModel("watched", DIAMETER, 1, 8, "0" * 64, {}, Watched())
    image = seen(balls((64, 72, 90), APART, DIAMETER))[20 : 20 + planes]
    segment_volume(image, model, DIAMETER, step)
    assert 72 in heights
    assert (len(heights) > 1) == sides


def test_a_single_plane_is_as_in_two_dimensions() -> None:
    image = seen(balls((64, 72, 90), APART, DIAMETER))[21:22]
    flat = segment_with_network(image[0], MODEL, DIAMETER)
    assert flat.max() == 2
    np.testing.assert_array_equal(segment_volume(image, MODEL, DIAMETER, 1), flat[np.newaxis])


def test_brightness_is_judged_in_the_whole_stack() -> None:
    # Alone, the second plane would be stretched until its haze is as bright as nuclei.
    image = seen(balls((64, 72, 90), APART, DIAMETER))[20:22]
    image[1] = np.where(image[1] > 100, 30, 10)
    found = segment_volume(image, MODEL, DIAMETER, 1)
    assert found[0].any()
    assert not found[1].any()


def test_what_is_smaller_than_the_smallest_nucleus_is_dropped() -> None:
    truth = balls((64, 72, 90), APART[:2], DIAMETER)
    truth[balls((64, 72, 90), [(30.0, 30.0, 70.0)], 9) > 0] = 3
    image = seen(truth)
    assert segment_volume(image, MODEL, DIAMETER, 1).max() == 3
    assert segment_volume(image, MODEL, DIAMETER, 1, smallest_px=11).max() == 2


def test_a_nucleus_that_passes_through_a_thin_stack_is_not_too_small() -> None:
    truth = balls((64, 72, 90), APART, DIAMETER)[20:26]
    found = segment_volume(seen(truth), MODEL, DIAMETER, 1, smallest_px=14)
    assert f1(truth, found) == 1


def test_the_threshold_is_that_of_the_logit() -> None:
    image = seen(balls((64, 72, 90), APART, DIAMETER))
    assert not segment_volume(image, MODEL, DIAMETER, 1, threshold=6).any()


@pytest.mark.parametrize("planes", [1, 2, 12])
@pytest.mark.parametrize("value", [0, 255, 7.5, np.nan, np.inf])
def test_a_stack_without_contrast_has_no_nuclei(value: float, planes: int) -> None:
    found = segment_volume(np.full((planes, 40, 50), value), MODEL, DIAMETER, 1)
    assert found.shape == (planes, 40, 50)
    assert not found.any()


def test_voxels_that_are_no_numbers_do_no_harm() -> None:
    truth = balls((64, 72, 90), APART, DIAMETER)
    image = seen(truth)
    image[::7, ::11, ::13] = np.nan
    assert f1(truth, segment_volume(image, MODEL, DIAMETER, 1)) == 1


@pytest.mark.parametrize("diameter", [0, -3, 1e-3, 1e6, np.nan])
def test_absurd_diameters_are_refused(diameter: float) -> None:
    with pytest.raises(SettingsError, match="nucleus diameter"):
        segment_volume(np.zeros((5, 20, 20)), MODEL, diameter, 1)


@pytest.mark.parametrize("anisotropy", [0, -2, 1e-3, 1e4, np.inf, np.nan])
def test_absurd_distances_of_planes_are_refused(anisotropy: float) -> None:
    with pytest.raises(SettingsError, match="distance of the planes"):
        segment_volume(np.zeros((5, 20, 20)), MODEL, DIAMETER, anisotropy)


def test_a_plane_is_no_stack() -> None:
    with pytest.raises(ValueError, match=r"\(Z, Y, X\)"):
        segment_volume(np.zeros((20, 20)), MODEL, DIAMETER, 1)


# Balls that touch: beside each other, and one upon the other.
TOUCHING = [(20.0, 20.0, 20.0), (20.0, 20.0, 36.5), (36.5, 21.0, 20.0), (22.0, 38.0, 28.0)]


def test_flows_part_balls_that_touch() -> None:
    truth = balls((48, 56, 56), TOUCHING, DIAMETER)
    flows, _ = views(labels_to_flows, truth, 1)
    logit = np.where(truth > 0, 1, -1).astype(np.float32)
    found = follow_to_labels(flows, logit, threshold=0, steps=100, min_size=40)
    assert found.max() == len(TOUCHING)
    assert (overlap(truth, found).iou() > 0.9).sum() == len(TOUCHING)


def test_a_view_sees_the_two_components_in_its_plane() -> None:
    volume = np.zeros((3, 4, 5), np.float32)

    def answer(plane: NDArray[Any]) -> NDArray[np.float32]:
        rows, columns = plane.shape
        # First along rows, then along columns; sizes tell the three views apart.
        return np.stack([np.full(plane.shape, v, np.float32) for v in (rows, 10 * columns, 1)])

    flows, logit = views(answer, volume, 2)
    # Z is the rows of both side views; Y the rows of a plane, the columns along X; X the columns.
    assert (flows[0] == 3).all()
    assert (flows[1] == (4 + 40) / 2).all()
    assert (flows[2] == 50).all()
    assert (logit == 1).all()


def test_flows_of_another_shape_are_an_error() -> None:
    truth = balls((48, 56, 56), TOUCHING, DIAMETER)
    flows, _ = views(labels_to_flows, truth, 1)
    own = errors_in_views(truth, flows, 1)
    turned = errors_in_views(truth, -flows, 1)
    assert own.shape == (len(TOUCHING) + 1,)
    np.testing.assert_allclose(own, 0, atol=1e-9)
    # Of length 1 in a slice, so 4 if every flow is turned round; less where views disagree.
    assert (turned[1:] > 2).all()
    assert (turned <= 4).all()


def test_objects_that_flows_do_not_explain_are_dropped() -> None:
    class Swirls(BrightPatches):
        def run(self, outputs: None, feeds: dict[str, NDArray[np.float32]]) -> list[Any]:
            out = super().run(outputs, feeds)[0]
            turned = 0.6 * out[:, :2] + 0.8 * np.stack([out[:, 1], -out[:, 0]], axis=1)
            return [np.concatenate([turned, out[:, 2:]], axis=1)]

    model = OnnxModel("swirls", DIAMETER, 1, 8, "0" * 64, {}, Swirls())
    image = seen(balls((64, 72, 90), APART, DIAMETER))
    assert segment_volume(image, model, DIAMETER, 1, max_error=0).any()
    assert not segment_volume(image, model, DIAMETER, 1).any()


def enlarged(labels: NDArray[np.int32], shape: tuple[int, int, int]) -> NDArray[np.int32]:
    before = (labels.shape[1], labels.shape[2])
    part, box = (0, before[0], 0, before[1]), (0, shape[1], 0, shape[2])
    return rescale_volume_labels(labels, part, before, box, shape)


def test_labels_are_enlarged_by_vote() -> None:
    labels = np.array([[[1, 1, 2]]], np.int32)
    large = enlarged(labels, (2, 1, 6))
    np.testing.assert_array_equal(large, np.broadcast_to([1, 1, 1, 1, 2, 2], (2, 1, 6)))
    np.testing.assert_array_equal(enlarged(labels, (1, 1, 3)), labels)


def test_of_equal_votes_the_smaller_number_wins() -> None:
    labels = np.array([[[7]], [[3]]], np.int32)
    assert enlarged(labels, (1, 1, 1)).item() == 3


@pytest.mark.parametrize("after", [(5, 31, 44), (3, 12, 17), (2, 5, 9)])
def test_a_part_is_enlarged_as_the_whole_is(after: tuple[int, int, int]) -> None:
    labels = np.random.default_rng(1).integers(0, 4, (3, 12, 17)).astype(np.int32)
    whole = enlarged(labels, after)
    box = (after[1] // 3, after[1] - 1, 2, after[2] // 2)
    part = needed(box, (12, 17), after[1:])
    assert part != (0, 12, 0, 17)
    found = rescale_volume_labels(
        labels[:, part[0] : part[1], part[2] : part[3]], part, (12, 17), box, after
    )
    np.testing.assert_array_equal(found, whole[:, box[0] : box[1], box[2] : box[3]])


def test_profiles_are_joined_with_their_best_match() -> None:
    planes = [np.zeros((1, 20), np.int32) for _ in range(4)]
    planes[0][0, 0:8], planes[0][0, 10:18] = 1, 2
    planes[1][0, 1:8], planes[1][0, 10:13], planes[1][0, 13:18] = 2, 3, 1
    planes[2][0, 7:19] = 5
    found = stitch(planes)
    assert found[1, 0, 3] == found[0, 0, 3]
    assert found[1, 0, 15] == found[0, 0, 15]
    assert found[1, 0, 11] not in (0, found[0, 0, 3], found[0, 0, 15])
    assert found[2, 0, 10] == found[1, 0, 15]
    assert not found[3].any()


def test_profiles_that_hardly_overlap_are_two_nuclei() -> None:
    planes = [np.zeros((1, 20), np.int32) for _ in range(2)]
    planes[0][0, 0:10], planes[1][0, 7:17] = 1, 1
    found = stitch(planes)
    assert found[0, 0, 0] != found[1, 0, 10]


def test_depth_is_changed_linearly() -> None:
    planes = np.repeat(np.arange(4, dtype=np.float32), 6).reshape(4, 2, 3)
    np.testing.assert_allclose(
        rescale_depth(planes, 8)[:, 0, 0], [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]
    )
    fewer = rescale_depth(planes, 2)
    assert fewer.shape == (2, 2, 3)
    np.testing.assert_allclose(fewer.mean(), 1.5)
    np.testing.assert_array_equal(rescale_depth(planes, 4), planes)


def test_a_stack_for_which_the_memory_is_too_small_is_refused_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Unread:
        shape = (20, 2048, 2048)

        def __array__(self, *_: Any, **__: Any) -> NDArray[Any]:
            raise AssertionError("was read")

    monkeypatch.setattr("imganalysis.segment._volume_memory._memory_of_machine", lambda: 2**30)
    pixel = 8 / 22
    with pytest.raises(ImageError, match=r"20 x 2048 x 2048 .* needs about 2.3 GiB") as caught:
        find_nuclei(Unread(), (pixel,) * 3, NetworkMethod())
    assert caught.value.reason == "memory"


def test_the_memory_of_a_stack_grows_with_its_voxels_at_either_scale() -> None:
    voxels = 24 * 320 * 320
    assert memory_needed((24, 320, 320), 22, 22, 1.0) == 64 * voxels
    assert memory_needed((24, 640, 640), 22, 44, 1.0) == 34 * 4 * voxels
    assert memory_needed((24, 320, 320), 22, 22, 3.0) == (12 + 3 * 52) * voxels
    # Beyond what is taken at once there are tiles, and the labels of the whole.
    assert memory_needed((24, 6400, 6400), 22, 22, 1.0) <= 0.6 * MOST + 4 * 400 * voxels
    # Planes far apart are not seen from the side: no volume is filled up between them.
    assert memory_needed((24, 320, 320), 22, 22, 30.0) == 64 * voxels


def test_tiles_of_a_stack_hang_on_it_alone_and_hold_a_nucleus_with_its_neighbours() -> None:
    assert tile_side((24, 1500, 1600), 22, 22, 1.0) == 1600
    side = tile_side((24, 2400, 1200), 22, 22, 1.0)
    assert 800 < side < 1200
    assert tile_side((4000, 4000, 4000), 22, 22, 1.0) == 4 * 22


@pytest.mark.parametrize("planes", [slice(None), slice(8, 28, 14)])
def test_a_stack_in_tiles_has_the_nuclei_of_the_whole(planes: slice) -> None:
    """Balls in a raster of no tile's width, seen from all sides and plane by plane."""
    centres = [(15.0, y, x) for y in range(14, 130, 31) for x in range(17, 220, 33)]
    stack = seen(balls((30, 132, 230), centres, DIAMETER))[planes]
    step = planes.step or 1
    whole = segment_volume(stack, MODEL, DIAMETER, step)
    assert whole.max() == len(centres)
    out, asked = np.full(stack.shape, 7, np.uint32), []
    for side, tiles in ((68, 2 * 4), (100, 2 * 3), (132, 1 * 2)):
        asked.clear()
        found = segment_volume(
            stack, MODEL, DIAMETER, step, tile_px=side, out=out,
            progress=lambda *now: asked.append(now),
        )  # fmt: skip
        assert found is out and asked[-1] == ("tiles", tiles, tiles) and len(asked) == tiles
        np.testing.assert_array_equal(found, whole)


def test_a_large_stack_is_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    class Parts:
        def __init__(self, stack: NDArray[Any]) -> None:
            self.stack, self.shape, self.most = stack, stack.shape, 0

        def __getitem__(self, key: Any) -> NDArray[Any]:
            part = self.stack[key]
            self.most = max(self.most, part.size)
            return part

    stack = seen(balls((40, 100, 400), [(20.0, 50.0, x) for x in (40, 150, 260, 370)], DIAMETER))
    whole = segment_volume(stack, MODEL, DIAMETER, 1.0)
    monkeypatch.setattr("imganalysis.segment._volume_memory.MOST", 64 * 40 * 100 * 220)
    parts = Parts(stack)
    np.testing.assert_array_equal(segment_volume(parts, MODEL, DIAMETER, 1.0), whole)
    assert 0 < parts.most < stack.size


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
def test_tiles_of_a_stack_without_contrast_have_no_nuclei(value: float) -> None:
    stack = np.full((20, 150, 150), value, np.float32)
    assert segment_volume(stack, MODEL, DIAMETER, 1.0, tile_px=70).max() == 0


def test_brightness_of_a_tile_is_judged_in_the_whole_stack() -> None:
    centres = [(20.0, 40.0, x) for x in (40.0, 80.0, 120.0, 160.0, 360.0)]
    stack = seen(balls((40, 80, 400), centres, DIAMETER))
    stack[:, :, 200:] *= 0.2  # dim, beside what is bright
    stack[0, 0, 0] = np.nan
    whole = segment_volume(stack, MODEL, DIAMETER, 1.0)
    np.testing.assert_array_equal(segment_volume(stack, MODEL, DIAMETER, 1.0, tile_px=80), whole)
    assert whole.max() == 4

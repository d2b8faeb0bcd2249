"""A calibration, applied to the pixels of a field."""

import numpy as np
import pytest
from pydantic import ValidationError

from imganalysis.errors import CalibrationError
from imganalysis.prepare.calibration import (
    Calibration,
    Share,
    Shift,
    Surface,
    calibrate,
    select_calibration,
)

PIXEL = (0.5, 0.5)


def images(**values: float) -> dict[str, np.ndarray]:
    return {name: np.full((20, 30), value, np.float32) for name, value in values.items()}


def test_nothing_known_changes_nothing():
    before = images(N=10, A=20)
    after, clipped, facts = calibrate(before, None, Calibration(), PIXEL)
    assert all(after[name] is before[name] for name in before) and clipped is None
    assert facts["bleedthrough"] == facts["flatfield"] == facts["channel_shift"] == "off"
    assert facts["calibration"] == Calibration().fingerprint


def test_bleed_through_is_taken_off_over_the_offset():
    known = Calibration(shares=(Share(detector="B", dye="A", share=0.1),), offsets={"A": 5, "B": 4})
    after, _, facts = calibrate(images(N=9, A=105, B=34), None, known, PIXEL)
    assert after["N"][0, 0] == 9 and after["A"][0, 0] == 105
    assert after["B"][0, 0] == pytest.approx(24) and after["B"].dtype == np.float32
    assert facts["bleedthrough"] == "given"


def test_what_a_clipped_pixel_hides_is_missing_elsewhere_too():
    clipped = np.zeros((3, 20, 30), bool)
    clipped[1, 3, 4] = True
    shares = (
        Share(detector="B", dye="A", share=0.1),
        Share(detector="N", dye="A", share=0.002),
        Share(detector="N", dye="B", reason="no_control"),
    )
    _, after, _ = calibrate(images(N=9, A=105, B=34), clipped, Calibration(shares=shares), PIXEL)
    assert after is not None
    assert after[:, 3, 4].tolist() == [False, True, True]
    assert after.sum() == 2


def test_a_channel_is_moved_before_it_is_unmixed():
    rng = np.random.default_rng(1)
    dye = rng.uniform(10, 90, (20, 30)).astype(np.float32)
    seen = {"N": dye * 0, "A": np.roll(dye, 2, axis=1), "B": 0.1 * dye}
    clipped = np.zeros((3, 20, 30), bool)
    clipped[1, 5, 9] = True
    known = Calibration(
        shares=(Share(detector="B", dye="A", share=0.1),), shifts=(Shift(marker="A", dx_px=2),)
    )
    after, moved, facts = calibrate(seen, clipped, known, PIXEL)
    np.testing.assert_allclose(after["A"][:, :-2], dye[:, :-2], rtol=1e-5)
    np.testing.assert_allclose(after["B"][:, :-2], 0, atol=1e-5)
    assert np.isnan(after["A"][:, -2:]).all() and np.isfinite(after["N"]).all()
    assert moved is not None and moved[1, 5, 7] and moved[2, 5, 7] and moved.sum() == 2
    assert facts["channel_shift"] == "given"


def test_shading_is_divided_out_of_fields_of_its_size_only():
    surface = Surface(marker="A", coefficients=(1, 0, 0.2, 0))
    known = Calibration(surfaces=(surface,), field_um=(10, 15), offsets={"A": 5})
    after, _, facts = calibrate(images(N=9, A=105), None, known, PIXEL)
    assert after["A"][0, 0] > 110 and after["A"][0, -1] < 100 and after["N"][0, 0] == 9
    assert facts["flatfield"] == "given"
    other, _, facts = calibrate(images(N=9, A=105), None, known, (0.5, 0.7))
    assert other["A"][0, 0] == 105 and facts["flatfield"] == "not_done"


def test_stacks_left_in_three_dimensions_are_corrected_too():
    flat = images(A=105, B=34)
    deep = {name: np.stack([image, image]) for name, image in flat.items()}
    known = Calibration(shares=(Share(detector="B", dye="A", share=0.1),))
    one, _, _ = calibrate(flat, None, known, PIXEL)
    two, _, _ = calibrate(deep, None, known, PIXEL)
    np.testing.assert_array_equal(two["B"][1], one["B"])


def test_the_hash_is_of_all_that_is_known():
    plain = Calibration(shares=(Share(detector="B", dye="A", share=0.1),))
    assert plain.fingerprint == Calibration.model_validate(plain.model_dump()).fingerprint
    other = Calibration(shares=(Share(detector="B", dye="A", share=0.100001),))
    assert len({plain.fingerprint, other.fingerprint, Calibration().fingerprint}) == 3


def test_the_nearest_scope_goes_first():
    every = Calibration()
    batch = Calibration(batch="B1")
    full = Calibration(panel="p", batch="B1", acquisition="A1")
    assert select_calibration([every, batch, full], "p", "B1", "A1") is full
    assert select_calibration([every, batch, full], "p", "B1", "A2") is batch
    assert select_calibration([every, batch, full], "p", "B2", "A1") is every
    assert select_calibration([batch, full], "p", "B2", "A1") is None


def test_impossible_values_are_refused():
    for values in (
        {"shares": [{"detector": "A", "dye": "B", "share": 1.0}]},
        {"shares": [{"detector": "A", "dye": "B", "share": -0.1}]},
        {"shifts": [{"marker": "A", "dy_px": 20}]},
        {"surfaces": [{"marker": "A", "coefficients": [1, 0, 0, -0.6]}]},
        {"bleed": []},
    ):
        with pytest.raises(ValidationError):
            Calibration.model_validate(values)
    alike = Calibration(
        shares=tuple(Share(detector=i, dye=j, share=0.97) for i, j in (("A", "B"), ("B", "A")))
    )
    with pytest.raises(CalibrationError, match="dyes of A and B"):
        calibrate(images(A=10, B=10), None, alike, PIXEL)

"""Kaplan-Meier by hand, the log-rank test by the library, and the landmark."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.duration.survfunc import SurvfuncRight, survdiff

from imganalysis.cohort.clinical import Followed, follow_up, read_clinical
from imganalysis.cohort.groups import as_groups
from imganalysis.cohort.plan import choose_groups, choose_survival
from imganalysis.cohort.survival import curve, curves, from_landmark, log_rank, to_unit
from imganalysis.errors import SettingsError

# Six patients; died at 2, 4, 4, 7; last seen at 3 and 9.
SIX = {
    "A": Followed(2, True), "B": Followed(3, False), "C": Followed(4, True),
    "D": Followed(4, True), "E": Followed(7, True), "F": Followed(9, False),
}  # fmt: skip


def test_the_estimate_by_hand() -> None:
    found = curve(SIX).set_index("time")
    assert list(found["n_at_risk"]) == [6, 6, 5, 4, 2, 1]
    assert list(found["n_events"]) == [0, 1, 0, 2, 1, 0]
    assert list(found["n_censored"]) == [0, 0, 1, 0, 0, 1]
    s = [1, 5 / 6, 5 / 6, 5 / 6 * 2 / 4, 5 / 12 * 1 / 2, 5 / 24]
    assert list(found["survival"]) == pytest.approx(s)
    # Greenwood on the log-log scale at 4: sum d / (n (n - d)) = 1/30 + 2/8.
    error = np.sqrt(1 / 30 + 2 / 8) / abs(np.log(s[3])) * 1.959964
    assert found.loc[4, "lo"] == pytest.approx(s[3] ** np.exp(error))
    assert found.loc[4, "hi"] == pytest.approx(s[3] ** np.exp(-error))


def test_as_the_library_and_nobody_with_an_event() -> None:
    rng = np.random.default_rng(2)
    time, event = rng.integers(1, 40, 30), rng.random(30) < 0.6
    found = curve(
        {
            str(i): Followed(float(t), bool(e))
            for i, (t, e) in enumerate(zip(time, event, strict=True))
        }
    )
    theirs = SurvfuncRight(time, event.astype(float))
    ours = found[found["n_events"] > 0]
    assert list(ours["time"]) == list(theirs.surv_times)
    assert list(ours["survival"]) == pytest.approx(list(theirs.surv_prob))
    assert list(ours["n_at_risk"]) == pytest.approx(list(theirs.n_risk))
    alive = curve({"A": Followed(3, False), "B": Followed(5, False)})
    assert list(alive["survival"]) == [1, 1, 1] and list(alive["n_at_risk"]) == [2, 2, 1]


def test_log_rank() -> None:
    rng = np.random.default_rng(4)
    times, events = rng.exponential(30, 30) * (1 + np.arange(30) % 2), rng.random(30) < 0.8
    followed = {
        f"P{i:02}": Followed(float(t), bool(e))
        for i, (t, e) in enumerate(zip(times, events, strict=True))
    }
    groups = as_groups("stage", {p: "III" if int(p[1:]) % 2 else "IV" for p in followed})
    row = log_rank(followed, groups, "time_weeks")
    theirs = survdiff(
        np.array([f.time for f in followed.values()]),
        np.array([float(f.event) for f in followed.values()]),
        np.array([groups.of[p] for p in followed]),
    )
    assert (row["p"], row["method"], row["n_patients"]) == (
        pytest.approx(theirs[1]), "log_rank", 30
    )  # fmt: skip
    few = {p: followed[p] for p in list(followed)[:5]}
    assert log_rank(few, groups, "time_weeks")["reason"] == "too_few_patients"
    one = as_groups("stage", dict.fromkeys(followed, "III"))
    assert log_rank(followed, one, "time_weeks")["reason"] == "one_group"
    alive = {p: Followed(f.time, False) for p, f in followed.items()}
    assert log_rank(alive, groups, "time_weeks")["reason"] == "no_events"
    table = curves(followed, groups, "time_weeks")
    assert set(table["group"]) == {"III", "IV"} and set(table["unit"]) == {"weeks"}


def test_from_the_landmark_time_starts_anew() -> None:
    left = from_landmark(SIX, 4)
    assert {p: f.time for p, f in left.items()} == {"E": 3, "F": 5}
    assert to_unit(4, "time_days") == 28
    assert to_unit(4, "time_months") == pytest.approx(28 / 30.4375)


HEAD = "patient,dose,response,time_weeks,event"
ROWS = "".join(f"P{i},{i % 2},{'complete' if i < 4 else 'stable'},{10 + i},1\n" for i in range(8))


def chosen(path, by=(), landmark=None):
    clinical = read_clinical(path)
    groups = choose_groups(clinical, (), None)
    return choose_survival(clinical, follow_up(clinical), groups, by, landmark)


def test_by_response_only_from_a_landmark(clinical_file) -> None:
    path = clinical_file(f"{HEAD}\n{ROWS}")
    usual = chosen(path)
    assert [g.name for g, _, _ in usual.compared] == ["dose"]
    assert "immortal-time bias" in usual.notes[0]
    with pytest.raises(SettingsError, match=r"immortal-time bias.*--landmark WEEK"):
        chosen(path, by=("response",))
    with pytest.raises(SettingsError, match="needs the columns response and response_week"):
        chosen(path, landmark=4)
    with pytest.raises(SettingsError, match="--landmark is for survival by response"):
        chosen(path, by=("dose",), landmark=4)
    with pytest.raises(SettingsError, match="neither of the columns"):
        chosen(clinical_file("patient,dose\nP1,3\n"), landmark=4)


def test_what_was_seen_after_the_landmark_makes_nobody_a_responder(clinical_file) -> None:
    rows = "".join(
        line + f",{week}\n"
        for line, week in zip(ROWS.splitlines(), (2, 2, 9, 9, 3, 3, 3, ""), strict=True)
    )
    found = chosen(clinical_file(f"{HEAD},response_week\n{rows}"), landmark=4)
    groups, left, landmark = found.compared[-1]
    assert landmark == 4 and len(left) == 8 and left["P0"].time == 6
    assert groups.of == {
        "P0": "complete", "P1": "complete", "P2": "none by the landmark",
        "P3": "none by the landmark", "P4": "stable", "P5": "stable", "P6": "stable", "P7": "",
    }  # fmt: skip


def test_by_diameters_only_visits_before_the_landmark_count(clinical_file) -> None:
    head = "patient,lesion,week,diameter_a_mm,diameter_b_mm,time_weeks,event\n"
    rows = "A,1,0,9,9,30,1\nA,1,5,9,9,30,1\nA,1,12,0,0,30,1\nB,1,0,9,9,20,0\nB,1,5,0,0,20,0\n"
    clinical = read_clinical(clinical_file(head + rows))
    from imganalysis.cohort.clinical import visits
    from imganalysis.cohort.response import responses

    judged = responses(visits(clinical) or [], clinical.patients)
    groups = choose_groups(clinical, (), judged)
    assert groups.groupings == () and "one group" in groups.notes[0]
    found = choose_survival(clinical, follow_up(clinical), groups, (), 8)
    assert found.compared[0][0].of == {"A": "stable", "B": "complete"}

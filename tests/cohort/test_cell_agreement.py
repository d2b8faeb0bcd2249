"""Classes of cells against readers', from files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from imganalysis.agreeing import agree_on_cells
from imganalysis.errors import SettingsError, TableError

CLASSES = ["T", "NK", "other"]


def study(seed=1, fields=4, n=60):
    """Cells on a grid 10 um apart, so that every click can mean one cell only."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        [(f"F{f}", f"B{f}", i + 1) for f in range(fields) for i in range(n)],
        columns=["field", "biopsy", "label"],
    )
    table["centroid_y_um"] = 10.0 * (table["label"] // 8)
    table["centroid_x_um"] = 10.0 * (table["label"] % 8)
    table["phenotype"] = rng.choice(CLASSES, len(table), p=[0.5, 0.1, 0.4])
    return table


def clicks_of(cells, seed=2, error=0.1, jitter=0.5):
    rng = np.random.default_rng(seed)
    wrong = rng.random(len(cells)) < error
    return pd.DataFrame(
        {
            "field": cells["field"],
            "x_um": cells["centroid_x_um"] + rng.uniform(-jitter, jitter, len(cells)),
            "y_um": cells["centroid_y_um"] + rng.uniform(-jitter, jitter, len(cells)),
            "class": np.where(wrong, rng.choice(CLASSES, len(cells)), cells["phenotype"]),
        }
    )


def agree(tmp_path, cells, *readers, **options):
    cells.to_csv(tmp_path / "cells.csv", index=False)
    paths = []
    for i, clicks in enumerate(readers):
        paths.append(tmp_path / f"reader{i}.csv")
        clicks.to_csv(paths[-1], index=False)
    return agree_on_cells(tmp_path / "cells.csv", paths, **options)


def overall(found, statistic, comparison="imganalysis against reader0"):
    table = found.agreement
    mine = (table["statistic"] == statistic) & (table["comparison"] == comparison)
    return table[mine].iloc[0]


def test_all_scores_are_those_of_scikit_learn(tmp_path):
    cells = study()
    clicks = clicks_of(cells)
    found = agree(tmp_path, cells, clicks)
    truth, ours = clicks["class"].to_numpy(), cells["phenotype"].to_numpy()
    assert overall(found, "kappa")["value"] == pytest.approx(metrics.cohen_kappa_score(truth, ours))
    assert overall(found, "macro_f1")["value"] == pytest.approx(
        metrics.f1_score(truth, ours, average="macro")
    )
    crossed = found.confusions["imganalysis against reader0"]
    np.testing.assert_array_equal(
        crossed.to_numpy(), metrics.confusion_matrix(truth, ours, labels=list(crossed.index))
    )
    for _, row in found.per_class.iterrows():
        a, b = truth == row["class"], ours == row["class"]
        assert row["f1"] == pytest.approx(metrics.f1_score(a, b)) == row["f1_end_to_end"]
        assert row["sensitivity"] == pytest.approx(metrics.recall_score(a, b))
        assert row["specificity"] == pytest.approx(metrics.recall_score(~a, ~b))
        assert row["kappa"] == pytest.approx(metrics.cohen_kappa_score(a, b))
        assert row["pabak"] == pytest.approx(2 * np.mean(a == b) - 1)
        assert row["prevalence"] == pytest.approx(a.mean())
        for name in ("f1", "sensitivity", "specificity", "kappa", "pabak", "prevalence"):
            assert row[f"{name}_lo"] < row[name] < row[f"{name}_hi"]
    assert (found.pairs["distance_um"] <= np.sqrt(0.5) + 1e-9).all()


def test_f1_of_a_class_is_judged_from_twenty_biopsies_on(tmp_path):
    whole = "imganalysis against reader0"
    for fields, verdicts, said in (
        (19, {"T": "not judged", "NK": "not judged", "other": ""}, "(19 of 20)"),
        (20, {"T": "met", "NK": "not met", "other": ""}, "not met"),
    ):
        cells = study(fields=fields)
        clicks = clicks_of(cells, error=0)
        missed = cells.index[cells["phenotype"] == "NK"]
        clicks.loc[missed[: len(missed) * 3 // 5], "class"] = "other"
        found = agree(tmp_path, cells, clicks)
        mine = found.per_class.set_index("class")
        assert mine.loc["NK", "f1"] < 0.6 < 0.8 < mine.loc["T", "f1"]
        assert mine["verdict"].to_dict() == verdicts
        assert mine["target"].to_dict() == {"T": "F1 >= 0.80", "NK": "F1 >= 0.60", "other": ""}
        assert said in overall(found, "accept_all", whole)["verdict"]
    agreed = agree(tmp_path, cells, clicks_of(cells, error=0))
    assert overall(agreed, "accept_all", whole)["verdict"] == "met"
    # Cells of no named biopsy are of none.
    nameless = agree(tmp_path, cells.drop(columns="biopsy"), clicks_of(cells, error=0))
    assert "(0 of 20)" in overall(nameless, "accept_all", whole)["verdict"]
    assert any("name no biopsy" in note for note in nameless.notes)
    # Between readers nothing is asked.
    two = agree(tmp_path, cells, clicks, clicks_of(cells, error=0))
    assert set(two.per_class.loc[two.per_class["kind"] == "reader-reader", "target"]) == {""}


def test_every_class_that_f1_is_asked_of_is_one_of_a_panel():
    from imganalysis.cohort.acceptance import least_f1
    from imganalysis.panel import builtin_panels, load_panel

    known = {row.name for name in builtin_panels() for row in load_panel(name).phenotypes}
    assert set(least_f1()) <= known
    assert sorted(set(least_f1().values())) == [0.6, 0.7, 0.8]


def test_unresolved_cells_stand_in_the_confusion_and_lower_the_coverage(tmp_path):
    cells = study()
    clicks = clicks_of(cells, error=0)
    cells.loc[cells.index[:24], "phenotype"] = "unresolved"
    found = agree(tmp_path, cells, clicks)
    assert found.confusions["imganalysis against reader0"]["unresolved"].sum() == 24
    assert overall(found, "coverage")["value"] == pytest.approx(1 - 24 / 240)
    assert overall(found, "kappa_resolved")["value"] == 1
    assert overall(found, "kappa")["value"] < 1
    assert (found.per_class["sensitivity"] < 1).any()
    assert found.per_class["fp"].sum() == 0


def test_cells_on_one_side_only_count_end_to_end(tmp_path):
    cells = study()
    clicks = clicks_of(cells, error=0)
    lost, missed = clicks.index[:10], cells.index[50:58]
    found = agree(tmp_path, cells.drop(lost), clicks.drop(missed))
    assert (found.pairs["status"] == "click_without_cell").sum() == 10
    assert (found.pairs["status"] == "cell_without_click").sum() == 8
    assert (found.per_class["f1"] == 1).all()
    crossed = found.confusions["imganalysis against reader0"]
    assert crossed["(no cell there)"].sum() == 10
    assert crossed.loc["(not clicked)"].sum() == 8
    tp = found.per_class["tp"]
    extra = found.per_class["n_not_found"] + found.per_class["n_not_clicked"]
    np.testing.assert_allclose(found.per_class["f1_end_to_end"], 2 * tp / (2 * tp + extra))
    assert any("10 where we have no cell" in note and "8 of ours" in note
               for note in found.notes)  # fmt: skip


def test_excluded_cells_are_no_errors_and_not_lost(tmp_path):
    cells = study()
    cells["evaluable"] = cells["label"] > 5
    found = agree(tmp_path, cells, clicks_of(cells, error=0))
    assert (found.pairs["status"] == "excluded_cell").sum() == 20
    assert found.confusions["imganalysis against reader0"]["(excluded)"].sum() == 20
    assert (found.per_class["f1_end_to_end"] == 1).all()


def test_labels_and_fragments(tmp_path):
    cells = study(fields=1)
    cells["cell_id"] = cells["label"].replace({2: 1})
    cells.loc[1, "phenotype"] = cells.loc[0, "phenotype"]
    clicks = clicks_of(cells, error=0)[["field", "class"]].assign(label=cells["label"])
    found = agree(tmp_path, cells, clicks)
    assert found.pairs["status"].value_counts().to_dict() == {"matched": 59, "second_click": 1}
    with pytest.raises(TableError, match="label 99 of reader0 is not in field F0"):
        agree(tmp_path, cells, clicks.assign(label=[99, *cells["label"][1:]]))
    with pytest.raises(TableError, match="read twice"):
        agree(tmp_path, cells, clicks.assign(label=1))


def fragmented():
    """One dying cell in two fragments 5 um apart, a nucleus by itself, and one far off."""
    return pd.DataFrame(
        {
            "field": "F0", "biopsy": "B0", "label": [1, 2, 3, 4], "cell_id": [1, 1, 3, 4],
            "centroid_x_um": [10.0, 15.0, 30.0, 50.0], "centroid_y_um": [10.0, 10.0, 10.0, 10.0],
            "phenotype": ["NK", "NK", "T", "other"],
        }
    )  # fmt: skip


def clicked(*rows):
    table = pd.DataFrame([(x, 10.0, name) for x, name in rows], columns=["x_um", "y_um", "class"])
    return table.assign(field="F0")


@pytest.mark.parametrize(
    ("xs", "matched", "second", "lost"),
    [
        ([10.2, 14.8], 1, 1, 0),  # both fragments
        ([12.5], 1, 0, 0),  # between them
        ([10.2, 12.6, 15.1], 1, 2, 0),
        ([29.5, 30.4], 1, 1, 0),  # twice on one nucleus
        ([28.5, 31.5], 1, 0, 1),  # 3 um apart: two cells that we have as one
        ([10.2, 17.5], 1, 0, 1),  # beside the fragments
    ],
)
def test_a_cell_counts_once_however_often_it_is_clicked(tmp_path, xs, matched, second, lost):
    cells = fragmented()
    name = "NK" if xs[0] < 20 else "T"
    found = agree(tmp_path, cells, clicked(*((x, name) for x in xs), (50.0, "other")))
    count = found.pairs["status"].value_counts()
    assert count.get("matched") == matched + 1
    assert count.get("second_click", 0) == second
    assert count.get("click_without_cell", 0) == lost
    again = found.pairs[found.pairs["status"] == "second_click"]
    assert set(again["cell_id"]) <= {1 if name == "NK" else 3}
    assert (again["distance_um"] <= 2).all()
    crossed = found.confusions["imganalysis against reader0"]
    assert crossed.to_numpy().sum() == 3 + lost  # each cell once, and what we do not have
    assert any(f"{second} once more on a cell" in note for note in found.notes)
    assert not any("different classes" in note for note in found.notes)


def test_a_cell_clicked_twice_as_different_things_is_told(tmp_path):
    clicks = clicked((10.1, "NK"), (14.5, "T"), (50.0, "other"))
    found = agree(tmp_path, fragmented(), clicks)
    assert any("1 cell clicked more than once with different classes" in n for n in found.notes)
    assert (found.per_class["f1"].dropna() == 1).all()
    # A label and a position of one cell are two clicks on it, too.
    clicks = clicks.assign(label=[1, "", ""])
    found = agree(tmp_path, fragmented(), clicks)
    assert found.pairs["status"].value_counts()["second_click"] == 1


def test_readers_are_compared_with_each_other_first(tmp_path):
    cells = study()
    a, b = clicks_of(cells, seed=2), clicks_of(cells, seed=3).drop(range(6))
    found = agree(tmp_path, cells, a, b)
    names = list(dict.fromkeys(found.agreement["comparison"]))
    assert names[0] == "reader1 against reader0"
    expected = metrics.cohen_kappa_score(a["class"][6:], b["class"])
    assert overall(found, "kappa", names[0])["value"] == pytest.approx(expected)
    assert overall(found, "kappa", names[0])["n"] == 234
    assert found.confusions[names[0]]["(not clicked)"].sum() == 6


def test_what_a_reader_leaves_open_is_in_no_score(tmp_path):
    cells = study()
    clicks = clicks_of(cells, error=0)
    clicks.loc[:4, "class"] = "unresolved"
    found = agree(tmp_path, cells, clicks)
    assert overall(found, "kappa")["n"] == 235
    assert found.confusions["imganalysis against reader0"].loc["unresolved"].sum() == 5
    assert any("5 cells left open" in note for note in found.notes)


def test_clusters_are_biopsies_where_there_are_five(tmp_path):
    for fields, cluster in ((4, "field"), (6, "biopsy")):
        cells = study(fields=fields)
        found = agree(tmp_path, cells, clicks_of(cells))
        assert set(found.per_class["cluster"]) == {cluster}
        assert set(found.per_class["n_clusters"]) == {fields}
    found = agree(tmp_path, study(fields=1), clicks_of(study(fields=1)))
    assert any("design effect of 5" in note for note in found.notes)


def test_classes_that_look_misspelt_are_refused_and_others_named(tmp_path):
    cells = study()
    clicks = clicks_of(cells)
    for wrong in ("t", "N.K.", "othr"):
        with pytest.raises(TableError, match=r"is '(T|NK|other)' meant"):
            agree(tmp_path, cells, clicks.assign(**{"class": [wrong, *clicks["class"][1:]]}))
    found = agree(tmp_path, cells, clicks.assign(**{"class": ["plasma", *clicks["class"][1:]]}))
    assert any("never gives: plasma" in note for note in found.notes)
    with pytest.raises(TableError, match="no class of the readers"):
        agree(tmp_path, cells, clicks.assign(**{"class": "plasma"}))
    merged = agree(tmp_path, cells, clicks, same={"NK": "T"})
    assert list(merged.per_class["class"]) == ["T", "other"]
    with pytest.raises(SettingsError, match="no cell of either side"):
        agree(tmp_path, cells, clicks, same={"B": "T"})


def test_bad_tables(tmp_path):
    cells = study()
    clicks = clicks_of(cells)

    def refused(cells, clicks, match, **options):
        with pytest.raises((TableError, SettingsError), match=match):
            agree(tmp_path, cells, clicks, **options)

    refused(cells, clicks.assign(field="X"), "no field of the readers")
    refused(cells, clicks.assign(x_um=["3,5", *clicks["x_um"][1:]]), "row 2: '3,5'")
    refused(cells, clicks.assign(y_um=["", *clicks["y_um"][1:]]), "neither a position nor a label")
    refused(cells, clicks.drop(columns="y_um"), "expected x_um and y_um")
    refused(cells, pd.concat([clicks, clicks[:1]]), "read twice")
    refused(cells, clicks.assign(**{"class": ["", *clicks["class"][1:]]}), "class: empty in row 2")
    refused(cells.drop(columns="phenotype"), clicks, "missing column")
    refused(pd.concat([cells, cells[:1]]), clicks, "1 object there more than once")
    refused(cells.assign(label=0.5), clicks, "expected whole numbers from 1; found row 2: '0.5'")
    refused(cells.assign(evaluable="maybe"), clicks, "True or False")
    refused(cells, clicks, "length in um", distance_um=0)
    more = pd.concat([clicks, clicks[:2].assign(field="X")])
    found = agree(tmp_path, cells, more)
    assert any("2 clicks in 1 field" in note and "X" in note for note in found.notes)


def test_a_folder_of_results_is_read_as_the_csv(tmp_path):
    cells = study()
    found = agree(tmp_path, cells, clicks_of(cells))
    (tmp_path / "run" / "cells").mkdir(parents=True)
    for name, group in cells.groupby("field"):
        group.to_parquet(tmp_path / "run" / "cells" / f"{name}.parquet", index=False)
    same = agree_on_cells(tmp_path / "run", [tmp_path / "reader0.csv"])
    pd.testing.assert_frame_equal(found.agreement, same.agreement)
    pd.testing.assert_frame_equal(found.pairs, same.pairs, check_exact=False)

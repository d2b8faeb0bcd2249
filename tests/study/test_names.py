"""Names that every file system takes, and natural order."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imganalysis.study._names import Parts, field_names, natural_key, safe_name

FORBIDDEN = set('<>:"/\\|?*') | {chr(c) for c in range(32)}


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("a/b\\c:d", "a_b_c_d"), ("Prüfung 的", "Prüfung_的"), ("con", "_con"), ("NUL.x", "_NUL.x"),
        ("tail. .", "tail"), ("..", "_"), ("", "_"), (".hidden", "_hidden"), ("-1", "_1"),
        ("=1+2", "_1+2"), ("a\tb\nc", "a_b_c"), ("a\u202eb", "a_b"), ("console", "console"),
    ],
)  # fmt: skip
def test_safe_name(text, safe):
    assert safe_name(text) == safe


@given(st.text(max_size=300))
def test_any_text_becomes_a_name(text):
    name = safe_name(text)
    assert name
    assert not FORBIDDEN & set(name)
    assert name[0] not in ".=+-@ "
    assert name[-1] not in ". "
    assert len(name.encode()) <= 160
    assert safe_name(name) == name


def test_long_names_stay_different():
    names = {safe_name("的" * 100 + end) for end in "ab"}
    assert len(names) == 2


@given(st.text("ab01 ", max_size=5), st.text("ab01 ", max_size=5))
def test_any_two_texts_have_an_order(one, other):
    one_key, other_key = natural_key(one), natural_key(other)
    assert (one_key < other_key) + (other_key < one_key) + (one == other) == 1


def test_natural_order():
    texts = ["f10", "F2", "f2", "f", "f1a", "f1a2", "f01"]
    assert sorted(texts, key=natural_key) == ["f", "f01", "f1a", "f1a2", "F2", "f2", "f10"]


def make(prefix, path, *series):
    *folders, stem = path.split("/")
    return Parts(prefix, tuple(folders), stem, series, "|".join((path, *series)))


def test_a_biopsy_is_not_named_twice():
    parts = [make("B1", "B1/B1_f"), make("B1", "B1/b1"), make("B1", "B1/B12"), make("B", "B/Bär")]
    assert field_names(parts) == ["B1_f", "b1", "B1_B12", "B_Bär"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["B", "b", "B_x", ""]),
            st.sampled_from(["f", "x/f", "B/x/f", "x_f", "F", "/"]),
            st.sampled_from(["", "s", "S"]),
        ),
        unique=True,
    ),
    st.randoms(),
)
def test_names_are_unique_and_do_not_depend_on_order(made, random):
    parts = [make(*item) for item in made]
    parts = [replace(p, identity=repr(m)) for p, m in zip(parts, made, strict=True)]
    names = field_names(parts)
    assert len({name.casefold() for name in names}) == len(names)
    order = list(range(len(parts)))
    random.shuffle(order)
    assert field_names([parts[i] for i in order]) == [names[i] for i in order]

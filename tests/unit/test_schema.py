"""Landmark schemas against tables written out independently from the specification's own notation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmdeploy.errors import InputError
from lmdeploy.schema import BUILT_IN, LandmarkSchema, Normaliser, load_schema


def pairs(text, base=0):
    return [tuple(int(number) - base for number in pair.split("-")) for pair in text.split()]


def reversed_run(first, last):
    return [(first + i, last - i) for i in range((last - first + 1) // 2)]


# Section 1.2 of the method specification, in its own order and index base.
FLIPS = {
    "ibug68": reversed_run(0, 16)
    + reversed_run(17, 26)
    + pairs("31-35 32-34 36-45 37-44 38-43 39-42 40-47 41-46 48-54 49-53 50-52 55-59 56-58 60-64 61-63 65-67"),
    "wflw98": reversed_run(0, 32)
    + pairs("33-46 34-45 35-44 36-43 37-42 38-50 39-49 40-48 41-47 55-59 56-58")
    + pairs("60-72 61-71 62-70 63-69 64-68 65-75 66-74 67-73")
    + reversed_run(76, 82)
    + reversed_run(83, 87)
    + reversed_run(88, 92)
    + pairs("93-95 96-97"),
    "aflw19": pairs("1-6 2-5 3-4 7-12 8-11 9-10 13-15 16-18", base=1),
    "cofw29": pairs("1-2 3-4 5-7 6-8 9-10 11-12 13-15 14-16 17-18 19-20 23-24", base=1),
    "hand37": [],
    # 300-VW's 49 points: those of ibug68 that are neither jaw nor inner corner of the mouth, counted anew
    "ibug49": reversed_run(0, 9)
    + pairs("14-18 15-17 19-28 20-27 21-26 22-25 23-30 24-29 31-37 32-36 33-35 38-42 39-41 43-45 46-48"),
    "face5": pairs("0-1 3-4"),
    "hgr25": [],
    "blocks6": [],
    "shapes2": [],
}
POINTS = {"ibug68": 68, "wflw98": 98, "aflw19": 19, "cofw29": 29, "hand37": 37, "ibug49": 49, "face5": 5, "hgr25": 25}
POINTS |= {"blocks6": 6, "shapes2": 2}  # drawn figures
NORMALISERS = {
    "ibug68": ("distance", (36,), (45,), None),
    "wflw98": ("distance", (60,), (72,), None),
    "cofw29": ("distance", (8,), (9,), None),
    "aflw19": ("box", (), (), None),
    "hand37": ("distance", (0,), (4,), 50.0),
    "ibug49": ("distance", (19,), (28,), None),
    "face5": ("box", (), (), None),
    "hgr25": ("distance", (0,), (24,), None),
    "blocks6": ("image", (), (), None),
    "shapes2": ("image", (), (), None),
}
FIGURES = {"blocks6", "shapes2"}  # their classes are told apart by their mirror images
HANDS = {"hand37", "hgr25"}  # a mirrored right hand is a left one


@pytest.mark.parametrize("name", BUILT_IN)
def test_flip_table_is_the_specification_s(name):
    schema = load_schema(name)
    wanted = list(range(POINTS[name]))
    for a, b in FLIPS[name]:
        wanted[a], wanted[b] = b, a
    assert list(schema.flip_index) == wanted


@pytest.mark.parametrize("name", BUILT_IN)
def test_flip_is_an_involution_that_moves_each_point_at_most_once(name):
    order = load_schema(name).flip_index
    assert [order[order[i]] for i in range(len(order))] == list(range(len(order)))


@pytest.mark.parametrize("name", BUILT_IN)
def test_counts_names_and_normaliser(name):
    schema = load_schema(name)
    rule = schema.normaliser
    assert schema.name == name
    assert schema.points == len(schema.names) == POINTS[name]
    assert len(set(schema.names)) == schema.points
    assert (rule.kind, rule.a, rule.b, rule.length_mm) == NORMALISERS[name]
    assert schema.mirror == (name not in HANDS | FIGURES)


@pytest.mark.parametrize("name", [n for n in BUILT_IN if n not in HANDS])
def test_names_say_left_and_right_as_the_flip_pairs_do(name):
    schema = load_schema(name)
    for a, b in schema.flip_pairs:
        left, right = schema.names[a], schema.names[b]
        if "left" in left or "right" in left:
            assert {"left" in left, "left" in right} == {True, False}, (left, right)


TOML = """
name = "mine"
points = 3
names = ["a", "b", "c"]
flip_pairs = [[0, 2]]
skeleton = [[0, 1, 2]]
[normaliser]
kind = "distance"
name = "a-c"
a = [0]
b = [2]
"""


def test_a_user_s_own_schema_is_read_from_a_file(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(TOML, encoding="utf-8")
    schema = load_schema(file)
    assert schema.flip_index == (2, 1, 0)
    assert schema.mirror
    assert schema.normaliser == Normaliser(kind="distance", name="a-c", a=(0,), b=(2,))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"c"]', '"c", "d"]', "4 names for 3 points"),
        ("[[0, 2]]", "[[0, 3]]", "outside 0..2"),
        ("[[0, 2]]", "[[0, 2], [2, 1]]", "two flip pairs"),
        ("[[0, 1, 2]]", "[[0, 1, -1]]", "outside 0..2"),
        ("b = [2]", "b = []", "points in both a and b"),
        ("b = [2]", "b = [7]", "outside 0..2"),
        ('kind = "distance"', 'kind = "area"', "normaliser.kind"),
        ("points = 3", "points = 3\ncolour = 1", "colour"),
        ("points = 3", "points = three", "not valid TOML"),
        ("points = 3\n", "", "points"),
    ],
)
def test_a_wrong_schema_is_refused_with_the_reason(tmp_path, old, new, said):
    file = tmp_path / "wrong.toml"
    assert old in TOML
    file.write_text(TOML.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=said) as caught:
        load_schema(file)
    assert "wrong.toml" in str(caught.value)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(
        InputError, match="aflw19, blocks6, cofw29, face5, hand37, hgr25, ibug49, ibug68, shapes2, wflw98"
    ):
        load_schema("ibug69")


@given(st.integers(2, 40).flatmap(lambda k: st.tuples(st.just(k), st.permutations(range(k)))))
def test_any_disjoint_pairs_make_an_involution(case):
    count, order = case
    chosen = tuple((order[i], order[i + 1]) for i in range(0, count - count % 2, 2))
    schema = LandmarkSchema(
        name="any",
        points=count,
        names=tuple(map(str, range(count))),
        flip_pairs=chosen,
        normaliser=Normaliser(kind="image", name="image"),
    )
    flip = schema.flip_index
    assert sorted(flip) == list(range(count))
    assert all(flip[flip[i]] == i for i in range(count))
    assert all(flip[a] == b for a, b in chosen)


def test_the_49_points_are_those_of_68_without_jaw_and_inner_corners_of_the_mouth():
    whole, inner = load_schema("ibug68"), load_schema("ibug49")
    kept = [k for k in range(68) if not (k <= 16 or k in (60, 64))]
    assert inner.names == tuple(whole.names[k] for k in kept)
    assert [kept[k] for k in inner.flip_index] == [whole.flip_index[k] for k in kept]
    assert (kept[inner.normaliser.a[0]], kept[inner.normaliser.b[0]]) == (36, 45)

"""Claims about plans: what is written is what is read, and what makes no sense is refused with the way out."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction

import pytest

from restore.color.ocio import Space
from restore.errors import SetupError
from restore.film.edl import cuts
from restore.film.fields import Fields, Method
from restore.film.plan import Plan, Shot, from_toml, to_toml, with_cuts
from restore.film.settings import InputColour, ShotSettings
from restore.recipe import Polarity
from restore.tiling import Box

PLAN = Plan(
    source='reel "7" \u00e9.dpx',
    first=86400,
    last=86499,
    size=(2048, 1556),
    fields=Fields(Method.NONE, "", 100, "frames of a folder"),
    colour=InputColour.CINEON,
    shots=(
        Shot(86400, 86423, "start", ShotSettings()),
        Shot(86424, 86450, "cut", ShotSettings(flicker=True, bar=1.25, polarity=Polarity.LIGHT)),
        Shot(86451, 86499, "fade", ShotSettings(exclude=(Box(0, 1900, 1556, 2048),), max_size_px=12.5)),
    ),
    damage={86470: "truncated"},
    notes=("1 missing",),
)


def test_a_plan_comes_back_from_its_file() -> None:
    again = from_toml(to_toml(PLAN), "plan")
    assert again.shots == PLAN.shots
    assert (again.source, again.first, again.last, again.size) == (PLAN.source, 86400, 86499, (2048, 1556))
    assert again.colour is InputColour.CINEON
    assert again.damage == PLAN.damage


def test_a_colour_space_comes_back_with_its_config() -> None:
    space = Space("ARRI LogC4", "ocio://some-config", "abc")
    text = to_toml(replace(PLAN, colour=space))
    assert from_toml(text, "plan").colour == space
    by_hand = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("ocio_"))
    assert from_toml(by_hand, "plan").colour == Space("ARRI LogC4")


def test_settings_in_the_file_hold_for_shots_that_say_nothing() -> None:
    text = to_toml(PLAN).replace("scratches = true", "scratches = false")
    assert [shot.settings.scratches for shot in from_toml(text, "plan").shots] == [False, False, False]
    assert from_toml(text, "plan").shots[1].settings.flicker


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("last = 86450", "last = 86440", "should begin with frame 86441"),
        ("last = 86499", "last = 86498", "shots end with frame 86498"),
        ("dirt = true", "dirt = 1", "write true or false"),
        ("flicker = false", "flickr = false", "it says flickr"),
        ("version = 1", "version = 2", "no plan of version 1"),
        ("[settings]", "[settings", "no TOML"),
        ('"cineon"', '"kodachrome"', "cineon, linear or OCIO:NAME"),
        ('method = "none"', 'method = "some"', "missing or wrong"),
    ],
)
def test_a_broken_plan_is_refused_with_the_reason(old: str, new: str, says: str) -> None:
    text = to_toml(PLAN)
    assert old in text
    with pytest.raises(SetupError, match=says):
        from_toml(text.replace(old, new), "plan.toml")


def test_what_is_said_for_all_shots_leaves_their_other_settings() -> None:
    changed = PLAN.with_settings({"steady": True})
    assert all(shot.settings.steady for shot in changed.shots)
    assert changed.shots[1].settings.flicker


EDL = """TITLE: REEL 7
FCM: NON-DROP FRAME

001  AX       V     C        00:00:10:00 00:00:11:00 01:00:00:00 01:00:01:00
* FROM CLIP NAME: A
002  AX       V     C        00:00:20:00 00:00:21:03 01:00:01:00 01:00:02:03
003  AX       V     D    024 00:00:30:00 00:00:31:21 01:00:02:03 01:00:04:00
"""


def test_an_edit_decision_list_gives_the_cuts() -> None:
    starts = cuts(EDL, Fraction(24), "reel.edl")
    assert starts == {0: "edl", 24: "edl", 63: "dissolve"}
    cut = with_cuts(PLAN, {PLAN.first + start: change for start, change in starts.items()})
    assert [(shot.first, shot.last) for shot in cut.shots] == [(86400, 86423), (86424, 86462), (86463, 86499)]
    assert [shot.change for shot in cut.shots] == ["start", "edl", "dissolve"]


def test_sound_titles_and_comments_are_no_cuts_but_a_gap_is_a_shot() -> None:
    text = (
        "TITLE: FEATURE, REELS 1-2\r\nFCM: NON-DROP FRAME\r\n\r\n"
        "0001  REEL1    AA/V  C        00:00:10:00 00:00:12:00 01:00:00:00 01:00:02:00\r\n"
        "0002  REEL1    A2    C        00:00:10:00 00:00:11:00 01:00:01:00 01:00:02:00\r\n"
        "0003  REEL1    V     C        00:00:12:00 00:00:12:00 01:00:02:00 01:00:02:00\r\n"
        "0003  REEL2    V     D    010 05:00:20:00 05:00:22:00 01:00:02:00 01:00:04:00\r\n"
        "* BLEND, DISSOLVE\r\n* FROM CLIP NAME: 001 V C 00:00:00:00\r\nM2   REEL2  048.0  05:00:20:00\r\n"
        "0004  TITLE    V     K    012 00:00:00:00 00:00:00:12 01:00:03:00 01:00:03:12\r\n"
        "0005  REEL1    B     C        00:00:30:00 00:00:31:00 01:00:05:00 01:00:06:00 * after a gap\r\n"
        "0006  REEL2    V     W001 008 06:00:00:00 06:00:01:00 01:00:06:00 01:00:07:00\r\n"
    )
    found = cuts(text, Fraction(24), "reel.edl")
    assert found == {0: "edl", 53: "dissolve", 96: "edl", 120: "edl", 148: "wipe"}


def test_drop_frame_timecode_is_counted_as_it_runs() -> None:
    text = (
        "FCM: DROP FRAME\n"
        "001  AX V C 00:00:00:00 00:01:00:02 01:00:00:00 01:01:00;02\n"
        "002  AX V C 00:00:00:00 00:00:01:00 01:01:00;02 01:01:01;02\n"
    )
    assert list(cuts(text, Fraction(30000, 1001), "x")) == [0, 1800]
    assert list(cuts(text.replace("FCM: DROP FRAME\n", ""), Fraction(30000, 1001), "x")) == [0, 1800]
    with pytest.raises(SetupError, match=r"give --edl-rate 29.97"):
        cuts(text, Fraction(24), "x.edl")


def test_a_list_of_another_film_or_rate_is_refused() -> None:
    with pytest.raises(SetupError, match="no event"):
        cuts("hello", Fraction(24), "x.edl")
    with pytest.raises(SetupError, match="--edl-rate"):
        cuts(EDL.replace("00:00:31:21 01:00:02:03", "00:00:31:21 01:00:02:24"), Fraction(24), "x.edl")
    with pytest.raises(SetupError, match="a cut at frame 90000"):
        with_cuts(PLAN, {90000: "edl"})


def test_shots_without_settings_of_their_own_are_short_in_the_file() -> None:
    plain = replace(PLAN, shots=(Shot(86400, 86499, "start", ShotSettings()),))
    assert to_toml(plain).split("\n[[shot]]")[1].strip().splitlines()[1:] == [
        "first = 86400",
        "last = 86499",
        'change = "start"',
    ]


@pytest.mark.parametrize(
    ("line", "instead", "says"),
    [
        ("max_false = 2.0", 'max_false = "two"', "max_false = 'two': write a number, at least 0"),
        ("max_false = 2.0", "max_size_px = -3", "max_size_px = -3: write a number, at least 1"),
        ('polarity = "both"', 'polarity = "dork"', "write one of both"),
        ("exclude = []", "exclude = [[1, 2, 3]]", "left, top, right, bottom"),
        ("exclude = []", "exclude = [[9, 2, 3, 4]]", "left, top, right, bottom"),
        ("exclude = []", "exclude = 7", "left, top, right, bottom"),
        ("[[shot]]", "[[shots]]", "it says shots, but there is only version, source"),
        ("size = ", "# size = ", "size is missing"),
        ("last = 86499", "last = 86499.5", "86499.5 is no whole number"),
    ],
)
def test_a_slip_of_the_pen_is_named_with_what_may_stand_there(line: str, instead: str, says: str) -> None:
    text = to_toml(replace(PLAN, shots=(Shot(86400, 86499, "start", ShotSettings()),)))
    assert line in text
    with pytest.raises(SetupError, match=re.escape(says)):
        from_toml(text.replace(line, instead), "reel.toml")

"""Claims about what decides pixels, and about its fingerprint."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from restore.recipe import (
    PATCHES,
    ColorFix,
    FindHoles,
    Grain,
    HolesFrom,
    Inpaint,
    Output,
    Precision,
    Recipe,
    TraitRules,
    Upscale,
    Wrap,
)

UPSCALE = Upscale("fake", "0" * 64, Precision.FP32, tile_px=256, halo_px=18)
INPAINT = Inpaint("fake", "1" * 64, Precision.FP32, FindHoles(HolesFrom.MASKS))


def test_recipes_without_inpainting_keep_the_fingerprints_that_journals_hold() -> None:
    """A change here makes every user's next run redo everything: only with PIXELS_VERSION."""
    assert Recipe(UPSCALE).fingerprint() == "622d9f007bcc4e63079674ed93279e58afcda6947a1294e30cd9f919d3a2279a"
    other = Recipe(UPSCALE, rules=TraitRules(Wrap.X), output=Output("png"))
    assert other.fingerprint() == "071f9252b554e90075b72dcc56c7b621efa7f38cbdaf239619e3d0a97b486ba9"


def test_whatever_decides_pixels_is_in_the_fingerprint_and_a_model_s_name_is_not() -> None:
    recipes = [
        Recipe(UPSCALE),
        Recipe(inpaint=INPAINT),
        Recipe(UPSCALE, INPAINT),
        Recipe(),
        Recipe(inpaint=INPAINT, output=Output(PATCHES)),
        Recipe(inpaint=replace(INPAINT, grain=Grain.OFF)),
        Recipe(inpaint=replace(INPAINT, context_px=40)),
        Recipe(inpaint=replace(INPAINT, model_sha256="2" * 64)),
        Recipe(inpaint=replace(INPAINT, holes=FindHoles(HolesFrom.MASKS, grow_px=2))),
        Recipe(inpaint=replace(INPAINT, holes=FindHoles(HolesFrom.KEY, key_rgb=(1, 2, 3)))),
        Recipe(replace(UPSCALE, color_fix=ColorFix.OFF)),
    ]
    assert len({recipe.fingerprint() for recipe in recipes}) == len(recipes)
    renamed = Recipe(replace(UPSCALE, model="other"), replace(INPAINT, model="other"))
    assert renamed.fingerprint() == Recipe(UPSCALE, INPAINT).fingerprint()


def test_the_journal_s_text_names_no_folder_of_this_machine() -> None:
    named = Recipe(replace(UPSCALE, model="/home/me/a.pth"), replace(INPAINT, model="/home/me/b.safetensors"))
    plain = json.loads(named.to_json())
    assert (plain["upscale"]["model"], plain["inpaint"]["model"]) == ("a.pth", "b.safetensors")


def test_nothing_may_be_left_open() -> None:
    with pytest.raises(ValueError, match="precision"):
        replace(INPAINT, precision=Precision.AUTO)
    with pytest.raises(ValueError, match="context"):
        replace(INPAINT, context_px=8)

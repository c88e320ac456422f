"""Every file is found, once, under its own name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from batch_fakes import Sandbox

from restore.batch.walk import glob_pattern, walk


def names(paths: tuple[Path, ...]) -> list[str]:
    return [path.as_posix() for path in paths]


def test_images_of_any_case_and_depth_are_found_in_order(sandbox: Sandbox) -> None:
    for name in ("b/c/d/e.PnG", "a.TGA", "b.jpg", "readme.txt", "noext"):
        sandbox.add(name)
    found = walk(sandbox.source)
    assert names(found.images) == ["a.TGA", "b.jpg", "b/c/d/e.PnG"]
    assert names(found.others) == ["noext", "readme.txt"]


def test_own_state_and_temporaries_are_no_sources(sandbox: Sandbox) -> None:
    for name in (".restore/journal.png", "d/.restore-0123456789abcdef.part", "a.png"):
        sandbox.add(name)
    found = walk(sandbox.source)
    assert names(found.images) == ["a.png"]
    assert found.others == ()


def test_linked_folders_are_not_followed_and_said_so(sandbox: Sandbox) -> None:
    sandbox.add("d/a.png")
    (sandbox.source / "d/loop").symlink_to("..")
    found = walk(sandbox.source)
    assert names(found.images) == ["d/a.png"]
    assert "d/loop" in found.notes[0]


def test_linked_root_and_linked_files_are_read(sandbox: Sandbox) -> None:
    sandbox.add("a.png")
    (sandbox.source / "b.png").symlink_to("a.png")
    root = sandbox.source.parent / "link"
    root.symlink_to(sandbox.source)
    assert names(walk(root).images) == ["a.png", "b.png"]


def test_what_cannot_be_read_is_a_problem_and_never_silent(sandbox: Sandbox) -> None:
    (sandbox.source / "gone.png").symlink_to("nowhere")
    if hasattr(os, "mkfifo"):
        os.mkfifo(sandbox.source / "pipe.png")
        assert [str(p) for p in walk(sandbox.source).problems if p.relative.name == "pipe.png"]
    assert [str(p) for p in walk(sandbox.source).problems if p.relative.name == "gone.png"] == [
        "gone.png: is a symbolic link to nothing"
    ]


@pytest.mark.parametrize(
    ("glob", "path", "expected"),
    [
        ("*.tga", "d/a.TGA", True),
        ("d/*.tga", "d/a.tga", True),
        ("d/*.tga", "d/e/a.tga", False),
        ("d/**/*.tga", "d/e/f/a.tga", True),
        ("d/**/*.tga", "d/a.tga", True),
        ("**/a.tga", "a.tga", True),
        ("d", "d/e/a.tga", True),
        ("d/", "d/a.tga", True),
        ("e", "d/e/a.tga", True),
        ("[!a]*.tga", "a.tga", False),
        ("[ab].tga", "b.tga", True),
        ("a.tg?", "a.tga", True),
        ("a+(1).tga", "a+(1).tga", True),
        ("caf\u00e9*", "cafe\u0301.tga", True),
    ],
)
def test_globs_match_names_paths_and_folders(sandbox: Sandbox, glob: str, path: str, expected: bool) -> None:
    sandbox.add(path)
    assert bool(walk(sandbox.source, include=[glob]).images) is expected
    assert bool(walk(sandbox.source, exclude=[glob]).images) is not expected


def test_unclosed_bracket_is_itself() -> None:
    assert glob_pattern("a[.tga").fullmatch("a[.tga")


def test_excluded_other_files_stay_and_include_is_about_images_only(sandbox: Sandbox) -> None:
    for name in ("a.png", "a.txt", "b.bak"):
        sandbox.add(name)
    found = walk(sandbox.source, include=["*.png"], exclude=["*.bak"])
    assert names(found.images) == ["a.png"]
    assert names(found.others) == ["a.txt"]

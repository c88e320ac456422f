"""Writes stay inside, whole files only get names, and nobody else's file is touched."""

from __future__ import annotations

import io
import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from restore.batch.fsops import OutputRoot
from restore.batch.temporary import is_temporary
from restore.errors import DiskFullError, ImageError

TOKEN = "0123abcd"


@pytest.fixture
def output(tmp_path: Path) -> OutputRoot:
    return OutputRoot(tmp_path / "out", TOKEN)


def put(output: OutputRoot, target: str, data: bytes) -> None:
    written = output.write(Path(target), io.BytesIO(data))
    output.rename(written.path, Path(target))


def test_written_file_has_only_a_temporary_name_until_it_is_renamed(output: OutputRoot) -> None:
    written = output.write(Path("d/e/a.png"), io.BytesIO(b"data"))
    assert os.listdir(output.root / "d/e") == [written.path.name]
    assert is_temporary(written.path.name)
    assert written.size == 4
    output.rename(written.path, Path("d/e/a.png"))
    output.sync({Path("d/e")})
    assert os.listdir(output.root / "d/e") == ["a.png"]


def test_longest_names_can_be_written(output: OutputRoot) -> None:
    put(output, "n" * 251 + ".png", b"data")
    assert os.listdir(output.root) == ["n" * 251 + ".png"]


@pytest.mark.parametrize("target", ["../a.png", "d/../../a.png", "/tmp/a.png"])
def test_paths_that_lead_out_are_refused(output: OutputRoot, target: str) -> None:
    with pytest.raises(ValueError, match="out of the output folder"):
        output.write(Path(target), io.BytesIO(b"data"))


@pytest.mark.parametrize("depth", ["d", "d/e"])
def test_linked_folder_inside_is_not_followed(output: OutputRoot, tmp_path: Path, depth: str) -> None:
    outside = tmp_path / "outside"
    (outside / "e").mkdir(parents=True)
    (output.root / depth).parent.mkdir(parents=True)
    (output.root / depth).symlink_to(outside)
    with pytest.raises(ImageError, match="not followed"):
        output.write(Path("d/e/a.png"), io.BytesIO(b"data"))
    assert output.is_blocked(Path("d/e/a.png"))
    assert output.lstat(Path("d/e/a.png")) is None
    assert not [path for path in outside.rglob("*") if path.is_file()]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="follows directories by descriptor, which this system hasn't")
def test_folder_that_becomes_a_link_meanwhile_never_leads_a_write_outside(
    output: OutputRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is exchanged for a link before the first, second, ... call that a write makes of the system."""
    outside = tmp_path / "outside"
    folder, aside = output.root / "d", output.root / "aside"
    ended = []
    for before_call in itertools.count(1):
        outside.mkdir(exist_ok=True)
        folder.mkdir(parents=True)
        calls = Calls(before_call, lambda: (folder.rename(aside), folder.symlink_to(outside)))
        with monkeypatch.context() as patched:
            for name in ("open", "mkdir", "write", "fsync", "close", "replace", "stat"):
                patched.setattr(os, name, calls.counted(getattr(os, name)))
            try:
                put(output, "d/a.png", b"data")
                ended.append("written")
            except ImageError:
                ended.append("refused")
        assert list(outside.iterdir()) == []
        if not calls.reached:
            break
        shutil.rmtree(aside)
        folder.unlink()
    assert ended[0] == "refused"
    assert "written" in ended[:-1], "a folder that was opened in time is written to, wherever it has gone"
    assert len(ended) > 8


class Calls:
    """Counts calls of several functions together, and does something before one of them."""

    def __init__(self, number: int, act: Callable[[], object]) -> None:
        self._left = number
        self._act = act

    @property
    def reached(self) -> bool:
        return self._left <= 0

    def counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*values: Any, **named: Any) -> Any:
            self._left -= 1
            if self._left == 0:
                self._act()
            return function(*values, **named)

        return call


def test_linked_root_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    put(OutputRoot(tmp_path / "link", TOKEN), "d/a.png", b"data")
    assert (tmp_path / "real/d/a.png").read_bytes() == b"data"


def test_link_under_the_target_s_name_is_replaced_and_not_written_through(output: OutputRoot, tmp_path: Path) -> None:
    outside = tmp_path / "precious"
    outside.write_bytes(b"precious")
    output.root.mkdir()
    (output.root / "a.png").symlink_to(outside)
    put(output, "a.png", b"data")
    assert outside.read_bytes() == b"precious"
    assert not (output.root / "a.png").is_symlink()


def test_only_leftovers_of_known_runs_go(output: OutputRoot) -> None:
    (output.root / "d").mkdir(parents=True)
    foreign = ["movie.part", ".restore-ffffffff00000000.part", ".restore-0123abcd.part", "0123abcd", "a.png"]
    ours = f".restore-{TOKEN}00000000.part"
    for name in [*foreign, ours]:
        (output.root / "d" / name).write_bytes(b"data")
    (output.root / f".restore-{TOKEN}11111111.part").mkdir()
    assert output.remove_leftovers({TOKEN}, keep=set()) == 1
    assert sorted(os.listdir(output.root / "d")) == sorted(foreign)
    assert (output.root / f".restore-{TOKEN}11111111.part").is_dir()


def test_remove_refuses_any_other_name(output: OutputRoot) -> None:
    put(output, "a.png", b"data")
    with pytest.raises(ValueError, match="no temporary"):
        output.remove(Path("a.png"))


def test_failed_write_leaves_nothing_and_the_older_file_untouched(output: OutputRoot) -> None:
    put(output, "a.png", b"older")

    class Breaking(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 0:
                raise OSError(28, "No space left on device")
            return super().read(size)

    with pytest.raises(DiskFullError, match=r"a\.png"):
        output.write(Path("a.png"), Breaking(b"newer"))
    assert os.listdir(output.root) == ["a.png"]
    assert (output.root / "a.png").read_bytes() == b"older"


def test_copy_keeps_bytes_and_time(output: OutputRoot, tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_bytes(b"text")
    os.utime(source, ns=(1, 1_234_567_890_123_456_789))
    written = output.copy(source, Path("a.txt"))
    facts = output.rename(written.path, Path("a.txt"))
    assert (output.root / "a.txt").read_bytes() == b"text"
    assert facts.st_mtime_ns == source.stat().st_mtime_ns
    with pytest.raises(ImageError, match="can't be read"):
        output.copy(tmp_path / "gone.txt", Path("gone.txt"))

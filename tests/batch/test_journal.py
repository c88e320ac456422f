"""Nothing is wrongly skipped or replaced, whatever happens to the journal."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from batch_fakes import Sandbox, ppm, with_grain

from restore.batch import places
from restore.batch.opening import open_journal
from restore.batch.places import JOURNAL_NAME, STATE_NAME
from restore.errors import SetupError


def journal_path(sandbox: Sandbox) -> Path:
    return sandbox.target / STATE_NAME / JOURNAL_NAME


def fill_and_run(sandbox: Sandbox, files: int = 40) -> None:
    for i in range(files):
        sandbox.add(f"{i:03}.tga")
    assert sandbox.run().done == files


def test_deleted_journal_skips_nothing_and_replaces_nothing(sandbox: Sandbox) -> None:
    fill_and_run(sandbox, 3)
    before = sandbox.results()
    journal_path(sandbox).unlink()
    with pytest.raises(SetupError, match="3 files in the output were not made by a run that its journal knows"):
        sandbox.run()
    assert sandbox.results() == before
    assert sandbox.run(overwrite=True).done == 3


@pytest.mark.parametrize("kind", ["garbage", "empty", "cut", "other database"])
def test_destroyed_journal_is_noticed_and_believed_in_nothing(sandbox: Sandbox, kind: str) -> None:
    fill_and_run(sandbox, 3)
    path = journal_path(sandbox)
    if kind == "garbage":
        path.write_bytes(os.urandom(20_000))
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[:3000])
    else:
        path.unlink()
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE files (target)")
    with pytest.raises(SetupError, match="not made by a run"):
        sandbox.plan()
    summary = sandbox.run(overwrite=True)
    assert summary.done == 3
    assert sandbox.results() == sandbox.expected()
    assert sandbox.run().done == 0


def test_readable_part_of_a_damaged_journal_is_believed_only_for_whole_results(sandbox: Sandbox) -> None:
    fill_and_run(sandbox)
    path = journal_path(sandbox)
    with closing(sqlite3.connect(path)) as database:
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        size = database.execute("PRAGMA page_size").fetchone()[0]
    data = bytearray(path.read_bytes())
    data[(pages - 2) * size : (pages - 1) * size] = os.urandom(size)
    path.write_bytes(data)
    victim = sandbox.target / "000.tga"
    victim.write_bytes(bytes(victim.stat().st_size))
    with open_journal(sandbox.options(overwrite=True)) as journal:
        assert any("damaged" in note for note in journal.notes)
    summary = sandbox.run(overwrite=True)
    assert 0 < summary.done < 40, "some entries could be read, and the damaged result was not among those believed"
    assert sandbox.results() == sandbox.expected()
    assert path.with_name(JOURNAL_NAME + ".damaged").exists()


def test_journal_without_its_log_skips_nothing_wrongly(sandbox: Sandbox) -> None:
    fill_and_run(sandbox, 3)
    path = journal_path(sandbox)
    path.with_name(JOURNAL_NAME + "-wal").write_bytes(os.urandom(5000))
    sandbox.add("001.tga", ppm(7))
    assert sandbox.run().done == 1
    assert sandbox.results() == sandbox.expected()


def test_journal_of_a_newer_version_is_refused(sandbox: Sandbox) -> None:
    fill_and_run(sandbox, 1)
    with closing(sqlite3.connect(journal_path(sandbox))) as database:
        database.execute("PRAGMA user_version=99")
    with pytest.raises(SetupError, match="newer version"):
        sandbox.run()


def test_state_folder_elsewhere_keeps_the_output_clean(sandbox: Sandbox) -> None:
    sandbox.add("a.tga")
    state = sandbox.source.parent / "state"
    sandbox.run(state=state)
    assert os.listdir(sandbox.target) == ["a.tga"]
    assert sandbox.run(state=state).done == 0


def test_one_state_folder_serves_several_outputs(sandbox: Sandbox) -> None:
    sandbox.add("a.tga")
    state = sandbox.source.parent / "state"
    second = Sandbox(sandbox.source.parent, sandbox.source.parent / "out2")
    sandbox.run(state=state)
    assert second.run(state=state).done == 1
    assert second.results() == sandbox.results()


def test_network_output_keeps_its_journal_on_a_local_disk(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    local = sandbox.source.parent / "local"
    monkeypatch.setenv("XDG_STATE_HOME", str(local))
    monkeypatch.setattr(places.platformdirs, "user_state_path", lambda name: local / name)
    real = places.filesystem_type
    monkeypatch.setattr(
        places, "filesystem_type", lambda path: "nfs4" if path.is_relative_to(sandbox.target) else real(path)
    )
    sandbox.add("a.tga")
    assert "network filesystem (nfs4)" in sandbox.plan().notes[0]
    assert sandbox.run().done == 1
    assert os.listdir(sandbox.target) == ["a.tga"]
    assert list(local.rglob(JOURNAL_NAME))
    assert sandbox.run().done == 0


def test_state_on_a_network_disk_is_refused(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "filesystem_type", lambda path: "cifs" if path.name != "out" else "ext4")
    sandbox.add("a.tga")
    with pytest.raises(SetupError, match="local disk"):
        sandbox.plan(state=sandbox.source.parent / "state")


def test_filesystem_of_this_folder_is_told() -> None:
    if not Path("/proc/self/mountinfo").exists():
        pytest.skip("this system has no mountinfo")
    assert places.filesystem_type(Path("/proc")) == "proc"
    assert places.filesystem_type(Path("/proc/self/no/such/thing")) == "proc"


def test_linked_state_folder_is_not_followed(sandbox: Sandbox) -> None:
    sandbox.add("a.tga")
    outside = sandbox.source.parent / "outside"
    outside.mkdir()
    sandbox.target.mkdir()
    (sandbox.target / STATE_NAME).symlink_to(outside)
    with pytest.raises(SetupError, match="symbolic link"):
        sandbox.run()
    assert list(outside.iterdir()) == []


def test_older_settings_leave_a_journal_that_still_knows_its_results(sandbox: Sandbox) -> None:
    fill_and_run(sandbox, 2)
    sandbox.run(with_grain(0.1))
    sandbox.run(with_grain(0.2))
    assert sandbox.run(with_grain(0.2)).done == 0
    assert sandbox.run().done == 2


def test_a_journal_of_the_version_before_masks_is_taken_over(sandbox: Sandbox) -> None:
    """Its columns for companions are added, also to what was in work when that run was killed."""
    sandbox.add("a.tga")
    sandbox.run()
    path = sandbox.target / ".restore" / "journal.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        for table in ("files", "intents"):
            for column in ("companion", "companion_size", "companion_mtime_ns", "companion_inode", "companion_sha256"):
                database.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        database.execute("PRAGMA user_version=1")
    started = len(sandbox.started())
    sandbox.add("b.tga")
    assert sandbox.run().already_done == 1
    assert sandbox.started()[started:] == [Path("b.tga")]
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (2,)

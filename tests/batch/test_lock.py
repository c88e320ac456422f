"""One output has one run at a time, and a dead run's lock holds nobody up."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from restore.batch.lock import acquire, check_free
from restore.errors import SetupError

HOLD = """
import sys
from pathlib import Path
from restore.batch.lock import acquire
acquire(Path(sys.argv[1]), trust_kernel=True)
print("held", flush=True)
sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == b"held"
    return process


@pytest.mark.parametrize("trust_kernel", [True, False])
def test_lock_of_another_process_is_respected_until_it_is_killed(tmp_path: Path, trust_kernel: bool) -> None:
    path = tmp_path / "state" / "lock"
    process = holder(path)
    with process:
        with pytest.raises(SetupError, match=f"process {process.pid} on"):
            acquire(path, trust_kernel=trust_kernel)
        with pytest.raises(SetupError, match="another run"):
            check_free(path, trust_kernel=trust_kernel)
        process.kill()
        process.wait()
        acquire(path, trust_kernel=trust_kernel).release()


def test_lock_of_this_process_is_respected_and_looking_does_not_free_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = acquire(path, trust_kernel=True)
    for _ in range(2):
        with pytest.raises(SetupError, match="another run"):
            acquire(path, trust_kernel=True)
        with pytest.raises(SetupError, match="another run"):
            check_free(path, trust_kernel=True)
    refused = subprocess.run([sys.executable, "-c", HOLD, path], check=False, capture_output=True, input=b"")
    assert b"another run" in refused.stderr
    lock.release()
    acquire(path, trust_kernel=True).release()


def write_lock(path: Path, host: str, pid: int, started: str | None) -> None:
    path.write_text(json.dumps({"host": host, "pid": pid, "started": started}))


def test_reused_process_id_does_not_hold_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    write_lock(path, socket.gethostname(), os.getppid(), "1")
    if not Path("/proc/self/stat").exists():
        pytest.skip("this system doesn't tell when a process started")
    acquire(path, trust_kernel=False).release()


def test_lock_of_another_host_holds_on_a_network_disk_only(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    write_lock(path, "elsewhere", 1, None)
    with pytest.raises(SetupError, match=f"elsewhere.*remove {path}"):
        acquire(path, trust_kernel=False)
    acquire(path, trust_kernel=True).release()


def test_torn_lock_file_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_bytes(b'{"host": "x", "pi')
    acquire(path, trust_kernel=False).release()


def test_released_lock_leaves_no_folder_that_it_made(tmp_path: Path) -> None:
    acquire(tmp_path / "out" / "state" / "lock", trust_kernel=True).release()
    assert list(tmp_path.iterdir()) == []

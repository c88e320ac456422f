"""The command line where only so many bytes of memory are free; says at the end what it and its children took at most.

Run as `python limited_memory.py BYTES inpaint IN OUT ...`; stderr ends with the peak (proportional set sizes, summed).
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from restore.batch import memory, plan, worker
from restore.cli import main

FREE = int(sys.argv.pop(1))


def family(pid: str) -> list[str]:
    try:
        lists = [one.read_text().split() for one in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    return [pid, *(member for children in lists for child in children for member in family(child))]


def taken(pid: str) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:  # it has just ended
        return 0
    return next(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("Pss:"))


def watch(over: threading.Event, peaks: list[int]) -> None:
    while not over.wait(0.2):
        peaks.append(sum(taken(pid) for pid in family("self")))


if __name__ == "__main__":
    for module in (memory, plan, worker):
        module.free_bytes = lambda device: FREE
    over, peaks = threading.Event(), [0]
    watcher = threading.Thread(target=watch, args=(over, peaks))
    watcher.start()
    try:
        main()
    finally:
        over.set()
        watcher.join()
        sys.stderr.write(f"{max(peaks)}\n")

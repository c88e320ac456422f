"""Starts the command line again and again with torch imported once; a process of its own, driven by test_end_to_end.py.

Each line that it reads is a question in JSON, answered by a line of JSON:

    {"start": ["upscale", ...], "says": FILE}   ->  {"pid": 123}     a fork, which leads a process group of its own
    {"wait": 123}                               ->  {"code": 0}      its exit status, -9 if it was killed
"""

from __future__ import annotations

import json
import os
import sys


def start(arguments: list[str], says: str) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 99
    try:
        os.setpgid(0, 0)
        out = os.open(says, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.argv = ["restore", *arguments]
        from restore.cli import main

        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 98
    except BaseException:  # noqa: BLE001 - what a process of its own would print
        sys.excepthook(*sys.exc_info())
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def serve() -> None:
    # Whatever a run imports anyway; nothing of it starts a thread, so that forks are safe.
    import restore.batch.journal
    import restore.batch.plan
    import restore.batch.run
    import restore.batch.worker
    import restore.models  # noqa: F401

    for line in sys.stdin:
        asked = json.loads(line)
        if "start" in asked:
            answer = {"pid": start(asked["start"], asked["says"])}
        else:
            answer = {"code": os.waitstatus_to_exitcode(os.waitpid(asked["wait"], 0)[1])}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()

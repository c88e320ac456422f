"""The GPU benchmark, as far as a machine without one can tell: its peers, its checks, its race, and what it says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from restore import ops
from restore.ops import RrdbShape

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SMALL = (
    RrdbShape(2, 16, 16, 2, 1, 3),
    RrdbShape(1, 16, 16, 2, 2, 3),
    RrdbShape(1, 16, 16, 1, 1, 1),
)


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """The modules of a folder of scripts, which import each other by their bare names."""
    import importlib

    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


@pytest.fixture
def sheet(scripts: Callable[[str], ModuleType], tmp_path: Path) -> Any:
    return scripts("gpu_sheet").Sheet(tmp_path / "part.json", time.monotonic() + 60)


@pytest.mark.parametrize("shape", SMALL, ids=str)
def test_the_official_network_is_what_rrdb_forward_computes(
    scripts: Callable[[str], ModuleType], shape: RrdbShape
) -> None:
    peers = scripts("gpu_peers")
    state = peers.random_state(shape, torch.Generator().manual_seed(3))
    image = torch.rand(2, shape.channels, 12, 20)
    expected = peers.official_rrdb(shape, state)(image)
    y = ops.rrdb_forward(image, ops.pack_rrdb(state, shape, "cpu", torch.float32))
    torch.testing.assert_close(y, expected, atol=1e-4, rtol=1e-4)
    assert expected.abs().mean() > 0.1  # each layer is seen in it


def test_a_pixel_of_x4plus_costs_what_is_said_of_it(scripts: Callable[[str], ModuleType]) -> None:
    shape = RrdbShape(23, 64, 32, 2, 1, 3)
    peers = scripts("gpu_peers")
    assert peers.rrdb_flop(shape, 1, 1) == 2 * 17_926_848
    assert peers.rrdb_flop(shape, 720, 1280) == 720 * 1280 * 2 * 17_926_848


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (5, 2), (7, 2)])
def test_nvidias_layer_step_by_step_is_masked_conv2d(
    scripts: Callable[[str], ModuleType], kernel: int, stride: int
) -> None:
    peers = scripts("gpu_peers")
    x, weight, bias = torch.randn(2, 5, 21, 18), torch.randn(6, 5, kernel, kernel), torch.randn(6)
    valid = peers.holes(2, 21, 18, torch.Generator().manual_seed(1), share=0.7)
    valid[..., :9, :9] = False
    mask = valid.expand(-1, 5, -1, -1).float()
    ones = torch.ones_like(weight)
    expected, known = peers.partial_conv(x, mask, weight, bias, ones, stride=stride, padding=kernel // 2)
    y, seen = ops.masked_conv2d(x, valid, weight, bias, stride=stride, padding=kernel // 2)
    torch.testing.assert_close(y, expected, atol=1e-3, rtol=1e-4)
    assert torch.equal(known, seen.expand_as(known).float())
    assert not seen.all()


def test_both_forms_of_the_u_net_are_the_same_network(scripts: Callable[[str], ModuleType]) -> None:
    peers = scripts("gpu_peers")
    generator = torch.Generator().manual_seed(2)
    net = peers.random_unet(generator, levels=4, divide=16)
    picture, valid = torch.rand(1, 3, 32, 48), peers.holes(1, 32, 48, generator, share=0.6)
    expected = net.reference(picture, valid.expand(-1, 3, -1, -1).float(), net.all_ones())
    torch.testing.assert_close(net.ours(picture, valid), expected, atol=1e-3, rtol=1e-3)
    assert expected.shape == picture.shape
    whole = peers.random_unet(generator)
    assert [w.shape[0] for w in whole.weights] == [64, 128, 256, *[512] * 4, 512, 512, 512, 256, 128, 64, 3]
    assert whole.flop(512, 512) == pytest.approx(76e9, rel=0.05)


def some_cases(scripts: Callable[[str], ModuleType]) -> list[Any]:
    """One of each kind that runs on a CPU, in float32."""
    checks, nets = scripts("gpu_checks"), scripts("gpu_checks_net")
    single = (torch.float32,)
    cases = list(checks.masked_cases((), single))
    cases += [case for case in checks.into_cases(single) if "24 filters" in case.what or "stride 1" in case.what]
    cases += list(checks.tile_cases())[::6]
    return [*cases, next(case for case in nets.rrdb_cases(single, None) if "9, 130" in case.what)]


def test_the_checks_pass_where_the_numbers_are_right(scripts: Callable[[str], ModuleType], sheet: Any) -> None:
    cases = some_cases(scripts)
    scripts("gpu_case").run_cases(sheet, "some", iter(cases), seed=7, device="cpu")
    stored = json.loads(sheet.path.read_text())
    assert [row for row in stored["checks"] if not row["ok"]] == []
    assert stored["groups"]["some"] == {"checked": len(cases), "wrong": 0, "complete": True}


@pytest.mark.parametrize("spoil", ["one tap", "a NaN", "raises"])
def test_the_checks_fail_where_a_kernel_is_wrong(
    scripts: Callable[[str], ModuleType], sheet: Any, monkeypatch: pytest.MonkeyPatch, spoil: str
) -> None:
    right = ops.masked_conv2d

    def wrong(x: Tensor, valid: Tensor, weight: Tensor, *rest: Any, **options: Any) -> tuple[Tensor, Tensor]:
        if spoil == "raises":
            raise RuntimeError("no kernel image")
        if spoil == "one tap":
            weight = weight.clone()
            weight[:, -1, 0, 0] = 0
        y, seen = right(x, valid, weight, *rest, **options)
        if spoil == "a NaN":
            y[-1, -1, -1, -1] = float("nan")
        return y, seen

    monkeypatch.setattr(ops, "masked_conv2d", wrong)
    cases = list(scripts("gpu_checks").masked_cases((), (torch.float32,)))
    scripts("gpu_case").run_cases(sheet, "some", iter(cases), seed=7, device="cpu")
    assert sheet.facts["groups"]["some"]["wrong"] == len(cases)
    json.loads(sheet.path.read_text(), parse_constant=pytest.fail)  # NaN is a word there


def test_a_wrong_layer_deep_in_a_network_is_found(
    scripts: Callable[[str], ModuleType], sheet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = ops.pack_rrdb

    def wrong(state: dict[str, Tensor], *rest: Any) -> ops.PackedRrdb:
        name = "body.0.rdb2.conv3.weight"
        spoiled = state[name].clone()
        spoiled[:, -1, 0] = 0
        return right({**state, name: spoiled}, *rest)

    monkeypatch.setattr(ops, "pack_rrdb", wrong)
    nets = scripts("gpu_checks_net")
    case = next(case for case in nets.rrdb_cases((torch.float32,), None) if "9, 130" in case.what)
    scripts("gpu_case").run_cases(sheet, "rrdb", iter([case]), seed=7, device="cpu")
    found = sheet.facts["checks"][0]["found"]["against float64"]
    half = scripts("gpu_case").NETWORK_BOUNDS[torch.float16]
    assert found["value"] > half  # of each filter three of its 9 * 32 weights were 0


def test_the_race_gives_each_its_time_or_its_reason(
    scripts: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    race, tables = scripts("gpu_race"), scripts("gpu_tables")
    monkeypatch.setattr(race, "_MOST_ROUNDS", 4)
    peers, options = scripts("gpu_peers"), scripts("gpu_sheet").Options(1, True, None, 64, 100.0, "")
    generator = torch.Generator().manual_seed(1)
    shape = RrdbShape(1, 16, 16, 2, 1, 3)
    state, net = peers.random_state(shape, generator), peers.random_unet(generator, levels=3, divide=16)
    broken = race.Contestant("broken", lambda: torch.ones(2) @ torch.ones(3))
    for contestants in (
        tables.rrdb_contestants(shape, state, (8, 8), "cpu", torch.float32),
        tables.unet_contestants(net, (16, 16), "cpu", torch.float32, generator),
        tables.active_contestants(64, "cpu", torch.float32, generator),
        *tables.tile_contestants(128, 64, "cpu")[1:],
    ):
        names = [c.name for c in (*contestants, broken)]
        rows = race.race([*contestants, broken], seconds=600, withhold="", device="cpu")
        assert [row["contestant"] for row in rows] == names
        assert "RuntimeError" in rows[-1]["reason"]
        assert all("ms" in row for row in rows[:-1]), rows
        held = race.race(contestants, seconds=600, withhold="withheld: 1 checks failed", device="cpu")
        ours = [row for row, c in zip(held, contestants, strict=True) if c.ours]
        assert {row["reason"] for row in ours} == {"withheld: 1 checks failed"}
        assert not any("ms" in row for row in ours)
    rated = race.with_rates({"ms": 2.0}, 1e9, options)
    assert (rated["tflops"], rated["share_of_matmul"], rated["per_second"]) == (0.5, 0.005, 500.0)
    text = scripts("gpu_sheet").text_table([{**row, "size": "8x8"} for row in rows], ("contestant", "size", "ms"))
    assert len(text.splitlines()) == len(rows) + 1


@pytest.mark.parametrize(
    ("correctness", "expected"),
    [
        ({"reason": "there is no library to check"}, "withheld: there is no library to check"),
        ({"groups": {"into": {"wrong": 2, "complete": True}}, "ended": "exit status 0"}, "withheld: 2 checks failed"),
        ({"groups": {"rrdb": {"wrong": 0, "complete": True}}, "ended": "exit status -11"}, "withheld: exit status -11"),
        (
            {"groups": {"kernels": {"wrong": 0, "complete": True}}, "ended": "exit status 0"},
            "withheld: checks incomplete: rrdb, graph",
        ),
        (
            {
                "groups": {name: {"wrong": 0, "complete": True} for name in ("kernels", "rrdb", "graph")},
                "ended": "exit status 0",
            },
            "",
        ),
    ],
)
def test_times_are_withheld_unless_everything_was_checked_and_right(
    scripts: Callable[[str], ModuleType], tmp_path: Path, correctness: dict[str, Any], expected: str
) -> None:
    gpu = scripts("gpu")
    conductor = gpu.Conductor(None, 1, time.monotonic() + 60, tmp_path / "gpu.json", {"correctness": correctness})
    assert conductor.withheld("rrdb") == expected


def test_failures_are_listed_part_by_part(scripts: Callable[[str], ModuleType], tmp_path: Path) -> None:
    record = {
        "correctness": {
            "groups": {"rrdb": {"wrong": 1, "complete": False, "left_out": "2 for want of time"}},
            "checks": [{"what": "a case", "ok": False}, {"what": "another", "ok": True}],
            "ended": "exit status 0",
        },
        "sanitizer": {"memcheck": {"clean": False, "summary": "3 errors"}, "racecheck": {"reason": "not found"}},
        "rrdb": {"errors": [{"what": "rrdb (8, 8)", "error": "E"}], "ended": "exit status 1"},
        "unet": {"ended": "stopped: its time was over"},
        "compile": {"ended": "stopped: its time was over"},
    }
    gpu = scripts("gpu")
    conductor = gpu.Conductor(None, 1, time.monotonic() + 60, tmp_path / "gpu.json", record)
    assert conductor.failures() == [
        "a case",
        "rrdb: 2 for want of time",
        "memcheck: 3 errors",
        "rrdb: rrdb (8, 8): E",
        "unet: stopped: its time was over",
    ]


@pytest.mark.parametrize("wrong", [0, 1])
def test_the_whole_command_keeps_what_its_parts_found(
    scripts: Callable[[str], ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    wrong: int,
) -> None:
    """Children, device and build are stand-ins."""
    gpu, machine = scripts("gpu"), scripts("gpu_machine")
    told: dict[str, list[str]] = {}

    def run(command: list[Any], seconds: float, **options: Any) -> tuple[int, str]:
        part, path = (command[command.index(name) + 1] for name in ("--part", "--sheet"))
        told[part] = command
        facts: dict[str, Any] = {"table": [{"contestant": "ours", "size": "8x8", "ms": 1.25}]}
        if part == "environment":
            facts = {"device": "a device", "matmul": {"tflops_best": 700.0}}
        if part == "correctness":
            group = {"checked": 1, "wrong": wrong, "complete": True}
            names = ("kernels", "masked", "into", "rrdb", "graph", "unet", "tiles")
            facts = {"groups": dict.fromkeys(names, group), "checks": [{"what": "a case", "ok": not wrong}]}
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(json.dumps(facts))
        options["tick"]()
        return 0, ""

    monkeypatch.setattr(machine, "run", run)
    monkeypatch.setattr(machine, "build", lambda *_: (tmp_path / "library", {"library": "it", "how": "at once"}))
    monkeypatch.setattr(machine, "sanitized", lambda *_: {"reason": "compute-sanitizer was not found"})
    monkeypatch.setattr(machine, "BUILD", tmp_path / "build")
    monkeypatch.setattr(gpu, "without_cuda", str)
    monkeypatch.setattr(gpu.signal, "signal", lambda *_: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: "NVIDIA Test 9000 (x)")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (9, 0))
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--seed", "5"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("OUT", str(tmp_path))
    monkeypatch.setenv("RESTORE_OPS", "")
    monkeypatch.setenv("RESTORE_COMMIT", "abc")
    assert gpu.main() == wrong
    record = json.loads((tmp_path / "gpu-nvidia-test-9000-x.json").read_text())
    assert (record["complete"], record["seed"], record["commit"]) == (True, 5, "abc")
    assert record["failures"] == (["a case"] if wrong else [])
    assert record["rrdb"]["table"][0]["ms"] == 1.25
    assert list(told) == ["environment", "correctness", "rrdb", "unet", "blocks", "compile"]
    for part in ("rrdb", "unet", "blocks"):
        assert ("withheld: 7 checks failed" in told[part]) == bool(wrong)
        assert told[part][told[part].index("--peak") + 1] == "700.0"
    assert "--withhold" not in told["compile"]
    out = capsys.readouterr().out
    assert ("FAILED  a case" in out) == bool(wrong)
    assert re.search(r"^ours +8x8 +1\.25", out, re.MULTILINE)


@pytest.mark.parametrize(
    ("status", "said", "key", "value"),
    [
        (0, "sanitize case: right\n===== ERROR SUMMARY: 0 errors", "clean", True),
        (9, "sanitize case: right\n===== ERROR SUMMARY: 2 errors", "clean", False),
        (0, "===== ERROR SUMMARY: 0 errors", "clean", False),
        (1, "Unable to find injection library", "reason", "no verdict, exit status 1"),
        (None, "", "reason", "stopped after 50 s"),
    ],
)
def test_a_sanitizer_is_clean_only_if_the_case_ended_well(
    scripts: Callable[[str], ModuleType], status: int | None, said: str, key: str, value: Any
) -> None:
    found = scripts("gpu_machine").verdict(status, said, 50)
    assert found[key] == value or str(found[key]).startswith(str(value))


def test_a_child_that_takes_too_long_is_stopped_with_its_own_children(
    scripts: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    machine, ticks = scripts("gpu_machine"), []
    program = (
        "import subprocess, sys; print('begun', flush=True); "
        "subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    )
    start = time.monotonic()
    status, said = machine.run([sys.executable, "-c", program], 1.0, log=tmp_path / "log", tick=lambda: ticks.append(1))
    assert (status, said) == (None, "begun\n")
    assert time.monotonic() - start < 10
    assert machine.run([sys.executable, "-c", "raise SystemExit(3)"], 30, log=tmp_path / "log")[0] == 3


def test_without_cuda_it_says_so_in_one_line_and_exits_with_2(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "gpu.py"), "--quick", "--out", str(tmp_path)],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout.count("\n") == 1
    assert done.stdout.startswith("benchmarks/gpu.py can't run here: ")
    assert list(tmp_path.iterdir()) == []

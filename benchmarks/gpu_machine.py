"""Owns what `gpu.py` says of the machine, builds the compiled library for it, and starts child processes."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from gpu_sheet import Options, Sheet, in_words

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "gpu"
_CLOCKS = "clocks.sm,clocks.mem,clocks.max.sm,clocks.max.mem,temperature.gpu,power.limit"
_TAIL = 1500


def run(
    command: Sequence[str | Path],
    seconds: float,
    *,
    log: Path | None = None,
    env: Mapping[str, str] | None = None,
    tick: Callable[[], None] = lambda: None,
) -> tuple[int | None, str]:
    """Exit status, None when it was stopped after `seconds` with all that it had started; and its output if logged."""
    end = time.monotonic() + seconds
    where = None if log is None else log.open("w")
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdout=where,
        stderr=None if where is None else subprocess.STDOUT,
        start_new_session=True,
    )
    status: int | None = None
    try:
        while status is None and time.monotonic() < end:
            try:
                status = process.wait(timeout=max(0.01, min(2.0, end - time.monotonic())))
            except subprocess.TimeoutExpired:
                tick()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if where is not None:
            where.close()
    return status, "" if log is None else log.read_text(errors="replace")


def tool(name: str) -> str | None:
    """A program of the CUDA toolkit, wherever that is: named, where it usually is, or where nvcc is."""
    homes = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    if nvcc := shutil.which("nvcc"):
        homes.append(str(Path(nvcc).resolve().parent.parent))
    homes += sorted(map(str, Path("/usr/local").glob("cuda-*")), reverse=True)
    folders = [os.environ.get("PATH", ""), *(f"{home}/bin:{home}/compute-sanitizer" for home in homes if home)]
    return shutil.which(name, path=os.pathsep.join(folders))


def commit() -> str:
    """RESTORE_COMMIT, for copies without git; else what git says."""
    from record import commit as from_git

    try:
        return os.environ.get("RESTORE_COMMIT") or from_git() or "unknown: no git checkout"
    except OSError:
        return "unknown: no git"


def environment(sheet: Sheet, options: Options) -> None:
    """Part 1.  The peak of matrix products is what the others' shares refer to."""
    import torch
    from record import machine

    properties = torch.cuda.get_device_properties(0)
    nvcc = tool("nvcc")
    sheet.put(
        device=properties.name,
        compute_capability=f"{properties.major}.{properties.minor}",
        multiprocessors=properties.multi_processor_count,
        memory_gib=round(properties.total_memory / 2**30, 1),
        l2_cache_mib=round(getattr(properties, "L2_cache_size", 0) / 2**20, 1),
        torch=torch.__version__,
        cuda_of_torch=torch.version.cuda,
        cudnn=torch.backends.cudnn.version(),
        nvcc=_first_line([nvcc, "--version"], r"release.*") if nvcc else "not found",
        compiler=_first_line(["g++", "--version"]),
        driver=_nvidia_smi("driver_version"),
        host=machine(),
    )
    side = 4096 if options.quick else 8192
    a, b = (torch.randn(side, side, device="cuda", dtype=torch.float16) for _ in range(2))
    product = torch.empty_like(a)
    times = _times(lambda: torch.mm(a, b, out=product), 30)
    sheet.put(
        matmul={
            "side": side,
            "tflops_best": round(2 * side**3 / min(times) / 1e9, 1),
            "tflops_median": round(2 * side**3 / sorted(times)[len(times) // 2] / 1e9, 1),
        },
        clocks_after_matmul=dict(zip(_CLOCKS.split(","), _nvidia_smi(_CLOCKS).split(", "), strict=False)),
    )
    block = torch.empty(1 << 29, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(block)
    times = _times(lambda: target.copy_(block), 20)
    sheet.put(copy_gb_per_s=round(2 * block.numel() / min(times) / 1e6))


def _times(work: Callable[[], Any], count: int) -> list[float]:
    import torch

    pairs = [(torch.cuda.Event(True), torch.cuda.Event(True)) for _ in range(count + 5)]
    for start, stop in pairs:
        start.record()
        work()
        stop.record()
    torch.cuda.synchronize()
    return [start.elapsed_time(stop) for start, stop in pairs[5:]]


def _nvidia_smi(fields: str) -> str:
    return _first_line(["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"])


def _first_line(command: Sequence[str], pattern: str = r".+") -> str:
    """The first match in what a program prints; else why there is none."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"unknown: {type(error).__name__}"
    match = re.search(pattern, done.stdout)
    return match[0] if match and done.returncode == 0 else f"unknown: {command[0]} exited with {done.returncode}"


def build(capability: tuple[int, int], seconds: float) -> tuple[Path | None, dict[str, Any]]:
    """Part 2: the library for this device's architecture, and how it came about or why there is none."""
    given = os.environ.get("RESTORE_OPS")
    if given and given != "off":
        return Path(given).resolve(), {"library": Path(given).name, "how": "RESTORE_OPS named it"}
    nvcc = tool("nvcc")
    if nvcc is None:
        return None, {"reason": "no nvcc on PATH, in CUDA_HOME or in /usr/local/cuda"}
    BUILD.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    architecture = "".join(map(str, capability)) + ("a" if capability == (9, 0) else "")  # as in CMakeLists.txt
    tried = {}
    for how, attempt in (("CMake", _with_cmake), ("g++ and nvcc", _by_hand)):
        try:
            library, said = attempt(nvcc, architecture, seconds - (time.monotonic() - start))
        except OSError as error:  # no compiler, no room
            library, said = None, in_words(error)
        said = said.replace(str(ROOT), ".")
        if library is not None:
            took = round(time.monotonic() - start, 1)
            facts = {"library": str(library.relative_to(ROOT)), "how": how, "seconds": took}
            return library, {**facts, "warnings": _warnings(said), "tried": tried}
        tried[how] = said[-_TAIL:]
    return None, {"reason": "the build failed", "tried": tried}


def _with_cmake(nvcc: str, architecture: str, seconds: float) -> tuple[Path | None, str]:
    cmake, ninja = (_program(name) for name in ("cmake", "ninja"))
    if cmake is None:
        return None, "no cmake"
    import torch

    generator = [] if ninja is None else ["-G", "Ninja"]
    if ninja is not None and len(ninja) == 1:
        generator.append(f"-DCMAKE_MAKE_PROGRAM={ninja[0]}")
    folder = BUILD / f"sm_{architecture}"
    settings = {
        "RESTORE_TORCH_DIR": Path(torch.__file__).parent,
        "RESTORE_CUDA": "ON",
        "CMAKE_CUDA_COMPILER": nvcc,
        "CMAKE_CUDA_ARCHITECTURES": f"{architecture}-real",
    }
    said = ""
    start = time.monotonic()
    for command in (
        [*cmake, "-S", ROOT, "-B", folder, *generator, *(f"-D{name}={value}" for name, value in settings.items())],
        [*cmake, "--build", folder, "--parallel"],
    ):
        status, output = run(command, seconds - (time.monotonic() - start), log=BUILD / "build.log")
        said += output
        if status != 0:
            return None, said + f"\nexit status {status}"
    return max(folder.glob("_ops_*.so"), key=lambda path: path.stat().st_mtime, default=None), said


def _program(name: str) -> list[str] | None:
    """On PATH, beside this Python, or as the module that pip installs."""
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is not None:
        return [found]
    return [sys.executable, "-m", name] if importlib.util.find_spec(name) else None


def _by_hand(nvcc: str, architecture: str, seconds: float) -> tuple[Path | None, str]:
    """Without CMake (or with one that is too old): the settings of CMakeLists.txt, all sources of cuda_ops/."""
    import torch

    end = time.monotonic() + seconds
    home, folder = Path(torch.__file__).parent, BUILD / f"by_hand_{architecture}"
    folder.mkdir(exist_ok=True)
    release = _first_line([nvcc, "--version"], r"(?<=release )[\d.]+")
    facts = f"compiler=g++ {_first_line(['g++', '-dumpfullversion'])}\\ncuda={release}\\narchitectures={architecture}"
    defines = ["-DTORCH_TARGET_VERSION=0x020b000000000000", "-DUSE_CUDA", "-DRESTORE_WITH_CUDA"]
    commands: list[list[str | Path]] = []
    for source in sorted([*(ROOT / "cuda_ops").glob("*.cpp"), *(ROOT / "cuda_ops").glob("*.cu")]):
        common = ["-O3", "-DNDEBUG", "-std=c++17", *defines, "-c", source, "-o", folder / f"{source.name}.o"]
        if source.suffix == ".cu":
            hidden = ["-Xcompiler=-fPIC,-fvisibility=hidden", "-lineinfo", f"-arch=sm_{architecture}"]
            commands.append([nvcc, *hidden, "-Xptxas=-warn-spills", *common])
        else:
            quoted = f'-DRESTORE_FACTS="{facts}"'
            hidden = ["-fPIC", "-fvisibility=hidden", "-fvisibility-inlines-hidden"]
            commands.append(["g++", *hidden, quoted, "-isystem", home / "include", *common])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        logs = [folder / f"{i}.log" for i in range(len(commands))]
        done = list(pool.map(lambda c, log: run(c, end - time.monotonic(), log=log), commands, logs))
    said = "".join(output for _, output in done)
    if any(status != 0 for status, _ in done):
        return None, said
    interface = re.search(r"(?m)^INTERFACE = (\d+)$", (ROOT / "restore/ops/library.py").read_text())
    library = folder / f"_ops_{interface[1] if interface else 0}.so"
    # nvcc links, since it knows where its runtime is.
    linker = "-Xlinker=--no-as-needed,--allow-shlib-undefined,--exclude-libs,ALL"
    objects = [command[-1] for command in commands]
    link = [nvcc, "-shared", "-cudart=static", linker, "-o", library, *objects, f"-L{home / 'lib'}", "-ltorch"]
    status, output = run(link, end - time.monotonic(), log=folder / "link.log")
    return (library if status == 0 else None), said + output


def _warnings(said: str) -> list[str]:
    """The compilers', spilled registers among them."""
    return sorted(
        {line.strip()[:200] for line in said.splitlines() if "warning" in line.lower() and "CMake" not in line}
    )[:20]


def sanitized(name: str, case: Sequence[str], seconds: float) -> dict[str, Any]:
    """What compute-sanitizer's tool `name` says of a command, or the reason why that isn't known."""
    program = tool("compute-sanitizer")
    if program is None:
        return {"reason": "compute-sanitizer was not found"}
    status, said = run(
        # Our kernels alone, by a part of their mangled names: torch's would take all the time.
        [program, "--tool", name, "--kernel-name", "kns=restore", "--error-exitcode", "9", *case],
        seconds,
        log=BUILD / f"{name}.log",
        env={"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"},  # each tensor has bounds of its own
    )
    return verdict(status, said.replace(str(ROOT), "."), seconds)


def verdict(status: int | None, said: str, seconds: float) -> dict[str, Any]:
    """The tool's summary alone isn't enough: the case must have come to its end, with the right numbers."""
    summaries = re.findall(r"(?:ERROR|RACECHECK) SUMMARY: .*", said)
    if status is None:
        return {"reason": f"stopped after {seconds:.0f} s", "said": said[-_TAIL:]}
    if not summaries:
        return {"reason": f"no verdict, exit status {status}: {said.strip()[-400:]}"}
    clean = status == 0 and "sanitize case: right" in said
    facts = {"clean": clean, "summary": summaries[-1] if clean or status == 9 else f"the case failed: {summaries[-1]}"}
    return facts if clean else {**facts, "said": said[-3000:]}

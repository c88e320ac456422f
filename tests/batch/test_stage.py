"""A staged result is whole, checked and what was planned, in real formats."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from restore.batch import stage as stage_module
from restore.batch.facts import Facts
from restore.batch.fsops import OutputRoot
from restore.batch.job import Job, SourceState
from restore.batch.stage import stage, varies
from restore.errors import ImageError
from restore.formats import Decoder
from restore.image import Alpha, Document, Image, Stored, Transfer

Make = Callable[[str], tuple[Job, Document, Document]]


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder() as decoder:
        yield decoder


@pytest.fixture
def output(tmp_path: Path) -> OutputRoot:
    return OutputRoot(tmp_path / "out", "00000001")


def enlarged(document: Document, factor: int = 4) -> Document:
    pages = tuple(p.with_pixels(p.pixels.repeat(factor, axis=0).repeat(factor, axis=1)) for p in document.pages)
    return replace(document, pages=pages)


@pytest.fixture
def make(shared_data: Path, decoder: Decoder) -> Make:
    def made(name: str) -> tuple[Job, Document, Document]:
        path = shared_data / name
        header, facts, source = decoder.probe(path), path.stat(), decoder.read(path)
        state = SourceState(facts.st_size, facts.st_mtime_ns, facts.st_ino)
        target = Path("d") / f"{path.stem}.png"
        job = Job(Path(name), path, target, header, state, "png", 4 * header.width, 4 * header.height)
        return job, source, enlarged(source)

    return made


PICTURE = "sr/Set5/baby.png"


def broken(result: Document, change: Callable[[Image], Image]) -> Document:
    return replace(result, pages=tuple(change(page) for page in result.pages))


def test_staged_result_reads_back_as_the_same_pixels(make: Make, output: OutputRoot, decoder: Decoder) -> None:
    job, source, result = make(PICTURE)
    staged = stage(source, result, job, Facts("because"), output, decoder)
    assert staged.temporary.parent == Path("d")
    whole = output.root / staged.temporary
    assert output.sha256(staged.temporary) == staged.sha256
    assert whole.stat().st_size == staged.size
    named = whole.rename(whole.with_name("a.png"))
    assert np.array_equal(decoder.read(named).first.pixels, result.first.pixels)


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        (lambda page: page.with_pixels(np.zeros_like(page.pixels)), "one even colour"),
        (lambda page: page.with_pixels(page.pixels[:-1]), "planned was"),
        (lambda page: page.with_pixels(page.pixels.astype(np.uint16)), "uint16"),
    ],
)
def test_result_that_is_not_what_was_planned_is_refused_and_leaves_nothing(
    make: Make, output: OutputRoot, decoder: Decoder, change: Callable[[Image], Image], fact: str
) -> None:
    job, source, result = make(PICTURE)
    with pytest.raises(ImageError, match=fact):
        stage(source, broken(result, change), job, Facts(), output, decoder)
    assert not [path for path in output.root.rglob("*") if path.is_file()]


def test_nan_from_a_network_is_refused(make: Make, output: OutputRoot, decoder: Decoder) -> None:
    job, source, _ = make(PICTURE)
    floats = broken(source, lambda page: page.with_pixels(page.pixels.astype(np.float32)))
    holed = enlarged(floats)
    holed.first.pixels[3, 4, 1] = np.nan
    with pytest.raises(ImageError, match="NaN"):
        stage(floats, holed, job, Facts(), output, decoder)


def test_encoder_that_writes_something_else_is_noticed(
    make: Make, output: OutputRoot, decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, source, result = make(PICTURE)
    real = stage_module.encode
    monkeypatch.setattr(stage_module, "encode", lambda document, form: real(enlarged(document, 2), form))
    with pytest.raises(ImageError, match="meant was"):
        stage(source, result, job, Facts(), output, decoder)

    def cut(document: Document, form: str) -> object:
        file = real(document, form)
        os.truncate(file.fileno(), 5000)
        return file

    monkeypatch.setattr(stage_module, "encode", cut)
    with pytest.raises(ImageError, match="can't be decoded"):
        stage(source, result, job, Facts(), output, decoder)
    assert not [path for path in output.root.rglob("*") if path.is_file()]


def test_even_colour_of_an_even_source_is_fine(make: Make, output: OutputRoot, decoder: Decoder) -> None:
    job, source, result = make(PICTURE)

    def even(page: Image) -> Image:
        return page.with_pixels(np.full_like(page.pixels, 7))

    assert not varies(broken(source, even))
    stage(broken(source, even), broken(result, even), job, Facts(), output, decoder)


@pytest.mark.parametrize("kind", [np.uint8, np.float16])
def test_checking_a_large_result_needs_little_memory_beside_it(make: Make, kind: type) -> None:
    """A mask over 16384 x 16384 pixels of three channels would be 768 MiB."""
    job, document, _ = make(PICTURE)
    pixels = np.random.default_rng(0).integers(0, 2, (1024, 1024, 3)).astype(kind)
    floats = kind is np.float16
    stored = replace(document.first.stored, is_float=floats, bits=16 if floats else 8)
    small = Image(pixels, stored)
    source = replace(document, pages=(small,))
    result = enlarged(source)
    job = replace(job, output_width_px=4096, output_height_px=4096)
    tracemalloc.start()
    try:
        stage_module._check_shape(source, result, job)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20 < result.first.pixels.nbytes
    finally:
        tracemalloc.stop()


def test_colour_that_varies_only_where_nothing_is_seen_counts_as_even() -> None:
    """A white decal over junk hidden under alpha 0: the junk is bled away on purpose, and the result is all white."""
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 4), dtype=np.uint8)
    pixels[..., 3] = 0
    pixels[8:24, 8:24] = 255
    stored = Stored("tga", 8, False, Transfer.SRGB, Alpha.STRAIGHT, ("R", "G", "B", "A"))
    assert not varies(Document((Image(pixels, stored),)))
    pixels[10:14, 10:14, 1] = 0
    assert varies(Document((Image(pixels, stored),)))

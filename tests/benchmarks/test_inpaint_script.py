"""What benchmarks/inpaint.py measures, on small made-up pictures."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SIDE_PX = 128


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    import importlib

    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A picture a set, and overlays on both sides of the split."""
    rng = np.random.default_rng(0)
    for folder in ("sr/Set14", "old-photos/old", "dds"):
        (tmp_path / folder).mkdir(parents=True)
        coarse = rng.integers(0, 256, (9, 9, 3), np.uint8)
        cv2.imwrite(str(tmp_path / folder / "one.png"), cv2.resize(coarse, (SIDE_PX + 30, SIDE_PX)))
    cv2.imwrite(str(tmp_path / "dds" / "even.png"), np.full((SIDE_PX, SIDE_PX, 3), 90, np.uint8))
    (tmp_path / "film-damage").mkdir()
    for number in range(24):
        overlay = np.zeros((SIDE_PX, SIDE_PX, 4), np.uint8)
        cv2.circle(overlay, (20 + 3 * number, 60), 6, (0, 0, 0, 255), -1)
        cv2.circle(overlay, (90 - 3 * number, 20), 5, (0, 0, 0, 255), -1)
        cv2.imwrite(str(tmp_path / "film-damage" / f"{number}.png"), overlay)
    return tmp_path


def test_the_same_picture_gets_the_same_holes_whatever_else_is_measured(
    scripts: Callable[[str], ModuleType], data: Path
) -> None:
    cases = scripts("inpaint_cases")
    pictures, left_out = cases.read_pictures(data, SIDE_PX, 9)
    assert [(p.group, p.pixels.shape) for p in pictures] == [(g, (SIDE_PX, SIDE_PX, 3)) for g in cases.SETS]
    assert left_out == ["textures/even.png: even in the middle"]
    every = list(cases.make_cases(pictures, data))
    assert {case.bucket for case in every} == {*cases.BUCKETS, cases.REAL}
    alone = list(cases.make_cases(pictures[1:2], data))
    for case, again in zip((c for c in every if c.picture is pictures[1]), alone, strict=True):
        np.testing.assert_array_equal(case.holes, again.holes)
        assert 0 < case.holes.mean() < 0.5
        assert not case.damaged[case.holes].any()


def test_every_method_fills_holes_and_nothing_else(scripts: Callable[[str], ModuleType], data: Path) -> None:
    from restore.models.inpainting import of_net
    from restore.models.pconv import PconvUnet

    cases, methods = scripts("inpaint_cases"), scripts("inpaint_methods")
    picture = cases.read_pictures(data, SIDE_PX, 1)[0][0]
    case = next(iter(cases.make_cases([picture], data)))
    found, packages = methods.all_methods(of_net(PconvUnet((4, 8)), max_width_px=40))
    assert set(found) >= {"Telea", methods.NS, methods.PUSH_PULL, methods.NET, methods.OFF, methods.ON}
    assert set(packages) == {"biharmonic", "PatchMatch (pypatchmatch)", "PatchMatch (patchmatch-cython)"}
    for name, method in found.items():
        filled = method(case.damaged, case.holes)
        assert (filled.shape, filled.dtype) == (picture.pixels.shape, np.uint8), name
        if "PatchMatch" not in name:
            np.testing.assert_array_equal(filled[~case.holes], picture.pixels[~case.holes], err_msg=name)
        error = np.abs(filled[case.holes].astype(int) - picture.pixels[case.holes]).mean()
        assert error < 0.5 * np.abs(0 - picture.pixels[case.holes].astype(int)).mean(), name


def test_scores_are_those_of_holes_alone(scripts: Callable[[str], ModuleType]) -> None:
    inpaint = scripts("inpaint")
    truth = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    holes = np.zeros((64, 64), np.bool_)
    holes[20:40, 20:40] = True
    filled = truth.copy()
    filled[holes] = np.clip(truth[holes].astype(int) + np.where(truth[holes] > 127, -5, 5), 0, 255)
    edge = filled.copy()
    edge[24:36, 24:36] = truth[24:36, 24:36]
    assert inpaint.score(truth, truth, holes) == inpaint.Score(80.0, 80.0, pytest.approx(1.0))
    once, at_edge = inpaint.score(filled, truth, holes), inpaint.score(edge, truth, holes)
    assert once.psnr_db == pytest.approx(20 * np.log10(255 / 5))
    assert at_edge.edge_psnr_db == pytest.approx(once.edge_psnr_db)
    assert at_edge.psnr_db > once.psnr_db + 1
    assert once.ssim < at_edge.ssim < 1


def test_ssim_is_scikit_images(scripts: Callable[[str], ModuleType]) -> None:
    metrics = pytest.importorskip("skimage.metrics", reason="scikit-image isn't installed")
    rng = np.random.default_rng(2)
    a = cv2.GaussianBlur(rng.uniform(0, 255, (60, 70)), (0, 0), 2)
    b = a + rng.normal(0, 4, a.shape)
    options: dict[str, Any] = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    _, expected = metrics.structural_similarity(a, b, data_range=255, full=True, **options)
    np.testing.assert_allclose(scripts("inpaint").ssim(a, b)[8:-8, 8:-8], expected[8:-8, 8:-8], atol=1e-6)


def test_an_interval_tells_a_gain_from_chance(scripts: Callable[[str], ModuleType]) -> None:
    inpaint, methods = scripts("inpaint"), scripts("inpaint_methods")
    rng = np.random.default_rng(3)
    base = rng.normal(25, 4, 40)

    def scores(values: Any) -> list[Any]:
        return [inpaint.Score(float(v), float(v), 0.5) for v in values]

    found = {
        methods.NS: scores(base),
        methods.OFF: scores(base + 1 + rng.normal(0, 0.5, 40)),
        methods.ON: scores(base + rng.normal(0, 0.5, 40)),
        "peer": scores(base + 2 + rng.normal(0, 0.5, 40)),
    }
    rows = inpaint.summary(found)
    assert rows[methods.OFF]["gain_95_db"][0] > 0.7
    low, high = rows[methods.ON]["gain_95_db"]
    assert low < 0 < high
    table = {inpaint.ALL: dict.fromkeys(inpaint.TARGETS_DB, rows)}
    verdict = inpaint.judged(table)
    assert verdict["restore_below_beyond_the_interval"] == {"peer": ["all dust", "all strokes", "all wide"]}
    assert verdict["never_below_navier_stokes"] is True
    assert verdict["target_reached"]["dust"] is True
    assert verdict["stretch_reached"]["wide"] is False


def test_a_peer_that_gives_up_is_measured_on_the_rest(scripts: Callable[[str], ModuleType]) -> None:
    inpaint, methods, cases = scripts("inpaint"), scripts("inpaint_methods"), scripts("inpaint_cases")
    peer = next(iter(methods.PEERS))

    def give_up(damaged: Any, holes: Any) -> Any:
        raise ValueError("no source pixels")

    holes = np.zeros((16, 16), np.bool_)
    holes[4:8, 4:8] = True
    case = cases.Case(cases.Picture("set14", "one.png", np.zeros((16, 16, 3), np.uint8)), "dust", holes)
    assert inpaint.run(peer, give_up, case) is None
    with pytest.raises(ValueError, match="no source pixels"):
        inpaint.run(methods.OFF, give_up, case)
    ten, twenty = inpaint.Score(10.0, 10.0, 0.5), inpaint.Score(20.0, 20.0, 0.5)
    rows = inpaint.summary({methods.NS: [ten, ten], methods.OFF: [ten, twenty], peer: [None, twenty]})
    assert (rows[peer]["pictures"], rows[peer]["gain_db"], rows[peer]["restore_over_it_95_db"]) == (1, 10.0, [0.0, 0.0])


def test_the_whole_command_stores_its_table(
    scripts: Callable[[str], ModuleType],
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from restore.models import pconv
    from restore.models.pconv import PconvUnet

    weights = tmp_path / "small.safetensors"
    weights.write_bytes(pconv.canonical(PconvUnet((4, 8)).state_dict(), {"max_width_px": "40"}))
    record = scripts("record")
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    threads = torch.get_num_threads()
    monkeypatch.setattr(
        sys, "argv", ["inpaint.py", "--data", str(data), "--model", str(weights), "--most", "1", "--crop-px", "128"]
    )
    try:
        scripts("inpaint").main()
    finally:
        torch.set_num_threads(threads)
        cv2.setNumThreads(-1)
    stored = json.loads((tmp_path / "results" / "inpaint.json").read_text())
    assert stored["pictures"] == {"set14": 1, "old-photos": 1, "textures": 1}
    assert stored["table"]["all"]["dust"]["Navier-Stokes"]["gain_db"] == 0
    assert stored["table"]["textures"]["real"]["push-pull"]["pictures"] == 1
    assert str(data) not in json.dumps(stored)
    assert "all, strokes" in capsys.readouterr().out


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["planes", "channels_last"])
def test_the_network_of_nvidias_layers_is_ours(
    scripts: Callable[[str], ModuleType], layout: torch.memory_format
) -> None:
    from restore.models.pconv import PconvUnet

    speed = scripts("inpaint_speed")
    torch.manual_seed(1)
    ours = PconvUnet((4, 6, 8))
    torch.nn.init.normal_(ours.last.weight)
    theirs = speed.EagerUnet(ours.widths)
    theirs.load_state_dict(ours.state_dict())
    x, valid = speed.case(32)
    with torch.inference_mode():
        expected = ours(x, valid)
        filled = theirs.to_layout(layout)(x, valid)
    assert (expected.image - expected.fill).abs().max() > 0.05  # the layers have a say
    torch.testing.assert_close(filled.image, expected.image, atol=1e-5, rtol=0)
    torch.testing.assert_close(filled.reached, expected.reached)

"""Tiles and halos are settled before planning, and exact where that is cheap."""

from __future__ import annotations

import pytest

from restore.color import FIX_REACH_PX
from restore.errors import SetupError
from restore.halo import APPROXIMATE_HALO_PX, FINISH_REACH_PX, choose


def test_compact_networks_get_all_that_they_and_the_colour_fix_see():
    tiling = choose("compact", 18)
    assert tiling.halo_px == 18 + FIX_REACH_PX
    assert tiling.exact


def test_rrdb_gets_the_measured_halo_and_all_that_it_sees_on_request():
    assert choose("rrdb", 349).halo_px == APPROXIMATE_HALO_PX
    assert not choose("rrdb", 349).exact
    full = choose("rrdb", 349, exact=True)
    assert full.halo_px == 349 + FIX_REACH_PX
    assert full.exact
    assert full.tile_px >= 2 * full.halo_px + 256


def test_exact_is_refused_where_nobody_knows_the_reach():
    with pytest.raises(SetupError, match="nobody knows how far DAT sees"):
        choose("DAT", None, exact=True)


def test_a_tile_smaller_than_its_halo_is_refused_with_the_way_out():
    with pytest.raises(SetupError, match="use --tile 112 or more"):
        choose("rrdb", 349, tile_px=96)


def test_finishing_looks_no_further_than_the_halo_allows_for():
    assert FIX_REACH_PX <= FINISH_REACH_PX

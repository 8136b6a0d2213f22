"""What tests/e2e shows in seconds, in full: only with `--profile=long`."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import psutil
import pytest

from tests.soak.conftest import Profile
from tests.support.abuse import RSS_MB_MAX, Rest
from tests.support.marked import mixed_up
from tests.support.meter import Peak
from tests.support.mutated import HURRIED, MODELS, SETTINGS, Believers, Campaign, Liar
from tests.support.reloads import Stage
from tests.support.scripted import Scripted, healthy
from tests.support.user import config, eventually, gateway


@pytest.fixture(autouse=True)
def in_full(profile: Profile) -> None:
    if profile.name != "long":
        pytest.skip("in full only with --profile=long; the short ones are in tests/e2e")


def test_50_reloads_under_32_clients_and_100_streams_fail_nobody(tmp_path: Path) -> None:
    with Stage(tmp_path) as stage:
        asked, streamed = stage.under_load(clients=32, streams=100, reloads=50, seconds=45)
        assert (asked.failed, asked.refused) == ({}, 0)
        assert (streamed.failed, streamed.refused, streamed.done) == ({}, 0, 100)
        assert stage.rss_mb() < 40
        assert "Traceback" not in stage.gateway.log()


def test_a_child_that_hangs_is_killed_after_30_seconds_and_clients_are_served(tmp_path: Path) -> None:
    with Stage(tmp_path) as stage:
        stage.by_signal()
        children = psutil.Process(stage.gateway.pid).children
        assert eventually(lambda: children() != [])
        children()[0].suspend()
        while stage.outcomes()["refused"] == 0:
            assert stage.chat() == 200
            time.sleep(0.1)
        assert "checking the config took over 30 s" in stage.gateway.log()


def test_20_000_mutated_requests_and_5_000_mutated_answers_leave_it_as_it_was(tmp_path: Path) -> None:
    with Scripted() as cast:
        fine, liar = cast.add("fine"), cast.add("liar")
        fine.replies, liar.replies = [healthy("fine")], [Liar(seed=2)]
        urls = {provider.name: provider.url for provider in cast.providers.values()}
        with gateway(tmp_path, config(urls, MODELS, settings=SETTINGS, of_provider={"liar": HURRIED})) as running:
            rest = Rest(running)
            with Peak(running.pid) as peak:
                statuses = asyncio.run(Campaign(running.port, seed=2).run(20_000))
                kinds = asyncio.run(Believers(running.port, seed=2).run(5_000))
            liar.hang_up()
            rest.restored()
    assert statuses["400"] > 5_000
    assert statuses["200"] > 500
    assert kinds["whole"] > 3_000
    assert peak.mb < RSS_MB_MAX


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_20_000_marked_requests_never_get_the_answer_of_another(tmp_path: Path, tls: bool) -> None:
    tally = mixed_up(tmp_path, count=20_000, seed=2, tls=tls)
    assert tally["right"] > 10_000

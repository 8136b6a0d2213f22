"""The memory contract, one test a row: resident set of the serving process, seen from outside, over real sockets.

Load and providers are other processes. All figures are MB of 2^20 bytes.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from tests.soak.conftest import Figures, Profile
from tests.support import gateway, load, provider
from tests.support.load import Job, Seen
from tests.support.meter import Peak, rollup_mb, rss_mb, settled_mb

IDLE_MB = 20.0
IDLE_WATCH_MB = 19.5
"""From here on somebody should look, before it is too late."""
LOADED_MB = 40.0
CHAT_MB, TLS_MB = 30.0, 36.0
"""Of plain streams of chat, and of those over TLS."""
MOMENT_MB = 32.0
"""Of plain streams that all begin in the same moment."""
BACK_MB = 4.0
"""What may be left of a load 60 s later, above the figure for idle."""
IDLE_AFTER_S = 3.0
EVERY_S = 0.5
"""A stream has about two events a second."""

SCRIPT = Path(__file__).with_name("wasteful.py")


class Subject:
    """A gateway that was left alone for 3 s, and what it used then."""

    def __init__(self, pid: int, port: int, figures: Figures) -> None:
        self.pid = pid
        self.port = port
        self._figures = figures
        time.sleep(IDLE_AFTER_S)
        self.idle_mb = rss_mb(pid)

    def under(self, job: Job, directory: Path, name: str, limit: float = LOADED_MB) -> Seen:
        """Runs the job, holds its peak to the limit, and returns what the load driver saw."""
        with Peak(self.pid) as peak:
            seen = load.run(job, directory)
        self._figures.take(name, peak.mb, limit, describe(seen))
        assert peak.mb < limit
        return seen

    def gives_back(self, name: str, profile: Profile) -> None:
        """Under what it was at rest and 4 MB, after a minute; who is in a hurry waits only for 20 and 4."""
        limit = BACK_MB + (IDLE_MB if profile.hurry else self.idle_mb)
        now, took_s = settled_mb(self.pid, limit if profile.hurry else 0.0, profile.settle_s)
        self._figures.take(f"  after {name}", now, limit, f"after {took_s:.0f} s; idle was {self.idle_mb:.1f}")
        assert now < limit


@contextmanager
def subject(directory: Path, figures: Figures, *, tls: bool = False) -> Iterator[Subject]:
    """A gateway with two https providers that are never asked and a local one that is."""
    with provider.running(directory, tls=tls) as upstream:
        urls = [f"https://localhost:{upstream}/v1" if tls else f"http://127.0.0.1:{upstream}/v1"]
        ca_file = directory / "ca.pem" if tls else None
        with gateway.serving(directory, urls, ca_file=ca_file) as (process, port):
            yield Subject(process.pid, port, figures)


def streams(port: int, count: int, seconds: float) -> Job:
    """So many streams that are all open together for so long."""
    ramp_s = count / 500
    events = int((ramp_s + seconds) / EVERY_S)
    return Job(
        kind="streams", port=port, count=count, size=4096, events=events, every_s=EVERY_S, ramp_s=ramp_s, within_s=180
    )


def describe(seen: Seen) -> str:
    parts = [f"{seen.done} whole"]
    if seen.open_max:
        parts.append(f"{seen.open_max} at once, first content p50 {seen.content_p50:.0f} max {seen.content_max:.0f} ms")
    if seen.refused:
        parts.append(f"{seen.refused} told 503")
    parts += [f"{count} {reason}" for reason, count in seen.failed.items()]
    return ", ".join(parts)


@pytest.mark.filterwarnings("default:idle is near its limit")
def test_an_idle_gateway_with_two_https_providers_stays_under_20_mb(tmp_path: Path, figures: Figures) -> None:
    with gateway.serving(tmp_path) as (process, _):
        time.sleep(IDLE_AFTER_S)
        idle, exact = rss_mb(process.pid), rollup_mb(process.pid)
    figures.take("idle", idle, IDLE_MB, f"private {exact['Private_Dirty']:.1f}" if exact else "")
    if idle >= IDLE_WATCH_MB:
        warnings.warn(f"idle is near its limit: {idle:.1f} MB", stacklevel=1)
    assert idle < IDLE_MB


def test_a_thousand_streams_over_http_stay_under_30_mb_and_give_it_back(
    tmp_path: Path, figures: Figures, profile: Profile
) -> None:
    with subject(tmp_path, figures) as gateway_:
        asked = streams(gateway_.port, 1000, profile.load_s)
        seen = gateway_.under(asked, tmp_path, "1,000 streams over http", CHAT_MB)
        assert (seen.done, seen.failed, seen.open_max) == (1000, {}, 1000)
        gateway_.gives_back("1,000 streams", profile)


def test_a_thousand_streams_that_begin_in_the_same_moment_stay_under_32_mb(tmp_path: Path, figures: Figures) -> None:
    """Each has its body held, and a connection made to a host of two addresses."""
    with (
        provider.running(tmp_path) as upstream,
        gateway.serving(tmp_path, [f"http://localhost:{upstream}/v1"]) as (
            process,
            port,
        ),
    ):
        asked = Job(kind="bodies", port=port, count=1000, size=4096, events=8, every_s=EVERY_S, after_s=1.0)
        seen = Subject(process.pid, port, figures).under(asked, tmp_path, "1,000 streams in one moment", MOMENT_MB)
        assert (seen.done, seen.failed) == (1000, {})


def test_300_streams_over_tls_stay_under_36_mb_and_give_it_back(
    tmp_path: Path, figures: Figures, profile: Profile
) -> None:
    with subject(tmp_path, figures, tls=True) as gateway_:
        asked = streams(gateway_.port, 300, profile.load_s)
        seen = gateway_.under(asked, tmp_path, "300 streams over https", TLS_MB)
        assert (seen.done, seen.failed, seen.open_max) == (300, {}, 300)
        gateway_.gives_back("300 TLS streams", profile)


def test_a_thousand_responses_whose_last_event_is_400_kb_stay_under_40_mb_and_give_it_back(
    tmp_path: Path, figures: Figures, profile: Profile
) -> None:
    with subject(tmp_path, figures) as gateway_:
        asked = msgspec.structs.replace(
            streams(gateway_.port, 1000, profile.load_s), path="/v1/responses", answer=400_000
        )
        seen = gateway_.under(asked, tmp_path, "1,000 responses of 400 KB")
        assert (seen.done, seen.failed, seen.open_max) == (1000, {}, 1000)
        gateway_.gives_back("1,000 responses", profile)


def test_a_thousand_streams_of_messages_stay_under_40_mb_and_give_it_back(
    tmp_path: Path, figures: Figures, profile: Profile
) -> None:
    with subject(tmp_path, figures) as gateway_:
        asked = msgspec.structs.replace(streams(gateway_.port, 1000, profile.load_s), path="/v1/messages")
        seen = gateway_.under(asked, tmp_path, "1,000 streams of messages")
        assert (seen.done, seen.failed, seen.open_max) == (1000, {}, 1000)
        gateway_.gives_back("1,000 messages", profile)


def test_a_message_in_events_of_half_a_megabyte_passes_under_40_mb(tmp_path: Path, figures: Figures) -> None:
    with subject(tmp_path, figures) as gateway_:
        job = Job(kind="streams", port=gateway_.port, path="/v1/messages", events=100, every_s=0.05, large=500_000)
        seen = gateway_.under(job, tmp_path, "a message of 50 MB in large events")
        assert (seen.done, seen.failed) == (1, {})


def test_a_thousand_models_that_think_at_once_stay_under_40_mb_and_wait_for_each_other_for_seconds_at_most(
    tmp_path: Path, figures: Figures, profile: Profile
) -> None:
    """What agents send is shown again, twice, before any content: 60 MB of it here."""
    with subject(tmp_path, figures) as gateway_:
        job = Job(
            kind="streams", port=gateway_.port, path="/v1/responses", count=1000, size=4096, events=4,
            every_s=EVERY_S, after_s=4.0, ramp_s=5.0, echo=30_000,
        )  # fmt: skip
        seen = gateway_.under(job, tmp_path, "1,000 that think, 60 MB of echo")
        assert (seen.done, seen.failed) == (1000, {})
        assert seen.content_max < 10_000
        gateway_.gives_back("1,000 that think", profile)


def test_a_response_of_50_mb_of_partial_images_passes_under_40_mb(tmp_path: Path, figures: Figures) -> None:
    with subject(tmp_path, figures) as gateway_:
        job = Job(kind="streams", port=gateway_.port, path="/v1/responses", events=100, every_s=0.05, large=500_000)
        seen = gateway_.under(job, tmp_path, "a response of 50 MB of images")
        assert (seen.done, seen.failed) == (1, {})


@pytest.mark.parametrize(
    ("slow_s", "name", "served"),
    [(0.05, "64 bodies of 1 MiB", 40), (2.0, "64 bodies, slow provider", 14)],  # of 64 and 21 on an idle machine
)
def test_64_bodies_of_1_mib_at_once_are_served_or_told_503_under_40_mb_and_given_back(
    tmp_path: Path, figures: Figures, profile: Profile, slow_s: float, name: str, served: int
) -> None:
    with subject(tmp_path, figures) as gateway_:
        job = Job(kind="bodies", port=gateway_.port, count=64, size=2**20, events=4, every_s=EVERY_S, after_s=slow_s)
        seen = gateway_.under(job, tmp_path, name)
        assert (seen.done + seen.refused, seen.failed) == (64, {})
        assert seen.done >= served
        gateway_.gives_back("64 bodies", profile)


def test_the_meter_sees_a_waste_of_40_kb_a_connection(tmp_path: Path) -> None:
    with (
        provider.running(tmp_path) as upstream,
        gateway.run_script(SCRIPT, tmp_path, [f"http://127.0.0.1:{upstream}/v1"], "--waste", "connection") as (
            process,
            port,
        ),
    ):
        wasteful = Subject(process.pid, port, Figures())
        with pytest.raises(AssertionError, match=r"< 40\.0"):
            wasteful.under(streams(port, 1000, 2.0), tmp_path, "planted waste")

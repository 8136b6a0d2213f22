"""The clock of an attempt's phase stands still while nobody reads its provider, whatever becomes of the attempt."""

from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from oxllm.core.request.attempt import Attempt
from oxllm.core.request.phases import OVER, AttemptPhase
from tests.support.by_hand import EVENT_STREAM, JSON, Drive
from tests.support.chat_bytes import DONE, FINISH, ROLE, token

LONG = b'{"choices":[{"index":0,"message":{"content":"hello'
HEADS = {"stream": EVENT_STREAM, "plain": JSON, "refusal": JSON}
PARTS = {"role": ROLE, "token": token("a"), "finish": FINISH, "done": DONE, "long": LONG}


def possible(attempt: Attempt, paused: bool) -> list[str]:
    """What may befall it."""
    steps = ["resume" if paused else "pause", "wait"]
    if attempt.phase is AttemptPhase.CONNECTING:
        steps.append("connect")
    elif not attempt.status:
        steps += ["reconnect", *HEADS]
    else:
        steps += ["release"] if paused else ["release", *PARTS]
    return steps


def befall(drive: Drive, attempt: Attempt, step: str) -> None:
    if step in PARTS:
        drive.data("alpha", PARTS[step])
    elif step in HEADS:
        drive.head("alpha", 400 if step == "refusal" else 200, HEADS[step])
    elif step == "release":
        drive.exchange.commit_early(attempt, drive.now)
        drive.perform()
    elif step == "connect":
        drive.connect("alpha")
    elif step == "reconnect":
        drive.reconnect("alpha")
    elif step == "wait":
        drive.pass_time(1.0)
    else:
        (attempt.pause if step == "pause" else attempt.resume)(drive.now)


@given(st.booleans(), st.lists(st.integers(0, 10**6), max_size=12))
def test_while_nobody_reads_it_no_silence_is_the_providers(stream: bool, choices: list[int]) -> None:
    drive = Drive("alpha", stream=stream).start()
    attempt, paused = drive["alpha"], False
    for choice in choices:
        steps = possible(attempt, paused)
        step = steps[choice % len(steps)]
        befall(drive, attempt, step)
        paused = step == "pause" or (paused and step != "resume")
        if attempt.phase in OVER:
            return
        assert (attempt.clock.at == inf) is paused
        if not paused:
            assert drive.now <= attempt.clock.at <= drive.now + 300.0
            assert drive.exchange.alarm.at <= attempt.clock.at

"""What the relay adds to the exchange: bodies let go, slow clients, connections that die, and the drain's end."""

from __future__ import annotations

import pytest

from oxllm import plan as plans
from tests.support.by_hand import make_plan
from tests.support.house import EVENT_STREAM, House, relays_of, stream, token
from tests.support.in_memory import Setup, Wish, World

PLAN = make_plan("alpha", "beta")
BIG = make_plan("alpha")


def world(*faults: str, pace: str = "ttft 20ms, itl 5ms, out 20..60", plan: plans.Plan = PLAN) -> World:
    return World(Setup(plan, {"alpha": list(faults)}, pace=pace))


def held_bodies(world: World) -> int:
    return sum(relay.request.body != b"" for relay in relays_of(world.runtime))


@pytest.mark.parametrize(("ttft", "pinged"), [("20ms", False), ("12s", True)])
def test_the_requests_body_is_let_go_at_commit_also_when_the_head_went_out_before(ttft: str, pinged: bool) -> None:
    with world(pace=f"ttft {ttft}, itl 5s, out 20..60") as w:
        visit = w.ask()
        w.sleep(0.01)
        assert held_bodies(w) == 1
        w.sleep(14)
        assert (b": ping\n" in visit.reader.body) == pinged
        assert visit.content()
        assert held_bodies(w) == 0
        assert w.runtime.bodies.total == 0


def test_the_heads_of_request_and_response_are_let_go_at_commit() -> None:
    with world(pace="ttft 20ms, itl 5s, out 20..60") as w:
        visit = w.ask()
        w.sleep(0.01)
        (relay,) = relays_of(w.runtime)
        assert relay.request.fields.all
        w.sleep(1)
        assert visit.content()
        assert relay.request.fields.all == ()
        winner = relay.exchange.winner
        assert winner is not None
        assert winner.headers == ()


def test_a_connection_that_was_idle_and_is_dead_is_replaced_for_free() -> None:
    with world() as w:
        w.ask()
        w.run().patch("alpha", "rst x1")
        visit = w.ask()
        w.run()
        assert (visit.kind, visit.provider, visit.reader.headers["x-oxllm-attempts"]) == ("whole", "alpha", "1")
        assert w.router.providers["alpha"].breaker.halves == 0


def test_its_replacement_has_no_more_time_to_connect_than_any_other() -> None:
    with world() as w:
        w.ask(stream=False)
        w.run().patch("alpha", "rst x1")
        w.unreachable.add("alpha")
        visit = w.ask(stream=False)
        w.run()
        assert visit.provider == "beta"
        assert visit.ended - visit.began < 5.5


@pytest.mark.parametrize("stream", [True, False])
def test_a_hang_up_closes_the_providers_connection_within_100_ms(stream: bool) -> None:
    with world("stall@token:3") as w:
        visit = w.ask(stream=stream, leaves_after=1.0)
        w.run().sleep(0.1)
        assert visit.kind == "left"
        assert w.accepted == set()
        assert w.asked[0].record.end == "gone"


def test_a_drain_that_cannot_wait_ends_each_request_with_a_word() -> None:
    with world("stall@token:3") as w:
        stream, plain = w.ask(), w.ask(stream=False)
        w.sleep(1.0)
        for relay in tuple(w.runtime.relays):
            relay.expire()
        w.run()
        assert (stream.kind, stream.error["code"]) == ("broken", "stream_interrupted")
        assert (plain.kind, plain.status, plain.error["code"]) == ("error", 503, "overloaded")
        assert w.accepted == set()


def test_a_slow_client_slows_its_provider_and_gets_everything() -> None:
    with world(plan=BIG, pace="ttft 20ms, itl 0ms, out 5000") as w:
        visit = w.ask(Wish(tokens=5000, dawdles=2.0))
        w.sleep(5.0)
        waiting = next(iter(w.server.open)).transport.get_write_buffer_size()
        assert 0 < waiting < 300 * 1024
        w.run()
        assert visit.kind == "whole"
        assert visit.content() == {0: w.truth(visit, "alpha", 0)}


def test_a_client_that_takes_nothing_is_gone_after_a_minute_and_its_provider_is_not_blamed() -> None:
    with world(plan=BIG, pace="ttft 20ms, itl 0ms, out 5000") as w:
        w.ask(Wish(tokens=5000, dawdles=3000.0))
        w.sleep(70.0)
        assert w.server.connections == 0
        assert w.accepted == set()
        assert w.router.providers["alpha"].breaker.halves == 0


def test_the_providers_key_goes_along_and_the_clients_does_not() -> None:
    with world() as w:
        w.ask()
        w.run()
        assert w.asked[0].key == b"Bearer sk-secret-alpha"


def test_nothing_is_left_when_all_is_over() -> None:
    with world("cut@token:3 1/2", "500 1/3") as w:
        for number in range(20):
            w.ask(at=number * 0.3, leaves_after=0.03 if number % 3 else None)
        w.run().sleep(40.0)
        assert not w.runtime.relays
        assert not w.pool.connections
        assert w.server.connections == 0
        assert w.runtime.bodies.total == 0


def test_the_loser_of_a_hedge_is_let_go_at_once() -> None:
    with world("slow~30s", plan=make_plan("alpha", "beta", hedge_after=1.0)) as w:
        visit = w.ask()
        w.run().sleep(0.1)
        assert (visit.kind, visit.provider) == ("whole", "beta")
        assert [asked.record.end for asked in w.asked] == ["gone", "complete"]


def test_a_target_that_is_asked_while_the_client_takes_nothing_is_not_read_either() -> None:
    with House() as house:
        house.providers["alpha"].replies = [[EVENT_STREAM, 0.2, "reset"]]
        house.providers["beta"].replies = [stream(token("hi"))]
        client = house.chat(stream=True)
        house.advance(0.1)
        (relay,) = house.relays
        relay.pause_writing()
        house.advance(1)
        assert len(house.providers["beta"].asked) == 1
        assert not client.received
        relay.resume_writing()
        house.advance(1)
        assert client.response.whole
        assert b"hi" in client.response.body

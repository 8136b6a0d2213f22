"""What is held of answers stays within its bound, whoever sends and whoever does not take, and nothing gets lost."""

from __future__ import annotations

import msgspec
import pytest

from oxllm import plan as plans
from oxllm.core.budget.answers import HELD_FREE, HELD_LIMIT, HeldBudget
from oxllm.core.budget.readers import HeldHolder
from tests.support.chat_bytes import FINISH, LAST_CHUNK, chunk
from tests.support.house import EVENT_STREAM, MESSAGES, Client, House, answer, plan_of, stream, token
from tests.support.scripted import Step

KIB = 1024
FRAMING = 200
"""Bytes a stream that its content does not have: head, chunk sizes."""


def ask(house: House, stream: bool = True, reads: bool = True) -> Client:
    client = Client(house, "127.0.0.1", "127.0.0.1")
    if not reads:
        client.transport.pause_reading()
    body = b'{"model":"smart","stream":%b,%b}' % (b"true" if stream else b"false", MESSAGES)
    client.transport.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )
    return client


def held(house: House) -> int:
    """By hand, over everything that there is."""
    legs = sum(relay.pending for relay in house.relays)
    return legs + sum(connection.transport.get_write_buffer_size() for connection in house.server.open)


class Watched(HeldBudget):
    """Adds everything up by hand after each read that left something over."""

    house: House

    def __init__(self) -> None:
        super().__init__()
        self.clients = 0
        self.most = 0
        self.waited = False

    def grew(self, reader: HeldHolder, size: int, early: bool) -> None:
        super().grew(reader, size, early)
        self.most = max(self.most, held(self.house))
        self.waited = self.waited or self.contended
        assert self.most <= HELD_LIMIT + (HELD_FREE + FRAMING) * self.clients


def held_back(plan: plans.Plan) -> plans.Plan:
    model = msgspec.structs.replace(plan.virtual_models[0], hold_back=plans.HoldBack(full=True))
    return msgspec.structs.replace(plan, virtual_models=(model,))


def parts(data: bytes, size: int, pause: float) -> list[Step]:
    """`data` in pieces, with pauses."""
    steps: list[Step] = []
    for start in range(0, len(data), size):
        steps += [data[start : start + size], pause]
    return steps


def texts(house: House, clients: list[Client]) -> list[bytes]:
    """What each client has of its answer, one letter for all the same; only of whole answers."""
    found = []
    for client in clients:
        response = client.response
        assert response.status == 200
        assert response.whole
        content = response.body.split(b'"content":"')[1].split(b'"')[0]
        assert len(set(content)) == 1
        found.append(content[:1] + b"%d" % len(content))
    return found


def run(house: House, clients: list[Client], budget: Watched, seconds: float) -> None:
    for client in clients:
        house.loop.call_later(1.0, client.transport.resume_reading)
    for _ in range(int(seconds * 10)):
        house.advance(0.1)
    assert (budget.total, budget.full, budget.contended) == (0, False, False)
    assert house.runtime.bodies.total == 0


LETTERS = [bytes([letter]) for letter in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnop"]


def test_events_of_a_mib_come_whole_one_after_another() -> None:
    budget = Watched()
    with House(plan_of("alpha"), held=budget) as house:
        budget.house = house
        count = budget.clients = 24
        big = [b"".join(stream(token((letter * 1020 * KIB).decode()))) for letter in LETTERS[:count]]  # type: ignore[arg-type]
        house.providers["alpha"].replies = [parts(data, 50_000, 0.01) for data in big]
        clients = [ask(house, reads=False) for _ in range(count)]
        run(house, clients, budget, 30.0)
        assert sorted(texts(house, clients)) == [letter + b"%d" % (1020 * KIB) for letter in LETTERS[:count]]
        assert budget.waited
        assert budget.most > HELD_LIMIT // 2


def test_answers_of_256_kib_that_are_held_at_once_commit_early_and_come_whole() -> None:
    budget = Watched()
    with House(plan_of("alpha"), held=budget) as house:
        budget.house = house
        count = budget.clients = 40
        whole = b'{"choices":[{"index":0,"message":{"content":"%b"},"finish_reason":"stop"}]}'
        big = [b"".join(answer(whole % (letter * 255 * KIB))) for letter in LETTERS[:count]]  # type: ignore[arg-type]
        house.providers["alpha"].replies = [parts(data, 20_000, 0.01) for data in big]
        clients = [ask(house, stream=False, reads=False) for _ in range(count)]
        run(house, clients, budget, 30.0)
        assert [text[1:] for text in sorted(texts(house, clients))] == [b"%d" % (255 * KIB)] * count
        assert not budget.waited
        assert budget.most > HELD_LIMIT // 4


def test_refusals_that_are_kept_while_others_are_asked_count_and_are_shortened_when_it_is_full() -> None:
    """Each provider says in 200 KiB that the prompt is too long for it; the second takes its time."""
    budget = Watched()
    with House(plan_of("alpha", "beta"), held=budget) as house:
        budget.house = house
        count = budget.clients = 30
        too_long = b'{"error":{"code":"context_length_exceeded","message":"too long","padding":"%b"}}' % (
            b"x" * 200 * KIB
        )
        house.providers["alpha"].replies = [answer(too_long, 400)]
        house.providers["beta"].replies = [[5.0, *answer(too_long, 400)]]
        clients = [ask(house, stream=False) for _ in range(count)]
        house.advance(2)
        assert 0 < budget.total <= HELD_LIMIT
        assert len(house.relays) == count
        house.advance(10)
        answers = [client.response for client in clients]
        assert {one.status for one in answers} == {400}
        assert all(one.whole for one in answers)
        assert {one.json()["error"]["code"] for one in answers} == {"context_length_exceeded"}
        assert budget.total == 0


def test_a_refusal_does_not_count_any_more_when_another_target_has_begun_to_answer() -> None:
    budget = Watched()
    with House(plan_of("alpha", "beta"), held=budget) as house:
        budget.house, budget.clients = house, 1
        too_long = b'{"error":{"code":"context_length_exceeded"},"x":"%b"}' % (b"x" * 9 * KIB)
        house.providers["alpha"].replies = [answer(too_long, 400)]
        house.providers["beta"].replies = [stream(5.0, token("a"), 5.0, token("b"))]
        client = ask(house)
        house.advance(2)
        assert budget.total > 9 * KIB
        house.advance(5)
        assert client.response.status == 200
        assert budget.total == 0


def heavy(status: bytes = b"200 OK", kind: bytes = b"text/event-stream") -> bytes:
    """A chunked head of 60 KiB of fields that are passed on."""
    lines = [b"HTTP/1.1 " + status, b"content-type: " + kind, b"transfer-encoding: chunked"]
    lines += [b"openai-field-%d: %b" % (number, b"x" * KIB) for number in range(60)]
    return b"\r\n".join([*lines, b"", b""])


def test_large_heads_that_come_in_part_are_read_one_after_another_and_counted_until_content_goes_out() -> None:
    budget = Watched()
    with House(plan_of("alpha"), held=budget) as house:
        budget.house = house
        count = budget.clients = 40
        slow = [*parts(heavy(), 20_000, 0.1), 0.5, *stream(token("a"))[1:]]
        house.providers["alpha"].replies = [slow]
        clients = [ask(house, reads=False) for _ in range(count)]
        run(house, clients, budget, 60.0)
        assert texts(house, clients) == [b"a1"] * count
        assert budget.waited
        assert budget.most > HELD_LIMIT // 4


@pytest.mark.parametrize(
    ("streams", "head", "body"),
    [
        (True, heavy(), stream(token("a"))[1:]),
        (False, heavy(kind=b"application/json"), [chunk(b"{"), 5.0, "reset"]),
        (False, heavy(b"500 Oh"), [chunk(b" "), 1.0, chunk(b" "), 5.0, "reset"]),
    ],
    ids=["stream", "plain", "error"],
)
def test_what_is_kept_of_a_large_head_counts(streams: bool, head: bytes, body: list[Step]) -> None:
    budget = Watched()
    with House(plan_of("alpha"), held=budget) as house:
        budget.house, budget.clients = house, 1
        house.providers["alpha"].replies = [[head, 1.0, *body]]
        ask(house, stream=streams)
        house.advance(0.5)
        assert budget.total > 50 * KIB
        house.advance(30)
        assert (budget.total, house.relays) == (0, [])


def test_the_fields_of_a_refusal_that_is_kept_count() -> None:
    budget = Watched()
    with House(plan_of("alpha", "beta"), held=budget) as house:
        budget.house, budget.clients = house, 1
        too_long = b'{"error":{"code":"context_length_exceeded"}}'
        house.providers["alpha"].replies = [[heavy(b"400 No"), chunk(too_long), LAST_CHUNK]]
        house.providers["beta"].replies = [stream(5.0, token("a"))]
        ask(house)
        house.advance(2)
        assert budget.total > 50 * KIB


def test_streams_that_are_held_back_commit_early_when_it_is_full_and_come_whole() -> None:
    budget = Watched()
    with House(held_back(plan_of("alpha", "beta")), held=budget) as house:
        budget.house = house
        count = budget.clients = 40
        tokens = [[token((letter * 10 * KIB).decode()) for _ in range(20)] for letter in LETTERS[:count]]
        steps = [stream(*[step for event in events for step in (event, 0.01)]) for events in tokens]
        house.providers["alpha"].replies = list(steps)
        clients = [ask(house) for _ in range(count)]
        run(house, clients, budget, 10.0)
        assert all(client.response.whole for client in clients)
        assert sorted(client.response.body.count(b"A" * KIB) for client in clients) == [0] * (count - 1) + [200]
        assert budget.most > HELD_LIMIT // 4


def test_small_events_go_on_while_it_is_full() -> None:
    budget = Watched()
    with House(plan_of("alpha"), held=budget) as house:
        budget.house = house
        budget.clients = 41
        big = b"".join(stream(token("A" * 900 * KIB)))  # type: ignore[arg-type]
        small = stream(*[step for _ in range(100) for step in (token("b" * 500), 0.05)])
        house.providers["alpha"].replies = [[big[: 60 * KIB]]] * 40 + [small]
        for _ in range(40):
            ask(house)
        client = ask(house)
        house.advance(3.0)
        assert budget.full
        assert client.received.count(b"b" * 500) > 50


def test_whoever_leaves_a_full_house_gives_everything_back() -> None:
    budget = Watched()
    with House(held_back(plan_of("alpha", "beta")), held=budget) as house:
        budget.house = house
        count = budget.clients = 40
        big = b"".join(stream(token("A" * 900 * KIB)))  # type: ignore[arg-type]
        house.providers["alpha"].replies = [[big[: 60 * KIB], 2.0, "reset"], [big[: 60 * KIB]], [big, 5.0]] * 20
        clients = [ask(house, reads=number % 3 > 0) for number in range(count)]
        house.advance(1.0)
        assert budget.contended
        for number, client in enumerate(clients):
            if number % 2:
                client.transport.reset()
        house.advance(3.0)
        for relay in tuple(house.runtime.relays):
            relay.expire()
        house.server.close_all()
        house.advance(70.0)
        assert house.server.connections == 0
        assert (budget.total, budget.full, budget.contended) == (0, False, False)


def test_what_came_behind_a_whole_answer_is_counted_no_more_when_its_provider_breaks_off() -> None:
    with House(plan_of("alpha")) as house:
        half = b'data: {"choices":[],"x":"' + b"y" * 5000
        house.providers["alpha"].replies = [[EVENT_STREAM, token("a"), chunk(FINISH), 0.1, chunk(half), 0.1, "reset"]]
        client = house.chat(stream=True)
        house.advance(1)
        assert client.response.whole
        assert (house.runtime.held.total, house.relays) == (0, [])

"""Each row of a client connection's table is walked, by what a client or a service does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from oxllm.cli.built import built
from oxllm.gateway.client import turns
from oxllm.gateway.client.states import (
    BODY,
    BODY_DUE,
    CLOSE,
    CUT_SHORT,
    DONE,
    GOODBYE,
    HEAD,
    HEAD_BEGUN,
    IDLE,
    LINGERING,
    NEW,
    NO_ROOM,
    SERVING,
    SKIPPING,
    TABLE,
    WAITING,
    WHOLE,
    ConnectionEvent,
    ConnectionState,
)
from tests.support.client_side import Bench, Client, get, post
from tests.support.noted import Noted

KIB = 1024
Row = tuple[ConnectionState, ConnectionEvent]
Act = Callable[[Bench, Client], object]


def sends(data: bytes) -> Act:
    return lambda bench, client: client.send(data)


def answers(bench: Bench, client: Client) -> None:
    bench.service.served[-1].respond(200, [], b"ok")
    bench.clock.settle()


def waits(seconds: float) -> Act:
    return lambda bench, client: bench.advance(seconds)


def leaves(bench: Bench, client: Client) -> None:
    client.half_close()


def keeps_waiting(bench: Bench, client: Client) -> None:
    bench.service.keep_waiting()


def refuses(bench: Bench, client: Client) -> None:
    bench.service.on_head = lambda request: request.respond(401, [], b"no")


def begins(bench: Bench, client: Client) -> None:
    """The service answers before the body is there, and takes its time."""
    bench.service.on_head = lambda request: request.begin(401, [], 2)


def ends(bench: Bench, client: Client) -> None:
    bench.service.heads[-1].write(b"no")
    bench.service.heads[-1].end()
    bench.clock.settle()


def takes_all_room(bench: Bench, client: Client) -> None:
    """Two others are served whose bodies fill the memory for them."""
    bench.bodies.limit = 30 * KIB
    bench.service.on_head = lambda request: setattr(request, "in_flight", True)
    bench.service.keep_waiting()
    for _ in range(2):
        bench.client().send(WHOLE_BODY)


def gives_room(bench: Bench, client: Client) -> None:
    for request in bench.service.served:
        request.release()


PART = post(b"hello")[:-2]
WHOLE_BODY = post(b"x" * 14 * KIB)
HALF_A_BODY = WHOLE_BODY[: 7 * KIB]
LONG = post(b"x" * 100 * KIB)[:KIB]

ROWS: dict[Row, list[Act]] = {
    (NEW, HEAD_BEGUN): [sends(b"GET")],
    (NEW, BODY_DUE): [sends(PART)],
    (NEW, WHOLE): [sends(get())],
    (NEW, CUT_SHORT): [sends(b"\0")],
    (NEW, CLOSE): [waits(21)],
    (IDLE, HEAD_BEGUN): [sends(get()), sends(b"GET")],
    (IDLE, BODY_DUE): [sends(get()), sends(PART)],
    (IDLE, WHOLE): [sends(get()), sends(get())],
    (IDLE, CUT_SHORT): [sends(get()), sends(b"\0")],
    (IDLE, CLOSE): [sends(get()), waits(76)],
    (HEAD, BODY_DUE): [sends(PART[:9]), sends(PART[9:])],
    (HEAD, WHOLE): [sends(get()[:9]), sends(get()[9:])],
    (HEAD, CUT_SHORT): [sends(b"GET"), waits(21)],
    (HEAD, CLOSE): [sends(b"GET"), leaves],
    (BODY, WHOLE): [sends(PART), sends(b"lo")],
    (BODY, NO_ROOM): [takes_all_room, sends(HALF_A_BODY)],
    (BODY, CUT_SHORT): [sends(PART), waits(21)],
    (BODY, CLOSE): [sends(PART), leaves],
    (WAITING, BODY_DUE): [takes_all_room, sends(HALF_A_BODY), gives_room],
    (WAITING, WHOLE): [takes_all_room, sends(WHOLE_BODY), gives_room],
    (WAITING, CUT_SHORT): [takes_all_room, sends(HALF_A_BODY), waits(6)],
    (WAITING, CLOSE): [takes_all_room, sends(HALF_A_BODY), leaves],
    (SERVING, NO_ROOM): [takes_all_room, sends(WHOLE_BODY)],
    (SERVING, DONE): [sends(get())],
    (SERVING, GOODBYE): [keeps_waiting, sends(get()), lambda bench, client: bench.drain(), answers],
    (SERVING, CLOSE): [keeps_waiting, sends(get()), leaves],
    (SKIPPING, WHOLE): [begins, sends(PART), sends(b"lo")],
    (SKIPPING, DONE): [refuses, sends(PART), sends(b"lo")],
    (SKIPPING, GOODBYE): [refuses, sends(LONG)],
    (SKIPPING, CLOSE): [refuses, sends(PART), waits(21)],
    (LINGERING, CLOSE): [refuses, sends(LONG), waits(3)],
}


def test_each_row_has_its_scene() -> None:
    assert ROWS.keys() == TABLE.rows.keys()


@pytest.mark.skipif(built() == "compiled", reason="the moves are seen by a patch, which compiled code calls past")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0].value}, {row[1].name.lower()}")
def test_a_row_is_walked(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    noted = Noted(TABLE)
    bench = Bench()
    client = bench.client()
    monkeypatch.setattr(turns, "TABLE", noted)
    for act in ROWS[row]:
        noted.used.clear()
        act(bench, client)
        bench.clock.settle()
        client.pump()
    assert row in noted.used

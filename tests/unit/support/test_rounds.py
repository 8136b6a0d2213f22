"""The driver of rounds must notice what comes wrong, or a green soak test says nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.support import provider, rounds
from tests.support.rounds import Ask, Driver, WrongAnswerError
from tests.support.wire import chat_body, plain_answer, play

PLAIN = f"200 whole {re.escape(plain_answer(20).decode())}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Driver]]:
    directory = tmp_path_factory.mktemp("rounds")
    with provider.running(directory) as port, rounds.running(directory) as driver:
        yield port, driver


def post(path: str, prompt: str = "", stream: bool = False) -> tuple[str]:
    body = chat_body(prompt, model="m", stream=stream).decode()
    return (f"POST {path}/chat/completions HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n{body}",)


@pytest.mark.parametrize("fresh", [False, True])
def test_each_right_answer_counts_round_after_round(world: tuple[int, Driver], fresh: bool) -> None:
    port, driver = world
    ask = Ask(port=port, requests=post("/v1"), answer=PLAIN, fresh=fresh)
    driver.run(ask, 100)
    driver.run(ask, 7)
    driver.rest()


@pytest.mark.parametrize(
    ("path", "answer"), [("/v1", PLAIN.replace("xx", "xy", 1)), ("/v1", "200 whole "), ("/limited/v1", "200 .*")]
)
def test_another_answer_is_a_failure_that_is_shown(world: tuple[int, Driver], path: str, answer: str) -> None:
    port, driver = world
    with pytest.raises(WrongAnswerError, match="0 of 3 were right"):
        driver.run(Ask(port=port, requests=post(path), answer=answer), 3)


def test_a_cut_stream_is_not_a_whole_one(world: tuple[int, Driver]) -> None:
    port, driver = world
    requests = post("/cut/v1", play(3, 0, 0), stream=True)
    driver.run(Ask(port=port, requests=requests, answer="200 cut data:.*000002.*"), 40)
    with pytest.raises(WrongAnswerError, match="200 cut"):
        driver.run(Ask(port=port, requests=requests, answer="200 whole .*"), 1)


def test_a_client_that_leaves_does_not_wait_for_the_rest(world: tuple[int, Driver]) -> None:
    port, driver = world
    requests = post("/v1", play(1000, 60, 0), stream=True)
    driver.run(Ask(port=port, requests=requests, answer="200 cut .*000000.*", leave=True), 40)


def test_who_answers_and_closes_is_asked_again_on_a_new_connection(world: tuple[int, Driver]) -> None:
    port, driver = world
    driver.run(Ask(port=port, requests=post("/close/v1"), answer=PLAIN, fresh=True), 40)


def test_a_port_where_nobody_listens_is_a_failure(world: tuple[int, Driver]) -> None:
    _, driver = world
    with pytest.raises(WrongAnswerError, match="connect: "):
        driver.run(Ask(port=1, requests=post("/v1"), answer=PLAIN), 2)

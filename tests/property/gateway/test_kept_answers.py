"""An answer's id never reaches a provider that did not make it, while it is known who did."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec
from hypothesis import event, given
from hypothesis import strategies as st

from oxllm import plan as plans
from tests.property.effort import examples
from tests.support.house import House, Response, Script, answer, plan_of
from tests.support.responses_api import response
from tests.support.scripted import Step

NAMES = ("alpha", "beta", "gamma")


class Keeper(Script):
    """A provider that keeps the answers it makes, and notes each id that it is asked about and did not make."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.made: set[str] = set()
        self.foreign: list[str] = []
        self.failing = False

    def next(self) -> Sequence[Step]:
        head, _, body = self.asked[-1].partition(b"\r\n\r\n")
        method, path = head.split(b" ")[:2]
        about = path.decode().split("/")[3] if path.count(b"/") > 2 else json.loads(body).get("previous_response_id")
        if about is not None and about not in self.made:
            self.foreign.append(about)
            return answer(b'{"error":{"message":"Response not found"}}', 404)
        if self.failing:
            return answer(b"{}", 529)
        id = about
        if method == b"POST" and path == b"/v1/responses":
            id = f"resp_{self.name}_{len(self.made)}"
            self.made.add(id)
        return answer(json.dumps(response(id=id)).encode())


def plan() -> plans.Plan:
    base = plan_of(*NAMES)
    providers = tuple(msgspec.structs.replace(one, protocols=("responses",)) for one in base.providers)
    return msgspec.structs.replace(base, providers=providers)


def settled(house: House, method: str, path: str, body: bytes = b"") -> Response:
    client = house.client()
    head = f"{method} {path} HTTP/1.1\r\nhost: localhost:8080\r\ncontent-length: {len(body)}\r\n\r\n"
    client.send(head.encode() + body)
    house.advance(0.5)
    return client.response


KINDS = [
    "create",
    "continue",
    "get",
    "delete",
    "cancel",
    "items",
    "fail",
    "heal",
    "offline",
    "online",
    "reload",
    "wait",
]
OPS = st.lists(st.tuples(st.sampled_from([*KINDS, "create", "continue"]), st.integers(0, 20)), max_size=25)


@given(OPS)
@examples(60)
def test_an_id_reaches_only_who_made_it(ops: list[tuple[str, int]]) -> None:
    with House(plan()) as house:
        keepers = {name: Keeper(name) for name in NAMES}
        house.providers.update(keepers)
        ids: list[str] = []
        for kind, number in ops:
            id = ids[number % len(ids)] if ids else None
            one = NAMES[number % 3]
            router = house.generation.router
            match kind:
                case "create" | "continue":
                    previous = {"previous_response_id": id} if kind == "continue" and id else {}
                    body = json.dumps({"model": "smart", "input": "Hi", **previous}).encode()
                    got = settled(house, "POST", "/v1/responses", body)
                    ids += [got.json()["id"]] if got.status == 200 else []
                case "get" | "delete" | "cancel" | "items" if id:
                    method = {"delete": "DELETE", "cancel": "POST"}.get(kind, "GET")
                    tail = {"cancel": "/cancel", "items": "/input_items"}.get(kind, "")
                    got = settled(house, method, f"/v1/responses/{id}{tail}")
                    assert got.status in (200, 503), got
                    assert got.status == 503 or got.json()["id"] == id
                case "fail" | "heal":
                    keepers[one].failing = kind == "fail"
                case "offline":
                    router.offline(one)
                case "online":
                    router.online(one)
                case "reload":
                    house.gateway.adopt(plan())
                case "wait":
                    house.advance(float(number))
        event(f"{len(ids)} answers of {len({id.split('_')[1] for id in ids})} providers")
        assert {name: keeper.foreign for name, keeper in keepers.items() if keeper.foreign} == {}


@given(st.lists(st.sampled_from(["get", "items", "cancel", "delete"]), min_size=1, max_size=6), st.integers(0, 3))
@examples(30)
def test_an_id_that_nobody_remembers_moves_no_breaker_and_no_mark(kinds: list[str], at: int) -> None:
    """`at`: who made it; 3 is nobody. Each is asked for twice, if there are as many questions."""
    with House(plan()) as house:
        keepers = {name: Keeper(name) for name in NAMES}
        house.providers.update(keepers)
        for number, kind in enumerate(kinds):
            id = f"resp_{number // 2}"
            if at < 3:
                keepers[NAMES[at]].made.add(id)
            method = {"delete": "DELETE", "cancel": "POST"}.get(kind, "GET")
            tail = {"cancel": "/cancel", "items": "/input_items"}.get(kind, "")
            assert settled(house, method, f"/v1/responses/{id}{tail}").status == (200 if at < 3 else 404)
        assert house.untouched()
        assert [one.in_flight for one in house.generation.router.providers.values()] == [0] * 3
        vain = (len(kinds) + 1) // 2 if at < 3 else len(kinds)
        assert [len(keeper.foreign) for keeper in keepers.values()] == [vain * (n < at) for n in range(3)]


FOREIGN = [
    {"code": "invalid_encrypted_content", "message": "The encrypted content gAAA could not be verified."},
    {"code": "previous_response_not_found", "message": "Previous response with id 'resp_x' not found."},
    {"code": None, "message": "Item with id 'rs_68' not found. Items are not persisted when `store` is set to false."},
    {"code": None, "message": "Item 'rs_68' of type 'reasoning' was not found.", "param": "input"},
]


@given(st.lists(st.tuples(st.sampled_from(FOREIGN), st.sets(st.sampled_from(NAMES))), min_size=1, max_size=8))
@examples(40)
def test_what_another_provider_sealed_moves_no_breaker_and_no_mark(asks: list[tuple[dict[str, str], set[str]]]) -> None:
    """Each request is refused by some of them."""
    with House(plan()) as house:
        body = json.dumps({"model": "smart", "input": [{"type": "reasoning", "id": "rs_68"}]}).encode()
        for error, refusing in asks:
            refusal = answer(json.dumps({"error": {"type": "invalid_request_error", **error}}).encode(), 400)
            for name, script in house.providers.items():
                script.replies = [refusal if name in refusing else answer(json.dumps(response()).encode())]
            got = settled(house, "POST", "/v1/responses", body)
            able = [name for name in NAMES if name not in refusing]
            assert got.headers["x-oxllm-provider"] == (able[0] if able else NAMES[-1])
            assert got.status == 200 if able else got.json()["error"]["message"] == error["message"]
        assert house.untouched()

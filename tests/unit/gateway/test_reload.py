"""Reload: with the real compiler, or a child that misbehaves."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from oxllm import __version__
from oxllm import plan as plans
from oxllm.gateway import reload, systemd
from oxllm.gateway.difference import Diff, diff
from oxllm.gateway.life import SIGNAL
from oxllm.gateway.reload import COMPILE, Reloader, Result
from oxllm.gateway.runtime import Generation
from tests.support.house import WHOLE, House, answer, chat_request, plan_of, stream, token

CONFIG = """\
[[providers]]
name = "alpha"
base_url = "http://127.0.0.1:9000/v1"
api_key = "${ALPHA_KEY}"
models = ["m"]
[virtual_models]
smart = [{ provider = "alpha", model = "m" }]
"""
ENV = {"ALPHA_KEY": "sk-secret-alpha"}


def script(text: str) -> tuple[str, ...]:
    """A child of this text in the place of the compiler."""
    return (sys.executable, "-c", text)


class Scene:
    """A house whose plan came from a file, on a loop with a real clock, since the child has one too."""

    def __init__(self, house: House, tmp_path: Path, command: tuple[str, ...] = COMPILE) -> None:
        self.file = tmp_path / "config.toml"
        self.file.write_text(CONFIG)
        self.house = house
        self.adopted: list[plans.Plan] = []
        house.runtime.adopt(msgspec.structs.replace(house.generation.plan, source=str(self.file)))
        self.loop = asyncio.new_event_loop()
        counts = house.gateway.vitals.reloads
        life = house.gateway.life
        if Path(command[0]).exists():
            command = ("/bin/sh", "-c", 'echo $$ >> "$0"; exec "$@"', str(tmp_path / "children"), *command)
        self.reloader = Reloader(self.loop, house.log, counts, life, house.gateway.running, self.adopt, ENV, command)
        self.results: list[Result] = []
        self._children = tmp_path / "children"

    @property
    def children(self) -> list[int]:
        """The process ids of all that have read the config, or read it now."""
        return [int(line) for line in self._children.read_text().split()] if self._children.exists() else []

    async def begun(self) -> None:
        """Wait for the first of them."""
        while not self.children and not self.results:
            await asyncio.sleep(0.001)

    def adopt(self, plan: plans.Plan) -> None:
        self.adopted.append(plan)
        self.house.gateway.adopt(plan)

    def run(self, *dry_runs: bool) -> list[Result]:
        """Ask for that many, all but the first while that one is under way, and wait for all."""

        async def wait() -> None:
            for number, dry_run in enumerate(dry_runs):
                self.reloader.start(dry_run, self.results.append)
                if number == 0:
                    await self.begun()
            while len(self.results) < len(dry_runs):
                await asyncio.sleep(0.005)

        self.results = []
        try:
            self.loop.run_until_complete(wait())
        finally:
            self.reloader.close()
        return self.results

    def close(self) -> None:
        self.loop.close()


@pytest.fixture
def scene(tmp_path: Path, request: pytest.FixtureRequest) -> Any:
    with House(plan_of("alpha")) as house:
        scene = Scene(house, tmp_path, getattr(request, "param", COMPILE))
        yield scene
        scene.close()


def test_a_changed_config_is_taken_on_and_the_diff_says_what(scene: Scene) -> None:
    scene.file.write_text(CONFIG + 'fast = [{ provider = "alpha", model = "m" }]\n[retry]\nmax_attempts = 2\n')
    (result,) = scene.run(False)
    assert result.ok
    assert "virtual model fast" in result.diff.added
    assert "retry.max_attempts 6 -> 2" in result.diff.changed
    assert scene.house.generation.plan.retry.max_attempts == 2
    assert scene.adopted == [scene.house.generation.plan]
    assert scene.house.gateway.vitals.reloads == {"success": 1, "refused": 0}
    assert "reload: added virtual model fast; changed" in scene.house.log_text()


def test_the_environment_is_the_one_of_the_start(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALPHA_KEY", "sk-of-another-time")
    assert scene.run(False)[0].ok
    assert scene.house.generation.plan.providers[0].api_key == "sk-secret-alpha"


def test_a_new_variable_is_said_to_need_a_restart(scene: Scene) -> None:
    scene.file.write_text(CONFIG.replace("ALPHA_KEY", "NEW_KEY") + "[retry]\nmax_attempts = 0\n")
    (result,) = scene.run(False)
    missing, other = result.errors
    assert "the environment variable NEW_KEY is not set" in missing.text
    assert missing.text.endswith(
        "; a reload has the environment that `serve` was started with: a new variable needs a restart"
    )
    assert "restart" not in other.text


def test_a_dry_run_changes_nothing(scene: Scene) -> None:
    before = scene.house.generation
    scene.file.write_text(CONFIG + "[retry]\nmax_attempts = 2\n")
    (result,) = scene.run(True)
    assert (result.ok, result.dry_run) == (True, True)
    assert "retry.max_attempts 6 -> 2" in result.diff.changed
    assert scene.house.generation is before
    assert scene.adopted == []
    assert scene.house.log_text() == ""


def test_a_refused_config_keeps_the_running_one_and_lists_every_error_with_its_line(scene: Scene) -> None:
    before = scene.house.generation
    scene.file.write_text(CONFIG + "[server]\nprot = 1\n[retry]\nmax_attempts = 0\n")
    (result,) = scene.run(False)
    assert not result.ok
    assert [error.line for error in result.errors] == [9, 11]
    assert result.errors[0].text.startswith(f"{scene.file}:9: ")
    assert scene.house.generation is before
    assert scene.house.gateway.vitals.reloads == {"success": 0, "refused": 1}
    assert "refused, the running config stays: 2 errors" in scene.house.log_text()
    assert "server.prot" in scene.house.log_text()


def test_a_missing_file_is_refused(scene: Scene) -> None:
    scene.file.unlink()
    assert "cannot be read" in scene.run(False)[0].errors[0].text


@pytest.mark.parametrize(
    ("scene", "why"),
    [
        (script("import os; os.kill(os.getpid(), 9)"), "died (signal 9)"),
        (script("raise SystemExit(7)"), "died (exit status 7)"),
        (script("print('{}x')"), "cannot be read"),
        (script("print('[]'); raise SystemExit(1)"), "cannot be read"),
        (script(""), "cannot be read"),
        (script("print('{\"format\": 99}')"), "cannot be read: has another oxllm been installed? It needs a restart"),
        (("/nowhere/python",), "does not start: No such file"),
    ],
    indirect=["scene"],
)
def test_a_child_that_dies_or_babbles_is_refused(scene: Scene, why: str) -> None:
    (result,) = scene.run(False)
    assert why in result.errors[0].text
    assert scene.adopted == []


@pytest.mark.parametrize("scene", [script("import time; time.sleep(60)")], indirect=True)
def test_a_child_that_hangs_is_killed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "LIMIT_S", 0.2)
    assert scene.run(False)[0].errors[0].text == "checking the config took over 0 s"


COUNTING = """
import os, sys, time
busy = sys.argv[1] + ".busy"
os.close(os.open(busy, os.O_CREAT | os.O_EXCL))
time.sleep(0.1)
os.unlink(busy)
sys.exit(7)
"""


def test_a_child_that_does_not_die_stops_nobody(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one in a file system that hangs: neither SIGKILL nor a wait ends it."""
    monkeypatch.setattr(reload, "DIES_S", 0.1)
    real = subprocess.Popen.poll
    immortal = [True]
    monkeypatch.setattr(subprocess.Popen, "poll", lambda self: None if immortal[0] else real(self))
    monkeypatch.setattr(subprocess.Popen, "wait", lambda self, timeout=None: pytest.fail("it would wait for ever"))
    turns = [0]

    def turn() -> None:
        turns[0] += 1
        scene.loop.call_later(0.005, turn)

    scene.loop.call_soon(turn)
    (result,) = scene.run(False)
    assert "cannot be ended" in result.errors[0].text
    assert turns[0] > 10, "the loop has gone on"
    immortal[0] = False
    monkeypatch.undo()
    assert scene.run(False)[0].ok


def test_a_bug_in_a_reload_is_told_to_whoever_waits(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "diff", lambda *_: 1 / 0)
    told: list[str] = []
    scene.loop.set_exception_handler(lambda loop, context: told.append(type(context["exception"]).__name__))
    (result,) = scene.run(False)
    assert "internal error" in result.errors[0].text
    assert told == ["ZeroDivisionError"]


def wrong(result: Result) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize("scene", [script("")], indirect=True)
def test_a_fault_of_whoever_is_told_keeps_no_other_from_being_told_nor_from_the_next_one(scene: Scene) -> None:
    faults: list[str] = []
    scene.loop.set_exception_handler(lambda loop, context: faults.append(type(context["exception"]).__name__))
    for dry_run in (True, False):
        scene.loop.call_soon(scene.reloader.start, dry_run, wrong)
    assert len(scene.run(True, False)) == 2
    assert faults == ["ZeroDivisionError"] * 2
    assert len(scene.run(False)) == 1


@pytest.mark.parametrize("scene", [script(COUNTING)], indirect=True)
def test_of_two_reloads_at_once_the_second_waits(scene: Scene) -> None:
    # A child that finds another one at work exits 1 with a traceback instead of 7.
    assert ["exit status 7" in result.errors[0].text for result in scene.run(False, True, False)] == [True] * 3


TALLY = """
import sys, time
with open(sys.argv[1] + ".tally", "a") as tally:
    tally.write("x")
time.sleep(0.1)
sys.exit(7)
"""


@pytest.mark.parametrize("scene", [script(TALLY)], indirect=True)
def test_a_storm_of_reloads_reads_the_file_twice_and_tells_everybody(scene: Scene) -> None:
    """Those that wait for the first have not read the file yet: for all of them one reading is enough."""
    assert len(scene.run(*[False] * 200)) == 200
    assert scene.file.with_suffix(".toml.tally").read_text() == "xx"
    assert scene.house.gateway.vitals.reloads == {"success": 0, "refused": 2}


@pytest.mark.parametrize("scene", [script(TALLY)], indirect=True)
def test_a_dry_run_does_not_stand_in_for_a_reload(scene: Scene) -> None:
    results = scene.run(False, True, False, True)
    assert sorted(result.dry_run for result in results) == [False, False, True, True]
    assert scene.file.with_suffix(".toml.tally").read_text() == "xxx"


def test_a_gateway_that_stops_reads_no_other_config(scene: Scene) -> None:
    class Never:
        def signal(self) -> None:
            raise AssertionError

    scene.house.admin.reloader = Never()  # type: ignore[assignment]
    scene.house.gateway.life.move(SIGNAL)
    scene.house.admin.hang_up()
    assert "reload: not read again, since the gateway is stopping" in scene.house.log_text()


PATIENT = """
import os, runpy, sys, time
while not os.path.exists(sys.argv[1] + ".go"):
    time.sleep(0.001)
runpy.run_module("oxllm.config.compile", run_name="__main__")
"""


@pytest.mark.parametrize("scene", [script(PATIENT)], indirect=True)
def test_a_gateway_that_is_told_to_stop_meanwhile_takes_on_nothing_and_begins_nothing(scene: Scene) -> None:
    before = scene.house.generation

    async def stop_meanwhile() -> None:
        scene.reloader.start(False, scene.results.append)
        await scene.begun()
        scene.reloader.start(False, scene.results.append)
        scene.reloader.start(True, scene.results.append)
        scene.house.gateway.life.move(SIGNAL)
        scene.file.with_suffix(".toml.go").touch()
        while len(scene.results) < 3:
            await asyncio.sleep(0.001)

    scene.loop.run_until_complete(stop_meanwhile())
    assert len(scene.children) == 1, "one that waited has begun"
    assert [[error.text for error in result.errors] for result in scene.results] == [["the gateway is stopping"]] * 3
    assert scene.adopted == []
    assert scene.house.generation is before


def test_systemd_is_not_told_that_a_gateway_is_ready_which_was_told_to_stop(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        scene.house.gateway.life.move(SIGNAL)
        scene.run(False)
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.recv(200)


@pytest.mark.parametrize("scene", [script("import time; time.sleep(60)")], indirect=True)
def test_no_child_is_left_when_the_process_ends(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "CLOSE_S", 60.0)  # on a busy machine, dying takes its time

    async def begin_and_close() -> None:
        scene.reloader.start(False, scene.results.append)
        await scene.begun()
        (child,) = scene.children
        os.kill(child, 0)
        scene.reloader.close()
        with pytest.raises(ProcessLookupError):  # it has been waited for, too
            os.kill(child, 0)
        for _ in range(3):
            await asyncio.sleep(0)  # what waited for it is cancelled

    scene.loop.run_until_complete(begin_and_close())


def test_the_demo_has_no_file_to_read(scene: Scene) -> None:
    scene.house.runtime.adopt(plan_of("alpha"))
    assert "--demo" in scene.run(False)[0].errors[0].text


def test_systemd_is_told_that_it_reloads_and_that_it_is_ready_also_when_refused(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(1)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        scene.file.write_text("garbage")
        began = round(scene.loop.time(), 6) - 1e-6
        scene.run(False)
        told = [manager.recv(200).decode() for _ in range(2)]
    first, usec = told[0].split("\nMONOTONIC_USEC=")
    assert (first, told[1]) == ("RELOADING=1", "READY=1")
    assert began <= int(usec) / 1e6 <= scene.loop.time()
    assert systemd.notify.__doc__


def test_state_of_what_is_still_the_same_survives(scene: Scene) -> None:
    router = scene.house.generation.router
    state = router.providers["alpha"]
    router.offline("alpha")
    scene.file.write_text(CONFIG + "[breaker]\nfailures = 9\n")
    assert scene.run(False)[0].ok
    new = scene.house.generation.router
    assert new is not router
    assert new.providers["alpha"] is state
    assert not state.breaker.closed
    assert state.breaker.settings.failures == 9


# Generations.


def generations() -> list[Generation]:
    gc.collect()
    return [thing for thing in gc.get_objects() if isinstance(thing, Generation)]


@pytest.mark.slow
def test_a_generation_lives_until_its_last_request_has_content() -> None:
    before = len(generations())
    with House(plan_of("alpha")) as house:
        house.providers["alpha"].replies = [stream(2.0, token("a"), 5.0, token("b")), answer(WHOLE)]
        under_way = house.chat(stream=True)
        for number in range(5):
            house.runtime.adopt(plan_of("alpha", max_in_flight=10 + number))
            assert house.chat().response.status == 200
        assert len(generations()) - before == 2, "the stream's and the present one"
        house.advance(3)
        assert not under_way.response.whole
        assert len(generations()) - before == 1
        house.advance(5)
        assert under_way.response.whole


@pytest.mark.parametrize(
    ("changed", "then"),
    [
        (plan_of("beta"), 200),
        (plan_of("alpha", max_body_bytes=10), 413),
        (plan_of("alpha", api_keys=("k",)), 401),
    ],
    ids=["the provider is gone", "no body may be as large", "a key is needed"],
)
def test_a_request_whose_body_is_still_coming_is_served_by_the_config_that_it_began_with(
    changed: plans.Plan, then: int
) -> None:
    with House(plan_of("alpha")) as house:
        request = chat_request()
        client = house.client().send(request[:-10])
        house.gateway.adopt(changed)
        client.send(request[-10:])
        house.settle()
        assert (client.response.status, client.response.headers.get("x-oxllm-provider")) == (200, "alpha")
        assert house.chat().response.status == then


def test_a_provider_that_is_removed_while_in_use_finishes_and_its_connection_closes() -> None:
    plan = plan_of("alpha", "beta")
    (smart,) = plan.virtual_models
    smart = msgspec.structs.replace(smart, targets=smart.targets[1:])
    with House(plan) as house:
        house.providers["alpha"].replies = [stream(token("a"), 5.0, token("b"))]
        under_way = house.chat(stream=True)
        house.runtime.adopt(msgspec.structs.replace(plan, providers=plan.providers[1:], virtual_models=(smart,)))
        assert house.chat().response.headers["x-oxllm-provider"] == "beta"
        house.advance(6)
        assert under_way.response.whole
        assert house.providers["alpha"].connections == 0
        assert house.providers["beta"].connections == 1


# Over HTTP.


def test_over_http_the_diff_or_the_errors_are_json(scene: Scene) -> None:
    house = scene.house

    def over_http(result: Result) -> Any:
        class Canned:
            def start(self, dry_run: bool, done: Any) -> None:
                assert dry_run
                done(result)

        house.admin.reloader = Canned()  # type: ignore[assignment]
        return house.ask("POST", "/reload?dry_run=1")

    good = over_http(Result(True, True, diff=Diff(added=["provider x"])))
    assert good.status == 200
    assert good.json()["diff"] == {"added": ["provider x"], "removed": [], "changed": [], "restart": []}
    bad = over_http(Result(False, True, [reload.Error("c.toml:2: error: a"), reload.Error("c.toml:3: error: b")]))
    assert (bad.status, bad.json()["ok"]) == (400, False)
    assert [error["text"] for error in bad.json()["errors"]] == ["c.toml:2: error: a", "c.toml:3: error: b"]
    assert bad.json()["error"]["code"] == "config_refused"
    assert house.get("/reload").status == 405


# The diff.


def test_the_same_plan_again_is_no_difference() -> None:
    plan = plan_of("alpha", "beta")
    assert diff(plan, plan, plan.server) == Diff()
    assert str(Diff()) == "nothing changed"


def test_a_diff_shows_numbers_and_of_texts_only_the_names() -> None:
    old, new = plan_of("alpha", "beta"), plan_of("alpha", "gamma", port=1, api_keys=("client-secret",), max_in_flight=3)
    alpha = msgspec.structs.replace(
        new.providers[0], api_key="sk-new-secret", host="h", port=1, timeouts=plans.Timeouts(1)
    )
    new = msgspec.structs.replace(new, providers=(alpha, new.providers[1]), request=5.0)
    found = diff(old, new, old.server)
    assert found == Diff(
        added=["provider gamma"],
        removed=["provider beta"],
        changed=[
            "provider alpha (base_url, api_key, timeouts.connect 5 -> 1)",
            "virtual model smart (+ gamma/m, - beta/m)",
            "server.api_keys",
            "server.max_in_flight 2048 -> 3",
            "timeouts.request 600 -> 5",
        ],
        restart=["port 8080 -> 1"],
    )
    assert "secret" not in str(found)


@pytest.mark.parametrize("part", [{"tls": True}, {"host": "h"}, {"port": 1}, {"path": "/v2"}])
def test_another_part_of_a_url_is_another_base_url(part: dict[str, object]) -> None:
    old = plan_of("alpha")
    new = msgspec.structs.replace(old, providers=(msgspec.structs.replace(old.providers[0], **part),))
    assert diff(old, new, old.server).changed == ["provider alpha (base_url)"]


def targets(*made: plans.Target) -> plans.Plan:
    return msgspec.structs.replace(plan_of("alpha", "beta"), virtual_models=(plans.VirtualModel("smart", made),))


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ((plans.Target("beta", "m", 1), plans.Target("alpha", "m", 2)), "alpha/m tier 1 -> 2, beta/m tier 2 -> 1"),
        ((plans.Target("alpha", "m", 1, 3), plans.Target("beta", "m", 2)), "alpha/m weight 1 -> 3"),
        (
            (plans.Target("alpha", "m", 1, 1, plans.Timeouts(idle=9.5)), plans.Target("beta", "m", 2)),
            "alpha/m timeouts.idle 60 -> 9.5",
        ),
        ((plans.Target("alpha", "m", 1),), "- beta/m"),
        ((plans.Target("alpha", "m", 1), *[plans.Target("beta", "m", 2)] * 2), "targets"),
    ],
)
def test_of_targets_a_diff_says_which(after: tuple[plans.Target, ...], words: str) -> None:
    old = targets(plans.Target("alpha", "m", 1), plans.Target("beta", "m", 2))
    assert diff(old, targets(*after), old.server).changed == [f"virtual model smart ({words})"]


def test_a_diff_speaks_of_settings_as_the_file_does() -> None:
    old, new = plan_of("alpha"), plan_of("alpha", drain_timeout=5.0, drain_delay=1.5)
    model = msgspec.structs.replace(new.virtual_models[0], request=9.0, hedge_after=2.5)
    alpha = msgspec.structs.replace(new.providers[0], max_in_flight=4, extra_body={"a": "1"}, usage_in_stream=True)
    found = diff(old, msgspec.structs.replace(new, virtual_models=(model,), providers=(alpha,)), old.server)
    assert found.changed == [
        "provider alpha (extra_body, usage_in_stream off -> on, max_in_flight none -> 4)",
        "virtual model smart (hedge_after none -> 2.5, timeouts.request 600 -> 9)",
        "server.drain_timeout_secs 30 -> 5",
        "server.drain_delay_secs 0 -> 1.5",
    ]


def test_a_reload_that_raises_the_bound_on_bodies_lets_those_in_that_wait_for_room() -> None:
    size = 4 * 2**20
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost:8080\r\ncontent-length: {size}\r\n\r\n".encode()
    with House(plan_of("alpha")) as house:
        for _ in range(2):
            house.client().send(head + b"x" * (size // 2))
        waiting = house.client().send(head + b"x" * size)
        assert house.runtime.bodies.waiting
        house.gateway.adopt(plan_of("alpha", max_buffered_bytes=32 * 2**20))
        house.advance(0.1)
        assert waiting.response.status == 400, "it is no JSON, as whoever reads it can tell"
        assert house.runtime.bodies.waiting == 0


def test_what_needs_a_restart_is_said_again_until_it_happens() -> None:
    bound, second = plan_of("alpha"), plan_of("alpha", port=9, host="::1", bind_family="ipv6", listen=("::1",))
    assert diff(second, second, bound.server) == Diff(
        restart=["host 127.0.0.1 -> ::1", "port 8080 -> 9", "bind_family ipv4 -> ipv6"]
    )


def test_after_an_upgrade_a_reload_says_that_the_old_version_runs() -> None:
    """What reads the file is the new one by then, and may know settings that the old one does not."""
    plan = plan_of("alpha")
    assert plans.decode(plans.encode(plan)).version == __version__
    newer = msgspec.structs.replace(plan, version="99.0")
    assert diff(newer, newer, plan.server) == Diff(restart=[f"oxllm {__version__} -> 99.0"])


def test_the_child_is_run_isolated() -> None:
    assert COMPILE[1:] == ("-P", "-m", "oxllm.config.compile")
    assert os.path.isabs(COMPILE[0])

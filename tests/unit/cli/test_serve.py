"""oxllm serve, up to the moment when it becomes the gateway."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import pytest

from oxllm import launch
from oxllm import plan as plans
from oxllm.cli import demo, handoff, precompile
from oxllm.cli.options import Failure
from oxllm.config.compile import SERVE_HOST, SERVE_PORT, load
from oxllm.config.listen import addresses
from oxllm.plan import Plan
from tests.unit.cli.conftest import CONFIG, Run


class Executed(BaseException):
    """What would have replaced the process."""

    def __init__(self, file: str, arguments: list[str], env: dict[str, str]) -> None:
        self.file, self.arguments, self.env = file, arguments, env


@pytest.fixture
def execve(monkeypatch: pytest.MonkeyPatch) -> list[Executed]:
    """Calls of os.execve, which end the command."""
    calls: list[Executed] = []

    def replace(file: str, arguments: list[str], env: Mapping[str, str]) -> NoReturn:
        calls.append(Executed(file, arguments, dict(env)))
        raise SystemExit(0)

    monkeypatch.setattr(os, "execve", replace)
    monkeypatch.setattr(handoff, "precompile", lambda: None)
    monkeypatch.setenv("MALLOC_ARENA_MAX", "")  # restored after the test
    monkeypatch.setenv("PYTHONMALLOC", "")
    monkeypatch.delenv("PYTHONMALLOC")
    return calls


def received(call: Executed) -> Plan:
    """The Plan as the gateway would read it."""
    fd = int(call.arguments[call.arguments.index("--plan-fd") + 1])
    assert os.get_inheritable(fd)
    with open(fd, "rb") as file:
        return plans.decode(file.read())


def test_it_becomes_the_gateway_with_the_plan_in_a_nameless_file(
    run: Run, config: Path, execve: list[Executed]
) -> None:
    result = run("serve", "--log-format", "json")
    assert (result.exit_code, result.output) == (0, "")
    (call,) = execve
    assert call.file == sys.executable
    assert call.arguments[:4] == [sys.executable, "-P", "-m", "oxllm.gateway"]
    assert call.arguments[-2:] == ["--log-format", "json"]
    assert call.env["MALLOC_ARENA_MAX"] == "1"
    assert call.env["PYTHONMALLOC"] == "malloc"
    assert call.env["ALPHA_KEY"] == "sk-hush"
    assert "sk-hush" not in " ".join(call.arguments)
    held_back = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert {signal.SIGHUP, signal.SIGINT, signal.SIGTERM} <= held_back
    plan = received(call)
    assert plan.providers[0].api_key == "sk-hush"
    assert plan.source == str(config)


def test_warnings_are_said_once_here_and_not_again_by_the_gateway(
    run: Run, config: Path, execve: list[Executed]
) -> None:
    config.write_text("[server]\nhost = '0.0.0.0'\n" + CONFIG)
    result = run("serve")
    assert "config.toml:2: warning: server.host\n" in result.stderr
    assert received(execve[0]).warnings == ()


def test_a_bad_configuration_is_not_served(run: Run, config: Path, execve: list[Executed]) -> None:
    config.write_text("[server]\nport = 1.5\n" + CONFIG)
    result = run("serve")
    assert (result.exit_code, execve) == (1, [])
    assert "config.toml:2: error: server.port\n" in result.stderr
    assert result.stderr.endswith("oxllm: 1 error in the configuration\n")


def test_a_missing_file_is_not_served(run: Run, execve: list[Executed]) -> None:
    result = run("serve", "-c", "nowhere.toml")
    assert (result.exit_code, execve) == (1, [])
    assert result.stderr == "oxllm: nowhere.toml (from --config) does not exist\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--nope",), 2, "No such option"),
        (("-c", "none.toml"), 1, "none.toml (from --config) does not exist"),
        (("-c", "bad.toml"), 1, "bad.toml:1: error: serve: is not a key that oxllm knows"),
    ],
)
def test_every_line_on_stderr_is_json_where_the_log_is(run: Run, words: tuple[str, ...], code: int, said: str) -> None:
    Path("bad.toml").write_text("serve = 1\n" + CONFIG.replace('"${ALPHA_KEY}"', '"sk-hush"'))
    result = run("serve", "--log-format", "json", *words)
    assert result.exit_code == code
    events = [json.loads(line) for line in result.stderr.splitlines()]
    assert events
    assert all(set(event) == {"time", "event", "message"} for event in events)
    assert any(said in event["message"] for event in events)


def test_host_and_port_go_over_the_file_and_a_reload_has_them_too(
    run: Run, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text('[server]\nhost = "127.0.0.1"\nbind_family = "ipv4"\nport = 8080\n' + CONFIG)
    served: list[Plan] = []

    def become(plan: Plan, log_format: str) -> NoReturn:
        served.append(plan)
        raise SystemExit(0)

    monkeypatch.setattr(handoff, "become_gateway", become)
    monkeypatch.setenv("OXLLM_SERVE_HOST", "")
    monkeypatch.setenv("OXLLM_SERVE_PORT", "")
    assert run("serve", "--host", "::1", "-p", "0").exit_code == 0
    assert (served[0].server.listen, served[0].server.port) == (("::1",), 0)
    again = load("config.toml", os.environ).plan
    assert again is not None
    assert again.server == served[0].server
    assert run("serve", "--host", "a b").exit_code == 1
    assert run("serve", "--port", "65536").exit_code == 2


def test_what_is_wrong_with_an_option_is_not_looked_for_in_the_file(
    run: Run, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text('[server]\nhost = "127.0.0.1"\n' + CONFIG)
    monkeypatch.setenv("OXLLM_SERVE_HOST", "")
    result = run("serve", "--host", "a b")
    assert result.exit_code == 1
    assert result.stderr.startswith(
        'config.toml: error: --host\n    "a b" is neither an IP address nor a host name\n    help: write an address'
    )


def test_the_demo_binds_what_can_be_published_only_where_the_image_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "start_simulator", lambda: {"steady": 1, "flaky": 2})
    monkeypatch.delenv("OXLLM_DEMO_HOST", raising=False)
    assert demo.start_demo(None, 9009).server.listen == ("127.0.0.1",)
    monkeypatch.setenv("OXLLM_DEMO_HOST", "0.0.0.0")
    assert demo.start_demo(None, 9009).server.listen == ("0.0.0.0",)
    assert demo.start_demo("::1", 9009).server.listen == ("::1",)


def test_on_windows_it_says_to_use_wsl(run: Run, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oxllm.cli.serve.sys.platform", "win32")
    result = run("serve")
    assert result.exit_code == 1
    assert "WSL" in result.stderr


def test_where_there_is_no_memfd_an_unlinked_file_holds_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    fd = launch.plan_fd(Plan(source="here"))
    found = os.fstat(fd)
    assert (found.st_nlink, stat.S_IMODE(found.st_mode)) == (0, 0o600)
    with open(fd, "rb") as file:
        assert plans.decode(file.read()).source == "here"


def test_every_module_that_the_gateway_loads_is_compiled_before() -> None:
    script = (
        "import sys, encodings.idna, encodings.latin_1, encodings.ascii, oxllm.gateway.process\n"
        "for module in list(sys.modules.values()):\n"
        "    origin = getattr(getattr(module, '__spec__', None), 'origin', None) or ''\n"
        "    if origin.endswith('.py'): print(origin)"
    )
    output = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True).stdout
    ours = {os.path.realpath(source) for source in precompile.sources()}
    site = {line for line in output.splitlines() if "site-packages" in line and "msgspec" not in line}
    site |= {line for line in output.splitlines() if line.endswith("/sitecustomize.py")}  # what a distribution adds
    assert {os.path.realpath(line) for line in output.splitlines()} - ours - set(map(os.path.realpath, site)) == set()


def test_only_missing_byte_code_is_written_and_only_where_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "module.py"
    source.write_text("x = 1\n")
    monkeypatch.setattr(precompile, "sources", lambda: iter([source]))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    precompile.precompile()
    (code,) = (tmp_path / "__pycache__").iterdir()
    written = code.stat().st_mtime_ns
    precompile.precompile()
    assert code.stat().st_mtime_ns == written
    code.unlink()
    monkeypatch.setattr(os, "access", lambda *_: False)
    precompile.precompile()
    assert not code.exists()


SIMULATOR = 'import sys; print(\'{"ports":{"steady":1001,"flaky":1002}}\', flush=True); sys.stdin.read()'


def test_the_demo_serves_the_failing_provider_first(
    run: Run, execve: list[Executed], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "start_simulator", lambda: {"steady": 1001, "flaky": 1002})
    monkeypatch.setattr(demo, "free_port", lambda wanted: 8123)
    result = run("serve", "--demo")
    assert result.exit_code == 0
    assert "http://127.0.0.1:8123/v1/chat/completions" in result.stdout
    assert 'base_url="http://127.0.0.1:8123/v1"' in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    plan = received(execve[0])
    assert [(target.provider, target.tier) for target in plan.virtual_models[0].targets] == [
        ("flaky", 1),
        ("steady", 2),
    ]
    assert [provider.base_url for provider in plan.providers] == [
        "http://127.0.0.1:1002/v1",
        "http://127.0.0.1:1001/v1",
    ]
    assert plan.source is None


def test_the_demo_takes_no_configuration(run: Run, config: Path) -> None:
    assert run("serve", "--demo", "-c", "config.toml").exit_code == 2


def test_the_simulator_lives_as_long_as_the_pipe_that_this_process_holds() -> None:
    script = (
        "import os, sys\n"
        "from oxllm.cli import demo\n"
        f"ports = demo.start_simulator((sys.executable, '-c', {SIMULATOR!r}))\n"
        "print(sorted(ports.items()), flush=True)\n"
        "os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])"
    )
    gateway = (
        "import os, stat\n"
        "open_ = [path for fd in range(3, 64) if os.path.exists(path := f'/proc/self/fd/{fd}')]\n"
        "print(sum(stat.S_ISFIFO(os.stat(path).st_mode) for path in open_), flush=True)\n"
        "input()"
    )
    command = [sys.executable, "-c", script, gateway]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"[('flaky', 1002), ('steady', 1001)]\n"
    assert process.stdout.readline() == b"1\n", "the pipe did not survive the exec"
    (child,) = children(process.pid)
    assert os.getsid(child) == child
    end = os.pidfd_open(child)
    process.communicate(b"\n")
    assert select.select([end], [], [], 5.0)[0], "the simulator outlived the gateway"
    os.close(end)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("script", ["", "print('junk')", "print('{\"ports\": {}}')", "import sys; sys.exit(3)"])
def test_a_simulator_that_does_not_say_its_ports_is_an_error(script: str) -> None:
    with pytest.raises(Failure, match="the simulator does not start"):
        demo.start_simulator((sys.executable, "-c", script))


def test_a_simulator_that_cannot_be_run_is_an_error() -> None:
    with pytest.raises(Failure, match="the simulator does not start"):
        demo.start_simulator(("/nowhere/python",))


def test_the_wanted_port_is_taken_if_it_is_free_else_another() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert demo.free_port(port) not in (port, 0)
    assert demo.free_port(port) == port


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((), ""),
        (("-p", "1234"), "--port does nothing"),
        (("-p", "1234", "--host", "::1"), "--host and --port do nothing"),
    ],
)
def test_options_that_a_handed_over_socket_makes_void_are_told(
    run: Run, config: Path, execve: list[Executed], monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...], said: str
) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    for name in (SERVE_HOST, SERVE_PORT):
        monkeypatch.setenv(name, "")  # restored after the test
    result = run("serve", *given)
    assert (bool(result.stderr), said in result.stderr, len(execve)) == (bool(said), True, 1)
    assert "warning: the service manager has bound the address" in result.stderr or not said


@pytest.mark.parametrize("host", [(), ("--host", "0.0.0.0"), ("--host", "localhost")])
def test_a_port_that_is_asked_for_and_taken_is_said_before_anything_starts(
    run: Run, execve: list[Executed], monkeypatch: pytest.MonkeyPatch, host: tuple[str, ...]
) -> None:
    started: list[str] = []
    monkeypatch.setattr(demo, "start_simulator", lambda: started.append("simulator"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("serve", "--demo", "-p", str(port), *host)
    assert (result.exit_code, result.stdout, started, execve) == (1, "", [], [])
    assert f"port {port} is taken; is another oxllm running (`oxllm status`)? Else give another --port" in result.stderr


def test_port_0_of_the_demo_is_any_free_one_and_not_the_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: list[int] = []
    monkeypatch.setattr(demo, "start_simulator", lambda: {"steady": 1001, "flaky": 1002})

    def free(port: int) -> int:
        wanted.append(port)
        return 8123

    monkeypatch.setattr(demo, "free_port", free)
    for port in (0, None):
        assert demo.start_demo(port=port).server.port == 8123
    assert wanted == [0, 8080]


@pytest.mark.parametrize(
    ("host", "where"),
    [
        (None, "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("::1", "[::1]"),
        ("::", "[::1]"),
        ("gateway.lan", "gateway.lan"),
    ],
)
def test_the_demo_says_an_address_that_it_listens_at(host: str | None, where: str) -> None:
    plan = demo.demo_plan({"flaky": 1, "steady": 2}, 8123, addresses(host, None))
    said = demo.hint(plan)
    assert said.count(f"http://{where}:8123") == said.count("http://") == 4

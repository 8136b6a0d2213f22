"""What serving seldom uses is loaded when it is used, and then all there."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from tests.support.processes import free_port

START = """
import sys
sys.modules["typing_extensions"] = None
before = set(sys.modules)
from oxllm.gateway.later import LATER, UNKNOWN, Later, postpone
postpone()
"""


def said(code: str) -> str:
    """What a fresh interpreter prints that has postponed what can wait."""
    command = [sys.executable, "-P", "-c", START + textwrap.dedent(code)]
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


SERVING = """
import os, signal, socket, threading, time
from oxllm import launch, plan
from oxllm.gateway.process import main

def ask():
    while (client := socket.socket()).connect_ex(("127.0.0.1", PORT)):
        client.close()
        time.sleep(0.01)
    with client:
        client.sendall(b"GET /v1/models HTTP/1.1\\r\\nhost: localhost\\r\\nconnection: close\\r\\n\\r\\n")
        while client.recv(4096):
            pass
    os.kill(os.getpid(), signal.SIGTERM)

provider = plan.Provider(name="a", host="a.example", port=443, path="", tls=True, protocols=plan.PROTOCOLS)
served = plan.Plan(server=plan.Server(port=PORT), providers=(provider,))
threading.Thread(target=ask).start()
sys.argv = ["gateway", "--plan-fd", str(launch.plan_fd(served))]
assert main() == 0
there = LATER.keys() & sys.modules.keys() - before  # not each Python has each
print(*sorted(name for name in there if not isinstance(sys.modules[name], Later)))
seldom = {"dis", "decimal", "uuid", "platform", "locale", "tokenize", "_ssl", "base64", "string", "unicodedata"}
seldom |= {"ast"} if sys.version_info < (3, 14) else set()  # msgspec has annotationlib there, which has it
print(*sorted(seldom & sys.modules.keys() - before))
"""
GRAMMAR = """
print(*(kind for kind in object.__subclasses__() if kind.__module__ == "ast"))
"""


def serving() -> str:
    return f"PORT = {free_port()}{SERVING}"


def test_a_gateway_starts_serves_and_ends_without_them() -> None:
    assert said(serving()) == ""
    if sys.version_info < (3, 14):
        assert said(serving() + GRAMMAR) == ""  # nothing has to be compiled from source any more


@pytest.mark.parametrize(
    ("use", "result"),
    [
        ("import inspect; print(inspect.signature(lambda a: 0))", "(a)"),
        ("import inspect\nasync def f(): pass\nprint(inspect.iscoroutinefunction(f))", "True"),
        ("print(hasattr(asyncio, 'x'), asyncio.DefaultEventLoopPolicy is None)", "False False"),
        ("import traceback; print(traceback.extract_stack()[-1].name)", "<module>"),
        ("from subprocess import check_output; print(check_output(['echo', '1']).decode())", "1"),
        ("import subprocess as s; print(s.PIPE, s.run(['true'], stdout=s.PIPE).stdout)", "-1 b''"),
        ("import concurrent.futures as f; print(f.ThreadPoolExecutor(1).submit(int, '7').result())", "7"),
        ("import asyncio; print(asyncio.run(asyncio.to_thread(int, '7')))", "7"),
        ("import linecache; print(linecache.getline(linecache.__file__, 1) != '')", "True"),
        ("import typing\nclass A: x: 'list[int]'\nprint(typing.get_type_hints(A))", "{'x': list[int]}"),
        ("import msgspec; print(msgspec.json.schema(int))", "{'type': 'integer'}"),
        ("import msgspec; print(msgspec.inspect.type_info(int))", "IntType("),
        ("import asyncio.sslproto as s; print(s.SSLProtocol.__name__)", "SSLProtocol"),
        ("print(asyncio.Queue, asyncio.Lock, asyncio.StreamReader, asyncio.TaskGroup)", "asyncio.queues.Queue"),
        ("from asyncio import Lock, Runner, create_subprocess_exec as c; print(c.__name__)", "create_subprocess_exec"),
        ("from asyncio import streams; print(streams.StreamReader is asyncio.StreamReader)", "True"),
        ("print(hasattr(asyncio, 'nothing'), hasattr(asyncio, 'Event'))", "False True"),
        ("async def f():\n  async with asyncio.timeout(9), asyncio.Lock(): return 7\nprint(asyncio.run(f()))", "7"),
        ("import ssl; print(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).check_hostname)", "True"),
        ("from ssl import SSLSocket; import ssl; ssl.OP_ALL; print(ssl.SSLSocket.__name__)", "SSLSocket"),
        ("logging.basicConfig(level=10, stream=sys.stdout); asyncio.log.logger.debug('a word')", "a word"),
        ("asyncio.log.logger.debug('%s'); print(type(logging) is Later)", "True"),
        ("logging.basicConfig(stream=sys.stdout); asyncio.log.logger.warning('%s words', 2)", "2 words"),
        ("print(logging.getLogger('a') is logging.getLogger('a') or 'anew')", "anew"),
        ("import decimal, uuid; print(decimal.Decimal('1.5'), uuid.UUID(int=1).int)", "1.5 1"),
        ("try: 1 / 0\nexcept Exception: logging.error('x'); import traceback; print(traceback.format_exc())", "Zero"),
    ],
)  # fmt: skip
def test_what_is_used_is_there(use: str, result: str) -> None:
    assert result in said("import asyncio, logging, msgspec\n" + use)


def test_what_is_asked_for_more_while_others_are_being_imported_is_loaded_at_once() -> None:
    code = """
        import inspect
        from oxllm.gateway.later import Finder
        sys.meta_path.insert(0, Finder())
        print(type(inspect) is Later, inspect.unwrap(7))
    """
    assert said(code) == "True 7"


def test_whoever_has_the_waiting_one_has_all_of_the_real_one() -> None:
    code = """
        import asyncio, asyncio.base_events as holder, sys
        print(type(holder.subprocess) is Later)
        import subprocess
        subprocess.Popen
        print(sys.modules["subprocess"] is not holder.subprocess, holder.subprocess.Popen is subprocess.Popen)
        print(sys.modules["subprocess"].Popen is subprocess.Popen, "Popen" in vars(holder.subprocess))
    """
    assert said(code).split() == ["True"] * 5


def test_one_that_cannot_be_loaded_now_can_be_later() -> None:
    """No file can be opened, for a while."""
    code = """
        import asyncio, resource, subprocess
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
        try:
            subprocess.Popen
        except OSError:
            print("none")
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        print(subprocess.run(["true"]).returncode)
    """
    assert said(code).split() == ["none", "0"]


def test_a_connection_over_tls_fails_as_long_as_openssl_cannot_be_loaded() -> None:
    code = """
        from oxllm.gateway.upstream.tls import Contexts
        from oxllm.gateway.upstream.failure import Broken
        sys.modules["_ssl"] = None
        try:
            Contexts().get(None)
        except Broken as broken:
            print(broken.failure.name, broken.detail)
        del sys.modules["_ssl"]
        print(Contexts().get(None).check_hostname)
    """
    assert said(code).split("\n") == ["LOCAL OpenSSL cannot be loaded", "True"]


def test_a_handler_of_a_signal_is_known_for_a_coroutine_or_not() -> None:
    from oxllm.gateway.later import LATER

    code = """
        import functools, inspect
        known = LATER["inspect"]["iscoroutinefunction"]
        class C:
            async def m(self): pass
            def n(self): pass
            async def g(self): yield
            def __call__(self): pass
        async def f(): pass
        def g(): pass
        asked = [f, g, C().m, C().n, C().g, C(), C, len, 1]
        asked += map(functools.partial, [f, g, C().m])
        mine = [known(one) for one in asked]
        print(mine == [inspect.getfullargspec and inspect.iscoroutinefunction(one) for one in asked], sum(mine))
    """
    assert said(code).split() == ["True", "4"]
    assert "inspect" in LATER


def test_a_connection_without_tls_does_not_load_openssl() -> None:
    code = """
        import asyncio, socket
        from oxllm.gateway.upstream.dial import dial
        from oxllm.gateway.upstream.resolver import Address
        class Peer:
            def connection_made(self, transport): transport.abort()
            def connection_lost(self, error): loop.stop()
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            loop = asyncio.new_event_loop()
            loop.call_soon(dial, Address(socket.AF_INET, "127.0.0.1", 0), port, Peer(), repr)
            loop.run_forever()
        print(type(sys.modules["ssl"]) is Later)
    """
    assert said(code) == "True"


def test_what_waits_for_a_module_is_done_once_it_is_loaded() -> None:
    code = """
        import logging
        from oxllm.gateway.later import once_loaded
        once_loaded("logging", lambda: print(type(sys.modules["logging"]) is Later))
        print("waits")
        logging.getLogger("a").warning("loads it")
        once_loaded("logging", lambda: print("at once"))
    """
    assert said(code).split("\n") == ["waits", "False", "at once"]


def test_what_libraries_log_is_in_the_log_though_nobody_had_loaded_logging() -> None:
    code = """
        import asyncio, logging, os
        from oxllm.gateway.observe.complaints import Complaints
        from oxllm.gateway.observe.journal import Journal
        from oxllm.gateway.observe.log import Log
        from oxllm.gateway.observe.sink import sink_of
        loop = asyncio.new_event_loop()
        log = Log(loop, sink_of(1), lambda: 0.0, True)
        Complaints(Journal(log)).listen()
        print(type(logging) is Later, flush=True)
        asyncio.log.logger.warning("a %s", "word")
        asyncio.log.logger.info("nothing")
        log.close()
    """
    assert said(code).split("\n") == ["True", '{"time":0.0,"event":"warning","message":"a word"}']


def test_a_word_for_a_log_that_cannot_be_loaded_is_lost_and_no_fault() -> None:
    code = """
        import asyncio, resource
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
        asyncio.log.logger.warning("a %s", "word", exc_info=True)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        print(isinstance(sys.modules["logging"], Later), asyncio.log.logger.getEffectiveLevel())
    """
    assert said(code) == "True 30"


def test_those_that_are_loaded_already_stay() -> None:
    code = """
        import asyncio, msgspec, subprocess
        subprocess.Popen
        before = dict(sys.modules)
        postpone()
        print({name for name in before if sys.modules[name] is not before[name]} or "none")
    """
    assert said(code) == "none"

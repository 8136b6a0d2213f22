"""TOML file → Plan: read, parse, expand, validate, check, compile; or else every problem at once.

`python -P -m oxllm.config.compile FILE` prints the Plan as JSON and exits 0, or prints
`{"errors": [{"file", "line", "key", "message", "help", "text"}, ...], "unset": [VARIABLE, ...]}` and exits
1; `unset` lists the environment variables that are missing. The gateway's reload runs this in a child process that
has ended before the new Plan is used, which keeps pydantic out of the serving process. The Plan holds secrets, so write
it to a pipe only. With `--without-files` the key and CA files that the config names are not opened: a rehearsal does
not need them, and may run where they do not exist.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from oxllm import plan
from oxllm.config import schema
from oxllm.config.checks import check
from oxllm.config.excerpt import excerpt_of
from oxllm.config.expand import expand_document
from oxllm.config.files import check_file, parse_toml, read_file, reason
from oxllm.config.lines import Path, Places, find_places
from oxllm.config.listen import addresses
from oxllm.config.problem import BadValueError, Problem, Problems
from oxllm.config.proxies import parse_proxy, proxy_variable
from oxllm.config.schema import parse_hold_back
from oxllm.config.sections import Sections, read_sections
from oxllm.config.syntax import explain
from oxllm.config.timeouts import Layers
from oxllm.config.urls import Url, parse_base_url, parse_origin
from oxllm.config.veil import veiled

WITHOUT_FILES = "--without-files"
_ASSIGNED = re.compile(r"(?:export\s+)?[A-Za-z_]\w*=[^=]")
"""The start of a key file that was written for a shell. (An = or two at the end is Base64 padding.)"""
SERVE_HOST, SERVE_PORT = "OXLLM_SERVE_HOST", "OXLLM_SERVE_PORT"
"""Environment variables that pass the options of `oxllm serve` on to the processes it starts."""


class Loaded(msgspec.Struct, frozen=True):
    """The outcome for a file: a Plan, or the errors that prevent one; warnings and notes in either case."""

    plan: plan.Plan | None
    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()
    unset: tuple[str, ...] = ()
    """Environment variables that values need and that are not set."""


def load(file: str, env: Mapping[str, str], files: bool = True) -> Loaded:
    """Read and compile `file`. Never raises: all errors are returned. `files`: also read the files that it names."""
    try:
        data, _ = read_file(file)
    except BadValueError as bad:
        return _failed(file, None, bad.args[0], "put that right, or start `oxllm serve` with another --config")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return _failed(file, data.count(b"\n", 0, error.start) + 1, *_encoding(data))
    if "\0" in text:
        return _failed(file, text.count("\n", 0, text.index("\0")) + 1, *_encoding(data))
    if "\r" in text and "\n" not in text:
        return _failed(file, 1, "has no line breaks but carriage returns", "save the file with Unix line endings")
    try:
        document = parse_toml(text)
    except tomllib.TOMLDecodeError as error:
        return _syntax(file, text, error)
    except BadValueError as bad:
        return _failed(file, None, *bad.args)
    return compile_document(file, _over(document, env), find_places(text), env, text, _options(env), files)


def _over(document: dict[str, Any], env: Mapping[str, str]) -> dict[str, Any]:
    """The document overridden by `serve --host` and `--port`, which a reload also gets from the environment."""
    own = {key: env[name] for key, name in (("host", SERVE_HOST), ("port", SERVE_PORT)) if env.get(name)}
    server = document.get("server", {})
    if not own or not isinstance(server, dict):
        return document
    kept = {key: value for key, value in server.items() if key != "bind_family" or "host" not in own}
    return document | {"server": kept | own}


def _options(env: Mapping[str, str]) -> dict[Path, str]:
    """Keys that an option of `oxllm serve` overrides -> the option."""
    return {("server", key): f"--{key}" for key, name in (("host", SERVE_HOST), ("port", SERVE_PORT)) if env.get(name)}


def compile_document(
    file: str,
    raw: dict[str, Any],
    places: Places,
    env: Mapping[str, str],
    text: str = "",
    options: Mapping[Path, str] | None = None,
    files: bool = True,
) -> Loaded:
    """A parsed file → Loaded. `text`: its source, for excerpts. `options`: see Problems."""
    problems = Problems(file, places, text)
    problems.options.update(options or {})
    document = expand_document(raw, env, problems)
    sections = read_sections(document, raw, problems)
    check(document, raw, sections, problems)
    compiler = _Compiler(file, sections, env, problems, files)
    providers = tuple(compiler.provider(i, p) for i, p in sections.providers.items() if p.enabled)
    errors, warnings = problems.of("error"), problems.of("warning")
    whole = None if errors else compiler.whole(providers, warnings)
    return Loaded(whole, errors, warnings, problems.of("note"), tuple(problems.unset))


class _Compiler:
    """The sections of one file → the parts of its Plan."""

    def __init__(self, file: str, sections: Sections, env: Mapping[str, str], problems: Problems, files: bool) -> None:
        self.file = os.path.abspath(file)
        self.sections = sections
        self.env = env
        self.problems = problems
        self.files = files
        self.layers = Layers(sections.server, sections.timeouts)

    def whole(self, providers: tuple[plan.Provider, ...], warnings: tuple[Problem, ...]) -> plan.Plan:
        """The Plan; only to be called when there are no errors."""
        sections = self.sections
        return plan.Plan(
            server=_server(sections.server),
            breaker=plan.Breaker(sections.breaker.failures, *sections.breaker.bounds),
            retry=plan.Retry(**sections.retry.model_dump()),
            request=self.layers.request(),
            providers=providers,
            disabled=tuple(provider.name for provider in sections.providers.values() if not provider.enabled),
            virtual_models=tuple(self.virtual_model(n, model) for n, model in sections.virtual_models.items()),
            source=self.file,
            warnings=tuple(str(warning) for warning in warnings),
        )

    def provider(self, index: int, provider: schema.Provider) -> plan.Provider:
        """One provider, with its files read and its proxy found; failures are reported."""
        path: Path = ("providers", index)
        url = parse_base_url(provider.base_url)
        return plan.Provider(
            name=provider.name,
            tls=url.tls,
            host=url.host,
            port=url.port,
            path=url.path,
            api_key=self.read_key(path, provider) or None,
            protocols=tuple(provider.protocols),
            auth=provider.auth,
            models=tuple(dict.fromkeys(provider.models)),
            headers=tuple(provider.headers.items()),
            user_agent=provider.user_agent,
            extra_body=_json_texts(provider.extra_body),
            usage_in_stream=provider.usage_in_stream,
            max_in_flight=provider.max_in_flight,
            ca_file=self.ca_file(path, provider),
            proxy=self.proxy(path, provider, url),
            timeouts=self.layers.attempt(provider),
        )

    def virtual_model(self, name: str, model: schema.VirtualModel) -> plan.VirtualModel:
        """One virtual model; if a target is listed twice, the first counts."""
        providers = {provider.name: provider for provider in self.sections.providers.values() if provider.enabled}
        chosen: dict[tuple[str, str], plan.Target] = {}
        for position, target in enumerate(model.targets, start=1):
            pair = (target.provider, target.model)
            if target.provider in providers and pair not in chosen:
                tier = position if target.tier is None else target.tier
                clocks = self.layers.attempt(providers[target.provider], model)
                chosen[pair] = plan.Target(*pair, tier, target.weight, clocks)
        return plan.VirtualModel(
            name=name,
            targets=tuple(sorted(chosen.values(), key=lambda target: target.tier)),
            hold_back=parse_hold_back(model.hold_back),
            hedge_after=model.hedge_after,
            request=self.layers.request(model),
            affinity=model.affinity,
            content_filter_failover=model.content_filter_failover,
        )

    def read_key(self, path: Path, provider: schema.Provider) -> str | None:
        if provider.api_key_file is None or not self.files:
            self.judge_key((*path, "api_key"), provider.api_key or "")
            return provider.api_key
        where, file = (*path, "api_key_file"), self.beside(provider.api_key_file)
        found = self.attempt(where, lambda: _read_key(file))
        if found is None:
            return None
        key, mode = found
        if mode & 0o004:
            self.problems.warning(where, "everybody on this machine can read the key", f"chmod 600 {shlex.quote(file)}")
        if _ASSIGNED.match(key):  # the message quotes none of it: it may be the key
            message = "the file holds NAME=…, all of which is sent as the key"
            self.problems.warning(where, message, "write the key alone into it")
        self.judge_key(where, key)
        return str(key)

    def judge_key(self, where: Path, key: str) -> None:
        """Warn of quotes or a `Bearer ` that would be sent as part of the key."""
        if key[:1] in ('"', "'") and key[-1:] == key[:1]:
            advice = "leave them out: `docker run --env-file` keeps them"
            self.problems.warning(where, "is in quotes, which are sent with it", advice)
        if key.lower().startswith("bearer "):
            self.problems.warning(where, "begins with Bearer, which is no part of it", "leave it out")

    def ca_file(self, path: Path, provider: schema.Provider) -> str | None:
        if provider.ca_file is None or not self.files:
            return None
        file = self.beside(provider.ca_file)
        self.attempt((*path, "ca_file"), lambda: _check_ca(file))
        return file

    def proxy(self, path: Path, provider: schema.Provider, url: Url) -> plan.Proxy | None:
        if provider.proxy is not None:
            return parse_proxy(provider.proxy) if provider.proxy else None
        variable = proxy_variable(self.env, url.tls, url.host)
        if variable is None:
            return None
        proxy = self.attempt((*path, "proxy"), lambda: _environment_proxy(variable, self.env[variable]))
        return proxy or None

    def beside(self, file: str) -> str:
        """A path that is relative to the config file, as an absolute one."""
        return os.path.join(os.path.dirname(self.file), file)

    def attempt(self, path: Path, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except BadValueError as bad:
            self.problems.error(path, *bad.args)
            return None


def _server(server: schema.Server) -> plan.Server:
    family, listen = addresses(server.host, server.bind_family)
    return plan.Server(
        host=server.host or listen[0],
        port=server.port,
        bind_family=family,
        listen=listen,
        otel_endpoint=server.otel_endpoint or None,
        api_keys=tuple(server.api_keys),
        admin_token=server.admin_token,
        admin_allow=tuple(server.admin_allow),
        admin_hosts=tuple(host.lower().strip("[]") for host in server.admin_hosts),
        health_allow=tuple(server.health_allow),
        cors_origins=tuple(parse_origin(origin) for origin in server.cors_origins),
        predictive_cooldown=server.predictive_cooldown,
        max_body_bytes=server.body_max,
        max_connections=server.max_connections,
        max_in_flight=server.max_in_flight,
        max_buffered_bytes=server.max_buffered_bytes,
        drain_timeout=server.drain_timeout_secs,
        drain_delay=server.drain_delay_secs,
    )


def _json_texts(values: Mapping[str, object]) -> dict[str, str]:
    """Each value as JSON. Values that JSON cannot hold were reported by `check`, so that no Plan is made."""
    try:
        return {key: msgspec.json.encode(value).decode() for key, value in values.items()}
    except (OverflowError, ValueError, TypeError):
        return {}


def _read_key(file: str) -> tuple[str, int]:
    """The key in a file, and the file's mode."""
    try:
        data, mode = read_file(file)
        key = data.decode().strip()
    except UnicodeDecodeError:
        raise BadValueError("does not hold text") from None
    except BadValueError as bad:
        raise BadValueError(bad.args[0], f"the path means {file}") from None
    if not key:
        raise BadValueError("is an empty file", "write the key into it, or leave the setting out")
    schema.check_header_value(key)
    return key, mode


def _check_ca(file: str) -> None:
    import ssl  # noqa: PLC0415 - heavy, and rarely needed

    try:
        check_file(file)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cafile=file)
    except ssl.SSLError:
        raise BadValueError("is not a PEM file of certificates", f"the path means {file}") from None
    except BadValueError as bad:
        raise BadValueError(bad.args[0], f"the path means {file}") from None
    except OSError as error:
        raise BadValueError(f"cannot be read: {reason(error)}", f"the path means {file}") from None


def _environment_proxy(variable: str, value: str) -> plan.Proxy:
    try:
        return parse_proxy(value)
    except BadValueError as bad:
        advice = f'change {variable}, or write proxy = "" to go without'
        raise BadValueError(f"the proxy in {variable} {bad.args[0]}", advice) from None


def _encoding(data: bytes) -> tuple[str, str]:
    """What is wrong with bytes that are not UTF-8 text, and what to do."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or data[:2].count(0) == 1:
        return "is UTF-16", "save the file as UTF-8 (PowerShell: `... | Out-File -Encoding utf8 FILE`)"
    if b"\0" in data:
        return "holds a NUL character", "remove it; the file is UTF-8 text without control characters"
    return "is not UTF-8", "save the file as UTF-8"


def _failed(file: str, line: int | None, message: str, advice: str = "") -> Loaded:
    return Loaded(None, (Problem(file, line, "", message, advice),))


def _syntax(file: str, text: str, error: tomllib.TOMLDecodeError) -> Loaded:
    shown = veiled(text, None)
    wrong = explain(text, error, shown)
    excerpt = excerpt_of(shown, wrong.line, wrong.column)
    return Loaded(None, (Problem(file, wrong.line, "", wrong.message, wrong.help, excerpt=excerpt),))


def problem_json(problem: Problem) -> dict[str, object]:
    """A problem for machines: its fields, and its one-line text."""
    return {key: getattr(problem, key) for key in ("file", "line", "key", "message", "help")} | {"text": str(problem)}


def main(arguments: list[str]) -> int:
    """Entry point of the reload's child process. Returns the exit code."""
    files = arguments[:1] != [WITHOUT_FILES]
    if len(arguments) != (1 if files else 2):
        sys.stderr.write(f"usage: python -P -m oxllm.config.compile [{WITHOUT_FILES}] FILE\n")
        return 2
    loaded = load(arguments[-1], os.environ, files)
    if loaded.plan is None:
        errors = [problem_json(error) for error in loaded.errors]
        output = msgspec.json.encode({"errors": errors, "unset": loaded.unset})
    else:
        output = plan.encode(loaded.plan)
    sys.stdout.buffer.write(output + b"\n")
    return 0 if loaded.plan else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

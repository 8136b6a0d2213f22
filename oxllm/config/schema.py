"""The configuration file as pydantic models: every key, with its type, bounds, default and meaning.

Strict: unknown keys and values of another type are errors, except that a number or boolean key also takes a string that
spells one, so that `port = "${PORT}"` works. Rules about more than one key are in `checks`. The reference in
docs/configuration.md and the JSON Schema are generated from this file.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from oxllm import plan
from oxllm.config.listen import check_number, is_name, literal
from oxllm.config.names import check_name, check_provider_name
from oxllm.config.problem import BadValueError
from oxllm.config.proxies import parse_proxy
from oxllm.config.urls import parse_base_url, parse_origin

T = TypeVar("T")
SECONDS_MAX = 1e9
"""Some thirty years: longer than any sensible timeout, and small enough to be added to a clock without losing
precision. Two bounds also exclude inf and nan."""
COUNT_MAX = 1_000_000
BYTES_MAX = 1 << 40
TOKENS_MAX = 100_000


def checked(parse: Callable[[str], object]) -> AfterValidator:
    """A validator that refuses what `parse` raises BadValueError for, and keeps the value as written."""

    def check(text: str) -> str:
        parse(text)
        return text

    return AfterValidator(check)


def _once(items: list[str]) -> list[str]:
    if len(set(items)) < len(items):
        raise BadValueError("names one of them twice", "write each once")
    return items


def _spelt(kind: str, pattern: str, convert: Callable[[str], T]) -> Callable[[object], object]:
    """A validator that converts a string which spells a number or boolean as in TOML, and passes any other type."""
    spelling = re.compile(pattern)

    def read(value: object) -> object:
        if not isinstance(value, str):
            return value
        if not spelling.fullmatch(value):
            raise BadValueError(f"is a string that does not spell {kind}")
        return convert(value)

    return read


def _boolean(text: str) -> bool:
    return text == "true"


def check_header_value(text: str) -> None:
    """RFC 9110 section 5.5 without obs-text: printable ASCII, and tabs inside. Raises BadValueError."""
    if not all(" " <= c <= "~" or c == "\t" for c in text) or text != text.strip():
        raise BadValueError(
            "holds a character that cannot go into a header",
            "printable ASCII only, no line breaks, no white space at its ends",
        )


def _credential(text: str) -> None:
    if not text:
        raise BadValueError("is empty, so anyone would have it", "write a secret, or leave the key out")
    if not all("!" <= c <= "~" for c in text):
        raise BadValueError("holds a character that no Bearer token has", "printable ASCII without spaces only")


def _host(text: str) -> None:
    check_number(text)
    spelt = re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?", text) and is_name(text)
    if literal(text) is None and not spelt:
        advice = 'write an address such as "127.0.0.1", or "0.0.0.0" for all of them; the port is a key of its own'
        raise BadValueError("is neither an IP address nor a host name", advice)


def _network(text: str) -> None:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise BadValueError("is not a network", 'write for example "10.0.0.0/8" or "fd00::/8"') from None


def _host_name(text: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9._-]+|\[?[0-9A-Fa-f:.]+\]?", text):
        raise BadValueError("is not a host name", 'write it without scheme, port and path: "gateway.example.com"')


def _collector(text: str) -> None:
    if text:
        try:
            parse_base_url(text)
        except BadValueError as bad:
            advice = 'write for example "http://127.0.0.1:4318"; OTEL_EXPORTER_OTLP_HEADERS is for credentials'
            raise BadValueError(bad.args[0], advice) from None


def _optional_proxy(text: str) -> None:
    if text:
        parse_proxy(text)


def parse_hold_back(text: str) -> plan.HoldBack:
    """The four forms of `hold_back`. Raises BadValueError."""
    if text == "first_token":
        return plan.HoldBack()
    if text == "full":
        return plan.HoldBack(full=True)
    if (found := re.fullmatch(r"(\d{1,6}) tokens?", text)) and 1 <= int(found[1]) <= TOKENS_MAX:
        return plan.HoldBack(tokens=int(found[1]))
    if (found := re.fullmatch(r"(\d{1,6})ms", text)) and int(found[1]) >= 1:
        return plan.HoldBack(seconds=int(found[1]) / 1000)
    raise BadValueError("is not a way to hold back", 'write "first_token", "20 tokens", "800ms" or "full"')


_INTEGER = BeforeValidator(_spelt("a whole number", r"[+-]?\d{1,18}", int))
_FLOAT = BeforeValidator(_spelt("a number", r"[+-]?\d{1,18}(\.\d{1,18})?([eE][+-]?\d{1,3})?", float))
_TRUTH = BeforeValidator(_spelt("true or false", "true|false", _boolean))

Flag = Annotated[bool, _TRUTH]
Protocol = Literal["chat", "completions", "embeddings", "json", "responses", "messages"]
Port = Annotated[int, Field(ge=0, le=65535), _INTEGER]
Count = Annotated[int, Field(ge=1, le=COUNT_MAX), _INTEGER]
Amount = Annotated[int, Field(ge=0, le=COUNT_MAX), _INTEGER]
Bytes = Annotated[int, Field(ge=1, le=BYTES_MAX), _INTEGER]
Share = Annotated[float, Field(ge=0, le=1), _FLOAT]
Seconds = Annotated[float, Field(gt=0, le=SECONDS_MAX), _FLOAT]
Delay = Annotated[float, Field(ge=0, le=SECONDS_MAX), _FLOAT]
Name = Annotated[str, checked(check_name)]
ProviderName = Annotated[str, checked(check_provider_name)]
Network = Annotated[str, checked(_network)]
HeaderValue = Annotated[str, checked(check_header_value)]
Credential = Annotated[str, checked(_credential)]
DEFAULT = plan.Server()


def setting(meaning: str, default: object = ..., example: str = "") -> Any:
    """Declares a key: its meaning (one sentence for the reference), its default, an example."""
    return Field(default, description=meaning, examples=[example] if example else None)


class Section(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Server(Section):
    """What the gateway binds, whom it lets in and how much it takes."""

    host: Annotated[str, checked(_host)] | None = setting(
        "Address or name to bind; decides what is bound. 127.0.0.1 if absent.", None, 'host = "127.0.0.1"'
    )
    port: Port = setting("TCP port; 0 is any free one, printed and reported by `oxllm status`.", 8080, "port = 8080")
    bind_family: Literal["ipv4", "ipv6", "dual"] | None = setting(
        "`dual` binds 127.0.0.1 and ::1, or with a wildcard host all addresses of both families. "
        "Follows from `host` if absent; a family that contradicts `host` is an error.",
        None,
        'bind_family = "dual"',
    )
    otel_endpoint: Annotated[str, checked(_collector)] | None = setting(
        "Base URL of an OTLP/HTTP collector; empty or absent sends nothing.",
        None,
        'otel_endpoint = "http://127.0.0.1:4318"',
    )
    upstream_timeout_secs: Seconds | None = setting(
        "Stands in for `first_byte`, `answer` and `idle` where `[timeouts]` does not have them. Never a total limit.",
        None,
        "upstream_timeout_secs = 30",
    )
    api_keys: list[Credential] = setting(
        "When set, /v1 needs one of them, as `Authorization: Bearer` or as `x-api-key`.",
        [],
        'api_keys = ["${TEAM_KEY}"]',
    )
    admin_token: Credential | None = setting(
        "When set, operator routes but /health need it as Bearer; the command line reads it from the run file.",
        None,
        'admin_token = "${ADMIN_TOKEN}"',
    )
    admin_allow: list[Network] = setting(
        "Networks whose peers count as local on operator routes.",
        list(DEFAULT.admin_allow),
        'admin_allow = ["127.0.0.0/8"]',
    )
    admin_hosts: list[Annotated[str, checked(_host_name)]] = setting(
        "Further Host names that count as ours on operator routes.", [], 'admin_hosts = ["gateway.example.com"]'
    )
    health_allow: list[Network] = setting(
        "Networks that may also call GET /health (a cluster's probes), and nothing else.",
        [],
        'health_allow = ["10.0.0.0/8"]',
    )
    cors_origins: list[Annotated[str, checked(parse_origin)]] = setting(
        "Web origins that may call /v1 from a browser.", [], 'cors_origins = ["https://chat.example.com"]'
    )
    predictive_cooldown: Flag = setting(
        "Let a target rest when its headers say that nothing remains, before the first 429.",
        True,
        "predictive_cooldown = true",
    )
    max_body_bytes: Bytes = setting(
        "A larger request body is refused with 413; at most `max_buffered_bytes`, its default if that is less.",
        DEFAULT.max_body_bytes,
        "max_body_bytes = 8388608",
    )
    max_connections: Count = setting(
        "Client connections served at once; over it the longest silent one makes room.",
        DEFAULT.max_connections,
        "max_connections = 4096",
    )
    max_in_flight: Count = setting(
        "Requests served at once, counted from their head on; over it 503 with Retry-After.",
        DEFAULT.max_in_flight,
        "max_in_flight = 2048",
    )
    max_buffered_bytes: Bytes = setting(
        "Bound of all request heads and bodies held for replay.",
        DEFAULT.max_buffered_bytes,
        "max_buffered_bytes = 8388608",
    )
    drain_timeout_secs: Delay = setting(
        "How long requests in flight may take to finish after SIGTERM.",
        DEFAULT.drain_timeout,
        "drain_timeout_secs = 30",
    )
    drain_delay_secs: Delay = setting(
        "How long the listener stays open after SIGTERM while /health says 503.",
        DEFAULT.drain_delay,
        "drain_delay_secs = 0",
    )

    @property
    def body_max(self) -> int:
        """`max_body_bytes`; its default is lowered to a smaller `max_buffered_bytes`."""
        written = "max_body_bytes" in self.model_fields_set
        return self.max_body_bytes if written else min(self.max_body_bytes, self.max_buffered_bytes)


class AttemptTimeouts(Section):
    """The clocks of one attempt, in seconds; a key that is absent is taken from the level above."""

    connect: Seconds = setting(
        "DNS, TCP and TLS, all addresses together.",
        plan.Timeouts().connect,
        "connect = 5",
    )
    first_byte: Seconds = setting(
        "A stream: from the request sent to its first content.",
        plan.Timeouts().first_byte,
        "first_byte = 60",
    )
    answer: Seconds = setting(
        "Not a stream: from the request sent to the response's head, which comes when the answer is made.",
        plan.Timeouts().answer,
        "answer = 300",
    )
    idle: Seconds = setting(
        "Between two reads of a response; stands still while the client takes nothing.",
        plan.Timeouts().idle,
        "idle = 60",
    )


class Timeouts(AttemptTimeouts):
    """All clocks, in seconds."""

    request: Seconds = setting(
        "The whole client request, all attempts together, until content goes to the client.",
        plan.Plan().request,
        "request = 600",
    )


class Breaker(Section):
    """When a provider's circuit breaker opens, and for how long."""

    failures: Count = setting("Consecutive failures that open it.", plan.Breaker().failures, "failures = 3")
    cooldown: Seconds = setting(
        "Seconds that it stays open; doubled at each re-open, jittered by 10 %.",
        plan.Breaker().cooldown,
        "cooldown = 5",
    )
    cooldown_max: Seconds = setting(
        "Where the doubling ends; at least `cooldown`, its default if that is more.",
        plan.Breaker().cooldown_max,
        "cooldown_max = 20",
    )

    @property
    def bounds(self) -> tuple[float, float]:
        """`cooldown` and `cooldown_max`; if the file has only one, the other's default is adjusted to it."""
        if "cooldown_max" in self.model_fields_set:
            written = "cooldown" in self.model_fields_set
            return self.cooldown if written else min(self.cooldown, self.cooldown_max), self.cooldown_max
        return self.cooldown, max(self.cooldown, self.cooldown_max)


class Retry(Section):
    """How much extra traffic a failure may cause."""

    same_target: Amount = setting(
        "Extra tries at the same target, only after 500, 502, a reset or EOF before any response byte.",
        plan.Retry().same_target,
        "same_target = 1",
    )
    max_attempts: Count = setting("Attempts of one client request.", plan.Retry().max_attempts, "max_attempts = 6")
    budget: Share = setting(
        "Share of traffic that same-target retries and hedges may add over 10 s; failing over is never refused by it.",
        plan.Retry().budget,
        "budget = 0.2",
    )


class Provider(Section):
    """An OpenAI-compatible server with a base URL and a key."""

    name: ProviderName = setting(
        "How targets, the log and `provider/model` name it; unique, and without `/`.", ..., 'name = "alpha"'
    )
    enabled: Flag = setting(
        "A provider that is off gets no requests, and its variables need not be set.", True, "enabled = true"
    )
    base_url: Annotated[str, checked(parse_base_url)] = setting(
        "http or https, with or without a trailing slash.", ..., 'base_url = "https://api.example.com/v1"'
    )
    api_key: HeaderValue | None = setting(
        "A local server needs none. Not together with `api_key_file`.", None, 'api_key = "${ALPHA_KEY}"'
    )
    api_key_file: str | None = setting(
        "File that holds the key, read at start and at each reload.", None, 'api_key_file = "/run/secrets/alpha"'
    )
    protocols: Annotated[list[Protocol], Field(min_length=1), AfterValidator(_once)] = setting(
        "What it speaks; requests in other protocols go to other providers.",
        list(plan.PROTOCOLS_DEFAULT),
        'protocols = ["chat", "messages"]',
    )
    auth: Literal["bearer", "x-api-key"] | None = setting(
        "How the key goes up: as Bearer or in `x-api-key`. If absent: for `messages` in `x-api-key`, else as Bearer.",
        None,
        'auth = "bearer"',
    )
    models: list[Name] = setting(
        "What `provider/model` names, and what /v1/models may show.", [], 'models = ["big-1", "small-1"]'
    )
    headers: dict[str, HeaderValue] = setting(
        "Headers to add to each request; not those that the gateway itself sets.",
        {},
        'headers = { X-Team = "search" }',
    )
    user_agent: HeaderValue | None = setting("Value of the User-Agent header.", None, 'user_agent = "acme/2"')
    extra_body: dict[str, Any] = setting(
        "Top-level keys of the request body that replace the client's; not `model` and `stream`.",
        {},
        'extra_body = { reasoning = { effort = "low" } }',
    )
    usage_in_stream: Flag = setting(
        "Ask for token usage in streams; the extra event is stripped if the client did not ask.",
        False,
        "usage_in_stream = true",
    )
    max_in_flight: Count | None = setting(
        "Requests at once to this provider; over it the next target is taken.", None, "max_in_flight = 200"
    )
    ca_file: str | None = setting(
        "PEM file of the certificate authorities to trust instead of the system's; relative to the config file.",
        None,
        'ca_file = "corp.pem"',
    )
    proxy: Annotated[str, checked(_optional_proxy)] | None = setting(
        "HTTP proxy, for https by CONNECT; empty means none. If absent, HTTPS_PROXY and NO_PROXY decide, as for curl.",
        None,
        'proxy = "http://proxy.example.com:3128"',
    )
    timeouts: AttemptTimeouts = setting(
        "Clocks of its own; `request` is not among them.",
        AttemptTimeouts(),
        "timeouts = { answer = 600 }",
    )


class Target(Section):
    """One (provider, model) pair of a virtual model."""

    provider: str = setting("Name of a provider.", ..., 'provider = "alpha"')
    model: Name = setting(
        'The model\'s name at that provider; `"*"`: the name that the client sent.', ..., 'model = "big-1"'
    )
    tier: Amount | None = setting(
        "Lower tiers first; targets of one tier share the load. With no tier anywhere in the list, each target "
        "is a tier of its own, in list order.",
        None,
        "tier = 1",
    )
    weight: Count = setting("Share of the load inside its tier.", 1, "weight = 3")


class VirtualModel(Section):
    """What serves a name that clients send as `model`: a list of targets, or a table with settings of its own."""

    targets: Annotated[list[Target], Field(min_length=1)] = setting(
        "In order of preference.", ..., 'targets = [{ provider = "alpha", model = "big-1" }]'
    )
    hold_back: Annotated[str, checked(parse_hold_back)] = setting(
        "How much of a stream to hold before commit, so that a break inside it is rescued by another target: "
        '`"first_token"`, `"20 tokens"`, `"800ms"` or `"full"`.',
        "first_token",
        'hold_back = "20 tokens"',
    )
    hedge_after: Seconds | None = setting(
        "Seconds without content after which the next target is started beside the first; off if absent.",
        None,
        "hedge_after = 4.0",
    )
    affinity: Flag = setting(
        "Keep a session's requests at one target of a tier, for the sake of its prompt cache.", True, "affinity = false"
    )
    content_filter_failover: Flag = setting(
        "Let another provider judge a prompt that one has refused for its content.",
        False,
        "content_filter_failover = true",
    )
    timeouts: Timeouts = setting("Clocks of its own.", Timeouts(), "timeouts = { first_byte = 10 }")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: object) -> object:
        return {"targets": value} if isinstance(value, list) else value


class File(Section):
    """The whole file."""

    server: Server = Field(default=Server(), description="What is bound, who is let in, how much is taken.")
    timeouts: Timeouts = Field(default=Timeouts(), description="Seconds; providers and virtual models may override.")
    breaker: Breaker = Field(default=Breaker(), description="Each provider's circuit breaker.")
    retry: Retry = Field(default=Retry(), description="How much extra traffic a failure may cause.")
    providers: list[Provider] = Field(
        default=[], description="Upstream servers; at least one.", examples=['[[providers]]\nname = "alpha"']
    )
    virtual_models: dict[str, VirtualModel] = Field(
        default={},
        description="Name that clients send -> what serves it.",
        examples=['smart = [{ provider = "alpha", model = "big-1" }]'],
    )


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the file, for editors; includes a virtual model's short form and `"${PORT}"`."""
    schema: dict[str, Any] = _or_text(File.model_json_schema(mode="validation"))
    short = {"type": "array", "items": {"$ref": "#/$defs/Target"}, "minItems": 1}
    entry = schema["properties"]["virtual_models"]
    entry["additionalProperties"] = {"anyOf": [short, entry["additionalProperties"]]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema | {"title": "oxllm configuration"}


def _or_text(node: Any) -> Any:
    """The schema, changed so that a number or boolean may also be a string with a variable in it."""
    if isinstance(node, list):
        return [_or_text(item) for item in node]
    if not isinstance(node, dict):
        return node
    inner = {key: _or_text(value) for key, value in node.items()}
    if inner.get("type") not in ("integer", "number", "boolean"):
        return inner
    about = {key: inner.pop(key) for key in ("title", "description", "default", "examples") if key in inner}
    return about | {"anyOf": [inner, {"type": "string", "pattern": r"\$\{"}]}

"""The frozen run-time configuration: everything decided, nothing left to look up.

`oxllm.config` compiles a TOML file into a `Plan`; `oxllm.gateway` runs on it. The two live in different
processes, so a Plan travels as JSON (`encode`, `decode`) through a memfd or a pipe. It holds secrets:
never print one (`repr` of the parts that hold a key leaves the key out).

Every value is final: environment variables expanded, key files read, paths absolute, proxies resolved,
timeouts merged (virtual model over provider over global). All times are seconds, all sizes bytes.
"""

from __future__ import annotations

import msgspec

from oxllm import __version__

PROTOCOLS = ("chat", "completions", "embeddings", "json", "responses", "messages")
"""What a client can speak and a provider may: each is a file of its own in `oxllm.core.protocols`."""
PROTOCOLS_DEFAULT = PROTOCOLS[:4]
"""What a provider speaks that says nothing about it."""
ANY = "*"
"""A target's model: the name that the client sent. In a virtual model's name: any text."""

FORMAT = 1
"""Version of the JSON form. Both ends are of one installation, so another number means an upgrade since one of them
began, a bug or a foreign fd."""


class PlanError(ValueError):
    """What was handed over as a Plan is not one."""


class Timeouts(msgspec.Struct, frozen=True):
    """The clocks of one attempt, in seconds. `request` is not among them: it belongs to the client's request."""

    connect: float = 5.0
    """DNS + TCP + TLS, all addresses together."""
    first_byte: float = 60.0
    """A stream: request sent -> first content."""
    answer: float = 300.0
    """Not a stream: request sent -> response head."""
    idle: float = 60.0
    """Between two reads of a response; stands still while the gateway does not read."""


class Server(msgspec.Struct, frozen=True):
    """What the gateway binds, whom it lets in and how much it takes."""

    host: str = "127.0.0.1"
    port: int = 8080
    """0 = any free port."""
    bind_family: str = "ipv4"
    """ipv4 | ipv6 | dual; kept for the diff of a reload, `listen` is what gets bound."""
    listen: tuple[str, ...] = ("127.0.0.1",)
    """The addresses or host names to bind. `::` with `bind_family` dual also takes IPv4."""
    otel_endpoint: str | None = None
    api_keys: tuple[str, ...] = ()
    admin_token: str | None = None
    admin_allow: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    admin_hosts: tuple[str, ...] = ()
    health_allow: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    predictive_cooldown: bool = True
    max_body_bytes: int = 8 * 1024 * 1024
    max_connections: int = 4096
    max_in_flight: int = 2048
    max_buffered_bytes: int = 8 * 1024 * 1024
    drain_timeout: float = 30.0
    drain_delay: float = 0.0

    def __repr__(self) -> str:
        return f"Server(host={self.host!r}, port={self.port})"


class Breaker(msgspec.Struct, frozen=True):
    """When a provider's circuit breaker opens, and for how long."""

    failures: int = 3
    cooldown: float = 5.0
    cooldown_max: float = 20.0


class Retry(msgspec.Struct, frozen=True):
    """How much extra traffic a failure may cause."""

    same_target: int = 1
    max_attempts: int = 6
    budget: float = 0.2


class Proxy(msgspec.Struct, frozen=True):
    """An HTTP proxy that is asked to CONNECT."""

    host: str
    port: int
    authorization: str | None = None
    """Value of the Proxy-Authorization header, if the proxy's URL carried credentials."""

    def __repr__(self) -> str:
        return f"Proxy(host={self.host!r}, port={self.port})"


class Provider(msgspec.Struct, frozen=True):
    """One enabled upstream: an OpenAI-compatible server with a base URL and a key."""

    name: str
    tls: bool
    host: str
    """Without brackets when it is an IPv6 literal."""
    port: int
    path: str
    """Path of the base URL without a trailing slash: "" or "/v1"."""
    api_key: str | None = None
    protocols: tuple[str, ...] = PROTOCOLS_DEFAULT
    """What it speaks, of PROTOCOLS."""
    auth: str | None = None
    """How the key goes up: bearer, x-api-key, or None: as the protocol has it."""
    models: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    user_agent: str | None = None
    extra_body: dict[str, str] = {}
    """Top-level key -> the JSON text of its value."""
    usage_in_stream: bool = False
    max_in_flight: int | None = None
    ca_file: str | None = None
    proxy: Proxy | None = None
    timeouts: Timeouts = Timeouts()
    """Provider over global; for requests that name `provider/model` directly."""

    def __repr__(self) -> str:
        return f"Provider(name={self.name!r}, base_url={self.base_url!r})"

    @property
    def authority(self) -> str:
        """The Host header: brackets around IPv6, no port when it is the scheme's default."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    @property
    def base_url(self) -> str:
        return f"http{'s' if self.tls else ''}://{self.authority}{self.path}"


class Target(msgspec.Struct, frozen=True):
    """One (provider, real model) pair of a virtual model."""

    provider: str
    model: str
    """ANY: the name that the client sent."""
    tier: int = 1
    weight: int = 1
    timeouts: Timeouts = Timeouts()
    """Virtual model over provider over global."""


class HoldBack(msgspec.Struct, frozen=True):
    """How much of a stream is held before commit."""

    tokens: int = 1
    """Content-bearing events to see first; 1 is "first_token"."""
    seconds: float = 0.0
    """Time to hold after the first content; 0 when the unit is tokens."""
    full: bool = False
    """Hold until the answer is complete."""


class VirtualModel(msgspec.Struct, frozen=True):
    """A name that clients send as `model`, and what serves it. Targets of disabled providers are left out."""

    name: str
    """With ANY in it: every name that it matches."""
    targets: tuple[Target, ...]
    hold_back: HoldBack = HoldBack()
    hedge_after: float | None = None
    request: float = 600.0
    """The whole client request, all attempts together, until commit."""
    affinity: bool = True
    """Inside a tier a session's requests go to one target, for the sake of its prompt cache."""
    content_filter_failover: bool = False
    """Does another provider judge a prompt that one has refused for its content?"""


class Plan(msgspec.Struct, frozen=True):
    """Everything that a gateway process runs on."""

    server: Server = Server()
    breaker: Breaker = Breaker()
    retry: Retry = Retry()
    request: float = 600.0
    """The `request` limit of requests that name `provider/model` directly."""
    providers: tuple[Provider, ...] = ()
    """Enabled ones, in file order, names unique."""
    disabled: tuple[str, ...] = ()
    """Names of the disabled ones, for status."""
    virtual_models: tuple[VirtualModel, ...] = ()
    source: str | None = None
    """Absolute path of the config file; None for --demo."""
    warnings: tuple[str, ...] = ()
    """What `validate` would warn of, for the start-up log."""
    format: int = FORMAT
    version: str = __version__
    """Of the oxllm that made it: what reads a file again may be a newer one than what serves."""


class _Mark(msgspec.Struct, frozen=True):
    """What tells a Plan from other JSON. All of a Plan has defaults, so `{}` would be one."""

    format: int


_encoder = msgspec.json.Encoder()


def encode(plan: Plan) -> bytes:
    """The Plan as JSON, secrets included."""
    return _encoder.encode(plan)


def decode(data: bytes) -> Plan:
    """The Plan in `data`. Raises PlanError, whose message holds nothing of the data."""
    try:
        found = msgspec.json.decode(data, type=_Mark).format
        if found != FORMAT:
            raise PlanError(f"a plan of format {found}; this oxllm reads {FORMAT}")
        return msgspec.json.decode(data, type=Plan)
    except msgspec.ValidationError as error:
        raise PlanError(f"not a plan: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise PlanError(f"not a plan: {len(data)} bytes that are not JSON") from None

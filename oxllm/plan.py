"""The frozen run-time configuration: everything decided, nothing left to look up.

`oxllm.config` compiles a TOML file into a `Plan`; `oxllm.gateway` runs on it. The two live in different
processes, so a Plan travels as JSON (`encode`, `decode`) through a memfd or a pipe. It contains secrets:
never print one (the `repr` of a part with a key leaves the key out).

Every value is final: environment variables expanded, key files read, paths absolute, proxies resolved,
timeouts merged (virtual model over provider over global). All times are seconds, all sizes bytes.
"""

from __future__ import annotations

import msgspec

from oxllm import __version__

PROTOCOLS = ("chat", "completions", "embeddings", "json", "responses", "messages")
"""What clients and providers can speak: each is a module of `oxllm.core.protocols`."""
PROTOCOLS_DEFAULT = PROTOCOLS[:4]
"""What a provider speaks if its config does not say."""
ANY = "*"
"""As a target's model: the name that the client sent. In a virtual model's name: any text."""

FORMAT = 1
"""Version of the JSON form. Both ends belong to one installation, so another number means an upgrade since one of them
started, a bug, or a foreign fd."""


class PlanError(ValueError):
    """The data is not a Plan."""


class Timeouts(msgspec.Struct, frozen=True):
    """The clocks of one attempt, in seconds. `request` is not among them: it belongs to the client's request."""

    connect: float = 5.0
    """DNS + TCP + TLS, all addresses together."""
    first_byte: float = 60.0
    """A stream: request sent -> first content."""
    answer: float = 300.0
    """Not a stream: request sent -> response head."""
    idle: float = 60.0
    """Between two reads of a response; paused while the gateway does not read."""


class Server(msgspec.Struct, frozen=True):
    """What the gateway binds, whom it lets in and how much it accepts."""

    host: str = "127.0.0.1"
    port: int = 8080
    """0 = any free port."""
    bind_family: str = "ipv4"
    """ipv4 | ipv6 | dual. `listen` is what gets bound; this is kept for the diff of a reload."""
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
    """An HTTP proxy, used with CONNECT."""

    host: str
    port: int
    authorization: str | None = None
    """Value of the Proxy-Authorization header, if the proxy's URL had credentials."""

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
    """Those of PROTOCOLS that it speaks."""
    auth: str | None = None
    """How the key is sent: bearer, x-api-key, or None for the protocol's default."""
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
    """For requests that name `provider/model` directly: provider over global."""

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
    """How much of a stream is held before the commit."""

    tokens: int = 1
    """Events with content to wait for; 1 is "first_token"."""
    seconds: float = 0.0
    """Time to hold after the first content; 0 when the unit is tokens."""
    full: bool = False
    """Hold until the answer is complete."""


class VirtualModel(msgspec.Struct, frozen=True):
    """A name that clients send as `model`, and what serves it. Targets of disabled providers are left out."""

    name: str
    """With ANY in it, it stands for every name that it matches."""
    targets: tuple[Target, ...]
    hold_back: HoldBack = HoldBack()
    hedge_after: float | None = None
    request: float = 600.0
    """The whole client request, all attempts together, until commit."""
    affinity: bool = True
    """Within a tier a session's requests go to one target, for its prompt cache."""
    content_filter_failover: bool = False
    """Whether a prompt that one provider has refused for its content is sent to another."""


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
    """The warnings of `validate`, for the start-up log."""
    format: int = FORMAT
    version: str = __version__
    """The version of oxllm that made it: the one that compiles for a reload may be newer than the one that serves."""


class _Mark(msgspec.Struct, frozen=True):
    """Tells a Plan from other JSON. All members of a Plan have defaults, so `{}` would decode as one."""

    format: int


_encoder = msgspec.json.Encoder()


def encode(plan: Plan) -> bytes:
    """The Plan as JSON, secrets included."""
    return _encoder.encode(plan)


def decode(data: bytes) -> Plan:
    """The Plan in `data`. Raises PlanError, whose message does not quote the data."""
    try:
        found = msgspec.json.decode(data, type=_Mark).format
        if found != FORMAT:
            raise PlanError(f"a plan of format {found}; this oxllm reads {FORMAT}")
        return msgspec.json.decode(data, type=Plan)
    except msgspec.ValidationError as error:
        raise PlanError(f"not a plan: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise PlanError(f"not a plan: {len(data)} bytes that are not JSON") from None

"""Checks that concern more than one key, which the schema cannot express: errors across sections, and warnings."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping

from oxllm.config.hosts import path_of, spoken
from oxllm.config.lines import Path
from oxllm.config.listen import addresses, is_public, literal
from oxllm.config.names import check_name, makes_vectors
from oxllm.config.problem import BadValueError, Problems, listed, nearest
from oxllm.config.schema import Provider, VirtualModel
from oxllm.config.sections import Sections, value_at
from oxllm.config.timeouts import Layers
from oxllm.config.urls import parse_base_url
from oxllm.plan import ANY

RESERVED_HEADERS = {
    "authorization": "the key is sent as Bearer: write api_key",
    "user-agent": "write user_agent",
    "proxy-authorization": "write the credentials into the URL of proxy",
} | dict.fromkeys(
    [
        *("accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect"),
        *("forwarded", "host", "keep-alive", "proxy-connection", "te", "traceparent", "tracestate", "trailer"),
        *("transfer-encoding", "upgrade", "via"),
    ],
    "the gateway sets or forbids it",
)
"""Lower-case names that a provider's `headers` cannot have → what to write instead."""
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A header name (RFC 9110 section 5.6.2)."""
SECRET_HEADER = re.compile(r"key|token|secret|auth|password|cookie", re.IGNORECASE)
ENDPOINTS = (
    *("/chat/completions", "/completions", "/embeddings", "/responses", "/messages", "/models", "/rerank"),
    *("/moderations", "/images/generations", "/audio/speech"),
)
"""Endpoint paths, which a base URL must not end in. Where one ends in another, the longer comes first."""
BARE_VARIABLE = re.compile(r"(?:\$|os\.environ/|env\.(?=[A-Z0-9_]+$))([A-Za-z_][A-Za-z0-9_]*)")
"""A variable as shells, LiteLLM and Bifrost write it."""
VARIABLES_NAME = re.compile(r"[A-Z]{2,12}(_[A-Z0-9]{1,12})*|[a-z]{1,5}")
"""What a variable's name usually looks like."""
REASONING = re.compile(r"(?:^|/)(?:o[1-9](?![0-9a-z])|gpt-5(?!.*chat))")
"""OpenAI's models that refuse `max_tokens` and want `max_completion_tokens` (platform.openai.com, Reasoning)."""
INTEGER_MIN, INTEGER_MAX = -(1 << 63), (1 << 63) - 1
"""The range of integers that TOML guarantees (toml.io v1.0.0)."""


def check(document: Mapping[str, object], raw: Mapping[str, object], sections: Sections, problems: Problems) -> None:
    """All findings beyond the schema. `raw` is the document before expansion."""
    if not document.get("providers") and isinstance(document.get("providers", []), list):
        problems.error(("providers",), "there is no provider", 'write [[providers]] with name = "alpha" and a base_url')
    _server(sections, problems)
    _breaker(sections, problems)
    _provider_names(document, problems)
    for index, provider in sections.providers.items():
        _provider(provider, ("providers", index), problems)
    _models(document, problems)
    for name, model in sections.virtual_models.items():
        _virtual_model(name, model, raw, sections, problems)
    _nothing_to_serve(document, problems)
    _inline_secrets(raw, problems)
    _bare_variables(raw, (), problems)


def _nothing_to_serve(document: Mapping[str, object], problems: Problems) -> None:
    """Without virtual models, clients can only ask for PROVIDER/MODEL, with a model that the provider lists."""
    providers = document.get("providers")
    if document.get("virtual_models") or not isinstance(providers, list) or not providers:
        return
    tables = [provider for provider in providers if isinstance(provider, dict)]
    if not any(table.get("models") and table.get("enabled") is not False for table in tables):
        message = "no model can be served: there is no virtual model, and no enabled provider lists models"
        problems.warning(("virtual_models",), message, "write [virtual_models], or models in a provider")


def _server(sections: Sections, problems: Problems) -> None:
    server = sections.server
    limits: tuple[Path, Path] = (("server", "max_body_bytes"), ("server", "max_buffered_bytes"))
    if problems.is_sound(*limits) and server.body_max > server.max_buffered_bytes:
        advice = f"lower it to {server.max_buffered_bytes}, or raise max_buffered_bytes"
        problems.error(limits[0], "max_body_bytes is over max_buffered_bytes, which has to hold a body", advice)
    if not problems.is_sound(("server", "host"), ("server", "bind_family")):
        return
    try:
        _, listen = addresses(server.host, server.bind_family)
    except BadValueError as bad:
        problems.error(("server", "bind_family"), *bad.args)
        return
    if is_public(listen) and not server.api_keys and problems.is_sound(("server", "api_keys")):
        message = f"{listed(listen)} can be reached from outside, and there are no api_keys"
        problems.warning(("server", "host"), message, "anyone who can connect spends your keys; write api_keys")


def _breaker(sections: Sections, problems: Problems) -> None:
    cooldown, cooldown_max = sections.breaker.bounds
    both: tuple[Path, Path] = (("breaker", "cooldown"), ("breaker", "cooldown_max"))
    if problems.is_sound(*both) and cooldown > cooldown_max:
        message = f"cooldown ({cooldown:g}) is over cooldown_max ({cooldown_max:g})"
        problems.error(both[0], message, "raise cooldown_max, or lower cooldown")


def _provider_names(document: Mapping[str, object], problems: Problems) -> None:
    first: dict[str, int] = {}
    for index, name in _named_providers(document):
        if name in first:
            line = problems.lines.get(("providers", first[name], "name"))
            path = ("providers", index, "name")
            problems.error(path, f"{name!r} is already the name of a provider (line {line})", "names must be unique")
        first.setdefault(name, index)


def _named_providers(document: Mapping[str, object]) -> Iterator[tuple[int, str]]:
    """Index and name of every provider that has a name, whether it is valid or not."""
    providers = document.get("providers")
    for index, provider in enumerate(providers if isinstance(providers, list) else []):
        if isinstance(provider, dict) and isinstance(provider.get("name"), str):
            yield index, provider["name"]


def _provider(provider: Provider, path: Path, problems: Problems) -> None:
    if provider.api_key is not None and provider.api_key_file is not None:
        problems.error((*path, "api_key_file"), "stands beside api_key", "write one of the two")
    seen: dict[str, str] = {}
    for name in provider.headers:
        _header(name, seen, (*path, "headers", name), problems)
    for key, value in provider.extra_body.items():
        _extra_body(key, value, (*path, "extra_body", key), problems)
    if provider.enabled and problems.is_sound((*path, "base_url"), (*path, "protocols")):
        _unspoken(provider, path, problems)
    if provider.enabled and problems.is_sound((*path, "base_url")):
        _base_url(provider, path, problems)


def _unspoken(provider: Provider, path: Path, problems: Problems) -> None:
    url = parse_base_url(provider.base_url)
    host, protocols = spoken(url.host, url.port, url.path)
    if absent := [protocol for protocol in protocols if protocol not in provider.protocols]:
        written = ", ".join(f'"{protocol}"' for protocol in (*provider.protocols, *absent))
        message = f"{host} also speaks {' and '.join(absent)}"
        problems.note((*path, "protocols"), message, f"to use that, write protocols = [{written}]")


def _base_url(provider: Provider, path: Path, problems: Problems) -> None:
    url = parse_base_url(provider.base_url)
    where = (*path, "base_url")
    if found := next((end for end in ENDPOINTS if url.path.endswith(end)), None):
        message = f"ends in {found}, which the gateway appends itself"
        problems.warning(where, message, f'write "{provider.base_url.rstrip("/").removesuffix(found)}"')
    if not url.path and (known := path_of(url.host, url.port)):
        message = "has no path, and nothing is added but that of an endpoint"
        problems.warning(where, message, f'write "{provider.base_url.rstrip("/")}{known}"')
    if url.scheme == "http" and (provider.api_key or provider.api_key_file) and not _is_near(url.host):
        message = f"the key goes to {url.host} in the clear, for anyone on the way to read"
        problems.warning(where, message, "write https://")


def _is_near(host: str) -> bool:
    """Is this our own machine or a private network, as far as the name tells?"""
    address = literal(host)
    if address is not None:
        return address.is_private or address.is_loopback or address.is_link_local
    return "." not in host or host.endswith((".local", ".internal", ".localhost", ".lan", ".svc", ".home.arpa"))


def _header(name: str, seen: dict[str, str], path: Path, problems: Problems) -> None:
    low = name.lower()
    if not TOKEN.fullmatch(name):
        problems.error(path, "is not a header's name", "write letters, digits and - only")
    elif low in RESERVED_HEADERS:
        problems.error(path, "is a reserved header", RESERVED_HEADERS[low])
    elif low in seen:
        problems.error(path, f"is the same header as {seen[low]!r}", "write it once")
    seen.setdefault(low, name)


def _extra_body(key: str, value: object, path: Path, problems: Problems) -> None:
    if key in ("model", "stream"):
        advice = "write it in a target" if key == "model" else "the client decides that"
        problems.error(path, "cannot be in extra_body", advice)
    elif not _is_json(value):
        problems.error(path, "holds a value that JSON cannot have (a date, inf, nan or an integer over 64 bits)")


def _is_json(value: object) -> bool:
    if isinstance(value, dict):
        return all(_is_json(item) for item in value.values())
    if isinstance(value, list):
        return all(_is_json(item) for item in value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return INTEGER_MIN <= value <= INTEGER_MAX
    return isinstance(value, str)


def _models(document: Mapping[str, object], problems: Problems) -> None:
    """Reads the document, not the validated models, so that another error in a model hides none of these."""
    names = {name for _, name in _named_providers(document)}
    models = document.get("virtual_models")
    are_tables = isinstance(document.get("providers", []), list)
    for name, value in models.items() if isinstance(models, dict) else ():
        path: Path = ("virtual_models", name)
        if not problems.is_sound(path):
            continue
        _model_name(name, path, problems)
        targets = value
        if isinstance(value, dict):
            path, targets = (*path, "targets"), value.get("targets")
        tables = {i: t for i, t in enumerate(targets if isinstance(targets, list) else []) if isinstance(t, dict)}
        for index, target in tables.items():
            wanted = target.get("provider")
            if are_tables and isinstance(wanted, str) and wanted not in names:
                problems.error((*path, index, "provider"), f"no provider is named {wanted!r}", nearest(wanted, names))
        _tiers(tables, path, problems)


def _model_name(name: str, path: Path, problems: Problems) -> None:
    try:
        check_name(name)
    except BadValueError as bad:
        problems.error(path, f"the model's name {bad.args[0]}", *bad.args[1:])


def _tiers(targets: Mapping[int, dict[str, object]], path: Path, problems: Problems) -> None:
    without = [index for index, target in targets.items() if "tier" not in target]
    if without and len(without) < len(targets):
        message = "has no tier, while other targets of the list have one"
        problems.error((*path, without[0]), message, "write a tier for each target, or for none")
    elif len(without) > 1:
        for index in without:
            if targets[index].get("weight", 1) != 1:
                message = "has no effect: without tier each target is a tier of its own"
                problems.warning((*path, index, "weight"), message, "write the same tier for those that share")


class _Model:
    """A valid virtual model with its path in the file and its enabled targets."""

    def __init__(self, name: str, model: VirtualModel, raw: object, providers: Mapping[str, Provider]) -> None:
        self.name = name
        self.model = model
        self.path: Path = ("virtual_models", name)
        self.list_path = self.path if isinstance(raw, list) else (*self.path, "targets")
        self.enabled = [
            (index, target, providers[target.provider])
            for index, target in enumerate(model.targets)
            if target.provider in providers and providers[target.provider].enabled
        ]
        self.known = all(target.provider in providers for target in model.targets)


def _virtual_model(
    name: str, model: VirtualModel, raw: Mapping[str, object], sections: Sections, problems: Problems
) -> None:
    providers = {provider.name: provider for provider in sections.providers.values()}
    place = _Model(name, model, value_at(raw, ("virtual_models", name)), providers)
    _repeated(place, problems)
    _unlisted(place, problems)
    _vectors(place, problems)
    _families(place, problems)
    if place.known:
        _variety(place, problems)
        _time(place, sections, problems)


def _repeated(place: _Model, problems: Problems) -> None:
    seen: set[tuple[str, str]] = set()
    for index, target in enumerate(place.model.targets):
        pair = (target.provider, target.model)
        if pair in seen:
            message = f"{target.provider}/{target.model} is in the list already; only the first counts"
            problems.warning((*place.list_path, index), message, "remove it")
        seen.add(pair)


def _unlisted(place: _Model, problems: Problems) -> None:
    for index, target, provider in place.enabled:
        if provider.models and target.model not in (ANY, *provider.models):
            message = f"{target.model!r} is not among the models of {provider.name!r}"
            problems.warning((*place.list_path, index, "model"), message, nearest(target.model, provider.models))


def _vectors(place: _Model, problems: Problems) -> None:
    names = {target.model.rpartition("/")[2] for target in place.model.targets}
    if len(names) > 1 and makes_vectors(place.name, *names):
        message = f"an embedding model whose targets differ ({listed(sorted(names))}): their vectors do not compare"
        problems.warning(place.list_path, message, "name the same model in each target")


def _families(place: _Model, problems: Problems) -> None:
    names = [target.model for _, target, _ in place.enabled if target.model != ANY]
    reasoning = [name for name in names if REASONING.search(name)]
    others = [name for name in names if not REASONING.search(name)]
    if reasoning and others:
        message = f"{reasoning[0]!r} takes max_completion_tokens and no temperature, unlike {others[0]!r}"
        problems.warning(place.list_path, message, "a request that suits the one may be refused by the other (400)")


def _variety(place: _Model, problems: Problems) -> None:
    if not place.enabled:
        problems.warning(place.path, "all of its providers are disabled, so it cannot be served")
    elif len({provider.name for _, _, provider in place.enabled}) == 1:
        message = f"{place.enabled[0][2].name!r} is its only provider: nothing to fail over to"
        problems.warning(place.path, message, "add a target of another provider")
    elif not _common(place):
        message = "no two of its providers speak the same protocol: nothing to fail over to"
        problems.warning(place.path, message, "add a target of a provider that speaks what one of these does")


def _common(place: _Model) -> bool:
    """Do two of its providers share a protocol?"""
    spoken_by = {provider.name: provider.protocols for _, _, provider in place.enabled}
    protocols = [protocol for spoken in spoken_by.values() for protocol in spoken]
    return len(set(protocols)) < len(protocols)


def _time(place: _Model, sections: Sections, problems: Problems) -> None:
    """For streams the limits of all attempts are summed. `answer` is long by nature, so it need only fit once."""
    layers = Layers(sections.server, sections.timeouts)
    request = layers.request(place.model)
    tried = place.enabled[: sections.retry.max_attempts]
    limits = [layers.attempt(provider, place.model) for _, _, provider in tried]
    total = sum(limit.connect + limit.first_byte for limit in limits)
    advice = "lower them, or raise request"
    if total > request:
        attempts = "an attempt" if len(limits) == 1 else f"{len(limits)} attempts"
        message = f"{attempts} may take {total:g} s (connect + first_byte), past request ({request:g} s)"
        problems.warning(place.path, message, advice)
    elif limits and (longest := max(limit.answer for limit in limits)) > request:
        problems.warning(place.path, f"an answer may take {longest:g} s, past request ({request:g} s)", advice)


def _inline_secrets(raw: Mapping[str, object], problems: Problems) -> None:
    for path in _secrets(raw):
        value = value_at(raw, path)
        if isinstance(value, str) and value and "${" not in value and not BARE_VARIABLE.fullmatch(value):
            problems.warning(path, "a secret is written into the file", "write ${NAME} and set it in the environment")


def _bare_variables(value: object, path: Path, problems: Problems) -> None:
    """Warn about `"$NAME"`, which a shell would expand, and `"os.environ/NAME"`, which LiteLLM would."""
    if isinstance(value, str) and (found := BARE_VARIABLE.fullmatch(value)):
        shown = VARIABLES_NAME.fullmatch(found[1]) is not None  # otherwise it may be a secret that begins with a $
        message = f"{value if shown else 'this'} is no variable but plain text"
        problems.warning(path, message, f'write "${{{found[1] if shown else "NAME"}}}"')
    elif isinstance(value, dict):
        for key, item in value.items():
            _bare_variables(item, (*path, key), problems)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _bare_variables(item, (*path, index), problems)


def _secrets(raw: Mapping[str, object]) -> Iterator[Path]:
    """Paths of the values that may be secrets."""
    yield ("server", "admin_token")
    keys: Path = ("server", "api_keys")
    yield from ((*keys, index) for index in range(_length(value_at(raw, keys))))
    for index in range(_length(raw.get("providers"))):
        path: Path = ("providers", index)
        yield (*path, "api_key")
        headers = value_at(raw, (*path, "headers"))
        for name in headers if isinstance(headers, dict) else ():
            if SECRET_HEADER.search(name):
                yield (*path, "headers", name)
        if "@" in str(value_at(raw, (*path, "proxy"))):
            yield (*path, "proxy")


def _length(value: object) -> int:
    return len(value) if isinstance(value, list) else 0

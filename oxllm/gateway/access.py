"""Who may call what: operator routes are local only, and a web page may not use the providers' keys.

Local is decided by the socket's peer address. A request that came through a proxy (a forwarded header), names
another host, or was made by a page of another origin is not local, even from loopback: a reverse proxy on the
same host and a browser with a rebound DNS name both connect from there. A reverse proxy that adds none of these
headers cannot be told from a person, so such a set-up needs `admin_token` (docs/security.md).
"""

from __future__ import annotations

from _operator import _compare_digest as compare_digest  # hmac's own, without the 0.6 MB of hashlib
from collections.abc import Iterable

from oxllm.core.wire.errors import ApiError, api_error
from oxllm.gateway.client.request import Request
from oxllm.gateway.networks import Networks, is_loopback, packed
from oxllm.local import FORWARDED, host_name
from oxllm.plan import Server


class _Keys:
    """Keys that are found without comparing all of them: a thousand would take as long as all else of a request.

    They are found by their hash, SipHash under a secret of this process, so the time says nothing of a key to who does
    not have it. Then they are compared in a time that does not depend on where they differ.
    """

    __slots__ = ("_by_hash", "any")

    def __init__(self, keys: Iterable[str]) -> None:
        self._by_hash: dict[int, list[bytes]] = {}
        for key in keys:
            self._by_hash.setdefault(hash(key.encode()), []).append(key.encode())
        self.any = bool(self._by_hash)
        """Whether there are keys."""

    def has(self, token: bytes) -> bool:
        """Whether `token` is one of them."""
        return any(compare_digest(token, key) for key in self._by_hash.get(hash(token), ()))


class Access:
    """The rules of one config."""

    __slots__ = ("_admin_allow", "_admin_hosts", "_health_allow", "_keys", "_origins", "_token", "max_in_flight")

    def __init__(self, server: Server) -> None:
        self.max_in_flight = server.max_in_flight
        """Requests served at once. Copied from the plan, since a class of ours is faster to read."""
        self._admin_allow = Networks(server.admin_allow)
        self._health_allow = Networks(server.health_allow)
        self._admin_hosts = frozenset(host.lower() for host in server.admin_hosts)
        self._origins = frozenset(server.cors_origins)
        self._keys = _Keys(server.api_keys)
        self._token = _Keys((server.admin_token,)) if server.admin_token else None

    def operator(self, request: Request, health: bool) -> ApiError | None:
        """None if the request may use an operator route, else why not. `health`: it is GET /health."""
        if health and request.peer in self._health_allow:
            return None
        why = self._not_local(request, health)
        if why is not None:
            return api_error(403, f"operator routes are local only: {why}")
        if self._token is not None and not health and not self._bears(request, self._token):
            return api_error(401, "this route needs `Authorization: Bearer` with the admin token", "invalid_api_key")
        return None

    def client(self, request: Request) -> ApiError | None:
        """None if the request may use /v1, else why not."""
        origin = request.get(b"origin")
        if origin is not None and not self._keys.any and not (self.cors(request) or self._own(request, origin)):
            return foreign_page()
        if self._keys.any and not (self._bears(request, self._keys) or self._shows(request, self._keys)):
            return api_error(
                401, "a valid API key is needed as `Authorization: Bearer` or `x-api-key`", "invalid_api_key"
            )
        return None

    def cors(self, request: Request) -> bytes | None:
        """The value for Access-Control-Allow-Origin, if the request's origin is listed."""
        origin = request.get(b"origin") if self._origins else None
        if origin is None:
            return None
        return origin if "*" in self._origins or origin.decode("latin-1") in self._origins else None

    def _not_local(self, request: Request, health: bool) -> str | None:
        if request.peer not in self._admin_allow:
            return f"{request.peer} is {'neither in health_allow nor' if health else 'not'} in admin_allow"
        for name in FORWARDED:
            if request.get(name.encode()) is not None:
                return f"the request carries {name}"
        if not self._host_is_ours(request):
            return "its Host is not ours; add the name to admin_hosts if it is"
        origin = request.get(b"origin")
        if origin is not None and not self._own(request, origin):
            return "it comes from a web page of another origin"
        return None

    def _own(self, request: Request, origin: bytes) -> bool:
        return origin == b"http://" + (request.get(b"host") or b"") and self._host_is_ours(request)

    def _host_is_ours(self, request: Request) -> bool:
        field = request.get(b"host")
        if field is None:
            return True  # HTTP/1.0, which no browser speaks; 1.1 without a Host was refused earlier
        name = host_name(field.decode("latin-1"))
        if not name:
            return False
        if name == "localhost" or name in self._admin_hosts:
            return True
        if is_loopback(request.local) and is_loopback(name):
            return True
        return packed(name) is not None and packed(name) == packed(request.local)

    @staticmethod
    def _bears(request: Request, keys: _Keys) -> bool:
        scheme, _, token = (request.get(b"authorization") or b"").partition(b" ")
        return scheme.lower() == b"bearer" and keys.has(token.strip())

    @staticmethod
    def _shows(request: Request, keys: _Keys) -> bool:
        return keys.has(request.get(b"x-api-key") or b"")


def foreign_page() -> ApiError:
    """403 for a web page whose origin is not listed, and for its preflight."""
    return api_error(403, "requests from web pages are refused; list the page's origin in cors_origins")

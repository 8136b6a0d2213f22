"""Finds the session that a client names: a session stays at one target, for the sake of the prompt cache there."""

from __future__ import annotations

from typing import Final

from oxllm.core.routing.affinity import session_number
from oxllm.core.wire.body import RequestBody
from oxllm.gateway.client.request import Request

HEADERS: Final[tuple[bytes, ...]] = (
    b"x-claude-code-session-id",
    b"session_id",
    b"session-id",
    b"x-session-id",
    b"x-session-affinity",
)
"""Headers that name a session; the first one present counts, and any of them before the body (`prompt_cache_key`,
`metadata.user_id`). Claude Code sends the first, Codex the second or the third."""


def session_of(request: Request, body: RequestBody) -> int | None:
    """The number of the session, different for each client that uses the same name; None if the client names none."""
    for name in HEADERS:
        value = request.get(name)
        if value:
            break
    else:
        value = (body.session() or "").encode()
    if not value:
        return None
    bearer = request.get(b"authorization") or b""
    client = bearer.partition(b" ")[2].strip() or request.get(b"x-api-key") or b""
    return session_number(client, value)

"""Through an HTTP proxy: absolute-form for http providers (RFC 9112 section 3.2.2), CONNECT for https ones
(RFC 9110 section 9.3.6), as curl does it.

A `Tunnel` is the peer of the transport to the proxy until the proxy has let us through, and then steps aside:

    event                      then
    1xx but 101                the next response counts (RFC 9110 section 15.2)
    2xx, and nothing behind    the next protocol gets the transport
    any other status           `connection_lost` with Failure.PROXY and the status
    not HTTP, EOF, too long    `connection_lost` with Failure.PROXY
"""

from __future__ import annotations

import re

from oxllm.core.reading.outcome import Failure
from oxllm.gateway.transport import Peer, Transport
from oxllm.gateway.upstream.failure import Broken

ANSWER_MAX = 16 * 1024
"""Bytes of a proxy's answer to CONNECT. A refusal may come with a page; only its first line matters."""

_END = b"\r\n\r\n"
_INTERIM = re.compile(rb"HTTP/1\.[01] 1(?!01)[0-9]{2}[ \r]")
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})[ \r]")


def absolute(head: bytes, authority: str, authorization: str | None) -> bytes:
    """The request head in absolute-form, with the proxy's credentials. `head` is complete, in origin-form."""
    method, _, rest = head.partition(b" ")
    return b"%b http://%b%b%b\r\n" % (method, authority.encode(), rest[:-2], _credentials(authorization))


def connect(authority: str, authorization: str | None) -> bytes:
    """The request head that asks for a tunnel. `authority` must have its port."""
    name = authority.encode()
    return b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n%b\r\n" % (name, name, _credentials(authorization))


def _credentials(authorization: str | None) -> bytes:
    return b"" if authorization is None else b"proxy-authorization: %b\r\n" % authorization.encode("latin-1")


class Tunnel(Peer):
    """Asks for a tunnel with `request`, and hands the transport to `following` once it is open."""

    __slots__ = ("_answer", "_following", "_over", "_request", "_transport", "_view")

    _transport: Transport

    def __init__(self, following: Peer, request: bytes, view: memoryview) -> None:
        self._following = following
        self._request = request
        self._view = view
        self._answer = b""
        self._over = False

    def connection_made(self, transport: Transport) -> None:
        self._transport = transport
        transport.write(self._request)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        self._answer += bytes(self._view[:nbytes])
        end = self._answer.find(_END)
        while end >= 0 and _INTERIM.match(self._answer):
            self._answer = self._answer[end + 4 :]
            end = self._answer.find(_END)
        if end >= 0:
            self._decide(end + 4 == len(self._answer))
        elif len(self._answer) > ANSWER_MAX:
            self._refuse("answer too large")

    def eof_received(self) -> None:
        self._refuse("connection closed")

    def connection_lost(self, exc: Exception | None) -> None:
        self._refuse("connection lost")

    def pause_writing(self) -> None:
        """Nothing to pause: the request is a few lines."""

    resume_writing = unsent = pause_writing

    def _decide(self, nothing_behind: bool) -> None:
        found = _STATUS.match(self._answer)
        if found is None:
            self._refuse("not an HTTP proxy")
        elif not found[1].startswith(b"2"):
            self._refuse(f"HTTP {found[1].decode()}")
        elif not nothing_behind:
            self._refuse("bytes before the tunnel")
        else:
            self._over = True
            self._transport.set_protocol(self._following)
            self._following.connection_made(self._transport)

    def _refuse(self, why: str) -> None:
        if not self._over:
            self._over = True
            self._transport.abort()
            self._following.connection_lost(Broken(Failure.PROXY, why))

"""The TLS handshakes with one host: which begin when, and which session they resume."""

from __future__ import annotations

import asyncio
import ssl
from typing import Protocol

HANDSHAKES_MAX = 64
"""Concurrent handshakes per origin. One takes 20 KB more than the connection that results, and malloc keeps the peak of
a burst for as long as that lasts. With a host 100 ms away, 64 at a time make 300 a second, about what a core can do."""


class Handshake(Protocol):
    """One that is to be made."""

    def begin(self) -> None:
        """Its turn has come."""


class HandshakeQueue:
    """The handshakes of one origin: at most HANDSHAKES_MAX under way, the others first come, first served.

    A session is resumed instead of checking the same certificates again, which takes three times as long as all the
    rest of a request (RFC 8446 section 2.2). What was found out about the host then holds for it, as long as the
    authorities are the same.
    """

    __slots__ = ("_loop", "_session", "_under_way", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._session: tuple[ssl.SSLContext, ssl.SSLSession] | None = None
        self._under_way: set[Handshake] = set()
        self._waiting: dict[Handshake, None] = {}

    def __repr__(self) -> str:
        return f"<HandshakeQueue {len(self._under_way)} under way, {len(self._waiting)} waiting>"

    def session(self, context: ssl.SSLContext) -> ssl.SSLSession | None:
        """The session to resume, if there is one that these authorities have vouched for."""
        known = self._session
        return known[1] if known is not None and known[0] is context else None

    def keep(self, context: ssl.SSLContext, session: ssl.SSLSession | None) -> None:
        """Resume this session from now on, if it can be."""
        if session is not None and (session.has_ticket or session.id):
            self._session = context, session

    def forget_session(self) -> None:
        """The authorities are to be asked again. (The session would also keep all their certificates in memory.)"""
        self._session = None

    def take(self, one: Handshake) -> None:
        """Let it begin its handshake as soon as there is room."""
        if len(self._under_way) < HANDSHAKES_MAX:
            self._under_way.add(one)
            one.begin()
        else:
            self._waiting[one] = None

    def give_back(self, one: Handshake) -> None:
        """Its handshake is done, or given up: let the next one begin."""
        self._waiting.pop(one, None)
        self._under_way.discard(one)
        if self._waiting:
            self._loop.call_soon(self._next)  # not from inside the one that has just ended

    def _next(self) -> None:
        if self._waiting and len(self._under_way) < HANDSHAKES_MAX:
            one = next(iter(self._waiting))
            del self._waiting[one]
            self.take(one)

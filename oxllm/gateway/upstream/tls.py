"""TLS between a plain transport and a connection that does not know of it.

asyncio's own TLS allocates a 256 KiB buffer for each connection. This one reads ciphertext of all
connections into one buffer and decrypts into the one that plain connections read into, so that a
connection costs what OpenSSL itself needs, 25 KB (docs/footprint.md; a test measures it).

    phase      event                          becomes    and then
    WAITING    its turn has come              HANDSHAKE  the handshake begins
    WAITING    lost                           CLOSED     as in HANDSHAKE
    HANDSHAKE  handshake done                 OPEN       the upper protocol gets its `connection_made`
    HANDSHAKE  refused, cut, not TLS          CLOSED     `connection_lost` with Failure.TLS and why
    OPEN       close_notify                   CLOSED     `eof_received`: a clean end
    OPEN       EOF without close_notify       CLOSED     `connection_lost` with Failure.EOF: it may be an attack,
                                                         so a body that only EOF delimits is cut (RFC 8446 6.1)
    OPEN       broken record                  CLOSED     `connection_lost` with Failure.TLS
    any        closed or aborted from above   CLOSED     nothing is reported
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from enum import Enum
from typing import Any

from oxllm.authorities import make_context
from oxllm.core.reading.outcome import Failure
from oxllm.gateway.transport import Peer, Transport
from oxllm.gateway.upstream.failure import Broken, broken

HANDSHAKES_MAX = 64
"""Handshakes of one origin that are under way at once. One takes 20 KB more than the connection that comes of it, and
what malloc gave out in a burst it keeps for as long as that lasts. So many at a time are 300 a second where a host is
100 ms away, about as many as a core can do."""

RECORD = 16 * 1024
"""Bytes of plaintext in a TLS record at most (RFC 8446 section 5.1), read at once. OpenSSL's memory buffers keep the
size that they once had, so this also bounds what an idle connection holds."""
WRITTEN = 2 * 1024
"""Bytes written at once, for the same reason: an agent's request of 40 KB would leave 22 KB behind. In such pieces it
takes 26 µs more."""

DETAIL_OF_VERIFY_CODE = {
    9: "certificate not valid yet",
    10: "certificate expired",
    18: "certificate is self-signed",
    19: "certificate is from an unknown authority",
    20: "certificate is from an unknown authority",
    21: "certificate is from an unknown authority",
    23: "certificate revoked",
    62: "certificate is for another host",
    64: "certificate is for another host",
}
"""OpenSSL's X509_V_ERR_* (x509_vfy.h)."""

DETAIL_OF_REASON = {
    "HTTP_REQUEST": "the host does not speak TLS",
    "NO_PROTOCOLS_AVAILABLE": "no TLS version in common",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the host refused the handshake",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the host wants a client certificate",
    "TLSV1_ALERT_PROTOCOL_VERSION": "no TLS version in common",
    "TLSV1_UNRECOGNIZED_NAME": "the host does not know its name",
    "UNSUPPORTED_PROTOCOL": "no TLS version in common",
    "WRONG_VERSION_NUMBER": "the host does not speak TLS",
}


def detail_of(error: ssl.SSLError) -> str:
    """Why, in our words; for the rarer reasons in OpenSSL's constants, which hold nothing of the peer's."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return DETAIL_OF_VERIFY_CODE.get(error.verify_code, "certificate not accepted")
    reason = error.reason or "handshake failed"
    return DETAIL_OF_REASON.get(reason, reason.replace("_", " ").lower())


class Contexts:
    """One `SSLContext` for each set of authorities; making one reads files and takes milliseconds."""

    def __init__(self) -> None:
        self._contexts: dict[str | None, ssl.SSLContext] = {}

    def get(self, ca_file: str | None) -> ssl.SSLContext:
        """The context that trusts `ca_file`, and nothing else, or the system if None. Raises Broken."""
        context = self._contexts.get(ca_file)
        if context is None:
            try:
                context = self._contexts[ca_file] = make_context(ca_file)
            except OSError as error:
                here = broken(error)
                raise (
                    here if here.failure is Failure.LOCAL else Broken(Failure.TLS, "CA file cannot be read")
                ) from None
            except ImportError:  # it is loaded at the first use: while no file can be opened it cannot be
                raise Broken(Failure.LOCAL, "OpenSSL cannot be loaded") from None
        return context

    def clear(self) -> None:
        """Read the files again when they are next needed."""
        self._contexts.clear()


class Phase(Enum):
    """How far the TLS connection is."""

    WAITING = 0
    HANDSHAKE = 1
    OPEN = 2
    CLOSED = 3


NOT_OPEN_YET = (Phase.WAITING, Phase.HANDSHAKE)


class HandshakeQueue:
    """The handshakes of one origin: HANDSHAKES_MAX under way, and the others in the order in which they came."""

    __slots__ = ("_loop", "_under_way", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._under_way: set[TlsTransport] = set()
        self._waiting: dict[TlsTransport, None] = {}

    def __repr__(self) -> str:
        return f"<HandshakeQueue {len(self._under_way)} under way, {len(self._waiting)} waiting>"

    def take(self, one: TlsTransport) -> None:
        """Have it begin as soon as it may."""
        if len(self._under_way) < HANDSHAKES_MAX:
            self._under_way.add(one)
            one.begin()
        else:
            self._waiting[one] = None

    def give_back(self, one: TlsTransport) -> None:
        """It has shaken hands, or never will."""
        self._waiting.pop(one, None)
        self._under_way.discard(one)
        if self._waiting:
            self._loop.call_soon(self._next)  # not from inside what has just ended

    def _next(self) -> None:
        if self._waiting and len(self._under_way) < HANDSHAKES_MAX:
            one = next(iter(self._waiting))
            del self._waiting[one]
            self.take(one)


class TlsTransport(Peer):
    """The protocol of a plain transport and the transport of `upper`. One class, since both sides share one session.

    `view` is the ciphertext buffer that all TLS connections of a loop share, of RECORD bytes: what one read
    brings then decrypts into less than `upper`'s buffer, and is passed on at once.
    """

    __slots__ = (
        "_at_end",
        "_context",
        "_handshakes",
        "_host",
        "_incoming",
        "_lower",
        "_outgoing",
        "_paused",
        "_phase",
        "_tls",
        "_upper",
        "_view",
    )

    _incoming: ssl.MemoryBIO
    _outgoing: ssl.MemoryBIO
    _tls: ssl.SSLObject
    _lower: Transport

    def __init__(
        self, upper: Peer, context: ssl.SSLContext, host: str, view: memoryview, handshakes: HandshakeQueue
    ) -> None:
        super().__init__()
        self._upper = upper
        self._context = context
        self._host = host
        self._view = view
        self._handshakes = handshakes
        self._phase = Phase.WAITING
        self._paused = False
        self._at_end = False
        """Nothing more comes from below; what did may not all have been passed on."""

    # The protocol of the transport below

    def connection_made(self, transport: Transport) -> None:
        self._lower = transport
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._handshakes.take(self)

    def begin(self) -> None:
        """Its turn has come."""
        self._phase = Phase.HANDSHAKE
        # As bytes: for a `str` the ssl module loads the IDNA tables. No trailing dot in SNI (RFC 6066 section 3).
        name = self._host.rstrip(".").encode()
        try:
            self._tls = self._context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        except (TypeError, ValueError):  # a leading dot, nothing, a NUL
            self._break(Broken(Failure.TLS, "not a host name"))
        else:
            self._shake_hands()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        self._incoming.write(self._view[:nbytes])
        if self._phase is Phase.HANDSHAKE:
            self._shake_hands()
        if self._phase is Phase.OPEN:
            self._read()

    def eof_received(self) -> bool:
        """The transport is ours to close: `upper` may be pausing before what had come."""
        if self._phase in NOT_OPEN_YET:
            self._break(Broken(Failure.TLS, "connection closed during the handshake"))
        elif self._phase is Phase.OPEN:
            self._at_end = True
            self._read()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if self._phase is Phase.OPEN and isinstance(exc, OSError):
            self._paused = False
            self._lower.read_last(self)
        if self._phase is Phase.CLOSED:
            return
        if self._phase in NOT_OPEN_YET and not isinstance(exc, Broken):  # a Broken is a proxy's refusal
            exc = Broken(Failure.TLS, "connection lost during the handshake")
        self._phase = Phase.CLOSED
        self._handshakes.give_back(self)
        self._upper.connection_lost(exc)

    def pause_writing(self) -> None:
        self._upper.pause_writing()

    def resume_writing(self) -> None:
        self._upper.resume_writing()

    def unsent(self) -> None:
        self._upper.unsent()

    # The transport of the protocol above

    def write(self, data: Any) -> None:
        if self._phase is not Phase.OPEN:
            return
        view = memoryview(data)
        for start in range(0, len(view), WRITTEN):
            self._tls.write(view[start : start + WRITTEN])
            self._flush()

    def pause_reading(self) -> None:
        self._paused = True
        self._lower.pause_reading()

    def resume_reading(self) -> None:
        self._paused = False
        self._lower.resume_reading()
        if self._phase is Phase.OPEN and (self._at_end or self._incoming.pending or self._tls.pending()):
            asyncio.get_running_loop().call_soon(self._read)  # what came before the pause

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._lower.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._lower.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Nothing: what is under it must not be read past it."""
        return default

    def read_last(self, peer: Peer) -> None:
        """Nothing: what was left has been read before `peer` heard of the end."""

    def set_protocol(self, protocol: Peer) -> None:
        self._upper = protocol

    def write_eof(self) -> None:
        """RuntimeError: a side of TLS is shut by `close` alone."""
        raise RuntimeError("TLS is not shut by half")

    def is_closing(self) -> bool:
        return self._phase is Phase.CLOSED or self._lower.is_closing()

    def close(self) -> None:
        """Say close_notify, and close without waiting for the peer's."""
        if self._phase is Phase.OPEN:
            self._phase = Phase.CLOSED
            with contextlib.suppress(ssl.SSLError):  # SSLWantReadError: the peer has not said it yet
                self._tls.unwrap()
            self._flush()
            self._lower.close()

    def abort(self) -> None:
        self._phase = Phase.CLOSED
        self._handshakes.give_back(self)
        self._lower.abort()

    # Between the two

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._lower.write(self._outgoing.read())

    def _break(self, error: Broken) -> None:
        self.abort()
        self._upper.connection_lost(error)

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as error:
            self._flush()  # the alert that says why
            self._break(Broken(Failure.TLS, detail_of(error)))
        else:
            self._flush()
            self._phase = Phase.OPEN
            self._handshakes.give_back(self)
            self._upper.connection_made(self)

    def _read(self) -> None:
        """Decrypt all that is there, and pass it on: as much at a time as `upper` has room for, and while it reads."""
        while self._reads and self._read_some():
            pass
        if self._at_end and self._reads:
            self._break(Broken(Failure.EOF, "without TLS close_notify"))

    @property
    def _reads(self) -> bool:
        return self._phase is Phase.OPEN and not self._paused

    def _read_some(self) -> bool:
        """One buffer full. Whether there may be more."""
        plain = memoryview(self._upper.get_buffer(-1))
        read: Any = self._tls.read  # into a buffer it says how much, which its stub does not know
        got = 0
        ended = False
        error: Broken | None = None
        try:
            while (self._incoming.pending or self._tls.pending()) and got < len(plain) and not ended:
                count: int = read(RECORD, plain[got:])
                ended = count == 0
                got += count
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as refused:
            error = Broken(Failure.TLS, detail_of(refused))
        if error is None:
            # A session ticket or key update makes OpenSSL set up a 16 KB write buffer, which it would keep until
            # the next write. An empty write sends nothing and frees it.
            self._tls.write(b"")
        self._flush()  # an answer to a key update
        if got:
            self._upper.buffer_updated(got)
        if self._phase is Phase.OPEN and error is not None:
            self._break(error)
        elif self._phase is Phase.OPEN and ended:
            self._upper.eof_received()
            self.close()
        return got == len(plain)

"""TLS between a plain transport and a connection that does not know of it.

asyncio's own TLS allocates a 256 KiB buffer for each connection. This one reads the ciphertext of all
connections into one buffer and decrypts into the one that plain connections read into, so that a
connection costs only what OpenSSL itself needs, 25 KB (docs/footprint.md; a test measures it).

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
from oxllm.gateway.upstream.failure import Broken, broken, broken_tls
from oxllm.gateway.upstream.handshakes import HandshakeQueue

RECORD = 16 * 1024
"""Most bytes of plaintext in a TLS record (RFC 8446 section 5.1), and so in one read. OpenSSL's memory buffers never
shrink, so this also bounds what an idle connection holds."""
WRITTEN = 2 * 1024
"""Bytes written at once, for the same reason: an agent's request of 40 KB, written whole, would leave 22 KB allocated.
In pieces it takes 26 µs more."""


class Contexts:
    """One `SSLContext` for each set of authorities; making one reads files and takes milliseconds."""

    def __init__(self) -> None:
        self._contexts: dict[str | None, ssl.SSLContext] = {}

    def get(self, ca_file: str | None) -> ssl.SSLContext:
        """The context that trusts only `ca_file`, or the system's authorities if None. Raises Broken."""
        context = self._contexts.get(ca_file)
        if context is None:
            try:
                context = self._contexts[ca_file] = make_context(ca_file)
            except OSError as error:
                here = broken(error)
                raise (
                    here if here.failure is Failure.LOCAL else Broken(Failure.TLS, "CA file cannot be read")
                ) from None
            except ImportError:  # it is loaded on first use, which fails while no file can be opened
                raise Broken(Failure.LOCAL, "OpenSSL cannot be loaded") from None
        return context

    def clear(self) -> None:
        """Reread the files when they are next needed."""
        self._contexts.clear()


class Phase(Enum):
    """How far the TLS connection has come."""

    WAITING = 0
    HANDSHAKE = 1
    OPEN = 2
    CLOSED = 3


NOT_OPEN_YET = (Phase.WAITING, Phase.HANDSHAKE)


class TlsTransport(Peer):
    """The peer of a plain transport and the transport of `upper`. One class, since both sides share one session.

    `view` is the ciphertext buffer that all TLS connections of a loop share. It has RECORD bytes, so that what one
    read brings decrypts to less than `upper`'s buffer holds, and is passed on at once.
    """

    __slots__ = (
        "_at_end",
        "_context",
        "_full",
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
        self._paused = self._full = False
        """`_full`: its handshake resumed no session, and its own has not been kept yet."""
        self._at_end = False
        """EOF from below; what had come may not all have been passed on yet."""

    # The peer of the transport below

    def connection_made(self, transport: Transport) -> None:
        self._lower = transport
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._handshakes.take(self)
        if self._phase is Phase.WAITING:
            self._upper.queued(True)

    def begin(self) -> None:
        """Its turn in the queue has come: start the handshake."""
        self._phase = Phase.HANDSHAKE
        self._upper.queued(False)
        # As bytes: for a `str` the ssl module loads the IDNA tables. No trailing dot in SNI (RFC 6066 section 3).
        name = self._host.rstrip(".").encode()
        try:
            self._tls = self._context.wrap_bio(
                self._incoming, self._outgoing, server_hostname=name, session=self._handshakes.session(self._context)
            )
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
        """True: we close the transport ourselves, since `upper` may have paused and not have read everything yet."""
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

    # The transport of the peer above

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
        """The default, always: the socket below must not be used behind TLS's back."""
        return default

    def read_last(self, peer: Peer) -> None:
        """Nothing to do: what was left has been read before `peer` hears of the end."""

    def set_protocol(self, protocol: Peer) -> None:
        self._upper = protocol

    def write_eof(self) -> None:
        """RuntimeError: TLS cannot be half-closed here, only closed."""
        raise RuntimeError("TLS is not shut by half")

    def is_closing(self) -> bool:
        return self._phase is Phase.CLOSED or self._lower.is_closing()

    def close(self) -> None:
        """Send close_notify, and close without waiting for the peer's."""
        if self._phase is Phase.OPEN:
            self._phase = Phase.CLOSED
            with contextlib.suppress(ssl.SSLError):  # SSLWantReadError: the peer has not sent its own yet
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
            self._break(broken_tls(error))
        else:
            self._flush()
            self._phase = Phase.OPEN
            self._full = not self._tls.session_reused
            self._handshakes.give_back(self)
            self._upper.connection_made(self)

    def _read(self) -> None:
        """Decrypt everything that has come and pass it on, one buffer of `upper`'s at a time, as long as that reads."""
        while self._reads and self._read_some():
            pass
        if self._at_end and self._reads:
            self._break(Broken(Failure.EOF, "without TLS close_notify"))

    @property
    def _reads(self) -> bool:
        return self._phase is Phase.OPEN and not self._paused

    def _read_some(self) -> bool:
        """Pass on up to one buffer. Returns whether there may be more."""
        plain = memoryview(self._upper.get_buffer(-1))
        read: Any = self._tls.read  # with a buffer it returns a count, which its stub does not know
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
            error = broken_tls(refused)
        if error is None:
            # A session ticket or key update makes OpenSSL set up a 16 KB write buffer, which it would keep until
            # the next write. An empty write sends nothing and frees it.
            self._tls.write(b"")
        self._flush()  # an answer to a key update
        if got:
            if self._full:  # only now: in TLS 1.3 what resumes a session comes behind the handshake
                self._full = False
                self._handshakes.keep(self._context, self._tls.session)
            self._upper.buffer_updated(got)
        if self._phase is Phase.OPEN and error is not None:
            self._break(error)
        elif self._phase is Phase.OPEN and ended:
            self._upper.eof_received()
            self.close()
        return got == len(plain)

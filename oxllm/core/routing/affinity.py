"""Which target a session goes to: weighted rendezvous hashing.

Providers cache the prefixes of prompts for some minutes, and charge a tenth for what is cached. So a conversation that
stays where it was is worth more than an even spread. Each target draws a number from the session and its own name, and
the highest one wins: no table, no state, the same after a restart and in every process. When a target leaves, only its
own sessions move, and spread over the others by weight.

With `u` uniform in (0, 1), `-weight / ln(u)` is the highest of all with a chance of weight / sum of weights
(C. Schindelhauer, G. Schomaker: Weighted Distributed Hash Tables, 2005).
"""

from __future__ import annotations

from binascii import crc32
from math import log

_MASK = 2**64 - 1


def session_number(client: bytes, session: bytes) -> int:
    """The number of a client's session, 32 bits. `client`: the API key that the client sends."""
    return crc32(session, crc32(b"%d:%b" % (len(client), client)))


def target_number(target: str) -> int:
    """The number of a target, from its name."""
    return crc32(target.encode())


def score(session: int, target: int, weight: int) -> float:
    """What a target draws for a session."""
    drawn = _mixed(session << 32 | target) >> 11
    return -weight / log((drawn + 0.5) * 2.0**-53)


def _mixed(number: int) -> int:
    """64 bits of which each depends on all of `number`: the finisher of splitmix64 (Steele, Lea, Flood, 2014)."""
    number = (number + 0x9E3779B97F4A7C15) & _MASK
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    number = (number ^ number >> 27) * 0x94D049BB133111EB & _MASK
    return number ^ number >> 31

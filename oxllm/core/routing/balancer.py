"""Picks the next candidate: tiers, smooth weighted round robin, sessions, and a reason for each candidate skipped.

A session goes where `affinity` sends it. Otherwise the choice within a tier is nginx's smooth weighted round robin:
each usable candidate gains its weight, the richest is chosen and pays what all gained. With weights 3 and 1 that is
a a b a, never a a a b.

Choosing changes nothing; beginning an attempt pays for the turn, if it was one.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from oxllm.core.native import mypyc_attr
from oxllm.core.routing.affinity import score
from oxllm.core.routing.cooldown import Skip
from oxllm.core.routing.route import Candidate, Route
from oxllm.core.routing.targets import TargetState
from oxllm.core.routing.ticket import Ticket

Skips = Sequence[tuple[Candidate, Skip]]
"""Candidates that were skipped, and why."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Balancer:
    """Chooses among the candidates of a route. Stateless: the candidates keep what decides whose turn it is."""

    __slots__ = ()

    def choose(self, route: Route, tried: Container[TargetState], now: float) -> tuple[Candidate | None, Skips]:
        """The next candidate, or None if all are skipped; and those that were skipped."""
        skips: list[tuple[Candidate, Skip]] | tuple[()] = ()
        for tier in route.tiers:
            best = None
            most = 0
            for candidate in tier:
                state = candidate.state
                provider = state.provider
                # The usual case takes comparisons only; `skip` finds out what is unusual, and whether it matters.
                if (
                    state.cooldown.until > now
                    or provider.cooldown.until > now
                    or not provider.breaker.closed
                    or provider.in_flight >= provider.limit
                    or state in tried
                ):
                    why = Skip.TRIED if state in tried else state.skip(now)
                    if why is not None:
                        skips = [*skips, (candidate, why)]
                        continue
                credit = candidate.credit + candidate.weight
                if best is None or credit > most:
                    best, most = candidate, credit
            if best is not None:
                return best, skips
        return None, skips

    def prefer(
        self, route: Route, tried: Container[TargetState], now: float, session: int
    ) -> tuple[Candidate | None, Skips, bool]:
        """As `choose`, for a session; and whether the session has decided between several candidates."""
        skips: list[tuple[Candidate, Skip]] = []
        for tier in route.tiers:
            usable = []
            for candidate in tier:
                why = Skip.TRIED if candidate.state in tried else candidate.state.skip(now)
                if why is None:
                    usable.append(candidate)
                else:
                    skips.append((candidate, why))
            if usable:
                best = max(usable, key=lambda candidate: score(session, candidate.number, candidate.weight))
                return best, skips, len(usable) > 1
        return None, skips, False

    def last_resort(self, route: Route, tried: Container[TargetState], now: float) -> Candidate | None:
        """A candidate that may be asked when `choose` has found none and no attempt is in flight."""
        return next((one for one in route.candidates if one.state not in tried and one.state.last_resort(now)), None)

    def begin(
        self,
        route: Route,
        candidate: Candidate,
        tried: Container[TargetState],
        now: float,
        by_session: bool = False,
    ) -> Ticket:
        """Begin an attempt at a candidate just returned by `choose`, `prefer` or `last_resort`, and pay for its turn.

        Not if a session decided: requests without one would have to make up for all that sessions send to a target.
        Unless the breaker is closed, the attempt is a probe.
        """
        if route.turns and not by_session:  # without turns each is alone in its tier, and would gain what it pays
            self._pay(route, candidate, tried, now)
        state = candidate.state
        provider = state.provider
        breaker = provider.breaker
        probe = not breaker.closed
        if probe:
            breaker.begin_probe(now)
        provider.in_flight += 1
        state.counters.attempts += 1
        return Ticket(candidate, breaker.generation, probe, now)

    def _pay(self, route: Route, chosen: Candidate, tried: Container[TargetState], now: float) -> None:
        """Each usable candidate of the tier gains its weight; the chosen one pays the sum."""
        tier = next(tier for tier in route.tiers if chosen in tier)
        for candidate in tier:
            if candidate.state not in tried and candidate.state.skip(now) is None:
                candidate.credit += candidate.weight
                chosen.credit -= candidate.weight

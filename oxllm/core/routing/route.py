"""What serves one `model` name: candidates in tiers, the best tier first.

A candidate is one entry of one route and holds what is specific to that entry (tier, weight, timeouts); what is known
of its target is shared with all other routes that list it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from itertools import groupby
from operator import attrgetter
from typing import Final

from oxllm import plan as plans
from oxllm.core.reading.outcome import RULES, Kind, Outcome
from oxllm.core.routing.affinity import target_number
from oxllm.core.routing.cooldown import Skip
from oxllm.core.routing.owners import Owner
from oxllm.core.routing.stats import RequestCounters
from oxllm.core.routing.targets import TargetState

REACH_S: Final = 60.0
"""A recovery further off than this is no use to a client's retry: SDKs honour no longer hint."""
HOPELESS: Final = frozenset({Skip.OFFLINE, Skip.QUOTA, Skip.AUTH, Skip.MISSING})
"""Reasons that somebody has to act on: waiting a minute does not help."""
HEALTHY: Final[frozenset[Skip | None]] = frozenset({None, Skip.PROBING, Skip.FULL})
"""Reasons that do not take a name off /v1/models: it is served, only not at this moment."""


class Candidate:
    """One entry of one route."""

    __slots__ = ("credit", "number", "plan", "state", "tier", "timeouts", "weight")

    def __init__(self, state: TargetState, tier: int, weight: int, timeouts: plans.Timeouts) -> None:
        self.state = state
        self.tier = tier
        self.weight = weight
        self.timeouts = timeouts
        self.plan = state.provider.plan
        """The provider's configuration as of this route; `state.provider.plan` is that of the newest reload."""
        self.number = target_number(state.name)
        """For affinity: the same in every process."""
        self.credit = 0
        """Its credit towards a turn, kept for the balancer."""

    def __repr__(self) -> str:
        return f"<Candidate {self.state.name} tier {self.tier} weight {self.weight}>"


Outlook = tuple[Candidate, Skip | None, float | None]
"""A candidate, why it cannot be asked now, and the seconds until that is over."""
Recovery = tuple[float | None, list[Outlook]]
"""Seconds until some candidate can be asked (None: not within REACH_S), and the outlook of each."""


class Route:
    """What serves one `model` name."""

    __slots__ = (
        "_speaking",
        "affinity",
        "candidates",
        "content_filter_failover",
        "counters",
        "hedge_after",
        "hold_back",
        "name",
        "request",
        "tiers",
        "turns",
    )

    def __init__(
        self,
        name: str,
        candidates: Iterable[Candidate],
        request: float,
        hedge_after: float | None = None,
        hold_back: plans.HoldBack = plans.HoldBack(),  # noqa: B008  frozen
        counters: RequestCounters | None = None,
        affinity: bool = True,
        content_filter_failover: bool = False,
    ) -> None:
        self.name = name
        self.candidates = tuple(sorted(candidates, key=attrgetter("tier")))
        """In order of tier, and within a tier as listed."""
        self.tiers = tuple(tuple(tier) for _, tier in groupby(self.candidates, attrgetter("tier")))
        self.request = request
        """Seconds that a whole request may take."""
        self.hedge_after = hedge_after
        self.hold_back = hold_back
        self.counters = counters or RequestCounters()
        self.turns = len(self.tiers) < len(self.candidates)
        """Whether some tier has several candidates, which take turns."""
        self.affinity = affinity and self.turns
        """Whether a session prefers one of several targets of a tier."""
        self.content_filter_failover = content_filter_failover
        """Whether a prompt that one provider has refused for its content is sent to another."""
        self._speaking: dict[str, Route | None] = {}

    def __repr__(self) -> str:
        return f"<Route {self.name!r} {list(self.candidates)}>"

    def speaking(self, protocol: str) -> Route | None:
        """The route over only those candidates whose provider speaks a protocol; None if none does."""
        if protocol not in self._speaking:
            self._speaking[protocol] = self._only(protocol)
        return self._speaking[protocol]

    def _only(self, protocol: str) -> Route | None:
        speaking = [candidate for candidate in self.candidates if protocol in candidate.plan.protocols]
        if len(speaking) == len(self.candidates):
            return self
        return self._over(speaking) if speaking else None

    def at(self, owner: Owner) -> Route:
        """The route over only its candidates at one provider; there may be none."""
        return self._over([candidate for candidate in self.candidates if candidate.state.provider.owner == owner])

    def _over(self, candidates: list[Candidate]) -> Route:
        return Route(
            self.name,
            candidates,
            self.request,
            self.hedge_after,
            self.hold_back,
            self.counters,
            self.affinity,
            self.content_filter_failover,
        )

    def usable(self, now: float, tried: Container[TargetState] = ()) -> bool:
        """Whether some candidate outside `tried` can be asked now."""
        return any(c.state not in tried and c.state.skip(now) is None for c in self.candidates)

    def fails_over(self, result: Outcome) -> bool:
        """Whether another target may be asked after such a result."""
        return RULES[result.kind].failover or (self.content_filter_failover and result.kind is Kind.CONTENT_REFUSED)

    def healthy(self, now: float) -> bool:
        """Whether some candidate is served, if perhaps not at this moment."""
        return any(candidate.state.skip(now) in HEALTHY for candidate in self.candidates)

    def recovery(self, now: float) -> Recovery:
        """When some candidate can be asked again, and the outlook of each."""
        states = [(candidate, *candidate.state.outlook(now)) for candidate in self.candidates]
        within = [left for _, skip, left in states if skip not in HOPELESS and left is not None and left <= REACH_S]
        return min(within, default=None), states

"""The routes of one configuration: what a client's `model` may name, on top of state that outlives it."""

from __future__ import annotations

import random

from oxllm import plan as plans
from oxllm.core.native import mypyc_attr
from oxllm.core.routing.balancer import Balancer
from oxllm.core.routing.names import Names
from oxllm.core.routing.owners import Owner
from oxllm.core.routing.results import Results
from oxllm.core.routing.route import Candidate, Route
from oxllm.core.routing.similar import similar
from oxllm.core.routing.stats import RequestCounters
from oxllm.core.routing.targets import ProviderState, TargetState

OF_NO_MODEL = ""
"""Stands in for the model in requests about stored answers whose model is not remembered."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Router:
    """All routes of a configuration. What is known of providers and targets outlives it."""

    __slots__ = ("_keeping", "_names", "_request", "_routes", "_virtual", "balancer", "providers", "results")

    def __init__(self, plan: plans.Plan, rng: random.Random, previous: Router | None = None) -> None:
        """Routes for `plan`. Takes over the state of what is unchanged from `previous`, the router that it replaces."""
        self.balancer = Balancer()
        self.results = Results(rng, plan.server.predictive_cooldown)
        self._request = plan.request
        self._keeping: RequestCounters = previous._keeping if previous is not None else RequestCounters()
        """For requests OF_NO_MODEL."""
        self.providers: dict[str, ProviderState] = {}
        """Enabled ones, by name, in file order."""
        for provider in plan.providers:
            known = previous.providers.get(provider.name) if previous is not None else None
            self.providers[provider.name] = _continued(known, provider, plan.breaker)
        counters = {name: route.counters for name, route in previous._routes.items()} if previous is not None else {}
        self._virtual = {
            model.name: self._virtual_route(model, counters.get(model.name)) for model in plan.virtual_models
        }
        self._routes: dict[str, Route] = self._direct_routes(plan.request, counters) | self._virtual
        """By the name that clients use; a virtual model takes precedence over a `provider/model` of the same name."""
        self._names = Names(self._routes)
        self._tell_targets()
        for state in self.providers.values():
            state.forget_dropped()

    def _virtual_route(self, model: plans.VirtualModel, counters: RequestCounters | None) -> Route:
        candidates = [
            Candidate(self.providers[target.provider].target(target.model), target.tier, target.weight, target.timeouts)
            for target in model.targets
        ]
        return Route(
            model.name,
            candidates,
            model.request,
            model.hedge_after,
            model.hold_back,
            counters,
            model.affinity,
            model.content_filter_failover,
        )

    def _direct_routes(self, request: float, counters: dict[str, RequestCounters]) -> dict[str, Route]:
        routes = {}
        for provider in self.providers.values():
            for model in provider.plan.models:
                name = f"{provider.name}/{model}"
                candidate = Candidate(provider.target(model), 1, 1, provider.plan.timeouts)
                routes[name] = Route(name, [candidate], request, counters=counters.get(name))
        return routes

    def _tell_targets(self) -> None:
        """Tell each target whether it is named, and which others it is listed with."""
        for provider in self.providers.values():
            models = frozenset(provider.plan.models)
            for target in provider.targets.values():
                target.is_current = target.model in models
                target.listings = ()
        lists: dict[frozenset[TargetState], None] = {}  # many virtual models may list the same targets
        for route in self._virtual.values():
            lists[frozenset(candidate.state for candidate in route.candidates)] = None
        for listed in lists:
            for target in listed:
                target.is_current = True
                target.listings += (listed,)

    # Names.

    def resolve(self, model: str) -> Route | None:
        """The route of a virtual model or of a listed `provider/model`; None if there is none of that name."""
        return self._names.find(model)

    def has(self, name: str) -> bool:
        """Whether requests may be counted under `name`: a route's, or a protocol's (see `keepers`)."""
        return name in self._routes or any(name in provider.plan.protocols for provider in self.providers.values())

    def similar(self, model: str) -> list[str]:
        """Up to three names that may have been meant, the likeliest first."""
        return similar(model, [name for name in self._routes if plans.ANY not in name])

    def similar_providers(self, name: str) -> list[str]:
        """Up to three providers that may have been meant, the likeliest first."""
        return similar(name, self.providers)

    def models(self, now: float, all: bool = False) -> list[str]:
        """The names that /v1/models shows, sorted: those with a healthy target, or `all`; never patterns."""
        names = {name: route for name, route in self._routes.items() if plans.ANY not in name}
        return sorted(name for name, route in names.items() if all or route.healthy(now))

    def keepers(self, protocol: str, now: float, owner: Owner | None = None, model: str = "") -> Route:
        """The route of a request about a stored answer: one target of each provider that speaks the protocol, in file
        order, or only of the answer's owner. Such a request names no model, so a mark on one target does not matter as
        long as the provider has another. It is counted under the `model` that the answer was made for, if known."""
        candidates: list[Candidate] = []
        for provider in self.providers.values():
            if protocol not in provider.plan.protocols or owner not in (None, provider.owner):
                continue
            if targets := provider.current_targets:
                target = next((one for one in targets if one.skip(now) is None), targets[0])
                candidates.append(Candidate(target, len(candidates) + 1, 1, provider.plan.timeouts))
        known = self._routes.get(model)
        if known is None:
            return Route(protocol, candidates, self._request, counters=self._keeping)
        return Route(model, candidates, self._request, counters=known.counters)

    # Operator.

    def offline(self, name: str) -> bool:
        """Send nothing to a provider until `online`, whatever happens. False if there is no such provider."""
        provider = self.providers.get(name)
        if provider is not None:
            provider.breaker.offline()
        return provider is not None

    def online(self, name: str) -> bool:
        """Undo `offline`; its breaker starts afresh. False if there is no such provider."""
        provider = self.providers.get(name)
        if provider is not None:
            provider.breaker.online()
        return provider is not None

    def reset(self, name: str) -> bool:
        """Forget a provider's failures, cool-off and marks; offline stays offline. False if there is none such."""
        provider = self.providers.get(name)
        if provider is not None:
            provider.reset()
        return provider is not None

    @property
    def counters(self) -> dict[str, RequestCounters]:
        """Those of each name that clients use; OF_NO_MODEL only if there were such requests."""
        counters = {name: route.counters for name, route in self._routes.items()}
        if self._keeping.requests:
            counters[OF_NO_MODEL] = self._keeping
        return counters


def _continued(known: ProviderState | None, provider: plans.Provider, breaker: plans.Breaker) -> ProviderState:
    """The state of a provider that was there before under the same URL, else a new one."""
    if known is None or known.plan.base_url != provider.base_url:
        return ProviderState(provider, breaker)
    if known.plan.api_key != provider.api_key:
        known.key_changed()
    known.adopt(provider, breaker)
    return known

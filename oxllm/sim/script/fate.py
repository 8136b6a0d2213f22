"""Which fault a request gets, and why.

Scenes are tried in order, and the faults of a scene in order; the first that strikes is the fate. All percentages of
a scene share one draw, laid end to end: `429 30%, 500 20%` strikes 30 and 20 of a hundred requests, not 30 and 14.
`x8` and `1/5` count the requests that get as far as them. A request has one fate: faults do not add up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from oxllm.sim.faults.base import Fault, Layer
from oxllm.sim.provider.chance import Chance
from oxllm.sim.provider.pace import FOREVER
from oxllm.sim.script.grammar import Dosed, Measure
from oxllm.sim.script.scenario import Scene


class Fate(msgspec.Struct, frozen=True):
    """`fault` None = a healthy answer."""

    fault: Fault | None
    why: str


CLEAN = Fate(None, "no scene struck")


class Judge:
    """Decides the fates at one provider. Its only state is how often each counted dose was tried."""

    __slots__ = ("_asked", "_provider", "_scenes", "_seed")

    def __init__(self, seed: int, provider: str, scenes: Sequence[Scene]) -> None:
        self._seed = seed
        self._provider = provider
        self._scenes = [(index, scene) for index, scene in enumerate(scenes) if provider in scene.on]
        self._asked: Counter[tuple[int, int]] = Counter()

    @property
    def idle(self) -> bool:
        """It has no scene, now or later."""
        return not self._scenes

    def request(self, key: str, ordinal: int, elapsed: float) -> Fate:
        """The fate of a request that arrived `elapsed` seconds after the start."""
        return self._decide(Layer.RESPONSE, Chance(self._seed, self._provider, key), ordinal, elapsed)

    def connection(self, ordinal: int, elapsed: float) -> Fate:
        """The fate of a connection when it is accepted."""
        return self._other(Layer.CONNECTION, ordinal, elapsed)

    def handshake(self, ordinal: int, elapsed: float) -> Fate:
        """The fate of a TLS handshake."""
        return self._other(Layer.HANDSHAKE, ordinal, elapsed)

    def listener(self, elapsed: float) -> Fate:
        """What strikes the port itself now."""
        return self._other(Layer.LISTENER, 0, elapsed)

    def playing(self, elapsed: float) -> list[Scene]:
        """The scenes that play now; those that count requests always do."""
        return [scene for _, scene in self._scenes if scene.when.first is not None or scene.when.has(elapsed, 0)]

    def next_change(self, elapsed: float) -> float:
        """When, after `elapsed`, a scene next begins or ends; infinite if none does."""
        edges = (edge for _, scene in self._scenes for edge in (scene.when.start, scene.when.end))
        return min((edge for edge in edges if edge > elapsed), default=FOREVER)

    def _other(self, layer: Layer, ordinal: int, elapsed: float) -> Fate:
        return self._decide(layer, Chance(self._seed, self._provider, f"{layer.value} {ordinal}"), ordinal, elapsed)

    def _decide(self, layer: Layer, chance: Chance, ordinal: int, elapsed: float) -> Fate:
        for index, scene in self._scenes:
            if not scene.when.has(elapsed, ordinal):
                continue
            draw, passed = chance.draw(f"scene {scene.name} {layer.value}"), 0.0
            for place, dosed in enumerate(scene.faults):
                if dosed.fault.strikes_at() is not layer:
                    continue
                if self._strikes(dosed, (index, place), draw - passed):
                    return Fate(dosed.fault, _reason(scene, dosed, draw))
                passed += dosed.dose.value if dosed.dose.measure is Measure.SHARE else 0.0
        return CLEAN

    def _strikes(self, dosed: Dosed, counter: tuple[int, int], draw: float) -> bool:
        dose = dosed.dose
        match dose.measure:
            case Measure.ALWAYS:
                return True
            case Measure.SHARE:
                return 0 <= draw < dose.value
        self._asked[counter] += 1
        asked = self._asked[counter]
        return asked <= dose.value if dose.measure is Measure.NEXT else asked % dose.value == 0


def _reason(scene: Scene, dosed: Dosed, draw: float) -> str:
    detail = f", draw {draw:.4f}" if dosed.dose.measure is Measure.SHARE else ""
    return f"scene {scene.name!r} ({scene.when}): {dosed}{detail}"

"""`oxllm sim shrink REPORT.json`: runs the search for the shortest scene that still fails, and writes the result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import msgspec

from oxllm.sim.provider import pace
from oxllm.sim.rehearsal import command, expect, gateway, shrink
from oxllm.sim.rehearsal.prepare import Prepared, prepare, questions
from oxllm.sim.rehearsal.replay import Replay
from oxllm.sim.rehearsal.report import Told
from oxllm.sim.rehearsal.request import Request
from oxllm.sim.rehearsal.schedule import Schedule
from oxllm.sim.rehearsal.shrink import OutOfTries, Trial
from oxllm.sim.script import writing
from oxllm.words import count

PYTEST = '''"""The shortest scene that was found under which `{rule}` is not kept; made by `oxllm sim shrink`."""

import subprocess
import sys
from pathlib import Path

SCENE = r"""
{scene}"""
COMMAND = {words!r}


def test_it_is_kept(tmp_path: Path) -> None:
    scene = tmp_path / "scene.toml"
    scene.write_text(SCENE, encoding="utf-8")
    command = [sys.executable, "-m", "oxllm", "sim", *COMMAND, "--scene", str(scene)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 4), done.stdout + done.stderr
'''


class Shrunk(msgspec.Struct, frozen=True):
    """The scene file, the rule that it breaks, and the rehearsal that plays it."""

    scene: str
    rule: str
    asked: Request

    def replay(self, scene: Path) -> Replay:
        """How to repeat it, from a scene file."""
        return msgspec.structs.replace(self.asked, scene=scene).replay(self.asked.seed)

    @property
    def pytest(self) -> str:
        """A test that fails as long as the rule is broken. To be run where the command was."""
        replay = self.asked.replay(self.asked.seed)
        words = [replay.option, replay.config, *replay.play[replay.play.index("--for") :], *replay.load]
        return PYTEST.format(rule=self.rule, scene=self.scene, words=words)


class Shrinking:
    """One search. `tries`: the most runs it may take; `say` is called with a line about each."""

    def __init__(self, told: Told, asked: Request, tries: int, say: Callable[[str], object]) -> None:
        """Raises UsageError."""
        if not told.card.failed:
            raise click.UsageError(f"that run has not failed ({told.card.verdict.value}): there is nothing to shrink")
        self._told = told
        self._rule = told.card.failed[0]
        self._asked = msgspec.structs.replace(asked, grade=(self._rule,))
        self._prepared = prepare(self._asked)
        self._tries = tries
        self._say = say
        self._known: dict[str, bool] = {}
        self._is_out = False
        """The tries were used up."""

    def run(self) -> Shrunk | None:
        """The shortest failing scene found; None if the run does not fail again. Raises ClickException if there were
        too few tries to know that."""
        turn = questions(self._asked, self._prepared).turn
        whole = Trial(self._prepared.scenario.scenes, Schedule(self._asked.rps).count(self._asked.duration))
        candidates = (*shrink.guesses(self._told.card, self._told.fates, turn), whole)
        best = shrink.shortest(candidates, self._fails, lambda trial: shrink.heard(trial, self._asked.rps))
        if best is None and self._is_out:
            tries = count(self._tries, "run")
            verb = "was" if self._tries == 1 else "were"
            raise click.ClickException(f"{tries} {verb} too few to play all of it again; give more --tries")
        if best is None:
            return None
        asked, prepared = self._planned(best)
        return Shrunk(self._written(prepared), self._rule, asked)

    def _fails(self, trial: Trial) -> bool:
        """Whether playing this breaks the rule. Raises OutOfTries."""
        asked, prepared = self._planned(trial)
        text = f"{trial.questions} {self._written(prepared)}"
        if text not in self._known:
            if len(self._known) >= self._tries:
                self._is_out = True
                raise OutOfTries
            run = command.play(asked, prepared, quietly=True)
            self._known[text] = not expect.met(self._rule, run.card, run.recorded.samples)
            self._say(f"run {len(self._known)}: {trial}: {'fails' if self._known[text] else 'passes'}")
        return self._known[text]

    def _planned(self, trial: Trial) -> tuple[Request, Prepared]:
        replace = msgspec.structs.replace
        seconds = shrink.seconds(trial.questions, self._asked.rps)
        scenario = replace(self._prepared.scenario, scenes=trial.scenes, chaos=None)
        asked = replace(
            self._asked, duration=seconds, seed=scenario.seed, scene=Path("scene.toml"), exhibit=None, blackout=False
        )
        return asked, replace(self._prepared, scenario=scenario, expectations=(self._rule,))

    def _written(self, prepared: Prepared) -> str:
        """The scene file, without the providers that the config alone makes the same."""
        usual = () if self._asked.against else gateway.upstreams(prepared.plan, pace.parse(self._asked.pace))
        upstreams = [upstream for upstream in prepared.scenario.upstreams if upstream not in usual]
        return writing.toml(upstreams, prepared.scenario.scenes)

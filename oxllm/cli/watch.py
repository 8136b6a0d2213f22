"""`oxllm status --watch`: a table that is redrawn, and keys that act on a provider."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from oxllm.cli.client import call, call_json, error_message, segment
from oxllm.cli.find import Gateway
from oxllm.cli.fitting import fitting
from oxllm.cli.keys import DOWN, ENTER, ESCAPE, UP, Keys
from oxllm.cli.options import Failure
from oxllm.cli.screen import Screen, columns, lines, paint
from oxllm.grid import BAD, HEAD, OFF, Still
from oxllm.status import Status
from oxllm.table import table
from oxllm.terminal import is_terminal
from oxllm.words import duration, printable, text_width

FAILURES_MAX = 8
"""Most lines about a provider's last failures."""
COMPLETE = "complete"
"""The result of an attempt that served its request."""
HELPS = (
    "j/k choose  Enter its failures  o offline/online  r reset  q quit",
    "j/k choose  Enter  o off/on  r  q quit",
)
"""What the keys do, for wide and for narrow terminals."""

Ask = Callable[[], Status | Failure]
Situation = tuple[frozenset[str], frozenset[str]]
"""What a message may be about: offline providers, and models without an available target."""


class Watch:
    """What is on the screen. `ask` returns the next status, and is called every `every_s` seconds."""

    def __init__(self, gateway: Callable[[], Gateway], ask: Ask, every_s: float) -> None:
        self._gateway = gateway
        self._ask = ask
        self._every_s = every_s
        self._earlier: Status | None = None
        self._shown: Status | None = None
        self._gone_at = 0.0
        self._still: Still | None = {} if is_terminal() else None
        self._chosen: str | None = None
        self._message = ""
        self._said_of: Situation | None = None
        """The situation that the message is about; None until the gateway's next answer."""
        self._failures: list[str] = []

    def run(self, first: Status) -> None:
        """Redraw until `q` or Ctrl-C."""
        answer: Status | Failure = first
        with Screen() as screen, Keys(is_terminal()) as keys:
            try:
                while True:
                    self._take(answer)
                    screen.draw(self._page(answer, keys.live))
                    while (key := keys.wait(self._every_s)) and not self._press(key):
                        screen.draw(self._page(answer, keys.live))
                    if key == "q":
                        return
                    answer = self._ask()
            except KeyboardInterrupt:
                return

    def _take(self, answer: Status | Failure) -> None:
        if isinstance(answer, Failure):
            self._say("")
            self._gone_at = self._gone_at or time.monotonic() - self._every_s
            return
        situation = _situation(answer)
        if self._said_of not in (None, situation) or (self._shown is not None and answer.uptime < self._shown.uptime):
            self._say("")
        self._said_of = situation if self._message else None
        self._earlier, self._shown = self._shown, answer
        self._gone_at = 0.0
        if self._chosen is not None and self._chosen not in {provider.name for provider in answer.providers}:
            self._choose(None)

    # Drawing.

    def _page(self, answer: Status | Failure, live: bool) -> str:
        below = [*self._failures, *([help_line()] if live else [])]
        if isinstance(answer, Failure):
            page = paint(self._gone(answer), BAD) + "\n"
            if self._shown is None:
                return page
            return page + table(self._shown, columns(), lambda text, _: paint(text, OFF), still=self._still)
        height = lines()
        shown, note = fitting(answer, None if height is None else height - len(below) - bool(below))
        page = table(shown, columns(), paint, self._earlier, self._still, self._chosen, answer) + note
        if self._message:
            below[-1:] = [self._message]
        return page + "".join(f"{line}\n" for line in ["", *map(self._cut, below)] if below)

    def _gone(self, failure: Failure) -> str:
        """The longest text that fits about the gateway not answering, and for how long."""
        since, width = duration(time.monotonic() - self._gone_at), columns()
        said = (f"{failure.message}, for {since} now; the last that was seen:", f"{failure.message}, for {since} now:")
        return next((text for text in said if width is None or text_width(text) <= width), f"gone for {since}:")

    @staticmethod
    def _cut(line: str) -> str:
        width = columns()
        return paint(line if width is None else line[:width], HEAD if line in HELPS else OFF)

    # Keys.

    def _press(self, key: str) -> bool:
        """Act on a key. True: ask for a new status now, or quit."""
        self._say("")
        if key in (DOWN, "j", UP, "k"):
            self._move(1 if key in (DOWN, "j") else -1)
        elif key == ESCAPE:
            self._choose(None)
        elif key == ENTER and self._chosen is not None:
            self._failures = [] if self._failures else self._last_failures(self._chosen)
        elif key in ("o", "r"):
            self._act(key)
            return True
        return key == "q"

    def _say(self, message: str) -> None:
        self._message, self._said_of = message, None

    def _choose(self, name: str | None) -> None:
        self._chosen, self._failures = name, []

    def _move(self, by: int) -> None:
        names = [provider.name for provider in self._shown.providers] if self._shown is not None else []
        if names:
            at = names.index(self._chosen) + by if self._chosen in names else 0 if by > 0 else -1
            self._choose(names[at % len(names)])

    def _act(self, key: str) -> None:
        provider = next((p for p in self._shown.providers if p.name == self._chosen), None) if self._shown else None
        if provider is None:
            self._message = "choose a provider first, with j and k"
            return
        verb = "reset" if key == "r" else "online" if provider.state == "offline" else "offline"
        try:
            response = call(self._gateway(), "POST", f"/admin/providers/{segment(provider.name)}/{verb}")
            answer = response.json() if response.status_code == 200 else {}
            said = answer.get("warnings") or [f"{printable(provider.name)}: {verb}"]
            self._message = said[0] if response.status_code == 200 else error_message(response)
        except Failure as failure:
            self._message = failure.message

    def _last_failures(self, name: str) -> list[str]:
        """Lines about its last failed attempts, newest first."""
        try:
            requests = call_json(self._gateway(), "GET", "/requests").get("requests") or []
        except Failure as failure:
            return [failure.message]
        found = [line for request in reversed(requests) for line in _failed(request, f"{name}/")]
        return [f"the last failures of {printable(name)}:", *found[:FAILURES_MAX]] if found else ["no failure is known"]


def help_line() -> str:
    """The longest help about the keys that fits."""
    width = columns()
    return next((text for text in HELPS if width is None or len(text) <= width), HELPS[-1])


def _situation(status: Status) -> Situation:
    offline = (provider.name for provider in status.providers if provider.state == "offline")
    unserved = (model.name for model in status.models if not model.served)
    return frozenset(offline), frozenset(unserved)


def _failed(request: dict[str, Any], prefix: str) -> Iterator[str]:
    """A line for each failed attempt of a request at a provider. The id comes early, so that it is never cut off."""
    for step in request.get("steps") or []:
        if str(step.get("target")).startswith(prefix) and step.get("result") != COMPLETE:
            clock = time.strftime("%H:%M:%S", time.localtime(float(request.get("time") or 0)))
            yield printable(f"  {clock}  {request.get('id')}  {step.get('target')}: {step.get('result')}")

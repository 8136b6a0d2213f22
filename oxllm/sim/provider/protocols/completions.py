"""Completions, the API before chat: `POST /v1/completions`. Each prompt gets `n` choices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from oxllm.sim.dialects.base import CREATED, Json, encode, event
from oxllm.sim.provider.exchange import Exchange, Operation
from oxllm.sim.provider.protocols.chat import DONE
from oxllm.sim.provider.reply import Part, Reply
from oxllm.sim.provider.request import (
    Ask,
    SimRequest,
    body,
    fingerprint,
    required,
    token_count,
    token_limit,
    whole_number,
)


class Completions(Operation):
    protocol = "completions"
    done = DONE

    def read(self, request: SimRequest, names: Mapping[str, str]) -> Ask:
        data = body(request)
        given = required(data, "prompt", (str, list))
        prompts = given if isinstance(given, list) and isinstance(given[0], str | list) else [given]
        options = data.get("stream_options")
        return Ask(
            model=data["model"],
            stream=data.get("stream") is True,
            n=len(prompts) * whole_number(data.get("n"), 1, 128, 1),
            wants_usage=isinstance(options, dict) and options.get("include_usage") is True,
            max_tokens=token_limit(data.get("max_tokens")),
            prompt_tokens=token_count(given),
            inputs=tuple(fingerprint(prompt) for prompt in prompts),
            generates=True,
        )

    def reply(self, x: Exchange) -> Reply:
        if x.ask.stream:
            return x.streamed(self._stream(x))
        choices = [_choice(index, x.text(*_of(x, index)), _finish_reason(x)) for index in range(x.ask.n)]
        whole = encode({**_base(x), "choices": choices, "usage": _usage(x)})
        return x.plain(whole, x.finished(x.length), x.length)

    def nothing(self, x: Exchange) -> bytes:
        return event({**_base(x), "choices": [_choice(0, "")]})

    def usage(self, x: Exchange) -> bytes:
        return event({**_base(x), "choices": [], "usage": _usage(x)})

    def _stream(self, x: Exchange) -> Iterator[Part]:
        base, deadlines = _base(x), x.deadlines()
        sources = [x.words(*_of(x, index)) for index in range(x.ask.n)]
        due = next(deadlines)
        yield Part(x.opening(due), b"", "preamble")
        for _ in range(x.length):
            for index, source in enumerate(sources):
                data = event({**base, "choices": [_choice(index, next(source))]})
                yield Part(due, data, "token", 1 if index == 0 else 0)
            due = next(deadlines)
        for index in range(x.ask.n):
            yield Part(due, event({**base, "choices": [_choice(index, "", _finish_reason(x))]}), "finish")
        if x.ask.wants_usage:
            yield Part(due, self.usage(x), "usage")
        yield Part(due, DONE, "done")


def _of(x: Exchange, index: int) -> tuple[int, int]:
    """The choice and the prompt that an index stands for."""
    prompt, choice = divmod(index, x.ask.n // len(x.ask.inputs))
    return choice, prompt


def _base(x: Exchange) -> Json:
    identity = x.identity("cmpl-", 24)
    return {"id": identity, "object": "text_completion", "created": CREATED, "model": x.ask.model}


def _choice(index: int, text: str, finish: str | None = None) -> Json:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish}


def _finish_reason(x: Exchange) -> str:
    return "length" if x.cut_short else "stop"


def _usage(x: Exchange) -> Json:
    asked, said = x.ask.prompt_tokens, x.tokens
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


COMPLETIONS = Completions()

"""Other JSON endpoints: rerank, moderations, images and speech, each in the simplest form that clients accept."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping

from oxllm.sim.dialects.base import CREATED, encode
from oxllm.sim.provider.chance import Chance
from oxllm.sim.provider.exchange import Exchange, Operation
from oxllm.sim.provider.reply import Part, Reply
from oxllm.sim.provider.request import Ask, SimRequest, body, fingerprint, required, token_count

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""The smallest possible picture: a PNG of one pixel."""
AUDIO_CHUNKS = 8


class Plain(Operation):
    """An endpoint whose answer depends on one field of the request."""

    protocol = "json"
    field: str

    def read(self, request: SimRequest, names: Mapping[str, str]) -> Ask:
        data = body(request)
        given = required(data, self.field, (str, list))
        asked = (fingerprint(given),)
        return Ask(model=data["model"], prompt_tokens=token_count(given), inputs=asked, data=data)


def ranks(seed: int, provider: str, fingerprint: str, count: int) -> list[tuple[int, float]]:
    """How a provider ranks `count` documents: index and score, best first."""
    chance = Chance(seed, provider, fingerprint)
    scores = [(index, round(chance.draw(f"score {index}"), 6)) for index in range(count)]
    return sorted(scores, key=lambda score: -score[1])


class Rerank(Plain):
    field = "documents"

    def reply(self, x: Exchange) -> Reply:
        found = ranks(x.seed, x.upstream.name, x.ask.inputs[0], len(x.ask.data["documents"]))
        results = [{"index": index, "relevance_score": score} for index, score in found]
        usage = {"total_tokens": x.ask.prompt_tokens}
        whole = {"id": x.identity("rerank-", 24), "model": x.ask.model, "results": results, "usage": usage}
        return x.plain(encode(whole), x.finished(1))


class Moderations(Plain):
    field = "input"
    categories = ("harassment", "hate", "self-harm", "sexual", "violence")

    def reply(self, x: Exchange) -> Reply:
        given = x.ask.data["input"]
        result = {
            "flagged": False,
            "categories": dict.fromkeys(self.categories, False),
            "category_scores": dict.fromkeys(self.categories, 0.0001),
        }
        results = [result] * (len(given) if isinstance(given, list) else 1)
        whole = {"id": x.identity("modr-", 24), "model": x.ask.model, "results": results}
        return x.plain(encode(whole), x.finished(1))


class Images(Plain):
    field = "prompt"

    def reply(self, x: Exchange) -> Reply:
        picture = {"b64_json": base64.b64encode(PIXEL).decode()}
        return x.plain(encode({"created": CREATED, "data": [picture]}), x.finished(1))


class Speech(Plain):
    """Audio is sent while it is made: bytes in chunks."""

    field = "input"

    def reply(self, x: Exchange) -> Reply:
        return x.streamed(self._sound(x), "audio/mpeg")

    def _sound(self, x: Exchange) -> Iterator[Part]:
        deadlines = x.deadlines()
        for chunk in range(AUDIO_CHUNKS):
            data = bytes.fromhex("fffb9064") + bytes.fromhex(x.answer_chance.hexadecimal(f"sound {chunk}", 128))
            yield Part(next(deadlines), data, "token" if chunk < AUDIO_CHUNKS - 1 else "finish", 1)


RERANK, MODERATIONS, IMAGES, SPEECH = Rerank(), Moderations(), Images(), Speech()

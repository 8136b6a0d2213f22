"""Embeddings: `POST /v1/embeddings`."""

from __future__ import annotations

from collections.abc import Mapping

from oxllm.sim.dialects.base import encode
from oxllm.sim.provider import text
from oxllm.sim.provider.exchange import Exchange, Operation
from oxllm.sim.provider.reply import Reply
from oxllm.sim.provider.request import Ask, SimRequest, body, fingerprint, required, token_count, whole_number

DIMENSIONS = 8
"""Length of a vector, unless the client says otherwise."""


class Embeddings(Operation):
    protocol = "embeddings"

    def read(self, request: SimRequest, names: Mapping[str, str]) -> Ask:
        data = body(request)
        given = required(data, "input", (str, list))
        texts = given if isinstance(given, list) and not isinstance(given[0], int) else [given]
        return Ask(
            model=data["model"],
            base64=data.get("encoding_format") == "base64",
            dimensions=whole_number(data.get("dimensions"), 1, 4096, DIMENSIONS),
            prompt_tokens=token_count(given),
            inputs=tuple(fingerprint(each) for each in texts),
        )

    def reply(self, x: Exchange) -> Reply:
        data = [
            {"object": "embedding", "index": index, "embedding": _vector(x, fingerprint)}
            for index, fingerprint in enumerate(x.ask.inputs)
        ]
        usage = {"prompt_tokens": x.ask.prompt_tokens, "total_tokens": x.ask.prompt_tokens}
        whole = encode({"object": "list", "data": data, "model": x.ask.model, "usage": usage})
        return x.plain(whole, x.finished(1))


def _vector(x: Exchange, fingerprint: str) -> list[float] | str:
    vector = text.vector(x.seed, x.upstream.name, fingerprint, x.ask.dimensions)
    return text.packed(vector) if x.ask.base64 else vector


EMBEDDINGS = Embeddings()

"""The request that a provider gets for one attempt: our head, and the client's body with another model in it."""

from __future__ import annotations

from typing import Final

from oxllm.core.request.attempt import Attempt
from oxllm.core.request.headers import upstream
from oxllm.core.wire.body import PassedBody, RequestBody
from oxllm.gateway.client.request import Request
from oxllm.gateway.observe.trace import Trace
from oxllm.gateway.runtime import Generation
from oxllm.gateway.upstream.call import Segments

TRACE: Final = b"traceparent"


def render(
    attempt: Attempt, body: RequestBody | PassedBody, request: Request, generation: Generation, trace: Trace | None
) -> tuple[bytes, Segments]:
    """Head and body. `trace`: ours, if the request is traced; else the client's own goes along."""
    facts, provider = attempt.facts, attempt.candidate.plan
    protocol = facts.protocol
    ask_usage = facts.stream and provider.usage_in_stream and protocol.stream_options
    length, segments = body.render(attempt.model, provider.extra_body, ask_usage)
    head = generation.upstream_head(provider, facts)
    if request.query and protocol.passes_query:
        head = head.replace(b" HTTP/1.1\r\n", b"?%b HTTP/1.1\r\n" % request.query, 1)
    head += upstream(request.fields.along, provider, protocol)
    parent = request.get(TRACE) if trace is None else trace.header(attempt.number)
    if parent is None:
        return b"%bcontent-length: %d\r\n\r\n" % (head, length), segments
    return b"%btraceparent: %b\r\ncontent-length: %d\r\n\r\n" % (head, parent, length), segments

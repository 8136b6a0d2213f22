"""The request of one attempt: our own head, and the client's body with the target's model in it."""

from __future__ import annotations

from oxllm.core.request.attempt import Attempt
from oxllm.core.request.headers import upstream
from oxllm.core.wire.body import PassedBody, RequestBody
from oxllm.gateway.client.request import Request
from oxllm.gateway.observe.trace import TRACEPARENT, Trace
from oxllm.gateway.runtime import Generation
from oxllm.gateway.upstream.call import Segments


def render(
    attempt: Attempt, body: RequestBody | PassedBody, request: Request, generation: Generation, trace: Trace | None
) -> tuple[bytes, Segments]:
    """Head and body. `trace`: ours, if the request is traced; else the client's own traceparent is passed on."""
    facts, provider = attempt.facts, attempt.candidate.plan
    protocol = facts.protocol
    ask_usage = facts.stream and provider.usage_in_stream and protocol.stream_options
    length, segments = body.render(attempt.model, provider.extra_body, ask_usage)
    head = generation.upstream_head(attempt.candidate, facts)
    if request.query and protocol.passes_query:
        head = head.replace(b" HTTP/1.1\r\n", b"?%b HTTP/1.1\r\n" % request.query, 1)
    passed = upstream(request.fields.along, provider, protocol)
    parent = request.get(TRACEPARENT) if trace is None else trace.header(attempt.number)
    if parent is not None:
        passed = b"%btraceparent: %b\r\n" % (passed, parent)
    return b"%b%bcontent-length: %d\r\n\r\n" % (head, passed, length), segments

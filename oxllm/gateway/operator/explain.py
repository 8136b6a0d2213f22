"""How one request went, in a few lines for a person."""

from __future__ import annotations

from oxllm.core.request.step import Step
from oxllm.core.routing.cooldown import Skip
from oxllm.gateway.observe.record import Record
from oxllm.words import printable, seconds


def text(record: Record) -> str:
    """A line for the outcome, one per attempt, one for skipped targets, one for the times."""
    width = max((len(step.target) for step in record.steps), default=0)
    lines = [f"{record.id}: {_outcome(record)}", *(_step(step, width) for step in record.steps)]
    skipped = [f"{target} ({why.value})" for target, why in record.skips.items() if why is not Skip.TRIED]
    if skipped:
        lines.append(f"skipped: {', '.join(skipped)}")
    lines.append(_times(record))
    return "".join(f"{printable(line)}\n" for line in lines)


def _outcome(record: Record) -> str:
    kind = f"{record.protocol} {record.model}{', stream' if record.stream else ''}"
    status = record.status or "no response"
    target = f"{record.provider}/{record.upstream_model}"
    if record.provider is None:
        return f"{kind}, {status}, failed"
    if record.error is None:
        return f"{kind}, {status}, served by {target}, attempt {record.attempts}"
    if record.status < 400:
        return f"{kind}, {status}, {target} began it on attempt {record.attempts}, then it broke"
    return f"{kind}, {status}, as {target} answered on attempt {record.attempts}"


def _step(step: Step, width: int) -> str:
    took = f"at {seconds(step.started)}, took {seconds(step.ended - step.started)}"
    took += ", where its session goes" if step.session else ""
    content = "" if step.content is None else f", content after {seconds(step.content - step.started)}"
    return f"{step.number}. {step.target:<{width}}  {took}: {step.result}{content}"


def _times(record: Record) -> str:
    parts = []
    if record.first_content is not None:
        parts.append(f"first content after {seconds(record.first_content)}")
    parts.append(f"ended after {seconds(record.total)}")
    if record.completion_tokens is not None:
        cached = f", {record.cached_tokens} of them cached" if record.cached_tokens else ""
        parts.append(f"{record.prompt_tokens}+{record.completion_tokens} tokens{cached}")
    times = ", ".join(parts)
    return times if record.error is None else f"{record.error}; {times}"

"""The report card as JUnit XML, for CI: a test case for each rule, and one for what was not tested."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from oxllm.sim.rehearsal import expect
from oxllm.sim.rehearsal.card import Card
from oxllm.sim.rehearsal.replay import Replay

SUITE = "oxllm rehearsal"


def junit(card: Card, rules: Sequence[str], seconds: float, replay: Replay) -> str:
    """The XML. A run that is not tested has a skipped case."""
    failed = set(card.failed)
    counts = {"tests": len(rules) + bool(card.untested), "failures": len(failed), "skipped": int(bool(card.untested))}
    attributes = {"name": SUITE, "time": f"{seconds:.3f}", **{name: str(count) for name, count in counts.items()}}
    suite = ET.Element("testsuite", attributes)
    for rule in rules:
        case = ET.SubElement(suite, "testcase", classname=SUITE, name=rule)
        if rule in failed:
            value = expect.measured(rule, card)
            message = "not so" if value is None else f"got {value:g}"
            ET.SubElement(case, "failure", message=message).text = _findings(card, replay)
    if card.untested:
        case = ET.SubElement(suite, "testcase", classname=SUITE, name="tested")
        ET.SubElement(case, "skipped", message="; ".join(card.untested))
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _findings(card: Card, replay: Replay) -> str:
    """The findings, and the commands that reproduce them."""
    lines = [line for finding in card.findings for line in (finding.what, *map(replay.fate, finding.coordinates))]
    return "\n".join([*lines, replay.run])

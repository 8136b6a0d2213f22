"""`oxllm doctor`: what on this machine, or on the way to a provider, would keep a gateway from serving."""

from __future__ import annotations

import click
import msgspec

from oxllm.cli.finding import FAIL, OK, WARN, Finding
from oxllm.cli.options import config_option, json_option, read_config


@click.command(short_help="Look for what keeps it from working.")
@config_option
@json_option
def command(config: str | None, as_json: bool) -> None:
    """Look at this machine (descriptors, memory, clock, kernel) and at the way to each provider (name, connection,
    TLS, proxy, clock, key), and say what to do about what is wrong.

    Exit: 0, 1 when something keeps a gateway from serving.
    """
    from oxllm.cli.machine import machine
    from oxllm.cli.ways import ways

    loaded = read_config(config)
    findings = [_configuration(config, len(loaded.errors), len(loaded.warnings)), *machine(loaded.plan)]
    if loaded.plan is not None:
        findings += ways(loaded.plan)
    if as_json:
        import json

        click.echo(json.dumps([msgspec.to_builtins(finding) for finding in findings], indent=2))
    else:
        _show(findings)
    if any(finding.state == FAIL for finding in findings):
        raise SystemExit(1)


def _configuration(config: str | None, errors: int, warnings: int) -> Finding:
    from oxllm.words import count, quoted

    fix = f"oxllm validate{f' -c {quoted(config)}' if config else ''} lists them"
    if errors:
        return Finding("configuration", FAIL, count(errors, "error"), fix)
    state = WARN if warnings else OK
    return Finding("configuration", state, count(warnings, "warning"), fix if warnings else "")


def _show(findings: list[Finding]) -> None:
    from oxllm.cli.screen import columns, paint, show
    from oxllm.grid import BAD, GOOD, WAIT, Column, Row, grid
    from oxllm.words import count

    moods = {OK: GOOD, WARN: WAIT, FAIL: BAD}
    titles = (
        Column("CHECK", number=False, firm=True),
        Column("STATE", number=False, firm=True),
        Column("FOUND", number=False),
    )
    rows = [Row((f.what, f.state, f.found), {"STATE": moods[f.state]}) for f in findings]
    show("".join(f"{line}\n" for line in grid(titles, rows, columns(), paint)))
    for finding in findings:
        if finding.fix:
            show(f"\n{paint(finding.what, moods[finding.state])}: {finding.fix}\n")
    bad = sum(finding.state != OK for finding in findings)
    show(f"\n{'all is well' if not bad else count(bad, 'finding') + ' of ' + str(len(findings))}\n")

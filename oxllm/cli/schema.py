"""`oxllm schema`: the configuration's JSON Schema."""

from __future__ import annotations

import click


@click.command(short_help="Print the JSON Schema of the configuration.")
def command() -> None:
    """Print the JSON Schema of the configuration, for editors that check TOML."""
    import json

    from oxllm.config.schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))

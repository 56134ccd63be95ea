"""``nnspec schema``: the language as JSON Schema."""

from __future__ import annotations

import click

from nnspec.cli.options import write


@click.command("schema")
@click.option("-o", "--output", metavar="FILE", help="Write it to a file.")
def command(output: str | None) -> None:
    """Print the JSON Schema (draft 7) of a spec, for completion and checks in an editor.

    In a spec: `# yaml-language-server: $schema=nnspec.schema.json`.
    """
    import json

    from nnspec.spec.schema import schema

    text = json.dumps(schema(), indent=1, ensure_ascii=False)
    if output is None:
        click.echo(text)
        return
    write(output, text + "\n")
    click.echo(f"wrote {output}", err=True)

"""``nnspec schema``: the language as JSON Schema."""

from __future__ import annotations

import click

from nnspec.cli.options import write


@click.command("schema")
@click.option("-o", "--output", metavar="FILE", help="Write it to a file.")
def command(output: str | None) -> None:
    """Print the JSON Schema (draft 7) of a spec, for completion and checks in an editor.

    In a spec: `# yaml-language-server: $schema=nnspec.schema.json`, as nnspec new writes it; after an update of nnspec,
    nnspec schema -o nnspec.schema.json brings it up to date.
    """
    if output is None:
        click.echo(text(), nl=False)
        return
    write(output, text())
    click.echo(f"wrote {output}", err=True)


def text() -> str:
    """The schema as a file has it: without spaces, which would double it."""
    import json

    from nnspec.spec.schema import schema

    return json.dumps(schema(), ensure_ascii=False, separators=(",", ":")) + "\n"

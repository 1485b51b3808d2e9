"""`nilatron configs`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nilatron.pipelines.cli.app import BAD_INPUT, app, fail

configs = typer.Typer(
    help="Chains as shipped: list them, show one, print where it lies, check one's own.", no_args_is_help=True
)
app.add_typer(configs, name="configs")


@configs.command("list")
def list_configs() -> None:
    """Names of the chains."""
    from nilatron.pipelines.chain.find import list_chains

    print("\n".join(list_chains()))


@configs.command("show")
def show_config(name: Annotated[str, typer.Argument(help="A name from `list`.")]) -> None:
    """The XML of a chain."""
    from nilatron.pipelines.chain.find import find_chain

    print(find_chain(name).xml.decode())


@configs.command("path")
def path_of_config(name: Annotated[str, typer.Argument(help="A name from `list`.")]) -> None:
    """Where the file of a chain lies."""
    from nilatron.pipelines.chain.find import find_chain

    print(find_chain(name).location)


@configs.command("check")
def check_config(file: Annotated[Path, typer.Argument(help="XML of a chain.")]) -> None:
    """Compare a chain with the grammar of Gadgetron: elements, attributes, names of stock gadgets."""
    from nilatron.pipelines.chain.grammar import check_grammar

    try:
        xml = file.read_bytes()
    except OSError as error:
        fail(f"cannot read {file}: {error.strerror}", BAD_INPUT)
    check_grammar(xml, str(file))
    print(f"{file}: Gadgetron would take it")

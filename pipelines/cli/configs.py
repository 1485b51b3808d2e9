"""`nilatron configs`."""

from __future__ import annotations

from typing import Annotated

import typer

from nilatron.pipelines.cli.app import app

configs = typer.Typer(help="Chains as shipped: list them, show one, or print where it lies.", no_args_is_help=True)
app.add_typer(configs, name="configs")


@configs.command("list")
def list_configs() -> None:
    """Names of the chains."""
    from nilatron.pipelines.chain import list_chains

    print("\n".join(list_chains()))


@configs.command("show")
def show_config(name: Annotated[str, typer.Argument(help="A name from `list`.")]) -> None:
    """The XML of a chain."""
    from nilatron.pipelines.chain import find_chain

    print(find_chain(name).xml.decode())


@configs.command("path")
def path_of_config(name: Annotated[str, typer.Argument(help="A name from `list`.")]) -> None:
    """Where the file of a chain lies."""
    from nilatron.pipelines.chain import find_chain

    print(find_chain(name).location)

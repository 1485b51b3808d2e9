"""`nilatron configs`."""

from __future__ import annotations

from typing import Annotated

import typer

from nilatron.pipelines.cli.app import BAD_INPUT, SETTING_UP, app, examples, fail, note, say, say_lines

configs = typer.Typer(
    help="Chains as shipped: list them, show one, print where it lies, check one's own.",
    no_args_is_help=True,
    epilog=examples("configs list", "configs show nila > own.xml", "configs check own.xml"),
)
app.add_typer(configs, name="configs", rich_help_panel=SETTING_UP)


@configs.command("list")
def list_configs() -> None:
    """Names of the chains, and what each does."""
    from nilatron.pipelines.chain.find import find_chain, list_chains

    names = list_chains()
    width = max(map(len, names), default=0)
    for name in names:
        say(f"{name.ljust(width)}  {find_chain(name).purpose}".rstrip())


@configs.command("show")
def show_config(name: Annotated[str, typer.Argument(help="A name from `list`.")]) -> None:
    """The XML of a chain."""
    from nilatron.pipelines.chain.find import find_chain

    say_lines(find_chain(name).xml.decode("utf-8-sig", "replace"))


@configs.command("path")
def path_of_config(name: Annotated[str, typer.Argument(help="A name from `list`.")]) -> None:
    """Where the file of a chain lies."""
    from nilatron.pipelines.chain.find import find_chain

    say(find_chain(name).location)


@configs.command("check")
def check_config(chain: Annotated[str, typer.Argument(help="XML file of a chain, or a name from `list`.")]) -> None:
    """Whether Gadgetron runs a chain and our node understands it: elements, classes, readers, targets, properties."""
    from nilatron.pipelines.chain.checks import chain_problems
    from nilatron.pipelines.chain.find import find_chain

    found = find_chain(chain)
    problems = chain_problems(found.xml, chain)
    for problem in problems:
        if not problem.fatal:
            note(f"{found.location}: note: {problem}")
    if fatal := [str(problem) for problem in problems if problem.fatal]:
        fail(f"{found.location} would not run as it is meant: {'; '.join(fatal)}", BAD_INPUT)
    say(f"{chain}: Gadgetron would take it")

"""Arguments that several commands take, with completion."""

from pathlib import Path

import click
from click.shell_completion import CompletionItem

from fusion.recipe_file import shipped


class RecipeName(click.ParamType):
    """The name of a shipped recipe, a file, or a run folder."""

    name = "recipe"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        names = [CompletionItem(name) for name in shipped() if name.startswith(incomplete)]
        return [*names, CompletionItem(incomplete, type="file")]


recipe_argument = click.argument("recipe", type=RecipeName())
overrides_argument = click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
run_argument = click.argument("run", type=click.Path(path_type=Path))

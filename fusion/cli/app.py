"""fusion app: try a run on a page of one's own."""

from pathlib import Path

import click

from fusion.cli.arguments import host_option, megabytes_option, names_option, port_option, run_argument
from fusion.cli.show import registry_argument
from fusion.errors import RunError
from fusion.registry import Registry

NEEDED = ("gradio", "fastapi", "uvicorn")


@click.command("app", short_help="Try a run on a web page.")
@run_argument
@host_option
@names_option
@port_option(7860)
@megabytes_option("Megabytes of all samples that are given at once.")
@click.option("--index", "name", help="Where to look for nearest rows, where RUN has several.")
@registry_argument
def command(
    registry: Registry,
    run: Path,
    host: str,
    names: tuple[str, ...],
    port: int,
    max_mb: float,
    name: str | None,
) -> None:
    """Open a page on which any mix of samples is answered: by the tasks of RUN, by classes that you name, by
    what each modality adds, and by the nearest rows of RUN's index (`fusion index`).

    Samples are sent as they are, never as a path or an address, and are not kept. It needs no network. Nobody
    is asked who they are: put a proxy in front before listening elsewhere than on this machine.

    \b
    fusion app runs/bind_digits
    fusion app runs/bind_digits --port 0
    """
    try:
        from fusion.app.page import build
        from fusion.serve.server import listen, serve, url
    except ModuleNotFoundError as error:
        if error.name not in NEEDED:
            raise
        raise RunError(f"the page needs {', '.join(NEEDED)}: pip install 'fusion-bind[app]'") from error
    from fusion.app.answers import Answers
    from fusion.inference import load
    from fusion.run import Run
    from fusion.search import Index

    with listen(host, port) as listening:
        opened = Run(run)
        predictor, index = load(opened, registry=registry), Index.of(opened, name, registry)
        page = build(Answers(predictor, index), round(max_mb * 1e6))
        serve(page, listening, lambda: click.echo(f"{run} is on {url(listening)}"), [host, *names])

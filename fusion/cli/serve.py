"""fusion serve: answer over HTTP."""

from pathlib import Path

import click

from fusion.cli.arguments import host_option, megabytes_option, names_option, port_option, run_argument
from fusion.cli.show import registry_argument
from fusion.errors import RunError
from fusion.registry import Registry

NEEDED = ("fastapi", "uvicorn", "prometheus_client", "python_multipart")


@click.command("serve", short_help="Answer over HTTP, many requests at once.")
@run_argument
@host_option
@names_option
@port_option(8000)
@click.option(
    "--batch",
    default=64,
    show_default=True,
    type=click.IntRange(1),
    help="Rows of one forward at most, whichever requests they are of.",
)
@click.option(
    "--wait",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 10_000),
    help="Milliseconds that a row waits for others, besides those in which a batch is answered.",
)
@click.option(
    "--queue",
    default=256,
    show_default=True,
    type=click.IntRange(1),
    help="Requests at once, and rows that wait; more are told to come again (429).",
)
@click.option(
    "--timeout",
    default=30.0,
    show_default=True,
    type=click.FloatRange(0.01),
    help="Seconds for a request (408, 504), and until one comes.",
)
@megabytes_option("Megabytes of a request (413).")
@click.option(
    "--max-rows", default=64, show_default=True, type=click.IntRange(1), help="Rows of a request (422)."
)
@click.option(
    "--max-text",
    default=20_000,
    show_default=True,
    type=click.IntRange(1),
    help="Characters of a text (422).",
)
@click.option("--index", "name", help="Which to search, where RUN has several.")
@registry_argument
def command(
    registry: Registry,
    run: Path,
    host: str,
    names: tuple[str, ...],
    port: int,
    batch: int,
    wait: float,
    queue: int,
    timeout: float,
    max_mb: float,
    max_rows: int,
    max_text: int,
    name: str | None,
) -> None:
    """Answer with RUN over HTTP: POST /encode, /predict and /search, GET /health, /metrics and /openapi.json.

    Samples come in the request itself, never as a path or an address. Nobody is asked who they are: put
    a proxy in front before listening elsewhere than on this machine. SIGTERM ends it when all is answered.

    \b
    fusion serve runs/bind_digits
    fusion serve runs/bind_digits --host 0.0.0.0 --port 80 --batch 128 --wait 5
    """
    try:
        from fusion.serve.api import Service, build
        from fusion.serve.server import listen, serve, url
    except ModuleNotFoundError as error:
        if error.name not in NEEDED:
            raise
        raise RunError(f"serving needs {', '.join(NEEDED)}: pip install 'fusion-bind[serve]'") from error
    from fusion.inference import load
    from fusion.run import Run
    from fusion.search import Index
    from fusion.serve.limits import Limits

    limits = Limits(round(max_mb * 1e6), max_rows, max_text, timeout, queue)
    with listen(host, port) as listening:
        opened = Run(run)
        predictor, index = load(opened, registry=registry), Index.of(opened, name, registry)
        service = Service(predictor, limits, batch, wait / 1000, index)
        ready = f"{run} answers on {url(listening)}"
        serve(build(service), listening, lambda: click.echo(ready), [host, *names], timeout)

"""fusion compare: put runs side by side, with means and deviations over their seeds."""

from pathlib import Path

import click

from fusion.cli.show import findings, json_option, registry_argument
from fusion.registry import Registry


@click.command("compare", short_help="Put runs side by side, mean and deviation.")
@click.argument("runs", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="RUN...")
@click.option("--measure", multiple=True, metavar="KEY", help="A key of metrics.json; the first decides.")
@click.option("--baseline", metavar="NAME", help="The version over which gains are told.")
@click.option("--retention/--no-retention", default=True, help="Measure what was kept of earlier runs.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="The page; by default compare.html beside the runs."
)
@json_option
@registry_argument
def command(
    registry: Registry,
    runs: tuple[Path, ...],
    measure: tuple[str, ...],
    baseline: str | None,
    retention: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Compare finished runs: tables, and a page with plots. A folder of runs stands for all in it.

    Runs whose recipes differ in the seed alone are one version, named by what tells it from the others; those
    in the folder of a study are its versions.
    Gains are told over the first version that starts from no earlier run, or over --baseline. What a
    version has kept of the run that it started from is measured once, which takes two evaluations.

    \b
    fusion compare runs/bind_digits runs/bind_digits-2
    fusion compare runs/studies/mine --measure zero_shot/image/accuracy --baseline scratch
    """
    from fusion.studies.compare import baselines, compare
    from fusion.studies.groups import PLAN, Arranged, arrange, group, runs_in
    from fusion.studies.kept import with_kept
    from fusion.studies.page import Findings, render

    found, unfinished = runs_in(runs)
    folder = found[0].folder.parent
    planned = len(runs) == 1 and (runs[0] / PLAN).is_file()
    known = arrange(runs[0], found) if planned else Arranged(*group(found), [], None)
    wanted, groups = baseline or known.baseline, known.groups
    if wanted is not None:
        baselines([one for one in groups if one.version.compared], wanted)  # a mistake is told at once
    groups, unknown = with_kept(groups, registry) if retention else (groups, [])
    comparison = compare(groups, measure or known.measures, wanted)
    unknown += [f"Not finished, and left out: {', '.join(unfinished)}."] if unfinished else []
    shown = Findings(folder.name or "runs", comparison, known.amount, unknown=unknown, command="compare")
    findings(shown, render(shown, out or folder / "compare.html"), as_json)

"""Put a comparison together: for a terminal, as JSON, and as one offline page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fusion.report.headline import Figure
from fusion.report.page import Section
from fusion.report.tables import Mark, Marked, Table
from fusion.report.template import template, write
from fusion.studies import amounts, figures, kept, matrix, picks, tables, words
from fusion.studies.compare import Comparison
from fusion.studies.notes import notes


class Findings(NamedTuple):
    """A comparison and what else has to be said of it."""

    name: str
    comparison: Comparison
    amount: str | None = None  # the dotted path of the axis of amounts
    failed: Mapping[str, str] = {}  # reasons by the name of the run
    unknown: Sequence[str] = ()  # why something is not known
    command: str = "study"  # that has made it

    def notes(self) -> list[str]:
        alike: dict[str, list[str]] = {}
        for name, reason in self.failed.items():
            alike.setdefault(reason, []).append(name)
        failed = [
            Marked(f"Failed and left out: {', '.join(names)}: {reason}", Mark.WORSE)
            for reason, names in alike.items()
        ]
        return [*failed, *notes(self.comparison), *self.unknown]

    def sections(self) -> list[Section]:
        """Return what there is to show, by heading; a section without content is left out."""
        found, path = self.comparison, self.amount
        gains, transfer = tables.gains(found), matrix.table(found)
        curves, needs = figures.over_amounts(found, path), amounts.table(found, path)
        every = [
            Section("results", "Results", [tables.values(found)], figures.values(found)),
            Section("gains", "Gain", gains, figures.gains(found)),
            Section("amounts", "How much is needed", needs, curves),
            Section("kept", "What was kept", kept.tables(found)),
            Section("matrix", "From source to source", transfer, figures.transfer(found)),
            Section("picks", "Model selection", picks.table(found)),
            Section("budget", "Budget", [tables.budget(found)]),
        ]
        return [section for section in every if section.tables or section.charts]

    def tables(self) -> list[Table]:
        return [table for section in self.sections() for table in section.tables]

    def record(self) -> dict[str, Any]:
        """Return everything as plain data with stable keys."""
        found = self.comparison
        return {
            "name": self.name,
            "measures": list(found.measures),
            "versions": {name: self._version(name) for name in found.groups},
            "needs": {
                line: [{"baseline": x, "bound": need.bound, "amount": need.amount} for x, need in of.items()]
                for line, of in amounts.needs(found, self.amount).items()
            },
            "matrix": {
                name: {source: value.record() for source, value in row.items()}
                for name, row in matrix.matrix(found).items()
            },
            "picks": [picked._asdict() for picked in picks.picks(found)],
            "failed": dict(self.failed),
            "notes": self.notes(),
        }

    def _version(self, name: str) -> dict[str, Any]:
        found = self.comparison
        group = found.groups[name]
        changes = {"kept": kept.kept(group, found.deciding), "zero_shot": kept.zero_shot(group)}
        return {
            "compared": group.version.compared,
            "amount": group.version.amount,
            "runs": {seed: str(run.folder) for seed, run in group.runs.items()},
            "values": {key: value.record() for key, value in found.values[name].items()},
            "baseline": found.baselines.get(name),
            "gains": {key: value.record() for key, value in found.gains.get(name, {}).items()},
            **{
                what: {
                    one.key: {
                        "before": one.before.record(),
                        "after": one.after.record(),
                        "share": one.left.record() if one.left.by_seed else None,
                    }
                    for one in of
                }
                for what, of in changes.items()
            },
        }


def render(findings: Findings, path: Path) -> Path:
    """Write the page and return its path."""
    page = template("study.html").render(
        name=findings.name,
        kind=f"fusion {findings.command}",
        headline=_headline(findings),
        notes=findings.notes(),
        sections=findings.sections(),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    return write(path, page)


def _headline(findings: Findings) -> list[Figure]:
    found = findings.comparison
    gains = {name: of[found.deciding] for name, of in found.gains.items() if found.deciding in of}
    runs = sum(len(group.runs) for group in found.compared.values())
    told = [Figure(str(len(found.compared)), "versions", f"{runs} runs")]
    if gains:
        best = max(gains, key=lambda name: gains[name].mean)
        text = words.gain(found.deciding, gains[best])
        told.append(
            Figure("none", "version gains", f"best: {best}, {text}")
            if gains[best].mean <= 0
            else Figure(
                text.partition(" ")[0], f"largest gain: {best}", f"{text}, {words.certainty(gains[best])}"
            )
        )
        losing = [gain for gain in gains.values() if gain.mean < 0]
        beyond = sum(not gain.within for gain in losing)
        told.append(
            Figure(
                f"{len(losing)} of {len(gains)}", "worse than the baseline", f"{beyond} beyond a deviation"
            )
        )
    return told

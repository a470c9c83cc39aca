"""Find plugins, quarantine the faulty ones, and look components up by name."""

import os
import traceback
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, NamedTuple

import pluggy

from fusion import builtin, hookspecs
from fusion.component import API, Component
from fusion.errors import PluginError, unknown

GROUP = "fusion"
HOOKS = {
    "encoder": "fusion_encoders",
    "fuser": "fusion_fusers",
    "objective": "fusion_objectives",
    "source": "fusion_sources",
    "augmentation": "fusion_augmentations",
    "corruption": "fusion_corruptions",
    "tuning": "fusion_tunings",
    "estimator": "fusion_estimators",
    "merging": "fusion_mergings",
    "prior": "fusion_priors",
    "compression": "fusion_compressions",
    "attack": "fusion_attacks",
    "logger": "fusion_loggers",
}
OF_A_MODALITY = ("encoder", "corruption")


class Origin(NamedTuple):
    """Who offers something: the plugin, and the distribution and version that it was installed with."""

    plugin: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"plugin {self.plugin!r} ({self.distribution} {self.version})".replace(" )", ")")


class Offer(NamedTuple):
    """A component of a kind, and who offers it."""

    kind: str
    component: Component
    origin: Origin


class Fault(NamedTuple):
    """Why a plugin, or one of its components, is in quarantine."""

    origin: Origin
    reason: str
    trace: str = ""

    def __str__(self) -> str:
        return f"{self.origin}: {self.reason}"


class Registry:
    """All components of all plugins.

    `plugins` adds modules to those installed, by name: for tests, and for parts written in a script.
    The environment variable FUSION_BLOCK names plugins that are not to be loaded, separated by commas.
    """

    def __init__(self, plugins: Mapping[str, ModuleType] | None = None) -> None:
        self.faults: list[Fault] = []
        self.blocked = {
            name.strip() for name in os.environ.get("FUSION_BLOCK", "").split(",") if name.strip()
        }
        self.origins: dict[str, Origin] = {}
        self._offers: dict[tuple[str, str], list[Offer]] = {}
        self._hooks = pluggy.PluginManager("fusion")
        self._hooks.add_hookspecs(hookspecs)
        self._register(Origin("builtin", "fusion", ""), builtin)
        for name, module in (plugins or {}).items():
            self._register(Origin(name, "given in Python", ""), module)
        for point in self._unique_entry_points():
            self._load(point)
        self._collect()

    def add(self, name: str, module: ModuleType) -> None:
        """Register a module that is not installed, such as a script; one without hooks adds nothing.

        Raises PluginError when the name is taken.
        """
        if any(self._hooks.parse_hookimpl_opts(module, attribute) for attribute in vars(module)):
            if name in self.origins:
                raise PluginError(
                    f"{name} is the name of {self.origins[name]}; rename the file, or give it once"
                )
            self._register(Origin(name, "given in Python", ""), module)
            self._offers.clear()
            self._collect()

    def find(self, kind: str, name: str) -> Offer:
        """Return the one component of this kind and name.

        Raises PluginError when there is none, when several plugins claim the name, or when the plugin
        that has it is in quarantine.
        """
        offers = self._offers.get((kind, name), [])
        if len(offers) == 1:
            return offers[0]
        if offers:
            claimed = " and ".join(str(offer.origin) for offer in offers)
            raise PluginError(
                f"{kind} {name!r} is offered by {claimed}; block one: FUSION_BLOCK={offers[-1].origin.plugin}"
            )
        hint = "".join(f"\n  in quarantine: {fault}" for fault in self.faults)
        hint += "".join(f"\n  blocked by FUSION_BLOCK: {plugin}" for plugin in sorted(self.blocked))
        raise PluginError(unknown(kind, name, self.names(kind)) + hint)

    def names(self, kind: str) -> list[str]:
        """Return the names of a kind that can be built, sorted."""
        return sorted(name for (of, name), offers in self._offers.items() if of == kind and len(offers) == 1)

    def __iter__(self) -> Iterator[Offer]:
        """Yield every component that can be built, by kind and name."""
        for kind in HOOKS:
            for name in self.names(kind):
                yield self._offers[kind, name][0]

    def notify(self, hook: str, **arguments: Any) -> None:
        """Call an event hook on every plugin; one that raises is quarantined and not called again."""
        for implementation in getattr(self._hooks.hook, hook).get_hookimpls():
            given = {name: arguments[name] for name in implementation.argnames}
            try:
                implementation.function(**given)
            except Exception as error:  # a logger must not end a training of days
                self._quarantine(self.origins[implementation.plugin_name], f"{hook} raised {error!r}", error)
                self._hooks.unregister(name=implementation.plugin_name)

    def _unique_entry_points(self) -> Iterator[EntryPoint]:
        points = sorted(entry_points(group=GROUP), key=lambda point: (point.name, _origin(point)))
        for point in points:
            rivals = [_origin(other) for other in points if other.name == point.name and other != point]
            if point.name in self.blocked:
                continue
            if rivals or point.name in self.origins:
                others = ", ".join(map(str, rivals or [self.origins[point.name]]))
                self._quarantine(_origin(point), f"the plugin name is also taken by {others}")
            else:
                yield point

    def _load(self, point: EntryPoint) -> None:
        origin = _origin(point)
        try:
            module = point.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plugin may even call sys.exit() when imported
            self._quarantine(origin, f"cannot be imported: {type(error).__name__}: {error}", error)
        else:
            self._register(origin, module)

    def _register(self, origin: Origin, module: Any) -> None:
        if not isinstance(module, ModuleType):
            self._quarantine(origin, f"is a {type(module).__name__}, not a module; name one as entry point")
            return
        if self._hooks.is_registered(module):
            self._quarantine(origin, f"is the same module as plugin {self._hooks.get_name(module)!r}")
            return
        api = vars(module).get("FUSION_API", API)
        if api != API:
            self._quarantine(
                origin, f"is written for plugin API {api}, this fusion has {API}; install one that fits"
            )
            return
        marked = [name for name in dir(module) if self._hooks.parse_hookimpl_opts(module, name) is not None]
        known = [name for name in vars(hookspecs) if name.startswith("fusion_")]
        unmarked = [name for name in known if callable(vars(module).get(name)) and name not in marked]
        if unmarked:
            self._quarantine(origin, f"{', '.join(unmarked)} is not marked with @fusion.hookimpl; mark it")
            return
        if strange := [name for name in marked if name not in known]:
            self._quarantine(origin, unknown("hook", strange[0], known))
            return
        try:
            self._hooks.register(module, name=origin.plugin)
            implemented = self._hooks.get_hookcallers(module)
        except pluggy.PluginValidationError as error:
            self._hooks.unregister(name=origin.plugin)
            self._quarantine(origin, " ".join(str(error).split()), error)
            return
        if not implemented:
            self._hooks.unregister(name=origin.plugin)
            self._quarantine(origin, "implements no hook; mark its functions with @fusion.hookimpl")
            return
        self.origins[origin.plugin] = origin

    def _collect(self) -> None:
        for kind, hook in HOOKS.items():
            for implementation in getattr(self._hooks.hook, hook).get_hookimpls():
                origin = self.origins[implementation.plugin_name]
                try:
                    components = _checked(kind, implementation.function())
                except (Exception, SystemExit) as error:
                    self._quarantine(origin, f"{hook}() failed: {error}", error)
                    continue
                for component in components:
                    self._offers.setdefault((kind, component.name), []).append(Offer(kind, component, origin))
        for (kind, name), offers in self._offers.items():
            if len(offers) > 1:
                self._contest(kind, name, offers)

    def _contest(self, kind: str, name: str, offers: list[Offer]) -> None:
        """No order decides who wins a name: the core's own stays, otherwise nobody gets it."""
        for offer in offers:
            others = ", ".join(str(other.origin) for other in offers if other is not offer)
            if offer.origin.plugin != "builtin":
                self._quarantine(offer.origin, f"{kind} {name!r} is also offered by {others}")
        offers[:] = [offer for offer in offers if offer.origin.plugin == "builtin"] or offers

    def _quarantine(self, origin: Origin, reason: str, error: BaseException | None = None) -> None:
        trace = "".join(traceback.format_exception(error)) if error else ""
        if not any((fault.origin, fault.reason) == (origin, reason) for fault in self.faults):
            self.faults.append(Fault(origin, reason, trace))


def _origin(point: EntryPoint) -> Origin:
    if point.dist is None:
        return Origin(point.name, point.value, "of unknown version")
    return Origin(point.name, point.dist.name, point.dist.version)


def _checked(kind: str, components: Any) -> list[Component]:
    if not isinstance(components, list) or not all(isinstance(item, Component) for item in components):
        raise PluginError(f"it returned {components!r}, not a list of fusion.Component")
    for component in components:
        if (kind in OF_A_MODALITY) != (component.modality is not None):
            raise PluginError(
                f"component {component.name}: {' and '.join(f'{one}s' for one in OF_A_MODALITY)}, and only "
                "they, name the modality they read"
            )
    return components

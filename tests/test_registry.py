"""Looking components up, and what happens at import and at run time."""

from types import ModuleType

import pytest

from fusion import Component, PluginError, Registry, hookimpl
from fusion.registry import HOOKS


def plugin(**hooks: object) -> ModuleType:
    module = ModuleType("plugin")
    for name, function in hooks.items():
        setattr(module, name, hookimpl(function))
    return module


def test_find_returns_the_component_and_who_offers_it(registry: Registry) -> None:
    offer = registry.find("encoder", "scratch-audio")
    assert offer.component.modality == "audio"
    assert (offer.origin.plugin, offer.origin.distribution) == ("scratch", "fusion-bind")
    assert str(registry.find("fuser", "mean").origin) == "plugin 'builtin' (fusion)"


def test_find_says_what_was_probably_meant(registry: Registry) -> None:
    message = r"unknown encoder 'scratch-audoi'; did you mean 'scratch-audio'\? known: .*scratch-text"
    with pytest.raises(PluginError, match=message):
        registry.find("encoder", "scratch-audoi")


def test_a_name_belongs_to_its_kind(registry: Registry) -> None:
    with pytest.raises(PluginError, match=r"unknown source 'mean'; known: .*digits"):
        registry.find("source", "mean")


def test_names_are_sorted_and_iteration_goes_by_kind_and_name(registry: Registry) -> None:
    names = registry.names("fuser")
    assert names == sorted(names)
    assert {"attend", "concat", "mean"} <= set(names)
    assert registry.names("sauce") == []
    walked = [(offer.kind, offer.component.name) for offer in registry]
    assert [name for kind, name in walked if kind == "fuser"] == names
    kinds = [kind for kind, _ in walked]
    assert kinds == sorted(kinds, key=[*HOOKS].index)


def test_a_plugin_given_in_python_is_one_like_others() -> None:
    mine = plugin(fusion_fusers=lambda: [Component("mine", "fusion.fusers.mean:Mean")])
    registry = Registry({"notebook": mine})
    assert registry.find("fuser", "mine").origin.plugin == "notebook"
    assert "scratch-text" in registry.names("encoder")


def test_the_same_component_twice_in_one_plugin_goes_to_nobody() -> None:
    twins = [Component("twin", "fusion.fusers.mean:Mean"), Component("twin", "fusion.fusers.gate:Gate")]
    registry = Registry({"notebook": plugin(fusion_fusers=lambda: twins)})
    with pytest.raises(PluginError, match="fuser 'twin' is offered by plugin 'notebook'"):
        registry.find("fuser", "twin")


def test_a_logger_hears_every_event_with_the_arguments_that_it_names() -> None:
    heard: list[object] = []
    registry = Registry({"logger": plugin(fusion_step_end=lambda step: heard.append(step))})
    registry.notify("fusion_step_end", step=1, losses={"align": 2.0})
    registry.notify("fusion_step_end", step=2, losses={"align": 1.0})
    assert heard == [1, 2]


def test_a_logger_that_raises_is_quarantined_and_not_called_again() -> None:
    calls: list[int] = []
    heard: list[int] = []

    def raising(step: int) -> None:
        calls.append(step)
        raise ConnectionError("no server")

    registry = Registry(
        {
            "raising": plugin(fusion_step_end=raising),
            "steady": plugin(fusion_step_end=lambda step: heard.append(step)),
        }
    )
    for step in (1, 2, 3):
        registry.notify("fusion_step_end", step=step, losses={})
    assert calls == [1]
    assert heard == [1, 2, 3]
    [fault] = registry.faults
    assert fault.origin.plugin == "raising"
    assert fault.reason == "fusion_step_end raised ConnectionError('no server')"
    assert "Traceback" in fault.trace


def test_a_hook_that_is_not_marked_is_told() -> None:
    def fusion_encoders() -> list[Component]:
        return []

    mine = plugin(fusion_fusers=lambda: [Component("mine", "fusion.fusers.mean:Mean")])
    mine.fusion_encoders = fusion_encoders  # type: ignore[attr-defined]
    registry = Registry({"notebook": mine})
    [fault] = registry.faults
    assert fault.reason == "fusion_encoders is not marked with @fusion.hookimpl; mark it"
    assert "mine" not in registry.names("fuser")

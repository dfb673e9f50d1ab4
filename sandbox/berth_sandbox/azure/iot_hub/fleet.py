"""The devices of a hub, and which deployments reach them when.

A deployment is run shortly after it was put and then in intervals; a run looks at the devices that changed.
Nothing happens until somebody looks: `settle` makes up for what should have happened by then.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from berth_sandbox.azure.iot_hub import content
from berth_sandbox.azure.iot_hub.agent import Conditions, Situation, Told
from berth_sandbox.azure.iot_hub.configuration import Configuration
from berth_sandbox.azure.iot_hub.content import Manifest
from berth_sandbox.azure.iot_hub.device import Device, Twin
from berth_sandbox.azure.iot_hub.manifest_rules import Rules, own_rules
from berth_sandbox.azure.iot_hub.modules import ModuleBacking, ModuleView
from berth_sandbox.azure.names import Document


@dataclass(frozen=True)
class Timing:
    """The seconds to the first run of a configuration and between runs, and how late queries see twins."""

    first_run: float = 5.0
    interval: float = 300.0
    query_lag: float = 30.0


@dataclass
class Deployment:
    """A configuration and whom it reaches; without `changed` the next run looks at every device."""

    configuration: Configuration
    first_run: float
    changed_since: float
    in_force: Configuration | None = None
    targeted: set[str] = field(default_factory=set)
    changed: set[str] | None = None

    def next_run(self, interval: float) -> float:
        """Return when the next run with something to do is."""
        if self.changed is not None and not self.changed:
            return math.inf
        return self.first_run + max(0, math.ceil((self.changed_since - self.first_run) / interval)) * interval

    def last_run(self, now: float, interval: float) -> float | None:
        """Return when the last run was."""
        if now < self.first_run:
            return None
        return self.first_run + math.floor((now - self.first_run) / interval) * interval


class _Telling:
    """Tells devices in one run; those in one situation that get the same deployment are worked out once."""

    def __init__(self, told_by: Callable[[frozenset[str], Manifest], Told], at: float) -> None:
        self._told_by = told_by
        self._at = at
        self._known: dict[tuple[frozenset[str], Situation], tuple[frozenset[str], Situation]] = {}

    def tell(self, device: Device, also: str = "", without: str = "") -> None:
        """Let one deployment more, or one less, mean a device."""
        key = device.deployments, device.situation
        if key not in self._known:
            deployments = frozenset({*device.deployments, also} - {"", without})
            self._known[key] = deployments, self._next(device.situation, deployments)
        device.deployments, device.situation = self._known[key]

    def _next(self, situation: Situation, deployments: frozenset[str]) -> Situation:
        told = self._told_by(deployments, situation.told.manifest)
        if told is situation.told:
            return situation
        return situation.then(self._at, told, situation.conditions)


class Fleet:
    """Keeps devices and tells them what deployments want of them; times are in seconds since 1970."""

    def __init__(self, timing: Timing, rules: Rules = own_rules) -> None:
        self.timing = timing
        self.rules = rules
        self.devices: dict[str, Device] = {}
        self.deployments: dict[str, Deployment] = {}
        self.conditions = Conditions()
        self.registrations = 0
        self.backing: ModuleBacking | None = None
        self._nothing = Told(Manifest({}))
        self._roots: dict[tuple[float, Conditions], Situation] = {}
        self._told: dict[tuple[object, ...], Told] = {}
        self._manifests: dict[str, Manifest] = {}

    def add(self, names: Iterable[str], now: float, number: int, tags: Document, *, is_edge: bool) -> None:
        """Register devices that share tags; all that are registered at once share their past."""
        self.settle(now)
        key = (now, self.conditions)
        if key not in self._roots:
            self._roots[key] = Situation(now, self._nothing, self.conditions, self.rules)
        twins = (Twin(now, tags),)
        self.registrations += 1
        for name in names:
            self.devices[name] = Device(name, number, self._roots[key], twins, is_edge)
            self._changed(name, now)

    def remove(self, name: str, now: float) -> None:
        """Forget a device."""
        self.settle(now)
        del self.devices[name]
        self.registrations += 1
        for deployment in self.deployments.values():
            deployment.targeted.discard(name)

    def change_twin(self, device: Device, twin: Twin) -> None:
        """Change the twin of a device from the twin's time on."""
        self.settle(twin.at)
        device.keep(twin, twin.at - self.timing.query_lag)
        self._changed(device.id, twin.at)

    def change_conditions(self, devices: Iterable[Device], conditions: Conditions, now: float) -> None:
        """Let devices fare differently from now on."""
        self.settle(now)
        for device in devices:
            device.situation = device.situation.then(now, device.situation.told, conditions)

    def put(self, configuration: Configuration) -> None:
        """Begin or change a deployment; it is run anew soon."""
        now = configuration.updated
        self.settle(now)
        first_run = now + self.timing.first_run
        known = self.deployments.get(configuration.id)
        begun = known or Deployment(configuration, first_run, now)
        self.deployments[configuration.id] = replace(
            begun, configuration=configuration, first_run=first_run, changed_since=now, changed=None
        )

    def withdraw(self, name: str, now: float) -> None:
        """End a deployment; whom it reached is told at once."""
        self.settle(now)
        ended, telling = self.deployments.pop(name), _Telling(self._told_by, now)
        for targeted in ended.targeted:
            telling.tell(self.devices[targeted], without=name)

    def tell_directly(self, device: Device, modules: content.Modules, now: float) -> None:
        """Tell one device what to run, without a deployment."""
        self.settle(now)
        told = Told(self._manifest([modules]))
        device.situation = device.situation.then(now, told, device.situation.conditions)

    def tell_backing(self, now: float) -> None:
        """Tell who really runs modules what is to run by now."""
        self.settle(now)
        for name, device in self.devices.items() if self.backing else ():
            if self.backing and self.backing.backs(name):
                lives = device.situation.lives(now)
                self.backing.run(name, {module: life.spec for module, life in lives.items()})

    def really_seen(self, device: Device, now: float) -> Mapping[str, ModuleView] | None:
        """Return what is to be seen of modules that really run, if those of the device do."""
        backing = self.backing
        return backing.views(device.id, now) if backing and backing.backs(device.id) else None

    def settle(self, now: float) -> None:
        """Let all runs take place that should have by now, one after the other."""
        interval = self.timing.interval
        while self.deployments:
            at, name = min(
                (deployment.next_run(interval), name) for name, deployment in self.deployments.items()
            )
            if at > now:
                return
            self._run(self.deployments[name], at)

    def _run(self, deployment: Deployment, at: float) -> None:
        before, wanted = deployment.in_force, deployment.configuration
        ranked_anew = bool(before and before.rank != wanted.rank)
        looked_at = self.devices if deployment.changed is None else deployment.changed
        deployment.in_force, deployment.changed = wanted, set()
        targets, telling = _targets(wanted), _Telling(self._told_by, at)
        for name in list(looked_at):
            device = self.devices.get(name)
            if device is None:
                continue
            was, is_now = name in deployment.targeted, targets(device)
            if is_now and (ranked_anew or not was):
                deployment.targeted.add(name)
                telling.tell(device, also=wanted.id)
            elif was and not is_now:
                deployment.targeted.discard(name)
                telling.tell(device, without=wanted.id)

    def _changed(self, name: str, now: float) -> None:
        for deployment in self.deployments.values():
            if deployment.changed is not None:
                if not deployment.changed:
                    deployment.changed_since = now
                deployment.changed.add(name)

    def _told_by(self, deployments: frozenset[str], present: Manifest) -> Told:
        """Return what deployments come to on a device that has a manifest."""
        wanted = [self.deployments[name].in_force for name in deployments]
        ranked = sorted((one for one in wanted if one and one.modules), key=lambda one: one.rank)
        key = (present, *((one.id, one.rank) for one in ranked))
        if key not in self._told:
            self._told[key] = self._stacked(ranked, present)
        return self._told[key]

    def _stacked(self, ranked: list[Configuration], present: Manifest) -> Told:
        """Put layers upon the highest full deployment; without one the device keeps what it has."""
        names = tuple(one.id for one in ranked)
        base = max((place for place, one in enumerate(ranked) if not one.is_layered), default=None)
        if base is None:
            return Told(present, (), names)
        applied: list[Configuration] = []
        for one in ranked[base:]:
            if not content.too_large(content.merged(_modules([*applied, one]))):
                applied.append(one)
        chosen = tuple(one.id for one in applied)
        others = tuple(name for name in names if name not in chosen)
        return Told(self._manifest(_modules(applied)), chosen, others)

    def _manifest(self, layers: Iterable[content.Modules]) -> Manifest:
        """Return one manifest for all that say the same."""
        twins = content.merged(layers)
        return self._manifests.setdefault(json.dumps(twins, sort_keys=True), Manifest(twins))


def _targets(configuration: Configuration) -> Callable[[Device], bool]:
    """Return the test of a target condition; devices that share a twin are tested once if they can be."""
    if ("deviceId",) in configuration.condition.paths:
        return lambda device: configuration.targets(device.row())
    known: dict[tuple[Twin, bool], bool] = {}

    def test(device: Device) -> bool:
        key = device.twin, device.is_edge
        if key not in known:
            known[key] = configuration.targets(device.row())
        return known[key]

    return test


def _modules(configurations: Iterable[Configuration]) -> list[content.Modules]:
    return [one.modules for one in configurations if one.modules is not None]

"""One IoT hub: its configurations, its devices, and what it refuses."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from berth_sandbox.azure.clock import Clock
from berth_sandbox.azure.iot_hub import configuration as configurations
from berth_sandbox.azure.iot_hub import content as contents
from berth_sandbox.azure.iot_hub import documents, errors, etags
from berth_sandbox.azure.iot_hub.agent import Conditions
from berth_sandbox.azure.iot_hub.configuration import Configuration
from berth_sandbox.azure.iot_hub.device import Device, key, with_changes
from berth_sandbox.azure.iot_hub.fleet import Fleet
from berth_sandbox.azure.iot_hub.limits import Sku
from berth_sandbox.azure.iot_hub.metrics import Metrics, Page
from berth_sandbox.azure.iot_hub.query.tokens import QueryError
from berth_sandbox.azure.names import Document

FIRST_NUMBER = 343_060_356  # of identities; where a hub begins is nobody's business
MOST_BYTES_OF_TAGS = 8 * 1024


@dataclass
class Hub:
    """Keeps what a hub keeps; raises `HubError` for what it refuses."""

    name: str
    clock: Clock
    fleet: Fleet
    sku: Sku = field(default_factory=Sku)

    def __post_init__(self) -> None:
        self.metrics = Metrics(self.fleet)
        self._secret = hashlib.sha256(self.name.encode()).digest()
        self._number = FIRST_NUMBER

    @property
    def now(self) -> float:
        """Return the service's time in seconds since 1970."""
        return self.clock.now().timestamp()

    def configuration(self, name: str) -> Document:
        """Return a configuration with its metrics."""
        self.fleet.settle(self.now)
        deployment = self.fleet.deployments.get(name)
        if deployment is None:
            raise errors.configuration_not_found(name)
        return documents.configuration(deployment.configuration, self.metrics.results(deployment, self.now))

    def configurations(self, top: int) -> list[Document]:
        """Return configurations with their metrics, as many as are asked for."""
        return [self.configuration(name) for name in sorted(self.fleet.deployments)[:top]]

    def put_configuration(self, name: str, body: Document, if_match: str | None) -> Document:
        """Create a configuration, or change all of it but its content."""
        configurations.check(name, body)
        content = {kind: (body.get("content") or {}).get(kind) for kind in contents.KINDS}
        content = {kind: value for kind, value in content.items() if value is not None}
        known = self.fleet.deployments.get(name)
        if known is None:
            self._check_new(name, content, if_match)
        else:
            _check_precondition(known.configuration, if_match)
            if content and content != known.configuration.content:
                raise errors.invalid_content()
        old = known.configuration if known else Configuration(name, content, self.now, self.now, version=0)
        self.fleet.put(
            replace(
                old,
                updated=self.now,
                version=old.version + 1,
                priority=body.get("priority") or 0,
                target_condition=body.get("targetCondition") or "",
                labels=body.get("labels") or {},
                queries=(body.get("metrics") or {}).get("queries") or {},
                schema_version=body.get("schemaVersion"),
            )
        )
        return self.configuration(name)

    def delete_configuration(self, name: str, if_match: str | None) -> None:
        """Delete a configuration; the devices that it reached are told."""
        deployment = self.fleet.deployments.get(name)
        if deployment is None:
            raise errors.configuration_not_found(name)
        required = etags.required(if_match)
        if required is not None and required != etags.of_number(deployment.configuration.version):
            raise errors.configuration_changed()
        self.fleet.withdraw(name, self.now)

    @staticmethod
    def test_queries(condition: str, queries: Mapping[str, str]) -> Document:
        """Tell what is wrong with a target condition and with queries of metrics."""
        found = {name: configurations.metric_error(text) for name, text in queries.items()}
        error = configurations.condition_error(condition)
        return {
            **({"targetConditionError": error} if error else {}),
            "customMetricQueryErrors": {name: text for name, text in found.items() if text},
        }

    def query(self, text: str, size: int, continuation: str | None) -> Page:
        """Return a part of what a query finds."""
        self.fleet.settle(self.now)
        try:
            return self.metrics.page(text, self.now, size, continuation)
        except QueryError as error:
            raise errors.invalid_query(str(error)) from error

    def device(self, name: str) -> Device:
        """Return a device that is registered, told all that it should have been told by now."""
        self.fleet.settle(self.now)
        if name not in self.fleet.devices:
            raise errors.device_not_found(name)
        return self.fleet.devices[name]

    def identity(self, name: str) -> Document:
        """Return the identity of a device."""
        return documents.identity(self.device(name), self.now, self._keys(name))

    def identities(self, top: int) -> list[Document]:
        """Return the identities of devices, as many as are asked for."""
        return [self.identity(name) for name in sorted(self.fleet.devices)[:top]]

    def put_device(self, name: str, body: Document, if_match: str | None) -> Document:
        """Register a device, or change its identity."""
        status = body.get("status") or "enabled"
        known = self.fleet.devices.get(name)
        if known is None:
            self.register([name], {}, is_edge=bool((body.get("capabilities") or {}).get("iotEdge")))
            self.fleet.devices[name].status = status
            return self.identity(name)
        if not etags.insists(if_match):
            raise errors.device_exists()
        required = etags.required(if_match)
        if required is not None and etags.number(required) != known.number:
            raise errors.device_changed(known.number, etags.number(required))
        known.number, known.status = known.number + 1, status
        return self.identity(name)

    def register(self, names: list[str], tags: Document, *, is_edge: bool = True) -> None:
        """Register devices that share tags."""
        self._number += 1
        self.fleet.add(names, self.now, self._number, tags, is_edge=is_edge)

    def delete_device(self, name: str, if_match: str | None) -> None:
        """Forget a device."""
        required, known = etags.required(if_match), self.device(name)
        if required is not None and etags.number(required) != known.number:
            raise errors.device_changed(known.number, etags.number(required))
        self.fleet.remove(name, self.now)

    def module(self, device: str, module: str) -> Document:
        """Return the identity of a module."""
        found = self.device(device)
        if module not in found.module_names():
            raise errors.module_not_found(device, module)
        return documents.module_identity(found, module, self.now, self._keys(device, module))

    def modules(self, device: str) -> list[Document]:
        """Return the identities of all modules of a device."""
        return [self.module(device, name) for name in self.device(device).module_names()]

    def put_module(self, device: str, module: str) -> Document:
        """Register a module that no deployment brought."""
        found = self.device(device)
        self._number += 1
        found.modules[module] = self._number
        return self.module(device, module)

    def delete_module(self, device: str, module: str) -> None:
        """Forget a module that no deployment brought."""
        if self.device(device).modules.pop(module, None) is None:
            raise errors.module_not_found(device, module)

    def twin(self, name: str) -> Document:
        """Return the twin of a device."""
        device = self.device(name)
        return documents.device_twin(device, device.twin, device.situation, self.now)

    def module_twin(self, name: str, module: str) -> Document:
        """Return the twin of a module; it is never old."""
        device = self.device(name)
        if module not in device.module_names():
            raise errors.module_not_found(name, module)
        seen = self.fleet.really_seen(device, self.now)
        return documents.module_twin(device, module, device.situation, self.now, seen)

    def change_twin(self, name: str, patch: Document, if_match: str | None) -> Document:
        """Change tags and desired properties of a device."""
        device = self.device(name)
        required = etags.required(if_match)
        if required is not None and required != etags.of_twin(device.twin.version):
            raise errors.device_changed(device.twin.version, 0)
        changed = with_changes(device.twin, self.now, patch)
        if _bytes(changed.tags) > MOST_BYTES_OF_TAGS or _bytes(changed.desired) > contents.MOST_BYTES:
            raise errors.twin_too_large()
        self.fleet.change_twin(device, changed)
        return self.twin(name)

    def apply(self, name: str, content: Document) -> None:
        """Tell one device what to run; where deployments mean it this is refused."""
        device = self.device(name)
        if "modulesContent" not in content or not device.is_edge:
            raise errors.invalid_content()
        contents.check({"modulesContent": content["modulesContent"]})
        if device.deployments:
            raise errors.invalid_argument("The device is the target of an automatic deployment.")
        self.fleet.tell_directly(device, content["modulesContent"], self.now)

    def fare(self, names: list[str], **changes: Any) -> None:  # noqa: ANN401 - fields of `Conditions`
        """Let devices fare differently from now on: offline, slow, or with images that fail there."""
        grouped: dict[Conditions, list[Device]] = {}
        for name in names:
            device = self.device(name)
            grouped.setdefault(device.situation.conditions, []).append(device)
        for conditions, devices in grouped.items():
            self.fleet.change_conditions(devices, replace(conditions, **changes), self.now)

    def report(self, name: str, patch: Document) -> None:
        """Let a device report properties of its own."""
        device = self.device(name)
        twin = device.twin
        reported = {**twin.reported, **patch}
        self.fleet.change_twin(
            device,
            replace(twin, at=self.now, reported=reported, reported_version=twin.reported_version + 1),
        )

    def statistics(self) -> tuple[Document, Document]:
        """Return how many devices there are, and how many of them are connected."""
        devices = self.fleet.devices.values()
        enabled = sum(1 for device in devices if device.status == "enabled")
        connected = sum(1 for device in devices if device.is_edge and device.situation.conditions.online)
        registry = {
            "totalDeviceCount": len(devices),
            "enabledDeviceCount": enabled,
            "disabledDeviceCount": len(devices) - enabled,
        }
        return registry, {"connectedDeviceCount": connected}

    def _check_new(self, name: str, content: Document, if_match: str | None) -> None:
        if etags.insists(if_match):
            raise errors.configuration_not_found(name)
        contents.check(content)
        if len(self.fleet.deployments) >= self.sku.configurations:
            raise errors.too_many_configurations(self.sku.configurations)

    def _keys(self, *names: str) -> tuple[str, str]:
        return key(self._secret, *names), key(self._secret, *names, "secondary")


def _check_precondition(known: Configuration, if_match: str | None) -> None:
    if not etags.insists(if_match):
        raise errors.configuration_exists(known.id)
    required = etags.required(if_match)
    if required is not None and required != etags.of_number(known.version):
        raise errors.configuration_changed()


def _bytes(section: Document) -> int:
    return contents.size(section)

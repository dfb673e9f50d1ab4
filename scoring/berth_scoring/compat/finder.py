"""Makes the import paths of Azure ML lead to this package."""

import importlib
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

REPLACED = {
    "azureml.contrib.services.aml_request": "berth_scoring.compat.aml_request",
    "azureml.contrib.services.aml_response": "berth_scoring.compat.aml_response",
    "azureml_inference_server_http.api.aml_request": "berth_scoring.compat.aml_request",
    "azureml_inference_server_http.api.aml_response": "berth_scoring.compat.aml_response",
}
"""Even where the real module is installed: its mark of a raw script would be read by another server."""

PROVIDED = {
    "azureml": None,
    "azureml.contrib": None,
    "azureml.contrib.services": None,
    "azureml.core": None,
    "azureml.core.model": "berth_scoring.compat.model",
    "azureml_inference_server_http": None,
    "azureml_inference_server_http.api": None,
}
"""Only where the image does not have the real one; None is an empty package."""


class _Exports(Loader):
    """Fills a module with the public names of another."""

    def __init__(self, source: str | None) -> None:
        self._source = source

    def exec_module(self, module: ModuleType) -> None:
        if self._source is not None:
            source = importlib.import_module(self._source)
            vars(module).update({name: getattr(source, name) for name in source.__all__})


class AzureModules(MetaPathFinder):
    """Finds the modules named in a table."""

    def __init__(self, modules: Mapping[str, str | None]) -> None:
        self._modules = modules

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to load a module of the table."""
        if fullname not in self._modules:
            return None
        source = self._modules[fullname]
        return ModuleSpec(fullname, _Exports(source), is_package=source is None)


def install() -> None:
    """Let imports of Azure ML's names succeed from now on."""
    if not any(isinstance(finder, AzureModules) for finder in sys.meta_path):
        sys.meta_path.insert(0, AzureModules(REPLACED))
        sys.meta_path.append(AzureModules(PROVIDED))

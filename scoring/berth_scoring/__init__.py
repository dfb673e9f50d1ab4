"""The scoring server of Berth."""

from importlib.metadata import version

__version__ = version("berth-scoring")

"""What can go wrong with a hub; all may be changed while it runs."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Faults:
    """Everything is well as long as nothing is set."""

    slow_seconds: float = 0.0
    """How long the hub takes to acknowledge what modules send."""
    flowing: asyncio.Event = field(default_factory=asyncio.Event)
    """While it is cleared the hub neither hears nor answers, over connections that stand."""
    refuse: int = 0
    """What CONNACK says instead of 0."""
    lose_acknowledgements: Counter[str] = field(default_factory=Counter)
    """How often a module's connection is cut in place of acknowledging a message, which is stored then."""

    def __post_init__(self) -> None:
        self.flowing.set()

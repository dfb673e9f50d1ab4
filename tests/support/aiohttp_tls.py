"""What aiohttp leaves to be done when a TLS connection ends early."""

import asyncio


async def let_connections_end() -> None:
    """Wait for the end of TLS connections whose answer was cut off: aiohttp closes them without waiting."""
    await asyncio.sleep(0.25)

"""What the sandbox says when it cannot go on."""


class SandboxError(Exception):
    """One clear sentence that names the cause and the remedy."""

from hashlib import sha256

MAX_LENGTH = 63
_HASH_LENGTH = 8


def child_name(*parts: str) -> str:
    """Join the parts into a name of at most 63 characters; one that was cut ends in a hash of the whole."""
    whole = "-".join(parts)
    if len(whole) <= MAX_LENGTH:
        return whole
    digest = sha256(whole.encode()).hexdigest()[:_HASH_LENGTH]
    return f"{whole[: MAX_LENGTH - _HASH_LENGTH - 1].rstrip('-.')}-{digest}"

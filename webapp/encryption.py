"""Shared Tokens at rest: MultiFernet, keys from ENCRYPTION_KEYS, the newest encrypts, any of them decrypts."""

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from webapp.config import current_config


class CannotDecrypt(Exception):
    """None of ENCRYPTION_KEYS opens this secret."""


def _fernet() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in current_config.encryption_keys])


def encrypt(secret: str) -> bytes:
    return _fernet().encrypt(secret.encode())


def decrypt(encrypted: bytes) -> str:
    """The secret; CannotDecrypt if it was encrypted under a key that is no longer given."""
    try:
        return _fernet().decrypt(encrypted).decode()
    except InvalidToken:
        raise CannotDecrypt from None


def renewed(encrypted: bytes) -> bytes | None:
    """The secret under the newest key; None where it is under that one already. CannotDecrypt as above."""
    newest = Fernet(current_config.encryption_keys[0])
    try:
        newest.decrypt(encrypted)
    except InvalidToken:
        return encrypt(decrypt(encrypted))
    return None

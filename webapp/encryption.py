"""Encryption of stored Shared Tokens, and of mails with sign-in links: MultiFernet with ENCRYPTION_KEYS. The newest key
encrypts, any key decrypts.
"""

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from webapp.config import current_config


class CannotDecrypt(Exception):
    """None of ENCRYPTION_KEYS can decrypt this secret."""


def _fernet() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in current_config.encryption_keys])


def encrypt(secret: str) -> bytes:
    return _fernet().encrypt(secret.encode())


def decrypt(encrypted: bytes) -> str:
    """The secret; CannotDecrypt if its key is no longer in ENCRYPTION_KEYS."""
    try:
        return _fernet().decrypt(encrypted).decode()
    except InvalidToken:
        raise CannotDecrypt from None


def renewed(encrypted: bytes) -> bytes | None:
    """The secret encrypted with the newest key, or None if it already is; CannotDecrypt as for `decrypt`."""
    newest = Fernet(current_config.encryption_keys[0])
    try:
        newest.decrypt(encrypted)
    except InvalidToken:
        return encrypt(decrypt(encrypted))
    return None

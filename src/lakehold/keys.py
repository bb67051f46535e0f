"""The platform's own keys: one secret file, from which each use derives its own key."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from lakehold.errors import ConfigurationInvalid

SIZE = 32
"""Bytes of the secret and of each derived key."""


@dataclass(frozen=True, slots=True)
class PlatformKeys:
    """Keys derived from the platform's secret (HKDF, RFC 5869)."""

    _secret: bytes = field(repr=False)

    @staticmethod
    def open(folder: Path) -> PlatformKeys:
        """Read the secret of a folder; at the first start, make it. It is never overwritten.

        Raises:
            ConfigurationInvalid: if the file is not ours alone, or not whole.
        """
        path = folder / "platform.key"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not path.exists():
                _make(path)
            mode = path.stat().st_mode
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ConfigurationInvalid(
                    f"{path} can be read by others", hint=f"chmod 600 {path}"
                )
            secret = path.read_bytes()
        except OSError as error:
            raise ConfigurationInvalid(
                f"the platform's key {path} cannot be used: {error.strerror}",
                hint="it belongs to the user that runs the platform, with mode 600",
            ) from None
        if len(secret) != SIZE:
            raise ConfigurationInvalid(
                f"{path} is damaged: it has {len(secret)} bytes, not {SIZE}",
                hint="restore it from a backup; tokens and the ledger depend on it",
            )
        return PlatformKeys(secret)

    def key(self, use: str) -> bytes:
        """The key for one use; 32 bytes."""
        derivation = HKDF(SHA256(), SIZE, salt=None, info=f"lakehold/{use}".encode())
        return derivation.derive(self._secret)


def _make(path: Path) -> None:
    """Write a new secret whole before it has its name; another that has it first stays."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(SIZE))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)
    finally:
        fresh.unlink()
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

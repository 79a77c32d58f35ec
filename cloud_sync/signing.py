"""Ed25519 (RFC 8032) for orders: the one door of this room to `cryptography`. To be imported only where it is used.

Keys are PEM files: the office's private key in PKCS 8, a site's copy of the public one as SubjectPublicKeyInfo.
"""

from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from sitekeeper.model.errors import StorageError
from sitekeeper.order import Sign, Verify


def signer(path: Path) -> Sign:
    """Return what signs with the private key in `path`.

    Raises:
        StorageError: the file cannot be read, others may read it, or it holds no such key.
    """
    try:
        if path.stat().st_mode & 0o077:
            raise StorageError(f"{path}: others may read or write this key; chmod 600 it")
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise StorageError(f"{path}: {error}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise StorageError(f"{path}: not an Ed25519 key")
    return key.sign


def verifier(path: Path) -> Verify:
    """Return what tells signatures of the public key in `path` from others.

    Raises:
        StorageError: the file cannot be read, others may write it, or it holds no such key.
    """
    try:
        if path.stat().st_mode & 0o022:
            raise StorageError(f"{path}: others may write this key, and so command this site; chmod 644 it")
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise StorageError(f"{path}: {error}") from None
    if not isinstance(key, Ed25519PublicKey):
        raise StorageError(f"{path}: not an Ed25519 key")

    def verify(signature: bytes, signed: bytes) -> bool:
        try:
            key.verify(signature, signed)
        except InvalidSignature:
            return False
        return True

    return verify

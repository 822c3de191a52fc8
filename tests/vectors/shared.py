"""What the scripts beside this one share: numbers, test values, Ed25519, HPKE (RFC 9180)."""

import hashlib
import hmac
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def be(number, size):
    return number.to_bytes(size, "big")


def v8(data):
    return be(len(data), 1) + data


def raw(public):
    return public.public_bytes(Encoding.Raw, PublicFormat.Raw)


def fill(label, size):
    """Bytes that look random and are the same each time."""
    return hashlib.shake_256(b"sottovoce test " + label.encode()).digest(size)


def extract(salt, ikm):
    return hmac.new(salt, ikm, "sha256").digest()


def expand(prk, info, size):
    out, block, number = b"", b"", 0
    while len(out) < size:
        number += 1
        block = hmac.new(prk, block + info + bytes([number]), "sha256").digest()
        out += block
    return out[:size]


KEM = b"KEM" + be(0x0020, 2)


HPKE = b"HPKE" + be(0x0020, 2) + be(0x0001, 2) + be(0x0001, 2)


def labeled_extract(suite, salt, label, ikm):
    return extract(salt, b"HPKE-v1" + suite + label + ikm)


def labeled_expand(suite, prk, label, info, size):
    return expand(prk, be(size, 2) + b"HPKE-v1" + suite + label + info, size)


def derive_key_pair(ikm):
    prk = labeled_extract(KEM, b"", b"dkp_prk", ikm)
    return X25519PrivateKey.from_private_bytes(labeled_expand(KEM, prk, b"sk", b"", 32))


def hpke_seal(receiver, ephemeral, info, aad, plaintext):
    enc = raw(ephemeral.public_key())
    dh = ephemeral.exchange(X25519PublicKey.from_public_bytes(receiver))
    eae_prk = labeled_extract(KEM, b"", b"eae_prk", dh)
    shared = labeled_expand(KEM, eae_prk, b"shared_secret", enc + receiver, 32)
    context = b"\0" + labeled_extract(HPKE, b"", b"psk_id_hash", b"") + labeled_extract(HPKE, b"", b"info_hash", info)
    secret = labeled_extract(HPKE, shared, b"secret", b"")
    key = labeled_expand(HPKE, secret, b"key", context, 16)
    nonce = labeled_expand(HPKE, secret, b"base_nonce", context, 12)
    return enc, AESGCM(key).encrypt(nonce, plaintext, aad)


def key(seed):
    return Ed25519PrivateKey.from_private_bytes(seed)


def fingerprint(public):
    return hashlib.sha256(b"sottovoce 1 identity" + public).digest()

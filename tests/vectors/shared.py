"""What the scripts beside this one share: encodings, hashes, HKDF, Ed25519, HPKE (RFC 9180), and
the files of vectors.

Needs Python 3.9 and the package `cryptography`.
"""

import hashlib
import hmac
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

HERE = Path(__file__).resolve().parent

# ---- encodings (SPEC section 2.2) ------------------------------------------------------------------------------------


def be(number, size):
    return number.to_bytes(size, "big")


def u8(number):
    return be(number, 1)


def u16(number):
    return be(number, 2)


def u32(number):
    return be(number, 4)


def u64(number):
    return be(number, 8)


def v8(data):
    return u8(len(data)) + data


def v16(data):
    return u16(len(data)) + data


def v32(data):
    return u32(len(data)) + data


def fill(label, size, of="sottovoce test "):
    """Bytes that look random and are the same each time."""
    return hashlib.shake_256((of + label).encode()).digest(size)


# ---- hashes ----------------------------------------------------------------------------------------------------------


def sha256(data):
    return hashlib.sha256(data).digest()


def mac(key, data):
    return hmac.new(key, data, "sha256").digest()


def extract(salt, ikm, name="sha256"):
    return hmac.new(salt, ikm, name).digest()


def expand(prk, info, size, name="sha256"):
    out, block, number = b"", b"", 0
    while len(out) < size:
        number += 1
        block = hmac.new(prk, block + info + bytes([number]), name).digest()
        out += block
    return out[:size]


def hkdf(salt, ikm, info, size):
    return expand(extract(salt, ikm), info, size)


def gcm(key, nonce, plaintext, aad=b""):
    return AESGCM(key).encrypt(nonce, plaintext, aad)


# ---- Ed25519 and identities ------------------------------------------------------------------------------------------


def raw(public):
    return public.public_bytes(Encoding.Raw, PublicFormat.Raw)


def key(seed):
    return Ed25519PrivateKey.from_private_bytes(seed)


def public(seed):
    return raw(key(seed).public_key())


def sign(seed, message):
    return key(seed).sign(message)


def fingerprint(identity):
    return sha256(b"sottovoce 1 identity" + identity)


# ---- HPKE (RFC 9180), base mode, KDF and AEAD 0x0001 -----------------------------------------------------------------


def labeled_extract(suite, salt, label, ikm):
    return extract(salt, b"HPKE-v1" + suite + label + ikm)


def labeled_expand(suite, prk, label, info, size):
    return expand(prk, u16(size) + b"HPKE-v1" + suite + label + info, size)


class X25519:
    """KEM 0x0020."""

    number = 0x0020
    suite = b"KEM" + u16(0x0020)

    def pair(self, ikm):
        prk = labeled_extract(self.suite, b"", b"dkp_prk", ikm)
        return X25519PrivateKey.from_private_bytes(labeled_expand(self.suite, prk, b"sk", b"", 32))

    def public(self, private):
        return raw(private.public_key())

    def private_bytes(self, private):
        return private.private_bytes_raw()

    def _secret(self, dh, context):
        eae_prk = labeled_extract(self.suite, b"", b"eae_prk", dh)
        return labeled_expand(self.suite, eae_prk, b"shared_secret", context, 32)

    def encap(self, receiver, coins):
        ephemeral = X25519PrivateKey.from_private_bytes(coins)
        enc = raw(ephemeral.public_key())
        return self._secret(ephemeral.exchange(X25519PublicKey.from_public_bytes(receiver)), enc + receiver), enc

    def decap(self, private, enc):
        dh = private.exchange(X25519PublicKey.from_public_bytes(enc))
        return self._secret(dh, enc + raw(private.public_key()))


def hpke_key(kem, secret, info):
    """(key, nonce) of the only message."""
    suite = b"HPKE" + u16(kem.number) + u16(1) + u16(1)
    context = b"\0" + labeled_extract(suite, b"", b"psk_id_hash", b"") + labeled_extract(suite, b"", b"info_hash", info)
    prk = labeled_extract(suite, secret, b"secret", b"")
    return labeled_expand(suite, prk, b"key", context, 16), labeled_expand(suite, prk, b"base_nonce", context, 12)


def hpke_seal(receiver, coins, info, aad, plaintext, kem=X25519()):
    """(encapsulation, ciphertext). The coins are random otherwise: the private half of the
    ephemeral key pair."""
    secret, enc = kem.encap(receiver, coins)
    key, nonce = hpke_key(kem, secret, info)
    return enc, gcm(key, nonce, plaintext, aad)


def hpke_open(private, enc, info, aad, ciphertext, kem=X25519()):
    key, nonce = hpke_key(kem, kem.decap(private, enc), info)
    return AESGCM(key).decrypt(nonce, ciphertext, aad)


def derive_key_pair(ikm, kem=X25519()):
    return kem.pair(ikm)


# ---- the files of vectors --------------------------------------------------------------------------------------------


class Form:
    """How the values of a file are written: one case a line, a topic, then name=value pairs.

    Numbers are decimal, texts are as they are, everything else is hex; lists have commas between.
    """

    def __init__(self, numbers=(), texts=(), lists=()):
        self.numbers, self.texts, self.lists = set(numbers), set(texts), set(lists)

    def text_of(self, name, value):
        if name in self.lists:
            return ",".join(self._text(name, one) for one in value)
        return self._text(name, value)

    def _text(self, name, value):
        if name in self.numbers:
            return str(int(value))
        return value if name in self.texts else value.hex()

    def value_of(self, name, text):
        if name in self.lists:
            return [self._value(name, one) for one in text.split(",") if one]
        return self._value(name, text)

    def _value(self, name, text):
        if name in self.numbers:
            return int(text)
        return text if name in self.texts else bytes.fromhex(text)

    def line(self, topic, case):
        return " ".join([topic, *(f"{name}={self.text_of(name, value)}" for name, value in case.items())])

    def cases(self, path):
        """The cases of a file, as (topic, values)."""
        for line in path.read_text(encoding="ascii").splitlines():
            if line and not line.startswith("#"):
                topic, *pairs = line.split(" ")
                yield topic, {name: self.value_of(name, text) for name, text in (pair.split("=", 1) for pair in pairs)}


def main(doc, name, header, lines):
    """Compares a file with what was derived now, line by line; with --write it writes the file
    first."""
    path, derived = HERE / name, [*header.splitlines(), *lines]
    if sys.argv[1:] == ["--write"]:
        path.write_text("\n".join(derived) + "\n", encoding="ascii")
    elif sys.argv[1:]:
        sys.exit(doc)
    held = path.read_text(encoding="ascii").splitlines()
    for number, (one, other) in enumerate(zip(held, derived), 1):
        for a, b in zip(one.split(" "), other.split(" ")):
            if a != b:
                sys.exit(f"{name}:{number}: the file has {a[:120]}, the derivation {b[:120]}")
        if one != other:
            sys.exit(f"{name}:{number}: a value is missing or left over")
    if len(held) != len(derived):
        sys.exit(f"{name}: {len(held)} lines, derived {len(derived)}")
    topics = {}
    for line in lines:
        topic = line.split(" ", 1)[0]
        topics[topic] = topics.get(topic, 0) + 1
    print(f"{name}: " + ", ".join(f"{count} {topic}" for topic, count in topics.items()))

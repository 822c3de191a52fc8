"""Encodings, hashes, strict Ed25519, AEAD and HPKE (SPEC.md section 2, control.md 14.5)."""

import hashlib
import hmac as _hmac
import os
import struct
import unicodedata

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class Bad(Exception):
    """Something that a rule refuses. Its text is the reason."""


def sha256(b):
    return hashlib.sha256(b).digest()


def hmac256(k, m):
    return _hmac.new(k, m, hashlib.sha256).digest()


def u8(x):
    return struct.pack(">B", x)


def u16(x):
    return struct.pack(">H", x)


def u32(x):
    return struct.pack(">I", x)


def u64(x):
    return struct.pack(">Q", x)


def v8(b):
    return u8(len(b)) + b


def v16(b):
    return u16(len(b)) + b


def v32(b):
    return u32(len(b)) + b


def hkdf_extract(salt, ikm, h=hashlib.sha256):
    if not salt:
        salt = b"\x00" * h().digest_size
    return _hmac.new(salt, ikm, h).digest()


def hkdf_expand(prk, info, n, h=hashlib.sha256):
    out = b""
    t = b""
    i = 1
    while len(out) < n:
        t = _hmac.new(prk, t + info + bytes([i]), h).digest()
        out += t
        i += 1
    return out[:n]


def hkdf(salt, ikm, info, n):
    return hkdf_expand(hkdf_extract(salt, ikm), info, n)


P = 2**255 - 19

L = 2**252 + 27742317777372353535851937790883648493

_o8 = [
    2707385501144840649318225287225658788936804267575313519463743609750303021220,
    55188659117513257062467267217118295137698188065244968500265048394206261417927,
]

_small_y = {0, 1, P - 1, P, P + 1, *_o8}

SMALL = {(y | s << 255).to_bytes(32, "little") for y in _small_y for s in (0, 1)}


def point_ok(a):
    """Rules 3 and 4 of SPEC.md 2.3 for a public key."""
    if len(a) != 32 or a in SMALL:
        return False
    y = int.from_bytes(a, "little") & 2**255 - 1
    if y >= P:
        return False
    d = -121665 * pow(121666, P - 2, P) % P
    u = (y * y - 1) % P
    v = (d * y * y + 1) % P
    x2 = u * pow(v, P - 2, P) % P
    if x2 == 0:
        return a[31] >> 7 == 0
    return pow(x2, (P - 1) // 2, P) == 1


_okc = {}


def point_ok_c(a):
    """`point_ok`, remembered: the same few keys are asked about again and again."""
    a = bytes(a)
    r = _okc.get(a)
    if r is None:
        if len(_okc) > 20000:
            _okc.clear()
        r = _okc[a] = point_ok(a)
    return r


def verify(a, sig, msg):
    """Whether a signature holds by the five rules of SPEC.md 2.3.

    The library computes the equation without the cofactor and compares bytes.
    """
    if len(a) != 32 or len(sig) != 64:
        return False
    if int.from_bytes(sig[32:], "little") >= L:
        return False
    if not point_ok_c(a) or bytes(sig[:32]) in SMALL:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(bytes(a)).verify(bytes(sig), msg)
        return True
    except (InvalidSignature, ValueError):
        return False


class SigKey:
    """An Ed25519 key pair."""

    def __init__(self, seed=None):
        self.seed = seed or os.urandom(32)
        self.k = Ed25519PrivateKey.from_private_bytes(self.seed)
        self.pub = self.k.public_key().public_bytes_raw()

    def sign(self, m):
        return self.k.sign(m)


def gcm_seal(k, n, pt, aad=b""):
    return AESGCM(k).encrypt(n, pt, aad)


def gcm_open(k, n, ct, aad=b""):
    try:
        return AESGCM(k).decrypt(n, ct, aad)
    except (InvalidTag, ValueError):
        raise Bad("aead")


KS = b"KEM" + u16(32)

HS = b"HPKE" + u16(32) + u16(1) + u16(1)


def _lx(sid, salt, label, ikm):
    return hkdf_extract(salt, b"HPKE-v1" + sid + label + ikm)


def _le(sid, prk, label, info, n):
    return hkdf_expand(prk, u16(n) + b"HPKE-v1" + sid + label + info, n)


class KemKey:
    """A key pair of DHKEM(X25519, HKDF-SHA256)."""

    def __init__(self, sk=None):
        self.k = X25519PrivateKey.from_private_bytes(sk) if sk else X25519PrivateKey.generate()
        self.pub = self.k.public_key().public_bytes_raw()
        self.sk = self.k.private_bytes_raw()

    @staticmethod
    def derive(ikm):
        prk = _lx(KS, b"", b"dkp_prk", ikm)
        return KemKey(_le(KS, prk, b"sk", b"", 32))


def _shared(dh, enc, pk):
    prk = _lx(KS, b"", b"eae_prk", dh)
    return _le(KS, prk, b"shared_secret", enc + pk, 32)


def _ks(shared, info):
    ctx = b"\x00" + _lx(HS, b"", b"psk_id_hash", b"") + _lx(HS, b"", b"info_hash", info)
    sec = _lx(HS, shared, b"secret", b"")
    return (_le(HS, sec, b"key", ctx, 16), _le(HS, sec, b"base_nonce", ctx, 12))


def hpke_seal(pk, info, aad, pt, coins=None):
    """Single-shot HPKE. A key that nothing can be sealed to is Bad (RFC 9180 7.1.4)."""
    e = KemKey.derive(coins) if coins else KemKey()
    try:
        dh = e.k.exchange(X25519PublicKey.from_public_bytes(pk))
    except ValueError:
        raise Bad("kem")
    k, n = _ks(_shared(dh, e.pub, pk), info)
    return (e.pub, gcm_seal(k, n, pt, aad))


def hpke_open(key, enc, info, aad, ct):
    if len(enc) != 32:
        raise Bad("kem length")
    try:
        dh = key.k.exchange(X25519PublicKey.from_public_bytes(enc))
    except ValueError:
        raise Bad("kem")
    k, n = _ks(_shared(dh, enc, key.pub), info)
    return gcm_open(k, n, ct, aad)


class R:
    """Reads structures of SPEC.md 2.2 and vectors of MLS. Whatever is short or left over is Bad."""

    def __init__(self, b):
        self.b = bytes(b)
        self.i = 0

    def take(self, n):
        if n < 0 or self.i + n > len(self.b):
            raise Bad("short")
        r = self.b[self.i : self.i + n]
        self.i += n
        return r

    def u8(self):
        return self.take(1)[0]

    def u16(self):
        return int.from_bytes(self.take(2), "big")

    def u32(self):
        return int.from_bytes(self.take(4), "big")

    def u64(self):
        return int.from_bytes(self.take(8), "big")

    def v8(self, mx=255):
        return self._v(self.u8(), mx)

    def v16(self, mx=65535):
        return self._v(self.u16(), mx)

    def v32(self, mx=1 << 32):
        return self._v(self.u32(), mx)

    def _v(self, n, mx):
        if n > mx:
            raise Bad("bound")
        return self.take(n)

    def left(self):
        return len(self.b) - self.i

    def rest(self):
        return self.take(self.left())

    def end(self):
        if self.left():
            raise Bad("left over")

    def vl(self):
        f = self.u8()
        p = f >> 6
        if p == 0:
            return f
        if p == 1:
            n = (f & 63) << 8 | self.u8()
            if n < 64:
                raise Bad("varint")
            return n
        if p == 2:
            n = (f & 63) << 24 | int.from_bytes(self.take(3), "big")
            if n < 1 << 14:
                raise Bad("varint")
            return n
        raise Bad("varint")

    def V(self):
        return self.take(self.vl())


def vl(n):
    if n < 64:
        return u8(n)
    if n < 1 << 14:
        return u16(n | 16384)
    return u32(n | 2147483648)


def V(b):
    return vl(len(b)) + b


def fingerprint(key):
    return sha256(b"sottovoce 1 identity" + key)


# Characters that no name has, and those that stand at neither of its ends (SPEC.md 6.1).
NOWHERE = {0x2028, 0x2029, 0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
NOT_AT_ENDS = {
    *(0x00AD, 0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFEFF, 0xFFA0),
    *range(0x180B, 0x180F),
    *range(0x200B, 0x200E),
    *range(0x2060, 0x2066),
    *range(0x206A, 0x2070),
    *range(0x1D173, 0x1D17B),
    *range(0xFFF9, 0xFFFC),
    *range(0xE0000, 0xE1000),
}
WHITE_SPACE = {
    *range(0x09, 0x0E),
    *(0x20, 0x85, 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000),
    *range(0x2000, 0x200B),
}


def name_ok(b):
    """Whether bytes are a name by SPEC.md 6.1."""
    if not 1 <= len(b) <= 64:
        return False
    try:
        s = b.decode("utf-8")
    except UnicodeDecodeError:
        return False
    if any(unicodedata.category(c) == "Cc" or ord(c) in NOWHERE for c in s):
        return False
    if 0xFE00 <= ord(s[0]) <= 0xFE0F:
        return False
    return not any(ord(c) in NOT_AT_ENDS or ord(c) in WHITE_SPACE for c in (s[0], s[-1]))

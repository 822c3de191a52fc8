"""X-Wing (draft-connolly-cfrg-xwing-kem-06), KEM 0x647A, with the coins of an encapsulation given.

`cryptography` makes keys and decapsulates. It draws the coins of ML-KEM itself, so the encryption
of FIPS 203 (algorithms 13 to 17 for k = 3) is written out here.
"""

import hashlib

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from shared import raw, u16

Q, K = 3329, 3
LABEL = bytes.fromhex("5c2e2f2f5e5c")
ZETA = [pow(17, int(f"{i:07b}"[::-1], 2), Q) for i in range(128)]
GAMMA = [pow(17, 2 * int(f"{i:07b}"[::-1], 2) + 1, Q) for i in range(128)]


def ntt(f):
    f, i, size = list(f), 1, 128
    while size >= 2:
        for start in range(0, 256, 2 * size):
            for j in range(start, start + size):
                t = ZETA[i] * f[j + size] % Q
                f[j + size], f[j] = (f[j] - t) % Q, (f[j] + t) % Q
            i += 1
        size //= 2
    return f


def inverse(f):
    f, i, size = list(f), 127, 2
    while size <= 128:
        for start in range(0, 256, 2 * size):
            for j in range(start, start + size):
                t = f[j]
                f[j], f[j + size] = (t + f[j + size]) % Q, ZETA[i] * (f[j + size] - t) % Q
            i -= 1
        size *= 2
    return [x * 3303 % Q for x in f]


def times(f, g):
    out = []
    for i in range(128):
        a, b, c, d = f[2 * i], f[2 * i + 1], g[2 * i], g[2 * i + 1]
        out += [(a * c + b * d * GAMMA[i]) % Q, (a * d + b * c) % Q]
    return out


def plus(*polynomials):
    return [sum(row) % Q for row in zip(*polynomials)]


def sample_ntt(seed):
    stream, out, at = hashlib.shake_128(seed).digest(168 * 8), [], 0
    while len(out) < 256:
        a, b, c = stream[at : at + 3]
        at += 3
        out += [d for d in (a + 256 * (b % 16), b // 16 + 16 * c) if d < Q]
    return out[:256]


def sample_cbd(seed, number):
    bits = int.from_bytes(hashlib.shake_256(seed + bytes([number])).digest(128), "little")
    pick = lambda i: (bits >> i & 1) + (bits >> i + 1 & 1)
    return [(pick(4 * i) - pick(4 * i + 2)) % Q for i in range(256)]


def compress(f, d):
    rounded = [((x << d) + Q // 2) // Q % (1 << d) for x in f]
    return sum(x << d * i for i, x in enumerate(rounded)).to_bytes(32 * d, "little")


def unpack(data, d):
    number = int.from_bytes(data, "little")
    return [number >> d * i & ((1 << d) - 1) for i in range(256)]


def mlkem_encap(ek, coins):
    """(secret, ciphertext) of FIPS 203 algorithm 17."""
    both = hashlib.sha3_512(coins + hashlib.sha3_256(ek).digest()).digest()
    secret, seed = both[:32], both[32:]
    t_hat = [unpack(ek[384 * i : 384 * (i + 1)], 12) for i in range(K)]
    rho = ek[384 * K :]
    y = [ntt(sample_cbd(seed, i)) for i in range(K)]
    rows = []
    for i in range(K):
        column = [times(sample_ntt(rho + bytes([i, j])), y[j]) for j in range(K)]
        rows.append(plus(inverse(plus(*column)), sample_cbd(seed, K + i)))
    message = [bit * 1665 for bit in unpack(coins, 1)]
    v = plus(inverse(plus(*(times(t_hat[j], y[j]) for j in range(K)))), sample_cbd(seed, 2 * K), message)
    return secret, b"".join(compress(u, 10) for u in rows) + compress(v, 4)


class XWing:
    """Private keys are seeds of 32 bytes."""

    number = 0x647A
    suite = b"KEM" + u16(0x647A)

    def pair(self, ikm):
        return hashlib.shake_256(ikm).digest(32)

    def private_bytes(self, seed):
        return seed

    def _halves(self, seed):
        both = hashlib.shake_256(seed).digest(96)
        return MLKEM768PrivateKey.from_seed_bytes(both[:64]), X25519PrivateKey.from_private_bytes(both[64:])

    def public(self, seed):
        one, other = self._halves(seed)
        return one.public_key().public_bytes_raw() + raw(other.public_key())

    def encap(self, receiver, coins):
        secret, ciphertext = mlkem_encap(receiver[:1184], coins[:32])
        ephemeral = X25519PrivateKey.from_private_bytes(coins[32:])
        enc = raw(ephemeral.public_key())
        dh = ephemeral.exchange(X25519PublicKey.from_public_bytes(receiver[1184:]))
        return hashlib.sha3_256(secret + dh + enc + receiver[1184:] + LABEL).digest(), ciphertext + enc

    def decap(self, seed, enc):
        one, other = self._halves(seed)
        secret, dh = one.decapsulate(enc[:1088]), other.exchange(X25519PublicKey.from_public_bytes(enc[1088:]))
        return hashlib.sha3_256(secret + dh + enc[1088:] + raw(other.public_key()) + LABEL).digest()

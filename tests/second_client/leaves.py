"""Leaves and KeyPackages (spec/mls.md M6 to M9), and the labelled functions of RFC 9420.

`form` and `verify` tell what MLS says of a leaf; what the room says of it is in credential.py.
"""

from primitives import (
    KemKey,
    R,
    Bad,
    V,
    hkdf_expand,
    hpke_open,
    hpke_seal,
    sha256,
    u8,
    u16,
    u32,
    u64,
)
from primitives import verify

SUITE = 1


def expl(sec, label, ctx, n):
    return hkdf_expand(sec, u16(n) + V(b"MLS 1.0 " + label) + V(ctx), n)


def derive(sec, label):
    return expl(sec, label, b"", 32)


def refhash(label, b):
    return sha256(V(label) + V(b))


def kpref(b):
    return refhash(b"MLS 1.0 KeyPackage Reference", b)


def signl(key, label, c):
    return key.sign(V(b"MLS 1.0 " + label) + V(c))


def verl(pub, label, c, sig):
    return verify(pub, sig, V(b"MLS 1.0 " + label) + V(c))


def encl(pk, label, ctx, pt):
    """EncryptWithLabel. To a key that HPKE cannot seal to goes a ciphertext of zeros (M32)."""
    try:
        return hpke_seal(pk, V(b"MLS 1.0 " + label) + V(ctx), b"", pt)
    except Bad:
        return bytes(32), bytes(len(pt) + 16)


def decl(key, label, ctx, kem, ct):
    return hpke_open(key, kem, V(b"MLS 1.0 " + label) + V(ctx), b"", ct)


class Broken(Bad):
    """A commit that is of a leaf for certain and cannot be processed (M21). `leaf` may be None."""

    def __init__(self, why, leaf=None):
        Bad.__init__(self, why)
        self.leaf = leaf


CAPS = bytes.fromhex("020001020001020006020008020001")

REQCAP = bytes.fromhex("020006020008020001")


class LeafNode:
    """A leaf as it was read, with its bytes. `form` is M6 and M7."""

    def __init__(self, r):
        i = r.i
        self.ek = r.V()
        self.sk = r.V()
        self.ctype = r.u16()
        if self.ctype == 1:
            self.cred = r.V()
        else:
            raise Bad("credential type")
        j = r.i
        for _ in range(5):
            r.V()
        self.caps = r.b[j : r.i]
        self.source = r.u8()
        self.life = None
        self.ph = b""
        if self.source == 1:
            self.life = (r.u64(), r.u64())
        elif self.source == 3:
            self.ph = r.V()
        elif self.source != 2:
            raise Bad("source")
        self.ext = r.V()
        self.tbs0 = r.b[i : r.i]
        self.sig = r.V()
        self.raw = r.b[i : r.i]

    def tbs(self, gid, idx):
        return self.tbs0 + (V(gid) + u32(idx) if self.source in (2, 3) else b"")

    def verify(self, gid, idx):
        return verl(self.sk, b"LeafNodeTBS", self.tbs(gid, idx), self.sig)

    def form(self):
        return self.caps == CAPS and self.ext == b"" and (self.source in (1, 3))

    @staticmethod
    def make(ek, sigkey, cred, life=None, ph=None, gid=None, idx=None):
        b = V(ek) + V(sigkey.pub) + u16(1) + V(cred) + CAPS
        b += u8(1) + u64(life[0]) + u64(life[1]) if life else u8(3) + V(ph)
        b += V(b"")
        sig = signl(sigkey, b"LeafNodeTBS", b + (b"" if life else V(gid) + u32(idx)))
        return LeafNode(R(b + V(sig)))


class Parent:
    """A parent node of the ratchet tree."""

    __slots__ = ("ek", "ph", "um")

    def __init__(self, ek, ph=b"", um=()):
        self.ek, self.ph, self.um = (ek, ph, list(um))

    def enc(self, um=None):
        um = self.um if um is None else um
        return V(self.ek) + V(self.ph) + V(b"".join((u32(x) for x in um)))


class KeyPackage:
    """A KeyPackage as it was read (M9)."""

    def __init__(self, b):
        r = R(b)
        self.raw = bytes(b)
        if r.u16() != 1 or r.u16() != SUITE:
            raise Bad("kp version")
        self.ik = r.V()
        self.leaf = LeafNode(r)
        self.ext = r.V()
        j = r.i
        self.sig = r.V()
        r.end()
        self.tbs = self.raw[:j]
        self.ref = kpref(self.raw)
        if self.leaf.source != 1:
            raise Bad("KeyPackage")

    def verify(self):
        """Whether MLS takes it. A key that nothing can be sealed to is no reason (M32)."""
        return (
            self.ext == b""
            and self.ik != self.leaf.ek
            and self.leaf.verify(b"", 0)
            and verl(self.leaf.sk, b"KeyPackageTBS", self.tbs, self.sig)
        )

    @staticmethod
    def from_msg(m):
        """Reads an MLSMessage with a KeyPackage and checks its signatures."""
        try:
            r = R(m)
            if r.u16() != 1 or r.u16() != 5:
                raise Bad("KeyPackage")
            kp = KeyPackage(r.rest())
            if not kp.verify():
                raise Bad("KeyPackage")
        except Bad:
            raise Bad("KeyPackage")
        return kp

    def msg(self):
        return u16(1) + u16(5) + self.raw


class OwnKP:
    """A KeyPackage of our own, with its private keys."""

    def __init__(self, sigkey, cred, life):
        self.sigkey = sigkey
        self.ik = KemKey()
        self.ek = KemKey()
        leaf = LeafNode.make(self.ek.pub, sigkey, cred, life=life)
        b = u16(1) + u16(SUITE) + V(self.ik.pub) + leaf.raw + V(b"")
        self.kp = KeyPackage(b + V(signl(sigkey, b"KeyPackageTBS", b)))

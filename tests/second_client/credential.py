"""Credentials, and what the room asks of leaves (control.md 14.10, mls.md M6 to M8)."""

import time

from leaves import KeyPackage
from primitives import R, Bad, name_ok, u8, u64, v8, verify


def nowms():
    """Milliseconds since 1970-01-01 UTC."""
    return int(time.time() * 1000)


class Cred:
    """A credential as it was read."""

    def __init__(self, b):
        r = R(b)
        if r.u8() != 2:
            raise Bad("Credential")
        try:
            self.key, self.name, self.made = r.take(32), r.v8(64), r.u64()
            self.sig = r.take(64)
            r.end()
        except Bad:
            raise Bad("Credential")
        if not name_ok(self.name):
            raise Bad("Credential")

    def believed(self, gid, leaf_key):
        """Whether the identity vouches for this leaf key in this room."""
        signed = b"sottovoce 2 leaf" + gid + leaf_key + v8(self.name) + u64(self.made)
        return self.key != leaf_key and verify(self.key, self.sig, signed)

    @staticmethod
    def make(identity, gid, leaf_key, name, made):
        """The bytes of a credential."""
        signed = b"sottovoce 2 leaf" + gid + leaf_key + v8(name) + u64(made)
        return u8(2) + identity.pub + v8(name) + u64(made) + identity.sign(signed)


def life(made):
    """The lifetime that follows from the time in a credential (M8)."""
    t = made // 1000
    return max(0, t - 3628800), min(2**64 - 1, t + 3628800)


def check_leaf(leaf, gid):
    """Holds a leaf to M6 to M8 and its credential to 14.10, in this order; returns the credential.

    What key the leaf shows for HPKE is its own affair (M32).
    """
    if not leaf.form():
        raise Bad("ForeignExtension")
    made = None
    try:
        cred = Cred(leaf.cred)
        made = cred.made
    except Bad:
        cred = None
    if leaf.source == 1 and made is not None and leaf.life != life(made):
        raise Bad("Lifetime")
    if cred is None or not cred.believed(gid, leaf.sk):
        raise Bad("Credential")
    return cred


def read_key_package(message, gid):
    """A KeyPackage in form, with a credential that is believed (M9): itself and the credential."""
    kp = KeyPackage.from_msg(message)
    return kp, check_leaf(kp.leaf, gid)

"""The context of an MLS group and its extensions, ratchets, and the bytes of proposals and commits.

spec/mls.md M11 to M14 and M23.
"""

from leaves import REQCAP, SUITE, KeyPackage, LeafNode, expl
from primitives import R, Bad, V, u8, u16, u32, u64

EXPORTER = 0xF50A
ROOM = 0xF50B
LAW = 0xF50C


class Ctx:
    """A GroupContext."""

    def __init__(self, gid, epoch, th, cth, ext):
        self.gid, self.epoch, self.th, self.cth, self.ext = (gid, epoch, th, cth, ext)

    def enc(self):
        return (
            u16(1)
            + u16(SUITE)
            + V(self.gid)
            + u64(self.epoch)
            + V(self.th)
            + V(self.cth)
            + V(self.ext)
        )

    @staticmethod
    def dec(r):
        if r.u16() != 1 or r.u16() != SUITE:
            raise Bad("context version")
        return Ctx(r.V(), r.u64(), r.V(), r.V(), r.V())


def ctx_ext(room):
    return u16(3) + V(REQCAP) + u16(6) + V(V(u16(ROOM) + V(room)))


def room_ctx(ext):
    """The room's context out of the extensions of a group context, by M11."""
    r = R(ext)
    found = []
    while r.left():
        kind = r.u16()
        found.append((kind, r.V()))
    entries = []
    for kind, data in found:
        if kind == 6:
            q = R(data)
            d = R(q.V())
            q.end()
            while d.left():
                component = d.u16()
                entries.append((component, d.V()))
    if not entries:
        raise Bad("MalformedContext")
    if [k for k, _ in found] != [3, 6] or found[0][1] != REQCAP or len(entries) > 1:
        raise Bad("ForeignExtension")
    if entries[0][0] != ROOM:
        raise Bad("ForeignExtension")
    c = entries[0][1]
    if len(c) != 49 or c[0] != 2:
        raise Bad("MalformedContext")
    return c


class Ratchet:
    """A ratchet of one sender (M23)."""

    def __init__(self, sec):
        self.sec, self.gen, self.skip = (sec, 0, {})

    def copy(self):
        r = Ratchet(self.sec)
        r.gen = self.gen
        r.skip = dict(self.skip)
        return r

    def step(self):
        g = u32(self.gen)
        k, n = (expl(self.sec, b"key", g, 16), expl(self.sec, b"nonce", g, 12))
        self.sec = expl(self.sec, b"secret", g, 32)
        self.gen += 1
        return (k, n)

    def get(self, gen):
        if gen < self.gen:
            if gen in self.skip:
                return self.skip[gen]
            raise Bad("generation used")
        if gen - self.gen > 1000:
            raise Bad("generation far")
        while self.gen < gen:
            self.skip[self.gen] = self.step()
        k = self.step()
        self.skip[gen] = k
        for g in sorted(self.skip)[:-6]:
            del self.skip[g]
        return k

    def used(self, gen):
        self.skip.pop(gen, None)


class Content:
    """What a PrivateMessage holds, or what a commit does."""


def enc_prop(p):
    if p[0] == 1:
        return u16(1) + p[1].raw
    if p[0] == 3:
        return u16(3) + u32(p[1])
    return u16(8) + u16(ROOM) + u8(1) + V(p[1])


def parse_commit(r):
    """Proposals, update path, and the first thing that M14 or M12 do not allow."""
    q = R(r.V())
    props = []
    fault = None
    while q.left():
        if q.u8() == 2:
            q.V()
            fault = fault or "ForeignProposal"
            continue
        t = q.u16()
        if t == 1:
            i = q.i
            if q.u16() != 1 or q.u16() != SUITE:
                raise Bad("kp")
            q.V()
            LeafNode(q)
            q.V()
            q.V()
            props.append((1, KeyPackage(q.b[i : q.i])))
        elif t == 3:
            props.append((3, q.u32()))
        elif t == 8:
            component, op = q.u16(), q.u8()
            c = q.V() if op == 1 else b""
            if component != ROOM:
                fault = fault or "ForeignExtension"
            elif op != 1 or len(c) != 49 or c[0] != 2 or any(p[0] == 8 for p in props):
                fault = fault or "MalformedContext"
            if op not in (1, 2):
                raise Bad("Undecryptable")
            props.append((8, c))
        elif t in (2, 7):
            LeafNode(q) if t == 2 else q.V()
            fault = fault or "ForeignProposal"
        else:
            raise Bad("Undecryptable")
    path = None
    o = r.u8()
    if o == 1:
        ln = LeafNode(r)
        n = R(r.V())
        nodes = []
        while n.left():
            ek = n.V()
            cts = R(n.V())
            l = []
            while cts.left():
                l.append((cts.V(), cts.V()))
            nodes.append((ek, l))
        path = (ln, nodes)
    elif o:
        raise Bad("optional")
    return (props, path, fault)

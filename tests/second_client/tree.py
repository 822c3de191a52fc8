"""The ratchet tree (RFC 9420 sections 4, 7, appendix C): an array, leaves at even places."""

from leaves import LeafNode, Parent
from primitives import R, Bad, V, sha256, u8, u32


def level(x):
    k = 0
    while x >> k & 1:
        k += 1
    return k


def left(x):
    return x ^ 1 << level(x) - 1


def right(x):
    return x ^ 3 << level(x) - 1


class Tree:
    """Nodes, their hashes and resolutions, and the checks of a tree that a joiner is shown."""

    def __init__(self, nodes):
        self.n = nodes

    def copy(self):
        t = Tree([Parent(x.ek, x.ph, x.um) if isinstance(x, Parent) else x for x in self.n])
        return t

    @property
    def leaves(self):
        return (len(self.n) + 1) // 2

    def root(self):
        return self.leaves - 1

    def parent(self, x):
        if x == self.root():
            return None
        k = level(x)
        b = x >> k + 1 & 1
        return (x | 1 << k) ^ b << k + 1

    def sibling(self, x):
        p = self.parent(x)
        return right(p) if left(p) == x else left(p)

    def path(self, leaf):
        x = 2 * leaf
        out = []
        while True:
            x = self.parent(x)
            if x is None:
                return out
            out.append(x)

    def res(self, x):
        n = self.n[x]
        if n is not None:
            return [x] + ([2 * l for l in n.um] if isinstance(n, Parent) else [])
        if x % 2 == 0:
            return []
        return self.res(left(x)) + self.res(right(x))

    def under(self, x):
        k = level(x)
        return range((x - (1 << k) + 1) // 2, (x + (1 << k) - 1) // 2 + 1)

    def hash(self, x=None, without=frozenset()):
        if x is None:
            x = self.root()
        n = self.n[x]
        if x % 2 == 0:
            l = x // 2
            if l in without:
                n = None
            return sha256(u8(1) + u32(l) + (u8(1) + n.raw if n else u8(0)))
        e = u8(0) if n is None else u8(1) + n.enc([l for l in n.um if l not in without])
        return sha256(u8(2) + e + V(self.hash(left(x), without)) + V(self.hash(right(x), without)))

    def fdp(self, leaf):
        """The filtered direct path of a leaf, as pairs of a node and the child on the copath."""
        out = []
        x = 2 * leaf
        while x != self.root():
            sib = self.sibling(x)
            p = self.parent(x)
            if self.res(sib):
                out.append((p, sib))
            x = p
        return out

    def remove(self, leaf):
        self.n[2 * leaf] = None
        for p in self.path(leaf):
            self.n[p] = None
        while self.leaves > 1 and all((self.n[i] is None for i in range(self.leaves, len(self.n)))):
            self.n = self.n[: self.leaves - 1]

    def add(self, ln):
        for i in range(self.leaves):
            if self.n[2 * i] is None:
                break
        else:
            i = self.leaves
            self.n += [None] * (len(self.n) + 1)
        self.n[2 * i] = ln
        for p in self.path(i):
            if self.n[p] is not None:
                self.n[p].um = sorted(self.n[p].um + [i])
        return i

    def roster(self):
        return {i: self.n[2 * i] for i in range(self.leaves) if self.n[2 * i] is not None}

    def enc(self):
        ns = list(self.n)
        while ns and ns[-1] is None:
            ns.pop()
        out = b""
        for x in ns:
            if x is None:
                out += u8(0)
            elif isinstance(x, LeafNode):
                out += u8(1) + u8(1) + x.raw
            else:
                out += u8(1) + u8(2) + x.enc()
        return V(out)

    @staticmethod
    def dec(b):
        r = R(b)
        q = R(r.V())
        r.end()
        ns = []
        while q.left():
            o = q.u8()
            if o == 0:
                ns.append(None)
                continue
            if o != 1:
                raise Bad("optional")
            t = q.u8()
            if t == 1:
                if len(ns) % 2:
                    raise Bad("leaf place")
                ns.append(LeafNode(q))
            elif t == 2:
                if len(ns) % 2 == 0:
                    raise Bad("parent place")
                ek = q.V()
                ph = q.V()
                m = R(q.V())
                um = []
                while m.left():
                    um.append(m.u32())
                ns.append(Parent(ek, ph, um))
            else:
                raise Bad("node type")
        if not ns or ns[-1] is None:
            raise Bad("tree end")
        n = 1
        while 2 * n - 1 < len(ns):
            n *= 2
        return Tree(ns + [None] * (2 * n - 1 - len(ns)))

    def check(self, gid):
        keys = set()
        sks = set()
        for i, l in self.roster().items():
            if not l.verify(gid, i):
                raise Bad("leaf signature")
            if l.ek in keys or l.sk in sks:
                raise Bad("key twice")
            keys.add(l.ek)
            sks.add(l.sk)
        for x in range(1, len(self.n), 2):
            p = self.n[x]
            if p is None:
                continue
            if p.ek in keys:
                raise Bad("key twice")
            keys.add(p.ek)
            if p.um != sorted(set(p.um)):
                raise Bad("unmerged order")
            und = self.under(x)
            for l in p.um:
                if l not in und or self.n[2 * l] is None:
                    raise Bad("unmerged")
                y = 2 * l
                while True:
                    y = self.parent(y)
                    if y == x:
                        break
                    if self.n[y] is not None and l not in self.n[y].um:
                        raise Bad("unmerged between")
            ok = False
            for c, o in ((left(x), right(x)), (right(x), left(x))):
                h = self.phash(x, o)
                rs = self.res(c)
                for d in rs:
                    if self.n[d].ph == h and (
                        isinstance(self.n[d], Parent) or self.n[d].source == 3
                    ):
                        a = {l for l in p.um if l in self.under(c)}
                        b = {y // 2 for y in rs if y != d and y % 2 == 0}
                        if a == b and all((y % 2 == 0 for y in rs if y != d)):
                            ok = True
            if not ok:
                raise Bad("parent hash")

    def phash(self, x, sib):
        p = self.n[x]
        return sha256(V(p.ek) + V(p.ph) + V(self.hash(sib, frozenset(p.um))))

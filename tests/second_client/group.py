"""One epoch of an MLS group (RFC 9420) as far as spec/mls.md uses it, for cipher suite 0x0001.

A commit of somebody else is *staged*: `stage` returns the coming epoch and leaves this one alone.
"""

import os

from context import EXPORTER, LAW, Content, Ctx, Ratchet, ctx_ext, enc_prop, parse_commit, room_ctx
from leaves import SUITE, Broken, LeafNode, Parent, decl, derive, encl, expl, signl, verl
from primitives import KemKey, R, Bad, V, gcm_open, gcm_seal, hkdf_extract, hmac256, sha256
from primitives import u8, u16, u32, u64
from tree import Tree, left, right


class Group:
    """An epoch: tree, context, secrets, ratchets."""

    def __init__(self):
        self.priv = {}

    def _schedule(self, joiner, psk=None):
        m = hkdf_extract(joiner, bytes(32))
        self.welcome = derive(m, b"welcome")
        self._epoch(expl(m, b"epoch", self.ctx.enc(), 32))

    def _epoch(self, es):
        self.sender_data = derive(es, b"sender data")
        self.confirm = derive(es, b"confirm")
        self.auth = derive(es, b"authentication")
        self.init = derive(es, b"init")
        enc = derive(es, b"encryption")
        x = derive(es, b"application_export")
        for k in range(16):
            x = expl(x, b"tree", b"right" if EXPORTER >> 15 - k & 1 else b"left", 32)
        self.export = x
        self.branch = sha256(b"sottovoce 2 branch" + self.auth)
        self.rat = {}
        self.sec = {self.tree.root(): enc}

    def _ratchet(self, leaf, kind):
        if (leaf, kind) not in self.rat:
            if leaf >= self.tree.leaves:
                raise Bad("no leaf")
            x = 2 * leaf
            way = []
            while x not in self.sec:
                way.append(x)
                x = self.tree.parent(x)
            sec = self.sec.pop(x)
            for y in reversed(way):
                p = self.tree.parent(y)
                l, r = (expl(sec, b"tree", b"left", 32), expl(sec, b"tree", b"right", 32))
                self.sec[left(p)], self.sec[right(p)] = (l, r)
                sec = self.sec.pop(y)
            self.rat[leaf, "h"] = Ratchet(expl(sec, b"handshake", b"", 32))
            self.rat[leaf, "a"] = Ratchet(expl(sec, b"application", b"", 32))
        return self.rat[leaf, kind]

    def own(self):
        return self.tree.n[2 * self.me]

    def room(self):
        return room_ctx(self.ctx.ext)

    @staticmethod
    def found(gid, sigkey, cred, life, room):
        g = Group()
        ek = KemKey()
        g.sigkey = sigkey
        g.me = 0
        g.priv = {0: ek}
        g.tree = Tree([LeafNode.make(ek.pub, sigkey, cred, life=life)])
        g.ctx = Ctx(gid, 0, g.tree.hash(), b"", ctx_ext(room))
        g._epoch(os.urandom(32))
        g.ctag = hmac256(g.confirm, b"")
        g.interim = sha256(g.ctx.cth + V(g.ctag))
        return g

    def _tbs(self, content, wire=2):
        return u16(1) + u16(wire) + content + self.ctx.enc()

    def seal(self, ctype, body, aad=b"", auth=None, ctag=None):
        """A PrivateMessage of an encoded body, which is application data or a Commit."""
        content = (
            V(self.ctx.gid) + u64(self.ctx.epoch) + u8(1) + u32(self.me) + V(aad) + u8(ctype) + body
        )
        sig = (
            auth
            if auth is not None
            else signl(self.sigkey, b"FramedContentTBS", self._tbs(content))
        )
        pt = body + V(sig) + (V(ctag) if ctype == 3 else b"")
        rat = self._ratchet(self.me, "h" if ctype == 3 else "a")
        gen = rat.gen
        k, n = rat.step()
        rg = os.urandom(4)
        n = bytes((a ^ b for a, b in zip(n, rg + bytes(8))))
        head = V(self.ctx.gid) + u64(self.ctx.epoch) + u8(ctype)
        ct = gcm_seal(k, n, pt, head + V(aad))
        sk, sn = (
            expl(self.sender_data, b"key", ct[:32], 16),
            expl(self.sender_data, b"nonce", ct[:32], 12),
        )
        esd = gcm_seal(sk, sn, u32(self.me) + u32(gen) + rg, head)
        return u16(1) + u16(2) + head + V(aad) + V(esd) + V(ct)

    def app(self, data):
        return self.seal(1, V(data))

    @staticmethod
    def peek(msg):
        """Takes a PrivateMessage apart: group id, epoch, type, data, sender data, ciphertext."""
        try:
            r = R(msg)
            if r.u16() != 1 or r.u16() != 2:
                raise Bad("Malformed")
            parts = (r.V(), r.u64(), r.u8(), r.V(), r.V(), r.V())
            r.end()
        except Bad:
            raise Bad("Malformed")
        if parts[2] == 2:
            raise Bad("ForeignProposal")
        if parts[2] not in (1, 3):
            raise Bad("Malformed")
        return parts

    def open(self, msg):
        """Opens a PrivateMessage. A ratchet moves only if the signature holds (M23)."""
        gid, epoch, ctype, aad, esd, ct = self.peek(msg)
        if gid != self.ctx.gid:
            raise Bad("OtherGroup")
        if epoch != self.ctx.epoch:
            raise Bad("Stale" if epoch < self.ctx.epoch else "Future")
        try:
            return self._open(gid, epoch, ctype, aad, esd, ct)
        except Bad as why:
            raise why if str(why) in ("Own", "MalformedAad") else Bad("Undecryptable")

    def _open(self, gid, epoch, ctype, aad, esd, ct):
        head = V(gid) + u64(epoch) + u8(ctype)
        sk = expl(self.sender_data, b"key", ct[:32], 16)
        sn = expl(self.sender_data, b"nonce", ct[:32], 12)
        sd = R(gcm_open(sk, sn, esd, head))
        leaf, gen, rg = (sd.u32(), sd.u32(), sd.take(4))
        sd.end()
        if leaf == self.me:
            raise Bad("Own")
        if leaf >= self.tree.leaves or self.tree.n[2 * leaf] is None:
            raise Bad("Undecryptable")
        kind = "h" if ctype == 3 else "a"
        rat = self._ratchet(leaf, kind).copy()
        k, n = rat.get(gen)
        n = bytes(a ^ b for a, b in zip(n, rg + bytes(8)))
        pt = gcm_open(k, n, ct, head + V(aad))
        rat.used(gen)
        r = R(pt)
        c = Content()
        c.leaf = leaf
        c.ctype = ctype
        c.aad = aad
        if ctype == 1:
            c.data = r.V()
        else:
            c.commit = parse_commit(r)
        body = pt[: r.i]
        c.sig = r.V()
        c.ctag = r.V() if ctype == 3 else None
        if any(r.rest()):
            raise Bad("Undecryptable")
        c.content = V(gid) + u64(epoch) + u8(1) + u32(leaf) + V(aad) + u8(ctype) + body
        if not verl(self.tree.n[2 * leaf].sk, b"FramedContentTBS", self._tbs(c.content), c.sig):
            raise Bad("Undecryptable")
        self.rat[leaf, kind] = rat
        if ctype == 1 and aad:
            raise Bad("MalformedAad")
        return c

    def copy(self):
        g = Group()
        g.__dict__.update(self.__dict__)
        g.tree = self.tree.copy()
        g.priv = dict(self.priv)
        g.rat = {k: v.copy() for k, v in self.rat.items()}
        g.sec = dict(self.sec)
        return g

    def _apply(self, props):
        """on a copy; returns info"""
        inf = Content()
        inf.adds = []
        inf.removes = []
        inf.ctx = None
        for p in props:
            if p[0] == 3:
                l = p[1]
                if l >= self.tree.leaves or self.tree.n[2 * l] is None:
                    raise Bad("UnknownLeaf")
                inf.removes.append((l, self.tree.n[2 * l]))
        if len({l for l, _ in inf.removes}) != len(inf.removes):
            raise Bad("removed twice")
        for l, _ in inf.removes:
            self.tree.remove(l)
        for p in props:
            if p[0] == 1:
                inf.adds.append((self.tree.add(p[1].leaf), p[1]))
            if p[0] == 8:
                inf.ctx = p[1]
        ext = self.ctx.ext
        if inf.ctx is not None:
            ext = ctx_ext(inf.ctx)
        self.priv = {
            x: k
            for x, k in self.priv.items()
            if x < len(self.tree.n) and self.tree.n[x] is not None and (self.tree.n[x].ek == k.pub)
        }
        inf.ext = ext
        return inf

    def stage(self, c):
        """a commit of somebody else: (new group or None if it removes us, info)"""
        g = self.copy()
        props, path, fault = c.commit
        if fault:
            raise Bad(fault)
        try:
            for p in props:
                if p[0] == 1 and (not p[1].verify()):
                    raise Bad("KeyPackage")
            inf = g._apply(props)
            if any((l == c.leaf for l, _ in inf.removes)):
                raise Bad("removes its committer")
            needs = any((p[0] == 3 for p in props)) or not props
            if needs and path is None:
                raise Bad("no path")
            inf.pathleaf = None
            inf.leaf = c.leaf
            inf.aad = c.aad
            inf.props = props
            keys = [l.sk for l in g.tree.roster().values()]
            eks = [l.ek for l in g.tree.roster().values()]
            if len(set(keys)) != len(keys) or len(set(eks)) != len(eks):
                raise Bad("key twice")
            gone = any((l == self.me for l, _ in inf.removes))
            inf.oldleaf = self.tree.n[2 * c.leaf]
            cs = bytes(32)
            if path is not None:
                ln, nodes = path
                if ln.source != 3 or not ln.verify(self.ctx.gid, c.leaf):
                    raise Bad("path leaf")
                if ln.ek == inf.oldleaf.ek:
                    raise Bad("path key repeated")
                inf.pathleaf = ln
                fdp = g.tree.fdp(c.leaf)
                if len(fdp) != len(nodes):
                    raise Bad("path length")
                for p in g.tree.path(c.leaf):
                    g.tree.n[p] = None
                for (x, _), (ek, _) in zip(fdp, nodes):
                    g.tree.n[x] = Parent(ek)
                g._phashes(fdp, c.leaf)
                if ln.ph != g._lastph:
                    raise Bad("parent hash")
                g.tree.n[2 * c.leaf] = ln
                new = {2 * i for i, _ in inf.adds}
                g.ctx = Ctx(self.ctx.gid, self.ctx.epoch + 1, g.tree.hash(), self.ctx.cth, inf.ext)
                if not gone:
                    for x, _ in fdp:
                        g.priv.pop(x, None)
                    cs = g._path_secret(fdp, nodes, new)
            cth = sha256(self.interim + u16(2) + c.content + V(c.sig))
            g.ctx = Ctx(self.ctx.gid, self.ctx.epoch + 1, g.tree.hash(), cth, inf.ext)
            if gone:
                return (None, inf)
            g._next(self.init, cs)
        except Bad as e:
            raise Broken(str(e), c.leaf)
        if hmac256(g.confirm, cth) != c.ctag:
            raise Broken("confirmation", None)
        g.ctag = c.ctag
        g.interim = sha256(cth + V(c.ctag))
        return (g, inf)

    def _next(self, init, cs):
        self._joiner = expl(hkdf_extract(init, cs), b"joiner", self.ctx.enc(), 32)
        self._schedule(self._joiner)

    def _phashes(self, fdp, leaf):
        ph = b""
        for x, sib in reversed(fdp):
            self.tree.n[x].ph = ph
            ph = self.tree.phash(x, sib)
        self._lastph = ph

    def _path_secret(self, fdp, nodes, new):
        for i, ((x, sib), (ek, cts)) in enumerate(zip(fdp, nodes)):
            if self.me not in self.tree.under(x):
                continue
            res = [y for y in self.tree.res(sib) if y not in new]
            if len(res) != len(cts):
                raise Bad("ciphertext count")
            for y, (kem, ct) in zip(res, cts):
                if y in self.priv:
                    ps = decl(self.priv[y], b"UpdatePathNode", self.ctx.enc(), kem, ct)
                    break
            else:
                raise Bad("no key for path")
            if len(ps) != 32:
                raise Bad("path secret")
            for (z, _), (ek2, _) in list(zip(fdp, nodes))[i:]:
                k = KemKey.derive(derive(ps, b"node"))
                if k.pub != ek2:
                    raise Bad("path key")
                self.priv[z] = k
                ps = derive(ps, b"path")
            return ps
        raise Bad("not on path")

    def commit(self, props, aad, path, cred=None):
        """A commit of `(1, KeyPackage)`, `(3, leaf)` and `(8, context)`.

        Returns the message, the coming epoch, what the commit does, and a function that makes the
        Welcome from the extension with the law.
        """
        g = self.copy()
        inf = g._apply(props)
        cs = bytes(32)
        pathenc = u8(0)
        secs = {}
        if path:
            fdp = g.tree.fdp(self.me)
            for p in g.tree.path(self.me):
                g.tree.n[p] = None
            ps = os.urandom(32)
            ek = KemKey.derive(derive(ps, b"node"))
            g.priv = {2 * self.me: ek}
            ps = derive(ps, b"path")
            for x, _ in fdp:
                secs[x] = ps
                k = KemKey.derive(derive(ps, b"node"))
                g.priv[x] = k
                g.tree.n[x] = Parent(k.pub)
                ps = derive(ps, b"path")
            cs = ps
            g._phashes(fdp, self.me)
            ln = LeafNode.make(
                ek.pub,
                self.sigkey,
                cred or self.own().cred,
                ph=g._lastph,
                gid=self.ctx.gid,
                idx=self.me,
            )
            g.tree.n[2 * self.me] = ln
            g.ctx = Ctx(self.ctx.gid, self.ctx.epoch + 1, g.tree.hash(), self.ctx.cth, inf.ext)
            c = g.ctx.enc()
            new = {2 * i for i, _ in inf.adds}
            out = b""
            for x, sib in fdp:
                cts = b""
                for y in g.tree.res(sib):
                    if y in new:
                        continue
                    kem, ct = encl(g.tree.n[y].ek, b"UpdatePathNode", c, secs[x])
                    cts += V(kem) + V(ct)
                out += V(g.tree.n[x].ek) + V(cts)
            pathenc = u8(1) + ln.raw + V(out)
        body = V(b"".join((u8(1) + enc_prop(p) for p in props))) + pathenc
        content = (
            V(self.ctx.gid) + u64(self.ctx.epoch) + u8(1) + u32(self.me) + V(aad) + u8(3) + body
        )
        sig = signl(self.sigkey, b"FramedContentTBS", self._tbs(content))
        cth = sha256(self.interim + u16(2) + content + V(sig))
        g.ctx = Ctx(self.ctx.gid, self.ctx.epoch + 1, g.tree.hash(), cth, inf.ext)
        g._next(self.init, cs)
        g.ctag = hmac256(g.confirm, cth)
        g.interim = sha256(cth + V(g.ctag))
        msg = self.seal(3, body, aad, auth=sig, ctag=g.ctag)
        inf.leaf = self.me
        inf.pathleaf = ln if path else None
        inf.aad = aad

        def welcome(ext):
            gi = (
                g.ctx.enc()
                + V(u16(2) + V(g.tree.enc()) + u16(LAW) + V(ext))
                + V(g.ctag)
                + u32(g.me)
            )
            gi += V(signl(self.sigkey, b"GroupInfoTBS", gi))
            wk, wn = (expl(g.welcome, b"key", b"", 16), expl(g.welcome, b"nonce", b"", 12))
            egi = gcm_seal(wk, wn, gi)
            out = b""
            for i, kp in inf.adds:
                gs = V(g._joiner)
                com = [x for x in g.tree.path(i) if x in secs]
                gs += u8(1) + V(secs[com[0]]) if com else u8(0)
                gs += V(b"")
                kem, ct = encl(kp.ik, b"Welcome", egi, gs)
                out += V(kp.ref) + V(kem) + V(ct)
            return u16(1) + u16(3) + u16(SUITE) + V(out) + V(egi)

        return (msg, g, inf, welcome)

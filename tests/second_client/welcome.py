"""Entering an epoch by a Welcome, as far as MLS goes (spec/mls.md M24 to M27)."""

from context import LAW, Ctx, room_ctx
from group import Group
from leaves import SUITE, decl, derive, expl, verl
from primitives import KemKey, R, Bad, V, gcm_open, hkdf_extract, hmac256, sha256
from tree import Tree


def join(msg, own, room):
    """Enters by a Welcome, as far as MLS goes (M25). `own` has our KeyPackages by reference.

    Returns the epoch and the extension with the law. Nothing of `own` is used up (M26).
    """
    try:
        r = R(msg)
        if r.u16() != 1 or r.u16() != 3:
            raise Bad("Malformed")
        suite = r.u16()
        entries, egi = R(r.V()), r.V()
        r.end()
        secrets = []
        while entries.left():
            secrets.append((entries.V(), entries.V(), entries.V()))
    except Bad:
        raise Bad("Malformed")
    hit = [s for s in secrets if s[0] in own]
    if not hit:
        raise Bad("NotForUs")
    if suite != SUITE:
        raise Bad("OtherGroup")
    try:
        return enter(own[hit[0][0]], hit[0], egi, room)
    except Bad as why:
        known = ("OtherGroup", "Law", "ForeignExtension", "MalformedContext", "OtherLeaf")
        raise why if str(why) in known else Bad("Mls")


def enter(kp, secret, egi, room):
    gs = R(decl(kp.ik, b"Welcome", egi, secret[1], secret[2]))
    joiner = gs.V()
    ps = gs.V() if gs.u8() else None
    if gs.V() != b"":
        raise Bad("Mls")
    gs.end()
    w = derive(hkdf_extract(joiner, bytes(32)), b"welcome")
    gi = gcm_open(expl(w, b"key", b"", 16), expl(w, b"nonce", b"", 12), egi)
    r = R(gi)
    g = Group()
    g.ctx = Ctx.dec(r)
    e = R(r.V())
    ext = []
    ctag, signer = r.V(), r.u32()
    j = r.i
    sig = r.V()
    r.end()
    while e.left():
        t = e.u16()
        ext.append((t, e.V()))
    if len(g.ctx.gid) != 48 or g.ctx.gid[:32] != room:
        raise Bad("OtherGroup")
    kinds = [t for t, _ in ext]
    if kinds.count(LAW) != 1 or any(t == LAW and len(x) > 1572864 for t, x in ext):
        raise Bad("Law")
    if set(kinds) - {2, LAW} or kinds.count(2) > 1:
        raise Bad("ForeignExtension")
    ext = dict(ext)
    if 2 not in ext:
        raise Bad("Mls")
    g.tree = Tree.dec(ext[2])
    if signer >= g.tree.leaves or g.tree.n[2 * signer] is None:
        raise Bad("Mls signer")
    if not verl(g.tree.n[2 * signer].sk, b"GroupInfoTBS", gi[:j], sig):
        raise Bad("Mls GroupInfo signature")
    if g.tree.hash() != g.ctx.th:
        raise Bad("Mls tree hash")
    g.tree.check(g.ctx.gid)
    me = [i for i, l in g.tree.roster().items() if l.raw == kp.kp.leaf.raw]
    if not me:
        me = [i for i, l in g.tree.roster().items() if l.sk == kp.kp.leaf.sk]
        raise Bad("OtherLeaf" if me else "Mls")
    g.me = me[0]
    g.sigkey = kp.sigkey
    g.priv = {2 * g.me: kp.ek}
    g.signer = signer
    if ps is not None:
        com = [x for x in g.tree.path(g.me) if signer in g.tree.under(x)]
        x = com[0]
        c = ps
        if g.tree.n[x] is None:
            raise Bad("Mls path")
        while True:
            k = KemKey.derive(derive(c, b"node"))
            if g.tree.n[x].ek != k.pub:
                raise Bad("Mls path key")
            g.priv[x] = k
            c = derive(c, b"path")
            x = g.tree.parent(x)
            while x is not None and g.tree.n[x] is None:
                x = g.tree.parent(x)
            if x is None:
                break
    g._schedule(joiner)
    room_ctx(g.ctx.ext)
    if hmac256(g.confirm, g.ctx.cth) != ctag:
        raise Bad("Mls confirmation")
    g.ctag = ctag
    g.interim = sha256(g.ctx.cth + V(ctag))
    return g, ext[LAW]

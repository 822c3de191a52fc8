"""Commits: what one may do, which is merged, making them (room.md 5, mls.md M17 to M21)."""

import time

import messages as msg
from credential import Cred, check_leaf, nowms
from context import room_ctx
from law import Law, Set
from leaves import Broken
from primitives import R, Bad, u8, u16, u32, u64, v16, v32


def write_aad(said, ids):
    """The authenticated data of a commit (14.11)."""
    return u8(2) + u64(said) + u16(len(ids)) + b"".join(ids)


def read_aad(aad):
    try:
        r = R(aad)
        if r.u8() != 2:
            raise Bad("MalformedAad")
        said, n = r.u64(), r.u16()
        ids = [r.take(32) for _ in range(n)]
        r.end()
    except Bad:
        raise Bad("MalformedAad")
    if n > 10240 or any(a >= b for a, b in zip(ids, ids[1:])):
        raise Bad("MalformedAad")
    return said, ids


class Pending:
    """A staged commit that waits for its verdict."""


def commit_form(inf, aad, roster, gid):
    """Checks 6 to 11 of M17 on what a staged commit does."""
    p = Pending()
    p.inf = inf
    p.said, p.ids = read_aad(aad)
    p.adds = [(i, check_leaf(k.leaf, gid)) for i, k in inf.adds]
    path = check_leaf(inf.pathleaf, gid) if inf.pathleaf else None
    p.ctx = room_ctx(inf.ext)
    gone = {i for i, _ in inf.removes}
    p.removes = [(i, roster[i]) for i in sorted(gone)]
    p.roster = {i: c for i, c in roster.items() if i not in gone}
    p.roster.update(p.adds)
    if path:
        p.roster[inf.leaf] = path
    if len(p.roster) > 1000:
        raise Bad("TooMany")
    if len({c.key for c in p.roster.values()}) != len(p.roster):
        raise Bad("Duplicate")
    if path:
        old = roster[inf.leaf]
        if path.key != old.key:
            raise Bad("OtherIdentity")
        if inf.pathleaf.sk != inf.oldleaf.sk:
            raise Bad("OtherLeafKey")
        if path.made < old.made:
            raise Bad("Backdated")
    return p


class Commits:
    """What a member makes of commits."""

    def prepare(self):
        self.pending, self.merged = [], []
        self.renewal = self.nextrenew = None
        self.renewals, self.accused = [], {}
        self.broken = None

    def take_commit(self, c, key):
        """Stages a commit. 16 wait, two of each committer."""
        try:
            group, inf = self.group.stage(c)
            p = commit_form(inf, c.aad, self.ros, self.gid)
        except Broken as why:
            whose = self.ros[why.leaf].key if why.leaf is not None else None
            self.log("BrokenCommit", why, "of", why.leaf)
            if whose:
                self.broken = (whose, self.group.ctx.epoch)
            return
        p.group, p.key, p.t = group, key, time.time()
        p.asked, p.lacks = False, False
        self.word_of(key, p.said)
        if len(self.pending) >= 16 or sum(q.key == key for q in self.pending) >= 2:
            raise Bad("Flood")
        self.pending.append(p)
        self.judge()

    # ------------------------------------------------------------------------------------ verdict
    def verdict(self, p):
        """C1 to C7: whether to merge now. Bad is why never; False is wait."""
        if not self.holds_statements(p):
            return False
        self.check_law(p)
        self.check_adds(p)
        self.check_removes(p)
        return self.check_turn(p)

    def holds_statements(self, p):
        """C1."""
        have = self.epoch_statements()
        lacks = [i for i in p.ids if i not in have and i not in self.shown and i not in self.known]
        p.lacks = bool(lacks)
        if lacks and not p.asked:
            p.asked = True
            self.log("AskStatements", len(lacks))
            self.say(u8(msg.ASK) + u16(len(lacks[:256])) + b"".join(lacks[:256]))
        return not lacks

    def check_law(self, p):
        """C2, C3."""
        union = Set(self.elaw.live_set())
        for i in p.ids:
            for source in (self.shown.d, self.known.d):
                if i in source:
                    union.add(source[i])
        p.law = Law(self.terms, union, self.pins)
        if p.law.hash != p.ctx[17:]:
            raise Bad("Law")
        if any(a != b for a, b in zip(p.law.chain, self.pins)):
            raise Bad("HandOver")
        if not all(p.law.admitted(self.tag(c.key)) for c in p.roster.values()):
            raise Bad("NotAdmitted")

    def newer_than_leaves(self, c):
        """C4: whether a leaf is newer than each leaf of its identity."""
        return c.made > self.made.get(c.key, -1)

    def check_adds(self, p):
        for _, c in p.adds:
            if not self.newer_than_leaves(c) or not -1800000 <= c.made - nowms() <= 900000:
                raise Bad("Stale")
        path = p.inf.pathleaf and Cred(p.inf.pathleaf.cred)
        ahead = 600000 if self.keeps() else 900000
        if path and path.made > max(self.made.get(path.key, 0), nowms() + ahead):
            raise Bad("Stale")

    def check_removes(self, p):
        """C5, P3."""
        now = time.time()
        for _, c in p.removes:
            if not p.law.admitted(self.tag(c.key)):
                continue
            if c.made <= self.left.get(c.key, (-1,))[0]:
                continue
            if any(a.key == c.key and a.made > c.made for _, a in p.adds):
                continue
            last, enough = self.word.get(c.key, 0), self.absence()
            silent = self.newestbeat - max(last, self.came.get(c.key, 0))
            gone = silent > enough and (self.klaw.rank(p.key) or silent > max(600, enough))
            if c.key == self.me or now - last < min(300, enough) or not gone:
                raise Bad("Ejected")

    def check_turn(self, p):
        """C6, C7."""
        now = time.time()
        keeper, mine, named = self.keeper_tag(), self.tag(p.key), p.ctx[1:17]
        if mine == keeper:
            if named != keeper:
                raise Bad("Keeping")
            if sum(k == p.key and now - t < 30 for t, k in self.merged) >= 18:
                raise Bad("TooFast")
            return True
        if named == mine:
            return self.takeover_counts(p.key, now)
        renewal = p.inf.pathleaf and not p.adds and not p.removes
        if not renewal or p.ctx != self.group.room():
            raise Bad("NotTheKeeper")
        if not self.keeps():
            return (p.group.ctx.epoch, p.group.branch) in self.stated
        lately = [k for t, k in self.renewals if now - t < 30]
        told = now - self.accused.get(p.key, 0) < 600
        if p.key in lately or len(lately) >= 6 or self.returning is not None or told:
            raise Bad("NotTheKeeper")
        self.renewals = self.renewals[-63:] + [(now, p.key)]
        self.wantbeat = True
        return True

    def judge(self):
        """Judges what waits, until nothing more can be merged."""
        while self.phase == "Present" and (self.pending or self.renewal):
            ready, now = [], time.time()
            for p in list(self.pending):
                try:
                    if self.verdict(p):
                        ready.append(p)
                    elif now - p.t > 15:
                        raise Bad("Late")
                except Bad as why:
                    self.log("commit of", self.ros[p.inf.leaf].name.decode(), "refused:", why)
                    self.count("refused " + str(why))
                    self.pending.remove(p)
            if self.renewal:
                _, group, roster = self.renewal
                if (group.ctx.epoch, group.branch) in self.stated:
                    self.log("own renewal counts")
                    self.merged = self.merged[-255:] + [(now, self.me)]
                    self.enter(group, self.elaw, roster, set())
                    self.later_try()
                    continue
            if not ready:
                return
            self.merge(max(ready, key=lambda p: self.order(p.key)))

    def merge(self, p):
        now = time.time()
        self.log(
            *("merges a commit of", self.ros[p.inf.leaf].name.decode()),
            *("adds", [c.name.decode() for _, c in p.adds]),
            *("removes", [c.name.decode() for _, c in p.removes]),
        )
        counts = self.keeper_key() if p.inf.pathleaf and not p.adds and not p.removes else p.key
        self.merged = self.merged[-255:] + [(now, counts or p.key)]
        if p.ctx[1:17] != self.keeper_tag():
            self.takeovers = self.takeovers[-63:] + [(now, p.key)]
            self.merged[-1] = (now, p.key)
            self.log("TAKEOVER by", self.ros[p.inf.leaf].name.decode())
        for x in p.law.live_set():
            self.known.add(x)
        self.relaw()
        if p.group is None:
            return self.put_out(p)
        gone = {i for i, _ in p.removes}
        self.enter(p.group, p.law, p.roster, gone)
        if self.lacking and self.group.ctx.epoch >= self.lacking[1]:
            self.lacking = None
        self.later_try()

    def put_out(self, p):
        """P8, R6, A4: a commit removes our leaf."""
        ours = [c.made for _, c in p.adds if c.key == self.me]
        if ours and ours[0] not in self.petitions:
            return self.over("TakenOver")
        self.law_changed()
        if self.phase == "Present":
            self.lose("a commit removes us")

    # ------------------------------------------------------------------------------------- making
    def make_commit(self, take=False, adds=(), removes=(), path=False, name=None):
        """C1, K4, K6: shows first what the commit adds, then commits, merges and welcomes."""
        g = self.group
        if take:
            removes = [i for i in self.gone_leaves() if i != g.me]
        self.show_news()
        for i in removes:
            left = self.left.get(self.ros[i].key)
            if left and left[0] >= self.ros[i].made:
                self.say(u8(msg.LEAVE) + left[1])
        have = self.epoch_statements()
        law = self.klaw
        ids = sorted(x.id for x in law.live if x.id not in have)
        ctx = u8(2) + (self.tag(self.me) if take else self.keeper_tag()) + law.hash
        props = [(3, i) for i in removes] + [(1, k) for k in adds]
        if ctx != g.room():
            props.append((8, ctx))
        path = path or bool(removes) or not props
        cred = self.renewed(name) if path else None
        message, group, inf, welcome = g.commit(props, write_aad(self.stamp(), ids), path, cred)
        self.send(u8(msg.MLS) + v32(message))
        if adds:
            shown = law.live_shown()
            ext = v16(self.terms.raw) + u32(len(shown)) + b"".join(shown)
            self.send(u8(msg.WELCOME) + v32(welcome(ext)))
        now = time.time()
        self.merged = self.merged[-255:] + [(now, self.me)]
        self.kcommits = [t for t in self.kcommits if now - t < 30] + [now]
        if take:
            self.takeovers.append((now, self.me))
        roster = {i: Cred(leaf.cred) for i, leaf in group.tree.roster().items()}
        fresh = {i for i, _ in inf.adds}
        if all(i in fresh or i == g.me for i in roster):
            self.kproof = now
        self.log("commit: adds", len(adds), "removes", list(removes), "takes", take)
        self.enter(group, law, roster, set(removes))
        if all(i in fresh or i == g.me for i in roster):
            self.kproof = now
        self.later_try()

    def gone_leaves(self):
        """The leaves that are out or have left."""
        return [
            i
            for i, c in self.ros.items()
            if not self.klaw.admitted(self.tag(c.key)) or self.left.get(c.key, (-1,))[0] >= c.made
        ]

    def renewed(self, name=None):
        """R8, P9: the credential of our leaf after a renewal."""
        self.name = name.encode() if name else self.name
        made = self.ros[self.group.me].made
        if self.returning is None:
            made = max(made, self.topmade)
        return Cred.make(self.ident, self.gid, self.group.sigkey.pub, self.name, made)

    def renew(self, name=None):
        """C7, K10: a renewal waits for the keeper's heartbeat."""
        g = self.group
        message, group, inf, _ = g.commit([], write_aad(self.stamp(), []), True, self.renewed(name))
        self.send(u8(msg.MLS) + v32(message))
        roster = {i: Cred(leaf.cred) for i, leaf in group.tree.roster().items()}
        self.renewal = (time.time(), group, roster)
        self.log("renewal sent")

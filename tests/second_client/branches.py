"""Keepers and branches: heartbeats, the order, when a keeper counts as silent, takeovers.

room.md sections 6 (K1 to K4), 8 and 10 (P2).
"""

import time

import messages as msg
from law import Table
from primitives import Bad, sha256

LATELY = 15


def place(law, key):
    """The place of a member in the order K1: who comes first is greater."""
    tag, table = law.terms.tag(key), law.T
    entry = table.entries.get(tag) if table is not None and table.full else None
    listed = bool(entry and entry[0] != 0 and not entry[2])
    words = [] if listed else [x for x in law.by_tag.get(tag, []) if x.reg == 0]
    word = max(words, key=lambda x: x.prec()).sig if words else b""
    id = table.id if isinstance(table, Table) else bytes(32)
    return law.rank(key), listed, sha256(b"sottovoce 2 turn" + id + word + tag)


class Branches:
    """What a member makes of heartbeats."""

    def prepare(self):
        self.beats, self.beatms = {}, {}
        self.stated, self.epochs = {}, {}
        self.rivals = {}
        self.lacking = None
        self.outsince = {}
        self.takeovers = []
        self.lasttry = 0
        self.autotake = True
        self.asked_in = {}
        self.shown_to = {}
        self.new_host = None

    def note_epoch(self, group, now):
        self.epochs[group.ctx.epoch, group.branch] = now
        while len(self.epochs) > 1024:
            del self.epochs[next(iter(self.epochs))]

    # -------------------------------------------------------------------------------------- order
    def order(self, key):
        """K1: who comes first is greater."""
        return place(self.klaw, key)

    # --------------------------------------------------------------------------------- heartbeats
    def take_heartbeat(self, m):
        if self.phase == "Joining":
            return self.take_doors(m.doors)
        b = msg.read_beat(msg.open_beat(m.sealed, self.terms.salt))
        if b.key == self.me:
            raise Bad("Own")
        host = self.new_host and b.key == self.new_host[0] and self.phase == "Returning"
        if not self.klaw.admitted(self.tag(b.key)) and not host:
            raise Bad("NotAMember")
        if b.ms <= self.beatms.get(b.key, -1):
            raise Bad("Stale")
        if not msg.beat_holds(b, self.gid, m.bound):
            raise Bad("Signature")
        self.beatms[b.key] = b.ms
        b.at = time.time()
        b.made = self.made_at(b.key, b.ms)
        self.note_keeper(b)
        if self.phase == "Returning":
            return self.tick_return(b.at, news=True)
        self.judge_beat(b)

    def note_keeper(self, b):
        """R3: eight keepers are remembered; one more takes the place of one asked in vain."""
        if b.key not in self.beats and len(self.beats) >= 8:
            stale = [k for k, x in self.beats.items() if b.at - x.at >= 20 or k in self.vain]
            if not stale:
                return
            del self.beats[stale[0]]
        self.beats[b.key] = b

    def judge_beat(self, b):
        """B2 to B6."""
        g, keeper = self.group, self.keeper_key()
        if (b.epoch, b.branch) == (g.ctx.epoch, g.branch):
            if b.key == keeper:
                self.our_beat(b)
            return
        if b.key == keeper and b.epoch > g.ctx.epoch:
            return self.later_epoch(b)
        if b.key == keeper and b.epoch < g.ctx.epoch:
            return
        been = (b.epoch, b.branch) in self.epochs
        if b.at - b.made > LATELY or (been and b.made < self.entered):
            return
        if self.wins(b, keeper):
            if self.returning is None:
                self.start_return("another branch wins")
        else:
            self.show_across(b)

    def our_beat(self, b):
        """B2: a word of our keeper."""
        self.word_of(b.key, b.ms, b.klaw)
        self.mep.forward(b.step)
        self.newestbeat = max(self.newestbeat, b.made)
        self.kheard = b.ms
        if self.lacking and b.ms > self.lacking[2]:
            self.lacking = None
        self.say_word(b)
        if b.klaw != self.klaw.hash:
            self.differs()

    def later_epoch(self, b):
        """B3, C7: an epoch that our keeper states."""
        self.stated[b.epoch, b.branch] = b.at
        while len(self.stated) > 64:
            del self.stated[next(iter(self.stated))]
        self.judge()
        if self.phase != "Present" or self.group.ctx.epoch >= b.epoch:
            return
        if self.keeper_key() == b.key and self.lacking is None:
            self.lacking = (b.at, b.epoch, b.ms)
            self.log("lacks epoch", b.epoch)

    def wins(self, b, keeper):
        """B4, B5: whether the branch of a beat wins over ours."""
        k = self.klaw
        if k.rank(self.me) > k.rank(b.key):
            return False
        if keeper is None:
            return True
        if b.key == keeper:
            return b.branch < self.group.branch
        if k.rank(b.key) > k.rank(keeper):
            return True
        if not self.keeps() and self.silent(b.at):
            return True
        if self.order(b.key) < self.order(keeper):
            return False
        since, last = self.rivals.get(b.key, (b.at, b.at))
        if b.at - last > LATELY:
            since = b.at
        self.rivals[b.key] = (since, b.at)
        others = [self.word.get(c.key, 0) for c in self.ros.values() if c.key != self.me]
        lonely = self.keeps() and (not others or b.at - max(others) > 8)
        return lonely or b.at - since >= 10

    def show_across(self, b):
        """G4: shows what we know to the keeper of a branch that gives way, ever more rarely."""
        if b.klaw == self.klaw.hash:
            return self.shown_to.pop(b.key, None)
        wait = 0 if self.keeps() else 10 + self.me[0] / 25.6
        at, wait, hash = self.shown_to.get(b.key, (b.at + wait, 10, self.klaw.hash))
        if hash != self.klaw.hash:
            wait = 10
        if b.at < at:
            self.shown_to[b.key] = (at, wait, self.klaw.hash)
            return
        self.shown_to[b.key] = (b.at + wait, min(640, 2 * wait), self.klaw.hash)
        self.show(b, b"\0")

    # ------------------------------------------------------------------------------------- silence
    def note_out(self, now, fresh=()):
        """S1: since when known law has which leaf out. One that came in so has no second."""
        for i, c in self.ros.items():
            if self.klaw.admitted(self.tag(c.key)):
                self.outsince.pop(c.key, None)
            else:
                self.outsince.setdefault(c.key, 0 if i in fresh else now)

    def silences(self, now):
        """K2: the moments from which the keeper counts as silent, of those that still hold."""
        keeper = self.keeper_key()
        if keeper is None or not self.klaw.admitted(self.tag(keeper)):
            return [self.outsince.get(keeper, self.entered) or self.entered]
        leaf = self.ros[self.leaf_of(keeper)]
        out = [max(self.word.get(keeper, 0), self.kbase) + 8]
        gone = [t for k, t in self.outsince.items() if self.leaf_of(k) is not None]
        if gone:
            since = max(min(gone), self.entered if min(gone) == 0 else 0)
            out.append(max(since, self.keepsince) + 8)
            klaw, at = self.knew.get(keeper, (None, 0))
            if klaw == self.klaw.hash and at >= since:
                out.append(at + 2)
        left = self.left.get(keeper)
        if left and left[0] >= leaf.made:
            out.append(left[2])
        if self.asked_in.get(keeper, (0, 0))[0] > leaf.made:
            out.append(self.asked_in[keeper][1])
        out += [p.t + 3 for p in self.pending if p.key == keeper and p.lacks and p.asked]
        if keeper in self.vain and now < self.vain[keeper] + 30:
            out.append(self.vain[keeper])
        commits = [t for t, k in self.merged if k == keeper and now - t < 30]
        if len(commits) >= 18:
            out.append(commits[17])
        return out

    def silent(self, now):
        return min(self.silences(now)) <= now

    # ------------------------------------------------------------------------------------ takeovers
    def absence(self):
        """P2: after how many seconds without a word a leaf is absent."""
        return 5 * (3 * max(1, -(-len(self.ros) // 8)) + 1)

    def absent(self, key):
        last = max(self.word.get(key, 0), self.came.get(key, 0))
        return self.newestbeat - last > self.absence()

    def takeover_counts(self, key, now):
        """K3."""
        lately = [(t, k) for t, k in self.takeovers if now - t < 60]
        if not self.klaw.admitted(self.tag(key)) or sum(k == key for _, k in lately) >= 2:
            return False
        keeper = self.keeper_key()
        if keeper is None or self.klaw.rank(key) > self.klaw.rank(keeper):
            return True
        return len(lately) < 6 and self.silent(now + 1)

    def tick_take(self, now):
        """K4."""
        if self.returning is not None or not self.autotake or len(self.ros) < 2:
            return
        keeper = self.keeper_key()
        ahead = [c.key for c in self.ros.values() if c.key not in (self.me, keeper)]
        ahead = [k for k in ahead if self.klaw.admitted(self.tag(k)) and not self.absent(k)]
        n = sum(self.order(k) > self.order(self.me) for k in ahead)
        if self.klaw.rank(self.me) > (self.klaw.rank(keeper) if keeper else 0):
            at = max(self.keepsince, self.ranked) + 0.5 * n
        else:
            at = min(self.silences(now)) + 1.5 * min(n, 12) + 0.1 * max(n - 12, 0)
        if now < at or now - self.lasttry < 1 or not self.takeover_counts(self.me, now):
            return
        self.lasttry = now
        self.log("takes over")
        self.make_commit(take=True)

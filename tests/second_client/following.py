"""Following: time, words, entering an epoch, messages of MLS, sayings, speaker keys.

room.md sections 3, 5 (C9 to C11) and 10, and reports.md 12.2 and 12.6.
"""

import random
import time

import media
import messages as msg
from credential import nowms
from group import Group
from law import Set, write_list
from primitives import Bad, SigKey, point_ok, verify, u8, u32, u64

HOLDS = 1800


class Following:
    """What every member of an epoch does."""

    def prepare(self):
        self.mep = self.spk = None
        self.old, self.later, self.held = [], [], []
        self.kproof = self.kbase = self.keepsince = self.entered = 0
        self.newestbeat = self.kheard = 0
        self.attended = time.time()
        self.unproved = None
        self.clock = (time.time(), time.monotonic())
        self.words_said = []
        self.announced = {}
        self.everyones = {}
        self.seeds = []
        self.published = []
        self.annat = 0
        self.asked_ids = {}
        self.answered_ids = {}

    # -------------------------------------------------------------------------------------- time
    def made_at(self, key, said):
        """T1: when a word was made by our clock, in seconds. Moves the lead of its member."""
        now = nowms()
        lead = now - said
        if key in self.lead:
            before, at = self.lead[key]
            lead = min(lead, before + (now - at) / 1000)
        self.lead[key] = (lead, now)
        return (said + lead) / 1000

    def word_of(self, key, said, klaw=None):
        """Notes a word of a leaf; S4 asks for a known hash that we have held."""
        made = self.made_at(key, said)
        self.word[key] = max(made, self.word.get(key, 0))
        if klaw is not None:
            self.knew[key] = (klaw, time.time())
            if key != self.me and self.klaw.rank(key) and klaw in self.hashes:
                self.attended = max(self.attended, made)
        return made

    def notice_sleep(self, now):
        """T3: a clock that jumped makes all words old until somebody has answered."""
        wall, run = self.clock
        mono = time.monotonic()
        self.clock = (now, mono)
        jump = (now - wall) - (mono - run)
        if not 2 <= jump <= 86400 or self.phase != "Present" or len(self.ros) < 2:
            return
        self.log("Slept", "%.1f" % jump)
        self.lead, self.kproof = {}, 0
        self.word = {}
        self.unproved = nowms()
        if self.keeps():
            self.wantbeat = True
        else:
            self.start_return("slept")

    # ------------------------------------------------------------------------------------ keeper
    def keeper_tag(self):
        return self.group.room()[1:17]

    def keeper_key(self):
        tag = self.keeper_tag()
        return next((c.key for c in self.ros.values() if self.tag(c.key) == tag), None)

    def keeps(self):
        return self.group is not None and self.keeper_tag() == self.tag(self.me)

    # ---------------------------------------------------------------------------------- entering
    def enter(self, group, law, roster, removed, welcomed=None):
        """C9. `welcomed` is when our KeyPackage was made, if a Welcome brought us here."""
        now = time.time()
        before, keeper = self.ros, self.keeper_tag() if self.group else None
        self.group, self.elaw, self.ros = group, law, roster
        for x in law.live_set():
            self.known.add(x)
        self.shown, self.said = Set(), set()
        self.relaw()
        self.note_epoch(group, now)
        for c in roster.values():
            self.made[c.key] = max(self.made.get(c.key, 0), c.made)
            self.seen.add(self.tag(c.key))
            if not any(o.key == c.key and o.made == c.made for o in before.values()):
                self.came[c.key] = now
            if not any(o.key == c.key for o in before.values()):
                self.lead.pop(c.key, None)
        if keeper != group.room()[1:17]:
            self.keepsince = now
            self.kbase = now
            self.kproof = 0
        if welcomed:
            self.kbase, self.kproof = now, welcomed
            self.word.pop(self.keeper_key(), None)
        self.entered = now
        self.missing = (now + 3 + 0.015 * (group.me % 64), 3)
        self.pending = []
        self.renewal = None
        self.note_out(now, fresh={i for i in roster if i not in before})
        self.start_media(now, removed)
        self.log(
            *("EPOCH", group.ctx.epoch, "branch", group.branch.hex()[:8], "leaf", group.me),
            *("law", law.hash.hex()[:8], "code", self.code()),
            [(i, c.name.decode(), "%02x" % law.role(self.tag(c.key))) for i, c in roster.items()],
        )
        if self.keeps() and keeper != self.keeper_tag():
            self.begin_keeping()
        if self.nextrenew is None:
            self.nextrenew = now + self.renewal_time()
        self.retry_held()

    def start_media(self, now, removed):
        """C9, 4 to 6: step 0 begins now; the epoch before goes on for two seconds."""
        law, before = self.elaw, self.mep
        heard = [i for i, c in self.ros.items() if law.heard(self.tag(c.key))]
        muted = [i for i in heard if law.muted(self.tag(self.ros[i].key))]
        keys = {i: c.key for i, c in self.ros.items()}
        g = self.group
        self.mep = media.MediaEpoch(
            self.terms, g.ctx.epoch, g.auth, g.export, heard, muted, keys, g.me, now
        )
        g.export = None
        if before:
            gone = {i for i in before.speakers if i not in heard or keys.get(i) != before.ids[i]}
            before.removed |= set(removed) | set(muted) | gone
            self.old = [(before, now + 2)]
        if self.spk:
            self.seeds.append((now + HOLDS, self.spk.seed))
            self.seeds = self.seeds[-4096:]
        self.announced = {}
        self.spk = None
        if g.me in heard and g.me not in muted:
            self.spk = SigKey()
            self.announce()

    def announce(self):
        """Says SpeakerKey (12.2)."""
        t, g = int(time.time()), self.group
        context = media.speaker_context(self.mep.ctx, g.me, self.spk.pub)
        signed = msg.announcement(self.gid, self.terms.name, g.ctx.epoch, context, t, HOLDS)
        head = u8(msg.SPEAKER_KEY) + self.spk.pub + u64(t) + u32(HOLDS)
        self.say(head + g.sigkey.sign(signed))
        self.annat = time.time()

    # --------------------------------------------------------------------------------------- MLS
    def take_mls(self, message):
        gid, epoch, *_ = Group.peek(message)
        if gid[:32] != self.gid or len(gid) != 48:
            raise Bad("OtherGroup")
        if self.group is None:
            return self.keep(message)
        if gid != self.group.ctx.gid:
            if self.returning is not None:
                self.keep(message)
            raise Bad("OtherGroup")
        if epoch > self.group.ctx.epoch:
            self.keep(message)
        c = self.group.open(message)
        key = self.ros[c.leaf].key
        if c.ctype == 1:
            self.take_saying(c, key)
        else:
            self.take_commit(c, key)

    def keep(self, message):
        """C10: keeps a message before its time."""
        size = sum(len(m) for _, m in self.later) + len(message)
        if len(self.later) >= 256 or size > 262144:
            raise Bad("Overflow")
        self.later.append((time.time(), message))

    def later_try(self, more=()):
        """Tries again what waited for this epoch."""
        waiting, self.later = list(more) + self.later, []
        for at, message in waiting:
            if time.time() - at >= 60 or self.phase != "Present":
                continue
            try:
                self.take_mls(message)
            except Bad as why:
                self.count(str(why))

    def take_saying(self, c, key):
        s = msg.read_saying(c.data, self.gid)
        rank = self.klaw.rank(key)
        if s.kind == msg.SPEAKER_KEY:
            self.take_speaker_key(c.leaf, key, s)
        elif s.kind == msg.WORD:
            self.word_of(key, s.at, s.klaw)
            if self.unproved is not None and self.keeps() and s.heard >= self.unproved:
                self.unproved = None
            if s.klaw != self.klaw.hash:
                self.differs()
        elif s.kind == msg.STATEMENTS:
            self.take_statements(s.statements)
        elif s.kind == msg.ASK:
            self.answer_ask(key, s.ids)
        elif s.kind == msg.ADMIT:
            if not rank:
                raise Bad("NotPermitted")
            if self.keeps():
                self.enqueue(s.package)
        elif s.kind == msg.LEAVE:
            self.take_leave(s.leave)
        elif s.kind == msg.MISSING:
            if self.group.me in s.leaves and self.spk and time.time() - self.annat >= 2:
                self.announce()
        elif s.kind == msg.ANSWER_KEY:
            if rank == 1 and self.klaw.host == self.me:
                badge = (s.answer, self.klaw.office, self.klaw.no)
                self.say(u8(msg.BADGE) + msg.make_badge(self.gid, self.ident, *badge))
        elif s.kind == msg.BADGE:
            self.take_badge(key, s.badge)
        elif s.kind == msg.DOOR:
            if not rank or not s.door.holds(self.klaw.host) or s.door.office != self.klaw.office:
                raise Bad("NotPermitted")
            self.doorsaid[key] = s.door

    def take_speaker_key(self, leaf, key, s):
        """The checks of 12.2, in their order."""
        tag, now = self.tag(key), time.time()
        if not self.elaw.heard(tag) or self.elaw.muted(tag):
            raise Bad("NoRight")
        leaf_key = self.group.tree.n[2 * leaf].sk
        context = media.speaker_context(self.mep.ctx, leaf, s.pub)
        signed = msg.announcement(
            self.gid, self.terms.name, self.group.ctx.epoch, context, s.announced, s.holds
        )
        good = point_ok(key) and point_ok(leaf_key) and point_ok(s.pub)
        if not good or not verify(leaf_key, s.sig, signed):
            raise Bad("SpeakerKey")
        pub, holds, latest = self.announced.get(leaf, (s.pub, s.holds, 0))
        owner = self.everyones.get(s.pub, (key, 0))[0]
        if (pub, holds) != (s.pub, s.holds) or owner != key or s.pub in self.published:
            raise Bad("SpeakerKey")
        if 0 < s.holds < HOLDS:
            raise Bad("SpeakerKey")
        if abs(s.announced - now) > 300:
            raise Bad("Clock")
        self.announced[leaf] = (s.pub, s.holds, max(s.announced, latest))
        owner, until = self.everyones.get(s.pub, (key, 0))
        if owner == key:
            until = max(until, s.announced + (s.holds or HOLDS))
            self.everyones[s.pub] = (owner, until)
        self.mep.pub[leaf] = s.pub
        self.word_of(key, s.announced * 1000 + 999)
        self.count("speaker key of " + self.ros[leaf].name.decode())
        self.retry_held()

    def take_spent(self, seeds):
        """12.6: a seed that is early takes its speaker's voice."""
        for seed in seeds:
            pub = SigKey(seed).pub
            if pub not in self.everyones:
                raise Bad("Repeated")
            if time.time() + 300 < self.everyones[pub][1]:
                for ep in [self.mep] + [o for o, _ in self.old]:
                    for leaf in [i for i, k in (ep.pub if ep else {}).items() if k == pub]:
                        del ep.pub[leaf]
                self.log("a seed is early")
            self.published = self.published[-1023:] + [pub]

    def tick_spent(self, now):
        """Publishes the seeds whose time has come (12.6)."""
        due = [s for t, s in self.seeds if t <= now][:16]
        if due:
            self.seeds = [x for x in self.seeds if x[1] not in due]
            self.send(u8(msg.SPENT) + u8(len(due)) + b"".join(due))

    def answer_ask(self, key, ids):
        """G3: four questions of one member in 10 s, and one statement once in a second."""
        now = time.time()
        asked = [t for t in self.asked_ids.get(key, []) if now - t < 10]
        if len(asked) >= 4:
            raise Bad("Flood")
        self.asked_ids[key] = asked + [now]
        have = {**self.epoch_statements(), **self.known.d, **self.shown.d}
        found = [have[i] for i in ids if i in have and now - self.answered_ids.get(i, 0) >= 1]
        if not self.keeps():
            found = [x for x in found if getattr(x, "issuer", None) == self.me]
        self.answered_ids = {i: t for i, t in self.answered_ids.items() if now - t < 1}
        self.answered_ids.update((x.id, now) for x in found)
        if found:
            self.say(u8(msg.STATEMENTS) + write_list([x.shown() for x in found]))

    def take_leave(self, leave):
        """P4: a Leave ends the leaves that were made until its time."""
        key, ms = msg.read_leave(leave, self.gid)
        if ms > self.left.get(key, (-1,))[0]:
            self.left[key] = (ms, leave, time.time())
            self.log("Leave of", key.hex()[:8])

    def say_word(self, beat):
        """P1: says Word if it is our turn."""
        now, keeper = time.time(), self.keeper_key()
        leaves = [c.key for c in self.ros.values() if c.key != keeper]
        before = sum(self.order(k) > self.order(self.me) for k in leaves)
        t = max(1, -(-len(leaves) // 8))
        self.words_said = [x for x in self.words_said if now - x < 4]
        if before >= 3 and (self.words_said or before % t != beat.ms // 5000 % t):
            return
        if len(self.words_said) < 6:
            self.words_said.append(now)
            self.say(u8(msg.WORD) + u64(beat.ms) + u64(self.stamp()) + self.klaw.hash)
            self.count("Word said")

    # -------------------------------------------------------------------------------------- ticks
    def tick_follow(self, now):
        """Speaker keys, showing again, renewals."""
        if self.spk and now - self.annat >= 300:
            self.announce()
        for leaf, (_, _, announced) in self.announced.items():
            if now >= announced + 900:
                self.mep.pub.pop(leaf, None)
        at, wait = self.missing
        have, me = self.mep.pub, self.group.me
        lacking = [i for i in self.mep.speakers if i not in have and i != me]
        lacking = [i for i in lacking if i not in self.mep.muted]
        if lacking and now >= at and self.terms.auth == 0:
            self.say(msg.say_missing(lacking[:32]))
            self.missing = (now + wait, min(48, wait * 2))
        if self.showat and now >= self.showat:
            self.showat = None
            if self.keeps() or self.knew.get(self.keeper_key(), (None,))[0] != self.klaw.hash:
                self.show_news(again=True)
        if self.renewal and now - self.renewal[0] > 30:
            self.renewal, self.nextrenew = None, now
        same = self.klaw.hash == self.elaw.hash and len(self.ros) > 1 and self.returning is None
        if now > self.nextrenew and same and not self.renewal:
            self.nextrenew = now + self.renewal_time()
            self.make_commit(path=True) if self.keeps() else self.renew()

    def renewal_time(self):
        """K10."""
        return random.uniform(0.5, 1.5) * max(600, 6 * len(self.ros))

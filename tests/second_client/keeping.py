"""Keeping, doors, and being host (room.md sections 6 and 11)."""

import os
import time

import messages as msg
from credential import nowms, read_key_package
from envelope import Lane
from invites import Invite
from law import Terms, write_list
from primitives import Bad, KemKey, SigKey, sha256, u8, u64, v16, v32
from relay import Relay

BATCH, QUIET_BATCH = 0.25, 2


class Keeping:
    """A keeper's part, and that of somebody of rank."""

    def prepare(self):
        self.queue, self.addtime = {}, {}
        self.keepdoor = None
        self.lastbeat = self.lastchain = 0
        self.wantbeat = False
        self.beatlog, self.kcommits = [], []
        self.since = None
        self.door = self.badge = None
        self.answerkey_at = self.doorsaid_at = 0
        self.doorsaid, self.answered, self.openings = {}, {}, []
        self.taken, self.toldout, self.uses, self.admitted_at = {}, {}, {}, []

    # ------------------------------------------------------------------------------------ keeping
    def begin_keeping(self):
        self.keepdoor = KemKey.derive(os.urandom(32))
        self.lastbeat = 0
        self.log("keeps")

    def beat(self, now):
        """K5: a heartbeat with up to three doors, the host's first."""
        self.lastbeat, self.wantbeat = now, False
        self.beatlog = [t for t in self.beatlog if now - t < 30] + [now]
        doors = {k: d.raw for k, d in self.doorsaid.items() if self.badge_counts(k, d)}
        if self.badge and self.klaw.rank(self.me):
            doors[self.me] = self.own_door()
        shown = sorted(doors, key=lambda k: (k != self.me, k != self.klaw.host))[:3]
        clock = max(0, int((now - self.mep.t0) * 1000))
        fields = u64(self.group.ctx.epoch) + self.group.branch + u64(clock) + u64(self.stamp())
        fields += self.elaw.hash + self.klaw.hash + v16(self.keepdoor.pub)
        shown = [doors[k] for k in shown]
        self.send(msg.make_heartbeat(self.gid, self.terms.salt, self.ident, shown, fields))
        self.newestbeat = now

    def badge_counts(self, key, door):
        return self.klaw.rank(key) and door.office == self.klaw.office

    def take_call(self):
        if self.phase == "Present" and self.keeps():
            self.chain()
            self.wantbeat = True

    def chain(self):
        """K5: the last eight hand-overs, without their rest, once in 5 s at most."""
        if self.klaw.chain and time.time() - self.lastchain >= 5:
            self.lastchain = time.time()
            bare = [t.bare() for t in self.klaw.chain_tables[-8:]]
            self.send(u8(msg.CHAIN) + write_list(bare))
            self.log("Chain sent", len(bare))

    def tick_keep(self, now):
        """K5 to K9."""
        quiet = self.returning is not None and not self.plays_on(now)
        self.beatlog = [t for t in self.beatlog if now - t < 30]
        # K5: the 12 in 30 s bound those out of turn alone; the one in 5 s always goes.
        asked = self.wantbeat and now - self.lastbeat >= 0.2 and len(self.beatlog) < 12
        if (now - self.lastbeat >= 5 or asked) and not quiet:
            self.beat(now)
        removes, urgent = self.leaves_to_remove(now)
        adds = []
        if quiet:
            removes = [i for i in removes if not self.klaw.admitted(self.tag(self.ros[i].key))]
        else:
            adds = self.packages_to_add(now, removes)
        if not removes and not adds and (self.klaw.hash == self.elaw.hash or quiet):
            self.since = None
            return
        self.since = self.since or now
        if now < self.since + (0 if urgent else self.batch_time(removes, adds)):
            return
        if not urgent and not self.may_commit(now):
            return
        if urgent and len([t for t in self.kcommits if now - t < 30]) >= 17:
            return
        self.since = None
        for kp, c in adds:
            self.addtime.setdefault(c.key, []).append(now)
            self.queue.pop(c.key, None)
        self.make_commit(adds=self.distinct(adds, removes), removes=removes)

    def plays_on(self, now):
        """K9: a member that has asked in vain plays its part meanwhile."""
        return any(now - t < 30 for t in self.vain.values())

    def leaves_to_remove(self, now):
        """K6, 1: the leaves that go, and whether one of them is out."""
        gone = [i for i in self.gone_leaves() if i != self.group.me]
        urgent = any(not self.klaw.admitted(self.tag(self.ros[i].key)) for i in gone)
        for i, c in self.ros.items():
            if i == self.group.me or i in gone:
                continue
            silent = self.lastbeat - max(self.word.get(c.key, 0), self.came.get(c.key, 0))
            enough = self.absence() + 120 if self.klaw.rank(self.me) else max(600, self.absence())
            if silent > enough:
                gone.append(i)
        return gone, urgent

    def packages_to_add(self, now, removes):
        """K6, 2 and K7; adds the older leaves of those identities to `removes`."""
        adds = []
        for key, (kp, c) in list(self.queue.items()):
            fits = -600000 <= c.made - nowms() <= 600000
            if (
                not self.klaw.admitted(self.tag(key))
                or not self.newer_than_leaves(c)
                or not fits
            ):
                del self.queue[key]
                continue
            at = [t for t in self.addtime.get(key, []) if now - t < 60]
            self.addtime[key] = at
            if key == self.me or len(at) >= 4 or (at and now - at[-1] < 5):
                continue
            removes += [i for i, x in self.ros.items() if x.key == key and i not in removes]
            adds.append((kp, c))
        return adds

    def distinct(self, adds, removes):
        """K8: leaves out KeyPackages that MLS would refuse for a key that stands elsewhere."""
        tree = self.group.tree.roster()
        seen = {k for i, leaf in tree.items() if i not in removes for k in (leaf.ek, leaf.sk)}
        good = []
        for kp, _ in adds:
            if not {kp.leaf.ek, kp.leaf.sk} & seen:
                seen |= {kp.leaf.ek, kp.leaf.sk}
                good.append(kp)
        return good

    def batch_time(self, removes, adds):
        if removes or adds:
            return BATCH
        tags = [self.tag(c.key) for c in self.ros.values()]
        a, b = self.klaw, self.elaw
        same = all(a.role(t) == b.role(t) and a.ranktag(t) == b.ranktag(t) for t in tags)
        return QUIET_BATCH if same else BATCH

    def may_commit(self, now):
        """K7, K8."""
        lately = [t for t in self.kcommits if now - t < 30]
        if len(lately) >= 14 or (len(lately) >= 4 and now - lately[-1] < 2.5):
            return False
        heard = [self.word.get(c.key, 0) for c in self.ros.values() if c.key != self.me]
        old = heard and max(heard + [self.kproof]) < self.lastbeat - 5
        return not (old and now - self.lastbeat < 1)

    def enqueue(self, package):
        """D7, R5: a KeyPackage that the keeper is to add."""
        kp, c = read_key_package(package, self.gid)
        if not self.klaw.admitted(self.tag(c.key)):
            raise Bad("NotPermitted")
        if c.key in self.queue and self.queue[c.key][1].made >= c.made:
            raise Bad("Repeated")
        self.queue[c.key] = (kp, c)

    def flood(self, kind, most=64):
        """At most so many HPKE openings in a second."""
        now = time.time()
        self.openings = [(t, k) for t, k in self.openings if now - t < 1]
        if sum(k == kind for _, k in self.openings) >= most:
            raise Bad("Flood")
        self.openings.append((now, kind))

    def take_show(self, m):
        """G5, G6, R5."""
        if self.phase != "Present" or not self.keeps():
            raise Bad("NotForUs")
        if m.door != sha256(self.keepdoor.pub)[:16]:
            raise Bad("NotForUs")
        self.flood("show")
        s = msg.read_show(msg.open_show(self.keepdoor, m, self.gid))
        if not msg.show_holds(s, self.gid, self.keepdoor.pub, m.ref):
            raise Bad("Signature")
        now, pace = time.time(), 2 if s.wish == 1 else 10
        if s.wish != 2 and now - self.taken.get((s.key, s.wish), 0) < pace - 0.2:
            raise Bad("Flood")
        self.taken[s.key, s.wish] = now
        self.log("Show of", s.key.hex()[:8], "wish", s.wish)
        self.take_statements(s.statements)
        if self.phase != "Present":
            return
        if not self.klaw.admitted(self.tag(s.key)):
            return self.tell_out(s, m.ref, now)
        if s.wish == 0:
            shown = u8(msg.SHOWN) + write_list(self.klaw.live_shown())
            self.answer(m.ref, s.once, shown)
        elif s.wish == 2:
            if s.leave[:32] != s.key:
                raise Bad("NotPermitted")
            self.take_leave(s.leave)
        else:
            kp, c = read_key_package(s.package, self.gid)
            if c.key != s.key or kp.ref != m.ref:
                raise Bad("KeyPackage")
            if s.broken:
                self.log("Accused", s.broken[0].hex()[:8])
                self.accused[s.broken[0]] = now
            self.enqueue(s.package)

    def tell_out(self, s, ref, now):
        """G6: once a minute for each identity."""
        if now - self.toldout.get(s.key, 0) < 60:
            return
        self.toldout[s.key] = now
        tag = self.tag(s.key)
        mine = [x.shown() for x in self.klaw.by_tag.get(tag, [])]
        tables = [t.bare() for t in self.klaw.chain_tables if t is not self.klaw.T]
        tables += [self.klaw.T.shown()] if self.klaw.T is not None else []
        self.answer(ref, s.once, u8(msg.SHOWN) + write_list(tables + mine))

    def answer(self, ref, once, content):
        self.send(msg.make_answer(self.gid, ref, once, content))

    # -------------------------------------------------------------------------------------- doors
    def tick_doors(self, now):
        """D1, D2."""
        if not self.klaw.rank(self.me):
            self.door = self.badge = None
            return
        if self.door is None:
            self.door = (SigKey(), KemKey.derive(os.urandom(32)))
        answer, k = self.door[0], self.klaw
        stale = self.badge is None or self.badge[1:] != (k.office, k.no)
        if stale and k.host == self.me:
            badge = msg.make_badge(self.gid, self.ident, answer.pub, k.office, k.no)
            self.badge = (badge, k.office, k.no)
            self.doorsaid_at = 0
        elif stale and now - self.answerkey_at >= 60:
            self.answerkey_at = now
            self.say(u8(msg.ANSWER_KEY) + answer.pub)
        if self.badge and self.badge[1] == k.office and not self.keeps() and len(self.ros) > 1:
            if now - self.doorsaid_at >= 60 or self.doorsaid_at < self.keepsince:
                self.doorsaid_at = now
                self.say(u8(msg.DOOR) + self.own_door())

    def take_badge(self, key, badge):
        """A badge for our answer key."""
        if key != self.klaw.host or not msg.badge_holds(self.gid, key, badge):
            raise Bad("NotPermitted")
        if self.door and badge[:32] == self.door[0].pub and badge[32:64] == self.klaw.office:
            self.badge = (badge, badge[32:64], int.from_bytes(badge[64:72], "big"))
            self.doorsaid_at = 0
            self.log("has a badge")

    def own_door(self):
        return msg.make_door(self.gid, self.door[0], self.badge[0], self.door[1].pub)

    def take_knock(self, m):
        """D3, with a door that is open."""
        if self.phase == "Present" and self.keeps():
            self.chain()
        if not self.door or m.door != sha256(self.door[0].pub)[:16] or self.phase != "Present":
            raise Bad("NotForUs")
        if m.ref in self.answered:
            raise Bad("Repeated")
        self.flood("knock")
        text = msg.open_knock(self.door[1], m, self.gid, self.door[0].pub)
        k = msg.read_knock(text)
        kp, c = read_key_package(k.package, self.gid)
        if kp.ref != m.ref:
            raise Bad("KeyPackage")
        if any(x.key == c.key and x.made == c.made for x in self.ros.values()):
            raise Bad("Repeated")
        self.answered[m.ref] = True
        while len(self.answered) > 4096:
            del self.answered[next(iter(self.answered))]
        self.seen.add(self.tag(c.key))
        reason = self.refusal(k, c)
        self.log("knock of", c.name.decode(), "refused %d" % reason if reason is not None else "")
        if reason is not None:
            content = m.ref + u8(reason)
            signed = msg.signed_answer(self.gid, msg.REFUSED, self.door[0], content)
            return self.answer(m.ref, k.once, signed)
        self.let_in(k, c, m.ref)

    def refusal(self, k, c):
        """D3, 4 to 10: the reason, or None."""
        law, tag = self.klaw, self.tag(c.key)
        invite = self.terms.invite_tag(k.id, k.expiry, k.uses)
        known = law.admitted(tag)
        if law.banned(tag):
            return 3
        if not -600000 <= c.made - nowms() <= 60000:
            return 8
        if k.expiry < time.time():
            return 1
        if law.raw_role(invite) == 0:
            return 2 if k.uses == 1 and law.has_role_word(invite) else 6
        if law.locked() and not known:
            return 7
        if k.uses > 1 and not known and self.uses.get(invite, 0) >= k.uses:
            return 2
        if any(x.key == c.key and x.made > c.made for x in self.ros.values()):
            return 4
        return 5 if len(self.ros) >= 1000 else None

    def let_in(self, k, c, ref):
        """D4, D6."""
        law, tag, now = self.klaw, self.tag(c.key), time.time()
        invite = self.terms.invite_tag(k.id, k.expiry, k.uses)
        if not law.admitted(tag):
            self.admitted_at = [t for t in self.admitted_at if now - t < 60]
            own = {x.about for x in law.said if x.issuer == self.me and x.reg == 0}
            put_out = law.has_role_word(tag)
            if (
                put_out
                or len(self.admitted_at) >= 30
                or (law.rank(self.me) == 1 and len(own) >= 192)
            ):
                content = msg.signed_answer(self.gid, msg.WAITING, self.door[0], ref)
                return self.answer(ref, k.once, content)
            self.admitted_at.append(now)
            words = [self.standing(tag, law.raw_role(invite))]
            if k.uses == 1:
                words.append(self.standing(invite, 0))
            self.uses[invite] = self.uses.get(invite, 0) + 1
            self.put(*words)
        law = self.klaw
        outs = [x.shown() for x in law.said if x.about != bytes(16) and x.word in (0x81, 0)]
        content = msg.receipt_content(self.me, ref, law.office, law.no, outs)
        self.answer(ref, k.once, msg.signed_answer(self.gid, msg.RECEIPT, self.ident, content))
        self.say(u8(msg.ADMIT) + v32(k.package))
        if self.keeps():
            self.enqueue(k.package)

    # --------------------------------------------------------------------------------------- host
    def create(self, relay, room=b"second room", **terms):
        """F1: makes a room on a relay."""
        self.lane, self.relayname = Lane(os.urandom(32)), relay
        self.relay = Relay(relay, self.lane.handle)
        self.terms = Terms.make(os.urandom(32), self.me, room, **terms)
        self.gid = self.terms.group_id
        self.relay.connect()
        self.relaw()
        self.found()
        self.tick_doors(time.time())

    def make_invite(self, role=3, uses=0, life=86400):
        """L25: a link, and the standing that makes it."""
        i = Invite.__new__(Invite)
        i.lane, i.gid, i.host, i.office = self.lane.key, self.gid, self.klaw.host, self.klaw.office
        i.no, i.id, i.suite, i.sound = self.klaw.no, os.urandom(16), 1, self.terms.sound
        i.expiry, i.uses, i.relays = int(time.time()) + life, uses, [self.relayname]
        self.put(self.standing(self.terms.invite_tag(i.id, i.expiry, uses), role))
        return i.link()

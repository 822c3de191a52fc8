"""Leaving, showing to keepers, asking for one's place, founding (room.md 7, 10, 13, 14)."""

import os
import random
import time

import messages as msg
from credential import Cred, life, nowms
from group import Group
from law import write_list
from primitives import Bad, KemKey, SigKey, u8, u64, v16, v32


class Returning:
    """A returner's part."""

    def prepare(self):
        self.returning = self.foundat = self.nobody = None
        self.asking = None
        self.vain = {}
        self.shows = {}
        self.hadkeeper = False
        self.ranked = 0

    def start_return(self, why):
        self.log("returns:", why)
        self.returning, self.nobody = time.time(), None
        self.asked, self.pause = 0, 2

    def leave(self):
        """P4: says Leave in the epoch and to the keeper."""
        made = max([self.topmade] + [c.made for c in self.ros.values() if c.key == self.me])
        leave = msg.make_leave(self.gid, self.ident, made)
        if self.group:
            keeper = self.keeper_key()
            self.say(u8(msg.LEAVE) + leave)
            if keeper in self.beats:
                self.show(self.beats[keeper], u8(2) + leave)
        self.over("Left")

    def show(self, beat, wish, ref=None, once=None):
        """A Show to the keeper of a beat (14.8)."""
        ref = ref or os.urandom(32)
        if once is None:
            once = self.shows[ref] = KemKey.derive(os.urandom(32))
            while len(self.shows) > 8:
                del self.shows[next(iter(self.shows))]
        shown = [] if beat.klaw == self.klaw.hash else self.klaw.live_shown()
        content = self.me + v16(once.pub) + u64(self.stamp()) + wish + write_list(shown)
        try:
            self.send(msg.make_show(self.gid, self.ident, beat.door, ref, content))
        except Bad:
            self.count("a keeper's door key is none")

    # ------------------------------------------------------------------------------------- asking
    def tick_return(self, now, news=False):
        """R1 to R3: asks one keeper after 2 to 3 s again, or calls."""
        if now < self.asked + self.pause and not (news and not self.hadkeeper):
            return
        if self.phase == "Present" and not self.asked:
            if now < self.returning + 0.015 * (self.group.me % 64):
                return
        if not self.klaw.admitted(self.tag(self.me)) and self.asked and now < self.asked + 60:
            return
        self.asked, self.pause = now, random.uniform(2, 3)
        keepers = [b for b in self.beats.values() if now - b.at < 20 and self.may_ask(b)]
        self.hadkeeper = bool(keepers)
        if not keepers:
            return self.nobody_to_ask(now)
        self.nobody = None
        fresh = [b for b in keepers if now - self.vain.get(b.key, -90) >= 90]
        if fresh:
            beat = max(fresh, key=lambda b: self.order(b.key))
        else:
            beat = min(keepers, key=lambda b: self.vain[b.key])
        if self.asking is None or self.asking[0] != beat.key:
            self.asking = (beat.key, now)
        if now - self.asking[1] > 10:
            self.vain[beat.key] = now
            self.asking = None
            self.log("asked in vain")
        self.ask_keeper(beat, now)

    def may_ask(self, b):
        """R3, R5, R7: a keeper that known law admits, or the host that a Chain led to."""
        if self.phase == "Present" and b.key == self.keeper_key():
            return self.lacking is not None or self.unproved is not None
        host = self.new_host and b.key == self.new_host[0]
        return self.klaw.admitted(self.tag(b.key)) or host

    def nobody_to_ask(self, now):
        if self.nobody is None:
            self.nobody = now
        if self.phase == "Present" and now - self.nobody >= 20:
            self.log("goes on")
            self.returning = None
            return
        self.send(u8(msg.CALL))
        self.log("Call")

    def ask_keeper(self, beat, now):
        """R2: the same KeyPackage four times, then another."""
        if self.pet is None or self.pet.shows >= 4 or self.pet.asked != beat.key:
            most = max(nowms(), self.klaw.no) + 300000
            made = min(int(beat.ms + (now - beat.at) * 1000), most)
            left = self.left.get(self.me, (0,))[0]
            floor = max(self.made.get(self.me, 0), self.topmade, left) + 1
            self.petition(max(made, floor)).asked = beat.key
        self.pet.shows += 1
        wish = u8(1) + v32(self.pet.own.kp.msg())
        wish += u8(1) + self.broken[0] + u64(self.broken[1]) if self.broken else u8(0)
        self.show(beat, wish, self.pet.ref, self.pet.once)
        self.log("Return asked of", beat.key.hex()[:8])

    # ----------------------------------------------------------------------------------- founding
    def tick_found(self, now):
        """F2."""
        rank = self.klaw.rank(self.me)
        if self.foundat is None:
            self.foundat = self.returning + 30 + (0 if rank else random.uniform(0, 30))
        heard = max([b.at for b in self.beats.values()] + [self.returning])
        early = rank and now - heard >= 10
        if (now >= self.foundat or early) and self.klaw.admitted(self.tag(self.me)):
            self.log("founds a branch")
            self.found()

    def found(self):
        """F1, F3, R8: a group of one, kept by us."""
        leaf_key = SigKey()
        made = max(self.stamp(), self.made.get(self.me, 0) + 1, self.topmade + 1)
        cred = Cred.make(self.ident, self.gid, leaf_key.pub, self.name, made)
        room = u8(2) + self.tag(self.me) + self.klaw.hash
        group = Group.found(self.gid + os.urandom(16), leaf_key, cred, life(made), room)
        self.phase, self.pet, self.returning = "Present", None, None
        self.topmade = max(self.topmade, made)
        self.enter(group, self.klaw, {0: Cred(cred)}, set())

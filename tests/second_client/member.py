"""A member of a room: its state, its loop, and what the parts share (spec/room.md).

Each rule is in one part: joining, knowing (the law), following, branches, commits, returning,
keeping, sound. `step` does what is due; nothing happens outside it.
"""

import sys
import time

import messages as msg
from branches import Branches
from commits import Commits
from credential import nowms
from envelope import Lane
from following import Following
from invites import read_invite
from joining import Joining
from keeping import Keeping
from knowing import Knowing
from law import Set
from primitives import Bad, SigKey, hkdf, sha256, u8, v8, v32
from relay import Relay
from returning import Returning
from sound import Sound


def digits(label, content):
    """Six groups of five digits that people compare (SPEC.md 7.11)."""
    d = hkdf(b"", content, label, 30)
    groups = [int.from_bytes(d[5 * i : 5 * i + 5], "big") % 100000 for i in range(6)]
    return " ".join("%05d" % x for x in groups)


def turn(table_id, word, tag):
    """The draw of K1: the greater comes first."""
    return sha256(b"sottovoce 2 turn" + table_id + word + tag)


class Member(Joining, Knowing, Following, Branches, Commits, Returning, Keeping, Sound):
    """One member on one relay. Times are seconds of the device's clock unless they end in ms."""

    def __init__(self, name="Second", invite=None, identity=None, log=None):
        self.ident = identity or SigKey()
        self.me = self.ident.pub
        self.name = name.encode()
        self.logf = log or sys.stderr
        self.t0 = time.time()
        self.stats = {}
        self.phase = "Joining"
        self.why = None
        self.terms = self.group = self.elaw = self.klaw = self.mep = self.pet = None
        self.ros = {}
        self.reconnect = 0
        self.laststamp = 0
        # Of the law: what is known, the pins, what was shown in this epoch, and what we said of it.
        self.known, self.shown = Set(), Set()
        self.pins, self.said, self.hashes = [], set(), []
        self.numbers = {}
        self.seen = set()
        # Of people, by identity key: leads, newest words, known hashes, times of leaves, Leaves.
        self.lead, self.word, self.knew = {}, {}, {}
        self.made, self.left, self.came = {}, {}, {}
        self.petitions = []
        self.topmade = 0
        for part in (Joining, Following, Branches, Commits, Returning, Keeping, Sound):
            part.prepare(self)
        if invite:
            self.invite = read_invite(invite)
            if self.invite.suite != 1:
                raise Bad("KeyExchange")
            if self.invite.expiry < time.time():
                raise Bad("Expired")
            self.host_now, self.office_now = self.invite.host, self.invite.office
            self.lane, self.gid = Lane(self.invite.lane), self.invite.gid
            self.relayname = self.invite.relays[0]
            self.relay = Relay(self.relayname, self.lane.handle)

    # ---------------------------------------------------------------------------------- plumbing
    def log(self, *a):
        at = "%8.3f %s" % (time.time() - self.t0, self.name.decode())
        print(at, *a, file=self.logf, flush=True)

    def count(self, what):
        self.stats[what] = self.stats.get(what, 0) + 1

    def stamp(self):
        """T2: never the same time twice, nor an earlier one after a later one."""
        self.laststamp = max(nowms(), self.laststamp + 1)
        return self.laststamp

    def send(self, message):
        for e in self.lane.seal(message):
            self.relay.control(e)

    def say(self, saying):
        self.send(u8(msg.MLS) + v32(self.group.app(saying)))

    def sign(self, label, content):
        return self.ident.sign(label + self.gid + content)

    def tag(self, key):
        return self.terms.tag(key)

    def leaf_of(self, key):
        """The leaf of an identity in the present tree, or None."""
        return next((i for i, c in self.ros.items() if c.key == key), None)

    def named(self, name):
        """The credential of the member with this name."""
        return next((c for c in self.ros.values() if c.name.decode() == name), None)

    def code(self):
        """The room code (SPEC.md 7.11)."""
        keys = b"".join(sorted(c.key for c in self.ros.values()))
        content = v8(self.gid) + v8(self.group.auth) + keys
        return digits(b"sottovoce 1 room code", content)

    # ------------------------------------------------------------------------------------ phases
    def over(self, why):
        """The room is over for us. Every key of it is dropped."""
        self.phase, self.why = "Over", why
        self.log("OVER", why)
        self.drop()

    def lose(self, why):
        """The place is lost: Returning."""
        self.log("Returning:", why)
        self.phase, self.returning = "Returning", time.time()
        self.asked, self.pause = 0, 2
        self.foundat = None
        self.drop()

    def drop(self):
        self.group = self.mep = self.spk = None
        self.ros, self.old, self.pending = {}, [], []
        self.renewal = None

    # -------------------------------------------------------------------------------------- loop
    def control(self, envelope):
        """Takes an envelope. What is refused does nothing and is counted."""
        try:
            m = self.lane.open(envelope)
            if m is None or self.phase == "Over":
                return
            self.take(msg.read_message(m, self.gid))
        except Bad as why:
            self.count(str(why))
            if str(why) not in ("Own", "Stale", "NotForUs", "Repeated"):
                self.log("!", why)

    def take(self, m):
        if m.kind == msg.HEARTBEAT:
            self.take_heartbeat(m)
        elif m.kind == msg.MLS:
            self.take_mls(m.content)
        elif m.kind == msg.WELCOME:
            self.take_welcome(m.content)
        elif m.kind == msg.KNOCK:
            self.take_knock(m)
        elif m.kind == msg.ANSWER:
            self.take_answer(m)
        elif m.kind == msg.SHOW:
            self.take_show(m)
        elif m.kind == msg.CHAIN:
            self.take_chain(m.tables)
        elif m.kind == msg.CALL:
            self.take_call()
        elif m.kind == msg.SPENT:
            self.take_spent(m.seeds)

    def step(self, timeout=0.01):
        """Takes what has arrived and does what is due."""
        envelopes, packets = self.relay.poll(timeout)
        now = time.time()
        self.notice_sleep(now)
        for e in envelopes:
            self.control(e)
        for p in packets:
            self.packet(p)
        now = time.time()
        if not self.relay.open and self.phase != "Over" and now > self.reconnect:
            self.reconnect = now + 1
            try:
                self.relay.connect()
                self.log("relay connected")
            except (OSError, Bad) as why:
                self.log("relay", why)
        if self.phase == "Joining":
            self.tick_join(now)
        elif self.phase == "Returning":
            self.tick_return(now)
            self.tick_found(now)
        if self.phase == "Present":
            self.tick_present(now)
        self.tick_sound(now)
        self.tick_spent(now)

    def tick_present(self, now):
        self.note_out(now)
        self.mep.tick(now)
        self.old = [(o, t) for o, t in self.old if t > now]
        self.judge()
        if self.phase == "Present" and self.keeps():
            self.tick_keep(now)
        elif self.phase == "Present":
            self.tick_take(now)
        if self.phase == "Present":
            self.tick_follow(now)
            self.tick_doors(now)
            if self.lacking and now - self.lacking[0] > 3 and self.returning is None:
                self.start_return("a commit is withheld")
            if self.returning is not None:
                self.tick_return(now)

    def run(self, seconds, until=None):
        """Steps for so long, or until something holds. Whether it came to hold."""
        end = time.time() + seconds
        while time.time() < end and self.phase != "Over":
            self.step()
            if until and until():
                return True
        return bool(until and until())

"""Coming in: doors, knocks, answers, and the Welcome (room.md section 12, mls.md M25)."""

import os
import random
import time

import messages as msg
from credential import Cred, check_leaf, life
from law import Law, Set, Table, Terms, parse
from leaves import OwnKP
from primitives import R, Bad, KemKey, SigKey, u8
from welcome import join

DOORS = 8


class Petition:
    """One KeyPackage that is out, with its one-use keys (E1)."""

    def __init__(self, made, own):
        self.made, self.own, self.ref = made, own, own.kp.ref
        self.at = time.time()
        self.shows = 0
        self.asked = None
        self.once = one_use_key()
        self.doors = {}


def one_use_key():
    return KemKey.derive(os.urandom(32))


def check_roster(group, gid):
    """Holds every leaf of a tree to its form (M25, 8); returns the credentials by leaf."""
    roster = {i: check_leaf(leaf, gid) for i, leaf in group.tree.roster().items()}
    if len(roster) > 1000:
        raise Bad("TooMany")
    if len({c.key for c in roster.values()}) != len(roster):
        raise Bad("Duplicate")
    return roster


def read_newcomers(ext, gid):
    """The terms and the statements of the extension 0xF50C (14.12), each with its bytes."""
    try:
        r = R(ext)
        terms, n, shown = Terms(r.v16(512)), r.u32(), []
        if n > 65536:
            raise Bad("Law")
        for _ in range(n):
            i = r.i
            kind = r.u8()
            r.take(133 if kind == 0 else 200)
            if kind == 2:
                r.u32()
                r.take(49 * r.u8())
                r.take(26 * r.u16())
            shown.append(r.b[i : r.i])
        r.end()
        statements = [parse(b, gid) for b in shown]
    except Bad:
        raise Bad("Law")
    if terms.group_id != gid or terms.suite != 1:
        raise Bad("Law")
    if not all(x.holds(gid) for x in statements):
        raise Bad("Law")
    return terms, statements, shown


class Joining:
    """A newcomer's part."""

    def prepare(self):
        self.invite = None
        self.doors = {}
        self.asked, self.pause = 0, 2
        self.badge_no = 0
        self.first_refusal = self.last_reason = None
        self.knocked = False

    # ------------------------------------------------------------------------------------ asking
    def petition(self, made):
        """Makes a KeyPackage whose credential says `made`, and gives up the one before."""
        made = min(made, 2**64 - 1)
        leaf_key = SigKey()
        cred = Cred.make(self.ident, self.gid, leaf_key.pub, self.name, made)
        self.pet = Petition(made, OwnKP(leaf_key, cred, life(made)))
        self.petitions = self.petitions[-1023:] + [made]
        self.topmade = max(self.topmade, made)
        return self.pet

    def tick_join(self, now):
        if now > self.invite.expiry:
            return self.over("Expired")
        if self.refused_by_all(now):
            return self.over("Refused(%d)" % self.last_reason)
        if self.pet is None or now - self.pet.at >= 25:
            self.petition(max(self.stamp(), self.topmade + 1))
        self.doors = {k: d for k, d in self.doors.items() if now - d.seen < 20}
        first = self.doors and not self.knocked
        if now < self.asked + self.pause and not first:
            return
        self.asked, self.pause = now, random.uniform(2, 3)
        self.knocked = bool(self.doors)
        if not self.doors:
            self.log("Call")
            return self.send(u8(msg.CALL))
        open_doors = [d for d in self.doors.values() if d.refused is None]
        if open_doors:
            self.knock(min(open_doors, key=lambda d: (d.knocked, -d.no)), now)

    def knock(self, door, now):
        """Knocks at a door, under a one-use key of its own (E1)."""
        door.knocked = now
        if door.name not in self.pet.doors:
            if len(self.pet.doors) >= DOORS:
                gone = [n for n in self.pet.doors if n not in self.doors]
                del self.pet.doors[(gone or list(self.pet.doors))[0]]
            self.pet.doors[door.name] = [one_use_key(), None]
        once = self.pet.doors[door.name][0]
        i, kp = self.invite, self.pet.own.kp
        content = msg.write_knock(i.id, i.expiry, i.uses, once.pub, kp.msg())
        try:
            m = msg.make_knock(self.gid, door.name, door.answer, door.hpke, kp.ref, content)
        except Bad:
            return
        self.send(m)
        self.log("Knock at", door.name.hex()[:8])

    def refused_by_all(self, now):
        """E4: whether each door with the greatest number has refused, the first 10 s ago."""
        if not self.doors or self.first_refusal is None or now - self.first_refusal < 10:
            return False
        top = [d for d in self.doors.values() if d.no >= self.badge_no]
        return bool(top) and all(d.refused is not None for d in top)

    # ------------------------------------------------------------------------------------- doors
    def take_doors(self, doors):
        """E2: takes doors of the office that the invite or a Chain leads to."""
        now = time.time()
        floor = self.invite.no if self.office_now == self.invite.office else 0
        for d in doors:
            if d.office != self.office_now or d.no < floor or not d.holds(self.host_now):
                continue
            self.badge_no = max(self.badge_no, d.no)
            old = self.doors.get(d.name)
            if old:
                d.refused, d.knocked = old.refused, old.knocked
            elif len(self.doors) >= DOORS:
                worst = min(self.doors.values(), key=lambda x: (x.no, x.seen))
                if worst.no > d.no:
                    continue
                del self.doors[worst.name]
            else:
                self.log("door", d.name.hex()[:8], "no", d.no)
            d.seen = now
            self.doors[d.name] = d

    def take_chain(self, tables):
        """E2 and R7: follows hand-overs from the host and office that we know."""
        if self.phase == "Joining":
            host, office = self.host_now, self.office_now
        elif self.phase == "Returning":
            host, office = self.new_host or (self.klaw.host, self.klaw.office)
        else:
            return self.count("Chain")
        before = office
        for b in tables:
            try:
                t = parse(b, self.gid)
            except Bad:
                continue
            if not isinstance(t, Table) or (t.signer, t.office) != (host, office):
                continue
            if not t.handover or not t.holds(self.gid):
                continue
            if t.host == bytes(32):
                if self.phase == "Returning":
                    self.take_statements([b])
                return
            host, office = t.host, t.id
        if office == before:
            return
        self.log("Chain leads to another office")
        if self.phase == "Joining":
            self.host_now, self.office_now = host, office
            self.doors, self.badge_no, self.first_refusal = {}, 0, None
            self.knocked = False
        else:
            self.new_host = (host, office)

    # ----------------------------------------------------------------------------------- answers
    def take_answer(self, m):
        """E4, E5: an answer to our petition, or to a Show."""
        if self.pet and m.ref == self.pet.ref:
            keys = [(n, d[0]) for n, d in self.pet.doors.items()] + [(None, self.pet.once)]
        elif m.ref in self.shows:
            keys = [(None, self.shows[m.ref])]
        else:
            raise Bad("NotForUs")
        for name, key in keys:
            try:
                text = msg.open_answer(key, m, self.gid)
                break
            except Bad:
                continue
        else:
            raise Bad("Sealed")
        a = msg.read_answer(text)
        if a.kind == msg.SHOWN:
            self.log("Shown", len(a.statements))
            return self.shown_to_us(a.statements)
        if a.ref != m.ref or name is None:
            raise Bad("Malformed")
        if a.kind == msg.RECEIPT:
            if not msg.answer_holds(a, self.gid, a.key):
                raise Bad("Signature")
            self.pet.doors[name][1] = a
            return self.log("Receipt, no", a.no, "statements", len(a.statements))
        door = next(
            (d for d in self.doors.values() if msg.answer_holds(a, self.gid, d.answer)), None
        )
        if door is None:
            raise Bad("Signature")
        if a.kind == msg.WAITING:
            return self.log("Waiting")
        self.log("Refused", a.reason)
        door.refused = self.last_reason = a.reason
        self.first_refusal = self.first_refusal or time.time()

    # ----------------------------------------------------------------------------------- Welcome
    def take_welcome(self, content):
        """M25, E6 to E8, R4. What is refused uses nothing up (M26)."""
        if not self.pet:
            raise Bad("NotForUs")
        group, ext = join(content, {self.pet.ref: self.pet.own}, self.gid)
        roster, terms, law, joint = self.check_welcome(group, ext)
        joining = self.phase == "Joining"
        self.terms = terms
        self.known = joint.live_set()
        petition, self.pet = self.pet, None
        self.phase = "Present"
        self.returning = self.lacking = self.new_host = self.unproved = None
        self.vain.pop(roster[group.signer].key, None)
        self.asking = None
        later, self.later = self.later, []
        self.enter(group, law, roster, set(), petition.at)
        if joining:
            self.attended = time.time()
        self.log("Welcome: epoch", group.ctx.epoch, "code", self.code())
        self.later_try(later)

    def check_welcome(self, group, ext):
        """E6 to E8, R4: the roster, the terms, the epoch law, and the law that we know then."""
        roster = check_roster(group, self.gid)
        terms, statements, shown = read_newcomers(ext, self.gid)
        joining = self.phase == "Joining"
        law = Law(terms, Set(statements), () if joining else self.pins)
        room = group.room()
        if law.live_shown() != shown or law.hash != room[17:]:
            raise Bad("Law")
        if not joining and any(p not in law.chain for p in self.pins):
            raise Bad("HandOver")
        if room[1:17] != terms.tag(roster[group.signer].key):
            raise Bad("Keeping")
        joint = self.joint_law(terms, law, statements) if joining else self.joined_law(law)
        for c in roster.values():
            tag = terms.tag(c.key)
            if not law.admitted(tag) or not joint.admitted(tag):
                raise Bad("NotAdmitted")
        return roster, terms, law, joint

    def joint_law(self, terms, law, statements):
        """E6 and E7: the offices, and the law of the epoch law and of one receipt."""
        offices = [self.gid] + law.chain
        if self.office_now not in offices:
            raise Bad("HandOver")
        if law.office == self.office_now:
            least = self.invite.no if self.office_now == self.invite.office else 0
            if law.no < max(least, self.badge_no):
                raise Bad("Law")
        for _, a in self.pet.doors.values():
            if a is None or a.office not in offices:
                continue
            if a.office == offices[-1] and law.no < a.no:
                continue
            both = Set(statements)
            for b in a.statements:
                try:
                    x = parse(b, self.gid)
                except Bad:
                    continue
                if x.holds(self.gid):
                    both.add(x)
            joint = Law(terms, both)
            if joint.rank(a.key):
                return joint
        raise Bad("NoReceipt")

    def joined_law(self, law):
        """R4: the law of what we know and the epoch law."""
        both = self.known.copy()
        for x in law.live_set():
            both.add(x)
        return Law(self.terms, both, self.pins)

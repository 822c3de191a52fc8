"""The law that a member knows: taking statements, acting on them, showing and signing them.

room.md sections 4 and 7, law.md sections 5 and 6.
"""

import os
import random
import time

import messages as msg
from credential import nowms
from law import ZERO32, Law, Standing, Table, parse, write_list
from primitives import Bad, sha256, u8, u16, u32, u64

SAYING = 65536


def taken_in(law, known, seen, demote, keep=(), pins=()):
    """L32: the law without the words that a table of its host leaves out, and the table's entries.

    Those are the words of whoever it demotes, but for `out` about an invite that the host made; and
    the words of others about tags that the host has neither listed, spoken about nor seen. Their
    numbers stay, where the tag is listed.
    """
    ours = set(law.entries) | {x.about for x in law.said if x.issuer == law.host}
    ended = {x.about for x in law.said if x.issuer in demote and x.word == 0} - set(seen)
    ours |= {x.about for x in law.said if x.issuer not in demote and x.reg == 0} & ended

    def stays(x):
        if not isinstance(x, Standing) or x.id in keep:
            return True
        if x.issuer in demote:
            return x.word == 0 and x.about in ours and x.about not in seen
        return x.issuer == law.host or x.about in ours or x.about in seen

    k = Law(law.terms, [x for x in known if stays(x)], pins, gid=law.gid)
    entries = {}
    for tag in ours | set(k.by_tag) | {x.about for x in law.said if x.about in seen}:
        base, said = law.base(tag), law.by_tag.get(tag, [])
        n = max([base[1]] + [x.n for x in said if x.reg == 0])
        bn = max([base[3]] + [x.n for x in said if x.reg == 1])
        entries[tag] = [k.raw_role(tag), n, int(k.banned(tag) or k.h(tag)[0]), bn]
    return k, entries


class Knowing:
    """What a member knows of the law, and what it signs."""

    lastshow = 0
    showat = None

    def relaw(self):
        """L30: known law is the live set of all that we know. It pins hand-overs."""
        rank = self.klaw.rank(self.me) if self.klaw else 0
        self.klaw = Law(self.terms, self.known, self.pins)
        if self.klaw.rank(self.me) > rank:
            self.ranked = time.time()
        self.known = self.klaw.live_set()
        self.pins += [p for p in self.klaw.chain if p not in self.pins]
        if self.klaw.hash not in self.hashes:
            self.hashes = self.hashes[-63:] + [self.klaw.hash]

    def epoch_statements(self):
        return self.elaw.live_set().d if self.elaw else {}

    def take_statements(self, shown):
        """L28, L29: takes what is genuine, 1,024 checks at most, tables first."""
        news = []
        for b in shown:
            try:
                x = parse(b, self.gid)
            except Bad:
                continue
            news.append(x)
        checks = new = 0
        for x in sorted(news, key=lambda x: isinstance(x, Standing)):
            have = self.known.d.get(x.id) or self.shown.d.get(x.id)
            if have and (have.full or not x.full) and x.id in self.shown:
                continue
            if isinstance(x, Standing) and x.term != self.klaw.term(x.issuer) and not new:
                epoch = self.elaw.term(x.issuer) if self.elaw else None
                if x.term != epoch:
                    continue
            if not have or (x.full and not have.full):
                checks += 1
                if checks > 1024:
                    break
                if not x.holds(self.gid):
                    self.count("forged statement")
                    continue
            self.shown.add(x)
            new += self.known.add(x)
        if new:
            before = self.klaw.hash
            self.relaw()
            if self.klaw.hash != before:
                self.log("known law", self.klaw.hash.hex()[:8])
                self.law_changed()

    def law_changed(self):
        """A4: what known law says about ourselves ends the room for a member that is present."""
        if self.klaw.over:
            return self.over("Closed")
        self.note_out(time.time())
        if self.phase == "Present" and not self.klaw.admitted(self.tag(self.me)):
            self.over("Removed, banned: %s" % self.klaw.banned(self.tag(self.me)))

    def shown_to_us(self, statements):
        """G6: a returner is over if a table of its host has it out, and asks on otherwise."""
        self.take_statements(statements)
        if self.phase != "Returning" or self.klaw.admitted(self.tag(self.me)):
            return
        tag = self.tag(self.me)
        words = [x for x in self.klaw.by_tag.get(tag, []) if x.word in (0x81, 0)]
        if not words and not self.klaw.base(tag)[2] and self.klaw.T is not None:
            return self.over("Removed, banned: False")
        self.log("KeptOut")

    # ----------------------------------------------------------------------------------- showing
    def show_news(self, again=False):
        """G1: says what known law has beyond the epoch law and nobody has shown in this epoch."""
        have = self.epoch_statements()
        news = [x for x in self.klaw.live_set() if x.id not in have]
        if not again:
            news = [x for x in news if x.id not in self.shown or x.id not in self.known]
            news = [x for x in news if x.id not in self.said]
        if not news:
            return
        news.sort(key=lambda x: isinstance(x, Standing))
        parts, size = [[]], 0
        for x in news:
            b = x.shown()
            if parts[-1] and size + len(b) > SAYING:
                parts.append([])
                size = 0
            parts[-1].append(b)
            size += len(b)
            self.said.add(x.id)
            self.shown.add(x)
        for part in parts:
            self.say(u8(msg.STATEMENTS) + write_list(part))
        self.lastshow = time.time()
        self.log("said Statements", len(news))

    def differs(self):
        """G2: somebody knows another law, so we show again a little later."""
        if self.showat is None:
            wait = 3 if self.keeps() else 3 + random.uniform(0, 3)
            self.showat = max(time.time() + wait, self.lastshow + 5)

    # ----------------------------------------------------------------------------------- signing
    def put(self, *statements):
        """A5: shows statements of our own and acts on them at once."""
        for x in statements:
            self.known.add(x)
        self.relaw()
        self.law_changed()
        if self.phase == "Present":
            self.show_news()

    def standing(self, about, word):
        """L31: a standing above all that counts about the tag."""
        term = self.klaw.term(self.me)
        reg = int(word >= 0x80)
        base = self.klaw.base(about)[3 if reg else 1]
        said = [x.n for x in self.klaw.by_tag.get(about, []) if x.reg == reg]
        n = max([base, self.numbers.get((term, about, reg), 0)] + said) + 1
        if n > base + 4096 or term is None:
            raise Bad("window")
        self.numbers[term, about, reg] = n
        c = self.me + term + about + u8(word) + u32(n)
        return Standing(c + self.sign(b"sottovoce 2 standing", c), self.gid)

    def table_law(self, demote):
        """L32: the law without the words that a table leaves out, and its entries."""
        return taken_in(self.klaw, self.known, self.seen, demote, pins=self.pins)

    def table(self, promote=(), demote=(), hand=None, close=False):
        """L32, L36: a table that takes in all that the host knows."""
        k, entries = self.table_law(demote)
        mods = dict(self.klaw.mods)
        changed = list(promote) + list(demote) + ([hand, self.me] if hand else [])
        for key in promote:
            mods[key] = (os.urandom(16), 0)
        for key in list(demote) + [hand]:
            mods.pop(key, None)
        for key in changed:
            base = k.base(self.tag(key))
            entries[self.tag(key)] = [2, base[1] + 4097, 0, base[3] + 4097]
        rest = u32(k.floor) + u8(len(mods))
        rest += b"".join(x + mods[x][0] + u8(mods[x][1]) for x in sorted(mods)) + u16(len(entries))
        for tag in sorted(entries):
            role, n, ban, bn = entries[tag]
            rest += tag + u8(role) + u32(n) + u8(ban) + u32(bn)
        host = hand or self.me
        if close:
            host, rest = ZERO32, u32(0) + u8(0) + u16(0)
        c = self.me + k.office + u64(max(nowms(), k.no + 1)) + host + sha256(rest)
        return Table(c + self.sign(b"sottovoce 2 table", c), self.gid, rest)

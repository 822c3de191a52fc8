"""Sending and hearing packets: when a member may send (room.md section 9), and what it opens."""

import os
import time

import media
from credential import nowms
from primitives import Bad

FRAME = 0.04
SPEECH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "speech.txt")


class Sound:
    """The media lane. What is said are Opus packets of a file, again and again."""

    def prepare(self):
        self.sealer = media.Sealer()
        self.frames = []
        self.place, self.capture, self.nextframe = 0, 0, time.time()
        self.sending = "not yet"
        self.heard = {}

    def speak(self, file=SPEECH):
        """Speaks the packets of a file, one a line in hex, one every 40 ms."""
        self.frames = [bytes.fromhex(x) for x in open(file).read().split()]
        self.nextframe, self.capture = time.time(), nowms()

    def packet(self, p):
        """Opens a packet, or holds it until its keys come (media.md 5.6)."""
        try:
            self.open_packet(p)
        except Bad as why:
            if str(why) in ("unknown_key", "unknown_speaker"):
                self.held = self.held[-63:] + [p]
            self.count("media " + str(why))

    def open_packet(self, p):
        if len(p) > 1100:
            raise Bad("too_large")
        kid, ctr, size = media.dec_header(p)
        if not 256 <= ctr <= 65535:
            raise Bad("malformed")
        for ep in [x for x in [self.mep] + [o for o, _ in self.old] if x]:
            ep.tick(time.time())
            found = ep.find(kid)
            if not found:
                continue
            step, leaf = found
            key = ep.ids[leaf]
            tag = self.tag(key)
            if not self.klaw.heard(tag) or self.klaw.muted(tag):
                raise Bad("restricted")
            ep.open(p, step, leaf, kid, ctr, size)
            self.heard[key] = self.heard.get(key, 0) + 1
            return
        raise Bad("unknown_key")

    def retry_held(self):
        held, self.held = self.held, []
        for p in held:
            try:
                self.open_packet(p)
            except Bad as why:
                self.count("media again " + str(why))

    def may_send(self, now):
        """S1 to S5: why we do not send, or None."""
        tag = self.tag(self.me)
        if not self.spk or not self.klaw.heard(tag) or self.klaw.muted(tag):
            return "no key"
        if self.unproved is not None:
            return "Slept"
        if any(now - t >= 1 for k, t in self.outsince.items() if self.leaf_of(k) is not None):
            return "AwaitingRemoval"
        if len(self.ros) > 1 and self.keeps():
            words = [self.word.get(c.key, 0) for c in self.ros.values() if c.key != self.me]
            if now - max(words + [self.kproof]) > 15:
                return "NobodyHears"
        elif len(self.ros) > 1 and now - max(self.word.get(self.keeper_key(), 0), self.kproof) > 15:
            return "NoProofOfLife"
        if self.lacking and now - self.lacking[0] > 3:
            return "CommitWithheld"
        if self.klaw.host != self.me and now - self.attended > self.unattended():
            return "Unattended"
        return None

    def unattended(self):
        """S4: six times as long if everybody of rank has left."""
        ranked = [c for c in self.ros.values() if self.klaw.rank(c.key) and c.key != self.me]
        left = all(self.left.get(c.key, (-1,))[0] >= c.made for c in ranked)
        return self.terms.unattended * (6 if left and self.left else 1)

    def tick_sound(self, now):
        """One packet on each tick while we are live (voice.md 13.2)."""
        if not self.frames:
            return
        if now - self.nextframe > 4 * FRAME:
            skip = int((now - self.nextframe) / FRAME)
            self.nextframe += skip * FRAME
            self.capture += skip * 40
        while now >= self.nextframe:
            self.nextframe += FRAME
            self.capture += 40
            why = self.may_send(now) if self.phase == "Present" else "no key"
            if why != self.sending:
                self.log("Silent" if why else "Audible", why or "")
                self.sending = why
            if why:
                continue
            frame = self.frames[self.place % len(self.frames)]
            self.place += 1
            try:
                level = 0x80 | 30
                sealed = self.sealer.seal(self.mep, frame, self.capture, level, 0, self.spk, now)
            except Bad as refused:
                self.count("seal " + str(refused))
                continue
            self.relay.media(sealed)
            self.count("sealed")

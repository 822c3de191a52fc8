"""The story that the check plays: this client and the real library in the same rooms, over a relay.

    python3 story.py TALK RELAY OUT             ends at the first thing that does not come
    python3 story.py TALK RELAY OUT --unsigned  we do not sign our speaker key: must fail

TALK and RELAY are the real programs, OUT is a directory for logs. Each thing that was seen is a
line that begins with `seen: `.
"""

import os
import re
import socket
import subprocess
import sys
import threading
import time
import wave

from invites import read_invite
from member import Member

CODE = re.compile(r"(\d+) in the room; code ([\d ]{35})")
PLAYED = re.compile(r"^(\S+) .* (\d+) played")


class Program:
    """A real program, the lines that it has printed, and its standard input."""

    def __init__(self, out, name, *command):
        self.lines = []
        self.log = open(f"{out}/{name}.log", "w")
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            print("%.3f" % time.time(), line.rstrip(), file=self.log, flush=True)

    def type(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def said(self, part):
        return next((x for x in self.lines if part in x), None)

    def code(self):
        """How many are in the room, and the newest code."""
        found = [CODE.search(x) for x in self.lines]
        last = [m.groups() for m in found if m]
        return (int(last[-1][0]), last[-1][1]) if last else (0, "")

    def played(self, name):
        """How many packets of somebody it has played."""
        found = [PLAYED.match(x) for x in self.lines]
        return max([int(m[2]) for m in found if m and m[1] == name] + [0])

    def kill(self):
        self.process.kill()
        self.process.wait()


class Unsigned(Member):
    """A client that breaks 12.2: the leaf key does not sign what it announces."""

    def say(self, saying):
        super().say(saying[:-64] + bytes(64) if saying[0] == 1 else saying)


class Story:
    """Rooms, programs and members, all driven by one loop."""

    def __init__(self, talk, relay, out, kind):
        self.talk, self.out, self.kind = talk, out, kind
        self.members, self.programs = [], []
        self.wav = f"{out}/tone.wav"
        self.start = time.time()
        write_tone(self.wav)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.address = "127.0.0.1:%d" % s.getsockname()[1]
        self.program("relay", relay, "--listen", self.address)

    def program(self, name, *command):
        p = Program(self.out, name, *command)
        self.programs.append(p)
        return p

    def real(self, name, *what):
        sound = ("--play", self.wav, "--record", f"{self.out}/{name}.wav")
        return self.program(name, self.talk, *what, "--name", name, *sound)

    def mine(self, name, invite=None, kind=None, speak=True, **kw):
        log = open(f"{self.out}/{name}.log", "w")
        m = (kind or self.kind)(name, invite, log=log, **kw)
        if invite:
            m.relay.connect()
        if speak:
            m.speak()
        self.members.append(m)
        return m

    def pump(self, seconds, until=None):
        """Lets everybody act for so long, or until something holds."""
        end = time.time() + seconds
        while time.time() < end:
            for m in self.members:
                if m.phase != "Over":
                    m.step(0.003)
            if until and until():
                return True
        return False

    def see(self, what, seconds, until):
        """Waits for something, and ends the story if it does not come."""
        if not self.pump(seconds, until):
            print("MISSING:", what, flush=True)
            self.end()
            sys.exit(1)
        print("seen:", what, "(%.1f s)" % (time.time() - self.start), flush=True)

    def end(self):
        for p in self.programs:
            p.kill()


def write_tone(file):
    """Three seconds of something to say: a sawtooth of 200 Hz."""
    with wave.open(file, "wb") as w:
        w.setnchannels(1)
        w.setsampwidth(2)
        w.setframerate(48000)
        frame = b"".join((i * 40 - 4800 & 0xFFFF).to_bytes(2, "little") for i in range(240))
        w.writeframes(frame * 600)


def heard(member, other):
    """How many packets of somebody a member of ours has opened, with their proofs."""
    c = member.named(other)
    return member.heard.get(c.key, 0) if c else 0


def same_code(program, *members):
    """Whether program and members are in the same epoch, which the code shows."""
    if any(m.phase != "Present" for m in members):
        return False
    return program.code() == (len(members[0].ros), members[0].code()) and all(
        m.code() == members[0].code() for m in members
    )


def real_host(s):
    """A room of the real library: joining, mute, return, renewal, lock, ban."""
    host = s.real("Host", "host", s.address)
    s.see("the real host makes a room", 20, lambda: host.said("sottovoce:"))
    invite = host.said("sottovoce:")
    a = s.mine("Second", invite)
    s.see("we join a room of the real host", 15, lambda: a.phase == "Present")
    s.see("both show the same code", 5, lambda: same_code(host, a))
    s.see("we open 100 packets of the host with their proofs", 10, lambda: heard(a, "Host") > 100)
    s.see("the host plays 100 packets of ours", 10, lambda: host.played("Second") > 100)
    s.pump(17, lambda: time.time() - a.entered > 16.5)
    s.see("after 16 s our Words still let the host send", 1, lambda: not host.said("not sending"))
    host.type("mute Second")
    s.see("muted by the host, we stop", 6, lambda: a.sending and a.elaw.muted(a.tag(a.me)))
    host.type("unmute Second")
    s.see("unmuted, we go on", 6, lambda: a.sending is None and same_code(host, a))
    b = s.mine("Third", invite)
    s.see("a third joins, and all three are in one epoch", 15, lambda: same_code(host, a, b))
    a.lose("asked")
    s.see("after a lost place we return", 15, lambda: same_code(host, a, b))
    a.renew("Zweiter")
    s.see("a renewal with another name counts", 10, lambda: host_knows(host, a, b))
    host.type("lock")
    s.pump(2, lambda: a.klaw.locked())
    c = s.mine("Late", invite, speak=False)
    s.see("the locked door refuses a newcomer", 10, lambda: c.last_reason == 7)
    s.members.remove(c)
    b.leave()
    s.see("a Leave makes the host remove the leaf", 10, lambda: same_code(host, a))
    host.type("ban Zweiter")
    s.see("banned, we are out", 6, lambda: a.phase == "Over" and "banned: True" in a.why)
    s.see("the host is alone", 6, lambda: host.code()[0] == 1)
    s.members.clear()
    host.kill()


def host_knows(host, a, b):
    return a.ros and a.ros[a.group.me].name == b"Zweiter" and same_code(host, a, b)


def our_host(s):
    """A room of ours that the real library joins: moderator, ban, hand-over, takeover."""
    w = s.mine("Wirt")
    w.create(s.address)
    invite, single = w.make_invite(), w.make_invite(uses=1)
    old = w.make_invite()
    p, q = s.real("Pia", "join", invite), s.real("Quin", "join", single)
    s.see("two of the real library join our room", 20, lambda: len(w.ros) == 3)
    s.see("they show our code", 8, lambda: same_code(p, w) and same_code(q, w))
    s.see("we open packets of both", 10, lambda: min(heard(w, "Pia"), heard(w, "Quin")) > 50)
    s.see("both play ours", 10, lambda: min(p.played("Wirt"), q.played("Wirt")) > 50)
    w.put(w.standing(w.terms.invite_tag(*invite_fields(old)), 0))
    used, late = s.real("Used", "join", single), s.real("Rita", "join", old)
    s.see("an invite of one use is used up", 20, lambda: used.said("the invite is used up"))
    s.see("a revoked invite lets nobody in", 20, lambda: late.said("the invite was taken back"))
    moderator(s, w, p, invite)
    w.put(w.standing(w.tag(w.named("Quin").key), 0x81))
    s.see("the real library obeys our ban", 8, lambda: q.said("we were banned"))
    hand_over(s, w, p, invite)


def invite_fields(link):
    i = read_invite(link)
    return i.id, i.expiry, i.uses


def moderator(s, w, p, invite):
    """The real library as moderator: its door lets in a newcomer of ours."""
    pia = w.named("Pia").key
    w.put(w.table(promote=[pia]))
    s.see("the real moderator has a door", 10, lambda: pia in w.doorsaid)
    own, w.badge = w.badge, None
    w.tick_doors = lambda now: None
    n = s.mine("Neu", invite)
    s.see("a newcomer of ours finds the moderator's door", 15, lambda: n.phase == "Present")
    del w.tick_doors
    w.badge = own
    s.see("all are in one epoch", 8, lambda: same_code(p, w, n))


def hand_over(s, w, p, invite):
    """The office goes to the real library and comes to an end with it."""
    pia = w.named("Pia").key
    w.put(w.table(hand=pia))
    s.see("the real library takes the office", 10, lambda: keeper(w) == "Pia" and same_code(p, w))
    c = s.mine("Chain", invite)
    s.see("a newcomer with an old invite comes in by Chain", 20, lambda: c.phase == "Present")
    s.see("all are in one epoch again", 8, lambda: same_code(p, w, c))
    p.kill()
    s.see("we take over from a silent keeper", 25, lambda: keeper(w) in ("Wirt", "Neu", "Chain"))
    ours = [m for m in s.members if m.phase == "Present"]
    s.see("those who are left are in one epoch", 10, lambda: len({m.code() for m in ours}) == 1)


def keeper(m):
    key = m.keeper_key() if m.group else None
    return next((c.name.decode() for c in m.ros.values() if c.key == key), None)


def main():
    talk, relay, out = sys.argv[1:4]
    kind = Unsigned if "--unsigned" in sys.argv else Member
    os.makedirs(out, exist_ok=True)
    s = Story(talk, relay, out, kind)
    try:
        real_host(s)
        our_host(s)
    finally:
        s.end()
    print("seen: the end (%.1f s)" % (time.time() - s.start))


if __name__ == "__main__":
    main()

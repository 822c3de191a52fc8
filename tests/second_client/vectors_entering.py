"""The cases of entering.txt: a newcomer that has Bob's KeyPackage of mls.txt."""

from types import SimpleNamespace

import messages as msg
from cases import hx, lines, many, refused
from joining import Joining
from vectors_mls import Bob
from welcome import join


class Newcomer(Joining):
    """What a newcomer knows when a Welcome comes: a case, and the receipts that count."""

    phase = "Joining"

    def __init__(self, bob, d):
        self.gid, self.bob = bob.gid, bob
        self.office_now = hx(d["office"])
        self.invite = SimpleNamespace(no=0, office=self.office_now)
        self.badge_no = int(d["least"])
        (reference,) = bob.own
        doors = {}
        for text in many(d.get("receipts", "")):
            a = msg.read_answer(text)
            if a.ref == reference and msg.answer_holds(a, self.gid, a.key):
                doors[len(doors)] = [None, a]
        self.pet = SimpleNamespace(doors=doors)

    def enter_by(self, message):
        group, ext = join(message, self.bob.own, self.gid)
        return self.check_welcome(group, ext)


def entering():
    own = next(d for topic, d in lines("mls") if topic == "key_package" and d["suite"] == "1")
    for topic, d in lines("entering"):
        newcomer = Newcomer(Bob(own), d)
        if topic == "takes":
            _, _, law, joint = newcomer.enter_by(hx(d["message"]))
            yield law.hash == hx(d["law"]) and joint.hash == hx(d["known"])
        else:
            refused(d["error"], newcomer.enter_by, hx(d["message"]))
            yield True

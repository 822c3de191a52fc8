"""What members write to each other (messages.md, section 2)."""

from primitives import Bad, gcm_open, hkdf, u32, u64

APP, AGAIN = 11, 12
OPEN, TO_SOME = 0, 1


class Note:
    """A kind and a body."""

    def __init__(self, r):
        self.kind, self.body = r.u16(), r.v16(640)


class App:
    """An app message: a note to all, or keys and what is sealed under one of them."""

    def __init__(self, r):
        self.run, self.number, form = r.take(8), r.u64(), r.u8()
        if form == OPEN:
            self.note, self.keys = Note(r), None
        elif form == TO_SOME:
            count = r.u8()
            if not 1 <= count <= 17:
                raise Bad("Malformed")
            self.keys = [(r.v16(2048), r.take(48)) for _ in range(count)]
            self.sealed = r.v16(661)
        else:
            raise Bad("Malformed")


class Again:
    """An app message of an earlier epoch."""

    def __init__(self, r):
        self.branch, self.salt, self.sealed = r.take(32), r.take(32), r.v16(676)

    def open(self, epoch_secret):
        key = hkdf(b"", epoch_secret, b"sottovoce 2 again key", 32)
        return gcm_open(hkdf(self.salt, key, b"sottovoce 2 again", 32), bytes(12), self.sealed)


INFO = b"sottovoce 2 app message"


def app_aad(gid, branch, sender, leaf, app):
    return INFO + gid + branch + u32(sender) + u32(leaf) + app.run + u64(app.number)

"""Envelopes and fragments: what a relay sees of the control lane (control.md 14.1)."""

import os
import time

from primitives import R, Bad, gcm_open, gcm_seal, hkdf, sha256, u8, u16, u32, v32

SIZES = (1024, 2048, 4096, 8192, 16384)
WHOLE = 16331
PART = 16053
LONGEST = 4109568
KEPT = 8388608


def hash_part(nonce, part):
    return sha256(b"sottovoce 2 part" + nonce + part)


def hash_node(a, b):
    return sha256(b"sottovoce 2 node" + a + b)


def message_id(nonce, length, root):
    return sha256(b"sottovoce 2 message" + nonce + u32(length) + root)


def tree_of(nonce, parts):
    """The levels of the hash tree over the parts, the parts' own hashes first."""
    levels = [[hash_part(nonce, p) for p in parts]]
    while len(levels[-1]) > 1:
        a = levels[-1]
        levels.append(
            [hash_node(a[i], a[i + 1]) if i + 1 < len(a) else a[i] for i in range(0, len(a), 2)]
        )
    return levels


def path_of(levels, index):
    """The neighbours, lowest first, on the way from a part to the root."""
    places = [(level, (index >> k) ^ 1) for k, level in enumerate(levels[:-1])]
    return b"".join(level[place] for level, place in places if place < len(level))


class Lane:
    """Seals and opens the envelopes of one room, and puts fragments together."""

    def __init__(self, key):
        self.key = key
        self.handle = hkdf(b"", key, b"sottovoce 2 handle", 16)
        self.parts = {}
        self.done = []

    def env(self, content, salt=None):
        """One envelope, of the smallest size that holds the content."""
        size = next((s for s in SIZES if len(content) + 52 <= s), None)
        if size is None:
            raise Bad("Envelope")
        salt = salt or os.urandom(32)
        pt = v32(content)
        pt += bytes(size - 48 - len(pt))
        return salt + gcm_seal(hkdf(salt, self.key, b"sottovoce 2 envelope", 32), bytes(12), pt)

    def seal(self, m):
        """The envelopes of a message."""
        return [self.env(c) for c in self.contents(m, os.urandom(16))]

    @staticmethod
    def contents(m, nonce):
        """What the envelopes of a message hold."""
        if len(m) <= WHOLE:
            return [u8(0) + m]
        parts = [m[i : i + PART] for i in range(0, len(m), PART)]
        levels = tree_of(nonce, parts)
        head = u8(1) + nonce + u32(len(m))
        return [head + u16(i) + path_of(levels, i) + p for i, p in enumerate(parts)]

    def open(self, e):
        """The message that an envelope completes, or None."""
        if len(e) not in SIZES:
            raise Bad("Envelope")
        try:
            pt = gcm_open(hkdf(e[:32], self.key, b"sottovoce 2 envelope", 32), bytes(12), e[32:])
        except Bad:
            raise Bad("Envelope")
        n = int.from_bytes(pt[:4], "big")
        if n > len(pt) - 4 or any(pt[4 + n :]):
            raise Bad("Envelope")
        return self.take(pt[4 : 4 + n], len(e))

    def take(self, content, size):
        """Reads the content of an envelope of `size` bytes."""
        if not content or content[0] > 1 or len(content) < 2:
            raise Bad("Envelope")
        if content[0] == 0:
            return content[1:]
        try:
            r = R(content[1:])
            nonce, length, index = r.take(16), r.u32(), r.u16()
            count = -(-length // PART)
            if not WHOLE < length <= LONGEST or index >= count:
                raise Bad("Envelope")
            width, k, path = count, 0, []
            while width > 1:
                path.append(r.take(32) if (index >> k) ^ 1 < width else None)
                width, k = -(-width // 2), k + 1
            part = r.rest()
            if len(part) != min(PART, length - PART * index):
                raise Bad("Envelope")
        except Bad:
            raise Bad("Envelope")
        x = hash_part(nonce, part)
        for k, h in enumerate(path):
            if h:
                x = hash_node(h, x) if (index >> k) & 1 else hash_node(x, h)
        id = message_id(nonce, length, x)
        if id in self.done:
            return None
        have, _ = self.parts.get(id, ({}, 0))
        if index in have:
            return None
        have[index] = (part, size)
        self.parts.pop(id, None)
        if len(have) == count:
            self.done = self.done[-63:] + [id]
            return b"".join(have[i][0] for i in range(count))
        self.parts[id] = (have, time.monotonic())
        self.forget()
        return None

    def forget(self):
        """Rule 4: keeps what is kept bounded, and first what moved on last."""
        cost = {id: sum(s for _, s in have.values()) for id, (have, _) in self.parts.items()}
        if sum(cost.values()) <= KEPT:
            return
        safe, kept = 0, set()
        for id in reversed(list(self.parts)):
            safe += cost[id]
            if safe > KEPT // 2:
                break
            kept.add(id)
        now = time.monotonic()

        def order(id):
            have, moved = self.parts[id]
            return (0, moved, 0) if now - moved >= 10 else (1, len(have), moved)

        for id in sorted((i for i in self.parts if i not in kept), key=order):
            if sum(cost.values()) <= KEPT:
                break
            del cost[id], self.parts[id]

"""The reference relay's TCP and UDP lanes, from the member's side (spec/relay.md 8.2)."""

import select
import socket
import time

from primitives import Bad, v16


class Relay:
    """reference relay: TCP control, UDP media (8.2)"""

    def __init__(self, name, handle):
        host, port = name.rsplit(":", 1)
        self.addr = (host.strip("[]"), int(port))
        self.handle = handle
        self.open = False

    def connect(self):
        self.t = socket.create_connection(self.addr, 5)
        self.t.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.t.sendall(b"svrelay\x01" + self.handle)
        a = self._exact(9)
        if a[:7] != b"svrelay" or a[7] != 1:
            raise Bad("no relay")
        if a[8]:
            raise Bad("status %d" % a[8])
        self.ticket = self._exact(16)
        self.t.setblocking(False)
        peer = self.t.getpeername()
        self.u = socket.socket(self.t.family, socket.SOCK_DGRAM)
        self.u.connect(peer)
        self.u.setblocking(False)
        self.buf = b""
        self.out = b""
        self.bound = False
        self.heard = time.time()
        self.next = 0
        self.tries = 0
        self.answered = True
        self.open = True

    def _exact(self, n):
        b = b""
        while len(b) < n:
            x = self.t.recv(n - len(b))
            if not x:
                raise Bad("hung up")
            b += x
        return b

    def bind(self, cookie=bytes(16)):
        self._u(b"\xff\x00sv\x01\x01" + self.ticket + cookie)

    def _u(self, b):
        try:
            self.u.send(b)
        except OSError:
            pass

    def control(self, m):
        self.out += v16(m)
        self.flush()

    def media(self, p):
        if self.open and self.bound:
            self._u(p)

    def flush(self):
        if not self.open:
            self.out = b""
            return
        try:
            while self.out:
                n = self.t.send(self.out)
                self.out = self.out[n:]
        except BlockingIOError:
            pass
        except OSError:
            self.open = False

    def poll(self, timeout):
        """-> (control messages, packets)"""
        if not self.open:
            time.sleep(timeout)
            return ([], [])
        now = time.time()
        if now >= self.next:
            self.next = now + (1 if self.bound else 0.2)
            self.answered = False
            self.bind()
            if not self.bound:
                self.tries += 1
                if self.tries > 15:
                    self.open = False
                    return ([], [])
        if now - self.heard > 35:
            self.open = False
        self.flush()
        try:
            r, w, _ = select.select([self.t, self.u], [self.t] if self.out else [], [], timeout)
        except (OSError, ValueError):
            self.open = False
            return ([], [])
        cm, pk = ([], [])
        if self.u in r:
            while True:
                try:
                    d = self.u.recv(2000)
                except BlockingIOError:
                    break
                except OSError:
                    break
                if d[:2] == b"\xff\x00":
                    if d[2:5] != b"sv\x01" or d[6:22] != self.ticket:
                        continue
                    if d[5] == 2 and len(d) == 38 and (not self.answered):
                        self.answered = True
                        self.bind(d[22:])
                    if d[5] == 3 and len(d) == 22:
                        self.bound = True
                        self.heard = time.time()
                elif 0 < len(d) <= 1100:
                    pk.append(d)
        if self.t in r:
            while True:
                try:
                    d = self.t.recv(65536)
                except BlockingIOError:
                    break
                except OSError:
                    self.open = False
                    break
                if not d:
                    self.open = False
                    break
                self.buf += d
            while len(self.buf) >= 2:
                n = int.from_bytes(self.buf[:2], "big")
                if n > 16384:
                    self.open = False
                    break
                if len(self.buf) < 2 + n:
                    break
                cm.append(self.buf[2 : 2 + n])
                self.buf = self.buf[2 + n :]
        return (cm, pk)

    def close(self):
        self.flush()
        try:
            self.t.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        end = time.time() + 2
        self.t.settimeout(0.5)
        try:
            while time.time() < end and self.t.recv(65536):
                pass
        except OSError:
            pass
        self.t.close()
        self.u.close()
        self.open = False

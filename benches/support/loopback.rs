//! A relay's hop: UDP over the loopback interface, through a thread that forwards and does nothing
//! else.

use std::{
    io,
    net::{Ipv4Addr, UdpSocket},
    thread,
    time::Duration,
};

/// A member's way to itself through a relay.
pub struct Loopback {
    socket: UdpSocket,
    relay: std::net::SocketAddr,
}

impl Loopback {
    /// Opens both sockets and starts the relay's thread, which ends when `close` is called.
    ///
    /// # Errors
    /// Those of the sockets.
    pub fn open() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let relay = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = relay.local_addr()?;
        let member = socket.local_addr()?;
        thread::spawn(move || {
            let mut packet = [0; 2_048];
            // An empty packet is the end, a failing socket too.
            while let Ok(len @ 1..) = relay.recv(&mut packet) {
                if relay.send_to(&packet[..len], member).is_err() {
                    break;
                }
            }
        });
        Ok(Self { socket, relay: address })
    }

    /// Sends a packet and waits for it to come back; the length, or `None` if it was lost.
    pub fn hop(&self, packet: &[u8], back: &mut [u8]) -> Option<usize> {
        self.socket.send_to(packet, self.relay).ok()?;
        self.socket.recv(back).ok()
    }

    /// Ends the relay's thread.
    pub fn close(self) {
        // If even this is lost, the thread ends with the process.
        let _ = self.socket.send_to(&[], self.relay);
    }
}

/// How long a packet may take before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(2);

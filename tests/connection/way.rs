//! The way of one member to its relay, by TCP and UDP, which can be down: then nothing comes
//! through, and nobody is told.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use sottovoce::transport::RelayName;

pub struct Way {
    address: SocketAddr,
    down: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
}

impl Way {
    pub fn to(relay: SocketAddr) -> Self {
        let (listener, inner) = loop {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            if let Ok(inner) = UdpSocket::bind(listener.local_addr().unwrap()) {
                break (listener, inner);
            }
        };
        let address = listener.local_addr().unwrap();
        let [down, ended] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let (flags, ours) = ((Arc::clone(&down), Arc::clone(&ended)), Arc::clone(&ended));
        thread::spawn(move || packets(relay, &inner, &flags));
        let flags = (Arc::clone(&down), ours);
        thread::spawn(move || {
            for inside in listener.incoming().flatten() {
                if flags.1.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(outside) = TcpStream::connect(relay) else { continue };
                for (from, to) in [(&inside, &outside), (&outside, &inside)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let flags = flags.clone();
                    thread::spawn(move || carry(from, to, &flags));
                }
            }
        });
        Self { address, down, ended }
    }

    pub fn name(&self) -> RelayName {
        self.address.to_string().parse().unwrap()
    }

    pub fn is_down(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

type Flags = (Arc<AtomicBool>, Arc<AtomicBool>);

/// One direction of one connection. While the way is down what was sent waits, as it does where it
/// is sent again and again.
fn carry(mut from: TcpStream, mut to: TcpStream, (down, ended): &Flags) {
    let mut buffer = [0; 4_096];
    from.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    while !ended.load(Ordering::Relaxed) {
        if down.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(5));
            continue;
        }
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                while down.load(Ordering::Relaxed) && !ended.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(5));
                }
                if to.write_all(&buffer[..length]).is_err() {
                    break;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}

fn packets(relay: SocketAddr, inner: &UdpSocket, (down, ended): &Flags) {
    inner.set_nonblocking(true).unwrap();
    // One towards the relay for each socket of the member.
    let (mut outer, mut buffer) = (Vec::<(SocketAddr, UdpSocket)>::new(), [0; 2_048]);
    while !ended.load(Ordering::Relaxed) {
        let mut idle = true;
        while let Ok((length, from)) = inner.recv_from(&mut buffer) {
            idle = false;
            if !outer.iter().any(|(member, _)| *member == from) {
                let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
                socket.connect(relay).unwrap();
                socket.set_nonblocking(true).unwrap();
                outer.push((from, socket));
            }
            if !down.load(Ordering::Relaxed)
                && let Some((_, socket)) = outer.iter().find(|(member, _)| *member == from)
            {
                let _ = socket.send(&buffer[..length]);
            }
        }
        for (member, socket) in &outer {
            while let Ok(length) = socket.recv(&mut buffer) {
                idle = false;
                if !down.load(Ordering::Relaxed) {
                    let _ = inner.send_to(&buffer[..length], *member);
                }
            }
        }
        if idle {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

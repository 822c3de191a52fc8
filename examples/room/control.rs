//! The control run: an app like the one of 2021, which seals nothing, through the same relay.
//!
//! It announces room and people in clear, sends Opus of varying size with pauses, and uploads what
//! it recorded. The search has to find all of that, or finding nothing in the sealed run would
//! prove nothing.

use std::error::Error;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sottovoce::transport::tcp_udp::TcpUdpClient;
use sottovoce::transport::{RelayName, RoomHandle, Transport, TransportError, block_on};

use sottovoce_examples::room::member::{FRAME, FRAME_TIME};

/// Sends `speech` in clear from `start` on, and returns the Opus packets that it sent.
pub fn send_in_clear(
    relay: &RelayName,
    speech: &[i16],
    start: Instant,
    announcements: &[String],
) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let handle = RoomHandle::from_bytes(*b"room in the open");
    let (mut speaker, mut listener) = (TcpUdpClient::new(relay.clone()), TcpUdpClient::new(relay.clone()));
    block_on(speaker.connect(handle))?;
    block_on(listener.connect(handle))?;
    for announcement in announcements {
        block_on(speaker.send_control(Bytes::copy_from_slice(announcement.as_bytes())))?;
    }
    let mut encoder = opus::Encoder::new(48_000, opus::Channels::Mono, opus::Application::Voip)?;
    encoder.set_bitrate(opus::Bitrate::Bits(32_000))?;
    encoder.set_vbr(true)?;
    encoder.set_dtx(true)?;
    let mut sent = Vec::new();
    for (frame, tick) in speech.chunks_exact(FRAME.samples()).zip(0..) {
        let tick = start + FRAME_TIME * tick;
        std::thread::sleep(tick.saturating_duration_since(Instant::now()));
        let packet = encoder.encode_vec(frame, 1_000)?;
        // With DTX the encoder says by a packet of one or two bytes that there is nothing to send.
        if packet.len() > 2 {
            speaker.send_media(&packet)?;
            sent.push(packet);
        }
        drain(&mut listener)?;
    }
    // The recording, "for safety".
    let recorded: Vec<u8> = speech.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    for part in recorded.chunks(UPLOAD) {
        block_on(speaker.send_control(Bytes::copy_from_slice(part)))?;
        drain(&mut listener)?;
    }
    drain_for(&mut listener, Duration::from_millis(200))?;
    block_on(speaker.close());
    block_on(listener.close());
    Ok(sent)
}

/// Takes what has come, so that the relay does not hold the listener for slow.
fn drain(listener: &mut TcpUdpClient) -> Result<(), TransportError> {
    drain_for(listener, Duration::ZERO)
}

fn drain_for(listener: &mut TcpUdpClient, time: Duration) -> Result<(), TransportError> {
    let until = Instant::now() + time;
    while block_on(listener.receive(until))? != sottovoce::transport::Inbound::Idle {}
    Ok(())
}

/// Bytes of one upload message.
const UPLOAD: usize = 8 * 1024;

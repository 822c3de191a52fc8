//! One peer connection: ICE, DTLS and SRTP by str0m, with sealed packets where Opus would be.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use str0m::{
    Candidate, Event, IceConnectionState, Input, Output, Rtc,
    change::{SdpAnswer, SdpOffer, SdpPendingOffer},
    config::CryptoProvider,
    format::{Codec, FormatParams},
    media::{Direction, Frequency, MediaKind, Mid, Pt},
    net::Protocol,
    rtp::RtpWrite,
};

use crate::transport::MAX_MEDIA;

/// Sends to the relay, or receives what one speaker says.
pub(super) struct Peer {
    rtc: Rtc,
    sends: Option<Stream>,
    connected: bool,
    lost: bool,
    /// When to call [`Peer::handle_timeout`].
    due: Instant,
    born: Instant,
}

/// What goes out, in terms of RTP.
struct Stream {
    mid: Mid,
    pending: Option<SdpPendingOffer>,
    sequence: u64,
    time: u32,
}

/// What a peer connection brought.
pub(super) enum Brought<'a> {
    /// A datagram that is to be sent.
    Datagram(&'a [u8], SocketAddr),
    /// A sealed packet.
    Packet(&'a [u8]),
}

impl Peer {
    /// One that speaks, and its offer.
    pub(super) fn speaker(here: SocketAddr, random: [u8; 6], now: Instant) -> Option<(Self, String)> {
        let mut peer = Self::new(here, now)?;
        let mut changes = peer.rtc.sdp_api();
        // The names would be random as well, and mean as little.
        let name = Some("-".to_owned());
        let mid = changes.add_media(MediaKind::Audio, Direction::SendOnly, name.clone(), name, None);
        let (offer, pending) = changes.apply()?;
        let [a, b, time @ ..] = random;
        // Below half, so that it does not wrap while the other side may have missed the first
        // packets.
        let sequence = u64::from(u16::from_be_bytes([a, b]) >> 1);
        let time = u32::from_be_bytes(time);
        peer.sends = Some(Stream { mid, pending: Some(pending), sequence, time });
        Some((peer, offer.to_sdp_string()))
    }

    /// One that takes what is offered, and its answer.
    pub(super) fn listener(here: SocketAddr, offer: &str, now: Instant) -> Option<(Self, String)> {
        let mut peer = Self::new(here, now)?;
        let offer = SdpOffer::from_sdp_string(offer).ok()?;
        let answer = peer.rtc.sdp_api().accept_offer(offer).ok()?;
        Some((peer, answer.to_sdp_string()))
    }

    fn new(here: SocketAddr, now: Instant) -> Option<Self> {
        let mut config = Rtc::builder()
            .set_crypto_provider(Arc::new(provider()))
            .clear_codecs()
            .clear_extension_map()
            .set_rtp_mode(true);
        // Nothing is said of the stream but that it is one.
        let codecs = config.codec_config();
        codecs.add_config(
            Pt::from(PAYLOAD_TYPE),
            None,
            Codec::Opus,
            Frequency::FORTY_EIGHT_KHZ,
            Some(2),
            FormatParams::default(),
        );
        let mut rtc = config.build(now);
        rtc.add_local_candidate(Candidate::host(here, Protocol::Udp).ok()?);
        Some(Self { rtc, sends: None, connected: false, lost: false, due: now, born: now })
    }

    /// Takes the answer to the offer of a speaker. False if it is of no use.
    pub(super) fn handle_answer(&mut self, answer: &str) -> bool {
        let Some(pending) = self.sends.as_mut().and_then(|stream| stream.pending.take()) else {
            return false;
        };
        let answer = SdpAnswer::from_sdp_string(answer);
        answer.is_ok_and(|answer| self.rtc.sdp_api().accept_answer(pending, answer).is_ok())
    }

    /// Sends a packet, unless there is no way for it yet.
    pub(super) fn send(&mut self, packet: &[u8], now: Instant) {
        if !self.connected {
            return;
        }
        let Some(stream) = &mut self.sends else { return };
        let mut direct = self.rtc.direct_api();
        let Some(to) = direct.stream_tx_by_mid(stream.mid, None) else { return };
        stream.sequence += 1;
        stream.time = stream.time.wrapping_add(SAMPLES);
        let (sequence, payload) = (stream.sequence.into(), packet.to_vec());
        to.write_rtp(RtpWrite::new(PAYLOAD_TYPE.into(), sequence, stream.time, now, payload));
        self.handle_timeout(now);
    }

    pub(super) fn accepts(&self, datagram: &Input<'_>) -> bool {
        !self.lost && self.rtc.accepts(datagram)
    }

    pub(super) fn handle_datagram(&mut self, datagram: Input<'_>) {
        self.lost |= self.rtc.handle_input(datagram).is_err();
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.lost |= self.rtc.handle_input(Input::Timeout(now)).is_err();
    }

    /// Hands over all that there is. To be called after anything else.
    pub(super) fn drain(&mut self, now: Instant, mut take: impl FnMut(Brought<'_>)) {
        while !self.lost {
            match self.rtc.poll_output() {
                Ok(Output::Transmit(transmit)) => {
                    take(Brought::Datagram(&transmit.contents, transmit.destination))
                }
                Ok(Output::Event(Event::RtpPacket(packet))) if packet.payload.len() <= MAX_MEDIA => {
                    take(Brought::Packet(&packet.payload));
                }
                Ok(Output::Event(Event::Connected)) => self.connected = true,
                Ok(Output::Event(
                    Event::IceConnectionStateChange(IceConnectionState::Disconnected) | Event::Closed,
                ))
                | Err(_) => self.lost = true,
                Ok(Output::Event(_)) => {}
                Ok(Output::Timeout(due)) => {
                    self.due = due;
                    break;
                }
            }
        }
        self.lost |= !self.rtc.is_alive() || (!self.connected && now >= self.born + PATIENCE);
    }

    pub(super) fn due(&self) -> Instant {
        if self.connected { self.due } else { self.due.min(self.born + PATIENCE) }
    }

    /// Whether nothing can be had from it any more.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    /// Says goodbye, without waiting for an answer.
    pub(super) fn close(&mut self) {
        self.lost |= self.rtc.close().is_err();
    }
}

/// Cryptography is a setting of each connection: nothing is installed for the whole process.
fn provider() -> CryptoProvider {
    str0m::crypto::from_feature_flags()
}

const PAYLOAD_TYPE: u8 = 111;
/// 20 ms at 48 kHz. It means nothing.
const SAMPLES: u32 = 960;
/// For ICE and DTLS together; then it is tried again.
const PATIENCE: Duration = Duration::from_secs(10);

//! One relay, or two, for each shipped client, and what makes members of it.
//!
//! What carries packets alone is a member's media half; the reference relay then has the control
//! lane. `None`, loudly, where a relay is not installed.

#[cfg(feature = "janus")]
use sottovoce::transport::janus::JanusClient;
#[cfg(feature = "moq")]
use sottovoce::transport::moq::MoqClient;
#[cfg(feature = "quic")]
use sottovoce::transport::quic::QuicClient;
#[cfg(feature = "rtpengine")]
use sottovoce::transport::rtpengine::RtpengineClient;
use sottovoce::{
    relay::{Relay, RelayOptions},
    transport::{
        Split, Transport,
        loopback::{Hub, LoopbackClient},
        tcp_udp::TcpUdpClient,
    },
};

/// What has to live as long as the members, and what makes them.
pub struct Place<R, F> {
    pub relay: R,
    pub member: F,
}

/// The relays of two lanes.
pub struct Both<R> {
    _control: Relay,
    #[cfg_attr(not(all(feature = "room", any(feature = "janus", feature = "rtpengine"))), expect(dead_code))]
    pub media: R,
}

pub fn relay() -> Relay {
    Relay::start(([127, 0, 0, 1], 0).into(), RelayOptions::default()).unwrap()
}

pub fn loopback() -> Option<Place<Hub, impl Fn() -> LoopbackClient>> {
    let relay = Hub::new("loopback".parse().unwrap());
    let hub = relay.clone();
    Some(Place { relay, member: move || hub.client() })
}

pub fn tcp_udp() -> Option<Place<Relay, impl Fn() -> TcpUdpClient>> {
    let relay = relay();
    let name = relay.name();
    Some(Place { relay, member: move || TcpUdpClient::new(name.clone()) })
}

pub fn split() -> Option<Place<impl Sized, impl Fn() -> Split<TcpUdpClient, LoopbackClient>>> {
    let hub = Hub::new("loopback".parse().unwrap());
    Some(with_control((), move || hub.client()))
}

#[cfg(feature = "quic")]
pub fn quic() -> Option<Place<Relay, impl Fn() -> QuicClient>> {
    let relay = sottovoce_testkit::quic::relay(RelayOptions::default());
    let name = relay.quic_name().unwrap();
    Some(Place { relay, member: move || QuicClient::new(name.clone()).unwrap() })
}

#[cfg(feature = "moq")]
pub fn moq() -> Option<Place<sottovoce_testkit::moq::Moq, impl Fn() -> MoqClient>> {
    use sottovoce_testkit::moq::{Kind, Moq};
    let relay = Moq::start(Kind::Lite)?;
    let name = relay.name();
    Some(Place { relay, member: move || MoqClient::new(name.clone()).unwrap() })
}

#[cfg(feature = "janus")]
pub fn janus()
-> Option<Place<Both<sottovoce_testkit::janus::Janus>, impl Fn() -> Split<TcpUdpClient, JanusClient>>> {
    let janus = sottovoce_testkit::janus::Janus::start()?;
    let name = janus.name();
    Some(with_control(janus, move || JanusClient::new(name.clone()).unwrap()))
}

#[cfg(feature = "rtpengine")]
pub fn rtpengine() -> Option<
    Place<Both<sottovoce_testkit::rtpengine::Rtpengine>, impl Fn() -> Split<TcpUdpClient, RtpengineClient>>,
> {
    let rtpengine = sottovoce_testkit::rtpengine::Rtpengine::start()?;
    let name = rtpengine.name();
    Some(with_control(rtpengine, move || RtpengineClient::new(name.clone()).unwrap()))
}

fn with_control<R, M: Transport>(
    media: R,
    half: impl Fn() -> M,
) -> Place<Both<R>, impl Fn() -> Split<TcpUdpClient, M>> {
    let control = relay();
    let name = control.name();
    let member = move || Split::new(TcpUdpClient::new(name.clone()), half());
    Place { relay: Both { _control: control, media }, member }
}

//! Reads a capture (pcap, pcapng) or a relay's log, and puts together who sent what to whom.
//!
//! ```text
//! file > packets > Ethernet, IP > UDP > flow of datagrams
//!                              > TCP > segments in order > flow of bytes
//! ```

use std::{collections::BTreeMap, fmt, net::SocketAddr, time::Duration};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, create_reader};
use sottovoce::relay::log::{Lane, ReadError, Reader};

use crate::tcp::Stream;

/// Datagrams, each with the time since the capture began.
pub type Datagrams = Vec<(Duration, Vec<u8>)>;

/// Everything in one direction between two addresses.
#[derive(Debug)]
pub struct Flow {
    /// Who speaks: an address and port, or a connection of the log.
    pub from: String,
    /// To whom.
    pub to: String,
    /// What was said.
    pub said: Said,
}

#[derive(Debug)]
pub enum Said {
    /// UDP.
    Datagrams(Datagrams),
    /// TCP, put together.
    Stream(Stream),
}

/// A capture taken apart.
#[derive(Debug, Default)]
pub struct Capture {
    /// What kind of file it was.
    pub kind: &'static str,
    pub flows: Vec<Flow>,
    pub packets: usize,
    pub length: Duration,
    /// What is neither UDP nor TCP, by name, and how many packets.
    pub others: BTreeMap<String, usize>,
    /// Addresses and ports that a connection was tried or made to, over which nothing was said.
    pub silent: Vec<String>,
}

/// Why a file cannot be audited. None of it is an answer to what can be read there.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Neither pcap nor pcapng nor a log of our relay.
    Unknown,
    /// It ends within a packet or record, after this many whole ones.
    Truncated(usize),
    /// It has something else than a packet after this many.
    Malformed(usize),
    /// A packet was cut when it was captured: capture whole ones (`tcpdump -s 0`).
    Snapped(usize),
    /// The link type that this packet was captured on.
    Link(i32),
    /// It has no packets.
    Empty,
    /// It is a log with something in it that no relay writes.
    Log(ReadError),
}

/// Takes a file apart.
///
/// # Errors
/// [`Error`]; a part of a capture proves nothing, so whatever is damaged is refused as a whole.
pub fn read(file: &[u8]) -> Result<Capture, Error> {
    if file.starts_with(b"sottovoce relay log") { read_log(file) } else { read_packets(file) }
}

fn read_log(file: &[u8]) -> Result<Capture, Error> {
    let mut streams: BTreeMap<u16, Stream> = BTreeMap::new();
    let mut datagrams: BTreeMap<u16, Datagrams> = BTreeMap::new();
    let mut capture = Capture { kind: "log of the reference relay", ..Capture::default() };
    for record in Reader::new(file).map_err(Error::Log)? {
        let record = record.map_err(|error| match error {
            ReadError::Truncated => Error::Truncated(capture.packets),
            error => Error::Log(error),
        })?;
        capture.packets += 1;
        capture.length = capture.length.max(record.at);
        let number = record.connection.0;
        match record.lane {
            // A number is given again after a long time; what came before stays a flow of its own.
            Lane::Hello => {
                if let Some(before) = streams.insert(number, Stream::from_start(record.at, &record.bytes)) {
                    capture.flows.push(of_connection(number, Said::Stream(before)));
                }
            }
            Lane::Control => {
                let length = u16::try_from(record.bytes.len()).unwrap_or(u16::MAX).to_be_bytes();
                let stream = streams.entry(number).or_default();
                stream.append(record.at, &[&length[..], &record.bytes].concat());
            }
            _ => datagrams.entry(number).or_default().push((record.at, record.bytes)),
        }
    }
    if capture.packets == 0 {
        return Err(Error::Empty);
    }
    let streams = streams.into_iter().map(|(number, stream)| of_connection(number, Said::Stream(stream)));
    capture.flows.extend(streams);
    let datagrams = datagrams.into_iter().map(|(number, said)| of_connection(number, Said::Datagrams(said)));
    capture.flows.extend(datagrams);
    Ok(capture)
}

fn of_connection(number: u16, said: Said) -> Flow {
    Flow { from: format!("connection {number}"), to: "relay".to_owned(), said }
}

/// The flows of a capture while it is read.
#[derive(Default)]
struct Sorter {
    capture: Capture,
    start: Option<Duration>,
    datagrams: BTreeMap<(SocketAddr, SocketAddr), Datagrams>,
    streams: BTreeMap<(SocketAddr, SocketAddr), Vec<Stream>>,
}

fn read_packets(file: &[u8]) -> Result<Capture, Error> {
    let mut sorter = Sorter::default();
    let reader = create_reader(BUFFER, file);
    let mut reader = reader.map_err(|_| if file.is_empty() { Error::Empty } else { Error::Unknown })?;
    // (link type, ticks a second, seconds to add) of each interface.
    let mut interfaces: Vec<(Linktype, u64, i64)> = Vec::new();
    // How much waited when the last block was not whole.
    let mut waiting = None;
    loop {
        let next = reader.next();
        let incomplete = match &next {
            Err(PcapError::Eof) => break,
            Err(PcapError::Incomplete(_)) => true,
            Err(PcapError::UnexpectedEof) => return Err(Error::Truncated(sorter.capture.packets)),
            Err(_) => return Err(Error::Malformed(sorter.capture.packets)),
            Ok(_) => false,
        };
        let (false, Ok((used, block))) = (incomplete, next) else {
            let here = reader.data().len();
            if waiting == Some(here) {
                return Err(Error::Truncated(sorter.capture.packets));
            }
            waiting = Some(here);
            reader.refill().map_err(|_| Error::Malformed(sorter.capture.packets))?;
            continue;
        };
        waiting = None;
        let mut packet = None;
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                sorter.capture.kind = "pcap";
                let ticks = if header.is_nanosecond_precision() { 1_000_000_000 } else { 1_000_000 };
                interfaces.push((header.network, ticks, 0));
            }
            PcapBlockOwned::Legacy(block) => {
                let (_, ticks, _) = *interfaces.first().ok_or(Error::Malformed(0))?;
                let at = stamp(u64::from(block.ts_sec) * ticks + u64::from(block.ts_usec), ticks, 0);
                packet = Some((0, at, block.caplen, block.origlen, block.data));
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => {
                sorter.capture.kind = "pcapng";
                interfaces.clear();
            }
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                let ticks = interface.ts_resolution().filter(|ticks| *ticks > 0);
                let ticks = ticks.ok_or(Error::Malformed(sorter.capture.packets))?;
                interfaces.push((interface.linktype, ticks, interface.if_tsoffset));
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(block)) => {
                let number = block.if_id as usize;
                let interface = interfaces.get(number).ok_or(Error::Malformed(sorter.capture.packets))?;
                let ticks = u64::from(block.ts_high) << 32 | u64::from(block.ts_low);
                let at = stamp(ticks, interface.1, interface.2);
                packet = Some((number, at, block.caplen, block.origlen, block.data));
            }
            PcapBlockOwned::NG(Block::SimplePacket(block)) => {
                let caplen = u32::try_from(block.data.len()).unwrap_or(u32::MAX);
                packet = Some((0, Duration::ZERO, caplen, block.origlen, block.data));
            }
            // Statistics, names, comments.
            PcapBlockOwned::NG(_) => {}
        }
        if let Some((interface, at, caught, length, data)) = packet {
            if caught < length {
                return Err(Error::Snapped(sorter.capture.packets));
            }
            let (link, ..) = *interfaces.get(interface).ok_or(Error::Malformed(sorter.capture.packets))?;
            // A block of pcapng is filled up to a multiple of four.
            let data = data.get(..caught as usize).ok_or(Error::Malformed(sorter.capture.packets))?;
            sorter.packet(link, at, data)?;
        }
        reader.consume(used);
    }
    sorter.finish()
}

fn stamp(ticks: u64, per_second: u64, offset: i64) -> Duration {
    let seconds = (ticks / per_second).saturating_add_signed(offset);
    let nanos = u128::from(ticks % per_second) * 1_000_000_000 / u128::from(per_second);
    Duration::new(seconds, nanos as u32)
}

impl Sorter {
    fn packet(&mut self, link: Linktype, at: Duration, data: &[u8]) -> Result<(), Error> {
        let start = *self.start.get_or_insert(at);
        let at = at.saturating_sub(start);
        self.capture.packets += 1;
        self.capture.length = self.capture.length.max(at);
        let sliced = match link.0 {
            1 => SlicedPacket::from_ethernet(data),
            113 => SlicedPacket::from_linux_sll(data),
            276 => SlicedPacket::from_ip(data.get(20..).unwrap_or_default()),
            12 | 14 | 101 | 228 | 229 => SlicedPacket::from_ip(data),
            0 => SlicedPacket::from_ip(data.get(4..).unwrap_or_default()),
            link => return Err(Error::Link(link)),
        };
        let Ok(sliced) = sliced else { return self.other("packets that do not parse") };
        let ends = |source: u16, target: u16| match &sliced.net {
            Some(NetSlice::Ipv4(ip)) => {
                let (from, to) = (ip.header().source_addr(), ip.header().destination_addr());
                Some((SocketAddr::from((from, source)), SocketAddr::from((to, target))))
            }
            Some(NetSlice::Ipv6(ip)) => {
                let (from, to) = (ip.header().source_addr(), ip.header().destination_addr());
                Some((SocketAddr::from((from, source)), SocketAddr::from((to, target))))
            }
            _ => None,
        };
        match &sliced.transport {
            Some(TransportSlice::Udp(udp)) => {
                let Some(ends) = ends(udp.source_port(), udp.destination_port()) else { return Ok(()) };
                self.datagrams.entry(ends).or_default().push((at, udp.payload().to_vec()));
                Ok(())
            }
            Some(TransportSlice::Tcp(tcp)) => {
                let Some(ends) = ends(tcp.source_port(), tcp.destination_port()) else { return Ok(()) };
                let streams = self.streams.entry(ends).or_default();
                // A new connection between the same ports is a stream of its own.
                if streams.is_empty()
                    || tcp.syn() && streams.last().is_some_and(|last| !last.is_syn(tcp.sequence_number()))
                {
                    streams.push(Stream::default());
                }
                if let Some(stream) = streams.last_mut() {
                    stream.segment(at, tcp.sequence_number(), tcp.syn(), tcp.payload());
                }
                Ok(())
            }
            Some(_) => self.other(ICMP),
            None => match &sliced.net {
                Some(NetSlice::Arp(_)) => self.other(ARP),
                Some(_) => self.other("IP fragments and other protocols"),
                None => self.other("frames without IP"),
            },
        }
    }

    fn other(&mut self, what: &str) -> Result<(), Error> {
        *self.capture.others.entry(what.to_owned()).or_default() += 1;
        Ok(())
    }

    fn finish(self) -> Result<Capture, Error> {
        let Self { mut capture, datagrams, streams, .. } = self;
        if capture.packets == 0 {
            return Err(Error::Empty);
        }
        let flow = |(from, to): (SocketAddr, SocketAddr), said| Flow {
            from: from.to_string(),
            to: to.to_string(),
            said,
        };
        let talks = |from: &SocketAddr, to: &SocketAddr| {
            let talk =
                |ends| streams.get(&ends).is_some_and(|all: &Vec<Stream>| all.iter().any(|s| !s.is_empty()));
            talk((*from, *to)) || talk((*to, *from))
        };
        let silent = streams.keys().filter(|(from, to)| !talks(from, to)).map(|(_, to)| to.to_string());
        capture.silent = silent.collect();
        for (ends, streams) in streams {
            let streams = streams.into_iter().filter(|stream| !stream.is_empty());
            capture.flows.extend(streams.map(|stream| flow(ends, Said::Stream(stream))));
        }
        capture.flows.extend(datagrams.into_iter().map(|(ends, said)| flow(ends, Said::Datagrams(said))));
        Ok(capture)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => write!(f, "this is neither pcap nor pcapng nor a relay log"),
            Self::Truncated(after) => write!(f, "it ends within a packet, after {after} whole ones"),
            Self::Malformed(after) => write!(f, "it is damaged after {after} packets"),
            Self::Snapped(after) => {
                write!(f, "packet {} was cut when it was captured; capture whole ones", after + 1)
            }
            Self::Link(link) => write!(f, "packets of link type {link} are not understood"),
            Self::Empty => write!(f, "it has no packets"),
            Self::Log(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

/// The longest block: more than any packet.
const BUFFER: usize = 1 << 18;
const ICMP: &str = "ICMP and the like";
const ARP: &str = "ARP";
/// What is on every network.
pub const IS_THE_NETWORKS: [&str; 2] = [ICMP, ARP];

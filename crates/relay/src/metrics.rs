//! Metrics over HTTP: `GET /metrics`, in Prometheus' text format.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

/// Listens at `address` without ever waiting for a connection.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Reads one HTTP request and answers it, in a second at most.
pub fn answer(mut stream: TcpStream, metrics: &str) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = [0; 1_024];
    let length = match stream.read(&mut request) {
        Err(error) if error.kind() == ErrorKind::Interrupted => 0,
        length => length?,
    };
    let (status, body) = match request[..length].starts_with(b"GET /metrics ") {
        true => ("200 OK", metrics),
        false => ("404 Not Found", ""),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

const PATIENCE: Duration = Duration::from_millis(500);

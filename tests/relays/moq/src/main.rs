//! The MoQ relay that the tests run against: `moq-relay` as it is, in one version, with the crates
//! that it was tried with.
//!
//! Plain QUIC only: no discovery of others on the network, no WebSocket, no iroh.

use anyhow::{Result, anyhow};
use moq_relay::{Config, Relay};

#[tokio::main]
async fn main() -> Result<()> {
    moq_tokio::crypto::install_default().map_err(|_| anyhow!("there is a crypto provider already"))?;
    Relay::load(Config::load()?).await?.run().await
}

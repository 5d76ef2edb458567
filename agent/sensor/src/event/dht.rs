//! What is read of `BitTorrent`'s distributed hash table (BEP 5).

use core::net::SocketAddr;

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DhtMessage {
    /// The sender is the flow's originator.
    pub from_originator: bool,
    /// Chosen by who asks.
    pub transaction_id: Box<[u8]>,
    /// Version of the program.
    pub client_version: Option<Box<[u8]>>,
    /// What it says.
    pub body: DhtBody,
}

/// Question, answer or refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DhtBody {
    /// A question.
    Request {
        /// `ping`, `find_node`, `get_peers`, `announce_peer`, or another.
        name: Box<str>,
        /// Its arguments.
        arguments: DhtValues,
    },
    /// An answer.
    Response(DhtValues),
    /// A refusal.
    Error {
        /// 201 generic, 202 server, 203 protocol, 204 method unknown.
        number: u32,
        /// In words.
        message: Box<str>,
    },
    /// Nothing of it could be read.
    #[default]
    Unknown,
}

/// Arguments of a question or of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DhtValues {
    /// Node that speaks.
    pub id: Box<[u8]>,
    /// Node that is looked for.
    pub target: Option<Box<[u8]>>,
    /// Torrent.
    pub info_hash: Option<Box<[u8]>>,
    /// Proof of an earlier question.
    pub token: Option<Box<[u8]>>,
    /// The port of the datagram counts, not `port`.
    pub implied_port: Option<u32>,
    /// Where the peer listens.
    pub port: Option<u16>,
    /// Nodes near the target.
    pub nodes: Vec<DhtNode>,
    /// Peers of the torrent.
    pub values: Vec<SocketAddr>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DhtNode {
    /// Its identifier.
    pub id: [u8; 20],
    /// Where it is.
    pub address: SocketAddr,
}

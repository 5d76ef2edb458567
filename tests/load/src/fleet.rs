//! Agents by the thousand: keys made beforehand, tokens as an operator makes them, enrolments as agents ask for them.
//!
//! Nothing here goes around the collector: each agent spends a token of its own at the enrolment listener.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sekimori_collector::config::Config;
use sekimori_collector::fleet::authority::Paths;
use sekimori_collector::fleet::{TokenOrder, new_token};
use sekimori_collector::store::Store;
use sekimori_wire::enroll::{EnrollRequest, EnrollResponse, POSSESSION_LABEL, Token};
use sekimori_wire::envelope::{SigningKey, VerifyingKey};
use tokio::task::JoinSet;

use crate::agent::Agent;
use crate::chance::Chance;
use crate::link::{self, Link};
use crate::shape;

/// Bodies in Japan; agents beyond that are second ones of a body.
const BODIES: usize = 1_788;
/// Agents that enrol or connect at a time.
const AT_A_TIME: usize = 16;
const TTL: Duration = Duration::from_secs(3_600);

/// A token for each agent. Before the collector runs: it has the one connection that writes.
pub(crate) async fn tokens(store: &Store, config: &Config, agents: usize) -> anyhow::Result<Vec<Token>> {
    let mut tokens = Vec::with_capacity(agents);
    for index in 0..agents {
        let body = shape::body(index % BODIES).context("a body's code")?;
        let name = format!("load-{index}");
        let order = TokenOrder { body, body_name: None, name, ttl: TTL, replaces: None };
        tokens.push(new_token(store, config, &order).await?);
    }
    Ok(tokens)
}

/// Enrols an agent with each token.
pub(crate) async fn enrol(config: &Config, tokens: Vec<Token>) -> anyhow::Result<Vec<Agent>> {
    let ca = CertificateDer::from_pem_file(Paths::of(&config.dir).ca()).context("the CA's certificate")?;
    let anybody = link::client(&ca, None)?;
    let (mut running, mut agents) = (JoinSet::new(), Vec::with_capacity(tokens.len()));
    let mut rest = tokens.into_iter().enumerate();
    loop {
        while running.len() < AT_A_TIME
            && let Some((index, token)) = rest.next()
        {
            running.spawn(one(index, token, config.enroll, Arc::clone(&anybody)));
        }
        match running.join_next().await {
            Some(agent) => agents.push(agent??),
            None => return Ok(agents),
        }
    }
}

async fn one(
    index: usize,
    token: Token,
    enroll: SocketAddr,
    anybody: Arc<ClientConfig>,
) -> anyhow::Result<Agent> {
    let (key, _) = SigningKey::generate()?;
    let tls_key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, key.verifying_key().id().to_string());
    let csr_pem = params.serialize_request(&tls_key)?.pem()?;
    let request = EnrollRequest {
        secret: token.secret,
        signing_key: URL_SAFE_NO_PAD.encode(key.verifying_key().as_bytes()),
        possession: URL_SAFE_NO_PAD.encode(key.sign_labelled(POSSESSION_LABEL, csr_pem.as_bytes())),
        csr_pem,
        name: String::new(),
    };
    let from = address(index)?;
    let mut link = Link::open(from, enroll, anybody).await?;
    let (status, body) = link.post("/v1/enroll", "application/json", serde_json::to_vec(&request)?).await?;
    if !status.is_success() {
        bail!("agent {index} is not enrolled ({status}): {}", String::from_utf8_lossy(&body));
    }
    let response: EnrollResponse = serde_json::from_slice(&body)?;
    let id = key.verifying_key().id();
    ensure!(response.agent == id.to_string(), "enrolled as another agent");
    let ca = CertificateDer::from_pem_slice(response.ca_pem.as_bytes())?;
    let certificate = CertificateDer::from_pem_slice(response.certificate_pem.as_bytes())?;
    let tls_key = PrivateKeyDer::from_pem_slice(tls_key.serialize_pem().as_bytes())?;
    let tls = link::client(&ca, Some((certificate, tls_key)))?;
    let collector = URL_SAFE_NO_PAD.decode(&response.collector_key)?;
    let collector = VerifyingKey::from_bytes(&collector).context("the collector's key")?;
    let chance = Chance::new(index as u64 + 1);
    Ok(Agent::new((id, key, response.epoch), collector, (tls, response.trust), (from, chance)))
}

/// An address of its own for each agent.
fn address(index: usize) -> anyhow::Result<Ipv4Addr> {
    let first = u32::from(Ipv4Addr::new(127, 1, 0, 1));
    Ok(Ipv4Addr::from(first + u32::try_from(index)?))
}

/// Connects them all, to one collector after another.
pub(crate) async fn connect(agents: Vec<Agent>, to: &[SocketAddr]) -> anyhow::Result<Vec<Agent>> {
    let (mut running, mut connected) = (JoinSet::new(), Vec::with_capacity(agents.len()));
    let mut rest = agents.into_iter().zip(to.iter().copied().enumerate().cycle());
    loop {
        while running.len() < AT_A_TIME
            && let Some((mut agent, (number, to))) = rest.next()
        {
            agent.collector_at = number;
            running.spawn(async move { agent.connect(to).await.map(|()| agent) });
        }
        match running.join_next().await {
            Some(agent) => connected.push(agent??),
            None => return Ok(connected),
        }
    }
}
